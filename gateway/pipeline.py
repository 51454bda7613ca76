"""One request, from its arrival to its record: admit, gather, decide, act, record. Read this file first.

Read next: policy/decide.py, which decides; upstream/run.py, which acts; api/chat.py, the client's side of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import BadRequest, Failure, Forbidden, GatewayError, NotFound, Unauthorized, Unavailable
from gateway.intent import features
from gateway.intent.classify import Classifier
from gateway.keys import identify
from gateway.policy.decide import decide
from gateway.policy.match import AUTO, knows
from gateway.providers.protocol import Answer
from gateway.reliability.failures import MEANING, cooling_s
from gateway.state.verbs import State
from gateway.story import Story
from gateway.types import Asked, Call, Caller, Cooling, Decision, Deployment, Exchange, Snapshot, World
from gateway.upstream.run import Run
from gateway.upstream.targets import Target, make_ready
from gateway.upstream.transport import Transport

__all__ = ["Conversation", "Live", "Pipeline", "gather", "make_live"]

#: Verdicts that blame the request: when all of a pool say so, another deployment would not help.
OF_THE_REQUEST: Final = frozenset({"cannot", "context_too_small"})


class Live(Struct, frozen=True, eq=False):
    """A World made ready to serve. Requests in flight keep theirs when another takes its place."""

    world: World
    targets: Mapping[str, Target]
    classifier: Classifier


def make_live(world: World, transports: Mapping[str, Transport]) -> Live:
    """Everything that is built once for a World rather than for a request."""
    return Live(world, make_ready(world, transports), Classifier(world.intents))


class Conversation(Protocol):
    """The client's side of one request, in whatever dialect it speaks. The pipeline calls each step at most once."""

    @property
    def id(self) -> str:
        """Hex; the request's, the decision's and the record's."""
        ...

    @property
    def credential(self) -> str | None:
        """The key that came with the request, as it came."""
        ...

    async def read(self, world: World) -> Call:
        """The request. Raises a GatewayError that says what is wrong with it."""
        ...

    async def answer(self, answer: Answer, story: Story) -> None:
        """A whole answer."""
        ...

    async def begin(self, story: Story) -> None:
        """The head of a stream."""
        ...

    async def write(self, data: bytes) -> None:
        """Whole events of a stream; waits while the client is slow."""
        ...

    async def end(self, failure: Failure | None, story: Story) -> None:
        """The end of a stream: complete, or broken off."""
        ...

    async def refuse(self, error: GatewayError, story: Story) -> None:
        """An error instead of an answer."""
        ...


Sink = Callable[[Exchange], None]


class Pipeline:
    """Serves requests with the Live world it holds; ``live`` is swapped whole on reload.

    ``refreshed_at`` is when the state last heard from the fleet, in monotonic seconds; whoever syncs it sets it.
    """

    def __init__(
        self,
        live: Live,
        state: State,
        record: Sink,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        refused: Callable[[str], None],
    ) -> None:
        self.live = live
        self.state = state
        self.inflight = 0
        self.refreshed_at = clock()
        self._record = record
        self._clock = clock
        self._wall = wall
        self._refused = refused

    async def serve(self, conversation: Conversation, *, client: str | None = None, retry: int = 0) -> None:
        """One request. Whatever happens, it ends with exactly one record."""
        live = self.live
        story = Story(conversation.id, self._wall(), self._clock(), live.world, client, retry)
        self.inflight += 1
        try:
            story.caller = identify(conversation.credential, live.world)
            story.call = call = _tagged(await conversation.read(live.world), story.caller)
            admit(call, story.caller, live.world)
            snapshot = self._look_around()
            asked = gather(call, story.caller, live.classifier)
            story.features, story.signals = asked.features, asked.signals
            story.snapshot_age_s = snapshot.at - self.refreshed_at
            story.decision = decision = decide(asked, live.world, snapshot)
            if not decision.plan.tries:
                raise _nothing_can(decision, call)
            await self._act(call, decision, live, story, conversation)
        except GatewayError as error:
            story.error, story.status = error, error.status
            if isinstance(error, Unauthorized):
                self._refused(error.code or "unauthorized")
            await conversation.refuse(error, story)
        except asyncio.CancelledError:
            story.cancelled, story.status = True, 499
            raise
        except Exception:
            story.error, story.status = GatewayError("The gateway failed; its log says how."), 500
            raise
        finally:
            self.inflight -= 1
            self._record(story.close(self._clock()))

    async def _act(self, call: Call, decision: Decision, live: Live, story: Story, conversation: Conversation) -> None:
        run = Run(call, decision, live.targets, story=story, noticed=self._notice, clock=self._clock)
        if not call.stream:
            answer = await run.json()
            story.status, story.delivered_at = 200, self._clock()
            await conversation.answer(answer, story)
            return
        streamed = await run.stream(conversation)
        story.status, story.broken = 200, streamed.failure
        await conversation.end(streamed.failure, story)

    def _look_around(self) -> Snapshot:
        now = self._clock()
        return Snapshot(at=now, cooling=self.state.cooling(now))

    def _notice(self, deployment: Deployment, failure: Failure) -> None:
        """A failure that speaks of the deployment, or its account, rather than of the request: leave it alone."""
        rest = cooling_s(failure)
        if not rest:
            return
        cooling = Cooling(self._clock() + rest, failure.kind)
        account = deployment.account
        if MEANING[failure.kind].cools == "account" and len(account.keys) <= 1:
            for name, other in self.live.world.deployments.items():
                if other.account is account:
                    self.state.cool(name, cooling)
        else:
            self.state.cool(deployment.name, cooling)


def admit(call: Call, caller: Caller, world: World) -> None:
    """May this caller ask for this? Raises NotFound for a model that is unknown, Forbidden for one not the caller's."""
    if not knows(world, call.model):
        raise NotFound(
            f"The model {call.model[:64]!r} does not exist here: GET /v1/models lists those that do.",
            code="model_not_found",
            param="model",
        )
    name = world.aliases.get(call.model, call.model)
    allowed = caller.models if name in world.deployments else caller.routes
    if name != AUTO and allowed is not None and name not in allowed:
        raise Forbidden(f"Key {caller.id} may not use {call.model[:64]!r}.", code="model_not_allowed", param="model")


def _tagged(call: Call, caller: Caller) -> Call:
    """The call with its key's tags, which count more than those that a client gives itself."""
    return replace(call, tags={**call.tags, **caller.tags}) if caller.tags else call


def gather(call: Call, caller: Caller, classifier: Classifier) -> Asked:
    """All that can be said of a request by itself. The seed of its chances is its id."""
    reading = features.read(call.fields, call.size)
    return Asked(call, caller, reading.features, classifier.signals(reading), int(call.id[-16:], 16))


def _nothing_can(decision: Decision, call: Call) -> GatewayError:
    """Nothing is eligible: the key's or the request's fault where every verdict says so, else ours."""
    reasons = {v.why.code for v in decision.verdicts if v.why is not None}
    if not reasons:
        return NotFound(f"No route takes this request for {call.model[:64]!r}.", code="no_route", param="model")
    codes = reasons - {"not_allowed_to_key"}
    if not codes:
        said = f"The key may use none of the deployments of {call.model[:64]!r}."
        return Forbidden(said, code="model_not_allowed", param="model")
    if codes <= OF_THE_REQUEST:
        code = "context_length_exceeded" if codes == {"context_too_small"} else "unsupported_request"
        return BadRequest(f"No deployment of {call.model[:64]!r} can serve this request.", code=code, param="messages")
    return Unavailable(f"No deployment can serve {call.model[:64]!r} now.", code="no_deployment")
