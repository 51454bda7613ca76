"""A conversation of three turns with tools, and what each protocol can say of it. Read next: clients.py, talk.py."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from tests.upstreams.said import Answer, Called, Heard, Part, Picture, Result, Spent, Text, Tool, Turn

__all__ = ["QUESTION", "RESULTS", "STORY", "SYSTEM", "TOOLS", "counted", "meaning"]

SYSTEM: Final = "You know cities. „Kurz“, bitte."
PNG: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PICTURE: Final = Picture("image/png", PNG)
QUESTION: Final = (Text('What is this — and what is "new" there?\n\t雨?'), PICTURE)

LOOK: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "place": {"type": "string", "description": "Where, as people there call it."},
        "filter": {
            "type": "object",
            "properties": {
                "tags": {"type": "array", "items": {"type": "string"}},
                "deep": {"type": "object", "properties": {"n": {"type": "array", "items": {}}}},
            },
        },
        "note": {"type": "string"},
        "kind": {"type": "string", "enum": ["news", "map"]},
    },
    "required": ["place"],
}
TOOLS: Final = (
    Tool("look_up", "Looks a place up.", LOOK),
    Tool("clock", "Says what time it is.", {"type": "object", "properties": {}}),
)

FIRST: Final = Answer(
    "The tower is in 札幌.\nI need news, twice, and the time.",
    "Einen Moment — ich sehe nach. ☃",
    (
        Called(
            "look_up",
            {
                "place": "札幌",
                "filter": {"tags": ["a b", "ü"], "deep": {"n": [1, 2.5, None, True, {"x": []}]}},
                "note": 'He said "hi"\nand\\or\tleft 😀',
            },
        ),
        Called("clock", {}),
        Called("look_up", {"place": "Zürich", "kind": "news"}),
    ),
    Spent(input=900, output=120, written=700, reasoning=40),
)
SECOND: Final = Answer(
    "The clock is broken; one more look.",
    "",
    (Called("look_up", {"place": "札幌", "kind": "map"}),),
    Spent(input=1100, output=60, cached=700, written=200, reasoning=20),
)
THIRD: Final = Answer(
    "That is enough.",
    'Das ist der Fernsehturm von 札幌.\n\n- **neu**: "Schnee"\n',
    (),
    Spent(input=1300, output=80, cached=900, written=100, reasoning=10),
)
STORY: Final = (FIRST, SECOND, THIRD)

#: What the tools give back after each turn, in the order in which a client tells it: not that of the calls.
RESULTS: Final[Sequence[Sequence[Result]]] = (
    (
        Result(2, (Text("Nichts Neues."),)),
        Result(0, (Text("It snows: 雪."), Text('{"cm": 12} "or so"'), PICTURE)),
        Result(1, (Text("clock: out of order"),), error=True),
    ),
    (Result(0, (Text("A map."),)),),
)

#: What a request says of a call that no Gemini has made.
UNSIGNED: Final = "skip_thought_signature_validator"


def meaning(
    name: str, served: Sequence[str], ids: Sequence[Sequence[str]], *, stream: bool, cached: Sequence[str | int]
) -> Heard:
    """What a provider of this protocol must hear when the turns so far were served by these.

    ``ids`` are those of each turn's calls, ``cached`` the places that the client has marked.
    """
    turns = [Turn("user", QUESTION)]
    for turn, by in enumerate(served):
        answer = STORY[turn]
        text = (Text(answer.text),) if answer.text else ()
        turns.append(
            Turn("model", (*text, *answer.calls), signatures(name, by, turn, thought=thinks(by, served[:turn])))
        )
        turns.append(Turn("user", tuple(told(name, RESULTS[turn], ids[turn]))))
    tools = tuple([spoken(name, tool) for tool in TOOLS])
    places = tuple(cached) if name in ("anthropic", "bedrock") else ()
    return Heard(stream, (SYSTEM,), tools, tuple(turns), thinks(name, served), places)


def spoken(name: str, tool: Tool) -> Tool:
    """A tool as a protocol says it: Google has no schema for one without parameters."""
    bare = name == "google" and tool.schema is not None and not tool.schema["properties"]
    return replace(tool, schema=None) if bare else tool


def thinks(name: str, served: Sequence[str]) -> bool:
    """Whether it is to think: a Claude may only where the turn that is gone on with has its own thinking."""
    if name in ("openai", "google") or not served:
        return True
    return served[-1] == name and thinks(name, served[:-1])


def signatures(name: str, by: str, turn: int, *, thought: bool) -> tuple[str, ...]:
    """What a model's turn is signed with when it comes back, to the one who signed it or to another."""
    if name == "openai" or (by == name and name != "google" and not thought):
        return ()
    if by == name:
        return (f"sig+{name}/{turn}==",)
    return (UNSIGNED,) if name == "google" else ()


def told(name: str, results: Sequence[Result], ids: Sequence[str]) -> list[Part]:
    """Results as a protocol can tell them, in the order of their calls."""
    parts: list[Part] = []
    shown: list[Part] = []
    for result in sorted(results, key=lambda result: result.call):
        texts = [part for part in result.parts if isinstance(part, Text)]
        pictures = [part for part in result.parts if isinstance(part, Picture)]
        if name == "google":
            texts = [Text("\n".join([text.text for text in texts]))]
        if name == "openai" and pictures:
            # A tool gives back nothing but texts there: its pictures follow in words of the user's.
            shown += [Text(f"The result of {ids[result.call]}:"), *pictures]
            pictures = []
        parts.append(Result(result.call, (*texts, *pictures), result.error and name != "openai"))
    return [*parts, *shown]


#: What a protocol does not count.
UNCOUNTED: Final[Mapping[str, Sequence[str]]] = {
    "openai": ("written",),
    "anthropic": (),
    "google": ("written",),
    "bedrock": ("reasoning",),
}


def counted(name: str, spent: Spent, *, thought: bool) -> Spent:
    """The tokens that a client hears of."""
    spent = replace(spent, **dict.fromkeys(UNCOUNTED[name], 0))
    return spent if thought else replace(spent, reasoning=0)
