"""A tree against the schema: a Config, or every reason why not, in words, with a place and a suggestion.

Read next: schema.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.finding import Finding, Path, closest
from gateway.config.schema import Config
from gateway.config.source import Node

__all__ = ["said_of", "validate"]

#: What pydantic's error types mean to somebody who edits a YAML file; ``{}`` are the error's own arguments.
_MEANINGS: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_too_long": "is longer than {max_length} characters",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be on or off",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "too_short": "must have at least {min_length}",
    "too_long": "must have at most {max_length}",
    "finite_number": "must be a finite number",
}
_PATTERNS: Final[Mapping[str, str]] = {
    "name": "must begin with a letter or digit, and hold only those and . _ : / @ + -",
    "hash": "must be a hash of the key, as `signalbox keys new` prints it: 64 hexadecimal digits",
}
_SECRET_KEYS: Final = frozenset(
    """
    api_key admin_token pepper state secret_hash headers access_key_id secret_access_key session_token credentials
    client_secret webhook secret
    """.split()
)


def validate(root: Node) -> tuple[Config | None, list[Finding]]:
    """The configuration that a tree says, or what is wrong with it."""
    if not isinstance(root.value, dict):
        hint = "write keys with values, as `providers:` and `deployments:`"
        return None, [Finding((), "the file must hold a mapping of keys to values", hint)]
    try:
        return Config.model_validate(root.plain()), []
    except ValidationError as error:
        return None, [_finding(details, root) for details in error.errors(include_url=False, include_input=False)]


def said_of(error: ValidationError, model: type[BaseModel]) -> tuple[str, str]:
    """The first thing that is wrong with a part of a document that stands by itself: where, and in words."""
    details = error.errors(include_url=False, include_input=False)[0]
    path: Path = tuple(step for step in details["loc"] if step != "[key]")
    where, kind = dotted(path), details["type"]
    if kind == "extra_forbidden":
        return where, f"There is no {where!r} here ({closest(where, model.model_fields) or 'remove it'})"
    return where, f"{where} is missing" if kind == "missing" else f"{where} {_meaning(details)}"


def _finding(details: ErrorDetails, root: Node) -> Finding:
    path: Path = tuple(step for step in details["loc"] if step != "[key]")
    kind = details["type"]
    if kind == "extra_forbidden":
        return _unknown(path)
    if kind == "missing":
        return Finding(path, f"{dotted(path)} is missing", _example(path))
    message = f"{dotted(path)} {_meaning(details)}"
    shown = _shown(root.find(path), path)
    return Finding(path, f"{message}, not {shown}" if shown is not None else message, _advice(kind, root.find(path)))


def _meaning(details: ErrorDetails) -> str:
    kind = details["type"]
    if kind == "string_pattern_mismatch":
        return _PATTERNS["hash" if "{64}" in details["ctx"]["pattern"] else "name"]
    if kind in _MEANINGS:
        return _MEANINGS[kind].format(**details.get("ctx", {}))
    return f"is not usable: {details['msg']}"


def _unknown(path: Path) -> Finding:
    name = str(path[-1])
    known = _keys_at(path[:-1])
    if path[-2:-1] == ("strategy",):
        return Finding(path, f"there is no strategy {name!r}", closest(name, known))
    where = f"in {dotted(path[:-1])}" if len(path) > 1 else "at the top of the file"
    return Finding(path, f"unknown key {name!r} {where}", closest(name, known))


def dotted(path: Iterable[str | int]) -> str:
    """``routes[0].policy.pool``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _shown(node: Node, path: Path) -> str | None:
    """The value as the user wrote it, unless it may be a secret."""
    if node.expanded or _SECRET_KEYS.intersection(path):
        return None
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    if node.value is None:
        return "nothing"
    text = repr(node.value) if isinstance(node.value, str) else str(node.value).lower()
    return text if len(text) <= 60 else f"{text[:57]}…"


def _advice(kind: str, node: Node) -> str | None:
    if isinstance(node.value, str) and re.fullmatch(r"[0-9]+(:[0-9]+)+", node.value):
        return "a number with colons is text here; write a duration as 90s or 2m"
    if kind == "string_type" and isinstance(node.value, bool | int | float):
        return "put it in quotes"
    if kind == "tuple_type" and isinstance(node.value, str):
        return f"write [{node.value}]" if not node.expanded else "write it in [ ]"
    if kind == "quantity" and isinstance(node.value, int) and not isinstance(node.value, bool):
        return f"write {node.value}s or {node.value}m" if node.value >= 0 else "negative is not possible"
    return None


def _example(path: Path) -> str | None:
    return f"add `{path[-1]}:` here" if path and isinstance(path[-1], str) else None


def _keys_at(path: Path) -> frozenset[str]:
    """The keys that the schema knows at a path."""
    annotation: Any = Config
    for step in path:
        annotation = _below(annotation, step)
    model = _model_in(annotation)
    return frozenset(model.model_fields) if model is not None else frozenset()


def _below(annotation: Any, step: str | int) -> Any:
    model = _model_in(annotation)
    entry_of = _entries_of(annotation)
    if entry_of is not None:
        return entry_of
    if model is not None and step in model.model_fields:
        return model.model_fields[str(step)].annotation
    return None


def _entries_of(annotation: Any) -> Any:
    """What a mapping or list holds: the last argument that is not an ellipsis."""
    for candidate in (annotation, *get_args(annotation)):
        if getattr(candidate, "__origin__", None) in (dict, tuple):
            return next(a for a in reversed(get_args(candidate)) if a is not ...)
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((model for arg in get_args(annotation) if (model := _model_in(arg)) is not None), None)
