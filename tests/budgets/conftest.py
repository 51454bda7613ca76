"""Fixtures of the suite of budgets. Read next: test_machine.py."""

from tests.redis_server import redis_server

__all__ = ["redis_server"]
