"""The table of bad input: what is sent, byte for byte, and what must come back. Read next: test_table.py."""

from __future__ import annotations

import gzip
from typing import Final

from msgspec import Struct

from tests.bad_input.wire import chat, head

__all__ = ["ROWS", "Row"]

MiB: Final = 1024 * 1024
MESSAGES: Final = b'"messages":[{"role":"user","content":"Hi"}]'
GOOD: Final = b'{"model":"auto",' + MESSAGES + b"}"
JSON: Final = "Content-Type: application/json"
LENGTH: Final = f"Content-Length: {len(GOOD)}"


class Row(Struct, frozen=True):
    """One bad request. ``record`` says whether its head was accepted by the chat path, so that it leaves a record.

    ``broken``: it was, but what followed was no HTTP any more; the record can only say that no request came of it.
    """

    name: str
    sent: tuple[bytes, ...]
    status: int
    code: str
    param: str | None = None
    record: bool = True
    broken: bool = False
    method: str = "POST"


def body(name: str, data: bytes, code: str = "invalid_json", param: str | None = None, status: int = 400) -> Row:
    """A chat request with this body."""
    return Row(name, (chat(data),), status, code, param)


def member(name: str, text: str, param: str, code: str = "invalid_value") -> Row:
    """A chat request that would be good but for this member."""
    return body(name, b'{"model":"auto",' + MESSAGES + b"," + text.encode() + b"}", code, param)


def messages(name: str, text: str, param: str, code: str = "invalid_value") -> Row:
    """A chat request with these messages."""
    return body(name, b'{"model":"auto","messages":' + text.encode() + b"}", code, param)


def model(name: str, text: str, status: int = 404, code: str = "model_not_found") -> Row:
    """A chat request for this model."""
    return body(name, b'{"model":' + text.encode() + b"," + MESSAGES + b"}", code, "model", status)


def image(name: str, url: str) -> Row:
    """A chat request with a picture that is somewhere."""
    part = '{"type":"image_url","image_url":{"url":"' + url + '"}}'
    place = "messages[0].content[0].image_url"
    return messages(name, '[{"role":"user","content":[' + part + "]}]", place, "invalid_image_url")


def post(name: str, *lines: str, status: int, code: str, data: bytes = GOOD, param: str | None = None) -> Row:
    """A chat request with exactly these headers beside Host."""
    return Row(name, (head(*lines) + data,), status, code, param)


def raw(name: str, *sent: bytes, status: int = 400, code: str = "invalid_http", broken: bool = False) -> Row:
    """Bytes that end before any handler sees a request."""
    return Row(name, sent, status, code, record=broken, broken=broken)


def other(
    name: str, method: str, path: str, status: int = 404, code: str = "not_found", param: str | None = None
) -> Row:
    """A request to another address, or with another method."""
    return Row(name, (head(method=method, path=path),), status, code, param, record=False, method=method)


def nested(depth: int) -> bytes:
    return b'{"model":"auto",' + MESSAGES + b',"x":' + b"[" * depth + b"]" * depth + b"}"


def chunked(size: int) -> bytes:
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    return head(JSON, "Transfer-Encoding: chunked") + piece * (size // 0x10000) + b"0\r\n\r\n"


BODIES: Final = (
    body("empty", b""),
    body("a brace", b"{"),
    body("spaces", b"   \r\n"),
    body("data after the end", GOOD + b" x"),
    body("two documents", GOOD + GOOD),
    body("a trailing comma", b'{"model":"auto",}'),
    body("a list", b"[]"),
    body("null", b"null"),
    body("a number", b"7"),
    body("a text", b'"hi"'),
    body("UTF-16", GOOD.decode().encode("utf-16")),
    body("a byte order mark", b"\xef\xbb\xbf" + GOOD),
    body("no UTF-8", GOOD.replace(b"Hi", b"\xff\xfe")),
    body("UTF-8 of a surrogate", GOOD.replace(b"Hi", b"\xed\xa0\x80")),
    body("NUL in a text", GOOD.replace(b"Hi", b"\x00")),
    body("XML", b"<chat><model>auto</model></chat>"),
    body("a form", b"model=auto&messages=hi"),
    body("a lone surrogate", GOOD.replace(b"Hi", b"\\ud800")),
    body("surrogates in the wrong order", GOOD.replace(b"Hi", b"\\udc00\\ud800")),
    body("nested 65 deep", nested(65), "too_deep"),
    body("nested 1000 deep", nested(1000), "too_deep"),
    body("nested 100000 deep", nested(100_000), "too_deep"),
    body("never closed", b"[" * 100_000, "too_deep"),
    body("an integer of 5000 digits", GOOD[:-1] + b',"seed":' + b"9" * 5000 + b"}"),
    body("an integer of 1000000 digits", GOOD[:-1] + b',"seed":' + b"9" * 1_000_000 + b"}"),
    body("no model", b"{" + MESSAGES + b"}", "missing_required_parameter", "model"),
    body("no messages", b'{"model":"auto"}', "missing_required_parameter", "messages"),
    body("model twice", GOOD[:-1] + b',"model":"b"}', "duplicate_key", "model"),
    body("model twice, once escaped", GOOD[:-1] + b',"mod\\u0065l":"b"}', "duplicate_key", "model"),
    body("a key twice, deep down", GOOD[:-1] + b',"x":[{"y":{"z":1,"z":2}}]}', "duplicate_key", "z"),
    model("model null", "null", 400, "invalid_value"),
    model("model a number", "5", 400, "invalid_value"),
    model("model empty", '""', 400, "invalid_value"),
    model("model of a megabyte", f'"{"m" * MiB}"', 400, "invalid_value"),
    model("model unknown", '"gpt-nine"'),
    model("model a path", '"../../etc/passwd"'),
    model("model with line breaks", '"a\\r\\nx-injected: 1"'),
    model("model with NUL", '"a\\u0000b"'),
    model("model a deployment with a space", '"a "'),
    messages("messages empty", "[]", "messages"),
    messages("messages a text", '"hi"', "messages"),
    messages("messages an object", "{}", "messages"),
    messages("a message that is a number", "[1]", "messages[0]"),
    messages("an unknown role", '[{"role":"king","content":"x"}]', "messages[0].role"),
    messages("a role of a megabyte", '[{"role":"' + "r" * MiB + '"}]', "messages[0].role"),
    messages("content a number", '[{"role":"user","content":5}]', "messages[0].content"),
    messages(
        "a content part without a type",
        '[{"role":"user","content":[{}]}]',
        "messages[0].content[0].type",
        "missing_required_parameter",
    ),
    messages(
        "a hundred thousand messages", "[" + ",".join(['{"role":"user","content":"x"}'] * 100_000) + "]", "messages"
    ),
    body("temperature NaN", GOOD[:-1] + b',"temperature":NaN}'),
    body("temperature 1e999", GOOD[:-1] + b',"temperature":1e999}'),
    member("temperature below", '"temperature":-1', "temperature"),
    member("temperature above", '"temperature":2.1', "temperature"),
    member("max_tokens negative", '"max_tokens":-1', "max_tokens"),
    member("max_tokens true", '"max_tokens":true', "max_tokens"),
    member("max_tokens a text", '"max_tokens":"10"', "max_tokens"),
    member("max_tokens 1e18", '"max_tokens":1e18', "max_tokens"),
    member("max_completion_tokens of 10^18", '"max_completion_tokens":1000000000000000000', "max_completion_tokens"),
    member("n 100000", '"n":100000', "n"),
    member("n 0", '"n":0', "n"),
    member("stream a text", '"stream":"yes"', "stream"),
    member("stream_options a text", '"stream_options":"all"', "stream_options"),
    member("tools garbage", '"tools":"hammer"', "tools"),
    member("tools of garbage", '"tools":[[]]', "tools[0]"),
    member("response_format a text", '"response_format":"json"', "response_format"),
    member("stop of numbers", '"stop":[1]', "stop[0]"),
    member("top_logprobs 21", '"top_logprobs":21', "top_logprobs"),
    member("metadata a list", '"metadata":[]', "metadata"),
    member("api_base", '"api_base":"http://127.0.0.1:1"', "api_base", "invalid_request"),
    member("base_url", '"base_url":"http://127.0.0.1:1"', "base_url", "invalid_request"),
    member("api_key", '"api_key":"sk-x"', "api_key", "invalid_request"),
    member("extra_headers", '"extra_headers":{"a":"b"}', "extra_headers", "invalid_request"),
    member("extra_body, escaped", '"extra\\u005fbody":{"a":"b"}', "extra_body", "invalid_request"),
    image("a picture at a cloud's metadata", "http://169.254.169.254/latest/meta-data/"),
    image("a picture in a file", "file:///etc/passwd"),
    image("a picture at home", "http://localhost:8080/"),
    image("a picture behind a backslash", "http://example.com\\\\@169.254.169.254/"),
    image("a picture at a number", "http://2130706433/"),
)

HEADS: Final = (
    post("no content type", LENGTH, status=415, code="unsupported_media_type"),
    post(
        "a form's content type",
        "Content-Type: application/x-www-form-urlencoded",
        LENGTH,
        status=415,
        code="unsupported_media_type",
    ),
    post("a page's content type", "Content-Type: text/plain", LENGTH, status=415, code="unsupported_media_type"),
    Row("gzip", (chat(gzip.compress(GOOD), "Content-Encoding: gzip"),), 415, "unsupported_media_type"),
    Row(
        "a gzip bomb", (chat(gzip.compress(b" " * 64 * MiB), "Content-Encoding: gzip"),), 415, "unsupported_media_type"
    ),
    post("20 MiB announced", JSON, f"Content-Length: {20 * MiB}", data=b"", status=413, code="payload_too_large"),
    post("an exabyte announced", JSON, f"Content-Length: {10**18}", data=b"", status=413, code="payload_too_large"),
    Row("20 MiB", (chat(b" " * 20 * MiB),), 413, "payload_too_large"),
    Row("11 MiB in chunks", (chunked(11 * MiB),), 413, "payload_too_large"),
    post(
        "tags that are none",
        JSON,
        LENGTH,
        "x-gateway-tags: team",
        status=400,
        code="invalid_request",
        param="x-gateway-tags",
    ),
)

WIRE: Final = (
    raw("no HTTP", b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    raw("TLS to a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64))),
    raw("HTTP/2 at once", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    raw("HTTP/0.9", b"GET /\r\n\r\n", code="invalid_host"),
    raw("HTTP/3.0", head(version="3.0")),
    raw("an unknown method", head(method="BREW")),
    raw("CONNECT", head(method="CONNECT", path="example.com:443"), code="upgrade_not_supported"),
    raw("an upgrade", head("Connection: Upgrade", "Upgrade: h2c", JSON, LENGTH) + GOOD, code="upgrade_not_supported"),
    raw(
        "a websocket",
        head("Connection: Upgrade", "Upgrade: websocket", method="GET", path="/"),
        code="upgrade_not_supported",
    ),
    raw("a URL of 100 KB", head(path="/" + "a" * 100_000), status=414, code="uri_too_long"),
    raw("a query of 100 KB", head(path="/v1/models?" + "a" * 100_000, method="GET"), status=414, code="uri_too_long"),
    raw("a header of a megabyte", head("x-big: " + "a" * MiB), status=431, code="headers_too_large"),
    raw(
        "a header of a megabyte in pieces",
        head("x-big: " + "a" * 20_000)[:-4],
        *[b"a" * 20_000] * 10,
        status=431,
        code="headers_too_large",
    ),
    raw("33 KB of headers", head(*[f"x-{n}: " + "a" * 1000 for n in range(33)]), status=431, code="headers_too_large"),
    raw("5000 headers", head(*[f"x-{n}: 1" for n in range(5000)]), status=431, code="headers_too_large"),
    raw("101 headers", head(*[f"x-{n}: 1" for n in range(100)]), status=431, code="headers_too_large"),
    raw(
        "trailers without end",
        head(JSON, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\nx-trailer: ",
        *[b"a" * 40_000] * 10,
        status=431,
        broken=True,
        code="headers_too_large",
    ),
    raw("length and chunks", head(JSON, LENGTH, "Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    raw("chunks and length", head(JSON, "Transfer-Encoding: chunked", LENGTH) + b"0\r\n\r\n"),
    raw("two lengths", head(JSON, LENGTH, "Content-Length: 7") + GOOD),
    raw("two equal lengths", head(JSON, LENGTH, LENGTH) + GOOD),
    raw("a list of lengths", head(JSON, f"{LENGTH}, {len(GOOD)}") + GOOD),
    raw("length +7", head(JSON, "Content-Length: +7") + GOOD),
    raw("length -1", head(JSON, "Content-Length: -1") + GOOD),
    raw("length 0x10", head(JSON, "Content-Length: 0x10") + GOOD),
    raw("length beyond 64 bits", head(JSON, f"Content-Length: {2**64 + 1}") + GOOD),
    raw("an unknown transfer coding", head(JSON, "Transfer-Encoding: gzip") + GOOD, broken=True),
    raw("chunked, but not last", head(JSON, "Transfer-Encoding: chunked, identity") + b"0\r\n\r\n"),
    raw("bare line feeds", head(JSON, LENGTH).replace(b"\r\n", b"\n") + GOOD),
    raw("a bare carriage return", head("x-a: 1\rx-b: 2")),
    raw("a folded header", head("x-a: 1\r\n folded")),
    raw("a space before the colon", head("x-a : 1")),
    raw("a header without a name", head(": 1")),
    raw("a header without a colon", head("x-a")),
    raw("NUL in a header", head("x-a: 1\x002")),
    raw("a space in the URL", head(path="/v1/ chat")),
    raw("no Host", head(host=None), code="invalid_host"),
    raw("two Hosts", head("Host: y"), code="invalid_host"),
    raw("an empty Host", head(host=""), code="invalid_host"),
    raw("a Host with a path", head(host="a/..?x#y"), code="invalid_host"),
    raw("a Host with a user", head(host="a@b"), code="invalid_host"),
    raw("a Host of 1 KB", head(host="h" * 1024), code="invalid_host"),
)

OTHERS: Final = (
    other("metrics", "GET", "/metrics"),
    other("administration", "GET", "/admin/decisions"),
    other("a reload", "POST", "/admin/config/reload"),
    other("documentation", "GET", "/docs"),
    other("the OpenAPI document", "GET", "/openapi.json"),
    other("a path outside", "GET", "/v1/../../etc/passwd"),
    other("an escaped path outside", "GET", "/%2e%2e/%2e%2e/etc/passwd"),
    other("a path with NUL", "GET", "/v1/%00"),
    other("an absolute URL elsewhere", "GET", "http://169.254.169.254/latest/meta-data"),
    other("no such model", "GET", "/v1/models/gpt-nine", code="model_not_found", param="model"),
    other("no such model, escaped", "GET", "/v1/models/%0d%0ax-injected:%201"),
    other("chat with GET", "GET", "/v1/chat/completions", 405, "method_not_allowed"),
    other("chat with DELETE", "DELETE", "/v1/chat/completions", 405, "method_not_allowed"),
    other("chat with a stray slash", "POST", "/v1/chat/completions/"),
    other("models with POST", "POST", "/v1/models", 405, "method_not_allowed"),
    other("a health with a stray slash", "GET", "/healthz/"),
    other("an unknown path", "POST", "/v1/completions"),
    other("TRACE", "TRACE", "/v1/models", 405, "method_not_allowed"),
)

ROWS: Final = (*BODIES, *HEADS, *WIRE, *OTHERS)
