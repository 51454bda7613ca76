"""What a token says: for whom it is, until when, and what its subject is here. Pure, the time is passed in.

Read next: signatures.py, which finds out whether it is true. Source: RFC 7519, section 4.1; RFC 8725, section 3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from gateway.errors import Forbidden
from gateway.identity.token import Wrong
from gateway.types import Caller, Issuer

__all__ = ["caller_of", "issuer_of", "judge", "values"]

Claims = Mapping[str, Any]

#: Lists that are written as words in one text (RFC 8693, section 4.2; Microsoft's name for it).
WORDS: Final = frozenset({"scope", "scp"})
#: The longest value that becomes a tag or a name, in characters.
LONGEST: Final = 256


def issuer_of(claims: Claims, issuers: Iterable[Issuer]) -> Issuer:
    """The one whose token it says it is, and whom it is for. Raises Wrong unless there is exactly one."""
    those = [one for one in issuers if one.issuer == claims.get("iss")]
    if not those:
        raise Wrong("issuer")
    audience = claims.get("aud")
    named = [audience] if type(audience) is str else audience
    if type(named) is not list or not all(type(one) is str for one in named):
        raise Wrong("audience")
    meant = [one for one in those if not one.audiences.isdisjoint(named)]
    if len(meant) != 1:
        raise Wrong("audience")
    return meant[0]


def judge(claims: Claims, issuer: Issuer, now: float) -> float:
    """Until when it is valid (Unix time). Raises Wrong where it is not, or lacks what the operator requires."""
    ends_at, begins_at, issued_at = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if ends_at is None:
        raise Wrong("claims")
    until = ends_at + issuer.leeway_s
    if now >= until:
        raise Wrong("expired")
    if max(begins_at or 0.0, issued_at or 0.0) > now + issuer.leeway_s:
        raise Wrong("early")
    if issuer.max_age_s is not None:
        if issued_at is None:
            raise Wrong("claims")
        until = min(until, issued_at + issuer.max_age_s + issuer.leeway_s)
        if now >= until:
            raise Wrong("old")
    for claim, wanted in issuer.require:
        found = values(claims, claim)
        if not found or (wanted and wanted.isdisjoint(found)):
            raise Wrong("claims")
    return until


def caller_of(claims: Claims, issuer: Issuer, until: float) -> Caller:
    """Who asks. Raises Wrong for a token without a subject, Forbidden for one that leads to no team.

    Only what the operator maps is taken over as it stands. The subject is hashed: enough to tell one from another, and
    to find the records of one who is known.
    """
    subject = claims.get("sub")
    if type(subject) is not str or not _fits(subject):
        raise Wrong("claims")
    caller = _of_team(claims, issuer)
    if caller is None:
        raise Forbidden("The token is valid, but leads to no team that may use this gateway.", code="no_team")
    hashed = hashlib.sha256(msgspec.json.encode([issuer.issuer, subject])).hexdigest()[:24]
    named = values(claims, issuer.user) if issuer.user is not None else ()
    tags = {tag: found[0] for tag, claim in issuer.tags if (found := values(claims, claim))}
    return replace(
        caller,
        id=f"{caller.id}:{hashed}",
        tags={**tags, **caller.tags},
        expires_at=until,
        user=named[0] if named else hashed,
    )


def values(claims: Claims, claim: tuple[str, ...]) -> tuple[str, ...]:
    """What stands at the end of the way to a claim, as texts; nothing where it does not lead to any."""
    value: Any = claims
    for step in claim:
        value = value.get(step) if type(value) is dict else None
    if type(value) is str and claim[-1] in WORDS:
        value = value.split()
    texts = map(_text, value if type(value) is list else [value])
    return tuple(text for text in texts if text is not None)


def _of_team(claims: Claims, issuer: Issuer) -> Caller | None:
    named = values(claims, issuer.team) if issuer.team is not None else ()
    return next((issuer.callers[value] for value in named if value in issuer.callers), issuer.default)


def _text(value: object) -> str | None:
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    return value if type(value) is str and _fits(value) else None


def _fits(text: str) -> bool:
    """Whether a text can stand in a record: not empty, not long, and nothing in it that is no character."""
    return 0 < len(text) <= LONGEST and text.isprintable()


def _time(claims: Claims, name: str) -> float | None:
    """Unix time. Raises Wrong for what is none."""
    value = claims.get(name)
    if value is None:
        return None
    if type(value) not in (int, float) or abs(value) > 1e12:
        raise Wrong("claims")
    return float(value)
