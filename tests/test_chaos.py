"""The eyes of ``make chaos``: a client that tells whole, cut, lost and wrong answers apart, a bill that counts what was
sent, a list of records in which none may be missing. Read next: bench/chaos/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.chaos.__main__ import BEGIN, END, SCENARIOS, options
from bench.chaos.client import Heard, Load, ask
from bench.chaos.figures import Figure, Finding, lines, markdown
from bench.chaos.fleet import each_once
from bench.chaos.outages import Outage
from bench.chaos.random_faults import Bill, Counted, of_money
from bench.times import quantile
from gateway.testing.acts import Abort, Act, Send
from gateway.testing.faults import Cut, Fault, NoFinish, Refuse
from gateway.testing.prompt import Prompt
from gateway.testing.script import Pace, Script
from gateway.testing.server import Received, SimulatedProvider
from gateway.testing.wall.scenarios import TEXT

QUICK = Script(text=TEXT, pace=Pace(0.0, 0.0))
PAGE = (Path(__file__).parents[1] / "docs" / "chaos.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "ended"),
    [
        (QUICK, "whole"),
        (Script(text="Something else altogether."), "cut"),
        (replace(QUICK, fault=NoFinish()), "cut"),
        (replace(QUICK, fault=NoFinish(after=40)), "cut"),
        (replace(QUICK, fault=Cut(40)), "lost"),
        (replace(QUICK, fault="reset"), "lost"),
        (replace(QUICK, fault="overloaded"), "error"),
        (replace(QUICK, fault=Refuse(502, b"Bad Gateway", content_type="text/plain")), "cut"),
    ],
)
async def test_a_client_tells_what_it_got(script: Script, ended: str, stream: bool) -> None:
    async with SimulatedProvider(script) as provider:
        assert (await ask(provider.port, 0, stream=stream)).ended == ended


async def test_an_error_in_a_stream_is_clear_and_a_stream_without_its_done_is_cut() -> None:
    async with SimulatedProvider() as provider:
        for fault, ended in (("in_band_error", "error"), ("in_band_error_midway", "error"), ("no_done", "cut")):
            provider.script("*", replace(QUICK, fault=fault))
            assert (await ask(provider.port, 0, stream=True)).ended == ended


async def test_a_client_that_leaves_does_so_and_is_neither_lost_nor_answered() -> None:
    async with SimulatedProvider(replace(QUICK, fault="silence")) as provider:
        heard = await ask(provider.port, 0, stream=True, leaves_after_s=0.05)
        await provider.requests[0].over()
        assert (heard.ended, provider.requests[0].left_at is not None) == ("left", True)


async def test_a_bill_counts_what_went_out_before_a_break_and_what_was_said() -> None:
    class AfterTen:
        """A break that a reader sees at once."""

        def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
            sent = 0
            for act in acts:
                sent += isinstance(act, Send) and act.part == "content"
                if sent > 10:
                    yield Abort()
                    return
                yield act

    bills: dict[str, Bill] = {}
    async with SimulatedProvider() as provider:
        faults: tuple[Fault | None, ...] = (None, AfterTen())
        for fault in faults:
            provider.script("*", replace(QUICK, fault=Counted(fault, bills)))
            await ask(provider.port, 0, stream=True)
        provider.script("*", replace(QUICK, fault=Counted(None, bills)))
        await ask(provider.port, 0, stream=False)
    assert [bill.output for bill in bills.values()] == [60, 10, 0]
    assert [bill.said and bill.said[1] for bill in bills.values()] == [None, None, 60]


def test_records_are_held_against_what_was_sent() -> None:
    def record(output: int, cost: int, *, estimated: bool = False) -> dict[str, object]:
        usage = {"input": 5, "output": output, **({"estimated": True} if estimated else {})}
        return {"cost": cost, "attempts": [{"provider_request_id": "x", "usage": usage}]}

    bills = {"x": Bill(60, (5, 60)), "y": Bill(10)}

    def kept(*records: dict[str, object]) -> list[bool]:
        return [figure.kept for figure in of_money(records, bills)]

    assert kept(record(60, 125)) == [True, True, True, False]
    assert kept(record(59, 123)) == [False, True, True, False]
    assert kept(record(60, 126)) == [True, False, True, False]
    assert kept(record(20, 45, estimated=True)) == [True, True, False, False]


def heard(n: int, id: str | None = None) -> Heard:
    headers = {} if id is None else {"x-gateway-decision-id": id}
    return Heard(n, "whole", "", 1, 200, 0.0, 0.1, None, headers)


async def test_a_record_that_is_missing_or_too_many_is_seen() -> None:
    load = Load([1], 1.0)
    load.asked, load.heard = 2, [heard(0, "a"), heard(1)]
    known: dict[str, dict[str, object]] = {"a": {"id": "a"}, "b": {"id": "b", "tags": {"n": "1"}}, "c": {"id": "c"}}
    kept = {records: each_once(load, [known[name] for name in records]).kept for records in ("ab", "a", "aab", "abc")}
    assert kept == {"ab": True, "a": False, "aab": False, "abc": False}


def test_the_first_burst_of_tries_trips_and_the_others_are_probes() -> None:
    def tried(at: float) -> Received:
        return Received(1, at, method="POST", path="/", headers={}, body=b"", connection=1)

    outage = Outage(100.0, 163.0, 28.0, [tried(at) for at in (100.1, 100.2, 100.4, 130.5, 161.0)])
    assert (len(outage.burst), len(outage.probes), outage.tripped_at) == (3, 2, 100.4)
    assert Outage(100.0, 163.0, 28.0, []).tripped_at == 100.0


def test_one_figure_that_is_not_kept_fails_its_scenario() -> None:
    good, bad = Figure("speed", "1 ms", "≤ 5 ms", True), Figure("lost", "1", "0", False)
    assert (Finding((good,)).passed, Finding((good, bad)).passed) == (True, False)
    assert [line.split()[-1] for line in lines("c1", "all at once", Finding((good, bad)))] == ["FAIL", "pass", "FAIL"]
    assert markdown([("c1", "all at once", Finding((bad,)))])[2:] == [
        "| **c1** | **all at once** | | | **FAIL** |",
        "| | lost | 1 | 0 | FAIL |",
    ]


def test_a_quantile_is_one_of_the_values() -> None:
    assert [quantile(range(100), share) for share in (0.0, 0.5, 0.99, 1.0)] == [0, 50, 99, 99]
    with pytest.raises(ValueError, match="nothing"):
        quantile([], 0.5)


def test_the_command_takes_some_of_the_scenarios_and_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert options(["--only", "C3,c7"]).only == ["c3", "c7"]
    assert options([]).only == [*SCENARIOS]
    with pytest.raises(SystemExit):
        options(["--only", "c1"])
    assert "there is no c1; there are: c2, c3" in capsys.readouterr().err


def test_the_page_tells_of_every_scenario_and_has_room_for_the_results() -> None:
    assert PAGE.count(BEGIN) == PAGE.count(END) == 1
    assert all(f"| `{id}` | {what}" in PAGE for id, (what, _) in SCENARIOS.items())
