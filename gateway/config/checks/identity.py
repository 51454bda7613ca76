"""Issuers of tokens have what they need, no token could be of two of them, and each leads to a team.

Read next: safety.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as File

from gateway.config.addresses import host_of, privacy
from gateway.config.callers import TOKENS, claim_of
from gateway.config.checks import logins
from gateway.config.checks.safety import no_address
from gateway.config.draft import Draft
from gateway.config.finding import Finding, Path, closest
from gateway.config.schema import IssuerEntry

__all__ = ["addresses", "claims", "installed", "keys", "names", "teams"]


def keys(draft: Draft) -> Iterator[Finding]:
    """No key is called as callers with a token are."""
    for index, entry in enumerate(draft.config.keys):
        if entry.id.startswith(TOKENS):
            yield Finding(
                ("keys", index, "id"), f"{TOKENS} begins the ids of callers with a token", "choose another id"
            )


def installed(draft: Draft) -> Iterator[Finding]:
    """What verifies signatures is there."""
    if draft.config.identity and not (logins.installed("jwt") and logins.installed("cryptography")):
        hint = "pip install 'signalbox-gateway[jwt]'"
        yield Finding(("identity",), "to verify tokens, `identity` needs PyJWT and cryptography", hint)


def names(draft: Draft) -> Iterator[Finding]:
    """An issuer has a name of its own, and no token is for two of them."""
    seen: set[str] = set()
    taken: dict[tuple[str, str], str] = {}
    for index, entry in enumerate(draft.config.identity):
        if entry.name in seen:
            yield Finding(("identity", index, "name"), f"issuer {entry.name!r} is there twice", "choose another name")
        seen.add(entry.name)
        for audience in dict.fromkeys(entry.audience):
            other = taken.setdefault((entry.issuer, audience), entry.name)
            if other != entry.name:
                message = f"tokens of {entry.issuer} for {audience} are those of {other!r} already"
                yield Finding(("identity", index, "audience"), message, "join the two, or give each its own audience")


def teams(draft: Draft) -> Iterator[Finding]:
    """Tokens lead to teams that there are."""
    known = draft.config.teams
    for index, entry in enumerate(draft.config.identity):
        path: Path = ("identity", index)
        if entry.team is None and entry.default_team is None:
            message = f"tokens of {entry.name!r} lead to no team: all would be turned away"
            yield Finding(path, message, "name the claim as `team:`, or a `default_team:`")
        if entry.team is None and entry.teams:
            yield Finding((*path, "teams"), "no claim has these values", "name it as `team:`")
        named: dict[Path, str] = {("teams", value): name for value, name in entry.teams.items()}
        if entry.default_team is not None:
            named["default_team",] = entry.default_team
        for place, name in named.items():
            if name not in known:
                yield Finding((*path, *place), f"there is no team {name!r}", closest(name, known))


def claims(draft: Draft) -> Iterator[Finding]:
    """Every claim has a name."""
    for index, entry in enumerate(draft.config.identity):
        named: dict[Path, str | None] = {
            ("team",): entry.team,
            ("user",): entry.user,
            **{("claim_tags", tag): claim for tag, claim in entry.claim_tags.items()},
            **{("require", claim): claim for claim in entry.require},
        }
        for place, claim in named.items():
            if claim is not None and not all(claim_of(claim)):
                yield Finding(("identity", index, *place), f"{claim!r} is no claim", "write it as `groups` or `a.b`")


def addresses(draft: Draft) -> Iterator[Finding]:
    """Keys come from where nobody else can put them: a file of ours, or an address that only its owner answers."""
    for index, entry in enumerate(draft.config.identity):
        path: Path = ("identity", index, "issuer" if entry.jwks is None else "jwks")
        where = entry.issuer if entry.jwks is None else entry.jwks
        if entry.jwks is not None and "://" not in entry.jwks:
            yield from _file(path, entry.jwks)
        elif (wrong := no_address(where, query=entry.jwks is not None)) is not None:
            hint = "write it as https://host/path" if entry.jwks is not None else "name its keys as `jwks:`"
            yield Finding(path, f"the address of issuer {entry.name!r} {wrong}", hint)
        else:
            yield from _address(path, where, entry)


def _address(path: Path, url: str, entry: IssuerEntry) -> Iterator[Finding]:
    where = privacy(url)
    if where == "metadata":
        yield Finding(path, f"{host_of(url)} hands out a cloud's credentials: it is no issuer", "correct the address")
    elif where is not None and not entry.allow_private:
        yield Finding(path, f"{host_of(url)} is a {where} address", "write `allow_private: true` if that is meant")
    elif where is None and not url.lower().startswith("https://"):
        message = f"keys of {host_of(url)} that come unencrypted could be anybody's"
        yield Finding(path, message, "write https://")


def _file(path: Path, name: str) -> Iterator[Finding]:
    try:
        with File(name).open("rb") as file:
            file.read(1)
    except OSError as error:
        yield Finding(
            path, f"{name!r} cannot be read: {error.strerror}", "give the path of a JWKS, or an https address"
        )
