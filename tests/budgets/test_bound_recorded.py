"""Every recorded request and what it took, against its bound. Read next: asked.py, how they are read."""

from __future__ import annotations

from statistics import median

import pytest

from gateway.budgets.bound import bound, most_input, most_output
from gateway.intent import features
from gateway.money import cost
from tests.budgets.asked import Pair, pairs
from tests.recordings import files_of

#: An answer whose recorder shortened the request.
EDITED = frozenset({"bedrock-bc6044ad5cd6"})


def test_no_recorded_request_took_or_cost_more_than_its_bound(capsys: pytest.CaptureFixture[str]) -> None:
    if not files_of(None):
        pytest.skip("no recorded traffic: set SIGNALBOX_SHARED to where it is")
    given: list[float] = []
    paid: list[float] = []
    for pair in pairs():
        if pair.id in EDITED:
            continue
        found = features.read(pair.call.fields, pair.call.size).features
        input, output = most_input(found, pair.deployment), most_output(pair.call, found, pair.deployment)
        assert pair.usage.input <= input, f"{pair.id}: {pair.usage} of {input}"
        assert pair.usage.output <= output, f"{pair.id}: {pair.usage} of {output}"
        given.append(input / max(pair.usage.input, 1))
        paid += ratio_of(pair)
    with capsys.disabled():
        print(f"\nbounded: {len(given)} requests; input {told(given)}; {len(paid)} with a price; cost {told(paid)}")
    assert (len(given), len(paid)) >= (2500, 2000)


def ratio_of(pair: Pair) -> list[float]:
    found = features.read(pair.call.fields, pair.call.size).features
    most, real = bound(pair.call, found, pair.deployment), cost(pair.deployment.price, pair.usage)
    if most is None or real is None:
        return []
    assert real <= most, f"{pair.id}: {real} of {most}"
    return [most / max(real, 1)]


def told(ratios: list[float]) -> str:
    """How much of what was reserved was wanted: the closest, the usual and the loosest."""
    return f"{min(ratios):.2f}, {median(ratios):.1f}, {max(ratios):.0f} times"
