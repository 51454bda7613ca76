"""What a request is reckoned with: its caller's scopes, and those of the end user it names. Read next: book.py."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.types import Caller, Scope

__all__ = ["scopes_of"]


def scopes_of(caller: Caller, user: str | None) -> tuple[Scope, ...]:
    """From the widest to the narrowest."""
    if user is None or not caller.each_user:
        return caller.scopes
    return caller.scopes + tuple([replace(each, name=each.name + user, of=each.name) for each in caller.each_user])
