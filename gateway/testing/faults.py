"""What can go wrong with a provider: each fault rewrites the acts of a healthy answer.

Read next: script.py, which puts faults on cue; docs/testing.md, which lists the names.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, Protocol

import msgspec
from msgspec import Struct

from gateway.testing.acts import Abort, Act, Close, End, Head, Headers, Send, Wait, streamed, whole
from gateway.testing.prompt import Prompt

__all__ = [
    "FAULTS",
    "Cut",
    "Drip",
    "Encoded",
    "Fault",
    "HangUp",
    "InBandError",
    "InvalidEvent",
    "NoDone",
    "NoEnd",
    "NoFinish",
    "NotHttp",
    "OversizedEvent",
    "Pings",
    "PrefillRefused",
    "Refuse",
    "Silence",
    "SlowFirstToken",
    "Stall",
    "Torn",
    "refusal",
]


class Fault(Protocol):
    """Something that goes wrong: from the acts of a healthy answer to what really comes."""

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        """The acts as they happen."""
        ...


class Refuse(Struct, frozen=True):
    """Another answer altogether: a status, a body and headers."""

    status: int
    body: bytes = b""
    headers: Headers = ()
    content_type: str = "application/json"

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        return whole(self.status, self.body, headers=self.headers, content_type=self.content_type)


def refusal(
    status: int, type: str, code: str | None, message: str, *, param: str | None = None, headers: Headers = ()
) -> Refuse:
    """An error in OpenAI's envelope."""
    error = {"message": message, "type": type, "param": param, "code": code}
    return Refuse(status, msgspec.json.encode({"error": error}), headers)


class PrefillRefused(Struct, frozen=True):
    """A 400 for every prompt that ends with an assistant message; other prompts are answered."""

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        if prompt.last_role != "assistant":
            return acts
        message = "The conversation must end with a user message."
        return refusal(400, "invalid_request_error", None, message, param="messages").rewrite(acts, prompt)


class Silence(Struct, frozen=True):
    """No head, nothing, for so many seconds; then the connection is closed."""

    seconds: float = math.inf

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        yield Wait(self.seconds)
        yield Close()


class HangUp(Struct, frozen=True):
    """The connection ends before any head: reset, or just closed."""

    reset: bool = True

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        yield Abort() if self.reset else Close()


class NotHttp(Struct, frozen=True):
    """Bytes that are no HTTP at all."""

    data: bytes = b"SSH-2.0-simulated\r\n"

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        yield Send(self.data)
        yield Close()


class SlowFirstToken(Struct, frozen=True):
    """The head comes at once, the first content only after so many seconds."""

    seconds: float = 20.0

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        waited = False
        for act in acts:
            if not waited and isinstance(act, Send) and act.part in ("body", "content", "finish"):
                waited = True
                yield Wait(self.seconds)
            yield act


class Cut(Struct, frozen=True):
    """The connection ends after so many tokens, or before the finish; in the middle of a JSON body."""

    after: int = 40
    reset: bool = False

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        yield from beginning(acts, self.after)
        yield Abort() if self.reset else Close()


class Stall(Struct, frozen=True):
    """As Cut, but the connection stays open and silent for so many seconds first."""

    after: int = 20
    seconds: float = math.inf

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        yield from beginning(acts, self.after)
        yield Wait(self.seconds)
        yield Close()


class Pings(Struct, frozen=True):
    """As Stall, but something comes all the time: a comment every ``every_s`` seconds, white space in a JSON body.

    What counts bytes as life takes this for an answer that is on its way.
    """

    after: int = 0
    seconds: float = math.inf
    every_s: float = 1.0

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        yield from beginning(unsized(acts), self.after)
        left = self.seconds
        while left > 0:
            yield Wait(min(self.every_s, left))
            yield Send(b": ping\n\n" if prompt.stream else b"\n")
            left -= self.every_s
        yield Close()


class Torn(Struct, frozen=True):
    """The body breaks at any byte: after ``share`` (0 to 1) of it, in the middle of an event, or of a letter.

    ``how`` it ends there: ``close``; ``reset``; ``stall``, silent for ``seconds`` and then closed; ``end``, as if it
    were complete. ``pause_s`` before that, so that what came before has arrived.
    """

    share: float
    how: Literal["close", "reset", "stall", "end"] = "close"
    pause_s: float = 0.0
    seconds: float = math.inf

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        whole = list(unsized(acts) if self.how == "end" else acts)
        left = int(self.share * sum(len(act.data) for act in whole if isinstance(act, Send)))
        for act in whole:
            if isinstance(act, Send) and len(act.data) > left:
                yield Send(act.data[:left])
                break
            if isinstance(act, End):
                break
            left -= len(act.data) if isinstance(act, Send) else 0
            yield act
        yield Wait(self.pause_s)
        if self.how == "stall":
            yield Wait(self.seconds)
        yield End() if self.how == "end" else Abort() if self.how == "reset" else Close()


class Drip(Struct, frozen=True):
    """A healthy body, ``size`` bytes at a time every ``every_s`` seconds: never silent, and never done."""

    every_s: float = 1.0
    size: int = 1

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        for act in acts:
            if not isinstance(act, Send):
                yield act
                continue
            for at in range(0, len(act.data), self.size):
                yield Wait(self.every_s)
                yield Send(act.data[at : at + self.size])


class InvalidEvent(Struct, frozen=True):
    """One more event after so many tokens, which is not JSON; a JSON body loses its last brace."""

    after: int = 9

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        broken = Send(b'data: {"id":"chatcmpl-sim","object":"chat.compl\n\n')
        for act in inserted(acts, self.after, [broken]):
            yield Send(act.data[:-1] + b" ", "body") if isinstance(act, Send) and act.part == "body" else act


class OversizedEvent(Struct, frozen=True):
    """One more event after so many tokens, of so many bytes in one line. Only streams have it."""

    size: int = 2 * 1024 * 1024
    after: int = 5

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        padding = Send(b"x" * min(self.size, 65536))
        rounds = max(1, self.size // 65536)
        return inserted(acts, self.after, [Send(b'data: {"padding":"'), *[padding] * rounds, Send(b'"}\n\n')])


class NoDone(Struct, frozen=True):
    """The stream is complete, but for its ``[DONE]``."""

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        return (act for act in acts if not (isinstance(act, Send) and act.part == "done"))


class NoEnd(Struct, frozen=True):
    """A stream goes silent once it has said all but ``[DONE]``, and is closed after so many seconds."""

    seconds: float = math.inf

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        for act in acts:
            if isinstance(act, Send) and act.part == "done":
                yield Wait(self.seconds)
                yield Close()
                return
            yield act


class NoFinish(Struct, frozen=True):
    """No finish reason ever comes; the rest does, or, with ``after``, only so many tokens of the text."""

    after: int | None = None

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        left = math.inf if self.after is None else self.after
        for act in acts:
            match act:
                case Send(data, "body"):
                    yield Send(unfinished(data, self.after), "body")
                case Send(_, "finish"):
                    pass
                case Send(_, "content"):
                    left -= 1
                    if left >= 0:
                        yield act
                case _:
                    yield act


def unfinished(body: bytes, after: int | None) -> bytes:
    """A JSON answer as long as before, without its finish reasons and with at most so many words in each choice."""
    answer = msgspec.json.decode(body)
    for choice in answer["choices"]:
        choice["finish_reason"] = None
        if after is not None and choice["message"]["content"]:
            choice["message"]["content"] = " ".join(choice["message"]["content"].split(" ")[:after])
    return msgspec.json.encode(answer).ljust(len(body))


class InBandError(Struct, frozen=True):
    """Status 200, and an error where the answer should be: after so many tokens, or as the JSON body."""

    after: int = 0
    type: str = "server_error"
    code: str | None = "server_error"
    message: str = "The server had an error while processing your request."

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        body = refusal(200, self.type, self.code, self.message).body
        if not prompt.stream:
            yield from whole(200, body)
            return
        yield from beginning(acts, self.after)
        yield Send(b"data: " + body + b"\n\n")
        yield End()


class Encoded(Struct, frozen=True):
    """The answer compressed with gzip, though nobody asked for that; declared as ``encoding``."""

    encoding: str = "gzip"

    def rewrite(self, acts: Iterator[Act], prompt: Prompt) -> Iterator[Act]:
        data = b""
        for act in acts:
            match act:
                case Head(status, headers):
                    kept = tuple((k, v) for k, v in headers if k != "content-length")
                    yield Head(status, (*kept, ("content-encoding", self.encoding)))
                case Send(piece):
                    data += piece
        yield Send(gzip.compress(data, mtime=0))
        yield End()


def beginning(acts: Iterable[Act], after: int) -> Iterator[Act]:
    """The acts before a break: so many tokens and never the finish, or half of a JSON body."""
    left = after
    for act in acts:
        match act:
            case Send(data, "body"):
                yield Send(data[: len(data) // 2])
                return
            case Send(_, "content") if left > 0:
                left -= 1
                yield act
            case Head() | Wait() | Send(_, "role"):
                yield act
            case _:
                return


def unsized(acts: Iterable[Act]) -> Iterator[Act]:
    """The acts without a declared length, so that the body may hold more than it."""
    for act in acts:
        yield (
            Head(act.status, tuple(h for h in act.headers if h[0] != "content-length"))
            if isinstance(act, Head)
            else act
        )


def inserted(acts: Iterable[Act], after: int, more: Iterable[Act]) -> Iterator[Act]:
    """The acts of a stream with more of them after so many tokens, or before the finish."""
    left, pending, stream = after, list(more), False
    for act in acts:
        stream = stream or (isinstance(act, Head) and streamed(act))
        due = isinstance(act, Send) and ((act.part == "content" and left == 0) or act.part == "finish")
        if stream and due and pending:
            yield from pending
            pending = []
        left -= isinstance(act, Send) and act.part == "content"
        yield act


PAGE = b"<html><head><title>Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
RATE = "Rate limit reached for requests."
QUOTA = "You exceeded your current quota, please check your plan and billing details."

#: By the name that a script, a model (``any-model@name``) or the header ``x-sim-fault`` selects it with.
FAULTS: Final[Mapping[str, Fault]] = {
    "rate_limited": refusal(429, "requests", "rate_limit_exceeded", RATE, headers=(("retry-after", "2"),)),
    "rate_limited_bare": refusal(429, "requests", "rate_limit_exceeded", RATE),
    "insufficient_quota": refusal(429, "insufficient_quota", "insufficient_quota", QUOTA),
    "server_error": refusal(500, "server_error", None, "The server had an error while processing your request."),
    "bad_gateway": Refuse(502, PAGE, content_type="text/html"),
    "overloaded": refusal(503, "server_error", None, "The engine is currently overloaded, please try again later."),
    "site_overloaded": Refuse(529, PAGE, content_type="text/html"),
    "unauthorized": refusal(401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "forbidden": refusal(403, "invalid_request_error", None, "This key may not use this model."),
    "not_found": refusal(404, "invalid_request_error", "model_not_found", "The model does not exist.", param="model"),
    "context": refusal(
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens; your messages came to more.",
        param="messages",
    ),
    "filter": refusal(
        400, "invalid_request_error", "content_policy_violation", "Your request was rejected by our safety system."
    ),
    "invalid_request": refusal(400, "invalid_request_error", None, "A parameter is wrong.", param="temperature"),
    "prefill_refused": PrefillRefused(),
    "redirect": Refuse(302, headers=(("location", "https://example.com/"),)),
    "html": Refuse(200, PAGE, content_type="text/html"),
    "empty": Refuse(200),
    "silence": Silence(),
    "reset": HangUp(),
    "hang_up": HangUp(reset=False),
    "not_http": NotHttp(),
    "slow_first_token": SlowFirstToken(),
    "pings": Pings(seconds=2.0, every_s=0.2),
    "cut": Cut(),
    "reset_midway": Cut(reset=True),
    "stall": Stall(),
    "role_only": Stall(after=0),
    "invalid_event": InvalidEvent(),
    "oversized_event": OversizedEvent(),
    "no_done": NoDone(),
    "no_end": NoEnd(),
    "no_finish": NoFinish(),
    "unfinished": NoFinish(after=40),
    "in_band_error": InBandError(),
    "in_band_error_midway": InBandError(after=10),
    "wrong_encoding": Encoded(),
}
