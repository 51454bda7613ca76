"""The response headers in which a decision explains itself. Read next: docs/api.md, which lists them for clients."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

from gateway.api.limits import limits
from gateway.errors import GatewayError
from gateway.money import usd
from gateway.story import Story
from gateway.types import Deployment, Dialect

__all__ = ["about", "about_error"]

#: A client may have chosen a part of what is told it: nothing of it ends a header.
_ON_ONE_LINE: Final = bytes(byte if 32 <= byte < 127 else ord("?") for byte in range(256))

Headers = list[tuple[bytes, bytes]]


def about(story: Story, dialect: Dialect) -> Headers:
    """The headers of an answer or an error as of now. A stream that begins has no cost yet: its end says it."""
    id = story.id.encode()
    head: Headers = [(b"x-request-id", id), (b"x-gateway-decision-id", id)]
    if story.standing is not None:
        head += limits(story.standing(), dialect, story.at)
    if story.decision is None:
        return head
    # A keep-alive begins a stream before anybody has answered: who will, and why, is not known yet.
    if story.delivered_at is not None or story.error is not None:
        head += _of(story.serving) if story.serving is not None else ()
        head.append((b"x-gateway-routing-reason", _ascii(story.reason())))
    head.append((b"x-gateway-attempts", b"%d" % story.tries))
    if story.delivered_at is not None:
        head.append((b"x-gateway-overhead-ms", b"%.3f" % (story.overhead_s(story.delivered_at) * 1000)))
    if story.dropped:
        head.append((b"x-gateway-dropped", _ascii(", ".join(story.dropped))))
    if story.estimated:
        head.append((b"x-gateway-estimated", b"true"))
    head += [(b"x-gateway-warning", _ascii(warning)) for warning in story.warnings]
    if story.stale_s is not None:
        head.append((b"x-gateway-degraded", b"stale; age=%d" % story.stale_s))
    if story.call is not None and (story.error is not None or not story.call.stream):
        cost = story.cost()
        head.append((b"x-gateway-cost-usd", usd(cost).encode() if cost is not None else b"unknown"))
    return head


@lru_cache(maxsize=4096)
def _of(serving: Deployment) -> tuple[tuple[bytes, bytes], ...]:
    """What is the same on all answers of a deployment."""
    simulated = ((b"x-gateway-simulated", b"true"),) if serving.simulated else ()
    return (
        (b"x-gateway-routed-model", _ascii(serving.name)),
        (b"x-gateway-provider", _ascii(serving.account.name)),
        *simulated,
    )


def about_error(error: GatewayError) -> Headers:
    """The headers that tell an SDK whether and when to try again, and an HTTP client what it did wrong."""
    head: Headers = []
    if error.should_retry is not None:
        head.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if error.retry_after_s is not None:
        head.append((b"retry-after", b"%d" % math.ceil(error.retry_after_s)))
        head.append((b"retry-after-ms", b"%d" % math.ceil(error.retry_after_s * 1000)))
    if error.status == 401:
        head.append((b"www-authenticate", b"Bearer"))
    if error.status == 405:
        head.append((b"allow", b"POST"))
    if error.status == 408:
        head.append((b"connection", b"close"))
    return head


def _ascii(text: str) -> bytes:
    return text.encode("ascii", "replace").translate(_ON_ONE_LINE)
