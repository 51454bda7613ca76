"""What an account logs in with, and where: from the file, from the environment, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import cast

import pytest

from gateway.config.checks import logins
from gateway.config.load import check, load_text
from gateway.errors import ConfigError
from gateway.providers.rows import ROWS, Row
from gateway.types import Account, Login, Secret, World

INSTALLED = logins.installed
AT = "base_url: https://cloud.example/v1"
ENTRA = (("scope", "https://cognitiveservices.azure.com/.default"), ("authority", "https://login.microsoftonline.com"))
KEY = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "aws-secret", "AWS_REGION": "eu-west-1"}
DOCUMENT = json.dumps({"type": "service_account", "private_key": "-----BEGIN\nsecret-key\n"}, indent=2)


@pytest.fixture(autouse=True)
def clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds whose addresses are templates, and every package that a login may need."""
    rows = cast(MutableMapping[str, Row], ROWS)
    host = "https://{region}-aiplatform.googleapis.com/v1/projects/{project}/locations/{region}"
    signed = "https://bedrock-runtime.{region}.amazonaws.com"
    monkeypatch.setitem(rows, "in_aws", Row(kind="in_aws", base_url=signed, env=("IN_AWS_KEY",), login="aws"))
    monkeypatch.setitem(rows, "in_google", Row(kind="in_google", base_url=host, login="google"))
    monkeypatch.setattr(logins, "installed", lambda _: True)


def world(provider: str, environ: dict[str, str], name: str = "p") -> World:
    text = f"providers: {{{name}: {{{provider}}}}}\ndeployments: {{m: {{provider: {name}, model: m}}}}\n"
    return load_text(text, environ)


def account(provider: str, environ: dict[str, str] | None = None) -> Account:
    return world(provider, environ or {}).deployments["m"].account


def login(provider: str, environ: dict[str, str] | None = None) -> Login | None:
    return account(f"kind: openai_compatible, {AT}, {provider}", environ).auth


def told(provider: str, environ: dict[str, str] | None = None) -> list[str]:
    """The problems, without the file, line and column."""
    with pytest.raises(ConfigError) as raised:
        world(provider, environ or {})
    return [f"{problem.message} ({problem.hint})" for problem in raised.value.problems]


# --- what is logged in with -----------------------------------------------------------------------------------------


def test_a_login_is_a_name_or_a_name_with_parameters() -> None:
    environ = {"AWS_REGION": "eu-west-1"}
    assert {login(f"auth: {auth}", environ) for auth in ("aws", "{aws: }", "{aws: {}}")} == {Login("aws")}
    assert login("auth: {aws: {profile: ops}}", environ) == Login("aws", (("profile", "ops"),))
    assert login("allow_private: no") is None


def test_a_key_of_aws_is_the_files_else_the_environments_unless_a_profile_is_named() -> None:
    found = (("access_key_id", Secret("AKID")), ("secret_access_key", Secret("aws-secret")))
    assert login("auth: aws", KEY) == Login("aws", (), found)
    session = {**KEY, "AWS_SESSION_TOKEN": "t"}
    assert login("auth: aws", session) == Login("aws", (), (*found, ("session_token", Secret("t"))))
    assert login("auth: {aws: {profile: ops}}", KEY) == Login("aws", (("profile", "ops"),))
    own = "auth: {aws: {access_key_id: OWN, secret_access_key: ${S}}}"
    secrets = (("access_key_id", Secret("OWN")), ("secret_access_key", Secret("own-secret")))
    assert login(own, {**KEY, "S": "own-secret"}) == Login("aws", (), secrets)


def test_credentials_of_google_are_a_document_a_path_the_environments_file_or_none(tmp_path: Path) -> None:
    file = tmp_path / "account.json"
    file.write_text(DOCUMENT)
    assert login("auth: google") == Login("google")
    assert login(f"auth: {{google: {{credentials: {file}}}}}") == Login("google", (("file", str(file)),))
    inline = login(f"auth: {{google: {{credentials: ${{file:{file}}}}}}}")
    assert inline == Login("google", (), (("document", Secret(DOCUMENT)),))
    named = {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}
    assert login("auth: google", named) == Login("google", (("file", str(file)),))
    written = tmp_path / ".config" / "gcloud" / "application_default_credentials.json"
    written.parent.mkdir(parents=True)
    written.write_text('{"type": "authorized_user"}')
    assert login("auth: google", {"HOME": str(tmp_path)}) == Login("google", (("file", str(written)),))


def test_a_client_of_entra_is_the_files_else_the_environments() -> None:
    assert login("auth: azure_ad") == Login("azure_ad", ENTRA)
    environ = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"}
    client = (("tenant", "t"), ("client_id", "c"))
    assert login("auth: azure_ad", environ) == Login("azure_ad", (*client, *ENTRA), (("client_secret", Secret("s")),))
    own = login("auth: {azure_ad: {client_id: mine}}", environ)
    assert own == Login("azure_ad", (("tenant", "t"), ("client_id", "mine"), *ENTRA)), "not with another's secret"
    us = login("auth: azure_ad", {"AZURE_AUTHORITY_HOST": "login.microsoftonline.us"})
    assert us is not None
    assert us.param("authority") == "https://login.microsoftonline.us"


def test_a_login_that_is_written_counts_more_than_the_key_of_the_environment() -> None:
    found = account("kind: in_aws, auth: aws", {**KEY, "IN_AWS_KEY": "bearer"})
    assert (found.keys, found.auth is not None) == ((), True)


def test_a_kind_may_log_in_by_itself_but_only_where_no_key_is_and_at_its_own_address() -> None:
    assert account("kind: in_aws", KEY).auth == login("auth: aws", KEY)
    keyed = account("kind: in_aws", {**KEY, "IN_AWS_KEY": "bearer"})
    assert (keyed.keys, keyed.auth) == ((Secret("bearer"),), None)
    assert told(f"kind: in_google, {AT}") == [
        "provider 'p' has no api_key (write `auth: google` if that login is meant for this address: by itself it goes "
        "only to its own)"
    ]


@pytest.mark.parametrize("kind", [kind for kind, row in ROWS.items() if row.login is not None])
def test_a_cloud_at_another_address_that_nothing_opens_is_warned_of(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(f"providers: {{p: {{kind: {kind}, {AT}}}}}\ndeployments: {{m: {{provider: p, model: m}}}}\n")
    (problem,) = check(file, KEY)
    assert (problem.message, problem.severity) == ("provider 'p' has no api_key", "warning")
    assert (problem.hint or "").startswith(f"write `auth: {ROWS[kind].login}` if that login is meant for this address")


def test_the_version_follows_a_changed_secret_and_does_not_hold_it() -> None:
    text = f"kind: openai_compatible, {AT}, region: eu, auth: {{aws: {{access_key_id: a, secret_access_key: ${{S}}}}}}"
    one, same, other = (world(text, {"S": secret}) for secret in ("aws-secret", "aws-secret", "changed"))
    assert one.version == same.version != other.version
    assert "aws-secret" not in repr(one)


# --- where ----------------------------------------------------------------------------------------------------------


def test_an_address_takes_its_region_and_project_from_the_file_or_the_environment() -> None:
    at = "https://bedrock-runtime.{}.amazonaws.com"
    found = account("kind: in_aws", KEY)
    assert (found.base_url, found.region) == (at.format("eu-west-1"), "eu-west-1")
    assert account("kind: in_aws, region: us-east-1", KEY).base_url == at.format("us-east-1")
    default = {**KEY, "AWS_REGION": "", "AWS_DEFAULT_REGION": "us-west-2"}
    assert account("kind: in_aws", default).base_url == at.format("us-west-2")
    assert account("kind: in_aws, api_key: k", KEY).base_url == at.format("eu-west-1"), "with a key as well"
    environ = {"GOOGLE_CLOUD_PROJECT": "mine", "GOOGLE_CLOUD_LOCATION": "europe-west4"}
    europe = account("kind: in_google", environ)
    assert (europe.region, europe.project) == ("europe-west4", "mine")
    host = "https://europe-west4-aiplatform.googleapis.com/v1/projects/mine/locations/europe-west4"
    assert europe.base_url == host


def test_googles_global_region_has_a_host_without_it() -> None:
    found = account("kind: in_google, region: global, project: p-1")
    assert found.base_url == "https://aiplatform.googleapis.com/v1/projects/p-1/locations/global"


def test_the_region_of_one_cloud_is_not_that_of_another() -> None:
    assert account(f"kind: openai_compatible, {AT}", {**KEY, "GOOGLE_CLOUD_PROJECT": "x"}).region is None


def test_a_place_that_is_missing_or_cannot_stand_in_an_address_is_an_error() -> None:
    assert told("kind: in_aws", {**KEY, "AWS_REGION": ""}) == [
        "provider 'p' needs a region (write `region:`, or export AWS_REGION=…)"
    ]
    assert told("kind: in_google") == [
        "provider 'p' needs a region (write `region:`, or export GOOGLE_CLOUD_LOCATION=…)",
        "provider 'p' needs a project (write `project:`, or export GOOGLE_CLOUD_PROJECT=…)",
    ]
    assert told("kind: in_google, project: p-1, region: evil.example/") == [
        "'evil.example/' is no region that an address can hold (write it as its cloud does)"
    ]
    assert told(f"kind: openai_compatible, {AT}, auth: aws", {**KEY, "AWS_REGION": ""}) == [
        "provider 'p' needs a region (write `region:`, or export AWS_REGION=…)"
    ]


# --- what is wrong with it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "problem"),
    [
        ("bearer", "providers.p.auth is not usable: expected aws, google or azure_ad, not 'bearer' (None)"),
        ("{aws: {}, google: {}}", "providers.p.auth is not usable: name exactly one login, not a mapping (None)"),
        ("{aws: {profil: x}}", "unknown key 'profil' in providers.p.auth.aws (did you mean 'profile'?)"),
        (
            "{aws: {secret_access_key: aws-secret}}",
            "a key of AWS is an access_key_id and a secret_access_key (give both)",
        ),
        (
            "{aws: {profile: x, access_key_id: a, secret_access_key: aws-secret}}",
            "this login has both a key and a profile (keep one of the two)",
        ),
        (
            "{azure_ad: {client_secret: aws-secret, tenant: t}}",
            "a client_secret without client_id opens nothing (add `client_id:`)",
        ),
        (
            "{azure_ad: {authority: 'http://login.example'}}",
            "the authority must be an https:// address (it is sent a secret)",
        ),
        ("aws, api_key: k", "provider 'p' has both an api_key and a login (keep one of the two)"),
        (
            "{google: {credentials: /no/such/file}}",
            "the credentials of provider 'p' cannot be read from '/no/such/file': No such file or directory "
            "(its `type` is one of service_account, authorized_user, external_account)",
        ),
        (
            '{google: {credentials: \'{"type": "aws-secret"}\'}}',
            "the credentials of provider 'p' are of a type that is not read here "
            "(its `type` is one of service_account, authorized_user, external_account)",
        ),
        (
            "{google: {credentials: '{aws-secret'}}",
            "the credentials of provider 'p' are not the JSON that Google Cloud hands out "
            "(its `type` is one of service_account, authorized_user, external_account)",
        ),
    ],
)
def test_a_login_that_cannot_work_is_an_error_that_shows_no_secret(auth: str, problem: str) -> None:
    assert told(f"kind: openai_compatible, {AT}, region: eu, auth: {auth}") == [problem]


@pytest.mark.parametrize(
    ("auth", "package", "extra"),
    [
        ("aws", "botocore", "aws"),
        (f"{{google: {{credentials: {json.dumps(DOCUMENT)}}}}}", "google-auth", "google"),
        ("azure_ad", "azure-identity", "azure"),
    ],
)
def test_a_package_that_is_missing_is_found_before_the_first_request(
    auth: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "installed", lambda _: False)
    (problem,) = told(f"kind: openai_compatible, {AT}, region: eu, auth: {auth}")
    assert problem.endswith(f"needs {package} (pip install 'signalbox-gateway[{extra}]')")


@pytest.mark.parametrize(
    ("auth", "environ"),
    [
        ("aws", KEY),
        ("google", {}),
        ("{azure_ad: {tenant: t, client_id: c, client_secret: s}}", {}),
    ],
)
def test_what_needs_no_package_asks_for_none(
    auth: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "installed", lambda _: False)
    assert login(f"auth: {auth}", environ) is not None


def test_secrets_of_a_login_in_plain_text_are_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    quoted = json.dumps('{"type": "service_account"}')
    file.write_text(
        "providers:\n"
        f"  a: {{kind: openai_compatible, {AT}, auth: {{aws: {{access_key_id: a, secret_access_key: s}}}}}}\n"
        f"  b: {{kind: openai_compatible, {AT}, auth: {{google: {{credentials: {quoted}}}}}}}\n"
        f"  c: {{kind: openai_compatible, {AT}, auth: {{azure_ad: {{tenant: t, client_id: c, client_secret: s}}}}}}\n"
        "deployments: {m: {provider: a, model: m}}\n"
    )
    assert [problem.message for problem in check(file, {"AWS_REGION": "eu-west-1"})] == [
        "secret_access_key is a secret in plain text",
        "credentials is a secret in plain text",
        "client_secret is a secret in plain text",
    ]


@pytest.mark.parametrize(("module", "there"), [("msgspec.json", True), ("msgspec.no", False), ("no.such.one", False)])
def test_whether_a_package_is_there_is_said_also_where_what_it_is_part_of_is_not(module: str, there: bool) -> None:
    assert INSTALLED(module) is there
