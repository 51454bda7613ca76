"""The judge of the wall: known endings get the verdict they must, and are read as OpenAI's SDK reads them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest
from msgspec.structs import replace

from gateway.testing.faults import Fault, InBandError, NoFinish
from gateway.testing.script import Script
from gateway.testing.server import SimulatedProvider
from gateway.testing.wall.caller import Caller, body
from gateway.testing.wall.judge import Verdict, judge
from gateway.testing.wall.reading import Events, Reading
from gateway.testing.wall.scenarios import PROFILES, SCENARIOS, TEXT, Scenario, Series
from gateway.testing.wall.seen import Heard, Profile, Seen, Try
from gateway.testing.wall.server import Wall
from gateway.testing.wall.suite import Suite
from gateway.testing.wall.table import as_json, lines, passed

FULL = PROFILES["full"]
HASTE = Profile("haste", 600)
#: Slow enough for the healthy call that ends each scenario.
QUICK = Profile("quick", 20)
WHOLE = Heard("whole", 0.0, 1.0, status=200, model="fb-ok", usage=True)
ERROR = Heard("error", 0.0, 1.0, why="503 upstream_overloaded", status=503)
CUT = Heard("cut", 0.0, 1.0, why="40 of 60 words", status=200)
HANG = Heard("hang", 0.0, 40.0, why="40 s, 0 of 60 words")


def tries(*at: float, model: str = "s", size: int = 10, prefilled: bool = False) -> tuple[Try, ...]:
    return tuple(Try(one, model, size, prefilled) for one in at)


def verdict(name: str, *heard: Heard, **more: Any) -> tuple[str, ...]:
    """The word and the reasons for a scenario that ended so."""
    judged = judge(SCENARIOS[name], Seen(FULL, heard, **more))
    return (judged.word, *judged.reasons)


def test_the_ending_decides_first() -> None:
    assert verdict("s08", WHOLE) == ("pass",)
    assert verdict("s08", ERROR) == ("safe", "not rescued: 503 upstream_overloaded")
    assert verdict("s08", CUT) == ("fail", "passed off as a good answer: 40 of 60 words")
    assert verdict("s08", HANG) == ("fail", "no end: 40 s, 0 of 60 words")


def test_where_an_error_is_wanted_another_models_answer_is_partial() -> None:
    assert verdict("s13", ERROR, primary=tries(0)) == ("pass",)
    assert verdict("s13", WHOLE, primary=tries(0)) == ("partial", "the refusal was answered by another model")
    assert verdict("s13", ERROR, primary=tries(0, 1)) == ("fail", "primary tried 2 times, 1 allowed")
    assert verdict("s13", ERROR)[0] == "fail"


def test_a_tool_call_cut_off_may_be_an_error_but_not_half_a_call() -> None:
    assert [verdict("x13", heard)[0] for heard in (WHOLE, ERROR, CUT)] == ["pass", "pass", "fail"]


def test_an_advisory_check_makes_it_partial_and_a_required_one_fail() -> None:
    assert verdict("s01", WHOLE, primary=tries(0, 1.9)) == ("pass",)
    assert verdict("s01", WHOLE, primary=tries(0, 1.5)) == ("partial", "second try after 1.50 s, not before 1.8 s")
    assert verdict("s01", WHOLE, primary=tries(0)) == (
        "partial",
        "primary tried once, not 2 times",
        "no second try of the primary",
    )
    assert verdict("s01", WHOLE, primary=tries(0, 0.1, 0.2)) == ("fail", "3 tries in 1.5 s, 2 allowed")
    assert verdict("s01", ERROR, primary=tries(0))[0] == "safe"


def test_limits_on_time_follow_the_profile_and_limits_on_hammering_do_not() -> None:
    slow = replace(WHOLE, total_s=10.0)
    assert verdict("s07", slow) == ("pass",)
    fast = judge(SCENARIOS["s07"], Seen(PROFILES["fast"], (slow,)))
    assert fast == Verdict("partial", ("took 10.0 s, 3 s are allowed",))
    five = Seen(PROFILES["fast"], (WHOLE,), tries(0, 0.7, 1.4, 2.1, 2.8))
    assert judge(SCENARIOS["s02"], five) == Verdict("fail", ("5 tries in 3 s, 4 allowed",))


def test_what_does_not_fit_may_be_sent_again_only_smaller() -> None:
    first, same, smaller = Try(0, "s12", 100), Try(1, "s12", 100), Try(1, "s12", 60)
    assert verdict("s12", WHOLE, primary=(first, smaller)) == ("pass",)
    assert verdict("s12", WHOLE, primary=(first, same)) == ("fail", "sent to the primary 2 times, no smaller")


def test_an_error_after_a_refused_prefill_masks_what_went_wrong() -> None:
    refused = tries(1, model="fb-no-prefill", prefilled=True)
    assert verdict("s14", WHOLE, fallback=refused) == ("pass",)
    assert verdict("s14", ERROR) == ("safe", "not rescued: 503 upstream_overloaded")
    assert verdict("s14", ERROR, fallback=refused)[0] == "fail"


def test_the_answer_names_the_model_that_gave_it() -> None:
    gave = tries(1, model="fb-ok")
    assert verdict("s16", WHOLE, fallback=gave) == ("pass",)
    assert verdict("s16", replace(WHOLE, model="openai/fb-ok", usage=False), fallback=gave) == ("partial", "no usage")
    assert verdict("s16", replace(WHOLE, model="s16"), fallback=gave) == (
        "fail",
        "the answer names the model s16, fb-ok gave it",
    )


def test_a_system_that_is_dead_afterwards_has_failed() -> None:
    assert verdict("s09", WHOLE, down="hang, 10 s") == ("fail", "a healthy call afterwards: hang, 10 s")
    assert verdict("s08", WHOLE, down="hang, 10 s") == ("pass",)


def test_our_own_demands() -> None:
    assert verdict("x02", replace(ERROR, status=401))[:2] == ("fail", "the caller got the provider's 401")
    assert verdict("x14", WHOLE, strayed=1) == ("fail", "the redirect was followed")
    assert verdict("x10", replace(WHOLE, largest=2**21))[0] == "partial"


def test_a_series_is_served_through_the_outage_and_comes_back() -> None:
    calls = tuple(replace(WHOLE, asked_at=4.0 * n) for n in range(20))
    assert verdict("s15", *calls, primary=tries(0, 30, 65)) == ("pass",)
    assert verdict("s15", *calls, primary=tries(0, 30)) == ("fail", "the primary was not used again")
    late = verdict("s15", *calls, primary=tries(0, 91))
    assert late == ("fail", "the primary was used again after 31.0 s, 30 s are allowed")
    lost = (*calls[:3], replace(ERROR, asked_at=12.0), *calls[4:])
    assert verdict("s15", *lost, primary=tries(0, 65)) == ("fail", "1 of 15 calls during the outage were lost")
    after = (*calls[:19], replace(ERROR, asked_at=76.0))
    assert verdict("s15", *after, primary=tries(0, 65))[0] == "safe"


def test_events_are_read_however_they_are_cut() -> None:
    stream = b": ping\n\ndata: {}\r\n\r\nevent: x\ndata: a\ndata: b\n\ndata:[DONE]\n\ndata: unfinished"
    events = Events()
    assert [event for n in range(len(stream)) for event in events.feed(stream[n : n + 1])] == [
        b"{}",
        b"a\nb",
        b"[DONE]",
    ]
    assert [*Events().feed(stream)] == [b"{}", b"a\nb", b"[DONE]"]


def chunk(text: str, finish: str | None = None) -> bytes:
    return json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": finish}]}).encode()


@pytest.mark.parametrize(
    ("events", "missing", "error"),
    [
        ([chunk(TEXT), chunk("", "stop")], None, None),
        ([chunk(TEXT)], "the text without a finish reason", None),
        ([chunk("A signal")], "2 of 60 words", None),
        ([chunk("A signal A signal", "stop")], "2 of 60 words and then others", None),
        ([], "0 of 60 words", None),
        ([chunk("A"), b'{"error": {"code": "overloaded"}}'], "1 of 60 words", "in the stream: overloaded"),
        ([b'{"error": null}', chunk(TEXT, "stop")], None, None),
        ([b'{"choi'], "0 of 60 words", "an event is not JSON: b'{\"choi'"),
    ],
)
def test_a_stream_is_whole_only_with_every_word_and_a_finish_reason(
    events: list[bytes], missing: str | None, error: str | None
) -> None:
    reading = Reading()
    for event in events:
        reading.event(event)
    assert (reading.missing, reading.error) == (missing, error)


async def by_sdk(client: openai.AsyncOpenAI, scenario: Scenario, stream: bool) -> tuple[bool, str]:
    """What OpenAI's SDK makes of a call: whether it raises, and the words it has got by then."""
    said = ""
    question = body(scenario.id, "Say it.", stream=stream, tool=scenario.tool is not None)
    try:
        answer: Any = await client.chat.completions.create(**question)
        if not stream:
            return False, answer.choices[0].message.content or "" if answer.choices else ""
        async for chunk in answer:
            said += "".join(choice.delta.content or "" for choice in chunk.choices or ())
    except (openai.OpenAIError, httpx2.HTTPError, json.JSONDecodeError):
        return True, said
    return False, said


@pytest.mark.parametrize("stream", [True, False])
async def test_endings_are_what_openais_sdk_makes_of_them(stream: bool) -> None:
    async with Wall(HASTE) as wall, Caller(wall.url) as caller:
        by_us = await asyncio.gather(
            *[
                caller.ask(one.id, "Say it.", stream=stream, limit_s=5, tool=one.tool is not None)
                for one in SCENARIOS.values()
            ]
        )
        wall.reset()
        async with openai.AsyncOpenAI(base_url=wall.url, api_key="none", max_retries=0, timeout=5) as sdk:
            by_them = await asyncio.gather(*[by_sdk(sdk, one, stream) for one in SCENARIOS.values()])
    for scenario, ours, (raised, said) in zip(SCENARIOS.values(), by_us, by_them, strict=True):
        assert (ours.ended == "error") == raised, (scenario.id, ours, raised)
        if not raised and scenario.tool is None:
            assert (ours.ended == "whole") == (said == TEXT), (scenario.id, ours, said)


async def test_a_call_that_does_not_end_is_a_hang() -> None:
    async with SimulatedProvider(Script(text=TEXT, fault="stall")) as silent, Caller(silent.url) as caller:
        heard = await caller.ask("any", "Say it.", stream=True, limit_s=0.2)
    assert (heard.ended, heard.why, heard.status) == ("hang", "0.2 s, 20 of 60 words", 200)
    assert 0.2 <= heard.total_s < 3
    assert heard.first_s is not None


@pytest.mark.parametrize(
    ("fault", "word"),
    [(None, "pass"), (NoFinish(40), "fail"), (InBandError(40), "safe")],
)
async def test_the_suite_judges_what_stands_before_the_wall(fault: Fault | None, word: str) -> None:
    pretender = SimulatedProvider(Script(text=TEXT))
    pretender.script("s08", Script(text=TEXT, fault=fault))
    async with Wall(QUICK) as wall, pretender, Caller(pretender.url) as caller:
        (result,) = await Suite(wall, caller).run([SCENARIOS["s08"]])
    assert (result.verdict.word, result.seen.primary, result.seen.down) == (word, (), None)


async def test_the_suite_counts_what_reached_the_wall_in_every_round() -> None:
    series = replace(SCENARIOS["s15"], series=Series(3, 4), required=())
    async with Wall(QUICK) as wall, Caller(wall.url) as caller:
        results = await Suite(wall, caller).run([SCENARIOS["s03"], series], 2)
    assert [(r.id, r.round, r.verdict.word, len(r.seen.primary), len(r.seen.heard)) for r in results] == [
        ("s03", 1, "safe", 1, 1),
        ("s15", 1, "safe", 3, 3),
        ("s03", 2, "safe", 1, 1),
        ("s15", 2, "safe", 3, 3),
    ]
    assert not passed(results)
    shown = list(lines(results))
    assert shown[1].split() == [
        *"s03 500, once safe 2/2 1+0 0.0 not rescued: 500 server_error".split(),
    ]
    assert shown[-1] == "0 of 2 pass"
    told = as_json(results, {"profile": "haste"})
    assert json.loads(json.dumps(told))["results"][0]["primary"][0]["model"] == "s03"
