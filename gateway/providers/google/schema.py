"""A JSON Schema as Gemini takes it: nothing that it refuses, and in its words what it would leave unread.

Read next: request.py, which sends it as ``parametersJsonSchema`` and ``responseJsonSchema``.

Source: the reference of ``GenerationConfig.responseJsonSchema`` at ai.google.dev. Keywords that are not in its list are
ignored, so most stay as they are; beside ``$ref`` nothing may stand but what begins with ``$``.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

__all__ = ["cleaned"]

Schema = dict[str, Any]

#: Keywords whose value maps names, which are the client's, to schemas.
NAMED: Final = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
#: Keywords whose value is a schema, and those whose value is a list of them.
ONE: Final = frozenset({"items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else"})
SEVERAL: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
#: Said of the document, not of a value; the API does not know it.
LEFT_OUT: Final = frozenset({"$schema", "$comment"})


def cleaned(schema: Schema) -> Schema:
    """The schema that says the same to Gemini. What is given is not changed; cleaning twice changes nothing more."""
    out = {name: within(name, value) for name, value in schema.items() if name not in LEFT_OUT}
    if isinstance(reference := out.get("$ref"), str):
        return referring(out, reference)
    if "definitions" in out:
        out["$defs"] = {**table(out.pop("definitions")), **table(out.get("$defs"))}
    if "const" in out and isinstance(out["const"], str | int | float) and not isinstance(out["const"], bool):
        # The API reads ``enum`` alone, and of that only texts and numbers.
        out["enum"] = [out.pop("const")]
    return joined(out) if isinstance(out.get("allOf"), list) else out


def within(name: str, value: Any) -> Any:
    if name in NAMED and isinstance(value, dict):
        return {key: one(inner) for key, inner in value.items()}
    if name in ONE:
        return [one(inner) for inner in value] if isinstance(value, list) else one(value)
    if name in SEVERAL and isinstance(value, list):
        return [one(inner) for inner in value]
    return value


def one(schema: Any) -> Any:
    return cleaned(schema) if isinstance(schema, dict) else schema


def table(value: Any) -> Schema:
    return value if isinstance(value, dict) else {}


def referring(schema: Schema, reference: str) -> Schema:
    """A reference with what may stand beside it: the definitions, where it is the outermost one."""
    kept = {name: value for name, value in schema.items() if name.startswith("$")}
    if "definitions" in schema:
        kept["$defs"] = {**table(schema["definitions"]), **table(kept.get("$defs"))}
    kept["$ref"] = reference.replace("#/definitions/", "#/$defs/", 1)
    return kept


def joined(schema: Schema) -> Schema:
    """Without ``allOf``, where its parts can be read as one; as it was where they contradict each other.

    Pydantic and others write a reference with a description as ``allOf`` of one.
    """
    outer = {name: value for name, value in schema.items() if name != "allOf"}
    parts = schema["allOf"]
    if not all(isinstance(part, dict) for part in parts):
        return schema
    if len(parts) == 1 and "$ref" in parts[0]:
        definitions = {name: outer[name] for name in ("$defs",) if name in outer}
        return {**definitions, **parts[0]} if only_says(outer) else schema
    out = outer
    for part in parts:
        merged = merge(out, part)
        if merged is None:
            return schema
        out = merged
    return out


def only_says(schema: Schema) -> bool:
    """Whether a schema excludes no value."""
    return schema.keys() <= {"$defs", "title", "description", "default", "examples", "deprecated"}


def merge(left: Schema, right: Schema) -> Schema | None:
    """One schema for both; None where a keyword of both cannot be put together."""
    out = dict(left)
    for name, value in right.items():
        if name in ("$ref", "additionalProperties") or (name == "properties" and "additionalProperties" in left):
            return None
        if name not in out or same(out[name], value) or name in ("title", "description"):
            out.setdefault(name, value)
        elif name == "required" and isinstance(out[name], list) and isinstance(value, list):
            out[name] = [*out[name], *(word for word in value if word not in out[name])]
        elif name == "properties" and not table(out[name]).keys() & table(value).keys():
            out[name] = {**table(out[name]), **table(value)}
        else:
            return None
    return out


def same(one: Any, other: Any) -> bool:
    """As JSON: in Python false is 0."""
    return msgspec.json.encode(one) == msgspec.json.encode(other)
