"""What the models behind Converse differ in, as far as a request must know it, read off a model's id.

Read next: request.py. Source: the Amazon Bedrock user guide (prompt caching, structured outputs, tool use, inference
request parameters) and the recordings of each family. A deployment's own facts come first: this stands in where
nothing is known. Of an id that names no model, as that of an application inference profile, nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

__all__ = ["Family", "Thinks", "family_of"]

#: Where and how a family is told how hard to think: Claude's ``thinking``, by a budget or adaptively; Nova's
#: ``reasoningConfig``; and the members that gpt-oss and Qwen take.
Thinks = Literal["budget", "adaptive", "nova", "reasoning_effort", "reasoning_config"]


class Family(Struct, frozen=True):
    """A family of models.

    ``vendor`` is who made it, empty when that is not known. ``caches``: it takes cache points, ``caches_tools`` also
    among tools, ``caches_hour`` with an hour to live. ``schemas``: it answers by a schema, and holds to one in calls of
    tools. ``forces``: it can be made to call a tool, ``names_tool`` also a certain one. ``errors``: it takes the status
    of a tool's result. ``top_k`` is the path of that parameter among the fields of the model. ``samples``: it takes
    temperature together with topP, one of them, or neither. ``tiers``: it is offered in several tiers of service.
    """

    vendor: str = ""
    caches: bool = False
    caches_tools: bool = False
    caches_hour: bool = False
    schemas: bool = False
    names_tool: bool = True
    forces: bool = False
    errors: bool = False
    top_k: tuple[str, ...] = ()
    thinks: Thinks | None = None
    samples: Literal["both", "one", "none"] = "both"
    tiers: bool = True


#: Most profiles are of Claude or Nova: what both take is said.
UNKNOWN: Final = Family(forces=True, tiers=False)

#: The vendors whose models answer by a schema, and which of them do.
SCHEMAS: Final[Mapping[str, re.Pattern[str]]] = {
    "deepseek": re.compile(r"v3"),
    "google": re.compile(r"gemma-3"),
    "minimax": re.compile(r""),
    "mistral": re.compile(r"mistral-large-3|ministral|magistral|devstral|voxtral"),
    "moonshot": re.compile(r""),
    "moonshotai": re.compile(r""),
    "nvidia": re.compile(r"nemotron"),
    "openai": re.compile(r"gpt-oss"),
    "qwen": re.compile(r""),
    "zai": re.compile(r""),
}
THINKS: Final[Mapping[str, Thinks]] = {"openai": "reasoning_effort", "qwen": "reasoning_config"}
#: Vendors whose models have nothing of their own that is known here.
PLAIN: Final = frozenset({"ai21", "cohere", "luma", "meta", "stability", "twelvelabs", "writer"})
VENDORS: Final = PLAIN | SCHEMAS.keys() | {"anthropic", "amazon"}

CLAUDE: Final = re.compile(r"claude-(?:[a-z]+-)?(?P<major>\d{1,2})(?:-(?P<minor>\d{1,2}))?(?!\d)")


def family_of(model: str) -> Family:
    """The family of a model id, of an inference profile's, or of an ARN of either."""
    name = model.rpartition("/")[2].lower()
    vendor, _, rest = name.partition(".")
    if vendor not in VENDORS:
        # us.anthropic.claude-…: the part before the vendor says where it may run.
        vendor, _, rest = rest.partition(".")
    if vendor == "anthropic":
        return claude(rest)
    if vendor == "amazon":
        return nova(rest)
    if vendor not in VENDORS:
        return UNKNOWN
    return Family(
        vendor=vendor,
        schemas=vendor in SCHEMAS and bool(SCHEMAS[vendor].search(rest)),
        names_tool=vendor != "mistral",
        forces=vendor == "mistral",
        top_k=("k",) if vendor == "cohere" else (),
        thinks=THINKS.get(vendor),
    )


def nova(name: str) -> Family:
    """Nova, or one of the older Titans, which take next to nothing."""
    if not name.startswith("nova"):
        return Family(vendor="amazon", tiers=False)
    return Family(
        vendor="amazon",
        caches=True,
        forces=True,
        errors=True,
        top_k=("inferenceConfig", "topK"),
        thinks="nova" if name.startswith("nova-2") else None,
    )


def claude(name: str) -> Family:
    """Claude, by its version."""
    found = CLAUDE.search(name)
    version = (int(found["major"]), int(found["minor"] or 0)) if found else (2, 0)
    return Family(
        vendor="anthropic",
        caches=version >= (3, 7) or name.startswith("claude-3-5-haiku"),
        caches_tools=version >= (3, 7) or name.startswith("claude-3-5-haiku"),
        caches_hour=version >= (4, 5),
        # Bedrock refuses a format of Opus 4.7, alone among its neighbours.
        schemas=version >= (4, 5) and version != (4, 7),
        forces=version >= (3, 0),
        errors=version >= (3, 0),
        top_k=("top_k",),
        thinks=None if version < (3, 7) else "budget" if version < (4, 6) else "adaptive",
        samples="both" if version < (4, 1) else "one" if version < (4, 7) else "none",
        tiers=False,
    )
