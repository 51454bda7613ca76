"""What is known of each kind of provider before anything is configured. Read next: build.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

__all__ = ["Kind", "kind_of", "kinds"]


class Kind(Struct, frozen=True):
    """A kind of provider: its own address, the company that operates it, and the variable its key is usually in."""

    kind: str
    base_url: str | None
    company: str | None
    env: str | None
    key_required: bool
    simulated: bool = False


_KINDS: Final[Mapping[str, Kind]] = {
    "openai": Kind("openai", "https://api.openai.com/v1", "openai", "OPENAI_API_KEY", True),
    "openai_compatible": Kind("openai_compatible", None, None, None, False),
    "ollama": Kind("ollama", "http://127.0.0.1:11434/v1", None, None, False),
    "vllm": Kind("vllm", "http://127.0.0.1:8000/v1", None, None, False),
    "simulated": Kind("simulated", "http://simulated.invalid/v1", "simulated", None, False, True),
}


def kind_of(name: str) -> Kind | None:
    """The kind of that name, None when there is none."""
    return _KINDS.get(name)


def kinds() -> Iterable[Kind]:
    """All kinds, in the order they are registered."""
    return _KINDS.values()
