"""The client of the suite: one call through whatever is judged, and how it ended.

Read next: reading.py, which reads the answer as an SDK would; suite.py, which asks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Final

import httpx2

from gateway.testing.wall.reading import Events, Reading
from gateway.testing.wall.scenarios import SCENARIOS, TOOL
from gateway.testing.wall.seen import Ending, Heard

__all__ = ["Caller"]

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class Caller:
    """A client of one base URL. It never tries twice, follows nothing, and waits as long as it is told to.

    async with Caller("http://127.0.0.1:8080/v1") as caller:
        heard = await caller.ask("s01", "Explain …", stream=True, limit_s=20)

    ``headers`` go with every call, for gateways that are configured by the request: ``{model}`` in a value is what is
    asked for, ``{fallback}`` what it falls back to.
    """

    def __init__(self, base_url: str, key: str = "none", headers: Mapping[str, str] = NO_HEADERS) -> None:
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._headers = headers
        self._http = httpx2.AsyncClient(
            headers={"authorization": f"Bearer {key}", "accept-encoding": "identity"},
            limits=httpx2.Limits(max_connections=None),
            timeout=None,
            trust_env=False,
        )

    def __repr__(self) -> str:
        return f"Caller({self._url})"

    async def __aenter__(self) -> Caller:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(self, model: str, question: str, *, stream: bool, limit_s: float, tool: bool = False) -> Heard:
        """One call. It is given ``limit_s`` seconds, and hangs when it takes longer."""
        reading, events = Reading(tool=tool), Timed()
        why = ""
        ended: Ending | None = None
        try:
            async with asyncio.timeout(limit_s):
                await self._read(body(model, question, stream=stream, tool=tool), reading, events)
        except TimeoutError:
            ended, why = "hang", f"{limit_s:g} s, {reading.missing or 'all of it was there'}"
        except httpx2.HTTPError as error:
            ended, why = "error", f"{type(error).__name__} {error}".strip()[:80]
        if ended is None:
            ended, why = ending(reading)
        return Heard(
            ended,
            events.asked_at,
            events.passed(),
            first_s=events.first_s,
            why=why,
            status=reading.status,
            model=reading.model,
            usage=reading.usage,
            largest=reading.largest,
        )

    async def _read(self, body: dict[str, Any], reading: Reading, timed: Timed) -> None:
        headers = {name: filled(value, body["model"]) for name, value in self._headers.items()}
        async with self._http.stream("POST", self._url, json=body, headers=headers) as response:
            reading.status = response.status_code
            if not 200 <= response.status_code < 300:
                reading.refusal(response.status_code, await response.aread())
            elif body["stream"]:
                await self._events(response, reading, timed)
            else:
                reading.body(await response.aread())

    async def _events(self, response: httpx2.Response, reading: Reading, timed: Timed) -> None:
        events = Events()
        async for data in response.aiter_bytes():
            for event in events.feed(data):
                if reading.event(event):
                    return
                if timed.first_s is None and reading.started:
                    timed.first_s = timed.passed()


class Timed:
    """When a call was made, and when its first content came, in seconds after that."""

    def __init__(self) -> None:
        self.asked_at = time.monotonic()
        self.first_s: float | None = None

    def passed(self) -> float:
        """Seconds since the call was made."""
        return time.monotonic() - self.asked_at


def ending(reading: Reading) -> tuple[Ending, str]:
    """How a call ended that has ended by itself."""
    if reading.error is not None:
        return "error", reading.error
    return ("whole", "") if reading.missing is None else ("cut", reading.missing)


def filled(value: str, model: str) -> str:
    """A header's value for a call of that model."""
    fallback = SCENARIOS[model].fallback if model in SCENARIOS else "fb-ok"
    return value.replace("{model}", model).replace("{fallback}", fallback)


def body(model: str, question: str, *, stream: bool, tool: bool) -> dict[str, Any]:
    """A request such as any OpenAI client makes."""
    fields: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": question}], "stream": stream}
    if stream:
        fields["stream_options"] = {"include_usage": True}
    if tool:
        fields["tools"] = [{"type": "function", "function": dict(TOOL)}]
    return fields
