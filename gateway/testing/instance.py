"""A small valid instance of a JSON schema: what a simulated model fills into tools and structured answers.

Read next: answer.py, which asks for one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["instance"]

Schema = Mapping[str, Any]
FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
#: Beyond this a schema that contains itself takes its way out: null, where it allows that.
DEEP = 6


def instance(schema: object, name: str = "value") -> Any:
    """A value with every required member and nothing more; text is the member's name where nothing else is asked.

    Follows ``$ref`` inside the schema, ``anyOf``, ``oneOf``, ``allOf``, ``enum``, ``const`` and bounds; a ``pattern``
    is not followed.
    """
    root = schema if isinstance(schema, Mapping) else {}
    return build(root, name, root, 0)


def build(schema: object, name: str, root: Schema, depth: int) -> Any:
    if not isinstance(schema, Mapping):
        return name
    schema = resolve(schema, root, depth)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    return MAKERS.get(kind_of(schema, depth), text)(schema, name, root, depth)


def resolve(schema: Schema, root: Schema, depth: int) -> Schema:
    """The schema with references, alternatives and conjunctions replaced by what they stand for."""
    for _ in range(32):
        if isinstance(schema.get("$ref"), str):
            schema = {**target(schema["$ref"], root), **without(schema, "$ref")}
        elif alternatives := schema.get("anyOf") or schema.get("oneOf"):
            schema = merge(without(schema, "anyOf", "oneOf"), choose(alternatives, depth))
        elif schema.get("allOf"):
            first, *rest = schema["allOf"]
            schema = merge({**without(schema, "allOf"), **({"allOf": rest} if rest else {})}, first)
        else:
            break
    return schema


def without(schema: Schema, *names: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in names}


def merge(schema: Schema, other: Schema) -> dict[str, Any]:
    """Both at once: properties and required members of the two together."""
    both = {**schema, **other}
    if "properties" in schema and "properties" in other:
        both["properties"] = {**schema["properties"], **other["properties"]}
    if "required" in schema and "required" in other:
        both["required"] = [*schema["required"], *other["required"]]
    return both


def target(reference: str, root: Schema) -> Schema:
    """What ``#/$defs/name`` points at; an empty schema when it points nowhere."""
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def choose(alternatives: list[Schema], depth: int) -> Schema:
    if depth > DEEP:
        return next((a for a in alternatives if a.get("type") == "null"), alternatives[-1])
    return alternatives[0]


def kind_of(schema: Schema, depth: int) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = "null" if depth > DEEP and "null" in kind else kind[0]
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else "string"


def make_object(schema: Schema, name: str, root: Schema, depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    return {key: build(properties.get(key), key, root, depth + 1) for key in schema.get("required", ())}


def make_array(schema: Schema, name: str, root: Schema, depth: int) -> list[Any]:
    count = schema.get("minItems", 0)
    return [build(schema.get("items"), name, root, depth + 1) for _ in range(count)]


def number(schema: Schema, name: str, root: Schema, depth: int) -> float:
    """The first of a few natural numbers that is within the bounds and a multiple as asked."""
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    step = schema.get("multipleOf") or (1 if schema.get("type") == "integer" else None)
    wanted = [n for n in (1, low, low + (step or 1), high, high - (step or 1), (low + high) / 2) if math.isfinite(n)]
    rounded = [math.ceil(n / step) * step for n in wanted] if step else wanted
    return next((n for n in rounded if within(n, schema)), 1)


def within(n: float, schema: Schema) -> bool:
    return bool(
        schema.get("minimum", n) <= n <= schema.get("maximum", n)
        and schema.get("exclusiveMinimum", -math.inf) < n < schema.get("exclusiveMaximum", math.inf)
    )


def text(schema: Schema, name: str, root: Schema, depth: int) -> str:
    made: str = FORMATS.get(schema.get("format", ""), name)
    made = made.ljust(schema.get("minLength", 0), "x")
    return made[: schema.get("maxLength", len(made))]


MAKERS: Mapping[str, Any] = {
    "object": make_object,
    "array": make_array,
    "string": text,
    "integer": number,
    "number": number,
    "boolean": lambda *_: True,
    "null": lambda *_: None,
}
