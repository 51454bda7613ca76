"""What a simulated model does for its next requests: what it says, at what pace, and what goes wrong.

Read next: faults.py, what can go wrong; play.py, which turns a request and a script into acts.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from gateway.testing.faults import FAULTS, Fault
from gateway.types import Usage

__all__ = ["Pace", "Script", "Scripts"]


class Pace(Struct, frozen=True):
    """How fast a model is: seconds until its first token, and for each token after it."""

    first_s: float = 0.0
    token_s: float = 0.0


class Script(Struct, frozen=True):
    """One way to behave, for ``times`` requests or for ``lasts_s`` seconds after the first of them; else for good.

    ``text`` None: made up from the prompt, ``words`` long; tools are called and JSON formats kept when the client
    asks for them. ``usage`` and ``finish`` replace what the answer would report; ``served_model`` is the name that
    the answer gives. ``fault`` is a Fault or a name in FAULTS.
    """

    text: str | None = None
    words: int | None = None
    reasoning: str | None = None
    refusal: str | None = None
    finish: str | None = None
    usage: Usage | None = None
    reports_usage: bool = True
    served_model: str | None = None
    pace: Pace = Pace()
    headers: tuple[tuple[str, str], ...] = ()
    fault: Fault | str | None = None
    times: int | None = None
    lasts_s: float | None = None


class Scripts:
    """The scripts of every model, and how much of each is left. ``*`` stands for every model not named.

    ``keys`` are faults by the bearer token that a request comes with, whatever its model does.
    """

    def __init__(self, default: Script | None = None) -> None:
        self.keys: dict[str, Fault | str] = {}
        self._default = default or Script()
        self._queued: dict[str, list[Script]] = {}
        self._ends_at: dict[str, float] = {}

    def __repr__(self) -> str:
        waiting = ", ".join(f"{model}: {len(left)} to come" for model, left in self._queued.items() if left)
        return f"Scripts({waiting or 'every model by default'})"

    @property
    def models(self) -> tuple[str, ...]:
        """The models that were given a script."""
        return tuple(model for model in self._queued if model != "*")

    def put(self, model: str, *scripts: Script) -> None:
        """Replace what a model does: the scripts one after the other, then the default.

        Raises ValueError for a fault that has no such name.
        """
        for script in scripts:
            fault_of(script.fault)
        self._queued[model] = list(scripts)
        self._ends_at.pop(model, None)

    def key_fault(self, authorization: str) -> Fault | None:
        """What goes wrong with the key in such a header. Raises ValueError for a fault that has no such name."""
        return fault_of(self.keys.get(authorization.removeprefix("Bearer ")))

    def take(self, model: str, now: float) -> Script:
        """The script for one request to a model at ``now`` (seconds), which it uses up."""
        name = model if model in self._queued else "*"
        queued = self._queued.get(name, [])
        while queued:
            script = queued[0]
            if script.lasts_s is not None and now >= self._ends_at.setdefault(name, now + script.lasts_s):
                self._drop(name)
                continue
            if script.times is None:
                return script
            if script.times > 0:
                queued[0] = replace(script, times=script.times - 1)
                return script
            self._drop(name)
        return self._default

    def _drop(self, name: str) -> None:
        self._queued[name].pop(0)
        self._ends_at.pop(name, None)


def fault_of(named: Fault | str | None) -> Fault | None:
    """The fault itself. Raises ValueError for an unknown name."""
    if not isinstance(named, str):
        return named
    if named not in FAULTS:
        raise ValueError(f"no fault is called {named!r}; there are: {', '.join(sorted(FAULTS))}")
    return FAULTS[named]
