"""The meaning table, and the kind of every failure we know of. Read next: ../recordings.py."""

from __future__ import annotations

import json
from collections import Counter
from typing import get_args

import pytest

from gateway.errors import Failure, FailureKind
from gateway.reliability.failures import MEANING, Meaning, classify, cooling_s, to_client
from gateway.reliability.said import Said, read
from gateway.reliability.sanitise import MAX_MESSAGE, sanitise
from tests.recordings import load, quoted

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


def failure(status: int | None, body: object = None, **headers: str) -> Failure:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return classify(status, pairs, read(raw))


def test_every_kind_has_one_row() -> None:
    assert set(MEANING) == set(get_args(FailureKind))


def test_the_table_is_the_one_we_publish() -> None:
    short = {kind: (m.same_target, m.other_target, m.cool_s, m.client_status) for kind, m in MEANING.items()}
    assert short == {
        "connect": ("once", "yes", 0, 502),
        "overloaded": ("once", "yes", 0, 503),
        "silent": ("never", "yes", 0, 504),
        "rate": ("wait", "equivalent_first", 1.0, 429),
        "quota": ("never", "yes", 900.0, 503),
        "auth": ("never", "yes", 300.0, 502),
        "context": ("never", "larger_window", None, 400),
        "filter": ("never", "no", None, 400),
        "client": ("never", "no", None, None),
        "truncated": ("once", "yes", 0, 502),
        "stall": ("never", "yes", 0, 504),
        "garbage": ("once", "yes", 0, 502),
        "rejected": ("never", "yes", None, 502),
    }


def test_only_what_a_wait_can_cure_asks_the_client_to_retry() -> None:
    def which(names: str) -> set[str]:
        return {kind for kind, m in MEANING.items() if getattr(m, names)}

    assert which("retry_s") == {"overloaded", "rate"}
    assert which("passes") == {"context", "filter", "client"}
    assert {kind for kind, m in MEANING.items() if m.cools == "account"} == {"quota", "auth"}


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (500, {}, "overloaded"),
        (502, {}, "overloaded"),
        (503, {"code": "context_length_exceeded"}, "overloaded"),
        (504, {}, "overloaded"),
        (529, {"type": "overloaded_error"}, "overloaded"),
        (408, {}, "overloaded"),
        (424, {}, "overloaded"),
        (498, {"code": "capacity_exceeded"}, "overloaded"),
        (429, {}, "rate"),
        (429, {"type": "tokens", "code": "rate_limit_exceeded"}, "rate"),
        (429, {"type": "insufficient_quota"}, "quota"),
        (429, {"code": "project_spend_limit_exceeded"}, "quota"),
        (429, {"message": "no capacity available on this server"}, "overloaded"),
        (402, {}, "quota"),
        (401, {}, "auth"),
        (403, {}, "auth"),
        (403, {"code": "content_policy_violation"}, "filter"),
        (400, {"code": "API_KEY_INVALID"}, "auth"),
        (400, {"code": "context_length_exceeded"}, "context"),
        (400, {"message": "prompt is too long: 9 tokens > 8 maximum"}, "context"),
        (413, {"message": "too many tokens"}, "context"),
        (413, {}, "client"),
        (413, {"type": "tokens", "code": "rate_limit_exceeded"}, "rate"),
        (400, {"code": "content_filter"}, "filter"),
        (400, {"code": "content_policy_violation"}, "filter"),
        (400, {"message": "Your credit balance is too low"}, "quota"),
        (400, {"type": "server_error"}, "client"),
        (400, {}, "client"),
        (404, {"code": "model_not_found"}, "client"),
        (422, {}, "client"),
        (301, {}, "garbage"),
        (700, {}, "garbage"),
        (None, {}, "overloaded"),
        (200, {"type": "server_error"}, "overloaded"),
        (200, {"code": 429}, "rate"),
        (200, {"code": 502}, "overloaded"),
        (200, {"type": "invalid_request_error"}, "client"),
        (200, {"code": "insufficient_quota"}, "quota"),
        (200, {"code": "rate_limit_exceeded", "message": "too many tokens"}, "rate"),
        (200, {"status_code": 400, "code": "tool_use_failed"}, "client"),
    ],
)
def test_status_comes_before_label_and_label_before_words(status: int | None, error: object, kind: str) -> None:
    assert failure(status, {"error": error}).kind == kind


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"message": "m", "type": "t", "param": "p", "code": "c"}}, ("m", "t", "c", "p")),
        ({"error": {"message": "m", "code": 400}}, ("m", None, "400", None)),
        ({"error": "m", "code": "c"}, ("m", None, "c", None)),
        ({"object": "error", "message": "m", "type": "t", "param": None, "code": "1300"}, ("m", "t", "1300", None)),
        ({"message": "m"}, ("m", None, None, None)),
        ({"detail": "m"}, ("m", None, None, None)),
        ([{"error": {"message": "m", "status": "UNAVAILABLE"}}], ("m", "UNAVAILABLE", None, None)),
        ("m", ("m", None, None, None)),
    ],
)
def test_an_error_is_read_in_every_shape(body: object, expected: tuple[str | None, ...]) -> None:
    said = read(json.dumps(body).encode())
    assert (said.message, said.type, said.code, said.param) == expected


@pytest.mark.parametrize("body", [b"", b"<html><h1>502</h1>", b"[]", b"[" * 5000, b"\xff\xfe", b"nope", b"{}", b"1"])
def test_a_body_that_is_no_error_object_is_still_a_failure(body: bytes) -> None:
    found = failure(502, body)
    assert (found.kind, found.status) == ("overloaded", 502)
    assert found.message
    assert "<" not in found.message


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "2"}, 2.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        ({"retry_after_ms": "0", "retry_after": "1"}, 1.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:07 GMT", "date": DATE}, 7.0),
        ({"retry_after": "Wednesday, 21-Oct-26 07:28:07 GMT", "date": DATE}, 7.0),
        ({"retry_after": "2026-10-21T07:28:07Z", "date": DATE}, 7.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": DATE}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:07 GMT"}, None),
        ({"retry_after": "86400"}, 60.0),
        ({"retry_after": "6m0s"}, 60.0),
        ({"retry_after": "17ms"}, 0.017),
        ({"retry_after": "-3"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": ""}, None),
        ({"x_ratelimit_remaining_tokens": "0", "x_ratelimit_reset_tokens": "7.66s"}, 7.66),
        ({"x_ratelimit_remaining_tokens": "5", "x_ratelimit_reset_tokens": "7.66s"}, None),
        ({"x_ratelimit_remaining_tokens": "-1", "x_ratelimit_reset_tokens": "0"}, None),
        ({"x_rate_limit_reset_tokens": "55"}, 55.0),
    ],
)
def test_retry_after_is_understood_in_every_form(headers: dict[str, str], wait: float | None) -> None:
    assert failure(429, {}, **headers).retry_after_s == wait


def test_a_date_without_a_date_of_its_own_is_measured_from_now() -> None:
    found = classify(429, [(b"Retry-After", DATE.encode())], Said(), now_unix=1792567672.0)
    assert found.retry_after_s == 8.0


@pytest.mark.parametrize(
    ("message", "wait"),
    [
        ("Please try again in 174ms. Visit", 0.174),
        ("Please try again in 6m0s.", 60.0),
        ("Please try again in 50.597s. Visit", 50.597),
        ("Try again in 55 seconds.", 55.0),
        ("Please retry after 86400 seconds", 60.0),
        ("retry in 2 minutes", 60.0),
        ("try again in a while", None),
        ("Please try again later.", None),
    ],
)
def test_a_wait_may_be_only_in_the_words(message: str, wait: float | None) -> None:
    assert failure(429, {"error": {"message": message}}).retry_after_s == wait


def test_an_error_in_bad_utf8_is_still_read() -> None:
    assert failure(429, b'{"error": {"code": "insufficient_quota", "message": "\xff"}}').kind == "quota"


def test_the_wait_of_a_google_error_is_in_its_details_and_a_long_one_is_a_quota() -> None:
    def limited(delay: str, quota: str = "PerMinute") -> tuple[str, float | None]:
        details = [{"violations": [{"quotaId": f"Requests{quota}"}]}, {"@type": "RetryInfo", "retryDelay": delay}]
        found = failure(429, {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}})
        return found.kind, found.retry_after_s

    assert limited("34.4s") == ("rate", 34.4)
    assert limited("10h17m") == ("quota", 60.0)
    assert limited("20s", "PerDay") == ("quota", 20.0)


def test_a_header_of_an_answer_that_is_fine_is_no_limit() -> None:
    assert failure(200, {"error": {"type": "server_error"}}, retry_after="3").kind == "overloaded"


SECRETS = (
    "sk-" + "a1B2" * 8,
    "sk-proj-" + "x9" * 20,
    "sk-ant-" + "api03-Q7" * 4,
    "gsk_" + "Zz09" * 8,
    "xai-" + "Zz09" * 8,
    "AIza" + "Sy0_" * 8,
    "AKIA" + "ABCD1234EFGH",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "0123456789abcdef" * 2,
    "org-Ab12Cd34Ef",
    "hf_" + "aB3" * 10,
)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("frame", ["wrong key {}.", "Bearer {} refused", "({})", "https://x.test/v1?key={}&a=1"])
def test_no_secret_survives_in_a_message(secret: str, frame: str) -> None:
    cleaned = sanitise(frame.format(secret))
    assert secret[8:] not in cleaned
    assert "[redacted]" in cleaned


def test_the_key_that_a_provider_repeats_is_taken_out_whatever_it_looks_like() -> None:
    assert sanitise("Incorrect API key provided: hunter2hunter. See the docs") == (
        "Incorrect API key provided: [redacted] See the docs"
    )


@pytest.mark.parametrize(
    "message",
    [
        "The model `gpt-4o-mini-search-preview-2025-03-11` does not exist",
        "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000",
        "Invalid 'messages[3]'. Content blocks are expected to be either text or image_url type.",
        "unsupported_parameter: api-version 2024-10-21, request req_011CZrU3xcqt5z3XzEkovTus",
        "Invalid schema for function 'get_user_preferences': user_id is required",
    ],
)
def test_ordinary_words_are_kept_as_they_are(message: str) -> None:
    assert sanitise(message) == message


def test_a_message_is_one_line_of_bounded_length() -> None:
    assert sanitise("a\r\nb\x00c") == "a b c"
    assert len(sanitise("word " * 1000)) == MAX_MESSAGE


def test_the_message_passes_only_where_it_is_about_the_request() -> None:
    error = to_client(failure(400, {"error": {"message": "stop is wrong", "type": "t", "code": "c", "param": "stop"}}))
    assert (error.status, error.type, error.code, error.param, error.message, error.should_retry) == (
        400,
        "t",
        "c",
        "stop",
        "stop is wrong",
        False,
    )


def test_a_code_that_only_repeats_the_status_is_replaced_by_a_word() -> None:
    too_long = {"message": "This endpoint's maximum context length is 8 tokens.", "code": 400}
    assert to_client(failure(400, {"error": too_long})).code == "context_length_exceeded"
    assert to_client(failure(404, {"error": {"message": "m", "code": "404"}})).code == "invalid_request"


def test_a_refusal_of_our_credentials_is_never_the_clients() -> None:
    for status in (401, 403):
        error = to_client(
            failure(status, {"error": {"message": "bad key sk-12345678", "type": "authentication_error"}})
        )
        assert (error.status, error.type, error.code, error.param) == (502, "upstream_error", "upstream_auth", None)
        assert "sk-" not in error.message


def test_a_limit_reaches_the_client_with_its_wait() -> None:
    error = to_client(failure(429, {}, retry_after="3"))
    assert (error.status, error.retry_after_s, error.should_retry) == (429, 3.0, False)
    assert to_client(failure(429, {}), retry_after_s=0.5).retry_after_s == 0.5
    assert to_client(failure(503, {})).retry_after_s == MEANING["overloaded"].retry_s
    assert to_client(failure(402, {}, retry_after="3")).retry_after_s is None


def test_a_payload_too_large_stays_413() -> None:
    assert to_client(failure(413, {})).status == 413
    assert to_client(Failure(kind="client", message="m")).status == 400


def test_a_rate_limit_cools_as_long_as_it_says() -> None:
    assert cooling_s(failure(429, {}, retry_after="30")) == 30.0
    assert cooling_s(failure(429, {})) == 1.0
    assert cooling_s(failure(401, {})) == 300.0
    assert cooling_s(failure(402, {}, retry_after="1")) == 900.0
    assert cooling_s(failure(400, {})) is None


def test_rows_compare_by_value() -> None:
    assert isinstance(MEANING["rate"], Meaning)
    assert len(set(MEANING.values())) == len(MEANING)


# What the recorded errors must come to: by status, and for a 400 or 429 by what makes it special.
BY_STATUS = {401: "auth", 403: "auth", 402: "quota", 404: "client", 413: "rate", 498: "overloaded"}
QUOTED = {
    "rate_limit": "rate",
    "quota_do_not_retry": "quota",
    "context_length": "context",
    "overloaded": "overloaded",
    "upstream_died": "overloaded",
    "content_filter": "filter",
    "too_large_for_tier": "rate",
}


def test_recorded_errors_are_of_the_kind_that_their_status_and_type_say() -> None:
    seen: Counter[str] = Counter()
    for recorded in load(api=None):
        if recorded.status < 400:
            continue
        found = classify(recorded.status, recorded.headers, read(recorded.body))
        body = recorded.body.decode().lower()
        expected = BY_STATUS.get(recorded.status, "overloaded" if recorded.status >= 500 else "client")
        if recorded.status == 400:
            marks = ("length_exceeded", "too long", "too_many", "exceeds the maximum number", "maximum context length")
            if any(mark in body for mark in marks):
                expected = "context"
            elif "api_key_invalid" in body:
                expected = "auth"
        elif recorded.status == 429:
            spent = "insufficient_quota" in body or "perday" in body
            expected = "quota" if spent else "rate"
        assert found.kind == expected, f"{recorded.id}: {found}"
        assert found.message
        seen[found.kind] += 1
    assert seen["auth"] > 10
    assert seen["client"] > 50
    assert {"rate", "quota", "context"} <= set(seen)


def test_quoted_errors_are_of_the_kind_that_people_say() -> None:
    for row in quoted():
        if row["class"] not in QUOTED or row["response_body"].startswith("exception frame"):
            continue
        body = row["response_body"]
        if row["mid_stream"]:
            body = next(line[5:] for line in body.splitlines() if line.startswith("data:"))
        headers = [(name.encode(), value.encode()) for name, value in row["response_headers"].items()]
        found = classify(row["status"], headers, read(body.encode()), in_band=row["mid_stream"])
        assert found.kind == QUOTED[row["class"]], f"{row['id']}: {found}"
        assert "org-" not in found.message
        assert "org_" not in found.message
