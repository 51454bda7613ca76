"""The wall itself: a simulated provider with a model for each scenario.

Read next: scenarios.py, what its models do; suite.py, which asks through whatever stands before it.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from gateway.testing.faults import Refuse
from gateway.testing.prompt import read
from gateway.testing.script import Script
from gateway.testing.server import Received, SimulatedProvider
from gateway.testing.wall.scenarios import FALLBACKS, HEALTHY, SCENARIOS, Scenario
from gateway.testing.wall.seen import Profile, Try

__all__ = ["Wall", "at_pace"]

#: The fields of scripts, paces and faults that are durations.
DURATIONS = frozenset({"first_s", "token_s", "lasts_s", "every_s", "seconds"})


class Wall(SimulatedProvider):
    """A provider whose models fail as the catalogue says, at the pace of a profile. ``requests`` holds what came."""

    def __init__(self, profile: Profile, *, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(replace(HEALTHY, fault="not_found"), host=host, port=port)
        self.profile = profile

    def __repr__(self) -> str:
        return f"Wall({self.profile.name} profile, {super().__repr__()})"

    async def start(self) -> None:
        """As SimulatedProvider.start, with every model ready to fail."""
        await super().start()
        self.reset()

    def reset(self) -> None:
        """Begin anew: what fails once fails once more. Raises RuntimeError before it is started."""
        self.requests.clear()
        for name, script in FALLBACKS.items():
            self.script(name, at_pace(script, self.profile))
        for scenario in SCENARIOS.values():
            healthy = replace(scenario.scripts[-1], fault=None, times=None, lasts_s=None)
            scripts = [at_pace(self._placed(script), self.profile) for script in (*scenario.scripts, healthy)]
            self.script(scenario.id, *scripts)

    def tries(self, scenario: Scenario, mark: str) -> tuple[tuple[Try, ...], tuple[Try, ...], int]:
        """What came of questions with ``mark``: tries of the primary, tries of other models, and how many strayed."""
        came = [request for request in self.requests if mark.encode() in request.body]
        at_home = [request for request in came if "/elsewhere" not in request.path]
        seen = tuple(map(tried, at_home))
        primary = tuple(one for one in seen if one.model == scenario.id)
        return primary, tuple(one for one in seen if one.model != scenario.id), len(came) - len(at_home)

    def _placed(self, script: Script) -> Script:
        """The script with the wall's own port where a header needs it."""
        if not isinstance(script.fault, Refuse):
            return script
        headers = tuple((name, value.replace("{port}", str(self.port))) for name, value in script.fault.headers)
        return replace(script, fault=replace(script.fault, headers=headers))


def at_pace(value: Any, profile: Profile) -> Any:
    """A script, or anything in it, with all its durations as they are in a profile."""
    if not isinstance(value, Struct):
        return value
    changed: dict[str, Any] = {}
    for name in value.__struct_fields__:
        held = getattr(value, name)
        if name in DURATIONS and held is not None:
            changed[name] = profile.seconds(held)
        elif isinstance(held, Struct):
            changed[name] = at_pace(held, profile)
    return replace(value, **changed)


def tried(request: Received) -> Try:
    prompt = read(request.body)
    return Try(request.at, prompt.model, prompt.tokens, prefilled=prompt.last_role == "assistant")
