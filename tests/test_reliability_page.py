"""docs/reliability.md against the code: the meaning of failures, defaults, figures, strategies."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest
from msgspec import Struct

from gateway.errors import FailureKind
from gateway.health.health import IN_A_ROW, VERDICTS
from gateway.policy.strategies import STRATEGIES
from gateway.reliability import breaker, load, quota
from gateway.reliability.budget import RetryBudget
from gateway.reliability.failures import MEANING
from gateway.types import Rescue

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")

SAME = {"once": "once", "never": "no", "wait": "after its wait"}
OTHER = {"yes": "yes", "no": "no", "larger_window": "a larger window", "equivalent_first": "the same model first"}
VERDICT = {"failed": "failure", "soft": "neither", "none": "–", "ok": "success"}


def rows(heading: str) -> list[list[str]]:
    """The cells of the tables under a heading, down to the next one."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


FAILURES = {cells[0].strip("`"): cells[1:] for cells in rows("What each failure means") if cells[0].startswith("`")}


def test_every_kind_of_failure_is_described_in_order() -> None:
    assert list(FAILURES) == list(get_args(FailureKind)) == list(MEANING)


@pytest.mark.parametrize("kind", get_args(FailureKind))
def test_a_failure_means_what_the_page_says(kind: FailureKind) -> None:
    _, same, other, verdict, key, client = FAILURES[kind]
    meaning = MEANING[kind]
    assert (same, other, verdict) == (
        SAME[meaning.same_target],
        OTHER[meaning.other_target],
        VERDICT[VERDICTS.get(kind, "ok")],
    )
    status = "as it came, else" if meaning.client_status is None else str(meaning.client_status)
    assert client == f"{status} `{meaning.client_code}`"
    rests = f"{meaning.cool_s / 60:g} min" if meaning.cools == "account" and meaning.cool_s else "else 1 s"
    assert rests in key if meaning.cool_s else key == "–"


def defaults() -> dict[str, str]:
    """Every default of docs/configuration.md, which is written from the schema, by the path of its key."""
    found = {}
    for section in CONFIGURATION.split("\n## ")[1:]:
        path = section.split("`")[1] if section.startswith("`") else ""
        for key, default in re.findall(r"^\| `(\w+)` \| [^|]+ \| `?([^`|]+)`? \|", section, re.MULTILINE):
            found[f"{path}.{key}"] = default.strip()
    return found


def test_every_default_is_the_one_of_the_schema() -> None:
    known = defaults()
    told = {cells[0].strip("`"): cells[1].strip("`") for cells in rows("Defaults") if cells[1].startswith("`")}
    told |= {cells[2].strip("`"): cells[1].strip("`") for cells in rows("How long is waited") if len(cells) == 3}
    del told["Key"]
    assert told.pop("providers.timeouts.first_token") == "learnt"
    assert len(told) > 20
    assert {key: known.get(key) for key in told} == told


def test_every_figure_without_a_key_is_the_one_of_the_code() -> None:
    told = {cells[0].strip("`"): float(cells[1]) for cells in rows("Defaults") if re.fullmatch(r"[\d.]+", cells[1])}
    assert len(told) > 10
    assert told == {name: figure(name) for name in told}


def figure(name: str) -> float:
    module, rules, member = name.split(".")
    made: type[Struct] = getattr({"breaker": breaker, "load": load}[module], rules)
    return float(dict(zip(reversed(made.__struct_fields__), reversed(made.__struct_defaults__), strict=False))[member])


def test_the_figures_in_sentences_are_those_of_the_code() -> None:
    budget = inspect.signature(RetryBudget).parameters
    assert (budget["ratio"].default, budget["min_per_s"].default, budget["ttl_s"].default) == (0.1, 3.0, 10.0)
    assert "a tenth of its requests and 3 a second, over 10 s" in PAGE.replace("\n", " ")
    assert (IN_A_ROW, IN_A_ROW * 3, breaker.ACCEPTS, quota.BURST_S) == (4, 12, 1.1, 10.0)
    for words in ("12 (four times `min_failures`)", "1.1 × successes", "At most 10 s of a limit"):
        assert words in PAGE


def test_every_strategy_and_way_of_rescue_is_described() -> None:
    assert [cells[0].strip("`") for cells in rows("Who is asked, and in what order")][1:] == list(STRATEGIES)
    described = [cells[0].strip("`") for cells in rows("A stream that breaks off")][1:]
    assert sorted(described) == sorted(get_args(Rescue))


def test_links_within_the_docs_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target, anchor in re.findall(r"\]\(([\w./-]*)(#[\w-]+)?\)", page.read_text(encoding="utf-8")):
            where = page.parent / target if target else page
            assert where.exists(), f"{page.name} links to {target}, which is not there"
            assert not anchor or anchor[1:] in anchors(where), f"{page.name} links to {target}{anchor}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
