"""Tokens of Microsoft Entra ID (Azure AD). Read next: token.py, which asks for one.

A client's own secret takes one request, so it is asked for here and needs no package. Whatever else Azure knows
(managed and workload identities, certificates, the command line's login) is many ways that change with its products:
``azure_default.py`` leaves those to azure-identity, which is the extra ``azure``.
Source: Microsoft identity platform, "OAuth 2.0 client credentials flow", first case.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from urllib.parse import quote

from gateway.errors import CredentialFailed
from gateway.types import Login
from gateway.upstream.credentials.credential import Headers
from gateway.upstream.credentials.kept import Fresh
from gateway.upstream.credentials.token import ask

__all__ = ["fetch"]


def fetch(login: Login, wall: Callable[[], float]) -> Fresh[Headers]:
    """A token for ``scope``. Raises CredentialFailed."""
    secret = login.secret("client_secret")
    if secret is None:
        return _by_azure_identity(login)
    tenant = quote(login.param("tenant") or "", safe="")
    form = {
        "grant_type": "client_credentials",
        "client_id": login.param("client_id") or "",
        "client_secret": secret.reveal(),
        "scope": login.param("scope") or "",
    }
    return ask("POST", f"{login.param('authority')}/{tenant}/oauth2/v2.0/token", wall, form=form)


def _by_azure_identity(login: Login) -> Fresh[Headers]:
    try:
        default = import_module("gateway.upstream.credentials.azure_default")
    except ImportError:
        raise CredentialFailed("azure-identity is not installed", refused=True) from None
    found: Fresh[Headers] = default.fetch(login)
    return found
