"""One question to a provider: how many tokens a request has. Read next: ../providers/counting.py.

It is asked once and briefly, beside all limits and breakers: it costs nothing, and an estimate stands ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from gateway.errors import CannotSay, Failure, TransportError
from gateway.providers.counting import counted, question
from gateway.story import Story, micros
from gateway.types import Attempt, Call, WireRequest
from gateway.upstream.meaning import meaning
from gateway.upstream.targets import Target
from gateway.upstream.transport import Response

__all__ = ["count"]

#: How long it may take, in seconds.
WITHIN_S: Final = 5.0
#: Bytes of an answer that anybody reads.
MOST: Final = 64 * 1024


async def count(target: Target, call: Call, story: Story, clock: Callable[[], float]) -> int | None:
    """What the provider says, None where it cannot be asked or does not say. The story gets a line of a try."""
    deployment = target.deployment
    try:
        request = question(call, target.protocol, deployment, target.endpoints[0])
    except CannotSay:
        return None
    if request is None:
        return None
    story.tries, story.serving, started = story.tries + 1, deployment, clock()
    story.tried_at = started
    status, said = await _asked(target, request)
    story.answered_at = clock()
    story.attempts.append(
        Attempt(
            n=story.tries,
            deployment=deployment.name,
            provider=deployment.account.name,
            model=deployment.model,
            started_s=micros(started - story.received_at),
            ended_s=micros(story.answered_at - story.received_at),
            status=status,
            failure=said if isinstance(said, Failure) else None,
        )
    )
    return None if isinstance(said, Failure) else said


async def _asked(target: Target, request: WireRequest) -> tuple[int | None, int | Failure]:
    status: int | None = None
    try:
        async with asyncio.timeout(WITHIN_S):
            if target.credential is not None:
                login = await target.credential.headers(request.endpoint, request.body)
                request = replace(request, headers=request.headers + login)
            response = await target.transport.send(request, target.deployment.account.timeouts)
            status = response.status
            try:
                body = await _body(response)
            finally:
                response.close()
    except TimeoutError:
        return status, Failure("silent", f"nothing was counted within {WITHIN_S:.0f} s", status)
    except TransportError as error:
        return status, meaning(error, status=status, reading=False, content=False)
    if not 200 <= status < 300:
        return status, target.protocol.fault(status, response.headers, body, target.deployment)
    number = counted(body)
    return status, number if number is not None else Failure("garbage", "the answer has no count", status)


async def _body(response: Response) -> bytes:
    data = bytearray()
    while len(data) < MOST and (more := await response.next(WITHIN_S)):
        data += more
    return bytes(data)
