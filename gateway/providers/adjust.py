"""Small adjustments of requests, each of one thing that a provider wants otherwise: what repairs.py is for answers.

Read next: mistral.py, for those of one provider; rows.py, which lists them. An adjustment works on a request whose top
level is a copy, in place there and nowhere deeper, and gives the names of what the client loses by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from gateway.types import Deployment

__all__ = ["Adjust", "as_its_version_allows", "as_reasoners_take_it", "without_penalties"]

Fields = dict[str, Any]
Adjust = Callable[[Fields, Deployment], tuple[str, ...]]

#: Sampling that OpenAI's reasoning models refuse, and the only value that they take.
SAMPLING: Final = (("temperature", 1), ("top_p", 1), ("presence_penalty", 0), ("frequency_penalty", 0))
#: Models that do not think unless an effort is named.
WHEN_TOLD: Final = re.compile(r"gpt-5\.\d")
PENALTIES: Final = ("presence_penalty", "frequency_penalty")
#: The first version of Azure's dated API with ``max_completion_tokens`` and ``stream_options``.
SINCE: Final = "2024-09-01"


def as_reasoners_take_it(fields: Fields, deployment: Deployment) -> tuple[str, ...]:
    """OpenAI's reasoning models count thinking in ``max_completion_tokens``, and take no sampling while they think.

    Since GPT-5.1 they only think when they are told to.
    """
    if deployment.thinking != "level":
        return ()
    if (limit := fields.pop("max_tokens", None)) is not None:
        fields.setdefault("max_completion_tokens", limit)
    effort = fields.get("reasoning_effort")
    if effort == "none" or (effort is None and WHEN_TOLD.search(deployment.model)):
        return ()
    lost = [name for name, default in SAMPLING if fields.get(name) not in (None, default)]
    for name in lost:
        del fields[name]
    return tuple(lost)


def without_penalties(fields: Fields, deployment: Deployment) -> tuple[str, ...]:
    """xAI's models that think refuse penalties."""
    if not deployment.reasoning:
        return ()
    return tuple(name for name in PENALTIES if fields.pop(name, None))


def as_its_version_allows(fields: Fields, deployment: Deployment) -> tuple[str, ...]:
    """Azure's older dated versions know neither ``max_completion_tokens`` nor ``stream_options``."""
    account = deployment.account
    version = account.api_version
    if version is None or version >= SINCE or account.base_url.endswith("/models"):
        # At /models it is another API's version, which knew them from the first.
        return ()
    fields.pop("stream_options", None)
    if (limit := fields.pop("max_completion_tokens", None)) is not None:
        fields.setdefault("max_tokens", limit)
    return ()
