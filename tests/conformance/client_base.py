"""What the clients share that are put before aimock: where all is, what is said there, and how a promise is checked.

Read next: client_openai.py and the others beside it, one for each client; aimock.py, which answers.

Nothing is imported here but what every Python has: these files run where only the client is installed, as
``python -m tests.conformance.client_openai GATEWAY SEEN``, and print a line for each promise.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import traceback
import urllib.request
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

__all__ = [
    "CITY",
    "KEY",
    "NARROW_KEY",
    "PIXEL",
    "PROTOCOLS",
    "SAID",
    "SYSTEM",
    "THOUGHT",
    "WEATHER_ARGUMENTS",
    "Ask",
    "judge",
    "promise",
    "raised",
]

KEY: Final = "gw_team_" + "c" * 43
NARROW_KEY: Final = "gw_narrow_" + "c" * 43
#: What the gateway has before aimock: a route for each protocol, and for Converse one of a model without formats.
PROTOCOLS: Final = ("openai", "azure", "anthropic", "gemini", "bedrock", "nova", "mistral")

SYSTEM: Final = "You are a clerk – answer in verse."
SAID: Final = "Fünf – 五 🙂, said at such a length that it comes in several pieces.\n\nWith a second paragraph."
THOUGHT: Final = "The user wants five. I shall say five, and not six."
WEATHER_ARGUMENTS: Final = {"city": "Berlin", "days": 2, "detail": {"wind": True, "note": 'naïve "quoted" \\ 五'}}
#: What the tool takes, as a schema.
CITY: Final[Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "detail": {"type": "object", "properties": {"wind": {"type": "boolean"}, "note": {"type": "string"}}},
    },
    "required": ["city"],
}
#: A PNG of one pixel.
PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Ask(NamedTuple):
    """One promise under one protocol: what to write as ``model``, and a mark that finds its requests again."""

    gateway: str
    seen: str
    model: str
    mark: str

    def words(self, said: str) -> str:
        """What the user says, marked."""
        return f"{said} [{self.mark}]"

    def wire(self) -> list[dict[str, Any]]:
        """The ``path``, ``headers`` and ``body`` (text) of each request of this promise, as they came to aimock."""
        told: list[dict[str, Any]] = self._told()["wire"]
        return told

    def understood(self) -> list[dict[str, Any]]:
        """What aimock understood of each, in OpenAI's words."""
        return [one["body"] for one in self._told()["journal"]]

    def _told(self) -> Any:
        with urllib.request.urlopen(f"{self.seen}/{quote(self.mark)}", timeout=20) as response:
            return json.load(response)

    # --- what must have come ------------------------------------------------------------------------------------

    def holds_system(self, wanted: str = SYSTEM) -> None:
        """The one request's system prompt is this."""
        (body,) = self.understood()
        got = [text_of(one["content"]) for one in body["messages"] if one["role"] in ("system", "developer")]
        assert "".join(got).replace("\n", "") == wanted, f"system: {got}"

    def holds_picture(self) -> None:
        """The one request has the picture, byte for byte, and says what it is."""
        (request,) = self.wire()
        body = request["body"].replace("\\/", "/")
        assert PIXEL in body, f"the picture is not there: {body[:300]}"
        assert "png" in body

    def holds_results(self, names: Sequence[str], results: Sequence[str]) -> None:
        """The last request has these results of the tools, each after the call that it belongs to."""
        messages = self.understood()[-1]["messages"]
        calls = [call for one in messages for call in one.get("tool_calls") or []]
        assert [call["function"]["name"] for call in calls] == list(names), f"calls: {calls}"
        told = [one for one in messages if one["role"] == "tool"]
        assert [result_of(one["content"]) for one in told] == [value_of(one) for one in results], f"results: {told}"
        assert [one["tool_call_id"] for one in told] == [call["id"] for call in calls], f"ids: {calls} {told}"


def text_of(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return str(content)


def value_of(text: str) -> Any:
    """What it means where it is JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def result_of(content: Any) -> Any:
    """A tool's result. Gemini takes objects only: anything else is wrapped in one."""
    value = value_of(text_of(content))
    return value_of(str(value["output"])) if isinstance(value, dict) and set(value) == {"output"} else value


Promise = Callable[[Ask], Awaitable[None] | None]
PROMISES: Final[list[tuple[Promise, Sequence[str]]]] = []


def promise(*, of: Sequence[str] = PROTOCOLS) -> Callable[[Promise], Promise]:
    """Something to be kept under each of these protocols."""

    def add(function: Promise) -> Promise:
        PROMISES.append((function, of))
        return function

    return add


def raised(kind: type[BaseException], act: Callable[[], object], *, exactly: bool = True) -> Any:
    """The error of this kind that ``act`` ends with: not of a kind below it, unless a client has its own there."""
    try:
        act()
    except kind as error:
        if type(error) is kind or not exactly:
            return error
        raise AssertionError(f"{type(error).__name__}, not {kind.__name__}: {error}") from error
    raise AssertionError(f"no {kind.__name__} was raised")


def judge(client: str, argv: Sequence[str]) -> int:
    """Check every promise, or those that hold one of the words, and print a line for each. The exit status."""
    gateway, seen, *only = argv
    failed = 0
    # One loop for all: some clients keep connections from one use of them to the next.
    with asyncio.Runner() as runner:
        for function, protocols in PROMISES:
            name = getattr(function, "__name__", "?").replace("_", " ")
            if only and not any(word in name for word in only):
                continue
            broken = list(troubles(runner, function, protocols, gateway, seen))
            failed += bool(broken)
            kept = f"{len(protocols) - len(broken)} of {len(protocols)}"
            print(f"{'FAILED' if broken else 'ok    '} {client}: {name}: {kept}", flush=True)
            for line in broken:
                print(f"        {line}", flush=True)
    return min(failed, 1)


def troubles(
    runner: asyncio.Runner, function: Promise, protocols: Iterable[str], gateway: str, seen: str
) -> Iterable[str]:
    for model in protocols:
        try:
            running = function(Ask(gateway, seen, model, uuid.uuid4().hex))
            if inspect.iscoroutine(running):
                runner.run(running)
        except Exception as error:  # noqa: BLE001 - one that fails must not hide the others
            yield f"{model}: {place_of(error)}: {type(error).__name__}: {error}"[:600]


def place_of(error: Exception) -> str:
    """Where in these files it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "client_" in frame.filename]
    return f"line {(ours or frames)[-1].lineno}"
