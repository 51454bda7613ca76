"""Recorded answers changed in ways that say nothing else: what another server, a proxy or next month's API would send.

Read next: test_mutants.py, which asks that what is delivered of them is the same.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.providers.bedrock.frames import Frames, framed

__all__ = ["FRAMES", "SPOILS", "STREAMS", "WHOLES", "Mutate", "is_frames"]

Body = dict[str, Any]
#: Another body that says the same as this one.
Mutate = Callable[[bytes, random.Random], bytes]

#: Members whose objects are the client's, or anybody's: nothing is added to them.
OPEN: Final = frozenset(
    {"input", "args", "arguments", "metadata", "logit_bias", "response", "partialArgs", "additionalModelResponseFields"}
)
STRANGE: Final[tuple[Any, ...]] = ({"deep": [1, {"er": None}]}, [], "", None, 7, 1.5, "text", ["text"], False)
#: Optional members that servers leave out, or say to be null.
NULLS: Final = (
    "stop_sequence stop_details container context_management citations caller usage service_tier system_fingerprint "
    "logprobs refusal annotations function_call tool_calls reasoning reasoning_content reasoning_details audio error "
    "groundingMetadata citationMetadata promptFeedback usageMetadata modelVersion responseId safetyRatings avgLogprobs "
    "cachedContentTokenCount thoughtsTokenCount toolUsePromptTokenCount promptTokensDetails trace performanceConfig "
    "cache_read_input_tokens cache_creation_input_tokens prompt_tokens_details completion_tokens_details thought "
    "thoughtSignature videoMetadata native_finish_reason"
).split()
#: Where those may stand: objects that have one of these.
HOLDERS: Final = frozenset(
    {"choices", "delta", "message", "role", "candidates", "content", "usage", "parts", "type", "input_tokens", "text"}
)


# --- bodies -----------------------------------------------------------------------------------------------------


def walked(value: Any, change: Callable[[Body], Body], name: str = "") -> Any:
    """The value with every object in it changed, but for those that are anybody's."""
    if name in OPEN:
        return value
    if isinstance(value, dict):
        return change({key: walked(inner, change, key) for key, inner in value.items()})
    return [walked(inner, change, name) for inner in value] if isinstance(value, list) else value


def added(value: Any, dice: random.Random) -> Any:
    """Members that nobody knows, in every object."""
    one, other = dice.sample(STRANGE, 2)
    return walked(value, lambda body: {"zz_new": one, **body, "zz_newer": other})


def nulled(value: Any, dice: random.Random) -> Any:
    """Members that are optional said to be null."""

    def change(body: Body) -> Body:
        extra = {name: None for name in NULLS if name not in body} if body.keys() & HOLDERS else {}
        return {**body, **extra}

    return walked(value, change)


def without_nulls(value: Any, dice: random.Random) -> Any:
    """Members that are null left out."""
    return walked(value, lambda body: {key: inner for key, inner in body.items() if inner is not None})


def reordered(value: Any, dice: random.Random) -> Any:
    """The members of each object in another order."""
    return walked(value, lambda body: dict(dice.sample(list(body.items()), len(body))))


def floated(value: Any, dice: random.Random) -> Any:
    """Whole numbers with a point."""
    if isinstance(value, dict):
        return {key: inner if key in OPEN else floated(inner, dice) for key, inner in value.items()}
    if isinstance(value, list):
        return [floated(inner, dice) for inner in value]
    return float(value) if type(value) is int and abs(value) < 2**53 else value


def same(value: Any, dice: random.Random) -> Any:
    return value


def retyped(value: Any, dice: random.Random, rate: float = 0.02) -> Any:
    """Some values of another type altogether: this does say something else."""
    if dice.random() < rate:
        return dice.choice(STRANGE)
    if isinstance(value, dict):
        return {key: retyped(inner, dice, rate) for key, inner in value.items()}
    return [retyped(inner, dice, rate) for inner in value] if isinstance(value, list) else value


CHANGES: Final = (added, nulled, without_nulls, reordered, floated)


def compact(value: Any, dice: random.Random) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=dice.random() < 0.5).encode()


def indented(value: Any, dice: random.Random) -> bytes:
    return json.dumps(value, indent=dice.choice((0, 1, 4)), ensure_ascii=False).encode()


# --- whole answers ----------------------------------------------------------------------------------------------


def whole_with(change: Callable[[Any, random.Random], Any]) -> Mutate:
    return lambda body, dice: compact(change(json.loads(body), dice), dice)


WHOLES: Final[Mapping[str, Mutate]] = {
    **{change.__name__: whole_with(change) for change in CHANGES},
    "with blanks around": lambda body, dice: b" \r\n\t\n" * dice.randrange(1, 400) + body + b"\n\n ",
    "indented": lambda body, dice: indented(json.loads(body), dice),
}


# --- streams of events ------------------------------------------------------------------------------------------


def blocks_of(body: bytes) -> list[list[bytes]]:
    """The lines of each event, with LF for every line end."""
    text = body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return [lines for block in text.split(b"\n\n") if (lines := [line for line in block.split(b"\n") if line])]


def written(blocks: list[list[bytes]], end: bytes = b"\n") -> bytes:
    return b"".join(b"".join(line + end for line in lines) + end for lines in blocks)


def with_lines(change: Callable[[list[bytes], random.Random], list[list[bytes]]], end: bytes = b"\n") -> Mutate:
    """A stream whose events are changed one by one; one may become several."""

    def mutate(body: bytes, dice: random.Random) -> bytes:
        return written([lines for block in blocks_of(body) for lines in change(block, dice)], end)

    return mutate


def with_data(change: Callable[[Any, random.Random], Any], write: Callable[[Any, random.Random], bytes]) -> Mutate:
    """A stream with the JSON of each event changed."""

    def one(lines: list[bytes], dice: random.Random) -> list[list[bytes]]:
        data = b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
        if not data.startswith((b"{", b"[")) or data == b"[DONE]":
            return [lines]
        others = [line for line in lines if not line.startswith(b"data:")]
        new = write(change(json.loads(data), dice), dice)
        return [[*others, *(b"data: " + line for line in new.split(b"\n"))]]

    return with_lines(one)


def commented(lines: list[bytes], dice: random.Random) -> list[list[bytes]]:
    extra: list[list[bytes]] = [[b": keep-alive"], [b":"], [b": data: {"], [b"retry: 3000"], [b"event: ping"]]
    return [dice.choice(extra), lines] if dice.random() < 0.5 else [[b":x", *lines, b"id: 1", b"retry: 10"]]


def unspaced(lines: list[bytes], dice: random.Random) -> list[list[bytes]]:
    return [[line.replace(b"data: ", b"data:", 1) if line.startswith(b"data: ") else line for line in lines]]


def unnamed(lines: list[bytes], dice: random.Random) -> list[list[bytes]]:
    return [[line for line in lines if not line.startswith(b"event:")]]


def as_they_are(lines: list[bytes], dice: random.Random) -> list[list[bytes]]:
    return [lines]


STREAMS: Final[Mapping[str, Mutate]] = {
    **{change.__name__: with_data(change, compact) for change in CHANGES},
    "over several lines": with_data(same, indented),
    "with comments and other fields": with_lines(commented),
    "without blanks after the colon": with_lines(unspaced),
    "without names of events": with_lines(unnamed),
    "with CRLF": with_lines(as_they_are, b"\r\n"),
    "with CR": with_lines(as_they_are, b"\r"),
    "with a byte order mark": lambda body, dice: b"\xef\xbb\xbf" + body,
    "with blank lines": lambda body, dice: b"\n\n\n" + body.replace(b"\n\n", b"\n\n\n\n"),
}


# --- AWS's frames -----------------------------------------------------------------------------------------------


def is_frames(body: bytes) -> bool:
    return body[:1] == b"\0"


def with_frames(
    change: Callable[[dict[str, str], Any, random.Random], tuple[dict[str, str], Any]], *, more: bool = False
) -> Mutate:
    """A stream of frames, each changed; ``more``: between them events of a kind that nobody knows."""

    def mutate(body: bytes, dice: random.Random) -> bytes:
        out = []
        for frame in Frames().feed(body):
            headers = {name: value for name, value in frame.headers.items() if isinstance(value, str)}
            headers, value = change(headers, json.loads(frame.payload), dice)
            if more:
                out.append(framed({**headers, ":event-type": "zzNew"}, compact({"contentBlockIndex": 0}, dice)))
            out.append(framed(headers, compact(value, dice)))
        return b"".join(out)

    return mutate


def frames_with(change: Callable[[Any, random.Random], Any]) -> Mutate:
    return with_frames(lambda headers, value, dice: (headers, change(value, dice)))


FRAMES: Final[Mapping[str, Mutate]] = {
    **{change.__name__: frames_with(change) for change in CHANGES},
    "with other headers": with_frames(lambda headers, value, dice: ({":zz": "", **headers, "x": "y"}, value)),
    "with events that nobody knows": with_frames(lambda headers, value, dice: (headers, value), more=True),
}


# --- spoilt -----------------------------------------------------------------------------------------------------

#: Values that nobody expects in a whole answer, a stream and frames: these do say something else.
SPOILS: Final = (whole_with(retyped), with_data(retyped, compact), frames_with(retyped))
