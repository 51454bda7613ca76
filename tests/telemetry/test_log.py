"""The log's lines."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.telemetry.log import Level, Log, scrubbed
from gateway.telemetry.writer import Writer
from gateway.types import OUTCOMES, Exchange, Secret
from tests.telemetry.exchanges import plain

SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


class Page:
    """Somewhere to write to, that can be read."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, lines: Sequence[bytes]) -> int:
        self.lines += lines
        return 0

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def logged(*exchanges: Exchange, level: Level = "info", **event: Any) -> list[dict[str, Any]]:
    page = Page()
    log = Log(page.write, level=level, clock=lambda: 1_763_712_000.0)
    for one in exchanges:
        log(one, b"")
    if event:
        log.say("event", **event)
    log.close()
    return page.read()


def test_a_request_is_one_line_with_what_an_operator_asks_first() -> None:
    assert logged(plain()) == [
        {
            "time": "2025-11-21T08:00:00.123457Z",
            "level": "info",
            "event": "request",
            "id": "0196f3a1b2c34d5e8f90a1b2c3d4e5f6",
            "caller": "team-a",
            "outcome": "ok",
            "status": 200,
            "total_ms": 2250.235,
            "overhead_ms": 0.346,
            "model": "auto",
            "route": "agents",
            "reason": "cost_optimal",
            "deployment": "gpt",
            "stream": True,
            "ttft_ms": 812.457,
            "attempts": 1,
            "input_tokens": 1200,
            "output_tokens": 340,
            "cost_micros": 5210,
            "client": "openai-python/3.52.0",
        }
    ]


def test_the_level_follows_the_outcome_and_every_outcome_has_one() -> None:
    levels = {one["outcome"]: one["level"] for one in logged(*(plain(outcome=outcome) for outcome in OUTCOMES))}
    assert levels == {
        "ok": "info",
        "fallback_ok": "warning",
        "degraded": "warning",
        "client_error": "info",
        "rate_limited": "warning",
        "budget": "warning",
        "upstream_error": "error",
        "timeout": "error",
        "cancelled": "info",
        "shed": "warning",
        "gateway_error": "error",
    }


def test_lines_below_the_level_are_not_written() -> None:
    lines = logged(plain(), plain(outcome="timeout"), level="warning", reason="quiet")
    assert [one["event"] for one in lines] == ["request"]


def test_an_event_carries_its_fields() -> None:
    assert logged(file="gateway.yaml", tries=2) == [
        {
            "time": "2025-11-21T08:00:00.000000Z",
            "level": "info",
            "event": "event",
            "file": "gateway.yaml",
            "tries": 2,
        }
    ]


def test_a_secret_is_never_written_whatever_it_comes_in() -> None:
    lines = logged(
        plain(outcome="upstream_error", message=f"Incorrect API key provided: {SECRET}."),
        key=Secret(SECRET),
        text=f"401 for {SECRET}",
        inside={"error": ValueError(f"authorization: Bearer {'abcdef0123456789' * 2}")},
        url="redis://default:hun/ter2@redis:6379/0",
        state="rediss://:hunter2@redis:6379",
    )
    written = json.dumps(lines, ensure_ascii=False)
    assert SECRET not in written
    assert "abcdef0123456789" not in written
    assert "hunter2" not in written
    assert "ter2" not in written
    assert lines[0]["message"] == "Incorrect API key provided: sk-…"
    assert lines[1]["key"] == "Secret(…)"
    assert lines[1]["state"] == "rediss://…@redis:6379"


@pytest.mark.parametrize(
    "text",
    [
        "model sk-1 is fine",
        "https://api.openai.com/v1/chat/completions",
        "a task-based-approach-to-routing",
        "skateboardingchampionships",
    ],
)
def test_what_is_no_secret_is_left_as_it_is(text: str) -> None:
    assert scrubbed(text) == text


def test_a_reader_that_is_stuck_costs_lines_and_never_time() -> None:
    stuck, released = threading.Event(), threading.Event()

    def write(lines: Sequence[bytes]) -> int:
        if lines:
            stuck.set()
            released.wait(10)
        return 0

    writer = Writer(write, bound=5, every_s=0.001)
    writer.put(b"first")
    assert stuck.wait(10)
    for _ in range(8):
        writer.put(b"more")
    assert writer.dropped == 3
    released.set()
    writer.close()


def test_lines_put_after_the_end_are_counted_as_lost() -> None:
    page = Page()
    writer = Writer(page.write)
    writer.put(b"a")
    writer.close()
    writer.put(b"b")
    assert (page.lines, writer.dropped) == ([b"a"], 1)
