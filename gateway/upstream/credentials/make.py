"""The credential of an account with a login, kept for as long as configurations have that login.

Read next: given.py, how it is used; aws.py, google.py and azure.py, where it comes from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module

from gateway.errors import CredentialFailed
from gateway.types import Account, Login
from gateway.upstream.credentials import azure, google
from gateway.upstream.credentials.credential import Credential
from gateway.upstream.credentials.given import Carried, Given, Signed
from gateway.upstream.credentials.kept import Fresh, Kept
from gateway.upstream.credentials.sigv4 import Keys

__all__ = ["Credentials"]


class Credentials:
    """One for each login in use; ``wall`` is the time in Unix seconds. Accounts with the same login share it."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._made: dict[tuple[Login, str | None], Credential] = {}

    def __repr__(self) -> str:
        return "; ".join(map(repr, self._made.values())) or "no logins"

    def know(self, accounts: Iterable[Account]) -> None:
        """These accounts are in use: what is known of their logins stays, everything else is forgotten."""
        logins = {_key(account.auth, account): account for account in accounts if account.auth is not None}
        self._made = {key: self._made.get(key) or self._make(account.name, *key) for key, account in logins.items()}

    def of(self, account: Account) -> Credential | None:
        """That of an account that is known; None where keys open it, or nothing has to."""
        return self._made[_key(account.auth, account)] if account.auth is not None else None

    def _make(self, account: str, login: Login, region: str | None) -> Credential:
        of = f"the {login.kind} login of {account}"
        if login.kind == "aws":
            secret, id = login.secret("secret_access_key"), login.secret("access_key_id")
            if secret is not None and id is not None:
                keys = Keys(id.reveal(), secret, login.secret("session_token"))
                return Signed(Given(keys), region or "", self._wall)
            return Signed(Kept(of, partial(_chain, login, self._wall), self._wall), region or "", self._wall)
        fetch = google.fetch if login.kind == "google" else azure.fetch
        return Carried(Kept(of, partial(fetch, login, self._wall), self._wall))


def _key(login: Login, account: Account) -> tuple[Login, str | None]:
    """Signatures are for one region; tokens are for all."""
    return login, account.region if login.kind == "aws" else None


def _chain(login: Login, wall: Callable[[], float]) -> Fresh[Keys]:
    """botocore is imported where it is wanted: it takes a tenth of a second, and is an extra."""
    try:
        aws = import_module("gateway.upstream.credentials.aws")
    except ImportError:
        raise CredentialFailed("botocore is not installed", refused=True) from None
    found: Fresh[Keys] = aws.fetch(login, wall())
    return found
