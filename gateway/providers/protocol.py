"""The seams of a provider protocol: render, parse, feed, collect, fault. All of them pure: bytes in, values out.

Read next: openai.py, the canonical protocol; foreign.py, what all others share; rows.py, the providers.

A *protocol* is code, and there are few; a *provider* is a Row that names its protocol and what differs, and there
are many. Embeddings come with their own operation and are not asked of a protocol that has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any
from typing import Protocol as Interface

from msgspec import Struct

from gateway.errors import Failure
from gateway.types import Call, Deployment, Endpoint, Secret, Usage

__all__ = ["Answer", "Called", "Collect", "Feed", "Kept", "Piece", "Protocol", "Rendered", "SoFar"]

Headers = Sequence[tuple[bytes, bytes]]


class Rendered(Struct, frozen=True):
    """A request in a provider's words: its body, and the headers of this one request.

    ``dropped`` names members of the client's request that the provider was not told, since it has no words for them and
    the meaning is the same without: ``seed``, ``messages[].name``.
    """

    body: bytes
    dropped: tuple[str, ...] = ()
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Kept(Struct, frozen=True):
    """What an answer holds beside what canonical members can say: a provider's own blocks, by its protocol's name.

    The provider wants them back in the next turn. ``calls`` are the ids of the tool calls, ``text`` is the text of the
    same answer, by which they are found again when a client does not send them back itself.
    """

    content: Mapping[str, list[Any]]
    calls: tuple[str, ...]
    text: str


class Answer(Struct, frozen=True):
    """A whole answer, valid in the dialect that it is in: canonical (``openai``), or the client's own.

    ``usage`` is None when the provider did not report any. ``output_bytes`` counts the text that was generated,
    for an estimate in that case. ``finish`` is the finish reason of the first choice.
    """

    body: bytes
    model: str | None
    usage: Usage | None
    finish: str | None
    output_bytes: int
    dialect: str = "openai"
    kept: Kept | None = None


class Piece(Struct):
    """What one read of a stream came to.

    ``data`` is for the client, whole events only, in the dialect of the Feed. ``content`` says that ``data`` holds
    content: text, reasoning, refusal, a tool name or audio. ``done`` says that the stream is complete, with a finish
    reason seen. ``failure`` ends the stream; ``data`` then holds what came before it.
    """

    data: bytes = b""
    content: bool = False
    done: bool = False
    failure: Failure | None = None


class Called(Struct, frozen=True):
    """A tool call, or the beginning of one: its name is whole, its arguments may not be."""

    name: str
    arguments: str = ""


class SoFar(Struct, frozen=True):
    """The beginning of an answer: its text, then its tool calls in order."""

    text: str = ""
    calls: tuple[Called, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text or self.calls)

    def __add__(self, more: SoFar) -> SoFar:
        """With more of the text, and of each call what comes after what was known of it."""
        calls = zip_longest(self.calls, more.calls, fillvalue=Called(""))
        return SoFar(
            self.text + more.text, tuple([Called(a.name or b.name, a.arguments + b.arguments) for a, b in calls])
        )


class Feed(Interface):
    """One stream being read. It holds what is not yet a whole event, and what the answer came to so far."""

    @property
    def dialect(self) -> str:
        """In whose words its pieces are: canonical (``openai``), or the client's own."""
        ...

    @property
    def kept(self) -> Kept | None:
        """What of the answer so far canonical members cannot say, None when nothing."""
        ...

    @property
    def usage(self) -> Usage | None:
        """The tokens that the provider reported, None until it has."""
        ...

    @property
    def model(self) -> str | None:
        """The model that answers, as the provider calls it."""
        ...

    @property
    def finish(self) -> str | None:
        """The finish reason of the first choice, None until it came."""
        ...

    @property
    def output_bytes(self) -> int:
        """Bytes of the text that was generated, for an estimate where no usage comes."""
        ...

    @property
    def id(self) -> str:
        """The answer's id, empty until it is known."""
        ...

    @property
    def so_far(self) -> SoFar | None:
        """What has been said; None when there is anything in it that another answer could not go on from."""
        ...

    @property
    def complete(self) -> bool:
        """Whether every choice that was begun has finished: only usage can still come, and silence is an end."""
        ...

    def feed(self, data: bytes) -> Piece:
        """Take bytes, cut anywhere; give whole events for the client. The final ``[DONE]`` is never among them."""
        ...

    def close(self) -> Piece:
        """The provider closed: the rest, and a ``truncated`` failure when the answer was not complete."""
        ...


class Collect(Feed, Interface):
    """One stream being read for a client that asked for JSON: nothing goes out until ``done``.

    Its pieces never have ``data``; ``content``, ``done`` and ``failure`` mean what they mean in any stream.
    ``answer`` is the whole answer once a piece was ``done``, and None before, after a failure, and for ever then.
    """

    @property
    def answer(self) -> Answer | None:
        """The whole answer."""
        ...


class Protocol(Interface):
    """A wire protocol that providers speak."""

    @property
    def dialect(self) -> str:
        """Its name. Requests of clients that speak it too go through as they came."""
        ...

    @property
    def aggregates(self) -> bool:
        """Whether streams of this provider say all that its whole answers do, so that ``collect`` loses nothing.

        Whether a request can be streamed at all is for streamable.py to say.
        """
        ...

    def endpoint(self, deployment: Deployment, key: Secret | None, *, stream: bool) -> Endpoint:
        """Where requests of this deployment go with this key. Made once for each and kept by the caller.

        The same one for streams and whole answers where nothing in it differs.
        """
        ...

    def models(self, deployment: Deployment, key: Secret | None) -> Endpoint:
        """Where the provider lists its models: a question that costs nothing."""
        ...

    def resume(self, call: Call, deployment: Deployment, text: str) -> Call:
        """The call that asks for the rest of an answer that begins with this text."""
        ...

    def render(self, call: Call, deployment: Deployment, *, stream: bool | None = None) -> Rendered:
        """The request in the provider's words.

        ``stream`` says whether a stream is asked for, with its usage; None is as the client asked. Raises CannotSay
        where there are no words and the meaning would change without them.
        """
        ...

    def parse(self, body: bytes, call: Call, deployment: Deployment) -> Answer | Failure:
        """A 2xx answer. A body that is an error, or is not a complete answer, is a Failure."""
        ...

    def feed(self, call: Call, deployment: Deployment) -> Feed:
        """A reader for one 2xx stream."""
        ...

    def collect(self, call: Call, deployment: Deployment) -> Collect:
        """A reader for one 2xx stream, or 2xx JSON, that was asked for on behalf of a client who wants JSON."""
        ...

    def fault(self, status: int, headers: Headers, body: bytes, deployment: Deployment) -> Failure:
        """What a status outside 2xx means."""
        ...
