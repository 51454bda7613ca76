"""What a check finds: a place in the document, and what is wrong there. Read next: source.py, then check.py."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

__all__ = ["Finding", "Path", "closest"]

Path = tuple[str | int, ...]


class Finding(Struct, frozen=True):
    """Something wrong at ``path`` (keys and list positions from the top of the document)."""

    path: Path
    message: str
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"


def closest(word: str, known: Iterable[str]) -> str | None:
    """``did you mean 'x'?`` for the nearest known word, else what is known, else None."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    if not names:
        return None
    more = ", …" if len(names) > 12 else ""
    return f"known: {', '.join(names[:12])}{more}"
