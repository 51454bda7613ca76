"""Other gateways on the wall: what each is told, and the table. They themselves are asked by ``make peers`` alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.comparison import Column, between_the_markers, table
from bench.contenders import LOOPBACK, as_in_its_image, litellm_config, portkey_headers
from gateway.testing.wall.caller import Caller
from gateway.testing.wall.scenarios import FALLBACKS, PROFILES, SCENARIOS
from gateway.testing.wall.server import Wall

ROOT = Path(__file__).parents[2]
ALL = dict.fromkeys(SCENARIOS, "pass")
WALL = "http://127.0.0.1:9099/v1"


def test_a_cell_has_both_verdicts_where_they_differ_and_each_catalogue_is_counted() -> None:
    ours = Column("Ours 1", ALL, ALL)
    other = Column("Other 2", {**ALL, "s08": "fail", "x01": "partial"}, {**ALL, "s08": "safe", "x01": "partial"})
    head, rule, *rows = table([ours, other])
    assert (head, rule) == ("| What goes wrong | Ours 1 | Other 2 |", "|---|---|---|")
    assert rows[7] == "| `s08` cut after 40 tokens | pass | **fail** / safe |"
    assert rows[16] == "| `x01` bytes that are not HTTP | pass | partial |"
    assert rows[31:] == [
        "| **Failover Bench's, as streams** | 16 pass | 15 pass, 1 fail |",
        "| **Failover Bench's, as JSON** | 16 pass | 15 pass, 1 safe |",
        "| **ours, as streams** | 15 pass | 14 pass, 1 partial |",
        "| **ours, as JSON** | 15 pass | 14 pass, 1 partial |",
    ]


def test_the_table_goes_between_the_markers_of_the_page_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    page.write_text((ROOT / "docs" / "faults.md").read_text(encoding="utf-8"), encoding="utf-8")
    before, after = page.read_text(encoding="utf-8").split("<!-- results: begin")[0], "## The faults"
    for lines in (["one", "two"], ["three"]):
        between_the_markers(page, lines)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(before + "<!-- results: begin")
    assert "-->\nthree\n<!-- results: end -->\n" in text
    assert after in text
    page.write_text("nothing")
    with pytest.raises(ValueError, match="has no markers"):
        between_the_markers(page, [])


def test_litellm_knows_every_model_and_where_each_that_fails_falls_back_to() -> None:
    told = litellm_config(WALL)
    assert [one["model_name"] for one in told["model_list"]] == [*SCENARIOS, *FALLBACKS]
    assert {one["litellm_params"]["api_base"] for one in told["model_list"]} == {WALL}
    router = told["router_settings"]
    assert (router["num_retries"], router["timeout"]) == (2, 30)
    assert router["fallbacks"] == [{one.id: [one.fallback]} for one in SCENARIOS.values()]


async def test_portkey_is_told_with_each_call_what_to_ask_and_what_to_fall_back_to() -> None:
    async with Wall(PROFILES["fast"]) as wall, Caller(wall.url, headers=portkey_headers(WALL)) as caller:
        await caller.ask("s14", "Say", stream=False, limit_s=5)
        told = json.loads(wall.requests[0].headers["x-portkey-config"])
    assert [one["override_params"]["model"] for one in told["targets"]] == ["s14", "fb-no-prefill"]
    assert {one["custom_host"] for one in told["targets"]} == {WALL}
    assert [one.get("retry", {}).get("attempts") for one in told["targets"]] == [2, None]


def test_portkeys_retries_are_patched_once_as_in_its_image(tmp_path: Path) -> None:
    retry = tmp_path / "index.js"
    retry.write_text("val = fn(bail, num);")
    for _ in range(2):
        as_in_its_image(retry)
    assert retry.read_text() == "val = fn(bail, num, op);"
    assert "127.0.0.1" in LOOPBACK
