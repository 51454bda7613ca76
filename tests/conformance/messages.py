"""Recorded answers in Anthropic's words: valid, and read by Anthropic's own SDK as they should be.

Read next: translation.py, the same in OpenAI's words. Anthropic's own answers must go through byte for byte.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.dialects.anthropic_answer import message
from gateway.dialects.anthropic_events import Events
from gateway.errors import Failure
from gateway.types import Native
from tests import make
from tests.conformance import answers
from tests.conformance.judged import Judged
from tests.conformance.oracle import SDK, Said, ask, first_of
from tests.conformance.said import around, expected
from tests.recordings import Recording, skeleton

__all__ = ["judged"]

#: Bodies by the id of their recording; text where it raised.
Translated = Mapping[str, bytes | str]

PICTURE: Final = re.compile(r"\n*!\[image\]\(data:[^)]*\)\n*")
ID: Final = "0" * 32
#: Anthropic's words for OpenAI's. A stop may have been one at a sequence.
STOPPED: Final[Mapping[str, Sequence[str]]] = {
    "stop": ("end_turn", "stop_sequence"),
    "length": ("max_tokens", "model_context_window_exceeded"),
    "tool_calls": ("tool_use",),
    "content_filter": ("refusal",),
}


async def judged(served: Sequence[Recording], said: Mapping[str, Said], folder: Path) -> list[Judged]:
    """The answers of every provider to a client that speaks Anthropic's dialect."""
    good = [one for one in served if one.status < 300]
    translated = {one.id: body for one in good if isinstance(body := in_messages(one), bytes | str)}
    whole = [one for one in good if one.id in translated and not one.stream]
    streams = [one for one in good if one.id in translated and one.stream]
    read = await read_back([*whole, *streams], translated, folder)
    results = [
        of_content("answers in Anthropic's words", whole, said, read, translated),
        of_content("streams in Anthropic's words", streams, said, read, translated),
        await of_types("answers in Anthropic's words, as its SDK's types", "answer", whole, translated, folder),
        await of_types("streams in Anthropic's words, as its SDK's types", "event", streams, translated, folder),
    ]
    if native := [one for one in good if SDK[one.provider, one.api] == "anthropic"]:
        results.append(of_native("Anthropic's answers to a client that speaks its dialect, byte for byte", native))
    return results


# --- translated -------------------------------------------------------------------------------------------------


def in_messages(recorded: Recording) -> bytes | str | Failure:
    """The answer as a client of /v1/messages gets it, by way of the canonical form; text where it raised."""
    try:
        return streamed(recorded) if recorded.stream else whole(recorded)
    except Exception as error:  # noqa: BLE001 - a finding like any other
        return f"raised {type(error).__name__}: {error}"[:300]


def whole(recorded: Recording) -> bytes | Failure:
    parsed = answers.protocol_for(recorded).parse(
        recorded.body, answers.call_for(recorded), answers.target_of(recorded)
    )
    if isinstance(parsed, Failure):
        return parsed
    return msgspec.json.encode(message(json.loads(parsed.body), id=ID, usage=parsed.usage))


def streamed(recorded: Recording) -> bytes | Failure:
    feed = answers.protocol_for(recorded).feed(answers.call_for(recorded), answers.target_of(recorded))
    *_, cuts = answers.cuts_of(recorded, 1)
    events, out = Events(ID), b""
    pieces = [feed.feed(recorded.body[start:end]) for start, end in pairwise([0, *cuts, len(recorded.body)])]
    for piece in (*pieces, feed.close()):
        if piece.failure is not None:
            return piece.failure
        out += events.feed(piece.data)
    return out + events.end(feed.usage)


async def read_back(recordings: Sequence[Recording], translated: Translated, folder: Path) -> Mapping[str, Said]:
    """What Anthropic's SDK makes of them."""
    lines = [question(one, body) for one in recordings if isinstance(body := translated[one.id], bytes)]
    return {one.id: one for one in msgspec.convert(await ask("sdk_answers.py", lines, folder), list[Said])}


def question(recorded: Recording, body: bytes) -> dict[str, Any]:
    kind = "text/event-stream" if recorded.stream else "application/json"
    encoded = base64.b64encode(body).decode()
    return {"id": recorded.id, "sdk": "anthropic", "stream": recorded.stream, "type": kind, "body": encoded}


# --- the same content -------------------------------------------------------------------------------------------


def of_content(
    name: str,
    recordings: Sequence[Recording],
    said: Mapping[str, Said],
    read: Mapping[str, Said],
    translated: Translated,
) -> Judged:
    judged = Judged(name)
    for one in recordings:
        back, first = read.get(one.id), said[one.id].said
        wanted = expected(first) if first is not None else None
        if back is None or back.said is None:
            judged.hold(one.id, [back.error or "unread" if back else str(translated[one.id])])
        elif wanted is not None:
            own = first["choices"][0]["finish"] if first else None
            judged.hold(one.id, list(differences(wanted["choices"][0], wanted["usage"], back.said, own)))
    return judged


def differences(
    want: Mapping[str, Any], usage: Mapping[str, Any] | None, said: Mapping[str, Any], own: str | None
) -> Iterator[str]:
    """What is said otherwise. ``own`` is the provider's own word for why it stopped."""
    [got] = said["choices"]
    # A picture has no block of its own, and stands among the texts.
    got["text"] = PICTURE.sub("", got["text"])
    for member in ("text", "reasoning"):
        # Why it was refused is said as text, where another provider says it in a member of its own.
        if want[member] != got[member] and not (member == "text" and want["refused"]):
            yield f"{member}: expected {around(want[member], got[member])}"
    if want["calls"] != got["calls"] and want["finish"] != "length":
        yield f"calls: expected {want['calls']!r:.200}, got {got['calls']!r:.200}"
    if want["finish"] is not None and got["finish"] not in (own, *STOPPED[want["finish"]]):
        yield f"stop_reason: expected one of {STOPPED[want['finish']]}, got {got['finish']}"
    for name in ("prompt", "completion", "cached", "written"):
        # Some count what was cached beside the prompt, though OpenAI's words have it within.
        if usage is None or usage[name] is None or (name == "prompt" and usage["prompt"] < (usage["cached"] or 0)):
            continue
        if usage[name] != (said["usage"][name] or 0):
            yield f"usage.{name}: expected {usage[name]}, got {said['usage'][name]}"


# --- valid ------------------------------------------------------------------------------------------------------


async def of_types(
    name: str, kind: str, recordings: Sequence[Recording], translated: Translated, folder: Path
) -> Judged:
    """Every Message and every event is what the SDK's types say; those of one shape are asked about once."""
    judged, lines, shapes = Judged(name), [], set()
    for one in recordings:
        # Blocks of Anthropic's own come back as they were, also those that are not released yet.
        beta = "beta_" if SDK[one.provider, one.api] == "anthropic" else ""
        if isinstance(body := translated[one.id], bytes):
            for value in events_in(body) if one.stream else [json.loads(body)]:
                if value.get("type") != "ping" and (shape := skeleton(value)) not in shapes:
                    shapes.add(shape)
                    lines.append({"id": one.id, "as": f"anthropic.{beta}{kind}", "value": value})
    for told in await ask("sdk_types.py", lines, folder):
        judged.hold(told["id"], told["wrong"])
    return judged


def events_in(body: bytes) -> Iterator[Any]:
    for event in body.split(b"\n\n"):
        if event:
            name, data = event.split(b"\n")
            value = json.loads(data.removeprefix(b"data: "))
            assert name == b"event: " + value["type"].encode(), "an event is named after its type"
            yield value


# --- native -----------------------------------------------------------------------------------------------------


#: What its client asked does not matter, but that it speaks Anthropic's dialect.
NATIVE: Final = make.call(stream=True, include_usage=True, dialect="anthropic", native=Native({}))


def of_native(name: str, recordings: Sequence[Recording]) -> Judged:
    judged = Judged(name)
    for one in recordings:
        if not one.stream:
            parsed = answers.protocol_for(one).parse(one.body, NATIVE, answers.target_of(one))
            got = parsed if isinstance(parsed, Failure) else parsed.body
            judged.hold(one.id, [] if got == one.body else [f"became {got!r:.200}"])
            continue
        judged.hold(one.id, [wrong for cuts in answers.cuts_of(one, 2) for wrong in passed(one, cuts)])
    return judged


def passed(recorded: Recording, cuts: Sequence[int]) -> Iterator[str]:
    """What is wrong with what came through. Some files have a second message after the end of the first."""
    feed = answers.protocol_for(recorded).feed(NATIVE, answers.target_of(recorded))
    data, failure = answers.fed(feed, recorded.body, cuts)
    if failure is not None:
        yield f"failed: {failure}"
    elif not (data.startswith(first_of(recorded.body).rstrip(b"\n")) and recorded.body.startswith(data)):
        yield f"{len(recorded.body)} bytes became {len(data)}, cut at {cuts[:3]}…"
