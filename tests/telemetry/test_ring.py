"""The ring of the newest records."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.telemetry.record import encode
from gateway.telemetry.ring import Ring
from gateway.telemetry.sinks import Sinks
from gateway.types import Exchange
from tests.telemetry.exchanges import DECISION, exchange


def filled(*exchanges: Exchange, size: int = 2000) -> Ring:
    ring = Ring(size)
    for one in exchanges:
        ring(one, encode(one))
    return ring


def ids(exchanges: list[Exchange]) -> list[str]:
    return [one.id for one in exchanges]


FIVE = [
    exchange(id=str(n), outcome="ok" if n % 2 else "timeout", deployment="gpt" if n < 3 else None) for n in range(5)
]


def test_an_exchange_is_found_by_its_id() -> None:
    found = filled(*FIVE).find("3")
    assert found is not None
    assert (found.id, found.decision) == ("3", DECISION)
    assert filled(*FIVE).find("9") is None


def test_the_newest_come_first() -> None:
    assert ids(filled(*FIVE).recent(2)) == ["4", "3"]


def test_a_full_ring_lets_the_oldest_go() -> None:
    ring = filled(*FIVE, size=3)
    assert (len(ring), ids(ring.recent(9)), ring.find("1")) == (3, ["4", "3", "2"], None)


def test_recent_can_be_asked_for_an_outcome_a_deployment_or_a_route() -> None:
    elsewhere = exchange(id="other", outcome="ok", decision=replace(DECISION, route="default"))
    unrouted = exchange(id="none", outcome="client_error", decision=None)
    ring = filled(*FIVE, elsewhere, unrouted)
    assert ids(ring.recent(9, outcome="ok")) == ["other", "3", "1"]
    assert ids(ring.recent(9, deployment="gpt", route="agents")) == ["2", "1", "0"]
    assert ids(ring.recent(9, route="default")) == ["other"]


def test_every_sink_is_told_once_with_the_same_bytes() -> None:
    told: list[tuple[str, Exchange, bytes]] = []
    one = exchange()
    Sinks([lambda e, r: told.append(("a", e, r)), lambda e, r: told.append(("b", e, r))])(one)
    assert told == [("a", one, encode(one)), ("b", one, encode(one))]
    assert told[0][2] is told[1][2]
