"""Tokens of Google Cloud: application default credentials, or a document of one's own.

Read next: google_document.py, for documents; token.py, for the metadata server.

The metadata server is asked here, which takes one request and no package: google-auth wants ``requests`` for it.
Documents (service accounts, users, federated identities) are google-auth's to read: the extra ``google``.
Source: Google Cloud, "How Application Default Credentials works" and "About VM metadata".
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

from gateway.errors import CredentialFailed
from gateway.types import Login
from gateway.upstream.credentials.credential import Headers
from gateway.upstream.credentials.kept import Fresh
from gateway.upstream.credentials.token import ask

__all__ = ["fetch"]

METADATA: Final = "metadata.google.internal"
TOKEN: Final = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 - a path


def fetch(login: Login, wall: Callable[[], float]) -> Fresh[Headers]:
    """A token for Google Cloud. Raises CredentialFailed."""
    document, file = login.secret("document"), login.param("file")
    if document is not None:
        return _by_google_auth(document.reveal())
    if file is not None:
        return _by_google_auth(_read(file))
    host = os.environ.get("GCE_METADATA_HOST") or METADATA
    return ask("GET", f"http://{host}{TOKEN}", wall, headers={"metadata-flavor": "Google"}, proxies=False)


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialFailed(f"{file} cannot be read ({type(error).__name__})", refused=True) from None


def _by_google_auth(document: str) -> Fresh[Headers]:
    try:
        reader = import_module("gateway.upstream.credentials.google_document")
    except ImportError:
        raise CredentialFailed("google-auth is not installed", refused=True) from None
    found: Fresh[Headers] = reader.fetch(document)
    return found
