"""What a provider wants back in the next turn, kept for clients that do not send it back themselves.

Read next: ../pipeline.py, which keeps and restores; ../providers/protocol.py, what Kept is; docs/translation.md.

It is found again by the ids of the tool calls of its answer, or by the text where there are none. Ids are as unique as
a provider makes them, and two answers may well be the same text: so a text counts only in its conversation, and so does
an id where callers are not told apart. A caller's is never another's: the store sees to that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from gateway.providers.protocol import Kept
from gateway.story import ANONYMOUS
from gateway.types import Call, Caller

__all__ = ["Store", "keep", "restore"]

Message = Mapping[str, Any]

#: Members by which a client sends back itself what a provider wants.
SENT_BACK: Final = ("extra_content", "thinking_blocks")
#: How many of the newest messages are looked up: nobody pays for a longer memory than this.
NEWEST: Final = 256

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class Store(Protocol):
    """What keeps it: see state/verbs.py."""

    def remember(self, caller: str, values: Mapping[str, bytes]) -> None:
        """Keep a caller's values by key."""
        ...

    @property
    def blank(self) -> bool:
        """Whether nothing is kept of anybody, so that nobody need ask."""
        ...

    async def recall(self, caller: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """What is kept of them."""
        ...


def keep(store: Store, caller: Caller, call: Call, kept: Kept) -> None:
    """Keep what came with an answer, unless it came in the client's own words or the client sends such things back."""
    if call.dialect in kept.content or any(map(_sent_back, call.fields["messages"])):
        return
    keys = _keys(caller, _beginning(call), kept.calls, kept.text)
    if keys:
        store.remember(caller.id, dict.fromkeys(keys, _encode(kept.content)))


async def restore(store: Store, caller: Caller, call: Call, dialects: Set[str]) -> Call:
    """The call with what was kept of its earlier turns, as far as protocols of these dialects read it."""
    messages: list[Message] = call.fields["messages"]
    spoken = _candidates(messages) if not store.blank else ()
    if not spoken:
        return call
    beginning = _beginning(call)
    wanted = {at: key for at in spoken if (key := _key_of(caller, beginning, messages[at])) is not None}
    found = await store.recall(caller.id, tuple(dict.fromkeys(wanted.values())))
    restored, added = list(messages), 0
    for at, key in wanted.items():
        content = msgspec.json.decode(found[key]) if key in found else {}
        extra = {dialect: {"content": said} for dialect, said in content.items() if dialect in dialects}
        if extra:
            restored[at] = {**messages[at], "extra_content": extra}
            added += len(found[key])
    return replace(call, fields={**call.fields, "messages": restored}, added=added)


def _candidates(messages: Sequence[Message]) -> list[int]:
    """Where the assistant spoke and nothing was sent back."""
    spoken = [n for n, message in enumerate(messages) if message["role"] == "assistant" and not _sent_back(message)]
    return spoken[-NEWEST:]


def _sent_back(message: Message) -> bool:
    return any(message.get(name) for name in SENT_BACK)


def _key_of(caller: Caller, beginning: str, message: Message) -> str | None:
    """What the turn is found by: its first call, each call being a key of the whole turn."""
    ids = [id for said in message.get("tool_calls") or () if isinstance(id := said.get("id"), str)]
    keys = _keys(caller, beginning, ids[:1], _text(message.get("content")))
    return keys[0] if keys else None


def _keys(caller: Caller, beginning: str, ids: Sequence[str], text: str) -> list[str]:
    """The keys of a turn with these calls and this text; none where it has neither."""
    if ids:
        where = beginning if caller == ANONYMOUS else ""
        return [f"call:{where}:{id}" for id in ids]
    text = text.strip()
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return [f"text:{beginning}:{digest}"] if text else []


def _beginning(call: Call) -> str:
    """The conversation: all up to its first user turn, which stays the same while it grows.

    Features have the same as a number that is good enough to prefer a deployment, but that can be made to collide.
    Where something should be cached may change from turn to turn, and says nothing.
    """
    digest = hashlib.sha256()
    for message in call.fields["messages"]:
        digest.update(_encode([message["role"], _uncached(message.get("content"))]))
        if message["role"] == "user":
            break
    return digest.hexdigest()


def _uncached(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [{name: value for name, value in part.items() if name != "cache_control"} for part in content]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts = [part.get("text") for part in content or ()]
    return "".join([text for text in texts if isinstance(text, str)])
