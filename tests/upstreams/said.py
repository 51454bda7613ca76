"""What is said in a conversation with tools, in nobody's words. Read next: server.py, then the protocols."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

__all__ = ["Answer", "Called", "Heard", "Picture", "Result", "Spent", "Text", "Tool", "Turn", "Wrong"]


class Wrong(Exception):
    """What a provider would refuse a request for, in words."""


class Text(Struct, frozen=True, tag=True):
    """Text."""

    text: str


class Picture(Struct, frozen=True, tag=True):
    """A picture: its media type and its bytes."""

    media_type: str
    data: bytes


class Called(Struct, frozen=True, tag=True):
    """A call of a tool with its arguments as JSON values."""

    name: str
    arguments: dict[str, Any]


class Result(Struct, frozen=True, tag=True):
    """What a tool gave back. ``call`` is which of the calls before it is answered, from 0."""

    call: int
    parts: tuple[Text | Picture, ...]
    error: bool = False


Part = Text | Picture | Called | Result


class Turn(Struct, frozen=True):
    """One side's turn. ``signed`` are the signatures in the model's, in order."""

    role: str
    parts: tuple[Part, ...]
    signed: tuple[str, ...] = ()


class Tool(Struct, frozen=True):
    """A tool; its schema is None where a protocol says nothing of one without parameters."""

    name: str
    description: str
    schema: dict[str, Any] | None


class Heard(Struct, frozen=True):
    """What a provider was asked, in nobody's words.

    ``thinks``: it is to think. ``cached`` names the places up to which it should cache: system, tools, and turns by
    their numbers.
    """

    stream: bool
    system: tuple[str, ...]
    tools: tuple[Tool, ...]
    turns: tuple[Turn, ...]
    thinks: bool
    cached: tuple[str | int, ...] = ()


class Spent(Struct, frozen=True):
    """Tokens as all would count them: input with what was cached and written, output with the reasoning."""

    input: int
    output: int
    cached: int = 0
    written: int = 0
    reasoning: int = 0


class Answer(Struct, frozen=True):
    """What the model says in one turn."""

    reasoning: str
    text: str
    calls: tuple[Called, ...]
    spent: Spent
