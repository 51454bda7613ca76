"""JSON Schemas as Gemini takes them. Read next: test_request.py."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.providers.google.schema import NAMED, ONE, SEVERAL, cleaned

Schema = dict[str, Any]


def test_a_reference_stands_alone_and_definitions_have_their_newer_name() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "const": {"$ref": "#/definitions/A", "description": "gone"},
            "b": {"allOf": [{"$ref": "#/definitions/A"}], "description": "gone too"},
        },
        "definitions": {"A": {"const": 1}},
    }
    assert cleaned(schema) == {
        "type": "object",
        "properties": {"const": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"enum": [1]}},
    }


def test_a_schema_that_is_a_reference_keeps_its_definitions() -> None:
    assert cleaned({"$ref": "#/definitions/A", "title": "t", "definitions": {"A": {"type": "object"}}}) == {
        "$ref": "#/$defs/A",
        "$defs": {"A": {"type": "object"}},
    }


def test_parts_that_all_must_hold_become_one_where_they_can() -> None:
    joined = {"allOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}, "required": ["b"]}]}
    assert cleaned({"type": "object", **joined}) == {
        "type": "object",
        "properties": {"a": {}, "b": {}},
        "required": ["a", "b"],
    }
    # In Python these are the same; in JSON they are not.
    assert cleaned({"const": 0, "allOf": [{"enum": [False]}]}) == {"enum": [0], "allOf": [{"enum": [False]}]}
    contradiction = {"allOf": [{"type": "string"}, {"type": "integer"}]}
    assert cleaned(contradiction) == contradiction


# --- for any schema ---------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "const", "allOf", "$ref", "definitions", "properties"])
VALUES = st.one_of(st.integers(-3, 3), st.sampled_from(["x", "y"]), st.none(), st.booleans())
LEAVES = st.one_of(
    st.builds(lambda value: {"const": value}, VALUES),
    st.builds(lambda kind: {"type": kind}, st.sampled_from(["string", "integer", "null", "boolean"])),
    st.builds(lambda few: {"enum": few}, st.lists(VALUES, min_size=1, max_size=3)),
    st.builds(lambda low: {"type": "integer", "minimum": low, "description": "d"}, st.integers(-3, 3)),
    st.just({"$ref": "#/definitions/D"}),
    st.just({}),
)


def alone(schema: Schema) -> bool:
    """Not a reference: what stands beside one is lost, for there is no other way to say both."""
    return "$ref" not in schema


def grown(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    return st.one_of(
        st.builds(
            lambda some, required: {"type": "object", "properties": some, "required": required},
            st.dictionaries(NAMES, inner, max_size=3),
            st.lists(NAMES, max_size=2, unique=True),
        ),
        st.builds(lambda one: {"type": "array", "items": one}, inner),
        st.builds(lambda few: {"allOf": few}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            lambda few, more: {**more, "allOf": few}, st.lists(inner, min_size=1, max_size=2), inner.filter(alone)
        ),
        st.builds(lambda few: {"anyOf": few}, st.lists(inner, min_size=1, max_size=3)),
    )


SCHEMAS = st.recursive(LEAVES, grown, max_leaves=8).map(
    lambda schema: {**schema, "definitions": {"D": {"type": "integer", "const": 2}}}
)
INSTANCES = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=5
)


def subschemas(schema: Any) -> Iterator[Schema]:
    if not isinstance(schema, dict):
        return
    yield schema
    for name, value in schema.items():
        if name in NAMED:
            inner = list(value.values())
        elif name in SEVERAL:
            inner = value
        else:
            inner = [value] if name in ONE else []
        for one in inner:
            yield from subschemas(one)


@given(SCHEMAS)
def test_nothing_is_left_that_is_refused_and_nothing_given_is_changed(schema: Schema) -> None:
    before = copy.deepcopy(schema)
    got = cleaned(schema)
    assert schema == before
    assert cleaned(got) == got
    for one in subschemas(got):
        assert "definitions" not in one
        assert "$ref" not in one or all(name.startswith("$") for name in one)


@given(SCHEMAS, st.lists(INSTANCES, min_size=1, max_size=5))
def test_what_fits_the_one_fits_the_other(schema: Schema, instances: list[Any]) -> None:
    one, other = Draft202012Validator(schema), Draft202012Validator(cleaned(schema))
    for instance in instances:
        assert one.is_valid(instance) == other.is_valid(instance), instance
