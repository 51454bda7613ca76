"""Fixtures of the state suite. Read next: test_contract.py."""

from tests.redis_server import redis_server

__all__ = ["redis_server"]
