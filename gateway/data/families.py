"""What models can do, by families of their names: a few dated, sourced lines rather than a row for every model.

Read next: catalogue.py, which asks; ../policy/eligible.py, which rules out by it.

Sources: the makers' pages on their models (OpenAI, Anthropic, Google, Amazon Nova, Mistral, DeepSeek, xAI, Meta, Qwen,
Moonshot, Z.ai, Cohere, Perplexity), compared with models.dev as of 2026-08-18 (MIT), as of the date of CHECKED. A line
here can refuse a request, so what is in doubt is said to be possible, and a model that no line takes rules out nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, Literal

from msgspec import Struct

__all__ = ["CHECKED", "FAMILIES", "Family", "Thinking", "family_of", "picture_of"]

CHECKED: Final = "2026-11-28"

Thinking = Literal["none", "budget", "adaptive", "level"]


class Family(Struct, frozen=True, eq=False):
    """Models whose names are alike.

    ``names`` is a regular expression that a name must begin with, in lower case and without its maker (see ``bare``).
    ``can`` are needs of requests (intent/features.py); ``window`` and ``output`` are tokens, None where they are up to
    whoever serves the model. ``thinking`` is how it is told how much to think: by a ``budget`` of tokens, by a
    ``level``, ``adaptive`` to an effort, and not at all where there is ``none``: it does not think, or always does.
    None where that is up to whoever serves it. ``reasons``: it thinks unless told not to. ``prefill``: it goes on from
    the beginning of an answer.
    """

    names: str
    can: frozenset[str]
    window: int | None = None
    output: int | None = None
    thinking: Thinking | None = "none"
    reasons: bool = False
    prefill: bool = False


def _can(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: What depends on the protocol or the provider more than on the model: Row.cannot has the last word on these.
WORDS: Final = _can("choices logprobs file_ids custom_tools server_tools:openai server_tools:anthropic json_object")
BASIC: Final = WORDS | _can("tools")
TEXT: Final = BASIC | _can("json_schema")
SIGHT: Final = TEXT | _can("vision")
PAPER: Final = SIGHT | _can("documents")

GPT: Final = PAPER - _can("server_tools:anthropic custom_tools")
GPT5: Final = (GPT | _can("custom_tools")) - _can("logprobs")
CLAUDE: Final = PAPER | _can("web_search")
GEMINI: Final = PAPER | _can("audio video web_search server_tools:google")
SONAR: Final = PAPER - _can("tools custom_tools") | _can("web_search")

OPENAI: Final = (
    Family(r"gpt-4o(-mini)?-search|gpt-5-search", GPT - _can("tools") | _can("web_search"), 128_000, 16_384),
    Family(r"gpt-(4o(-mini)?-)?audio", TEXT - _can("json_schema") | _can("audio audio_output"), 128_000, 16_384),
    Family(r"gpt-4o-2024-05-13", GPT - _can("json_schema"), 128_000, 4_096),
    Family(r"(chat)?gpt-4o", GPT, 128_000, 16_384),
    Family(r"gpt-4\.1", GPT, 1_047_576, 32_768),
    Family(r"gpt-4-(turbo|1106|0125|vision)", GPT - _can("json_schema documents"), 128_000, 4_096),
    Family(r"gpt-4\.5", GPT, 128_000, 16_384),
    Family(r"gpt-4(-0|-32k|$)", BASIC, 8_192, 8_192),
    Family(r"gpt-3\.5|gpt-35", BASIC, 16_385, 4_096),
    Family(r"gpt-oss", TEXT, thinking="level", reasons=True),
    Family(r"gpt-5(\.\d+)?-chat", GPT5 | _can("logprobs"), 128_000, 16_384, None),
    Family(r"gpt-5\.3-codex-spark", GPT5, 128_000, 32_000, "level", reasons=True),
    Family(r"gpt-5\.([4-9]|\d\d)-(mini|nano)", GPT5, 400_000, 128_000, "level", reasons=True),
    Family(r"gpt-5\.([4-9]|\d\d)", GPT5, 1_050_000, 128_000, "level", reasons=True),
    Family(r"gpt-5", GPT5, 400_000, 128_000, "level", reasons=True),
    Family(r"o1-(mini|preview)", WORDS - _can("logprobs json_object"), 128_000, 65_536, "none", reasons=True),
    Family(r"o3-mini", TEXT - _can("logprobs"), 200_000, 100_000, "level", reasons=True),
    Family(r"o[134]($|-)", GPT - _can("logprobs"), 200_000, 100_000, "level", reasons=True),
)

#: Claude refuses a message of its own at the end from 4.6 on; a budget of thinking from 4.7 on, where it adapts.
ANTHROPIC: Final = (
    Family(r"claude-(instant|v?[12]\b)", WORDS, 200_000, 4_096, prefill=True),
    Family(r"claude-3-(opus|sonnet|haiku)", CLAUDE - _can("documents web_search"), 200_000, 4_096, prefill=True),
    Family(r"claude-3[-.]5-haiku", CLAUDE, 200_000, 8_192, prefill=True),
    Family(r"claude-3[-.]5", CLAUDE, 200_000, 8_192, prefill=True),
    Family(r"claude-3[-.]7", CLAUDE, 200_000, 64_000, "budget", prefill=True),
    Family(r"claude-opus-4[-.]5|claude-haiku-4[-.]5", CLAUDE, 200_000, 64_000, "budget", prefill=True),
    Family(r"claude-opus-4([-.@:][01]\b|[-@:]2025|$)", CLAUDE, 200_000, 32_000, "budget", prefill=True),
    Family(r"claude-sonnet-4[-.]5", CLAUDE, 1_000_000, 64_000, "budget", prefill=True),
    Family(r"claude-sonnet-4([-.@:]0\b|[-@:]2025|$)", CLAUDE, 1_000_000, 64_000, "budget", prefill=True),
    Family(r"claude-(opus|sonnet)-4[-.]", CLAUDE, 1_000_000, 128_000, "adaptive"),
    Family(r"claude-(opus|sonnet|fable|mythos)-\d", CLAUDE, 1_000_000, 128_000, "adaptive"),
    Family(r"claude-", CLAUDE, thinking=None),
)

GOOGLE: Final = (
    Family(
        r"gemini-[\w.-]*(tts|image|live|embedding|robotics|omni|computer-use)",
        GEMINI | _can("audio_output"),
        thinking=None,
    ),
    Family(r"gemini-1", GEMINI, 1_048_576, 8_192),
    Family(r"gemini-2\.0", GEMINI, 1_048_576, 8_192),
    Family(r"gemini-2\.5-flash-lite", GEMINI, 1_048_576, 65_536, "budget"),
    Family(r"gemini-2\.5", GEMINI, 1_048_576, 65_536, "budget", reasons=True),
    Family(r"gemini-([3-9]|(pro|flash|flash-lite)-latest)", GEMINI, 1_048_576, 65_536, "level", reasons=True),
    Family(r"gemma-3n?-", SIGHT),
    Family(r"gemma-", SIGHT, thinking=None),
)

AMAZON: Final = (
    Family(r"nova-micro", BASIC | _can("json_schema"), 128_000, 10_000, prefill=True),
    Family(r"nova-2", PAPER | _can("video web_search"), 1_000_000, 65_536, "level"),
    Family(r"nova-premier", PAPER | _can("video"), 1_000_000, 10_000, prefill=True),
    Family(r"nova-(lite|pro)", PAPER | _can("video"), 300_000, 10_000, prefill=True),
)

#: Mistral reads documents for its models, so that all of them take some.
MISTRAL: Final = (
    Family(r"voxtral", TEXT | _can("audio audio_output documents")),
    Family(r"magistral", PAPER, reasons=True),
    Family(r"mistral-(small-(2603|latest)|medium-(2604|3-5|latest)|large-4)", PAPER, thinking="level"),
    Family(r"(codestral|devstral|mathstral|open-mi|mistral-nemo|mistral-7b|mixtral)", TEXT | _can("documents")),
    Family(r"(pixtral|ministral|mistral-(small|medium|large))", PAPER),
)

#: Open models: how much fits, and whether more than text does, is often up to whoever serves them.
OPEN: Final = (
    Family(r"deepseek[-.](reasoner|r\d)", TEXT, thinking=None, reasons=True),
    Family(r"deepseek[-.](chat|coder|v\d)", TEXT, thinking=None),
    Family(r"llama-?v?(3[.p-]?[13]?)[-:b]\d+b(?!.*vision)", TEXT),
    Family(r"llama-?4", SIGHT),
    Family(r"qwq|qwen3-(next|max|\d+b).*-thinking", TEXT, thinking=None, reasons=True),
    Family(r"qwen(2[.-]?5|3)?-?coder", TEXT, thinking=None),
    Family(r"qwen-?3[-:](max|next|\d+b)", TEXT, thinking=None),
    Family(r"qwen-?2\.?5-(?!vl|omni)", TEXT),
    Family(r"kimi-k2(-thinking|-instruct|-0|-turbo|$)", TEXT, thinking=None),
    Family(r"glm-[45](\.\d)?(-air|-flash|-turbo|-x|$)", TEXT, thinking=None),
    Family(r"minimax-m[12]", TEXT, thinking=None),
)

OTHERS: Final = (
    Family(r"grok-[\w.-]*non-reasoning", PAPER | _can("web_search")),
    Family(r"grok-3-mini", TEXT | _can("web_search"), thinking="level", reasons=True),
    Family(r"grok-3", TEXT | _can("web_search")),
    Family(r"grok-[\w.-]*reasoning|grok-4(-|$)", PAPER | _can("web_search"), reasons=True),
    Family(r"grok-[4-9]", PAPER | _can("web_search"), thinking="level", reasons=True),
    Family(r"sonar[\w-]*(reasoning|research)", SONAR, thinking=None, reasons=True),
    Family(r"sonar", SONAR),
    Family(r"command-a-reasoning", TEXT, 256_000, 32_000, "budget", reasons=True),
    Family(r"command-a-vision", SIGHT - _can("tools"), 128_000, 8_000),
    Family(r"command-a-\d|command-r", TEXT, thinking="none"),
)

FAMILIES: Final = (*OPENAI, *ANTHROPIC, *GOOGLE, *AMAZON, *MISTRAL, *OPEN, *OTHERS)

#: The most tokens that models count a picture as, by the beginning of their names; others as LARGEST_IMAGE (types.py).
#: OpenAI, "Images and vision": 85 and 170 for each of 8 tiles, or 1,536 patches at up to 2.46 each; of its newer models
#: it tells too little. Anthropic, "Vision": 4,784 from Opus 4.7 on, 1,600 before. Google, "Understand and count tokens"
#: and "Media resolution": 258 for each of 16 tiles, or 2,240.
PICTURES: Final = (
    (r"gpt-4o-mini", None),
    (r"(chat)?gpt-4|gpt-5(-(mini|nano|pro|codex|chat)|\.[0-3]|$)|o[134]($|-)", 4_000),
    (r"claude-", 5_000),
    (r"gemini-", 5_000),
)

#: What stands before the name that the maker gave it: paths, regions of Bedrock, makers.
BEFORE: Final = re.compile(
    r"^(?:.*/)?(?:(?:us|us-gov|eu|apac|au|jp|ca|sa|global)\.)?(?:(?:anthropic|amazon|meta|mistral|openai|qwen"
    r"|google|cohere|moonshot|moonshotai|zai|xai|minimax)\.)?(?:meta-)?(?=[a-z])"
)


def bare(model: str) -> str:
    """``eu.anthropic.claude-…``, ``openai/gpt-…`` and ``arn:…/…`` as their makers call them, in lower case."""
    return BEFORE.sub("", model.lower(), count=1)


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], Family], ...]:
    return tuple((re.compile(family.names), family) for family in FAMILIES)


def family_of(model: str) -> Family | None:
    """The first family that takes the name of this model, None where none does."""
    name = bare(model)
    found: Iterator[Family] = (family for pattern, family in _patterns() if pattern.match(name))
    return next(found, None)


def picture_of(model: str) -> int | None:
    """The most tokens that a model counts a picture as, None where that is not known."""
    name = bare(model)
    return next((tokens for names, tokens in PICTURES if re.match(names, name)), None)
