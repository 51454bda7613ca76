"""What a simulated model is asked: the few members of a chat request that its answer depends on.

Read next: answer.py, which makes the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

__all__ = ["Prompt", "read"]


class Prompt(Struct, frozen=True, eq=False):
    """One chat request, read. ``fields`` is the whole decoded body."""

    fields: Mapping[str, Any]
    model: str
    messages: Sequence[Mapping[str, Any]]
    stream: bool = False
    include_usage: bool = False
    n: int = 1
    max_tokens: int | None = None

    @property
    def last_role(self) -> str:
        """The role of the last message, or an empty string."""
        return str(self.messages[-1].get("role", "")) if self.messages else ""

    @property
    def has_result(self) -> bool:
        """Whether a tool's result has come since the assistant last spoke; more of the user's may stand after it."""
        roles = [m.get("role") for m in self.messages]
        since = roles[::-1].index("assistant") if "assistant" in roles else len(roles)
        return "tool" in roles[len(roles) - since :]

    @property
    def question(self) -> str:
        """The text of the last user message."""
        asked = [m for m in self.messages if m.get("role") == "user"]
        return text_of(asked[-1].get("content")) if asked else ""

    @property
    def prefill(self) -> str:
        """The beginning of the answer that the client has put there, or an empty string."""
        return text_of(self.messages[-1].get("content")) if self.last_role == "assistant" else ""

    @property
    def tokens(self) -> int:
        """How many tokens the messages come to, at four bytes each."""
        return 1 + sum(len(text_of(m.get("content")).encode()) + 12 for m in self.messages) // 4


def read(body: bytes) -> Prompt:
    """The prompt in a chat request body.

    Raises ValueError, with a message for the client, when it is not a chat request.
    """
    try:
        fields = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(f"the body is not JSON: {error}") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("model"), str):
        raise ValueError("the body needs a member 'model' that is a string")
    messages = fields.get("messages")
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise ValueError("the body needs a member 'messages' that is a list of objects")
    options = fields.get("stream_options")
    return Prompt(
        fields=fields,
        model=fields["model"],
        messages=messages,
        stream=bool(fields.get("stream")),
        include_usage=isinstance(options, dict) and bool(options.get("include_usage")),
        n=count(fields, "n") or 1,
        max_tokens=count(fields, "max_completion_tokens") or count(fields, "max_tokens"),
    )


def count(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, int):
        raise ValueError(f"the member {name!r} is {value!r}; it has to be a whole number")
    return value


def text_of(content: object) -> str:
    """The text in a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""
