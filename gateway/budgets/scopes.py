"""What a request is reckoned with: its caller's scopes, and those of the end user it names. Read next: book.py."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from gateway.types import Caller, Scope

__all__ = ["each_user_of", "scopes_of"]


def each_user_of(kind: Literal["team", "key"], name: str) -> str:
    """What the scopes of the end users of a team or key are called, before the user's own name.

    That may be anything a client likes, and names of teams and keys may hold a ``/``: it is written as ``%2F`` here,
    which is in no name, or the user ``b/c`` of team ``a`` would spend the money of user ``c`` of team ``a/b``.
    """
    return f"user:{kind}/{name.replace('/', '%2F')}/"


def scopes_of(caller: Caller, user: str | None) -> tuple[Scope, ...]:
    """From the widest to the narrowest."""
    if user is None or not caller.each_user:
        return caller.scopes
    return caller.scopes + tuple([replace(each, name=each.name + user, of=each.name) for each in caller.each_user])
