"""One try at a provider: send, read, and say what came. Read next: run.py, which decides on tries.

A client that wants a whole answer is served from a stream as well wherever that loses nothing: only a stream shows
whether a provider is at work, so that a silent one is left after seconds and not after minutes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from gateway.errors import CannotSay, CredentialFailed, Failure, Timeout, TransportError
from gateway.providers.protocol import Answer, Feed, Piece
from gateway.providers.streamable import streamable
from gateway.reliability.attempts import Start
from gateway.story import Story
from gateway.types import Call, Endpoint, Timeouts, WireRequest
from gateway.upstream.care import Care, Leave
from gateway.upstream.credentials.credential import Credential, Headers
from gateway.upstream.delivery import Into
from gateway.upstream.fetch import Fetcher
from gateway.upstream.meaning import meaning
from gateway.upstream.purse import Reservation
from gateway.upstream.rescue import Rescue
from gateway.upstream.targets import Target
from gateway.upstream.transport import Response

__all__ = ["Current", "Trial"]

#: The most of an error answer that is read, in bytes.
ERROR_BODY: Final = 256 * 1024

#: How long usage and ``[DONE]`` may take after the finish reason, in seconds; without them the answer is whole too.
AFTER_FINISH_S: Final = 2.0
#: How long the end of a stream may lag behind its last event before its connection is given up, in seconds.
LINGER_S: Final = 0.5
#: What a refusal to stream says; an ``upstream`` that failed is something else.
STREAMING: Final = re.compile(r"(?i)\bstream(?:s|ed|ing|_options)?\b")
#: Headers in which providers name a request; the first that is there is kept.
REQUEST_IDS: Final = frozenset(
    b"x-request-id request-id apim-request-id x-amzn-requestid mistral-correlation-id x-generation-id".split()
)


class Current(Struct, eq=False):
    """One try while it runs. Times are monotonic seconds. ``call`` is what it asks where that is not the client's.

    ``content_by`` is when it must have brought more content, ``end_by`` when its end must have come after all of it.
    ``share`` is where its stream goes where that is not straight to the client.
    ``over``: its leave has been ended. ``dropped`` names what its provider has no words for. ``rescue`` is the way in
    which it goes on with a broken stream, if it does. ``reserved`` is what of the caller's budgets it may cost.
    """

    start: Start
    target: Target
    leave: Leave
    started_at: float
    status: int | None = None
    first_at: float | None = None
    said: Answer | Feed | None = None
    request_id: str | None = None
    call: Call | None = None
    share: Into | None = None
    over: bool = False
    dropped: tuple[str, ...] = ()
    content_by: float = 0.0
    end_by: float | None = None
    rescue: Literal["continue", "splice"] | None = None
    reserved: Reservation | None = None


class Trial:
    """Makes the tries of one request."""

    def __init__(
        self,
        call: Call,
        care: Care,
        story: Story,
        clock: Callable[[], float],
        deadline_at: float,
        *,
        auto: bool,
        won: Callable[[Current], None],
    ) -> None:
        self._call = call
        self._care = care
        self._story = story
        self._clock = clock
        self._deadline_at = deadline_at
        self._from_streams = auto and not call.stream and streamable(call)
        self._native = call.dialect if call.native is not None else None
        self._fetched: dict[str, str] = {}
        self._fetching = asyncio.Lock()
        self._won = won

    async def whole(self, current: Current) -> Answer | Failure:
        """A whole answer."""
        try:
            return await (self._collected(current) if self._may_stream(current) else self._in_one(current))
        except TransportError as error:
            return self._meaning(error, current)
        except CannotSay as error:
            return unspoken(error)

    async def relay(self, current: Current, delivery: Into, rescue: Rescue) -> Failure | None:
        """A stream, handed on as it comes; None when it is complete."""
        try:
            return await self._relayed(current, delivery, rescue)
        except TransportError as error:
            return self._meaning(error, current)
        except CannotSay as error:
            return unspoken(error)

    # --- the ways of answering ----------------------------------------------------------------------------------

    async def _in_one(self, current: Current) -> Answer | Failure:
        timeouts = current.target.deployment.account.timeouts
        response = await self._send(current, timeouts.first_byte, stream=False)
        try:
            if not 200 <= response.status < 300:
                return await self._refusal(response, current)
            body = await self._body(response, current)
            arrived = self._clock()
            answer = current.target.protocol.parse(body, current.call or self._call, current.target.deployment)
            if isinstance(answer, Answer):
                current.said, self._story.answered_at = answer, arrived
                self._won(current)
            return answer
        finally:
            response.close()

    async def _collected(self, current: Current) -> Answer | Failure:
        limit = self._first_token_s(current)
        response = await self._send(current, limit, stream=True)
        leave = response.close
        try:
            if not 200 <= response.status < 300:
                refusal = await self._refusal(response, current)
                if not refuses_to_stream(refusal):
                    return refusal
            else:
                feed = current.target.protocol.collect(current.call or self._call, current.target.deployment)
                current.said = feed
                current.content_by = current.started_at + limit
                if is_json(response):
                    # It streams nothing, whatever it is asked for: all of an answer takes longer than its first token.
                    self._care.refused_to_stream(current.target.deployment)
                    current.content_by = current.started_at + current.target.deployment.account.timeouts.first_byte
                failure = await self._pump(response, feed, current, None)
                if failure is not None:
                    return failure
                leave = partial(response.finish, LINGER_S)
                assert feed.answer is not None
                current.said, self._story.answered_at = feed.answer, self._clock()
                return feed.answer
        finally:
            leave()
        answer = await self._in_one(current)
        if isinstance(answer, Answer):
            self._care.refused_to_stream(current.target.deployment)
        return answer

    async def _relayed(self, current: Current, delivery: Into, rescue: Rescue) -> Failure | None:
        deployment = current.target.deployment
        call, feed = rescue.leg(current, current.call or self._call, self._story.usage)
        current.call = call
        limit = self._first_token_s(current)
        response = await self._send(current, limit, stream=None)
        leave = response.close
        try:
            if not 200 <= response.status < 300:
                return await self._refusal(response, current)
            current.said = feed = feed or current.target.protocol.feed(call, deployment)
            current.content_by = current.started_at + limit
            failure = await self._pump(response, feed, current, delivery)
            if failure is None:
                # The last event has been read; the end of the body itself may lag behind it.
                leave = partial(response.finish, LINGER_S)
            return failure
        finally:
            leave()

    async def _pump(self, response: Response, feed: Feed, current: Current, delivery: Into | None) -> Failure | None:
        """Events from the provider, handed to the client if one is to have them: none before the first content."""
        held: list[bytes] = []
        while True:
            try:
                piece = await self._next(response, feed, current, delivery, flowing=not held)
            except TransportError as error:
                if not feed.complete:
                    return self._meaning(error, current)
                piece = feed.close()
            now = self._clock()
            if piece.content:
                current.content_by = now + current.target.deployment.account.timeouts.no_content
            if current.first_at is None and (piece.content or piece.done):
                self._first(current, now, whole=delivery is None)
            if delivery is not None:
                if piece.data:
                    held.append(piece.data)
                if held and current.first_at is not None:
                    await delivery.write(b"".join(held) if len(held) > 1 else held[0], feed.dialect)
                    held.clear()
            if piece.failure is not None or piece.done:
                return piece.failure

    async def _next(
        self, response: Response, feed: Feed, current: Current, delivery: Into | None, *, flowing: bool
    ) -> Piece:
        """The next piece that somebody has to look at. In a stream that has begun most need nobody."""
        if flowing and current.first_at is not None and not feed.complete:
            piece = await self._flow(response, feed, current, delivery)
            if piece is not None:
                return piece
        now = self._clock()
        data = await response.next(self._within(current, self._patience(feed, current, now), now))
        return feed.feed(data) if data else feed.close()

    async def _flow(self, response: Response, feed: Feed, current: Current, delivery: Into | None) -> Piece | None:
        """Hand on, as it comes, what is plain content and can go out at once: to wake a task for each piece costs as
        much as all else that is done with it. The first piece that is not; None when the body ended or broke off.
        """
        odd: Piece | None = None
        timeouts = current.target.deployment.account.timeouts

        def take(data: bytes) -> bool:
            nonlocal odd
            piece = feed.feed(data)
            plain = piece.content and not piece.done and piece.failure is None and not feed.complete
            if plain and (delivery is None or delivery.push(piece.data, feed.dialect)):
                current.content_by = self._clock() + timeouts.no_content
                return True
            odd = piece
            return False

        now = self._clock()
        within = min(self._left(current, now), current.content_by - now)
        if within > 0:
            await response.flow(take, min(timeouts.stall, timeouts.no_content), within)
        return odd

    def _patience(self, feed: Feed, current: Current, now: float) -> float:
        """How long the next bytes may take, in seconds."""
        if feed.complete:
            current.end_by = current.end_by or now + AFTER_FINISH_S
            return current.end_by - now
        if current.first_at is None:
            return current.content_by - now
        return min(current.target.deployment.account.timeouts.stall, current.content_by - now)

    def _first(self, current: Current, now: float, *, whole: bool) -> None:
        current.first_at = now
        if self._story.answered_at is None and not whole:
            self._story.answered_at = now
        self._won(current)
        current.leave.content(now)

    # --- parts --------------------------------------------------------------------------------------------------

    def _may_stream(self, current: Current) -> bool:
        target = current.target
        return (
            self._from_streams
            and target.protocol.aggregates
            and target.protocol.dialect != self._native
            and self._care.streams(target.deployment)
        )

    def _first_token_s(self, current: Current) -> float:
        deployment = current.target.deployment
        timeouts = deployment.account.timeouts
        assert self._story.features is not None
        limit = timeouts.first_token
        if limit is None:
            limit = self._care.first_token_s(deployment, self._story.features, self._clock())
        return min(limit, timeouts.first_byte)

    async def _send(self, current: Current, first_byte_s: float, *, stream: bool | None) -> Response:
        target = current.target
        call = current.call or self._call
        streams = call.stream if stream is None else stream
        endpoint = (target.streams if streams else target.endpoints)[current.leave.key]
        if target.fetcher is not None:
            call = await self._inlined(target.fetcher, call, current)
        rendered = target.protocol.render(call, target.deployment, stream=stream)
        current.dropped = rendered.dropped
        headers = rendered.headers
        if target.credential is not None:
            headers += await self._login(current, target.credential, endpoint, rendered.body)
        response = await self._sent(current, WireRequest(endpoint, rendered.body, headers), first_byte_s)
        current.status = response.status
        current.leave.answered(response.headers, self._clock())
        current.request_id = next(
            (value.decode("latin-1")[:100] for name, value in response.headers if name in REQUEST_IDS), None
        )
        return response

    async def _login(self, current: Current, credential: Credential, endpoint: Endpoint, body: bytes) -> Headers:
        """What the account's login adds to a request, within the time of the try."""
        try:
            async with asyncio.timeout(max(self._left(current, self._clock()), 0.001)):
                return await credential.headers(endpoint, body)
        except TimeoutError:
            raise CredentialFailed("no login in the time allowed", refused=False) from None

    async def _inlined(self, fetcher: Fetcher, call: Call, current: Current) -> Call:
        """The call with the files that it names. The time that they take is not the provider's."""
        # Tries beside each other wait for one another's files: nothing is fetched twice.
        async with self._fetching:
            call = await fetcher.inline(call, self._fetched, self._left(current, self._clock()))
        current.started_at = self._clock()
        return call

    async def _sent(self, current: Current, request: WireRequest, first_byte_s: float) -> Response:
        """The head of an answer. To connect and to wait for it may not take the time of the try twice over."""
        left = max(self._left(current, self._clock()), 0.001)
        timeouts = _bounded(current.target.deployment.account.timeouts, first_byte_s, left)
        send = current.target.transport.send(request, timeouts)
        if left >= timeouts.connect + timeouts.first_byte:
            return await send
        try:
            async with asyncio.timeout(left):
                return await send
        except TimeoutError:
            raise Timeout("no head of an answer in the time allowed", "first_byte") from None

    async def _refusal(self, response: Response, current: Current) -> Failure:
        target = current.target
        body = await self._body(response, current)
        failure = target.protocol.fault(response.status, response.headers, body, target.deployment)
        if failure.kind == "auth" and target.credential is not None:
            target.credential.refused()
        return failure

    async def _body(self, response: Response, current: Current) -> bytes:
        """The whole body, or as much of an error's as anybody needs; the plan's deadline holds for trickles too."""
        stall = current.target.deployment.account.timeouts.stall
        parts = []
        size = 0
        while data := await response.next(self._within(current, stall, self._clock())):
            parts.append(data)
            size += len(data)
            if response.status >= 300 and size > ERROR_BODY:
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _left(self, current: Current, now: float) -> float:
        """Seconds until this try must be over: its own time, or that of the whole plan."""
        own_end = current.started_at + current.target.deployment.account.timeouts.total
        return min(own_end, self._deadline_at) - now

    def _within(self, current: Current, limit: float, now: float) -> float:
        left = min(limit, self._left(current, now))
        if left <= 0:
            raise Timeout("no complete answer in the time allowed", "stall")
        return left

    def _meaning(self, error: TransportError, current: Current) -> Failure:
        return meaning(
            error, status=current.status, reading=current.said is not None, content=current.first_at is not None
        )


def _bounded(usual: Timeouts, first_byte_s: float, left: float) -> Timeouts:
    """The account's, or less where the time of the try ends sooner."""
    if left >= usual.connect + first_byte_s and first_byte_s == usual.first_byte:
        return usual
    return replace(usual, connect=min(usual.connect, left), first_byte=min(first_byte_s, left))


def unspoken(error: CannotSay) -> Failure:
    """What cannot be said to a provider is refused as the provider would have."""
    return Failure("client", error.message, status=error.status, type=error.type, code=error.code, param=error.param)


def refuses_to_stream(failure: Failure) -> bool:
    """Whether a refusal is about the stream that was asked for rather than about the request."""
    if failure.kind != "client":
        return False
    return failure.param in ("stream", "stream_options") or STREAMING.search(failure.message) is not None


def is_json(response: Response) -> bool:
    """Whether an answer is one JSON text, by what its head says."""
    return any(name == b"content-type" and b"application/json" in value.lower() for name, value in response.headers)
