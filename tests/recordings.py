"""Recorded provider traffic, where it is there, and what may differ between what was recorded and what we deliver.

Read next: providers/test_recordings.py. The recordings are other people's: they are read in place, never copied.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

SHARED = Path(os.environ.get("SIGNALBOX_SHARED", Path(__file__).parents[2] / "shared"))
FOLDER = SHARED / "recordings"


class Recording(Struct, frozen=True):
    """One recorded exchange. ``id`` is stable; ``body`` is the answer's bytes."""

    id: str
    provider: str
    api: str
    model: str | None
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    request: dict[str, Any] | None
    body: bytes
    features: frozenset[str]

    @property
    def stream(self) -> bool:
        """Whether the answer is a stream of server-sent events."""
        return "stream" in self.features


def load(provider: str | None = None, api: str | None = "chat.completions") -> Iterator[Recording]:
    """The recorded exchanges of one provider, or of all; skips the test where there are none on this machine."""
    files = sorted(FOLDER.glob(f"dev/{provider or '*'}.jsonl.gz"))
    if not files:
        pytest.skip(f"no recorded traffic of {provider or 'any provider'}: set SIGNALBOX_SHARED to where it is")
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                fields = json.loads(line)
                if fields["response_body_encoding"] == "text" and api in (None, fields["api"]):
                    yield recording(fields)


def quoted() -> Iterator[dict[str, Any]]:
    """The error answers quoted in public issues and documentation; skips the test where they are not there."""
    file = FOLDER / "quoted_errors.jsonl"
    if not file.exists():
        pytest.skip("no quoted errors: set SIGNALBOX_SHARED to where the recordings are")
    for line in file.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def recording(fields: dict[str, Any]) -> Recording:
    return Recording(
        id=fields["id"],
        provider=fields["provider"],
        api=fields["api"],
        model=fields["model"],
        status=fields["status"],
        headers=tuple(headers(fields["response_headers"])),
        request=fields["request_json"],
        body=fields["response_body"].encode(),
        features=frozenset(fields["features"]),
    )


def headers(named: dict[str, str]) -> Iterator[tuple[bytes, bytes]]:
    for name, value in named.items():
        yield name.lower().encode("latin-1"), str(value).encode("latin-1", "replace")
