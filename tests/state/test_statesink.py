"""The sink that feeds the fleet's state."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.state.memory import Memory
from gateway.state.statesink import StateSink
from tests.telemetry.exchanges import FAILED, SERVED, exchange


async def test_an_exchange_is_appended_and_each_priced_attempt_is_charged_to_its_caller() -> None:
    state = Memory()
    rescued = exchange(attempts=(replace(FAILED, cost=70), SERVED, replace(SERVED, deployment="free", cost=None)))
    StateSink(state)(rescued, b"{}")
    assert await state.find(rescued.id) == b"{}"
    assert await state.spend("team-a") == {"sonnet": 70, "gpt": 5_210}
    assert await state.spend("team-b") == {}
