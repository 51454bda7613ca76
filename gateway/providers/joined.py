"""Chunks put together into the one answer that they are pieces of.

Read next: gather.py, which feeds them in and judges the result.

What OpenAI's schema knows as text is joined. Of every other member the last value that is not null counts: a string of
a name that nobody knows may be text, or a state that each chunk repeats. Objects are merged member by member; lists
in a delta are additions and follow each other.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.providers.repairs import Body

__all__ = ["Joined"]

MESSAGE: Final = frozenset({"content", "refusal", "reasoning_content", "reasoning"})
FUNCTION: Final = frozenset({"name", "arguments"})
CUSTOM: Final = frozenset({"name", "input"})

#: Bytes that only hide how long a chunk is.
PADDING: Final = ("obfuscation", "p")
#: Members whose first value holds for the whole stream.
FIRST: Final = ("id", "created", "model")

_decode: Final = msgspec.json.Decoder().decode


class Joined:
    """The answer so far. ``take`` is a stream.Sink that gives nothing to the client."""

    __slots__ = ("_choices", "_envelope", "_kept")

    def __init__(self) -> None:
        self._kept: Body = {}
        self._envelope: Body = {}
        self._choices: dict[int, _Choice] = {}

    def take(self, events: list[bytes]) -> bytes:
        """Add valid chunks. Raises one of shapes.UNREADABLE for an error in a member that the gate does not read."""
        for event in events:
            self._add(_decode(event))
        return b""

    def _add(self, chunk: Body) -> None:
        for choice in chunk.pop("choices"):
            index = choice.pop("index")
            if index not in self._choices:
                self._choices[index] = _Choice()
            self._choices[index].take(choice)
        for name in PADDING:
            chunk.pop(name, None)
        if chunk != self._envelope:
            self._envelope = chunk
            first = {name: self._kept[name] for name in FIRST if self._kept.get(name)}
            keep(self._kept, {**chunk, **first})

    def body(self) -> Body:
        """The answer, as much as has come."""
        choices = [{"index": index, **choice.body()} for index, choice in sorted(self._choices.items())]
        head = {name: self._kept.pop(name, None) for name in FIRST}
        usage = self._kept.pop("usage", None)
        body = {"id": head.pop("id"), "object": "chat.completion", **head, "choices": choices}
        if usage is not None:
            body["usage"] = usage
        return body | {name: value for name, value in self._kept.items() if name not in body}


class _Choice:
    """One choice: its message and what stands beside it."""

    __slots__ = ("_beside", "_function", "_logprobs", "_message", "_tools")

    def __init__(self) -> None:
        self._message = _Part(MESSAGE)
        self._function: _Part | None = None
        self._tools: dict[int, list[_Tool]] = {}
        self._logprobs: _Part | None = None
        self._beside: Body = {}

    def take(self, choice: Body) -> None:
        delta = choice.pop("delta")
        # Perplexity repeats the message so far beside each delta.
        choice.pop("message", None)
        if (logprobs := choice.pop("logprobs", None)) is not None:
            self._logprobs = self._logprobs or _Part(frozenset())
            self._logprobs.take(logprobs)
        for piece in delta.pop("tool_calls", ()):
            self._call(piece)
        if (function := delta.pop("function_call", None)) is not None:
            self._function = self._function or _Part(FUNCTION)
            self._function.take(function)
        self._message.take(delta)
        keep(self._beside, choice)

    def _call(self, piece: Body) -> None:
        """Another id with a name begins another call: some number all parallel calls alike."""
        known = self._tools.setdefault(piece.pop("index"), [])
        if not known or known[-1].is_other(piece):
            known.append(_Tool())
        known[-1].take(piece)

    def body(self) -> Body:
        message: Body = {"role": "assistant", "content": None, "refusal": None, **self._message.body()}
        message["role"] = "assistant"
        if message["refusal"] and not message["content"]:
            # A stream begins with an empty text before it is known that nothing but a refusal will come.
            message["content"] = None
        if self._tools:
            message["tool_calls"] = [tool.body() for _, tools in sorted(self._tools.items()) for tool in tools]
        if self._function is not None:
            message["function_call"] = {"arguments": "", **self._function.body()}
        logprobs = {"content": None, "refusal": None, **self._logprobs.body()} if self._logprobs else None
        return {"message": message, "logprobs": logprobs, **self._beside}


class _Tool:
    """One tool call. What is left out of a stream when it is empty is there in an answer."""

    __slots__ = ("_custom", "_function", "_id", "_kept")

    def __init__(self) -> None:
        self._id = ""
        self._function: _Part | None = None
        self._custom: _Part | None = None
        self._kept = _Part(frozenset())

    def is_other(self, piece: Body) -> bool:
        """Whether a piece under the same number belongs to another call: a new id alone can be an error."""
        inner = piece.get("function") or piece.get("custom") or {}
        return bool(self._id and piece.get("id") and piece["id"] != self._id and inner.get("name"))

    def take(self, piece: Body) -> None:
        self._id = self._id or piece.pop("id", None) or ""
        piece.pop("id", None)
        if (function := piece.pop("function", None)) is not None:
            self._function = self._function or _Part(FUNCTION)
            self._function.take(function)
        if (custom := piece.pop("custom", None)) is not None:
            self._custom = self._custom or _Part(CUSTOM)
            self._custom.take(custom)
        self._kept.take(piece)

    def body(self) -> Body:
        body: Body = {"id": self._id} if self._id else {}
        body |= {"type": "function" if self._custom is None else "custom", **self._kept.body()}
        if self._function is not None:
            body["function"] = self._function.body()
        if self._custom is not None:
            body["custom"] = {"input": "", **self._custom.body()}
        return body


class _Part:
    """An object that comes in pieces, ``texts`` the names of its members that are text."""

    __slots__ = ("_kept", "_pieces", "_texts")

    def __init__(self, texts: frozenset[str]) -> None:
        self._texts = texts
        self._pieces: dict[str, list[str]] = {}
        self._kept: Body = {}

    def take(self, piece: Body) -> None:
        for name, value in piece.items():
            if type(value) is str and name in self._texts:
                self._pieces.setdefault(name, []).append(value)
            elif value is not None:
                self._add(name, value)

    def _add(self, name: str, value: Any) -> None:
        kept = self._kept.get(name)
        if type(value) is list and type(kept) is list:
            kept.extend(value)
        else:
            keep(self._kept, {name: value})

    def body(self) -> Body:
        return self._kept | {name: "".join(pieces) for name, pieces in self._pieces.items()}


def keep(kept: Body, said: Body) -> None:
    """Of every member the last value that is not null; objects are merged."""
    for name, value in said.items():
        if value is None:
            kept.setdefault(name, None)
        elif type(value) is dict and type(old := kept.get(name)) is dict:
            kept[name] = {**old, **value}
        else:
            kept[name] = value
