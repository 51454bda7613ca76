"""The simulated provider without a socket: a transport for demos and for tests of policies.

Read next: play.py, where its answers come from.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from gateway.errors import ConnectFailed, Disconnected, ProtocolViolation, Timeout, TransportError
from gateway.testing.acts import Abort, Act, Close, End, Head, Send, Wait
from gateway.testing.play import play
from gateway.testing.script import Pace, Script, Scripts
from gateway.types import Timeouts, WireRequest

__all__ = ["DEMO", "Simulated", "SimulatedResponse"]

#: What simulated models do in demos: quick, but not so quick that nobody sees them stream.
DEMO = Script(pace=Pace(first_s=0.12, token_s=0.008))


class Simulated:
    """A Transport whose providers are scripts. Faults fail as they would over a socket.

    ``sleep`` and ``clock`` are asyncio's and the machine's unless a test brings its own.
    """

    def __init__(self, scripts: Scripts | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.scripts = scripts or Scripts(DEMO)
        self.count = 0
        self._clock = clock

    def __repr__(self) -> str:
        return f"Simulated({self.count} requests so far)"

    async def send(self, request: WireRequest, timeouts: Timeouts) -> SimulatedResponse:
        """As Transport.send."""
        self.count += 1
        endpoint = request.endpoint
        acts = play(
            self.scripts,
            method=endpoint.method,
            path=endpoint.target.partition("?")[0],
            headers={k.decode("latin-1"): v.decode("latin-1") for k, v in (*endpoint.headers, *request.headers)},
            body=request.body,
            n=self.count,
            now=self._clock(),
            created=int(time.time()),
        )
        return SimulatedResponse(await head(acts, endpoint.origin, timeouts.first_byte), acts, endpoint.origin)

    async def aclose(self) -> None:
        """There is nothing to close."""


async def head(acts: Iterator[Act], origin: str, limit: float) -> Head:
    """The head, after the waits before it. Raises what a socket would have come to."""
    left = limit
    for act in acts:
        match act:
            case Wait(seconds):
                await wait(seconds, left, origin, "first_byte")
                left -= seconds
            case Head():
                encodings = [value for name, value in act.headers if name == "content-encoding"]
                if encodings and encodings[0] != "identity":
                    raise ProtocolViolation(f"{origin} sent content-encoding {encodings[0]!r}, which was not asked for")
                return act
            case Abort():
                raise ConnectFailed(f"{origin} reset the connection before it answered")
            case Send():
                raise ProtocolViolation(f"{origin} sent something that is not HTTP")
            case _:
                break
    raise Disconnected(f"{origin} closed the connection before it answered")


async def wait(seconds: float, limit: float, origin: str, phase: str) -> None:
    """Wait as a reader with a limit would. Raises Timeout."""
    await asyncio.sleep(min(seconds, max(0.0, limit)))
    if seconds > limit:
        raise Timeout(f"{origin} sent nothing for {limit:g} s", "stall" if phase == "stall" else "first_byte")


class SimulatedResponse:
    """A Response whose body is still being acted."""

    def __init__(self, head: Head, acts: Iterator[Act], origin: str) -> None:
        self._head = head
        self._acts = acts
        self._origin = origin
        self._after: Act | None = None

    def __repr__(self) -> str:
        return f"SimulatedResponse({self.status} from {self._origin})"

    @property
    def status(self) -> int:
        """As Response.status."""
        return self._head.status

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """As Response.headers."""
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._head.headers]

    async def next(self, timeout: float) -> bytes:
        """As Response.next: all bytes up to the next wait."""
        got: list[bytes] = []
        while not got:
            for act in self._upcoming():
                if isinstance(act, Send):
                    got.append(act.data)
                    continue
                self._after = act
                break
            if not got and await self._finish(timeout):
                return b""
        return b"".join(got)

    def _upcoming(self) -> Iterator[Act]:
        if self._after is not None:
            return iter((self._after,))
        return self._acts

    async def _finish(self, timeout: float) -> bool:
        """Carry out the act that stands before more bytes. True when the body is complete."""
        act = self._after
        if isinstance(act, Wait):
            self._after = None
            await wait(act.seconds, timeout, self._origin, "stall")
            return False
        if isinstance(act, End):
            return True
        raise broken(self._origin)

    async def flow(self, take: Callable[[bytes], bool], timeout: float, within: float) -> None:
        """As Response.flow."""
        loop = asyncio.get_running_loop()
        last = loop.time() + within - timeout
        while loop.time() < last and (data := await self.next(timeout)) and take(data):
            pass

    def finish(self, within: float) -> None:
        """As Response.finish."""
        self.close()

    def close(self) -> None:
        """As Response.close."""
        self._acts = iter(())
        self._after = Close()


def broken(origin: str) -> TransportError:
    return Disconnected(f"{origin} closed the connection in the middle of its answer")
