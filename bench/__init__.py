"""Measurements that take longer than a test, each a command of its own. Read next: rig.py."""
