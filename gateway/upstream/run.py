"""Carries a plan out: the only loop around provider calls. Read next: ../reliability/attempts.py, which steers it.

``run`` does what Attempts says, writes every try down, and knows one rule of its own: nothing reaches the client
before the first content, so that every earlier failure can still be made good by another try.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import (
    ConnectFailed,
    Disconnected,
    Failure,
    FailureKind,
    ProtocolViolation,
    Timeout,
    TransportError,
)
from gateway.intent.features import BYTES_PER_TOKEN
from gateway.money import cost
from gateway.providers.protocol import Answer, Feed
from gateway.reliability.attempts import Attempts, Start
from gateway.reliability.failures import to_client
from gateway.story import Story, micros
from gateway.types import Attempt, Call, Decision, Deployment, Timeouts, Usage, WireRequest
from gateway.upstream.targets import Target
from gateway.upstream.transport import Response

__all__ = ["Client", "Run", "Streamed"]

#: The most of an error answer that is read, in bytes.
ERROR_BODY: Final = 256 * 1024

#: How long usage and ``[DONE]`` may take after the finish reason, in seconds; without them the answer is whole too.
AFTER_FINISH_S: Final = 2.0
#: How long the end of a stream may lag behind its last event before its connection is given up, in seconds.
LINGER_S: Final = 0.5
#: Headers in which providers name a request; the first that is there is kept.
REQUEST_IDS: Final = frozenset(
    b"x-request-id request-id apim-request-id x-amzn-requestid mistral-correlation-id x-generation-id".split()
)

Noticed = Callable[[Deployment, Failure], None]
Done = TypeVar("Done")


class Client(Protocol):
    """Where a stream goes. ``begin`` sends the head; ``write`` waits while the client is slow."""

    async def begin(self, story: Story) -> None:
        """The first content is there: send the head."""
        ...

    async def write(self, data: bytes) -> None:
        """Whole events."""
        ...


class Streamed(Struct, frozen=True):
    """A stream that reached the client. ``failure`` is why it broke off, None when it is complete."""

    failure: Failure | None = None


class _Try(Struct):
    """One try while it runs. Times are monotonic seconds."""

    start: Start
    target: Target
    started_at: float
    status: int | None = None
    first_at: float | None = None
    said: Answer | Feed | None = None
    request_id: str | None = None


class Run:
    """One request's plan, carried out once: by ``json`` or by ``stream``."""

    def __init__(
        self,
        call: Call,
        decision: Decision,
        targets: Mapping[str, Target],
        *,
        story: Story,
        noticed: Noticed,
        clock: Callable[[], float],
    ) -> None:
        self._call = call
        self._seed = decision.seed
        self._targets = targets
        self._story = story
        self._noticed = noticed
        self._clock = clock
        deployments = {t.deployment: targets[t.deployment].deployment for t in decision.plan.tries}
        self._attempts = Attempts(decision.plan, deployments, decision.seed, clock(), until=call.deadline_at)

    async def json(self) -> Answer:
        """The first whole answer. Raises UpstreamFailed when the plan is spent."""
        return await self._carry_out(self._answer)

    async def stream(self, client: Client) -> Streamed:
        """The first stream that has content, relayed to its end. Raises UpstreamFailed when none had."""
        return await self._carry_out(lambda current: self._relay(current, client))

    async def _carry_out(self, act: Callable[[_Try], Awaitable[Done | Failure]]) -> Done:
        step = self._attempts.first(self._clock())
        failure: Failure | None = None
        while isinstance(step, Start):
            if (wait := step.at - self._clock()) > 0:
                await asyncio.sleep(wait)
            outcome = await self._once(step, act)
            if not isinstance(outcome, Failure):
                return outcome
            failure = outcome
            step = self._attempts.failed(failure, self._clock())
        raise to_client(failure or _OUT_OF_TIME)

    async def _once(self, start: Start, act: Callable[[_Try], Awaitable[Done | Failure]]) -> Done | Failure:
        """One try, and its line in the story however it ends: a client that leaves cancels it from outside."""
        target = self._targets[start.deployment]
        current = _Try(start, target, self._clock())
        story = self._story
        story.serving, story.tries = target.deployment, story.tries + 1
        if story.tried_at is None:
            story.tried_at = current.started_at
        try:
            outcome = await act(current)
        except TransportError as error:
            outcome = _meaning(error, current)
        except asyncio.CancelledError:
            self._write_down(current, None, cancelled=True)
            raise
        failure = outcome.failure if isinstance(outcome, Streamed) else outcome
        if isinstance(failure, Failure):
            self._noticed(target.deployment, failure)
            self._write_down(current, failure)
        else:
            self._write_down(current, None)
        return outcome

    # --- the two ways of answering ------------------------------------------------------------------------------

    async def _answer(self, current: _Try) -> Answer | Failure:
        response = await self._send(current)
        try:
            body = await self._body(response, current)
            if not 200 <= response.status < 300:
                return current.target.protocol.fault(response.status, response.headers, body, current.target.deployment)
            arrived = self._clock()
            answer = current.target.protocol.parse(body, self._call, current.target.deployment)
            if isinstance(answer, Answer):
                current.said, self._story.answered_at = answer, arrived
            return answer
        finally:
            response.close()

    async def _relay(self, current: _Try, client: Client) -> Streamed | Failure:
        response = await self._send(current)
        leave = response.close
        try:
            if not 200 <= response.status < 300:
                body = await self._body(response, current)
                return current.target.protocol.fault(response.status, response.headers, body, current.target.deployment)
            current.said = feed = current.target.protocol.feed(self._call, current.target.deployment)
            failure = await self._pump(response, feed, current, client)
            if failure is None:
                # The last event has been read; the end of the body itself may lag behind it.
                leave = partial(response.finish, LINGER_S)
            return Streamed(failure) if current.first_at is not None or failure is None else failure
        finally:
            leave()

    async def _pump(self, response: Response, feed: Feed, current: _Try, client: Client) -> Failure | None:
        """Events from the provider to the client, held back until the first one with content."""
        story, timeouts = self._story, current.target.deployment.account.timeouts
        content_by = current.started_at + timeouts.first_byte
        held: list[bytes] = []
        while True:
            if feed.complete:
                limit = AFTER_FINISH_S
            else:
                limit = timeouts.stall if current.first_at is not None else content_by - self._clock()
            try:
                data = await response.next(self._within(current, limit))
            except TransportError as error:
                if not feed.complete:
                    return _meaning(error, current)
                data = b""
            arrived = self._clock() if current.first_at is None else 0.0
            piece = feed.feed(data) if data else feed.close()
            if current.first_at is not None:
                if piece.data:
                    await client.write(piece.data)
            elif piece.content or piece.done:
                current.first_at = story.answered_at = arrived
                story.delivered_at = self._clock()
                await client.begin(story)
                await client.write(b"".join((*held, piece.data)))
            elif piece.data:
                held.append(piece.data)
            if piece.failure is not None or piece.done:
                return piece.failure

    # --- parts --------------------------------------------------------------------------------------------------

    async def _send(self, current: _Try) -> Response:
        target, n = current.target, current.start.n
        endpoint = target.endpoints[(self._seed + n) % len(target.endpoints)]
        body = target.protocol.render(self._call, target.deployment)
        response = await target.transport.send(WireRequest(endpoint, body), self._timeouts(current))
        current.status = response.status
        current.request_id = next(
            (value.decode("latin-1")[:100] for name, value in response.headers if name in REQUEST_IDS), None
        )
        return response

    async def _body(self, response: Response, current: _Try) -> bytes:
        """The whole body, or as much of an error's as anybody needs; the plan's deadline holds for trickles too."""
        stall = current.target.deployment.account.timeouts.stall
        parts = []
        size = 0
        while data := await response.next(self._within(current, stall)):
            parts.append(data)
            size += len(data)
            if response.status >= 300 and size > ERROR_BODY:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _left(self, current: _Try) -> float:
        """Seconds until this try must be over: its own time, or that of the whole plan."""
        own_end = current.started_at + current.target.deployment.account.timeouts.total
        return min(own_end, self._attempts.deadline_at) - self._clock()

    def _within(self, current: _Try, limit: float) -> float:
        left = min(limit, self._left(current))
        if left <= 0:
            raise Timeout("no complete answer in the time allowed", "stall")
        return left

    def _timeouts(self, current: _Try) -> Timeouts:
        """The account's, or less where the time of the try ends sooner."""
        usual, left = current.target.deployment.account.timeouts, self._left(current)
        if left >= usual.connect + usual.first_byte:
            return usual
        left = max(left, 0.001)
        return replace(usual, connect=min(usual.connect, left), first_byte=min(usual.first_byte, left))

    def _write_down(self, current: _Try, failure: Failure | None, *, cancelled: bool = False) -> None:
        target, story = current.target, self._story
        received_at = story.received_at
        usage = current.said.usage if current.said is not None else None
        if usage is None and (failure is None or current.first_at is not None):
            tokens = story.features.input_tokens if story.features is not None else 0
            written = current.said.output_bytes if current.said is not None else 0
            usage = Usage(tokens, written // BYTES_PER_TOKEN, estimated=True)
        story.attempts.append(
            Attempt(
                n=current.start.n,
                deployment=target.deployment.name,
                provider=target.deployment.account.name,
                model=target.deployment.model,
                started_s=micros(current.started_at - received_at),
                ended_s=micros(self._clock() - received_at),
                first_s=micros(current.first_at - received_at) if current.first_at is not None else None,
                status=current.status,
                failure=failure,
                cancelled=cancelled,
                usage=usage,
                cost=cost(target.deployment.price, usage),
                provider_request_id=current.request_id,
            )
        )
        if usage is not None:
            story.usage = usage
        if current.said is not None:
            story.served_model = current.said.model


_OUT_OF_TIME: Final = Failure("silent", "the deadline passed before a provider could be tried")


def _meaning(error: TransportError, current: _Try) -> Failure:
    """What a failure on the wire means, by what had come before it."""
    return Failure(_kind(error, current), str(error), status=current.status)


def _kind(error: TransportError, current: _Try) -> FailureKind:
    if isinstance(error, ProtocolViolation):
        return "garbage"
    if isinstance(error, ConnectFailed) or (isinstance(error, Timeout) and error.phase == "connect"):
        return "connect"
    if isinstance(error, Timeout):
        began = current.first_at is not None or (error.phase == "stall" and current.said is None)
        return "stall" if began else "silent"
    if isinstance(error, Disconnected) and current.status is None:
        return "connect"
    return "truncated"
