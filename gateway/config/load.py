"""From a file to a World, or to every Problem in it. Read next: source.py, validate.py, check.py, build.py: the steps.

``load`` is for starting and reloading, ``check`` for the command line, ``json_schema`` for editors.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from gateway.config.build import build
from gateway.config.check import check as check_draft
from gateway.config.discover import Found, found_in, merge
from gateway.config.draft import draft
from gateway.config.expand import Expander
from gateway.config.finding import Finding
from gateway.config.schema import Config
from gateway.config.source import MAX_BYTES, Node, decode, parse
from gateway.config.validate import validate
from gateway.errors import ConfigError, Problem
from gateway.types import World

__all__ = ["check", "json_schema", "load", "load_text", "wants_discovery"]

#: The longest file that ``${file:…}`` may take in: a key or a certificate, not a log.
MAX_INCLUDED = 64 * 1024


class _Result(Struct, frozen=True):
    """What came of a file. ``world`` is None when there are errors."""

    world: World | None
    problems: tuple[Problem, ...]


def load(path: str | os.PathLike[str], environ: Mapping[str, str], found: Found | None = None) -> World:
    """The World that a file describes. Raises ConfigError with everything that is wrong with it.

    ``found`` is what ``discover: true`` adds; by default what the environment alone has.
    """
    return _sound(_read(os.fspath(path), environ, found))


def load_text(text: str, environ: Mapping[str, str], found: Found | None = None, name: str = "config") -> World:
    """The World that a YAML text describes; ``name`` stands for the file in problems. Otherwise like ``load``."""
    return _sound(_result(text.encode(), name, environ, found))


def check(path: str | os.PathLike[str], environ: Mapping[str, str], found: Found | None = None) -> list[Problem]:
    """Everything wrong with a file, warnings included, in the order of its lines."""
    return list(_read(os.fspath(path), environ, found).problems)


def wants_discovery(path: str | os.PathLike[str], environ: Mapping[str, str]) -> bool:
    """Whether a file says ``discover: true``, so that it is worth asking local servers before ``load``."""
    read = _bytes(os.fspath(path))
    text = decode(read, "") if isinstance(read, bytes) else read
    root = parse(text, "", Expander(environ, _included))[0] if isinstance(text, str) else None
    config = validate(root)[0] if root is not None else None
    return config is not None and config.discover


def json_schema() -> dict[str, Any]:
    """The JSON schema of a configuration file."""
    schema = Config.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Signalbox configuration"}


def _sound(result: _Result) -> World:
    if result.world is None:
        raise ConfigError([problem for problem in result.problems if problem.severity == "error"])
    return result.world


def _read(path: str, environ: Mapping[str, str], found: Found | None) -> _Result:
    data = _bytes(path)
    return _Result(None, (data,)) if isinstance(data, Problem) else _result(data, path, environ, found)


def _bytes(path: str) -> bytes | Problem:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "give the path of a YAML file that this user may read"
        return Problem(path, 0, 0, f"the file cannot be read: {error.strerror}", hint)


def _result(data: bytes, file: str, environ: Mapping[str, str], found: Found | None) -> _Result:
    with _collector_resting():
        return _judged(data, file, environ, found)


@contextmanager
def _collector_resting() -> Iterator[None]:
    """A growing tree has no circles to find, and half of the time would go into looking for them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _judged(data: bytes, file: str, environ: Mapping[str, str], found: Found | None) -> _Result:
    text = decode(data, file)
    if isinstance(text, Problem):
        return _Result(None, (text,))
    root, problems = parse(text, file, Expander(environ, _included))
    if root is None:
        return _Result(None, tuple(problems))
    config, findings = validate(root)
    if config is None:
        return _Result(None, _in_order(problems, findings, root, file))
    if config.discover:
        config = merge(config, found if found is not None else found_in(environ))
    made = draft(config, root, environ)
    told = _in_order(problems, check_draft(made), root, file)
    if any(problem.severity == "error" for problem in told):
        return _Result(None, told)
    return _Result(build(made, file), told)


def _in_order(problems: list[Problem], findings: list[Finding], root: Node, file: str) -> tuple[Problem, ...]:
    """All of them by place. What is found where reading already failed is a consequence, and is left out."""
    taken = {(problem.line, problem.column) for problem in problems}
    for finding in findings:
        node = root.find(finding.path)
        if (node.line, node.column) in taken:
            continue
        line, column = root.place(finding.path)
        problems.append(Problem(file, line, column, finding.message, finding.hint, finding.severity))
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))


def _included(path: str) -> str:
    with Path(path).open("rb") as file:
        return file.read(MAX_INCLUDED).decode()
