"""Keys of AWS that its own credential chain finds. Imported where it is wanted: it needs the extra ``aws``.

Read next: sigv4.py, which signs with them.

Profiles, SSO, web identities, ``credential_process``, containers and the instance's metadata are botocore's to know.
Each fetch begins anew, so that files which have changed count.
"""

from __future__ import annotations

from typing import Final

from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError
from botocore.session import Session

from gateway.errors import CredentialFailed
from gateway.types import Login, Secret
from gateway.upstream.credentials.kept import Fresh
from gateway.upstream.credentials.sigv4 import Keys

__all__ = ["fetch"]

#: How long keys without an end count as current, in seconds: the files that they stand in may be rewritten.
REREAD_S: Final = 600.0


def fetch(login: Login, now: float) -> Fresh[Keys]:
    """The first keys that the chain has. Raises CredentialFailed."""
    try:
        found = Session(profile=login.param("profile")).get_credentials()
        frozen = found.get_frozen_credentials() if found is not None else None
    except CredentialRetrievalError as error:
        # Its message may hold what a program of the operator's printed.
        provider = error.kwargs.get("provider", "the chain")
        raise CredentialFailed(f"botocore had no keys from {provider}", refused=True) from None
    except (BotoCoreError, ClientError) as error:
        raise CredentialFailed(f"botocore failed with {type(error).__name__}", refused=True) from None
    if frozen is None:
        raise CredentialFailed("botocore found no keys: no environment, profile, container or instance", refused=True)
    # When they end botocore tells nobody else.
    ends_at = getattr(found, "_expiry_time", None)
    return Fresh(
        Keys(frozen.access_key, Secret(frozen.secret_key), Secret(frozen.token) if frozen.token else None),
        ends_at.timestamp() if ends_at is not None else now + REREAD_S,
    )
