"""A token by whatever identity this machine has at Azure. Imported where it is wanted: it needs the extra ``azure``.

Read next: azure.py, which calls it.
"""

from __future__ import annotations

from typing import Any

from azure.core.exceptions import AzureError
from azure.identity import CredentialUnavailableError, DefaultAzureCredential

from gateway.errors import CredentialFailed
from gateway.types import Login
from gateway.upstream.credentials.credential import Headers
from gateway.upstream.credentials.kept import Fresh
from gateway.upstream.credentials.token import bearer

__all__ = ["fetch"]


def fetch(login: Login) -> Fresh[Headers]:
    """What DefaultAzureCredential finds; ``client_id`` chooses among several identities. Raises CredentialFailed."""
    client = login.param("client_id")
    tenant, scope = login.param("tenant"), login.param("scope") or ""
    options: dict[str, Any] = {"tenant_id": tenant} if tenant else {}
    chosen: dict[str, Any] = (
        {"managed_identity_client_id": client, "workload_identity_client_id": client} if client else {}
    )
    try:
        with DefaultAzureCredential(**chosen) as identity:
            token = identity.get_token(scope, **options)
    except CredentialUnavailableError:
        raise CredentialFailed(
            "this machine has no identity at Azure that azure-identity finds", refused=True
        ) from None
    except (AzureError, ValueError) as error:
        raise CredentialFailed(f"azure-identity failed with {type(error).__name__}", refused=True) from None
    return Fresh(bearer(token.token), float(token.expires_on))
