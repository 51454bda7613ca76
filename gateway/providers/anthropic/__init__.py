"""Anthropic's Messages protocol. Read next: tongue.py."""
