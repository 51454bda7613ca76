"""Questions about usage, and their answers."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest
from gateway.usage import summed
from gateway.usage.query import Query, parse
from gateway.usage.summed import Answer, Summing
from gateway.usage.sums import Dims, Sums, day_of, iso
from gateway.usage.written import COLUMNS, as_csv, as_json, cell

TODAY = day_of("2026-11-28")


def asked(text: str) -> Query:
    return parse([(name, value) for name, _, value in (pair.partition("=") for pair in text.split("&") if pair)], TODAY)


def test_a_question_without_parameters_is_about_this_month() -> None:
    assert asked("") == Query(day_of("2026-11-01"), TODAY)
    assert asked("to=2026-10-31") == Query(day_of("2026-10-01"), day_of("2026-10-31"))


def test_a_question_with_all_parameters() -> None:
    assert asked(
        "from=2026-01-01&to=2026-01-31&by=team,model&by=day,team&team=a&team=b&key=&format=csv&limit=5&offset=7"
    ) == Query(
        day_of("2026-01-01"),
        day_of("2026-01-31"),
        ("team", "model", "day"),
        (("team", frozenset({"a", "b"})), ("key", frozenset({""}))),
        "csv",
        5,
        7,
    )


@pytest.mark.parametrize(
    ("text", "param", "says"),
    [
        ("from=2026-11-31", "from", "'2026-11-31' is no date as 2026-11-01"),
        ("to=today", "to", "'today' is no date"),
        ("from=2026-11-29", "from", "2026-11-29 is after 2026-11-28"),
        ("from=2020-01-01", "from", "2524 days are asked for; 400 are kept"),
        ("by=team,models", "by", "Usage is not told apart by 'models': did you mean 'model'?"),
        ("by=x", "by", "known are organisation, team, key, user, model, route, feature, day"),
        ("teams=a", "teams", "'teams' is no parameter here: did you mean 'team'?"),
        ("format=xml", "format", "'xml' is neither json nor csv"),
        ("limit=0", "limit", "'0' is no number from 1 to 10000"),
        ("limit=10001", "limit", "'10001' is no number from 1 to 10000"),
        ("offset=-1", "offset", "'-1' is no number from 0"),
        ("offset=٣", "offset", "is no number from 0"),
        ("limit=1&limit=2", "limit", "limit is given 2 times"),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(text: str, param: str, says: str) -> None:
    with pytest.raises(BadRequest) as refused:
        asked(text)
    assert (refused.value.param, refused.value.status) == (param, 400)
    assert says in refused.value.message


def dims(team: str = "", key: str = "k", user: str = "", model: str = "gpt", feature: str = "") -> Dims:
    return ("acme", team, key, user, model, "auto", feature)


USED = {
    TODAY - 1: [(dims("a"), Sums(1, 0, 1, 10, 5, cost=1_500_000)), (dims("b"), Sums(2, 1, 3, cost=4))],
    TODAY: [
        (dims("a", user="other"), Sums(1, 0, 1, 10, 5, cost=2, compared=1, baseline=1, saving=-1)),
        (dims("a", model="mini"), Sums(0, 0, 1, unpriced=1)),
        (dims(), Sums(4, cost=1)),
    ],
}


def answered(text: str) -> Answer:
    summing = Summing(asked(text))
    for day, rows in USED.items():
        summing.feed(day, rows)
    return summing.answer()


def test_rows_are_told_apart_by_what_is_asked_for_and_the_totals_are_of_all() -> None:
    everything = Sums(8, 1, 6, 20, 10, cost=1_500_007, unpriced=1, compared=1, baseline=1, saving=-1)
    assert answered("").rows == (((), everything),)
    by = answered("by=day,team")
    assert {group: sums.cost for group, sums in by.rows} == {
        (iso(TODAY - 1), "a"): 1_500_000,
        (iso(TODAY - 1), "b"): 4,
        (iso(TODAY), "a"): 2,
        (iso(TODAY), ""): 1,
    }
    assert (by.totals, by.found, by.others, by.next_offset) == (everything, 4, 1, None)


def test_a_filter_leaves_the_rest_out_also_of_the_totals() -> None:
    assert answered("team=a&model=gpt&by=team").totals.cost == 1_500_002
    assert answered("team=").rows == (((), Sums(4, cost=1)),)
    assert answered("team=nobody").rows == ()
    assert answered("team=nobody").totals == Sums()


def test_pages_follow_each_other_and_hold_every_row_once() -> None:
    whole = answered("by=team,day").rows
    pages, offset = [], 0
    while True:
        page = answered(f"by=team,day&limit=3&offset={offset}")
        pages.append(page.rows)
        if page.next_offset is None:
            break
        offset = page.next_offset
    assert [len(page) for page in pages] == [3, 1]
    assert pages[0] + pages[1] == whole
    assert answered("by=team&offset=99").rows == ()


def test_an_answer_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summed, "MOST_ROWS", 2)
    assert answered("by=model").found == 2
    with pytest.raises(BadRequest, match="more than 2 rows"):
        answered("by=team")


def test_as_json_money_is_whole_and_in_dollars_and_what_is_not_known_is_null() -> None:
    said = as_json(answered("by=team&team=b&team="))
    assert {name: said[name] for name in ("from", "to", "by", "only", "found", "next_offset", "others")} == {
        "from": "2026-11-01",
        "to": "2026-11-28",
        "by": ["team"],
        "only": {"team": ["", "b"]},
        "found": 2,
        "next_offset": None,
        "others": 0,
    }
    none, b = said["rows"]
    assert (none["team"], b["team"]) == (None, "b")
    assert (b["cost_micros"], b["cost_usd"], b["baseline_usd"], b["saving_micros"]) == (4, "0.000004", None, None)
    known = as_json(answered("team=a"))["totals"]
    assert (known["cost_usd"], known["baseline_micros"], known["saving_usd"]) == ("1.500002", 1, "-0.000001")


def test_as_csv_there_is_a_line_for_each_row() -> None:
    assert as_csv(answered("by=day,model&team=a")) == (
        f"day,model,{','.join(COLUMNS)}\r\n"
        "2026-11-27,gpt,1,0,1,10,5,0,0,0,1500000,1.500000,0,0,,,,\r\n"
        "2026-11-28,gpt,1,0,1,10,5,0,0,0,2,0.000002,0,1,1,0.000001,-1,-0.000001\r\n"
        "2026-11-28,mini,0,0,1,0,0,0,0,0,0,0.000000,1,0,,,,\r\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\ufeff@A1",
        "\u200b+1",
        "＝1+1",
        '=cmd|"/c calc"!A1',
    ],
)
def test_no_name_is_a_formula(text: str) -> None:
    ((read,),) = csv.reader(io.StringIO(cell(text), newline=""))
    assert read == f"'{text}"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20), min_size=1))
def test_whatever_the_names_a_reader_finds_them_again(names: list[str]) -> None:
    summing = Summing(Query(TODAY, TODAY, ("team", "user")))
    summing.feed(TODAY, [(dims("a", user=name), Sums(1)) for name in names])
    _, *rows = csv.reader(io.StringIO(as_csv(summing.answer()), newline=""))
    assert [row[1].removeprefix("'") for row in rows] == [name.removeprefix("'") for name in sorted(set(names))]
    assert not [row[1] for row in rows if row[1].strip()[:1] in tuple("=+-@")]
    assert {len(row) for row in rows} == {2 + len(COLUMNS)}
