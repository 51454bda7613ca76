"""Every login has what it needs: its parts, its region, the package that knows the rest. Read next: ../logins.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path as File
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from gateway.config.addresses import privacy
from gateway.config.draft import Draft
from gateway.config.finding import Finding, Path
from gateway.config.kinds import kind_of
from gateway.config.logins import PROJECT, REGIONS
from gateway.types import Account, Login

__all__ = ["aws", "azure_ad", "google", "installed", "one_way_in", "places"]

#: What stands in the host and the path of an address.
_PART: Final = re.compile(r"[a-z0-9]([a-z0-9.:-]*[a-z0-9])?")
_DOCUMENTS: Final = ("service_account", "authorized_user", "external_account")


def installed(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _logins(draft: Draft, kind: str) -> Iterator[tuple[Path, Account, Login]]:
    for name, account in draft.accounts.items():
        if account.auth is not None and account.auth.kind == kind:
            written = draft.config.providers[name].auth is not None
            path: Path = ("providers", name, "auth") if written else ("providers", name)
            yield path, account, account.auth


def _extra(path: Path, what: str, package: str, extra: str) -> Finding:
    return Finding(path, f"{what} needs {package}", f"pip install 'signalbox-gateway[{extra}]'")


def one_way_in(draft: Draft) -> Iterator[Finding]:
    """An account has keys or a login."""
    for name, entry in draft.config.providers.items():
        if entry.auth is not None and entry.api_key:
            message = f"provider {name!r} has both an api_key and a login"
            yield Finding(("providers", name, "auth"), message, "keep one of the two")


def places(draft: Draft) -> Iterator[Finding]:
    """Every account whose address or signature names a region or a project has one that can stand there."""
    for name, account in draft.accounts.items():
        entry = draft.config.providers[name]
        kind = kind_of(account.kind)
        address = entry.base_url or entry.endpoint or (kind.base_url if kind is not None else None) or ""
        signs = account.auth is not None and account.auth.kind == "aws"
        for what, value in (("region", account.region), ("project", account.project)):
            if f"{{{what}}}" not in address and not (signs and what == "region"):
                continue
            path: Path = ("providers", name, what) if getattr(entry, what) is not None else ("providers", name)
            if value is None:
                yield Finding(path, f"provider {name!r} needs a {what}", _source_of(what, account))
            elif _PART.fullmatch(value) is None:
                yield Finding(path, f"{value!r} is no {what} that an address can hold", "write it as its cloud does")


def _source_of(what: str, account: Account) -> str:
    if what == "project":
        return f"write `project:`, or export {PROJECT}=…"
    kind = kind_of(account.kind)
    cloud = account.auth.kind if account.auth is not None else kind.login if kind is not None else None
    variables = REGIONS.get(cloud or "", ())
    return f"write `region:`, or export {variables[0]}=…" if variables else "write `region:`"


def aws(draft: Draft) -> Iterator[Finding]:
    """A key of AWS is whole, and without one there is botocore to look for one."""
    for path, account, login in _logins(draft, "aws"):
        entry = draft.config.providers[account.name].auth
        given = {name for name, _ in login.secrets}
        if given and not {"access_key_id", "secret_access_key"} <= given:
            yield Finding((*path, "aws"), "a key of AWS is an access_key_id and a secret_access_key", "give both")
        elif given and entry is not None and entry.aws is not None and entry.aws.profile is not None:
            yield Finding((*path, "aws", "profile"), "this login has both a key and a profile", "keep one of the two")
        elif not given and not installed("botocore"):
            what = (
                f"provider {account.name!r} has no key of AWS, in the configuration or the environment: to look further"
            )
            yield _extra(path, what, "botocore", "aws")


def google(draft: Draft) -> Iterator[Finding]:
    """A document of Google's is there and is one, and so is google-auth to read it."""
    for path, account, login in _logins(draft, "google"):
        document, file = login.secret("document"), login.param("file")
        if document is None and file is None:
            continue
        wrong = _no_document(document.reveal()) if document is not None else _unread(file or "")
        if wrong is not None:
            where = (*path, "google", "credentials") if path[-1] == "auth" else path
            hint = f"its `type` is one of {', '.join(_DOCUMENTS)}"
            yield Finding(where, f"the credentials of provider {account.name!r} {wrong}", hint)
        if not installed("google.auth"):
            yield _extra(path, f"to read the credentials of provider {account.name!r}", "google-auth", "google")


def _unread(file: str) -> str | None:
    try:
        return _no_document(File(file).read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return f"in {file!r} are not UTF-8 text"
    except OSError as error:
        return f"cannot be read from {file!r}: {error.strerror}"


def _no_document(text: str) -> str | None:
    try:
        kind = msgspec.json.decode(text, type=_Document).type
    except (msgspec.DecodeError, UnicodeEncodeError):
        return "are not the JSON that Google Cloud hands out"
    return None if kind in _DOCUMENTS else "are of a type that is not read here"


class _Document(Struct):
    type: str


def azure_ad(draft: Draft) -> Iterator[Finding]:
    """A client of Entra ID is whole, and without its secret there is azure-identity to find another identity."""
    for path, account, login in _logins(draft, "azure_ad"):
        if login.secret("client_secret") is not None:
            missing = [name for name in ("tenant", "client_id") if login.param(name) is None]
            if missing:
                message = f"a client_secret without {' and '.join(missing)} opens nothing"
                yield Finding((*path, "azure_ad"), message, f"add `{missing[0]}:`")
        elif not installed("azure.identity"):
            yield _extra(
                path, f"provider {account.name!r} has no client_secret: to log in without", "azure-identity", "azure"
            )
        if urlsplit(login.param("authority") or "").scheme != "https" and not _is_here(login):
            yield Finding(
                (*path, "azure_ad", "authority"), "the authority must be an https:// address", "it is sent a secret"
            )


def _is_here(login: Login) -> bool:
    return privacy(login.param("authority") or "") == "loopback"
