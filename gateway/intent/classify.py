"""Judgements about a request: what its structure says, then what the operator's own words say.

Read next: ../policy/match.py, where routes ask for an intent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import re2

from gateway.intent.features import Reading
from gateway.types import Features, IntentRule, Signal

__all__ = ["STRUCTURAL", "Classifier"]

#: Words looked at, in characters of the last user turn: a bound on what a rule may cost.
LOOK: Final = 16_384
LONG_CONTEXT: Final = 32_000

#: Intents that the shape of a request tells, the most specific first. Add one: a line here.
STRUCTURAL: Final[tuple[tuple[str, Callable[[Features], bool]], ...]] = (
    ("agent_step", lambda f: f.tool_results),
    ("tool_use", lambda f: "tools" in f.needs),
    ("extraction", lambda f: "json_schema" in f.needs or "json_object" in f.needs),
    ("vision", lambda f: "vision" in f.needs or "documents" in f.needs),
    ("audio", lambda f: "audio" in f.needs),
    ("long_context", lambda f: f.input_tokens >= LONG_CONTEXT),
    ("code", lambda f: f.code),
)


class Classifier:
    """The operator's intents, compiled once for a World: linear in the text whatever the patterns say (RE2).

    ``signals`` gives the operator's intents first, since they are the more specific, then the structural ones,
    then ``chat`` when there was none: every request has an intent.
    """

    def __init__(self, rules: Iterable[IntentRule]) -> None:
        self._rules = tuple(
            (rule.label, re2.compile(_pattern(rule))) for rule in rules if rule.keywords or rule.patterns
        )

    def signals(self, reading: Reading) -> tuple[Signal, ...]:
        """What the request is judged to be, the first the one that counts most."""
        text = reading.last_user_text[:LOOK]
        found = [Signal("intent", label, 1.0, "rule") for label, pattern in self._rules if pattern.search(text)]
        found += [Signal("intent", label, 1.0, "structure") for label, holds in STRUCTURAL if holds(reading.features)]
        return tuple(found) or _CHAT


_CHAT: Final = (Signal("intent", "chat", 0.5, "structure"),)


def _pattern(rule: IntentRule) -> str:
    """One pattern for a rule: its keywords as whole words in any case, and its patterns as they are."""
    return "|".join((*_keywords(rule.keywords), *(f"(?:{pattern})" for pattern in rule.patterns)))


def _keywords(keywords: Sequence[str]) -> Sequence[str]:
    if not keywords:
        return ()
    return (rf"(?i:\b(?:{'|'.join(map(re2.escape, keywords))})\b)",)
