"""``${VAR}``, ``${VAR:-default}`` and ``${file:/path}``, filled into scalars and never into structure.

Read next: source.py, which calls this for every scalar.

YAML would read ``{api_key: ${KEY}}`` as a mapping in a mapping. So, before YAML sees the text, each expression is
moved, character by character, to a private range of Unicode; columns stay the same, and nothing in an expression
can be taken for structure. ``$${`` stands for a literal ``${``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

__all__ = ["PRIVATE", "Expander", "Reasons", "hidden", "hide"]

Reasons = list[tuple[str, str]]

_PRIVATE: Final = 0xE000
_EXPRESSION: Final = re.compile(r"\$\$\{|\$\{[^}\r\n]*\}")
_FORM: Final = re.compile(r"\$\{(?:file:(?P<file>[^{}]*)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?)\}")
#: Characters that a file may not hold itself.
PRIVATE: Final = re.compile(f"[{chr(_PRIVATE + 0x20)}-{chr(_PRIVATE + 0x7E)}]")
_TO_PRIVATE: Final = {code: _PRIVATE + code for code in range(0x20, 0x7F)}
_FROM_PRIVATE: Final = {private: code for code, private in _TO_PRIVATE.items()}


def hide(text: str) -> str:
    """The text with every expression moved to the private range."""
    if "${" not in text:
        return text
    return _EXPRESSION.sub(lambda match: match[0].translate(_TO_PRIVATE), text)


def hidden(text: str) -> str:
    """A scalar with its expressions moved back."""
    return text if text.isascii() else text.translate(_FROM_PRIVATE)


class Expander:
    """Fills in expressions from an environment and from files; what it cannot fill it names, and leaves empty."""

    def __init__(self, environ: Mapping[str, str], read_file: Callable[[str], str]) -> None:
        self._environ = environ
        self._read_file = read_file

    def expand(self, text: str) -> tuple[str, Reasons]:
        """The text filled in, and (message, hint) for each expression that could not be."""
        reasons: Reasons = []
        return _EXPRESSION.sub(lambda match: self._value(match[0], reasons), text), reasons

    def _value(self, expression: str, reasons: Reasons) -> str:
        if expression == "$${":
            return "${"
        form = _FORM.fullmatch(expression)
        if form is None:
            reasons.append((f"{expression} is not an expression", "write ${NAME}, ${NAME:-default} or ${file:/path}"))
            return ""
        if form["file"] is not None:
            return self._file(form["file"], reasons)
        value = self._environ.get(form["name"])
        if value or (value is not None and form["default"] is None):
            return value
        if form["default"] is None:
            hint = f"export {form['name']}=… or write ${{{form['name']}:-default}}"
            reasons.append((f"environment variable {form['name']} is not set", hint))
        return form["default"] or ""

    def _file(self, path: str, reasons: Reasons) -> str:
        try:
            return self._read_file(path).rstrip("\r\n")
        except UnicodeDecodeError:
            reasons.append((f"file {path!r} is not UTF-8 text", "save it as UTF-8"))
        except OSError as error:
            reasons.append((f"file {path!r} cannot be read: {error.strerror}", "mount it, or correct the path"))
        return ""
