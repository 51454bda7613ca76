"""The models in Anthropic's words. Read next: ../api/public.py, which knows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = ["listed", "one"]


def listed(names: Sequence[str], created: int) -> dict[str, Any]:
    """All of them on one page. ``created`` is Unix time."""
    first, last = (names[0], names[-1]) if names else (None, None)
    return {"data": [one(name, created) for name in names], "has_more": False, "first_id": first, "last_id": last}


def one(name: str, created: int) -> dict[str, Any]:
    """One of them."""
    at = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": name, "display_name": name, "created_at": at, "lifecycle": "active"}
