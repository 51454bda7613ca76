"""A stream that broke off after content went out, and how it is gone on with. Read next: ../providers/resumed.py.

What went out cannot be taken back. Another try may be given it as the beginning of its answer (``continue``), where
its deployment is known to take that and it is plain text; or it answers anew and what equals the beginning is left out
(``splice``), which may be JSON or tool calls as well. Half a refusal or one of several choices is not gone on with. The
client is told of the break in the stream when nothing of this succeeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from gateway.errors import Failure
from gateway.providers.protocol import Answer, Feed, SoFar
from gateway.providers.resumed import Resumed
from gateway.providers.shapes import size_of
from gateway.reliability.attempts import Attempts, Start, Stop
from gateway.types import Call, Usage
from gateway.types import Rescue as Mode
from gateway.upstream.care import Care
from gateway.upstream.targets import Target

if TYPE_CHECKING:
    from gateway.upstream.attempt import Current

__all__ = ["Rescue"]


class Rescue:
    """One request's broken stream.

    ``broken`` is its first break; ``carried`` says that another leg is under way; ``answered`` is the last leg of which
    anything has gone out.
    """

    __slots__ = ("_call", "_care", "_id", "_mode", "_refused", "_said", "_targets", "answered", "broken", "carried")

    def __init__(self, mode: Mode, call: Call, targets: Mapping[str, Target], care: Care) -> None:
        self.broken: Failure | None = None
        self.carried = False
        self.answered: Current | None = None
        self._mode = mode
        self._call = call
        self._targets = targets
        self._care = care
        self._said = SoFar()
        self._id = ""
        self._refused: set[str] = set()

    @property
    def more(self) -> int:
        """Bytes that the next leg may be given beside the client's request."""
        return size_of(self._said.text) if self.carried else 0

    def leg(self, current: Current, call: Call, spent: Usage | None) -> tuple[Call, Feed | None]:
        """What this try asks, and how its stream is read; the client's own call where nothing broke off.

        ``spent`` is what the legs before it have used.
        """
        if not self.carried:
            return call, None
        protocol, deployment = current.target.protocol, current.target.deployment
        known = self._said
        # Only canonical chunks can be gone on with, also where a provider speaks the client's own dialect.
        call = replace(call, native=None)
        current.rescue = self._way(deployment.name)
        if current.rescue == "continue":
            call, known = protocol.resume(call, deployment, self._said.text), SoFar()
        feed: Feed = Resumed(protocol.feed(call, deployment), id=self._id, known=known, spent=spent)
        return call, feed

    def next(self, attempts: Attempts, current: Current, failure: Failure, now: float) -> Start | Stop:
        """What follows a failure after content went out."""
        deployment = current.target.deployment
        unheard = self.carried and current.first_at is None
        if unheard and self._way(deployment.name) == "continue" and failure.kind == "client":
            # It says that it takes no beginning of an answer: the client must not be told of what it never asked.
            self._care.refused_to_continue(deployment)
            self._refused.add(deployment.name)
            return attempts.otherwise(now) if self._mode == "splice" else attempts.resume(failure, now, self._able)
        if self.broken is None:
            self.broken, self.answered = failure, current
        if not self._gone_out(current):
            return Stop()
        self.carried = True
        return attempts.resume(failure, now, self._able, deployment=deployment.name)

    def _gone_out(self, current: Current) -> bool:
        """Take note of what this leg has added. Whether all that went out can be gone on from."""
        said = current.said
        if self._mode == "off" or (self._call.fields.get("n") or 1) > 1:
            return False
        if current.first_at is None:
            return bool(self._said)
        if said is None or isinstance(said, Answer) or said.complete or (more := said.so_far) is None:
            return False
        if more:
            self.answered = current
        self._said += more
        self._id = self._id or said.id
        return bool(self._said)

    def _able(self, name: str) -> bool:
        return self._way(name) is not None

    def _way(self, name: str) -> Literal["continue", "splice"] | None:
        deployment = self._targets[name].deployment
        if (
            deployment.prefill
            and _is_plain(self._call)
            and not self._said.calls
            and name not in self._refused
            and self._care.continues(deployment)
        ):
            return "continue"
        return "splice" if self._mode == "splice" else None


def _is_plain(call: Call) -> bool:
    """Whether its answer is a text: a beginning of JSON is nothing that providers go on from."""
    form = call.fields.get("response_format")
    return form is None or form.get("type") == "text"
