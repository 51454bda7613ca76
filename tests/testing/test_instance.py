"""A valid instance for whatever schema a client sends."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.testing.instance import instance

NODE: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["name", "next"],
        }
    },
}
SCHEMAS: list[dict[str, Any]] = [
    {},
    {"type": "object"},
    {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]},
    {"type": "array", "items": {"type": "number"}, "minItems": 2},
    {"type": "array", "items": {"type": "number"}},
    {"enum": ["red", "green"]},
    {"const": 7},
    {"type": ["string", "null"]},
    {"type": "string", "minLength": 12, "maxLength": 14},
    {"type": "string", "maxLength": 2},
    {"type": "string", "format": "date-time"},
    {"type": "integer", "minimum": 10, "maximum": 12},
    {"type": "integer", "exclusiveMinimum": 1},
    {"type": "integer", "maximum": -3},
    {"type": "integer", "exclusiveMaximum": -3},
    {"type": "integer", "minimum": 7, "multipleOf": 5},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "minimum": 0.2, "maximum": 0.4},
    {"type": "boolean"},
    {"type": "null"},
    {
        "allOf": [
            {"properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"properties": {"b": {}}, "required": ["b"]},
        ]
    },
    {"oneOf": [{"type": "integer"}, {"type": "string"}]},
    NODE,
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_the_instance_keeps_its_schema(schema: dict[str, Any]) -> None:
    Draft202012Validator(schema).validate(instance(schema))


def test_only_required_members_are_filled_and_text_is_named_after_its_place() -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"enum": ["c", "f"]}},
        "required": ["city", "unit"],
    }
    assert instance(schema) == {"city": "city", "unit": "c"}
