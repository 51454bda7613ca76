"""Signalbox, an OpenAI-compatible gateway for LLM requests. Read next: types.py (the words), pipeline.py (the path)."""

__version__ = "0.1.0"
