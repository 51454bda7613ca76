"""What one replica knows of cooling deployments."""

from __future__ import annotations

from gateway.state.cooled import Cooled
from gateway.types import Cooling

RATE, AUTH = Cooling(10.0, "rate"), Cooling(20.0, "auth")


def test_a_later_end_wins_whichever_came_first() -> None:
    for order in ((RATE, AUTH), (AUTH, RATE)):
        cooled = Cooled()
        for cooling in order:
            cooled.leave("gpt", cooling)
        assert cooled.at(0.0) == {"gpt": AUTH}


def test_a_deployment_is_back_at_the_very_end_of_its_cooling() -> None:
    cooled = Cooled()
    cooled.leave("gpt", RATE)
    cooled.leave("mini", AUTH)
    assert cooled.at(9.999) == {"gpt": RATE, "mini": AUTH}
    assert cooled.at(10.0) == {"mini": AUTH}
    assert cooled.at(20.0) == {}


def test_what_was_handed_out_never_changes() -> None:
    cooled = Cooled()
    cooled.leave("gpt", RATE)
    before = cooled.at(0.0)
    cooled.leave("mini", AUTH)
    cooled.at(30.0)
    assert before == {"gpt": RATE}
