"""Files that clients name by their address: fetched only where allowed, from nowhere private, and never too much."""

from __future__ import annotations

import asyncio
import base64
import gzip
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import trustme

from gateway.config.load import load_text
from gateway.errors import CannotSay, ConfigError
from gateway.providers.links import Link, inlined, links
from gateway.types import Call, Fetch
from gateway.upstream import fetch
from gateway.upstream.fetch import Fetcher
from gateway.upstream.public import addresses_of, is_public
from tests import make
from tests.gateway import Running, serving
from tests.toy import ToyProvider, spoken, toy_provider

PNG = b"\x89PNG\r\n\x1a\n..."
OPEN = Fetch(allow=True, allow_private=True, max_bytes=1000, timeout_s=2.0)
CLOSED = Fetch(allow=True, max_bytes=1000, timeout_s=2.0)
REACHED = "its host cannot be reached on the public network"


class Site:
    """A web server that answers by path, as it is told, and says what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        self.heads: list[bytes] = []
        self.pages: dict[str, bytes | Callable[[asyncio.StreamWriter], Any]] = {
            "/png": page(PNG, "image/png"),
            "/txt": page(b"hello", "text/plain; charset=utf-8"),
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split()[1].decode()
            self.asked.append(path)
            self.heads.append(head.lower())
            reply = self.pages[path.partition("?")[0]]
            if isinstance(reply, bytes):
                writer.write(reply)
            else:
                await reply(writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def page(body: bytes, kind: str, status: str = "200 OK", *more: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *more]
    return "\r\n".join([*head, "", ""]).encode() + body


def moved(to: str) -> bytes:
    return page(b"", "text/html", "302 Found", f"location: {to}")


@asynccontextmanager
async def site_with(context: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=context)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with site_with() as running:
        yield running


@pytest.fixture
def reachable(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules are those of the public network, of which 127.0.0.1 is the only address; it is spoken to in plain."""

    def pinned(url: httpx2.URL, address: str, headers: dict[str, str]) -> httpx2.Request:
        assert address == "127.0.0.1"
        return httpx2.Request("GET", f"{site.url}{url.raw_path.decode()}", headers=headers)

    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(fetch, "pinned", pinned)


async def names(host: str, port: int) -> list[str]:
    """A resolver: what ends in .test is public, all else is what it is."""
    return ["127.0.0.1"] if host.endswith(".test") else await addresses_of(host, port)


def picture(*urls: str) -> Call:
    parts = [{"type": "image_url", "image_url": {"url": url, "detail": "low"}} for url in urls]
    return make.call(fields={"messages": [{"role": "user", "content": parts}]})


def document(url: str) -> Call:
    part = {"type": "file", "file": {"file_data": url, "filename": "f"}}
    return make.call(fields={"messages": [{"role": "tool", "tool_call_id": "c", "content": [part]}]})


def data(kind: str, body: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(body).decode()}"


async def why(call: Call, rules: Fetch = OPEN, **more: Any) -> str:
    """Why it was not fetched."""
    with pytest.raises(CannotSay) as refused:
        await Fetcher(rules, **{"resolve": names, **more}).inline(call, {}, 10.0)
    assert (refused.value.code, refused.value.param, refused.value.status) == ("url_not_fetched", "messages", 400)
    return refused.value.message.partition(" was not fetched")[2].removeprefix(": ")


async def test_addresses_become_data_and_all_else_stays(site: Site) -> None:
    known: dict[str, str] = {}
    call = picture(f"{site.url}/png", "data:image/gif;base64,AAAA", f"{site.url}/png")
    got = await Fetcher(OPEN).inline(call, known, 10.0)
    png = {"type": "image_url", "image_url": {"url": data("image/png", PNG), "detail": "low"}}
    assert got.fields["messages"][0]["content"] == [png, call.fields["messages"][0]["content"][1], png]
    assert (site.asked, known) == (["/png"], {f"{site.url}/png": data("image/png", PNG)})
    await Fetcher(OPEN).inline(call, known, 10.0)
    assert site.asked == ["/png"]


async def test_a_document_is_fetched_wherever_it_stands(site: Site) -> None:
    got = await Fetcher(OPEN).inline(document(f"{site.url}/txt?x=1"), {}, 10.0)
    assert got.fields["messages"][0]["content"][0]["file"] == {
        "file_data": data("text/plain", b"hello"),
        "filename": "f",
    }
    assert site.asked == ["/txt?x=1"]


async def test_nothing_of_ours_goes_along(site: Site) -> None:
    await Fetcher(OPEN).inline(picture(f"{site.url}/png"), {}, 10.0)
    (head,) = site.heads
    sent = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:-2]]
    assert sorted(sent) == [b"accept", b"accept-encoding", b"host", b"user-agent"]
    assert b"accept-encoding: identity" in head
    assert f"host: 127.0.0.1:{site.port}\r\n".encode() in head


async def test_the_certificate_is_the_named_hosts_though_the_address_was_looked_up_before() -> None:
    ca = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    ca.issue_cert("files.test").configure_cert(server)
    ca.configure_trust(client)
    asked: list[str] = []
    server.sni_callback = lambda _, name, __: asked.append(name)
    async with site_with(server) as site:
        fetcher = Fetcher(OPEN, resolve=names, context=client)
        got = await fetcher.inline(picture(f"https://files.test:{site.port}/png"), {}, 10.0)
        assert data("image/png", PNG) in str(got.fields)
        assert (asked, site.asked) == (["files.test"], ["/png"])
        assert f"host: files.test:{site.port}\r\n".encode() in site.heads[0]
        url = f"https://others.test:{site.port}/png"
        assert await why(picture(url), context=client) == f"{REACHED}."
        assert site.asked == ["/png"]


async def test_a_redirect_is_followed_thrice(site: Site) -> None:
    site.pages |= {"/1": moved("/2"), "/2": moved(f"{site.url}/3"), "/3": moved("png"), "/0": moved("1")}
    await Fetcher(OPEN).inline(picture(f"{site.url}/1"), {}, 10.0)
    assert site.asked == ["/1", "/2", "/3", "/png"]
    assert await why(picture(f"{site.url}/0")) == "it leads elsewhere more than 3 times."


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize(
    ("to", "because"),
    [
        ("https://127.0.0.2/", REACHED),
        ("https://169.254.169.254/latest/meta-data", REACHED),
        ("https://[::1]/", REACHED),
        ("https://[::ffff:127.0.0.1]/", REACHED),
        ("https://2130706434/", REACHED),
        ("https://0x7f.2/", REACHED),
        ("http://files.test/png", "only https is fetched"),
        ("http://169.254.169.254/", "only https is fetched"),
        ("file:///etc/passwd", "only https is fetched"),
        ("https://files.test:8443/png", "it names a port of its own"),
        ("https://user:secret@files.test/png", "it holds a user name or password"),
    ],
)
async def test_no_redirect_leads_where_nothing_may_be_asked(site: Site, to: str, because: str) -> None:
    site.pages["/moved"] = moved(to)
    assert await why(picture("https://files.test/moved"), CLOSED) == f"{because}."
    assert site.asked == ["/moved"]
    assert await why(picture(to), CLOSED) == f"{because}." if to[:4] == "http" else True
    assert site.asked == ["/moved"]


@pytest.mark.usefixtures("reachable")
async def test_a_name_is_looked_up_once_and_what_it_means_later_does_not_count(site: Site) -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[str]:
        return answers.pop(0)

    await Fetcher(CLOSED, resolve=rebinding).inline(picture("https://files.test/png"), {}, 10.0)
    assert answers == [["10.0.0.1"]]
    assert await why(picture("https://files.test/png"), CLOSED, resolve=rebinding) == f"{REACHED}."
    assert site.asked == ["/png"]


@pytest.mark.usefixtures("reachable")
async def test_one_private_address_among_public_ones_is_too_many(site: Site) -> None:
    async def both(host: str, port: int) -> list[str]:
        return ["127.0.0.1", "10.0.0.1"]

    assert await why(picture("https://files.test/png"), CLOSED, resolve=both) == f"{REACHED}."
    assert site.asked == []


async def test_a_host_that_does_not_answer_at_one_address_is_asked_at_another(site: Site) -> None:
    async def both(host: str, port: int) -> list[str]:
        return ["127.0.0.9", "127.0.0.1"]

    await Fetcher(OPEN, resolve=both).inline(picture(f"http://files.test:{site.port}/png"), {}, 10.0)
    assert site.asked == ["/png"]


async def test_an_unknown_host_is_no_more_than_one_that_cannot_be_reached() -> None:
    async def nobody(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    assert await why(picture("https://nobody.test/"), resolve=nobody) == f"{REACHED}."
    assert await why(picture("http://127.0.0.1:1/")) == f"{REACHED}."
    assert await why(picture("http://a.test:port/")) == "it is not a valid URL."
    assert await why(picture("http://")) == "it is not a valid URL."


@pytest.mark.usefixtures("reachable")
async def test_only_listed_hosts_are_asked_where_there_is_a_list(site: Site) -> None:
    rules = Fetch(allow=True, hosts=frozenset({"files.test", "*.cdn.test"}))
    for host in ("files.test", "FILES.test", "files.test.", "a.cdn.test", "a.b.cdn.test"):
        await Fetcher(rules, resolve=all_public).inline(picture(f"https://{host}/png"), {}, 10.0)
    site.pages["/away"] = moved("https://evil.test/png")
    asked = len(site.asked)
    for url in ("https://evil.test/png", "https://cdn.test/png", "https://xcdn.test/png", "https://files.test/away"):
        assert await why(picture(url), rules) == "its host is not among those that the operator allows."
    assert site.asked[asked:] == ["/away"]


async def all_public(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n")
    while True:
        writer.write(b"x" * 10_000)
        await writer.drain()


async def slow(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 900\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def mute(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def test_what_is_too_large_is_left_whether_it_says_so_or_not(site: Site) -> None:
    limit = "the files of the request are larger than 1000 bytes."
    site.pages |= {
        "/endless": endless,
        "/large": page(b"x" * 1001, "image/png"),
        "/just": page(b"x" * 1000, "image/png"),
    }
    assert await why(picture(f"{site.url}/endless")) == limit
    assert await why(picture(f"{site.url}/large")) == limit
    await Fetcher(OPEN).inline(picture(f"{site.url}/just"), {}, 10.0)
    assert await why(picture(f"{site.url}/just", f"{site.url}/png")) == limit


@pytest.mark.parametrize("reply", [slow, mute])
async def test_what_takes_too_long_is_left(site: Site, reply: Callable[[asyncio.StreamWriter], Any]) -> None:
    site.pages["/slow"] = reply
    assert (
        await why(picture(f"{site.url}/slow"), Fetch(allow=True, allow_private=True, timeout_s=0.1)) == " within 0.1 s."
    )
    with pytest.raises(CannotSay, match=r"within 0\.05 s"):
        await Fetcher(OPEN).inline(picture(f"{site.url}/slow"), {}, 0.05)


@pytest.mark.parametrize(
    ("reply", "because"),
    [
        (page(b"<html>", "text/html"), "it is no picture."),
        (page(b"%PDF", "application/pdf"), "it is no picture."),
        (page(b"x", "image/png\x00"), f"{REACHED}."),
        (page(b"x", "image/../x"), "it is no picture."),
        (
            page(gzip.compress(b"0" * 10_000_000), "image/png", "200 OK", "content-encoding: gzip"),
            "the answer is packed.",
        ),
        (page(b"", "image/png"), "it is empty."),
        (page(b"no", "image/png", "404 Not Found"), "the answer was 404."),
        (page(b"no", "image/png", "206 Partial Content"), "the answer was 206."),
        (b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 100\r\n\r\nxx", f"{REACHED}."),
        (b"SSH-2.0-OpenSSH_9.6\r\n", f"{REACHED}."),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000, f"{REACHED}."),
    ],
)
async def test_what_is_no_file_is_not_taken(site: Site, reply: bytes, because: str) -> None:
    site.pages["/x"] = reply
    assert await why(picture(f"{site.url}/x")) == because


async def test_a_document_is_a_picture_a_pdf_or_plain_text(site: Site) -> None:
    site.pages |= {"/pdf": page(b"%PDF", "application/PDF"), "/html": page(b"<html>", "text/html")}
    for path in ("/pdf", "/txt", "/png"):
        await Fetcher(OPEN).inline(document(f"{site.url}{path}"), {}, 10.0)
    assert await why(document(f"{site.url}/html")) == "it is neither a picture nor a PDF nor plain text."


async def test_four_are_fetched_beside_each_other_and_twenty_at_most(site: Site) -> None:
    under_way = most = 0

    async def counted(writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        writer.write(page(PNG, "image/png"))

    site.pages["/p"] = counted
    await Fetcher(OPEN).inline(picture(*[f"{site.url}/p?{n}" for n in range(20)]), {}, 10.0)
    assert (len(site.asked), most) == (20, 4)
    with pytest.raises(CannotSay, match="names 21 files"):
        await Fetcher(OPEN).inline(picture(*[f"{site.url}/p?{n}" for n in range(21)]), {}, 10.0)
    assert len(site.asked) == 20


async def test_what_may_be_secret_in_an_address_is_not_told() -> None:
    with pytest.raises(CannotSay) as refused:
        await Fetcher(OPEN).inline(picture("http://127.0.0.1:1/a?signature=hunter2#hunter2"), {}, 10.0)
    assert refused.value.message == f"'http://127.0.0.1:1/a' was not fetched: {REACHED}."


@pytest.mark.parametrize(
    "address",
    """0.0.0.0 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.255 168.63.129.16 169.254.169.254 172.16.0.1
    192.0.0.192 192.168.1.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1
    ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 2002:7f00:1:: 2002:c0a8:101::1 2002:808:808::1 2001:0:7f00:1::
    2001:20::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 2001:db8::1 64:ff9b:1::808:808
     localhost""".split(),
)
def test_an_address_that_is_not_public_is_known_in_every_form(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_public_in_every_form(address: str) -> None:
    assert is_public(address)


def test_links_are_what_stands_where_files_stand() -> None:
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "https://a.test/"},
        {"type": "image_url", "image_url": "HTTPS://a.test/1"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aHR0cA=="}},
        {"type": "file", "file": {"file_id": "http-1"}},
        {"type": "file", "file": {"file_data": "http://a.test/2"}},
        {"type": "input_audio", "input_audio": {"data": "http"}},
        {"type": "image_url"},
    ]
    fields = {"messages": [{"role": "user", "content": parts}, {"role": "user", "content": "https://a.test/3"}]}
    assert links(fields) == [Link("HTTPS://a.test/1", True), Link("http://a.test/2", False)]
    got = inlined(fields, {"HTTPS://a.test/1": "data:x"})["messages"]
    assert got[0]["content"] == [parts[0], {"type": "image_url", "image_url": {"url": "data:x"}}, *parts[2:]]
    assert got[1] is fields["messages"][1]
    assert parts[1]["image_url"] == "HTTPS://a.test/1"


# --- in the gateway ---------------------------------------------------------------------------------------------


def world_of(provider: ToyProvider, rules: str) -> Any:
    return load_text(
        f"providers: {{toy: {{kind: toy, base_url: {provider.url}, allow_private: true}}}}\n"
        "deployments: {t: {provider: toy, model: toy-model, price: {input: 1, output: 2}}}\n"
        f"{rules}\n",
        {},
    )


@asynccontextmanager
async def gateway_with(rules: str) -> AsyncIterator[tuple[Running, ToyProvider]]:
    with spoken(inlines=True):
        async with toy_provider() as provider, serving(world_of(provider, rules)) as gateway:
            yield gateway, provider


def asking(url: str, **more: Any) -> Any:
    return {"model": "t", "messages": picture(url).fields["messages"], **more}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_takes_bytes_gets_them(site: Site, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(
        "gateway.upstream.fetch.pinned", lambda url, address, headers: httpx2.Request("GET", f"{site.url}/png")
    )
    monkeypatch.setattr("gateway.upstream.targets.Fetcher", lambda rules: Fetcher(rules, resolve=names))
    async with gateway_with("fetch: {allow: on}") as (gateway, provider):
        answer = await gateway.chat(asking("https://files.test/png", stream=stream))
        assert answer.status_code == 200
        assert provider.requests[0]["turns"][0]["blocks"] == [
            {"bytes": base64.b64encode(PNG).decode(), "type": "image/png"}
        ]


async def test_calls_beside_each_other_for_several_choices_fetch_a_file_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def pinned(url: httpx2.URL, address: str, headers: dict[str, str]) -> httpx2.Request:
        asked.append(url.path)
        return httpx2.Request("GET", f"{site.url}/png")

    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr("gateway.upstream.fetch.pinned", pinned)
    monkeypatch.setattr("gateway.upstream.targets.Fetcher", lambda rules: Fetcher(rules, resolve=names))
    async with gateway_with("fetch: {allow: on}") as (gateway, provider):
        answer = await gateway.chat(asking("https://files.test/png", n=5))
    assert answer.status_code == 200
    assert (asked, len(provider.requests)) == (["/png"], 5)


async def test_what_cannot_be_fetched_is_the_clients_to_know_and_no_fault_of_the_providers(site: Site) -> None:
    async with gateway_with("fetch: {allow: on}") as (gateway, provider):
        for _ in range(5):
            answer = await gateway.chat(asking("https://nobody.invalid/png"))
            assert (answer.status_code, answer.json()["error"]) == (
                400,
                {
                    "message": f"'https://nobody.invalid/png' was not fetched: {REACHED}.",
                    "type": "invalid_request_error",
                    "param": "messages",
                    "code": "url_not_fetched",
                },
            )
        assert provider.requests == []
        assert (await gateway.chat()).status_code == 200


async def test_nothing_is_fetched_unless_the_operator_says_so(site: Site) -> None:
    async with gateway_with("") as (gateway, _):
        answer = await gateway.chat(asking("https://files.test/png"))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_parameter")
        assert site.asked == []


@pytest.mark.parametrize(
    "host", ["https://example.com", "example.com/x", "*", "a*.example.com", "user@example.com", ""]
)
def test_a_host_that_is_none_is_found_by_the_check(host: str) -> None:
    with spoken(), pytest.raises(ConfigError, match=r"is no host|hosts"):
        load_text(f"deployments: {{}}\nfetch: {{allow: on, hosts: ['{host}']}}\n", {})
