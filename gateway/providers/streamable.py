"""Which requests for JSON can be served from a stream, because a stream can say all that they ask for.

Read next: gather.py, which makes the answer; rows.py, whose ``aggregates`` says the same of providers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.types import Call

__all__ = ["streamable"]

#: Members whose effect is the same in a stream. Any other may ask for what only a whole answer has.
PLAIN: Final = frozenset(
    """
    messages model stream temperature top_p max_tokens max_completion_tokens stop seed user frequency_penalty
    presence_penalty logit_bias tools tool_choice parallel_tool_calls functions function_call response_format
    reasoning_effort thinking verbosity prediction metadata store service_tier safety_identifier prompt_cache_key
    prompt_cache_retention prompt_cache_options n logprobs top_logprobs modalities
    """.split()
)
#: Tools that the client runs. The others run at the provider, and search or act in ways of their own.
TOOLS: Final = frozenset({None, "function", "custom"})


def streamable(call: Call) -> bool:
    """Whether the answer to this call loses nothing when it is made of a stream.

    Not with several choices, logprobs, audio, web search or other tools of the provider's own; not with
    ``stream_options``, which a provider refuses where no stream is asked for; and not with a member that is not
    known here, null aside: it may ask for anything.
    """
    fields = call.fields
    return (
        all(name in PLAIN for name, value in fields.items() if value is not None)
        and (fields.get("n") or 1) == 1
        and not fields.get("logprobs")
        and fields.get("top_logprobs") is None
        and all(kind == "text" for kind in fields.get("modalities") or ())
        and all(tool.get("type") in TOOLS for tool in tools_of(fields))
    )


def tools_of(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*(fields.get("tools") or ())]
