"""What the clouds grant, asked on real sockets, and what becomes of it when they do not. Read next: cloud.py."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.errors import CredentialFailed
from gateway.types import Account, Endpoint, Login, Secret
from gateway.upstream.credentials.make import Credentials
from tests.credentials.cloud import Cloud

NOW = 1_764_000_000.0
WHERE = Endpoint("https", "provider.example", 443, "POST", "/v1/chat/completions")
BEDROCK = Endpoint("https", "bedrock-runtime.eu-west-1.amazonaws.com", 443, "POST", "/model/m/converse")
METADATA = "GET /computeMetadata/v1/instance/service-accounts/default/token"
AUDIENCE = "https://oauth2.googleapis.com/token"
ENTRA = "POST /contoso/oauth2/v2.0/token"


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def account(login: Login, region: str | None = "eu-west-1", name: str = "mine") -> Account:
    return Account(name, "openai_compatible", "https://provider.example", auth=login, region=region)


def login(kind: Any, params: dict[str, str] | None = None, **secrets: str) -> Login:
    hidden = tuple((name, Secret(value)) for name, value in secrets.items())
    return Login(kind, tuple((params or {}).items()), hidden)


async def carried(what: Login, wall: Clock | None = None, where: Endpoint = WHERE) -> dict[bytes, bytes]:
    """The headers of one request with this login, new from the start."""
    of = account(what)
    credentials = Credentials(wall or Clock())
    credentials.know([of])
    credential = credentials.of(of)
    assert credential is not None
    return dict(await credential.headers(where, b"{}"))


# --- Entra ID -------------------------------------------------------------------------------------------------------


def entra(there: Cloud, secret: str = "entra-secret") -> Login:
    scope = "https://cognitiveservices.azure.com/.default"
    return login(
        "azure_ad",
        {"tenant": "contoso", "client_id": "app", "scope": scope, "authority": there.url},
        client_secret=secret,
    )


async def test_a_client_of_entra_gets_a_token_for_its_secret(cloud: Cloud) -> None:
    cloud.token(ENTRA, "eyJ.entra.token")
    assert await carried(entra(cloud)) == {b"authorization": b"Bearer eyJ.entra.token"}
    (asked,) = cloud.asked
    assert dict(asked.form) == {
        "grant_type": "client_credentials",
        "client_id": "app",
        "client_secret": "entra-secret",
        "scope": "https://cognitiveservices.azure.com/.default",
    }


async def test_a_token_is_kept_until_shortly_before_its_end(cloud: Cloud) -> None:
    wall, of = Clock(), account(entra(cloud))
    credentials = Credentials(wall)
    credentials.know([of])
    credential = credentials.of(of)
    assert credential is not None
    cloud.token(ENTRA, "first", expires_in="3600")
    for now in (NOW, NOW + 3300):
        wall.now = now
        assert await credential.headers(WHERE, b"") == ((b"authorization", b"Bearer first"),)
    cloud.token(ENTRA, "second")
    wall.now = NOW + 3595
    assert await credential.headers(WHERE, b"") == ((b"authorization", b"Bearer second"),)
    assert len(cloud.asked) == 2


def test_a_reload_keeps_a_login_that_it_leaves_as_it_was(cloud: Cloud) -> None:
    credentials, before, after = Credentials(Clock()), account(entra(cloud)), account(entra(cloud, "changed"))
    credentials.know([before])
    first = credentials.of(before)
    credentials.know([before, after])
    assert credentials.of(account(entra(cloud), name="renamed")) is first
    assert credentials.of(after) is not first


async def test_a_refused_client_is_a_refusal_in_the_clouds_words_without_the_secret(cloud: Cloud) -> None:
    description = "AADSTS7000215: what came was entra-secret."
    cloud.answers[ENTRA] = (401, {"error": "invalid_client", "error_description": description})
    with pytest.raises(CredentialFailed) as raised:
        await carried(entra(cloud))
    told = str(raised.value)
    assert told.startswith(f"the azure_ad login of mine: {cloud.url}/contoso/oauth2/v2.0/token answered 401, invalid_")
    assert (raised.value.refused, "entra-secret" in told) == (True, False)


@pytest.mark.parametrize(
    ("status", "answer", "refused", "told"),
    [
        (503, "busy", False, "answered 503"),
        (429, {"error": "slow_down"}, False, "answered 429, slow_down"),
        (302, "", True, "answered 302"),
        (200, "<html>", True, "answered without an access token"),
        (200, {"access_token": "t"}, True, "answered without an access token"),
        (200, {"access_token": "a\nb", "expires_in": 1}, True, "cannot stand in a header"),
    ],
)
async def test_what_is_no_token_is_no_login(cloud: Cloud, status: int, answer: Any, refused: bool, told: str) -> None:
    cloud.answers[ENTRA] = (status, answer)
    with pytest.raises(CredentialFailed, match=told) as raised:
        await carried(entra(cloud))
    assert raised.value.refused is refused


async def test_a_login_that_cannot_be_reached_is_not_a_refusal(cloud: Cloud) -> None:
    what = login("azure_ad", {"tenant": "t", "authority": "http://127.0.0.1:1"}, client_secret="entra-secret")
    with pytest.raises(CredentialFailed, match="cannot be asked") as raised:
        await carried(what)
    assert not raised.value.refused


async def test_a_machine_of_azure_logs_in_by_itself(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("azure.identity", reason="the extra azure is not installed")
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{cloud.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "of-the-machine")
    ends_at = str(int(datetime.now(UTC).timestamp()) + 3600)
    cloud.answers["GET /msi/token"] = (
        200,
        {"access_token": "managed", "expires_on": ends_at, "resource": "r", "token_type": "Bearer"},
    )
    scope = {"scope": "https://cognitiveservices.azure.com/.default"}
    assert await carried(login("azure_ad", scope)) == {b"authorization": b"Bearer managed"}
    assert cloud.asked[-1].headers["x-identity-header"] == "of-the-machine"


# --- Google Cloud ---------------------------------------------------------------------------------------------------


async def test_a_machine_of_google_asks_its_metadata_server(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", cloud.url.removeprefix("http://"))
    cloud.token(METADATA, "ya29.machine")
    assert await carried(login("google")) == {b"authorization": b"Bearer ya29.machine"}
    assert [asked.headers["metadata-flavor"] for asked in cloud.asked] == ["Google"]


def service_account(there: Cloud) -> tuple[str, bytes]:
    """A document, and the public key to its private one."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    document = {
        "type": "service_account",
        "client_email": "gateway@project.iam.gserviceaccount.com",
        "private_key_id": "k1",
        "private_key": private.decode(),
        "token_uri": f"{there.url}/token",
    }
    return json.dumps(document), public


async def test_a_service_account_signs_what_it_asks_for(cloud: Cloud, tmp_path: Path) -> None:
    jwt = pytest.importorskip("google.auth.jwt", reason="the extra google is not installed")
    document, public = service_account(cloud)
    (tmp_path / "account.json").write_text(document)
    cloud.token("POST /token", "ya29.service")
    for what in (login("google", document=document), login("google", {"file": str(tmp_path / "account.json")})):
        assert await carried(what) == {b"authorization": b"Bearer ya29.service"}
        claims = jwt.decode(cloud.asked[-1].form["assertion"], certs=public, audience=AUDIENCE)
        assert claims["iss"] == "gateway@project.iam.gserviceaccount.com"
        assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"


async def test_a_user_of_google_is_asked_for_by_the_refresh_token(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pytest.importorskip("google.oauth2.credentials", reason="the extra google is not installed")
    monkeypatch.setattr(module, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{cloud.url}/token")
    cloud.token("POST /token", "ya29.user")
    document = {
        "type": "authorized_user",
        "client_id": "c",
        "client_secret": "of-the-client",
        "refresh_token": "of-the-user",
        "quota_project_id": "payer",
    }
    found = await carried(login("google", document=json.dumps(document)))
    assert cloud.asked[-1].form["refresh_token"] == "of-the-user"
    assert found == {b"authorization": b"Bearer ya29.user", b"x-goog-user-project": b"payer"}


async def test_a_federated_identity_exchanges_its_own_token(cloud: Cloud, tmp_path: Path) -> None:
    pytest.importorskip("google.auth", reason="the extra google is not installed")
    (tmp_path / "subject").write_text("token-of-the-cluster")
    cloud.token("POST /sts", "ya29.federated")
    document = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{cloud.url}/sts",
        "credential_source": {"file": str(tmp_path / "subject")},
    }
    assert (await carried(login("google", document=json.dumps(document))))[b"authorization"] == b"Bearer ya29.federated"
    assert cloud.asked[-1].form["subject_token"] == "token-of-the-cluster"


async def test_a_refused_service_account_is_a_refusal_that_holds_nothing_of_it(cloud: Cloud) -> None:
    pytest.importorskip("google.auth", reason="the extra google is not installed")
    document, _ = service_account(cloud)
    cloud.answers["POST /token"] = (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
    with pytest.raises(CredentialFailed) as raised:
        await carried(login("google", document=document))
    assert str(raised.value) == "the google login of mine: Google grants no token: invalid_grant"
    assert raised.value.refused


async def test_a_token_server_of_google_that_cannot_be_reached_is_not_a_refusal(cloud: Cloud) -> None:
    pytest.importorskip("google.auth", reason="the extra google is not installed")
    document, _ = service_account(cloud)
    with pytest.raises(CredentialFailed, match="cannot be asked") as raised:
        await carried(login("google", document=document.replace(cloud.url, "http://127.0.0.1:1")))
    assert not raised.value.refused


@pytest.mark.parametrize(
    "document",
    ["{", "[]", '{"type": "nobody"}', '{"type": "service_account", "private_key": "secret-key"}', '{"type": 7}'],
)
async def test_what_is_no_document_is_no_login(document: str) -> None:
    pytest.importorskip("google.auth", reason="the extra google is not installed")
    with pytest.raises(CredentialFailed, match="the document is no") as raised:
        await carried(login("google", document=document))
    assert "secret-key" not in str(raised.value)


# --- AWS ------------------------------------------------------------------------------------------------------------


def credential_in(headers: dict[bytes, bytes]) -> bytes:
    return headers[b"authorization"].split(b"Credential=")[1].split(b",")[0]


async def test_keys_of_the_configuration_sign_without_any_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    what = login("aws", access_key_id="AKID", secret_access_key="aws-secret", session_token="aws-token")
    headers = await carried(what, where=BEDROCK)
    assert credential_in(headers) == b"AKID/20251124/eu-west-1/bedrock/aws4_request"
    assert headers[b"x-amz-security-token"] == b"aws-token"
    assert headers[b"x-amz-date"] == b"20251124T160000Z"


def granted(id: str, seconds: float) -> dict[str, str]:
    ends_at = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "Code": "Success",
        "AccessKeyId": id,
        "SecretAccessKey": "aws-secret",
        "Token": "aws-token",
        "Expiration": ends_at,
    }


async def test_a_container_of_aws_has_keys_that_are_fetched_anew_before_they_end(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("botocore", reason="the extra aws is not installed")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{cloud.url}/keys")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "of-the-container")
    cloud.answers["GET /keys"] = (200, granted("ASIAFIRST", 3600))
    wall, of = Clock(datetime.now(UTC).timestamp()), account(login("aws"))
    credentials = Credentials(wall)
    credentials.know([of])
    credential = credentials.of(of)
    assert credential is not None
    for _ in range(3):
        headers = dict(await credential.headers(BEDROCK, b"{}"))
        assert credential_in(headers).startswith(b"ASIAFIRST/")
    assert headers[b"x-amz-security-token"] == b"aws-token"
    assert [asked.headers["authorization"] for asked in cloud.asked] == ["of-the-container"]
    cloud.answers["GET /keys"] = (200, granted("ASIASECOND", 7200))
    wall.now += 3595
    assert credential_in(dict(await credential.headers(BEDROCK, b"{}"))).startswith(b"ASIASECOND/")


async def test_an_instance_of_aws_asks_its_metadata_server(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore", reason="the extra aws is not installed")
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", cloud.url)
    roles = "GET /latest/meta-data/iam/security-credentials/"
    cloud.answers["PUT /latest/api/token"] = (200, "session")
    cloud.answers[roles], cloud.answers[f"{roles}gateway"] = (200, "gateway"), (200, granted("ASIAINSTANCE", 3600))
    wall = Clock(datetime.now(UTC).timestamp())
    assert credential_in(await carried(login("aws"), wall, BEDROCK)).startswith(b"ASIAINSTANCE/")


async def test_a_profile_is_read_from_the_files_of_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("botocore", reason="the extra aws is not installed")
    file = tmp_path / "credentials"
    file.write_text("[ops]\naws_access_key_id = AKIAOPS\naws_secret_access_key = aws-secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    wall, of = Clock(), account(login("aws", {"profile": "ops"}))
    credentials = Credentials(wall)
    credentials.know([of])
    credential = credentials.of(of)
    assert credential is not None
    assert credential_in(dict(await credential.headers(BEDROCK, b""))).startswith(b"AKIAOPS/")
    file.write_text(file.read_text().replace("AKIAOPS", "AKIANEXT"))
    wall.now += 599
    assert credential_in(dict(await credential.headers(BEDROCK, b""))).startswith(b"AKIANEXT/"), "files are read again"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "botocore failed with ProfileNotFound"),
        ("[profile ops]\ncredential_process = /bin/sh -c 'echo a-secret >&2; exit 3'\n", "no keys from custom-process"),
        ("[profile ops]\nregion = eu-west-1\n", "botocore found no keys"),
    ],
)
async def test_a_chain_without_keys_is_a_refusal_that_repeats_nothing(
    text: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("botocore", reason="the extra aws is not installed")
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(CredentialFailed, match=told) as raised:
        await carried(login("aws", {"profile": "ops"}), where=BEDROCK)
    assert (raised.value.refused, "a-secret" in str(raised.value)) == (True, False)


# --- all ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "package", "module"),
    [
        (login("aws"), "botocore", "aws"),
        (login("google", document="{}"), "google-auth", "google_document"),
        (login("azure_ad"), "azure-identity", "azure_default"),
    ],
)
async def test_without_the_package_the_login_fails_and_says_so(
    what: Login, package: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"gateway.upstream.credentials.{module}", None)
    with pytest.raises(CredentialFailed, match=f"{package} is not installed"):
        await carried(what)


async def test_no_login_shows_what_it_holds(cloud: Cloud) -> None:
    cloud.token(ENTRA, "secret-token")
    logins = [
        account(entra(cloud)),
        account(login("aws", access_key_id="AKID-secret", secret_access_key="aws-secret")),
        account(login("google", document="doc-secret"), name="third"),
    ]
    credentials = Credentials(Clock())
    credentials.know(logins)
    credential = credentials.of(logins[0])
    assert credential is not None
    await credential.headers(WHERE, b"")
    shown = repr(credentials) + repr(logins)
    assert "secret-token" not in shown
    assert [word for word in ("entra-secret", "AKID-secret", "aws-secret", "doc-secret") if word in shown] == []
    assert "valid for 3600 s more" in repr(credentials)


def test_accounts_with_the_same_login_share_it_and_one_without_has_none(cloud: Cloud) -> None:
    credentials = Credentials(Clock())
    one, two = account(entra(cloud)), account(entra(cloud), region="us", name="two")
    east, west = account(login("aws"), "us-east-1"), account(login("aws"), "us-west-2")
    credentials.know([one, two, east, west, Account("keyed", "openai", "https://x.example")])
    assert credentials.of(one) is credentials.of(two)
    assert credentials.of(east) is not credentials.of(west)
    assert credentials.of(Account("keyed", "openai", "https://x.example")) is None
