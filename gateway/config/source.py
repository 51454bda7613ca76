"""YAML text as a tree whose every node knows its line and column, read with care.

Read next: expand.py, which fills in ``${VARS}``; schema.py, which says what the tree may hold.

What YAML 1.1 would do by surprise does not happen: only ``true``, ``false``, ``null`` and decimal numbers are other
than text, so ``on``, ``no``, ``1:30`` and ``2024-10-21`` stay what was written. Anchors, aliases, tags, duplicate
keys, NaN and further documents are refused.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable
from typing import Any, Final

import yaml
from msgspec import Struct

from gateway.config.expand import PRIVATE, Expander, hidden, hide
from gateway.config.finding import Path
from gateway.errors import Problem

__all__ = ["MAX_BYTES", "MAX_DEPTH", "Entry", "Node", "decode", "parse"]

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 50

_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_NOT_A_NUMBER: Final = re.compile(r"[-+]?\.(?:nan|inf)", re.IGNORECASE)
_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
#: How a scalar that is not text may begin.
_SPECIAL: Final = frozenset("+-.0123456789~nNtTfF") | {""}
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


class Node(Struct, gc=False):
    """A value and where it stands. ``expanded`` says that it came out of a ``${…}``, so that it may be a secret."""

    value: bool | int | float | str | list[Node] | dict[str, Entry] | None
    line: int
    column: int
    expanded: bool = False

    def plain(self) -> Any:
        """The value without places: what a schema validates."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def find(self, path: Path) -> Node:
        """The node at a path, or the deepest one on the way to it."""
        node = self
        for step in path:
            below = _below(node, step)
            if below is None:
                return node
            node = below
        return node

    def place(self, path: Path) -> tuple[int, int]:
        """Line and column of a path: of the key where it ends at one, else of the deepest value on the way."""
        line, column = self.line, self.column
        node = self
        for step in path:
            if isinstance(node.value, dict) and step in node.value:
                entry = node.value[str(step)]
                line, column = entry.line, entry.column
            below = _below(node, step)
            if below is None:
                break
            if not isinstance(node.value, dict):
                line, column = below.line, below.column
            node = below
        return line, column


class Entry(Struct, gc=False):
    """A key's place, and its value."""

    line: int
    column: int
    node: Node


def _below(node: Node, step: str | int) -> Node | None:
    if isinstance(node.value, dict) and isinstance(step, str):
        entry = node.value.get(step)
        return entry.node if entry is not None else None
    if isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
        return node.value[step]
    return None


def decode(data: bytes, file: str) -> str | Problem:
    """The text of a configuration file, or why it is none."""
    if len(data) > MAX_BYTES:
        return Problem(file, 0, 0, f"the file has more than {MAX_BYTES} bytes", "take out what is data")
    for mark, name in _MARKS:
        if data.startswith(mark):
            return Problem(file, 1, 1, f"the file is {name}", "save it as UTF-8")
    if (nul := data.find(b"\0")) >= 0:
        line, column = _place(data, nul)
        return Problem(file, line, column, "the file is binary: it holds a NUL byte", "give a YAML file")
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line, column = _place(data, error.start)
        found = f"byte 0x{data[error.start]:02x} is not UTF-8"
        return Problem(file, line, column, found, "save the file as UTF-8")
    if (private := PRIVATE.search(text)) is not None:
        line, column = text.count("\n", 0, private.start()) + 1, private.start() - text.rfind("\n", 0, private.start())
        message = f"character U+{ord(private[0]):04X} is for private use"
        return Problem(file, line, column, message, "remove it")
    if not text.strip():
        return Problem(file, 0, 0, "the file is empty", "start from `discover: true`")
    return text


def _place(data: bytes, offset: int) -> tuple[int, int]:
    return data.count(b"\n", 0, offset) + 1, offset - data.rfind(b"\n", 0, offset)


def parse(text: str, file: str, expander: Expander) -> tuple[Node | None, list[Problem]]:
    """The tree of a YAML text with its ``${…}`` filled in, and every problem met. No tree: it could not be read."""
    reader = _Reader(file, expander)
    try:
        return reader.document(yaml.CSafeLoader(hide(text))), reader.problems
    except _Refused as refused:
        return None, [*reader.problems, refused.problem]
    except yaml.MarkedYAMLError as error:
        return None, [*reader.problems, _syntax(error, file)]
    except yaml.reader.ReaderError as error:
        message = f"character U+{_code(error.character):04X} may not stand in YAML"
        return None, [Problem(file, text.count("\n", 0, error.position) + 1, 1, message, "remove it")]


def _code(character: str | bytes | int) -> int:
    return character if isinstance(character, int) else ord(character)


def _syntax(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    said = error.problem or "this is not YAML"
    if "cannot start any token" in said:
        return Problem(file, line, column, "this character cannot stand here", "indent with spaces; quote other text")
    about = f"{error.context}, {said}" if error.context else said
    return Problem(file, line, column, f"this is not YAML: {about}", "check the indentation, brackets and quotes here")


class _Refused(Exception):
    """Reading stops here."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class _Reader:
    """One pass over parser events: no recursion in the parser, and nothing built before it was looked at."""

    def __init__(self, file: str, expander: Expander) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._expander = expander
        self._next: Callable[[], Any] = lambda: None

    def document(self, loader: yaml.CSafeLoader) -> Node | None:
        self._next = loader.get_event
        root: Node | None = None
        while (event := self._next()) is not None:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                raise self._refused(event, "a second document begins here", "keep one document in the file")
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, 1)
        if root is None or root.value is None:
            raise _Refused(Problem(self._file, 0, 0, "the file holds nothing", "start from `discover: true`"))
        return root

    def _node(self, event: Any, depth: int) -> Node:
        self._allowed(event, depth)
        kind = type(event)
        if kind is yaml.ScalarEvent:
            return self._scalar(event)
        mark = event.start_mark
        node = Node(None, mark.line + 1, mark.column + 1)
        node.value = self._mapping(depth) if kind is yaml.MappingStartEvent else self._sequence(depth)
        return node

    def _allowed(self, event: Any, depth: int) -> None:
        if event.anchor is not None:
            kind = "alias" if isinstance(event, yaml.AliasEvent) else "anchor"
            hint = "write the value out where it is used"
            raise self._refused(event, f"{kind} {event.anchor!r} is not allowed", hint)
        if event.tag is not None and event.tag != "!":
            raise self._refused(event, f"tag {event.tag!r} is not allowed", "write a plain value")
        if depth > MAX_DEPTH:
            raise self._refused(event, f"this is nested deeper than {MAX_DEPTH} levels", "flatten it")

    def _mapping(self, depth: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        while type(event := self._next()) is not yaml.MappingEndEvent:
            if type(event) is not yaml.ScalarEvent:
                raise self._refused(event, "a key must be a word", 'put a value with brackets in quotes: "{…}"')
            self._allowed(event, depth)
            mark: Any = event.start_mark
            key, line, column = hidden(event.value), mark.line + 1, mark.column + 1
            node = self._node(self._next(), depth + 1)
            if key in entries:
                self._problem(line, column, f"key {key!r} is here twice", f"first on line {entries[key].line}")
            else:
                entries[key] = Entry(line, column, node)
        return entries

    def _sequence(self, depth: int) -> list[Node]:
        nodes = []
        while type(event := self._next()) is not yaml.SequenceEndEvent:
            nodes.append(self._node(event, depth + 1))
        return nodes

    def _scalar(self, event: Any) -> Node:
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        text = event.value
        if not text.isascii() and hidden(text) != text:
            filled, reasons = self._expander.expand(hidden(text))
            for message, hint in reasons:
                self._problem(line, column, message, hint)
            return Node(filled, line, column, expanded=True)
        if not event.implicit[0]:
            return Node(text, line, column)
        return Node(self._resolved(text, line, column), line, column)

    def _resolved(self, text: str, line: int, column: int) -> bool | int | float | str | None:
        if text[:1] not in _SPECIAL:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
            return number
        if _FLOAT.fullmatch(text) or _NOT_A_NUMBER.fullmatch(text):
            self._problem(line, column, f"{text} is not a finite number", "leave the key out to have its default")
        return text

    def _problem(self, line: int, column: int, message: str, hint: str | None) -> None:
        self.problems.append(Problem(self._file, line, column, message, hint))

    def _refused(self, event: Any, message: str, hint: str) -> _Refused:
        mark = event.start_mark
        return _Refused(Problem(self._file, mark.line + 1, mark.column + 1, message, hint))
