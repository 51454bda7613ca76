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
        worded = [rule for rule in rules if rule.keywords or rule.patterns]
        self._signals = tuple([Signal("intent", rule.label, 1.0, "rule") for rule in worded])
        self._set = re2.Set.SearchSet()
        for rule in worded:
            self._set.Add(_pattern(rule))
        self._set.Compile()

    def signals(self, reading: Reading) -> tuple[Signal, ...]:
        """What the request is judged to be, the first the one that counts most."""
        found: list[Signal] = []
        if self._signals:
            # One pass for all rules; the matches come in no particular order.
            found = [self._signals[n] for n in sorted(self._set.Match(reading.last_user_text[:LOOK]) or ())]
        features = reading.features
        found += [signal for signal, holds in _STRUCTURAL_SIGNALS if holds(features)]
        return tuple(found) or _CHAT


_STRUCTURAL_SIGNALS: Final = tuple([(Signal("intent", label, 1.0, "structure"), holds) for label, holds in STRUCTURAL])
_CHAT: Final = (Signal("intent", "chat", 0.5, "structure"),)


def _pattern(rule: IntentRule) -> str:
    """One pattern for a rule: its keywords as whole words in any case, and its patterns as they are."""
    return "|".join((*_keywords(rule.keywords), *(f"(?:{pattern})" for pattern in rule.patterns)))


def _keywords(keywords: Sequence[str]) -> Sequence[str]:
    if not keywords:
        return ()
    return (rf"(?i:\b(?:{'|'.join(map(re2.escape, keywords))})\b)",)
