"""Carries a plan out: the only loop around provider calls. Read next: ../reliability/attempts.py, which steers it.

It does what Attempts says and writes every try down; attempt.py makes one try. What it knows itself: a try needs
leave, a slow first try may get another one beside it (race.py), and a stream that breaks off may be gone on with by
another (rescue.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from gateway.budgets.bound import bound, guess
from gateway.errors import Failure, GatewayError, Unavailable
from gateway.money import cost
from gateway.providers.choices import takes_choices, total
from gateway.providers.protocol import Answer, Kept
from gateway.reliability.attempts import Attempts, Start, Stop
from gateway.reliability.failures import to_client
from gateway.story import Story, micros
from gateway.types import Attempt, Call, Decision, Deployment, Reliability, Usage
from gateway.upstream.attempt import Current, Trial
from gateway.upstream.care import Care
from gateway.upstream.delivery import Client, Delivery
from gateway.upstream.purse import Purse
from gateway.upstream.race import Race
from gateway.upstream.rescue import Rescue
from gateway.upstream.several import Merged, Several
from gateway.upstream.targets import Target

__all__ = ["Client", "NotBegun", "Run"]

Done = TypeVar("Done")
Act = Callable[[Current], Awaitable[Done | Failure]]


class Run:
    """One request's plan, carried out once: by ``json`` or by ``stream``.

    ``kept`` is what its provider wants back in the next turn, for each choice that is complete, whoever waits for it.
    """

    def __init__(
        self,
        call: Call,
        decision: Decision,
        targets: Mapping[str, Target],
        deployments: Mapping[str, Deployment],
        *,
        story: Story,
        care: Care,
        reliability: Reliability,
        clock: Callable[[], float],
        purse: Purse | None = None,
    ) -> None:
        self._purse = purse
        self.kept: list[Kept] = []
        self._call = call
        self._choices: int = call.fields.get("n") or 1
        self._targets = targets
        self._story = story
        self._care = care
        self._clock = clock
        plan = decision.plan
        self._keep_alive_s = reliability.keepalive_s
        self._rescue = Rescue(plan.rescue, call, targets, care)
        self._delivery: Delivery | None = None
        self._attempts = attempts = Attempts(plan, deployments, decision.seed, clock(), until=call.deadline_at)
        self._race = (
            Race(plan.hedge, attempts, care, clock, begin=self._begin, give_over=self._given_over)
            if plan.hedge is not None
            else None
        )
        self._trial = Trial(
            call, care, story, clock, attempts.deadline_at, auto=reliability.stream == "auto", won=self._won
        )

    async def json(self) -> Answer:
        """The first whole answer. Raises UpstreamFailed when the plan is spent, NotBegun when nothing began."""
        done = await self._carry_out(self._trial.whole)
        if isinstance(done, Failure):
            raise self._given_up(done)
        return done

    async def stream(self, client: Client) -> Failure | None:
        """The first stream that has content, relayed to its end; why it broke off, None when it is complete.

        Raises as ``json`` when none had content.
        """
        self._delivery = delivery = Delivery(client, self._story, self._clock, self._keep_alive_s)
        try:
            done = await self._carry_out(lambda one: self._trial.relay(one, one.share or delivery, self._rescue))
        finally:
            await delivery.close()
        if not isinstance(done, Failure):
            return None
        if delivery.committed:
            self._name_who_answered()
            return self._rescue.broken or done
        raise self._given_up(done)

    def _given_up(self, failure: Failure) -> GatewayError:
        """The plan is spent. Of several rate limits the one that ends first is when to come again."""
        waits = [a.failure.retry_after_s for a in self._story.attempts if a.failure and a.failure.kind == "rate"]
        known = [wait for wait in waits if wait is not None]
        return to_client(failure, retry_after_s=min(known) if failure.kind == "rate" and known else None)

    def _name_who_answered(self) -> None:
        """In the record of a stream that broke off: not one that was to go on with it and said nothing."""
        answered = self._rescue.answered
        if answered is not None:
            self._story.serving = answered.target.deployment
            self._story.served_model = answered.said.model if answered.said is not None else None

    # --- the loop -----------------------------------------------------------------------------------------------

    async def _carry_out(self, act: Act[Done]) -> Done | Failure:
        step = self._attempts.first(self._clock())
        failure: Failure | None = None
        while isinstance(step, Start):
            if not await self._wait_until(step.at):
                break
            current = self._begin(step)
            if current is None:
                step = self._attempts.skipped(self._clock())
                continue
            if self._choices > 1 and not takes_choices(current.target.deployment):
                outcome = await self._in_calls(current, act)
            elif self._race is not None and step.n == 1:
                current, outcome = await self._race.run(current, lambda one: self._once(one, act))
            else:
                outcome = await self._once(current, act)
            if not isinstance(outcome, Failure):
                return outcome
            failure = outcome
            step = self._next(current, failure)
        if failure is not None:
            return failure
        if isinstance(step, Start) or step.deadline:
            raise to_client(Failure("silent", "the deadline passed before a provider could be tried"))
        raise NotBegun("No deployment can serve this request now.", code="no_deployment")

    async def _in_calls(self, first: Current, act: Act[Done]) -> Done | Failure:
        """A try of as many calls as there are choices; what all of them used is the answer's."""
        delivery, story = self._delivery, self._story
        merged = Merged(self._choices, delivery, story, self._clock) if delivery is not None else None
        several = Several(self._call, begin=self._begin, give_over=self._given_over, merged=merged)
        outcome: Done | Failure = await several.run(first, lambda one: self._once(one, act))
        if not isinstance(outcome, Failure):
            story.usage = total([attempt.usage for attempt in story.attempts if attempt.n == first.start.n])
        return outcome

    async def _wait_until(self, at: float) -> bool:
        """Wait until then; whether there is still time to begin anything. A loop's timer may go off a little early."""
        now = self._clock()
        while now < at:
            await asyncio.sleep(at - now)
            now = self._clock()
        return now < self._attempts.deadline_at

    def _next(self, current: Current, failure: Failure) -> Start | Stop:
        now, deployment = self._clock(), current.target.deployment
        if self._delivery is not None and self._delivery.committed:
            return self._rescue.next(self._attempts, current, failure, now)
        return self._attempts.failed(
            failure,
            now,
            deployment=deployment.name,
            other_key=len(current.target.endpoints) > 1 and self._care.other_key(deployment, now),
            may_retry=lambda: self._story.retry == 0 and self._care.may_retry(deployment, now),
        )

    def _begin(self, start: Start) -> Current | None:
        """A try with leave to be made, None where there is no leave any more."""
        target, story, now = self._targets[start.deployment], self._story, self._clock()
        assert story.features is not None
        leave = self._care.leave(target.deployment, story.features, now, story.caller.tenant)
        if leave is None:
            story.passed_over = True
            return None
        reserved = None
        if self._purse is not None:
            most = bound(self._call, story.features, target.deployment, more=self._rescue.more)
            try:
                reserved = self._purse.begin(most or 0)
            except GatewayError:
                leave.left(now)
                raise
            if reserved is None:
                leave.left(now)
                story.passed_over = True
                return None
        story.serving, story.tries = target.deployment, story.tries + 1
        if story.tried_at is None:
            story.tried_at = now
        return Current(start, target, leave, now, reserved=reserved)

    async def _once(self, current: Current, act: Act[Done]) -> Done | Failure:
        """One try, and its line in the story however it ends: a client that leaves cancels it from outside."""
        try:
            outcome = await act(current)
        except asyncio.CancelledError:
            self._given_over(current)
            raise
        except Exception:
            current.over = True
            current.leave.left(self._clock())
            if current.reserved is not None:
                current.reserved.settle(current.reserved.micros)
            raise
        failure = outcome if isinstance(outcome, Failure) else None
        usage = self._write_down(current, failure)
        current.over = True
        current.leave.ended(failure, usage, self._clock())
        return outcome

    def _given_over(self, current: Current) -> None:
        """Nobody waits for this try any more."""
        current.over = True
        current.leave.left(self._clock())
        self._write_down(current, None, cancelled=True)

    def _won(self, winner: Current) -> None:
        """The first content has come."""
        self._story.serving = winner.target.deployment
        self._story.dropped = winner.dropped
        if self._race is not None:
            self._race.won(winner)

    # --- the record ---------------------------------------------------------------------------------------------

    def _write_down(self, current: Current, failure: Failure | None, *, cancelled: bool = False) -> Usage | None:
        target, story = current.target, self._story
        received_at = story.received_at
        usage = current.said.usage if current.said is not None else None
        if usage is None and (failure is None or current.first_at is not None):
            assert story.features is not None
            written = current.said.output_bytes if current.said is not None else 0
            usage = guess(self._call, story.features, target.deployment, written)
        price = cost(target.deployment.price, usage)
        if current.reserved is not None:
            current.reserved.settle(price or 0)
        story.attempts.append(
            Attempt(
                n=current.start.n,
                deployment=target.deployment.name,
                provider=target.deployment.account.name,
                model=target.deployment.model,
                started_s=micros(current.started_at - received_at),
                ended_s=micros(self._clock() - received_at),
                part=current.rescue or current.start.part,
                first_s=micros(current.first_at - received_at) if current.first_at is not None else None,
                status=current.status,
                failure=failure,
                cancelled=cancelled,
                usage=usage,
                cost=price,
                provider_request_id=current.request_id,
            )
        )
        said = current.said
        if (
            failure is None
            and said is not None
            and said.kept is not None
            and (isinstance(said, Answer) or said.complete)
        ):
            self.kept.append(said.kept)
        carried = self._rescue.carried
        if usage is not None and (carried or story.usage is None or not cancelled):
            story.usage = story.usage + usage if carried and story.usage is not None else usage
        if current.said is not None and not cancelled:
            story.served_model = current.said.model
        return usage


class NotBegun(Unavailable):
    """Nothing was asked: all that was planned has been left alone since. Another decision can see why."""
