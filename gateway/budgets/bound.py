"""The most that one try of a request can cost: what is reserved before it begins. Read next: ../intent/extent.py.

A true bound, not a guess: nothing a provider may count is left out, so that a budget is not overdrawn.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from gateway.money import most
from gateway.types import BYTES_PER_TOKEN, LARGEST_IMAGE, Call, Deployment, Features, Usage

__all__ = ["UNKNOWN_OUTPUT", "bound", "bound_of_all", "guess", "most_input", "most_output"]

#: Tokens of an answer that neither the client nor the model's entry limits: as much as most models give at most.
UNKNOWN_OUTPUT: Final = 65_536
#: Tokens of input that models come to which look things up by themselves, and the names of such models.
UNASKED: Final = 500_000
SEARCHING: Final = re.compile(r"(?:^|[/-])compound|deep-research|-search")
#: The least that a model thinks which is told a budget for it.
LEAST_THOUGHT: Final = 1_024


def bound(call: Call, features: Features, deployment: Deployment, *, more: int = 0) -> int | None:
    """Micro-dollars that a try at this deployment can cost at most; None when its price is unknown.

    ``more`` are bytes of the beginning of an answer that it is to go on with.
    """
    price = deployment.price
    if price is None:
        return None
    given, made = most_input(features, deployment) + call.added + more, most_output(call, features, deployment)
    spoken = made if "audio_output" in features.needs else 0
    return most(price, Usage(given, made, audio_input=features.most_audio, audio_output=spoken))


def bound_of_all(call: Call, features: Features, deployment: Deployment) -> int | None:
    """As ``bound``, of all the calls that a try consists of: one for each choice where they give only one."""
    most = bound(call, features, deployment)
    calls = 1 if deployment.takes_choices or "choices" not in features.needs else call.fields.get("n") or 1
    return most * calls if most is not None else None


def guess(call: Call, features: Features, deployment: Deployment, output_bytes: int) -> Usage:
    """What a try took whose provider counted nothing, as far as bytes tell: never above its bound."""
    return Usage(
        min(features.input_tokens, most_input(features, deployment)),
        min(output_bytes // BYTES_PER_TOKEN, most_output(call, features, deployment)),
        estimated=True,
    )


def most_input(features: Features, deployment: Deployment) -> int:
    """Tokens of input at most, as this model counts pictures; media without a known extent fill its window at most."""
    tokens = features.most_input + _unasked(deployment.model)
    if features.images and deployment.image_tokens is not None:
        tokens -= features.images * (LARGEST_IMAGE - deployment.image_tokens)
    if features.most_loose and deployment.context_window is not None:
        tokens = min(tokens, max(deployment.context_window, tokens - features.most_loose))
    return tokens


def most_output(call: Call, features: Features, deployment: Deployment) -> int:
    """Tokens of output at most, over all choices that one call gives."""
    limit, cap = features.max_output, deployment.max_output
    if limit is None:
        tokens = cap if cap is not None else UNKNOWN_OUTPUT
    else:
        tokens = limit
        if "thinking" in call.fields or features.reasoning:
            tokens += _thought(call)
        if cap is not None and tokens > cap:
            tokens = cap
    if "prediction" in call.fields:
        # What was predicted wrongly is charged as output, beside the answer.
        tokens += call.size
    if "choices" in features.needs and deployment.takes_choices:
        tokens *= call.fields.get("n") or 1
    return tokens


@cache
def _unasked(model: str) -> int:
    return UNASKED if SEARCHING.search(model.lower()) else 0


def _thought(call: Call) -> int:
    """A budget of thinking that does not fit a limit is added to it."""
    said = call.fields.get("thinking")
    budget = said.get("budget_tokens") if type(said) is dict else None
    return max(LEAST_THOUGHT, budget) if type(budget) is int else LEAST_THOUGHT
