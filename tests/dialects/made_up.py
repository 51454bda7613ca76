"""Requests made up from the types of a client's SDK: whatever those allow, in any combination.

Read next: test_made_up.py. A type is walked by its hints; members that are not required are there or not, unions are
one of their members, texts are some that mean something where their name does.
"""

from __future__ import annotations

import collections.abc as abc
import types
from random import Random
from typing import Annotated, Any, Final, Literal, NotRequired, Required, Union, get_args, get_origin

from typing_extensions import get_type_hints, is_typeddict

__all__ = ["Impossible", "made"]

DEEPEST: Final = 8
PNG: Final = "iVBORw0KGgo="
#: Texts by the name of their member.
TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "url": ("https://a.test/x.png", f"data:image/png;base64,{PNG}"),
    "file_data": ("data:application/pdf;base64,JVBERi0=", "data:text/plain;base64,aGk="),
    "data": (PNG, "aGk="),
    "id": ("call_1", "toolu_1", ""),
    "tool_call_id": ("call_1", "x"),
    "tool_use_id": ("toolu_1", "x"),
    "name": ("look", "f-1", "a b"),
    "arguments": ("{}", '{"a":1}', "[1]", "nonsense", ""),
    "text": ("hello", "", "  "),
    "content": ("hello", "", " "),
    "media_type": ("image/png", "application/pdf"),
}
SCHEMAS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"type": "object"},
    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
    {"type": "object", "properties": {"b": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "array", "items": {}}}},
)
ANYTHING: Final[tuple[Any, ...]] = (1, "x", None, {"a": 1}, [1])
SCHEMATIC: Final = frozenset({"input", "input_schema", "parameters", "schema"})
#: Members of a request that leave few providers who can do it: rarely there.
RARE: Final = frozenset(
    "stream n audio web_search_options logprobs container mcp_servers modalities function_call functions".split()
)
LISTS: Final[tuple[Any, ...]] = (list, abc.Iterable, abc.Sequence)


class Impossible(Exception):
    """Nothing of this type can be written as JSON."""


def made(kind: Any, dice: Random, name: str = "", depth: int = 0) -> Any:
    """A value of this type, for a member of this name. Raises Impossible."""
    origin: Any = get_origin(kind)
    if origin in (Required, NotRequired, Annotated):
        return made(get_args(kind)[0], dice, name, depth)
    if origin is Literal:
        return dice.choice(get_args(kind))
    if origin in (Union, types.UnionType):
        return one_of(list(get_args(kind)), dice, name, depth)
    if is_typeddict(kind):
        return object_of(kind, dice, depth)
    if origin in LISTS:
        return list_of(get_args(kind)[0], dice, name, depth)
    if origin in (dict, abc.Mapping):
        return dice.choice(SCHEMAS) if name in SCHEMATIC else {"a": made(get_args(kind)[1], dice, name, depth + 1)}
    return plain(kind, dice, name)


def plain(kind: Any, dice: Random, name: str) -> Any:
    if kind in (None, type(None)):
        return None
    if kind in (Any, object):
        return dice.choice(SCHEMAS if name in SCHEMATIC else ANYTHING)
    values: dict[Any, tuple[Any, ...]] = {
        str: TEXTS.get(name, ("x", "", "look")),
        int: (1, 2, 1024, 5000),
        float: (0.0, 0.5, 1.0),
        bool: (True, False),
    }
    if kind not in values:
        raise Impossible(kind)
    return dice.choice(values[kind])


def one_of(kinds: list[Any], dice: Random, name: str, depth: int) -> Any:
    dice.shuffle(kinds)
    if depth >= DEEPEST:
        kinds.sort(key=lambda kind: is_typeddict(kind) or get_origin(kind) in LISTS)
    for kind in kinds:
        try:
            return made(kind, dice, name, depth)
        except Impossible:
            continue
    raise Impossible(name)


def object_of(kind: Any, dice: Random, depth: int) -> dict[str, Any]:
    found = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        origin: Any = get_origin(hint)
        required = origin is Required or name in kind.__required_keys__
        likely = 0.06 if depth == 0 and name in RARE else 0.4
        if not required and (depth > DEEPEST or dice.random() > likely):
            continue
        try:
            found[name] = made(hint, dice, name, depth + 1)
        except Impossible:
            if required:
                raise
    return found


def list_of(kind: Any, dice: Random, name: str, depth: int) -> list[Any]:
    many = dice.choice((1, 2, 3, 5)) if name == "messages" else dice.choice((0, 1, 1, 2, 3))
    return [made(kind, dice, name, depth + 1) for _ in range(many if depth < DEEPEST else 0)]
