"""docs/configuration.md, written from the schema: every key with its type, default and meaning.

Read next: schema.py. ``python -m gateway.config.document`` prints it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.config.kinds import kinds
from gateway.config.schema import Config, StrategyEntry
from gateway.config.units import Count, Duration, Hidden, HiddenDocument, Moment, OneOrMore, Size, Switch
from gateway.data.well_known import WELL_KNOWN
from gateway.policy.strategies import STRATEGIES
from gateway.types import Secret

__all__ = ["document"]

_INTRODUCTION = """# Configuration

One YAML file says everything: `signalbox run --config gateway.yaml`. `signalbox check --config gateway.yaml` says what
is wrong with one, with line, column and what to do. A running gateway takes a changed file over by itself when it is
good, and keeps what it has when it is not. Examples: [config/minimal.yaml](../config/minimal.yaml),
[config/providers.yaml](../config/providers.yaml), [config/claude-code.yaml](../config/claude-code.yaml), and
[config/gateway.yaml](../config/gateway.yaml) with everything.

This page is written from the schema (`python -m gateway.config.document`), as is the JSON schema for editors.

## How values are written

| value | written as |
|---|---|
| a secret, or anything of the environment | `${NAME}`, `${NAME:-default}`, `${file:/path}`; `$${` is a literal `${` |
| a duration | a number and its unit: `500ms`, `30s`, `10m`, `1h` |
| a size | bytes, or with a unit: `512KiB`, `10MiB`, `1GB` |
| a count | a whole number, `300k` or `1.5M` |
| on or off | `on`, `off`, `true`, `false`, `yes`, `no` |
| one or more | one word, or a list of them |
| a name | letters, digits and `. _ : / @ + -`; clients may write names of deployments, routes and aliases as `model` |

Words that YAML 1.1 turns into something else (`no`, `on`, `1:30`, `2024-10-21`) stay what was written. Anchors, aliases
and tags are not allowed, nor is a key that is there twice.
"""
_WORDS: tuple[tuple[Any, str], ...] = (
    (Duration, "duration"),
    (Size, "size"),
    (Count, "count"),
    (Switch, "on or off"),
    (OneOrMore, "one or more"),
    (Hidden, "secret"),
    (HiddenDocument, "secret"),
    (Moment, "date"),
)
_PLAIN = {str: "text", int: "whole number", float: "number", bool: "on or off", Secret: "secret"}


_KINDS = """
## Kinds of provider

What `kind` may be, and what is known of each: the variable of its key, the login where there is no key, both used by
themselves at its own address only, and the deployments that `discover` makes where that variable is set.

| kind | protocol | address | key | login | discovered |
|---|---|---|---|---|---|"""
PROTOCOLS: Final = {
    "openai": "Chat Completions",
    "anthropic": "Messages",
    "google": "generateContent",
    "bedrock": "Converse",
}


def document() -> str:
    """The whole page as Markdown."""
    return "\n".join([_INTRODUCTION, *_sections(), *_kinds()]) + "\n"


def _sections() -> Iterator[str]:
    yield from _section("The file", Config)
    for name, field in Config.model_fields.items():
        for model in _models(field.annotation):
            yield from _tree(f"`{name}`{_plural(field.annotation)}", model)


def _kinds() -> Iterator[str]:
    yield _KINDS
    for kind in kinds():
        key = ", ".join(f"`{name}`" for name in kind.env) or "–"
        login = f"`{kind.login}`" if kind.login else "–"
        address = f"`{kind.base_url}`" if kind.base_url else "yours"
        found = ", ".join(f"`{model}`" for model, _ in WELL_KNOWN.get(kind.kind, ())) or "–"
        yield f"| `{kind.kind}` | {PROTOCOLS[kind.protocol]} | {address} | {key} | {login} | {found} |"


def _plural(annotation: Any) -> str:
    origins = {get_origin(part) for part in (annotation, *get_args(annotation))}
    if dict in origins:
        return ": entries by name"
    return ": a list of entries" if tuple in origins else ""


def _tree(title: str, model: type[BaseModel]) -> Iterator[str]:
    """A model's section, then those of the models inside it."""
    yield from _section(title, model)
    path = title.split("`")[1]
    for name, field in model.model_fields.items():
        for inner in _models(field.annotation):
            if inner is StrategyEntry:
                yield from _strategies(f"{path}.{name}")
            else:
                yield from _tree(f"`{path}.{name}`", inner)


def _section(title: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"\n## {title}\n\n{_prose(model)}\n"
    if model.model_fields:
        yield "| key | type | default | meaning |\n|---|---|---|---|"
    for name, field in model.model_fields.items():
        yield f"| `{field.alias or name}` | {_type(field)} | {_default(field)} | {field.description} |"


def _strategies(path: str) -> Iterator[str]:
    yield f"\n## `{path}`\n\nA name (`strategy: ordered`), or with parameters: `{{cost: {{floor: 0.85}}}}`."
    for name, strategy in STRATEGIES.items():
        yield from (line.replace("\n## ", "\n### ", 1) for line in _section(f"`{name}`", strategy))


def _prose(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").replace("``", "`").split())


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation holds, at any depth."""
    if isinstance(annotation, type) and not get_args(annotation):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _models(argument)


def _type(field: FieldInfo) -> str:
    return _word(field.rebuild_annotation())


def _word(annotation: Any) -> str:
    for known, word in _WORDS:
        if annotation == known or _begins(annotation, known):
            return word
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(_word(a) for a in arguments if a is not NoneType)
    if origin is dict:
        return f"mapping to {_word(arguments[1])}"
    if origin is tuple:
        return f"list of {_word(arguments[0])}"
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if hasattr(annotation, "__metadata__"):
        return _word(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return _PLAIN.get(annotation, "value")


def _begins(annotation: Any, known: Any) -> bool:
    """Whether an annotation is a known one with bounds added."""
    metadata: tuple[Any, ...] = getattr(annotation, "__metadata__", ())
    told: tuple[Any, ...] = known.__metadata__
    return any(part in told for part in metadata if type(part).__name__.endswith("Validator"))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default is None or default in ((), {}) or isinstance(default, BaseModel):
        return "–"
    if isinstance(default, bool):
        return "`on`" if default else "`off`"
    word = _type(field)
    if word == "duration":
        return f"`{_duration(default)}`"
    if word == "size":
        return f"`{default // 2**20}MiB`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _duration(seconds: float) -> str:
    if seconds < 1 or seconds % 1:
        return f"{seconds * 1000:g}ms"
    return f"{seconds / 60:g}m" if seconds >= 120 and seconds % 60 == 0 else f"{seconds:g}s"


if __name__ == "__main__":
    sys.stdout.write(document())
