"""The sink that feeds the fleet's state."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.state.memory import Memory
from gateway.state.statesink import StateSink
from tests.state.used import DAY, used
from tests.telemetry.exchanges import FAILED, SERVED, exchange


async def test_an_exchange_is_appended_and_each_priced_attempt_is_charged_to_its_caller() -> None:
    state = Memory()
    rescued = exchange(attempts=(replace(FAILED, cost=70), SERVED, replace(SERVED, deployment="free", cost=None)))
    StateSink(state)(rescued, b"{}")
    assert await state.find(rescued.id) == b"{}"
    found = {dims[5]: (sums.requests, sums.cost, sums.unpriced) for dims, sums in (await used(state, DAY)).items()}
    assert found == {"sonnet": (0, 0, 0), "gpt": (1, 5_210, 0), "free": (0, 0, 1)}
