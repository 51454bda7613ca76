"""What passes judge() and what does not, member by member."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.api.body import judge, tags_of
from gateway.errors import BadRequest
from tests import recordings

USER = {"role": "user", "content": "Hi"}


def refused(**members: Any) -> tuple[str | None, str | None, str]:
    """Code, param and message of the refusal of a body with these members."""
    return refused_bytes(json.dumps({"model": "auto", "messages": [USER], **members}).encode())


def refused_bytes(body: bytes) -> tuple[str | None, str | None, str]:
    with pytest.raises(BadRequest) as caught:
        judge(body)
    return caught.value.code, caught.value.param, caught.value.message


def part(**members: Any) -> list[Any]:
    return [USER, {"role": "user", "content": [{"type": "text", "text": "See:"}, {"type": "image_url", **members}]}]


def test_a_refusal_names_the_member_by_its_path() -> None:
    assert refused(messages=[USER, {"role": "king"}]) == (
        "invalid_value",
        "messages[1].role",
        "Invalid value for messages[1].role: Invalid enum value 'king'.",
    )
    assert refused(messages=[{"role": "user", "content": [{"text": "no type"}]}]) == (
        "missing_required_parameter",
        "messages[0].content[0].type",
        "Missing required parameter: messages[0].content[0].type.",
    )
    assert refused(temperature=2.5)[:2] == ("invalid_value", "temperature")
    assert refused(stream_options={"include_usage": "yes"})[:2] == ("invalid_value", "stream_options.include_usage")
    assert refused(tools=[{"type": "function"}, 7])[:2] == ("invalid_value", "tools[1]")
    assert refused(messages=[{"role": "assistant", "tool_calls": [{"function": {}}]}])[1] == (
        "messages[0].tool_calls[0].function.name"
    )


def test_a_long_or_cunning_value_is_not_echoed() -> None:
    code, param, message = refused(messages=[{"role": "x" * 100_000 + " - at `$.evil`"}])
    assert (code, param) == ("invalid_value", "messages[0].role")
    assert len(message) < 200
    assert len(refused(model="m" * 1_000_000)[2]) < 100


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","messages":[{"role":"user","content":"x"}],"model":"b"}',
        b'{"model":"a","messages":[{"role":"user","content":"x"}],"mod\\u0065l":"b"}',
        b'{"model":"a","messages":[{"role":"user","content":"x","role":"system"}]}',
        b'{"model":"a","messages":[{"role":"user","content":"\\u0022\\u0022"}],"model":"b"}',
        b'{"model":"a","messages":[{"role":"user","content":"\\\\u0022\\\\u0022"}],"model":"b"}',
        b'{"model":"a","messages":[{"role":"user","content":"x"}],"x":{"y":[{"z":1,"z":1}]}}',
        b'{"model":"a","messages":[{"role":"user","content":"x"}],"x":{"":1,"":2}}',
    ],
)
def test_a_key_that_comes_twice_is_refused_at_any_depth_and_in_any_spelling(body: bytes) -> None:
    assert refused_bytes(body)[0] == "duplicate_key"


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"model": 1e999}',
        '{"model": NaN}',
        '{"a":"\\ud800"}',
        '{"a":"\\udc00\\ud800"}',
        "1",
        "[[]]",
        '"x"',
        "\ufeff{}",
    ],
)
def test_what_is_no_chat_request_says_what_it_lacks(text: str) -> None:
    code, _, message = refused_bytes(text.encode())
    assert code in ("invalid_json", "missing_required_parameter")
    assert len(message) < 120


def test_bytes_that_are_no_utf_8_are_refused_as_such() -> None:
    for body in (b'{"a":"\xff"}', b'{"\xc3":1}', b'{"a":"\xed\xa0\x80"}'):
        assert refused_bytes(body) == ("invalid_json", None, "The request body is not valid UTF-8.")


def test_nesting_is_bounded_however_deep_and_brackets_in_text_do_not_count() -> None:
    for depth in (65, 500, 100_000):
        body = b'{"model":"a","messages":[{"role":"user"}],"x":' + b"[" * depth + b"]" * depth + b"}"
        assert refused_bytes(body)[0] == "too_deep"
    assert judge(json.dumps({"model": "a", "messages": [{"role": "user", "content": "[{" * 500}]}).encode())
    assert judge(b'{"model":"a","messages":[{"role":"user"}],"x":' + b"[" * 63 + b"]" * 63 + b"}")
    flat: list[Any] = [[] for _ in range(1000)]
    assert judge(json.dumps({"model": "a", "messages": [USER], "x": flat}).encode())["x"] == flat


@pytest.mark.parametrize("name", ["api_base", "base_url", "api_key", "extra_headers", "extra_query", "extra_body"])
def test_a_request_cannot_choose_where_it_goes(name: str) -> None:
    assert refused(**{name: "http://127.0.0.1:1"})[1] == name


@pytest.mark.parametrize(
    "url",
    """
    http://169.254.169.254/latest/meta-data http://localhost/x http://localhost./x http://LOCALHOST/ http://a.internal/
    http://127.0.0.1:8080/ http://127.1/ http://0x7f.1/ http://0177.0.0.1/ http://2130706433/ http://0/ http://[::1]/
    http://[::ffff:169.254.169.254]/ http://[::ffff:a9fe:a9fe]/ http://[fe80::1%25eth0]/ http://10.1.2.3/
    http://192.168.0.1/ http://100.64.0.1/ http://metadata/computeMetadata http://user:pw@169.254.169.254/
    http://１２７.0.0.1/ http://127。0。0。1/ https://example.com\\@169.254.169.254/ http://%31%32%37.0.0.1/
    file:///etc/passwd gopher://example.com/ ftp://example.com/x //example.com/x example.com http:///x http://[::1
    """.split(),
)
def test_a_link_into_a_private_network_is_refused(url: str) -> None:
    code, param, message = refused(messages=part(image_url={"url": url}))
    assert (code, param) == ("invalid_image_url", "messages[1].content[1].image_url")
    assert url not in message


@pytest.mark.parametrize(
    "url", [" http://10.0.0.1/", "ht\ntp://10.0.0.1/", "http://exa mple.com/", "\x00http://a.com/", 7]
)
def test_a_link_that_two_readers_could_read_differently_is_refused(url: object) -> None:
    assert refused(messages=part(image_url={"url": url}))[0] == "invalid_image_url"


def test_a_link_is_found_however_its_member_is_spelled() -> None:
    body = b'{"model":"a","messages":[{"role":"user","content":[{"type":"x","im\\u0061ge_url":"http://127.0.0.1/"}]}]}'
    assert refused_bytes(body)[0] == "invalid_image_url"
    assert refused(messages=part(video_url={"url": "file:///x"}))[0] == "invalid_video_url"
    assert refused(messages=part(file_url={"url": "file:///x"}))[0] == "invalid_file_url"
    assert judge(json.dumps({"model": "a", "messages": part(file_url={"url": "JVBERi0x/+=="})}).encode())


@pytest.mark.parametrize("url", ["gs://ours/secret.pdf", "s3://ours/secret.pdf", "http://10.0.0.1/", "file:///x", {}])
def test_a_file_is_data_or_at_a_public_address_and_never_in_the_operators_storage(url: object) -> None:
    place = "messages[1].content[1].file.file_data"
    assert refused(messages=part(file={"file_data": url}))[:2] == ("invalid_file_data", place)


@pytest.mark.parametrize(
    "data", ["data:application/pdf;base64,JVBERi0=", "JVBERi0x/+==", "https://files.test/a.pdf", None]
)
def test_a_file_may_be_data_or_an_address(data: str | None) -> None:
    assert judge(json.dumps({"model": "a", "messages": part(file={"file_data": data, "file_id": "f"})}).encode())


@pytest.mark.parametrize(
    "url",
    """
    https://example.com/cat.png?x=1#y HTTP://EXAMPLE.COM/ http://8.8.8.8/x http://bücher.example/
    data:image/png;base64,AA== DATA:image/png;base64,AA== https://example.com:8443/%20x
    """.split(),
)
def test_a_public_link_passes(url: str) -> None:
    messages = part(image_url={"url": url, "detail": "low"})
    assert judge(json.dumps({"model": "a", "messages": messages}).encode())["messages"] == messages


def test_what_real_clients_leave_empty_is_taken_as_absent() -> None:
    empty: dict[str, Any] = {"stop": [], "response_format": None, "tools": None, "stream": None, "n": None}
    body = {"model": "auto", "messages": [{"role": "assistant", "content": None}, {**USER, "content": ""}], **empty}
    assert judge(json.dumps(body).encode()) == body


def test_every_recorded_request_that_its_provider_took_is_taken() -> None:
    taken, against = 0, []
    for recorded in recordings.load():
        if recorded.request is None or recorded.status >= 400:
            continue
        body = {**recorded.request, "model": recorded.request.get("model") or "any"}
        try:
            assert judge(json.dumps(body).encode()) == body
            taken += 1
        except BadRequest as error:
            against.append((recorded.id, error.message))
    assert against == []
    assert taken > 500


# --- what is judged is what is sent -----------------------------------------------------------------------------


class NotStrict(Exception):
    """The independent reader does not take it."""


def strict(body: bytes) -> Any:
    """Python's own reader, made strict: no duplicates, no NaN, no infinity, no lone surrogates."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise NotStrict("duplicate")
        return dict(pairs)

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise NotStrict(text)
        return value

    def constant(text: str) -> float:
        raise NotStrict(text)

    try:
        text = body.decode()
        found = json.loads(text, object_pairs_hook=unique, parse_float=number, parse_constant=constant)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise NotStrict(str(error)) from error
    return found


def same(one: Any, other: Any) -> bool:
    """Equal in value, in type (1 is not 1.0 is not true) and in the sign of zero."""
    return repr(one) == repr(other)


def spelled(key: str) -> st.SearchStrategy[str]:
    """A JSON string for this text, some characters escaped as \\uXXXX."""
    return st.lists(st.booleans(), min_size=len(key), max_size=len(key)).map(
        lambda escaped: (
            '"'
            + "".join(f"\\u{ord(c):04x}" if e else json.dumps(c)[1:-1] for c, e in zip(key, escaped, strict=True))
            + '"'
        )
    )


KEYS = st.sampled_from(["model", "messages", "role", "content", "x", "", '"', "\\", "\\u0022", "api_base", "é"])
STRINGS = st.one_of(
    KEYS.flatmap(spelled),
    st.text(max_size=6).map(lambda t: json.dumps(t, ensure_ascii=False)),
    st.sampled_from(
        ['"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u0022"', '"\\\\u0022"', '"\\""', '"\\x"']
    ),
)
NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(
        """-0 -0.0 0e0 1e999 -1e999 1e-999 NaN -Infinity 01 +1 1. 1E5 0.1e1 5e-324 2.2250738585072011e-308
        18446744073709551616 -9223372036854775809 999999999999999999999999999999""".split()
    ),
)
SPACE = st.sampled_from(["", " ", "\n\t"])


def listed(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=3).map(lambda v: f"[{','.join(v)}]")


def keyed(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(KEYS.flatmap(spelled), SPACE, values, SPACE).map(lambda p: f"{p[0]}{p[1]}:{p[3]}{p[2]}{p[1]}")
    return st.lists(pair, max_size=4).map(lambda v: "{" + ",".join(v) + "}")


VALUES = st.recursive(
    st.one_of(STRINGS, NUMBERS, st.sampled_from(["true", "false", "null", "tru"])),
    lambda inner: st.one_of(listed(inner), keyed(inner)),
    max_leaves=12,
)
BODIES = st.lists(st.tuples(KEYS.flatmap(spelled), VALUES), max_size=3).map(
    lambda more: (
        '{"model":"auto","messages":[{"role":"user","content":"x"}]' + "".join(f",{k}:{v}" for k, v in more) + "}"
    )
)


@given(BODIES)
@settings(max_examples=250, deadline=None)
@example('{"model":"auto","messages":[{"role":"user","content":"x"}],"x":{"\\u0022":1,"\\"":2}}')
@example('{"model":"auto","messages":[{"role":"user","content":"\\\\u0022"}],"x":1,"x":2}')
@example('{"model":"auto","messages":[{"role":"user","content":"x"}],"x":-0.0}')
def test_what_is_judged_is_what_is_sent(body: str) -> None:
    try:
        judged = judge(body.encode())
    except BadRequest:
        return
    assert same(strict(msgspec.json.encode(judged)), strict(body.encode()))


@given(st.one_of(st.binary(max_size=60), VALUES.map(str.encode)))
@settings(max_examples=150, deadline=None)
def test_whatever_comes_is_judged_or_refused(body: bytes) -> None:
    with suppress(BadRequest):
        judge(body)


# --- tags -------------------------------------------------------------------------------------------------------


def test_tags_are_names_and_values() -> None:
    assert tags_of("team=legal, feature = search ,a.b-c_d=x=y") == {
        "team": "legal",
        "feature": "search",
        "a.b-c_d": "x=y",
    }


@pytest.mark.parametrize(
    "header", ["", "team", "=x", "Team=x", "a=", "a=b,", "a=b c", "a=\x07", "a=é", "a" * 65 + "=x", "a=" + "x" * 129]
)
def test_what_is_no_tag_is_refused(header: str) -> None:
    with pytest.raises(BadRequest, match="x-gateway-tags") as caught:
        tags_of(header)
    assert caught.value.param == "x-gateway-tags"
    assert len(caught.value.message) < 200
