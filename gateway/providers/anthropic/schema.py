"""JSON schemas as Anthropic's grammar takes them. Read next: tools.py and request.py, which send them.

Source: Anthropic's published limits of structured outputs: objects are closed, nothing refers to itself, and bounds on
numbers, texts and lists are not enforced. Such bounds go into the description, where the model reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

__all__ = ["closed", "object_schema"]

Schema = dict[str, Any]

#: Members that stay as they are.
PLAIN: Final = frozenset({"type", "title", "description", "enum", "const", "default", "$ref", "required"})
FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
UNIONS: Final = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
TABLES: Final = ("properties", "$defs", "definitions")
#: Nobody's schema is deeper, and what is deeper is no tree.
MAX_DEPTH: Final = 40


class _Open(Exception):
    """The schema cannot be said: it takes members without names, or refers to itself or elsewhere."""


def closed(schema: Mapping[str, Any]) -> Schema | None:
    """The schema with its objects closed and its bounds described; None when it means more than that can say."""
    try:
        _follow(schema, schema, (), set())
        return _closed(schema, 0)
    except (_Open, RecursionError):
        return None


def object_schema(schema: Mapping[str, Any]) -> Schema:
    """The schema of a tool's input: always an object, and no choice between several at the top."""
    found = dict(schema)
    unions = [parts for name in UNIONS if isinstance(parts := found.pop(name, None), list)]
    variants = [part for parts in unions for part in parts if isinstance(part, dict)]
    if found.get("type") != "object":
        found["type"] = "object"
    if variants:
        named = [*map(members, variants), members(found)]
        found["properties"] = {name: value for part in named for name, value in part.items()}
    found.setdefault("properties", {})
    return found


def members(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _closed(schema: Any, depth: int) -> Schema:
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        raise _Open
    made: Schema = {}
    told: Schema = {}
    for name, value in schema.items():
        if name in PLAIN:
            made[name] = value
        elif name in UNIONS and isinstance(value, list):
            made[UNIONS[name]] = [_closed(part, depth + 1) for part in value]
        elif name in TABLES and isinstance(value, dict):
            made[name] = {member: _closed(part, depth + 1) for member, part in value.items()}
        elif name == "items":
            made[name] = _closed(value, depth + 1)
        elif (name == "format" and str(value) in FORMATS) or (name == "minItems" and value in (0, 1)):
            made[name] = value
        elif name not in ("additionalProperties", "$schema", "$id"):
            told[name] = value
    if is_object(made):
        if schema.get("additionalProperties") or (not members(made) and "additionalProperties" not in schema):
            raise _Open
        made["additionalProperties"] = False
    if told:
        description = made.get("description") or ""
        made["description"] = f"{description} {msgspec.json.encode(told).decode()}".lstrip()
    return made


def is_object(schema: Schema) -> bool:
    kind = schema.get("type")
    return kind == "object" or "properties" in schema or (isinstance(kind, list) and "object" in kind)


def _follow(schema: Any, root: Mapping[str, Any], above: tuple[str, ...], done: set[str]) -> None:
    """Follow every reference to where it leads. Raises _Open where one leads to itself, or out of the schema."""
    for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        if isinstance(value, dict | list):
            _follow(value, root, above, done)
    ref = schema.get("$ref") if isinstance(schema, dict) else None
    if ref is None or (isinstance(ref, str) and ref in done):
        return
    if not isinstance(ref, str) or ref in above:
        raise _Open
    _follow(_target(ref, root), root, (*above, ref), done)
    done.add(ref)


def _target(ref: str, root: Mapping[str, Any]) -> Any:
    if not ref.startswith("#/"):
        raise _Open
    place: Any = root
    for step in ref[2:].split("/"):
        place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, dict) else None
    if place is None:
        raise _Open
    return place
