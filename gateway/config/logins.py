"""What an account logs in with and at which place, from its entry and the environment.

Read next: checks/logins.py, which judges it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from gateway.config.schema import AwsEntry, AzureAdEntry, GoogleEntry, LoginEntry, ProviderEntry
from gateway.types import Login, Secret

__all__ = ["PROJECT", "REGIONS", "Place", "first_set", "is_document", "login_of", "place_of"]

AUTHORITY: Final = "https://login.microsoftonline.com"
#: Variables that name a place, by whose cloud it is; the first that is set counts.
REGIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "aws": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "google": ("GOOGLE_CLOUD_LOCATION",),
}
PROJECT: Final = "GOOGLE_CLOUD_PROJECT"


class Place(Struct, frozen=True):
    """Where an account is: the region of its cloud, and its project."""

    region: str | None
    project: str | None

    def fill(self, address: str) -> str:
        """An address with its ``{region}`` and ``{project}`` filled in as far as they are known.

        Google calls the host of the region ``global`` by no region.
        """
        if self.region is not None:
            address = address.replace("//{region}-", "//") if self.region == "global" else address
            address = address.replace("{region}", self.region)
        return address.replace("{project}", self.project) if self.project is not None else address


def place_of(entry: ProviderEntry, cloud: str | None, environ: Mapping[str, str]) -> Place:
    """What the entry says, else what the environment says for its cloud."""
    region = entry.region or _first(environ, *REGIONS.get(cloud or "", ()))
    return Place(region, entry.project or (_first(environ, PROJECT) if cloud == "google" else None))


def login_of(
    entry: LoginEntry | None, usual: Literal["aws", "google"] | None, environ: Mapping[str, str]
) -> Login | None:
    """The login that an entry names, else that of its kind; ``environ`` fills in what it leaves out."""
    if entry is None:
        entry = LoginEntry.model_validate(usual) if usual is not None else LoginEntry.model_construct()
    if entry.aws is not None:
        return _aws(entry.aws, environ)
    if entry.google is not None:
        return _google(entry.google, environ)
    return _azure_ad(entry.azure_ad, environ) if entry.azure_ad is not None else None


def is_document(text: str) -> bool:
    """Whether credentials are a document rather than the path of one."""
    return text.lstrip().startswith("{")


def _aws(entry: AwsEntry, environ: Mapping[str, str]) -> Login:
    """A profile that is named counts more than the key of the environment, as for AWS's own tools."""
    secrets = {
        "access_key_id": entry.access_key_id,
        "secret_access_key": entry.secret_access_key,
        "session_token": entry.session_token,
    }
    if entry.profile is None and not any(secrets.values()):
        found = {name: _first(environ, f"AWS_{name.upper()}") for name in secrets}
        if found["access_key_id"] and found["secret_access_key"]:
            secrets = {name: Secret(value) if value else None for name, value in found.items()}
    return _login("aws", {"profile": entry.profile}, secrets)


def _google(entry: GoogleEntry, environ: Mapping[str, str]) -> Login:
    given = entry.credentials.reveal() if entry.credentials is not None else None
    if given is not None and is_document(given):
        return _login("google", {}, {"document": entry.credentials})
    return _login(
        "google", {"file": given or _first(environ, "GOOGLE_APPLICATION_CREDENTIALS") or _gcloud(environ)}, {}
    )


def _gcloud(environ: Mapping[str, str]) -> str | None:
    """The file that ``gcloud auth application-default login`` writes, if it is there."""
    folder = environ.get("CLOUDSDK_CONFIG") or (
        os.path.join(environ["HOME"], ".config", "gcloud") if environ.get("HOME") else None
    )
    file = os.path.join(folder, "application_default_credentials.json") if folder is not None else ""
    return file if os.path.isfile(file) else None


def _azure_ad(entry: AzureAdEntry, environ: Mapping[str, str]) -> Login:
    secret = _first(environ, "AZURE_CLIENT_SECRET") if entry.client_id is None else None
    authority = entry.authority or _first(environ, "AZURE_AUTHORITY_HOST") or AUTHORITY
    params = {
        "tenant": entry.tenant or _first(environ, "AZURE_TENANT_ID"),
        "client_id": entry.client_id or _first(environ, "AZURE_CLIENT_ID"),
        "scope": entry.scope,
        "authority": (authority if "://" in authority else f"https://{authority}").rstrip("/"),
    }
    return _login("azure_ad", params, {"client_secret": entry.client_secret or (Secret(secret) if secret else None)})


def _login(
    kind: Literal["aws", "google", "azure_ad"], params: Mapping[str, str | None], secrets: Mapping[str, Secret | None]
) -> Login:
    return Login(
        kind,
        tuple([(name, value) for name, value in params.items() if value is not None]),
        tuple([(name, secret) for name, secret in secrets.items() if secret is not None]),
    )


def first_set(environ: Mapping[str, str], *names: str) -> str | None:
    """The first of these variables that holds more than white space."""
    return next((name for name in names if environ.get(name, "").strip()), None)


def _first(environ: Mapping[str, str], *names: str) -> str | None:
    name = first_set(environ, *names)
    return environ[name].strip() if name is not None else None
