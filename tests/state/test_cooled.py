"""What one replica knows of what is left alone."""

from __future__ import annotations

from gateway.state.cooled import Cooled, Said
from gateway.types import Cooling

RATE, AUTH = Cooling(10.0, "rate"), Cooling(20.0, "auth")


def test_a_later_end_wins_whichever_came_first() -> None:
    for order in ((RATE, AUTH), (AUTH, RATE)):
        cooled = Cooled()
        for cooling in order:
            cooled.cool("gpt", cooling)
        assert cooled.at(0.0) == {"gpt": AUTH}


def test_a_deployment_is_back_at_the_very_end_of_its_cooling() -> None:
    cooled = Cooled()
    cooled.cool("gpt", RATE)
    cooled.cool("mini", AUTH)
    assert cooled.at(9.999) == {"gpt": RATE, "mini": AUTH}
    assert cooled.at(10.0) == {"mini": AUTH}
    assert cooled.at(20.0) == {}


def test_what_was_handed_out_never_changes() -> None:
    cooled = Cooled()
    cooled.cool("gpt", RATE)
    before = cooled.at(0.0)
    cooled.cool("mini", AUTH)
    cooled.warm("gpt")
    cooled.at(30.0)
    assert before == {"gpt": RATE}


def test_of_cool_and_warm_the_last_one_said_counts() -> None:
    cooled = Cooled()
    cooled.refresh(0.0, {"gpt": AUTH}, set(), {})
    cooled.warm("gpt")
    assert cooled.at(0.0) == {}
    cooled.cool("gpt", RATE)
    assert cooled.at(0.0) == {"gpt": RATE}
    assert cooled.take(1.0) == {"gpt": Said(True, RATE, 1.0)}
    cooled.warm("gpt")
    assert cooled.at(0.0) == {}
    assert cooled.take(2.0) == {"gpt": Said(True, None, 2.0)}


def test_what_the_fleet_says_is_replaced_as_a_whole() -> None:
    cooled = Cooled()
    cooled.refresh(0.0, {"gpt": AUTH, "mini": RATE}, set(), {})
    cooled.refresh(1.0, {"mini": AUTH}, {"gpt"}, {})
    assert cooled.at(1.0) == {"mini": AUTH}
    assert cooled.take(1.0) == {}


def test_what_is_said_while_a_refresh_is_under_way_outlives_it() -> None:
    cooled = Cooled()
    cooled.cool("gpt", RATE)
    told = cooled.take(1.0)
    cooled.warm("gpt")
    cooled.cool("mini", AUTH)
    cooled.refresh(1.0, {"gpt": RATE}, set(), told)
    assert cooled.at(1.0) == {"mini": AUTH}
    assert cooled.take(2.0) == {"gpt": Said(True, None, 2.0), "mini": Said(False, AUTH, 2.0)}


def test_what_could_not_be_told_keeps_the_time_of_the_first_try() -> None:
    cooled = Cooled()
    cooled.cool("gpt", AUTH)
    assert cooled.take(1.0) == cooled.take(9.0) == {"gpt": Said(False, AUTH, 1.0)}
    assert cooled.take(20.0) == {}


def test_what_the_store_has_forgotten_is_said_again_as_of_when_it_was_last_known() -> None:
    cooled = Cooled()
    cooled.refresh(3.0, {"gpt": AUTH, "mini": RATE}, set(), {})
    cooled.refresh(9.5, {}, set(), {})
    assert cooled.at(9.5) == {"gpt": AUTH}
    assert cooled.take(9.6) == {"gpt": Said(False, AUTH, 3.0)}
