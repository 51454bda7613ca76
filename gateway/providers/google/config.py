"""``generationConfig``: how the answer is to be made. Read next: thinking.py; request.py, which has the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import CannotSay
from gateway.providers.google.models import version
from gateway.providers.google.schema import cleaned
from gateway.providers.google.shapes import Object
from gateway.providers.google.thinking import thinking
from gateway.providers.wishes import Wishes
from gateway.types import Deployment

__all__ = ["generation", "unsaid"]

MAX_STOPS: Final = 5
PENALTIES: Final = (("frequency_penalty", "frequencyPenalty"), ("presence_penalty", "presencePenalty"))
MAX_SEED: Final = 2**31


def generation(fields: Mapping[str, Any], wishes: Wishes, deployment: Deployment, *, studio: bool) -> Object:
    """All that is asked for; empty when nothing is. Raises CannotSay."""
    left_out = unsaid(fields, deployment, studio=studio)
    named = {
        "maxOutputTokens": wishes.limit,
        "temperature": wishes.temperature,
        "topP": wishes.top_p,
        "topK": wishes.top_k,
        "stopSequences": stops(wishes) or None,
        "seed": None if "seed" in left_out else fields.get("seed"),
        **{name: None if member in left_out else fields.get(member) or None for member, name in PENALTIES},
        **form(wishes),
        "responseModalities": modalities(fields.get("modalities")),
        "thinkingConfig": thinking(wishes, deployment),
    }
    return {name: value for name, value in named.items() if value is not None}


def unsaid(fields: Mapping[str, Any], deployment: Deployment, *, studio: bool) -> list[str]:
    """Members that this model would refuse, and that change little: penalties since 2.5 on AI Studio, and since 3."""
    found = [name for name, _ in PENALTIES if fields.get(name)]
    if version(deployment.model) == (2, 0) or (version(deployment.model) < (3, 0) and not studio):
        found = []
    seed = fields.get("seed")
    return found if seed is None or -MAX_SEED <= seed < MAX_SEED else [*found, "seed"]


def stops(wishes: Wishes) -> list[str]:
    found = [stop for stop in wishes.stop if stop]
    if len(found) > MAX_STOPS:
        raise CannotSay(f"Google takes {MAX_STOPS} stop sequences at most, not {len(found)}.", param="stop")
    return found


def form(wishes: Wishes) -> Object:
    """What the answer must look like."""
    if wishes.schema is not None:
        schema = {"responseJsonSchema": cleaned(wishes.schema)} if wishes.schema else {}
        return {"responseMimeType": "application/json", **schema}
    return {"responseMimeType": "application/json"} if wishes.json else {}


def modalities(said: Any) -> list[str] | None:
    """What the answer may be made of, where it is more than text. Raises CannotSay for sound."""
    kinds = [str(kind) for kind in said or ()]
    if unknown := [kind for kind in kinds if kind not in ("text", "image")]:
        raise CannotSay(f"An answer in {unknown[0][:40]!r} cannot be told in these words.", param="modalities")
    return [kind.upper() for kind in kinds] if "image" in kinds else None
