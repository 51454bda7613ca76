"""Where keys come from: files, addresses and discovery, on real sockets; and from nowhere that was not meant."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.identity import source
from gateway.identity.keyring import Unreached
from gateway.identity.signatures import read
from gateway.identity.source import MOST, Source
from tests.credentials.cloud import Cloud, cloud
from tests.identity.issuing import document, issuer, signer
from tests.test_fetch import moved, page, site_with

KEYS = document(signer())
CONFIGURATION = "GET /realm/.well-known/openid-configuration"


@pytest.fixture(name="there")
def an_issuer() -> Iterator[Cloud]:
    with cloud() as running:
        running.answers["GET /keys"] = (200, KEYS)
        yield running


async def kids(**more: Any) -> list[str | None]:
    return [key.kid for key in (await Source(issuer(**more), read).load()).keys]


async def refused(**more: Any) -> str:
    with pytest.raises(Unreached) as raised:
        await kids(**more)
    return str(raised.value)


async def test_keys_come_from_an_address(there: Cloud) -> None:
    assert await kids(jwks=f"{there.url}/keys?p=policy", allow_private=True) == ["one"]
    (asked,) = there.asked
    assert (asked.method, asked.path, "authorization" in asked.headers) == ("GET", "/keys?p=policy", False)


async def test_keys_come_from_a_file_and_a_changed_one_counts(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(KEYS))
    where = Source(issuer(jwks=str(file)), read)
    assert [key.kid for key in (await where.load()).keys] == ["one"]
    file.write_text(json.dumps(document(signer("ES256", "two"))))
    assert [key.kid for key in (await where.load()).keys] == ["two"]
    file.write_bytes(b" " * (MOST + 1))
    assert await refused(jwks=str(file)) == f"{file} has more than {MOST} bytes"
    file.unlink()
    assert await refused(jwks=str(file)) == f"{file} cannot be read: No such file or directory"


@pytest.mark.parametrize("end", ["", "/"])
async def test_keys_are_discovered_where_the_issuer_says(there: Cloud, end: str) -> None:
    iss = f"{there.url}/realm{end}"
    there.answers[CONFIGURATION] = (200, {"issuer": iss, "jwks_uri": f"{there.url}/keys", "other": 1})
    assert await kids(issuer=iss, allow_private=True) == ["one"]
    assert [asked.path for asked in there.asked] == ["/realm/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"issuer": "https://other.example", "jwks_uri": "URL/keys"}, "is the configuration of another issuer"),
        ({"jwks_uri": "URL/keys"}, "is the configuration of another issuer"),
        ({"issuer": "URL/realm"}, "names no keys"),
        ({"issuer": "URL/realm", "jwks_uri": ["URL/keys"]}, "names no keys"),
        ("<html>", "is no configuration"),
    ],
)
async def test_what_is_discovered_is_that_issuers_own(there: Cloud, said: object, why: str) -> None:
    there.answers[CONFIGURATION] = (200, json.loads(json.dumps(said).replace("URL", there.url)))
    message = await refused(issuer=f"{there.url}/realm", allow_private=True)
    assert message == f"{there.url}/realm/.well-known/openid-configuration {why}"
    assert [asked.path for asked in there.asked] == ["/realm/.well-known/openid-configuration"]


@pytest.mark.parametrize(
    "uri", ["file:///etc/passwd", "ftp://h/keys", "https://u:p@h/keys", "keys", "https:///x", "http://["]
)
async def test_keys_are_not_discovered_elsewhere_than_at_an_address(there: Cloud, uri: str) -> None:
    there.answers[CONFIGURATION] = (200, {"issuer": f"{there.url}/realm", "jwks_uri": uri})
    message = await refused(issuer=f"{there.url}/realm", allow_private=True)
    assert "address that keys may come from" in message or "cannot be asked" in message


@pytest.mark.parametrize(
    "address",
    ["https://127.0.0.1/keys", "https://[::1]/keys", "https://169.254.169.254/keys", "https://localhost/keys"],
)
async def test_nothing_private_is_asked_unless_that_is_meant(address: str) -> None:
    assert await refused(jwks=address) == f"{address} is not on the public network"


async def test_nothing_is_asked_in_plain_unless_that_is_meant(there: Cloud) -> None:
    assert await refused(jwks=f"{there.url}/keys") == f"{there.url}/keys is no address that keys may come from"
    assert there.asked == []


async def test_a_name_that_leads_into_a_private_network_is_not_asked() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        assert (host, port) == ("login.example", 8443)
        return ["93.184.216.34", "10.0.0.7"]

    with pytest.raises(Unreached, match="is not on the public network"):
        await Source(issuer(jwks="https://login.example:8443/keys"), read, resolve=resolve).load()


async def test_who_leads_elsewhere_is_not_followed() -> None:
    async with site_with() as site:
        site.pages["/keys"] = moved(f"{site.url}/other")
        site.pages["/other"] = page(json.dumps(KEYS).encode(), "application/json")
        assert await refused(jwks=f"{site.url}/keys", allow_private=True) == f"{site.url}/keys answered 302"
        assert site.asked == ["/keys"]


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (page(b"busy", "text/plain", "503 Busy"), " answered 503"),
        (page(b"{", "application/json"), "what came is not JSON"),
        (page(b'{"keys": []}', "application/json"), "none of 0 keys can verify a signature"),
        (page(b" " * (MOST + 1), "application/json"), f" answered with more than {MOST} bytes"),
        (page(b"x", "application/json", "200 OK", "content-encoding: gzip"), " answered with something packed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx", " cannot be asked (RemoteProtocolError)"),
        (b"SSH-2.0\r\n\r\n", " cannot be asked (RemoteProtocolError)"),
    ],
)
async def test_an_answer_without_keys_is_none(reply: bytes, why: str) -> None:
    async with site_with() as site:
        site.pages["/keys"] = reply
        message = await refused(jwks=f"{site.url}/keys?secret=1", allow_private=True)
        assert message == (f"{site.url}/keys{why}" if why.startswith(" ") else why)


async def test_nobody_there_is_a_failure_that_names_the_address() -> None:
    where = "http://127.0.0.1:9/keys"
    assert await refused(jwks=where, allow_private=True) == f"{where} cannot be asked (ConnectError)"


async def test_who_never_ends_is_not_waited_for_and_does_not_hold_up_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "TIMEOUT_S", 0.2)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with site_with() as site:
        site.pages["/keys"] = drip
        began = time.monotonic()
        assert await refused(jwks=f"{site.url}/keys", allow_private=True) == "no keys within 0.2 s"
        assert time.monotonic() - began < 2.0
