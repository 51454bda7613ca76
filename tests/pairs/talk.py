"""A gateway before four providers, one of each protocol, and a conversation held through it and judged at both ends.

Read next: test_pairs.py; ../upstreams/, the providers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from gateway.config.load import load_text
from tests.gateway import Running, serving
from tests.pairs.clients import CLIENTS, Client, Got
from tests.pairs.story import RESULTS, STORY, counted, meaning, thinks
from tests.upstreams.anthropic import Anthropic
from tests.upstreams.bedrock import Bedrock
from tests.upstreams.google import Google
from tests.upstreams.openai import OpenAI
from tests.upstreams.said import Answer, Heard, Result, Turn
from tests.upstreams.server import Upstream, Words, upstream

__all__ = ["PROTOCOLS", "WAYS", "Stage", "Way", "equal", "foreign", "in_order", "route", "stage", "talk"]

WORDS: Final[Mapping[str, Words]] = {words.name: words for words in (OpenAI(), Anthropic(), Google(), Bedrock())}
PROTOCOLS: Final = tuple(WORDS)
#: How answers come: whole, as a stream, or whole to the client and as a stream to the gateway, where that can be.
Way = Literal["whole", "stream", "collected"]
WAYS: Final[Mapping[Way, str]] = {"whole": "as_client", "stream": "as_client", "collected": "auto"}
BASES: Final = {"openai": "/v1", "google": "/v1beta"}
MORE: Final = {"bedrock": ", region: us-east-1"}


class Stage(Struct, frozen=True, eq=False):
    """A gateway with a deployment for each protocol, named as that is, and the providers by the same names."""

    gateway: Running
    providers: Mapping[str, Upstream]


@asynccontextmanager
async def stage(config: str = "", story: Sequence[Answer] = STORY, **deployments: str) -> AsyncIterator[Stage]:
    """Until the block is left. ``config`` and members of ``deployments`` are YAML."""
    async with AsyncExitStack() as stack:
        providers = {name: await stack.enter_async_context(upstream(words, story)) for name, words in WORDS.items()}
        lines = ["providers:"]
        for name, one in providers.items():
            address = f"base_url: '{one.url}{BASES.get(name, '')}', allow_private: true{MORE.get(name, '')}"
            lines.append(f"  {name}: {{kind: {one.words.kind}, {address}, api_key: sk-{name}}}")
        lines.append("deployments:")
        for name, one in providers.items():
            lines.append(f"  {name}: {{provider: {name}, model: '{one.words.model}'{deployments.get(name, '')}}}")
        world = load_text("\n".join([*lines, config, ""]), {})
        yield Stage(await stack.enter_async_context(serving(world)), providers)


def route(*names: str, rescue: str = "'off'") -> str:
    """A route ``r`` that asks these in order, each once."""
    first, *more = names
    policy = f"{{pool: [{first}], fallback: [{', '.join(more)}], retry: {{same_target: 0}}, rescue: {rescue}}}"
    return f"routes: [{{name: r, policy: {policy}}}]"


async def talk(client: str, served: Sequence[str], way: Way) -> None:
    """The whole story, its turns served by these. Raises AssertionError for whatever is lost on the way.

    A provider that is not to serve a turn, though an earlier one was its, is down for it.
    """
    async with stage(f"{route(*dict.fromkeys(served))}\nupstream: {{stream: {WAYS[way]}}}") as on:
        try:
            await talked(on, CLIENTS[client](on.gateway, stream=way == "stream"), served, way)
        except Exception as error:
            error.add_note(f"{client}: {', '.join(served)}: {way}")
            raise
        for name, provider in on.providers.items():
            equal(f"what {name} refused", provider.wrong, [])
            equal(f"requests to {name} with what is not its", foreign(name, provider.raw), [])


async def talked(on: Stage, speaker: Client, served: Sequence[str], way: Way) -> None:
    ids: list[Sequence[str]] = []
    for turn, name in enumerate(served):
        if name != served[0]:
            on.providers[served[0]].down = 1
        if speaker.echoes:
            forget(on.gateway)
        got = await speaker.ask("r")
        heard = on.providers[name].heard
        equal(f"turn {turn}: times that {name} was asked", len(heard), served[: turn + 1].count(name))
        streamed = heard[-1].stream if way == "collected" else way == "stream"
        expected = meaning(name, served[:turn], ids, stream=streamed, cached=speaker.cached)
        alike(f"turn {turn}: what {name} was asked", in_order(heard[-1]), expected)
        record = (await on.gateway.settled(turn + 1))[-1]
        left_out = bool({"thinking", "reasoning_effort"} & set(record.dropped))
        equal(f"turn {turn}: that thinking is said to be left out", left_out, not heard[-1].thinks)
        alike(f"turn {turn}: what the client got", got, answered(turn, name, served[:turn], speaker, got.ids))
        ids.append(got.ids)
        if turn < len(RESULTS):
            speaker.tell(RESULTS[turn])


def forget(gateway: Running) -> None:
    """Let the gateway know nothing of what it has told its clients."""
    gateway.app._state.remembered._by.clear()  # type: ignore[attr-defined]


def answered(turn: int, name: str, served: Sequence[str], speaker: Client, ids: tuple[str, ...]) -> Got:
    """What the client must get. Which ids calls have is nobody's affair, as long as there is one for each."""
    answer, thought = STORY[turn], thinks(name, served)
    return Got(
        answer.text,
        answer.reasoning if thought and name != "openai" else "",
        answer.calls,
        ids if len(set(ids)) == len(answer.calls) else ("an id for each call",),
        speaker.calls if answer.calls else speaker.stop,
        counted(name, answer.spent, thought=thought),
    )


def equal(what: str, found: object, expected: object) -> None:
    """Raises AssertionError, in words, where it is something else."""
    if found != expected:
        raise AssertionError(f"{what}: {found!r}, not {expected!r}")


def alike(what: str, found: Struct, expected: Struct) -> None:
    """The same, member by member."""
    for name in found.__struct_fields__:
        equal(f"{what}: {name}", getattr(found, name), getattr(expected, name))


def in_order(heard: Heard) -> Heard:
    """The results of tools in the order of their calls, which says the same."""
    turns = [
        Turn(turn.role, tuple(sorted(turn.parts, key=lambda p: p.call if isinstance(p, Result) else 99)), turn.signed)
        for turn in heard.turns
    ]
    return replace(heard, turns=tuple(turns))


def foreign(name: str, raw: Sequence[bytes]) -> list[bytes]:
    """Requests with anything in them that another provider signed, or that the gateway made for its clients."""
    theirs = [f"sig+{other}".encode() for other in PROTOCOLS if other != name]
    return [said for said in raw for mark in (*theirs, b"signalbox:", b"extra_content") if mark in said]
