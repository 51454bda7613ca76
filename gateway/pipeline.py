"""One request, from its arrival to its record: admit, gather, decide, act, record. Read this file first.

Read next: policy/decide.py, which decides; upstream/run.py, which acts; api/chat.py, the client's side of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from math import inf
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from gateway.admission import Admission, Priority
from gateway.budgets.bound import bound_of_all
from gateway.budgets.scopes import scopes_of
from gateway.budgets.shorten import shortened
from gateway.cache.kept import Store, keep, restore
from gateway.cache.stale import Stale, key_of
from gateway.errors import Failure, Forbidden, GatewayError, NotFound, Unauthorized
from gateway.health.health import Health
from gateway.identity.token import is_token
from gateway.identity.tokens import Tokens
from gateway.intent import features
from gateway.intent.classify import Classifier
from gateway.keys.credential import Address, Visitor
from gateway.keys.porter import Porter, check_address
from gateway.limits.limiter import Limiter, Ticket
from gateway.policy.decide import DIRECT_POLICY, decide
from gateway.policy.match import AUTO, knows
from gateway.policy.reference import reference_of
from gateway.providers.protocol import Answer
from gateway.providers.stream import as_stream
from gateway.refusal import full, nothing_can
from gateway.story import Story
from gateway.treasury import Purse, Treasury
from gateway.types import (
    Asked,
    Call,
    Caller,
    Decision,
    Deployment,
    Exchange,
    Networks,
    Policy,
    Snapshot,
    World,
)
from gateway.upstream.count import count
from gateway.upstream.credentials.make import Credentials
from gateway.upstream.run import NotBegun, Run
from gateway.upstream.targets import Target, make_ready
from gateway.upstream.transport import Transport

__all__ = ["Conversation", "Live", "Pipeline", "gather", "make_live"]


class Live(Struct, frozen=True, eq=False):
    """A World made ready to serve. Requests in flight keep theirs when another takes its place.

    ``foreign``: a provider in it speaks another protocol than the canonical one. ``references`` are what the savings of
    each route are reckoned against. ``tokens``: those that count as keys do, None where only keys count.
    """

    world: World
    targets: Mapping[str, Target]
    policies: Mapping[str, Policy]
    classifier: Classifier
    foreign: bool
    references: Mapping[str, Deployment | None] = {}
    tokens: Tokens | None = None


def make_live(
    world: World,
    transports: Mapping[str, Transport],
    credentials: Credentials | None = None,
    tokens: Tokens | None = None,
) -> Live:
    """Everything that is built once for a World rather than for a request."""
    policies = {route.name: route.policy for route in world.routes}
    targets = make_ready(world, transports, credentials)
    foreign = any(target.protocol.dialect != "openai" for target in targets.values())
    references = {name: reference_of(policy, world.deployments) for name, policy in policies.items()}
    return Live(world, targets, policies, Classifier(world.intents), foreign, references, tokens)


class Conversation(Protocol):
    """The client's side of one request, in whatever dialect it speaks. The pipeline calls each step at most once."""

    @property
    def id(self) -> str:
        """Hex; the request's, the decision's and the record's."""
        ...

    @property
    def credential(self) -> str | None:
        """The key or token that came with the request, as it came."""
        ...

    def address(self, proxies: Networks) -> Address | None:
        """Where it comes from; see keys/credential.py."""
        ...

    @property
    def priority(self) -> Priority:
        """How urgent it is, as far as the request says it: a key may say something else."""
        ...

    @property
    def patience_at(self) -> float:
        """Until when the caller waits, as far as the head of the request says it (monotonic seconds, else infinite)."""
        ...

    @property
    def started(self) -> bool:
        """Whether the head of an answer has gone out."""
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

    async def write(self, data: bytes, dialect: str) -> None:
        """Whole events of a stream, canonical or the client's own; waits while the client is slow."""
        ...

    def push(self, data: bytes, dialect: str) -> bool:
        """As ``write``, at once; False, and nothing done, where the client is slow."""
        ...

    async def keep_alive(self) -> None:
        """A sign of life in a stream that has nothing to say yet."""
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
        health: Health,
        admission: Admission,
        record: Sink,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        refused: Callable[[str], None],
        store: Store,
        treasury: Treasury,
        porter: Porter,
        limiter: Limiter,
    ) -> None:
        self._treasury = treasury
        self.live = live
        self.health = health
        self.admission = admission
        self.refreshed_at = clock()
        self._turn = 0
        self._stale = Stale()
        self._store = store
        self._porter = porter
        self._limiter = limiter
        self._record = record
        self._clock = clock
        self._wall = wall
        self._refused = refused

    async def serve(self, conversation: Conversation, *, client: str | None = None, retry: int = 0) -> None:
        """One request. Whatever happens, it ends with exactly one record."""
        live = self.live
        story = Story(conversation.id, self._wall(), self._clock(), live.world, client, retry)
        entered, tenant, purse, ticket = False, None, None, None
        try:
            # The key is proved only inside, since those who are turned away must cost nothing.
            story.priority = _urgency(conversation, self._porter.claimed(conversation.credential, live.world))
            if not self.admission.enter(story.priority):
                # Whose turn it is depends on who asks; who may not ask at all need not wait to be told.
                story.caller = await self.who(conversation, live)
                tenant = story.caller.tenant
                story.priority = _urgency(conversation, story.caller)
                await self.admission.wait(tenant, story.priority, conversation.patience_at)
            entered = True
            # Also of who has waited: meanwhile the key may have been revoked.
            story.caller = await self.who(conversation, live)
            if tenant is None:
                tenant = story.caller.tenant
                self.admission.took(tenant)
            story.priority = _urgency(conversation, story.caller)
            story.standing = self._limiter.teller(story.caller)
            story.call = call = _tagged(await conversation.read(live.world), story.caller)
            admit(call, story.caller, live.world)
            asked = gather(call, story.caller, live.classifier)
            story.features, story.signals = asked.features, asked.signals
            ticket = await self._let_in(asked, story)
            if call.operation == "chat":
                purse = self._treasury.purse(call.id, scopes_of(story.caller, call.user))
            await self._carry_out(asked, live, story, conversation, purse)
        except GatewayError as error:
            story.error, story.status = error, error.status
            # Who is not even begun gets no shorter answer either.
            story.warnings = story.warnings if story.attempts else ()
            if not await self._degrade(error, live, conversation, story):
                await conversation.refuse(error, story)
        except asyncio.CancelledError:
            story.cancelled, story.status = True, 499
            raise
        except Exception:
            story.error, story.status = GatewayError("The gateway failed; its log says how."), 500
            raise
        finally:
            if entered:
                self.admission.leave(tenant)
            if purse is not None:
                purse.close()
            if ticket is not None:
                ticket.end(story.usage, self._clock())
            self._record(story.close(self._clock()))

    async def _let_in(self, asked: Asked, story: Story) -> Ticket | None:
        """Take what the request needs of its caller's limits. Raises RateLimited where it does not fit."""
        caller, user = story.caller, asked.call.user
        story.standing = self._limiter.teller(caller, user)
        gates = self._limiter.gates(caller, user)
        if not gates:
            return None
        need = self._limiter.need(asked.features, counted=asked.call.operation != "count_tokens")
        ticket = await self._limiter.enter(gates, need, self._clock())
        story.standing = ticket.standing
        return ticket

    async def who(self, visitor: Visitor, live: Live) -> Caller:
        """Who asks. Raises Unauthorized, Forbidden or Unavailable; why nobody is let in is counted."""
        try:
            credential = visitor.credential
            if live.tokens is not None and live.world.auth and credential is not None and is_token(credential):
                caller = await live.tokens.caller_of(credential, self._wall())
                check_address(caller, visitor, live.world)
                return caller
            # Whose key is known here need not be asked for.
            return self._porter.known(visitor, live.world) or await self._porter.identify(visitor, live.world)
        except Unauthorized as error:
            self._refused(error.reason)
            raise
        except Forbidden as error:
            self._refused(error.code or "forbidden")
            raise

    async def _carry_out(
        self, asked: Asked, live: Live, story: Story, conversation: Conversation, purse: Purse | None
    ) -> None:
        """Decide and act; once more where all that was decided on had come to be left alone in between."""
        asked, decision = await self._decide(asked, live, story, purse)
        if asked.call.operation == "count_tokens":
            await self._count(asked, decision, live, story, conversation)
            return
        try:
            story.reference = _reference(decision, live)
            await self._act(asked.call, decision, live, story, conversation, purse)
        except NotBegun:
            if purse is not None:
                # What was reserved for the first plan is not in the way of the second.
                purse.close()
            asked, decision = await self._decide(asked, live, story, purse)
            try:
                await self._act(asked.call, decision, live, story, conversation, purse)
            except NotBegun as nothing:
                raise self._why(nothing, asked, live, story, purse) from None

    async def _act(
        self,
        call: Call,
        decision: Decision,
        live: Live,
        story: Story,
        conversation: Conversation,
        purse: Purse | None,
    ) -> None:
        reliability = live.world.reliability
        run = Run(
            await self._restored(call, decision, live, story.caller) if live.foreign else call,
            decision,
            live.targets,
            live.world.deployments,
            story=story,
            care=self.health,
            reliability=reliability,
            clock=self._clock,
            purse=purse,
        )
        if not call.stream:
            answer = await run.json()
            story.status, story.delivered_at = 200, self._clock()
            self._keep(run, call, story)
            if live.policies.get(decision.route, DIRECT_POLICY).degrade_s is not None:
                self._stale.keep(key_of(call, story.caller), answer, story.delivered_at)
            await conversation.answer(answer, story)
            return
        try:
            story.broken = await run.stream(conversation)
        finally:
            self._keep(run, call, story)
        story.status = 200
        await conversation.end(story.broken, story)

    async def _count(
        self, asked: Asked, decision: Decision, live: Live, story: Story, conversation: Conversation
    ) -> None:
        """Tokens are only counted: by the provider that would serve where it does that, else as far as bytes tell."""
        target = live.targets[decision.plan.tries[0].deployment]
        number = await count(target, asked.call, story, self._clock)
        story.estimated = number is None
        tokens = asked.features.input_tokens if number is None else number
        story.status, story.delivered_at = 200, self._clock()
        await conversation.answer(Answer(b'{"input_tokens":%d}' % tokens, None, None, None, 0, "anthropic"), story)

    def _keep(self, run: Run, call: Call, story: Story) -> None:
        """For the next turn, before the client can ask for it."""
        for kept in run.kept:
            keep(self._store, story.caller, call, kept)

    async def _restored(self, call: Call, decision: Decision, live: Live, caller: Caller) -> Call:
        """The call with what providers that may serve it want back of earlier turns."""
        spoken = {live.targets[one.deployment].protocol.dialect for one in decision.plan.tries}
        known = {"openai", call.dialect}
        return await restore(self._store, caller, call, spoken - known) if spoken - known else call

    async def _decide(self, asked: Asked, live: Live, story: Story, purse: Purse | None) -> tuple[Asked, Decision]:
        """The decision, as soon as something has room, paid for as far as its first try; and what it was made on.

        Raises what a client is to be told when nothing can serve.
        """
        until_at: float | None = None
        while True:
            snapshot = self._look_around(asked, purse)
            story.snapshot_age_s = snapshot.at - self.refreshed_at
            story.decision = decision = decide(asked, live.world, snapshot)
            if decision.plan.tries:
                if purse is None or await purse.secure(_most(asked, decision, live.world)):
                    return asked, decision
                continue
            if purse is not None and (shorter := self._shortened(asked, decision, live, purse)) is not None:
                asked, warning = shorter
                story.call, story.features, story.warnings = asked.call, asked.features, (warning,)
                continue
            if until_at is None:
                until_at = min(snapshot.at + live.world.admission.wait_s, asked.call.deadline_at or inf)
            if not (names := full(decision)) or not await self.admission.for_room(
                asked.caller.tenant, story.priority, names, until_at
            ):
                raise nothing_can(decision, asked.call, snapshot, purse.spans() if purse is not None else None)

    def _shortened(self, asked: Asked, decision: Decision, live: Live, purse: Purse) -> tuple[Asked, str] | None:
        """The request with as many tokens for its answer as its budgets hold, where its policy wants that."""
        whys = [v.why for v in decision.verdicts if v.why is not None and v.why.code == "over_budget"]
        if not whys:
            return None
        purse.refused(min([int(why.args[1]) for why in whys]))
        if not live.policies.get(decision.route, DIRECT_POLICY).lower_max_tokens:
            return None
        return shortened(asked, decision, live.world)

    def _why(self, nothing: NotBegun, asked: Asked, live: Live, story: Story, purse: Purse | None) -> GatewayError:
        """What others took first, twice: whose limit it was, and when to come again."""
        snapshot = self._look_around(asked, purse)
        decision = decide(asked, live.world, snapshot)
        if any(not planned.wait_s for planned in decision.plan.tries):
            return nothing
        story.decision = decision
        return nothing_can(decision, asked.call, snapshot, purse.spans() if purse is not None else None)

    async def _degrade(self, error: GatewayError, live: Live, conversation: Conversation, story: Story) -> bool:
        """Nothing could serve: hand out an earlier answer to the same request, where its route keeps any."""
        call, decision = story.call, story.decision
        if call is None or decision is None or conversation.started or not (error.status >= 500 or error.status == 429):
            return False
        limit, now = live.policies.get(decision.route, DIRECT_POLICY).degrade_s, self._clock()
        found = self._stale.find(key_of(call, story.caller), limit, now) if limit is not None else None
        if found is None or (call.stream and found[1].dialect != "openai"):
            return False
        story.stale_s, story.status, story.delivered_at = found[0], 200, now
        if not call.stream:
            await conversation.answer(found[1], story)
            return True
        await conversation.begin(story)
        await conversation.write(as_stream(found[1].body, usage=call.include_usage), "openai")
        await conversation.end(None, story)
        return True

    def _look_around(self, asked: Asked, purse: Purse | None) -> Snapshot:
        now = self._clock()
        self._turn += 1
        funds = purse.funds(now) if purse is not None else None
        cooling = self.health.cooling(asked.features, now, asked.caller.tenant)
        return Snapshot(now, cooling, self.health.load(now), self._turn, funds)


def _urgency(conversation: Conversation, caller: Caller | None) -> Priority:
    """A key that says how urgent it is counts more than a request that does."""
    said = conversation.priority
    return said if caller is None or caller.priority is None else caller.priority


def admit(call: Call, caller: Caller, world: World) -> None:
    """May this caller ask for this? Raises NotFound for an unknown model, Forbidden for what is not the caller's."""
    if caller.operations is not None and call.operation not in caller.operations:
        raise Forbidden(f"Key {caller.id} may not be used for {call.operation}.", code="operation_not_allowed")
    if not knows(world, call.model):
        raise NotFound(
            f"The model {call.model[:64]!r} does not exist here: GET /v1/models lists those that do.",
            code="model_not_found",
            param="model",
        )
    name = world.aliases.get(call.model, call.model)
    allowed = caller.models if name in world.deployments else caller.routes
    if name != AUTO and allowed is not None and name not in allowed:
        raise Forbidden(
            f"Key {caller.id} may not use {call.model[:64]!r}: GET /v1/models lists what it may.",
            code="model_not_allowed",
            param="model",
        )


def _most(asked: Asked, decision: Decision, world: World) -> int:
    """What the first try may cost, in micro-dollars; one whose price nobody knows costs nothing."""
    first = world.deployments[decision.plan.tries[0].deployment]
    return bound_of_all(asked.call, asked.features, first) or 0


def _reference(decision: Decision, live: Live) -> Deployment | None:
    """What its saving is reckoned against. Who names a deployment saves nothing."""
    if decision.route in live.references:
        return live.references[decision.route]
    return live.world.deployments[decision.plan.tries[0].deployment]


def _tagged(call: Call, caller: Caller) -> Call:
    """The call with its caller's tags and end user, which count more than those that a client gives itself."""
    if caller.user is not None:
        call = replace(call, user=caller.user)
    return replace(call, tags={**call.tags, **caller.tags}) if caller.tags else call


def gather(call: Call, caller: Caller, classifier: Classifier) -> Asked:
    """All that can be said of a request by itself. The seed of its chances is its id."""
    reading = features.read(call.fields, call.size)
    return Asked(call, caller, reading.features, classifier.signals(reading), int(call.id[-16:], 16))
