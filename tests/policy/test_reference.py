"""What a route's savings are reckoned against, and how they are told."""

from __future__ import annotations

from gateway.policy.explain import explain
from gateway.policy.reference import reference_of
from tests.gateway import BODY, against
from tests.make import deployment, policy
from tests.telemetry.exchanges import plain

POOL = {
    d.name: d
    for d in (
        deployment("cheap", input=1, output=1, quality={"default": 0.9}),
        deployment("dear", input=3, output=3, quality={"default": 0.9}),
        deployment("dearest", input=9, output=9, quality={"default": 0.5, "code": 1.0}),
        deployment("plain", input=5, output=5),
        deployment("unpriced", price=None),
    )
}


def test_it_is_the_one_named_or_the_best_of_the_pool_and_of_several_the_dearest() -> None:
    assert reference_of(policy(*POOL, reference="plain"), POOL) is POOL["plain"]
    assert reference_of(policy(*POOL), POOL) is POOL["dear"]
    assert reference_of(policy("plain", "unpriced"), POOL) is POOL["plain"]
    assert reference_of(policy("unpriced"), POOL) is POOL["unpriced"]
    assert reference_of(policy(), POOL) is None


ROUTES = """
routes:
  - {name: saves, when: {tags: {kind: x}}, policy: {pool: [a, b]}}
  - {name: named, policy: {pool: [a], reference: b}}
"""


async def test_an_answer_has_what_it_would_have_cost_and_a_failure_has_not() -> None:
    async with against(ROUTES) as (gateway, _):
        for model in ("saves", "named", "a"):
            await gateway.chat({**BODY, "model": model})
        saves, named, direct = await gateway.settled(3)
        for record in (saves, named):
            assert record.usage is not None
            assert record.baseline == 3 * record.usage.input + 4 * record.usage.output
        assert (direct.baseline, direct.decision and direct.decision.route) == (direct.cost, "direct")
        metrics = (await gateway.http.get(f"{gateway.admin}/metrics")).text
        assert saves.cost is not None
        assert saves.baseline is not None
        told = f"cost ${saves.cost / 1e6:.6f} (at its route's reference ${saves.baseline / 1e6:.6f})"
        assert told in "\n".join(explain(saves))
        counted = {line for line in metrics.split("\n") if line.startswith("gateway_cost_baseline_usd_total{")}
        assert f'gateway_cost_baseline_usd_total{{route="saves"}} {saves.baseline / 1e6}' in counted
        assert len(counted) == 3


async def test_what_was_streamed_has_it_too() -> None:
    async with against(ROUTES) as (gateway, _):
        await gateway.chat({**BODY, "model": "named", "stream": True})
        (record,) = await gateway.settled(1)
        assert record.usage is not None
        assert record.baseline == 3 * record.usage.input + 4 * record.usage.output


def test_an_unknown_cost_is_told_without_it() -> None:
    assert "cost unknown" in "\n".join(explain(plain(cost=None, baseline=100)))
