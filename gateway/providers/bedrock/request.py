"""A canonical request in Converse's words.

Read next: content.py, tools.py and thinking.py, its parts; models.py, what models differ in; reading.py, for what comes
back. Source: Converse in the Amazon Bedrock Runtime API reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.errors import CannotSay
from gateway.providers import turns, wishes
from gateway.providers.anthropic.schema import closed
from gateway.providers.bedrock.content import Speaker
from gateway.providers.bedrock.models import Family, family_of
from gateway.providers.bedrock.thinking import Thought, thought_of
from gateway.providers.bedrock.tools import offer_of
from gateway.providers.bedrock.words import Body
from gateway.providers.members import inner
from gateway.providers.protocol import Rendered
from gateway.providers.turns import Text
from gateway.providers.wishes import Wishes
from gateway.types import Call, Deployment

__all__ = ["request"]

#: Members of the canonical request that are said, or that say nothing to a provider.
SAID: Final = frozenset(
    """
    messages model stream stream_options max_tokens max_completion_tokens temperature top_p top_k stop tools tool_choice
    functions function_call response_format reasoning_effort thinking metadata service_tier modalities n logprobs
    top_logprobs
    """.split()
)

JSON_ONLY: Final = "Answer with one valid JSON object and nothing else: no words around it, no code fence."

#: What AWS takes as metadata of a request.
METADATA_KEY: Final = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}")
METADATA_VALUE: Final = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
MAX_METADATA: Final = 16
TIERS: Final = frozenset({"flex", "priority"})
#: Where Claude says which sequence stopped it: in a whole answer, and in a stream.
STOPPED_BY: Final = ("/stop_sequence", "/delta/stop_sequence")


def request(call: Call, deployment: Deployment) -> Rendered:
    """The body of a request, the same for streams. Raises CannotSay."""
    fields = call.fields
    refuse(fields)
    family, wished = family_of(deployment.model), wishes.read(fields)
    system, said = turns.read(fields)
    speaker = Speaker(family)
    answer, native, told = form_of(wished, family)
    blocks, messages = speaker.system([*system, *told]), speaker.messages(said)
    offer = offer_of(wished, said, family, speaker, answer)
    barred = offer.forces or messages[-1]["role"] == "assistant" or is_unsigned(messages)
    thought = thought_of(wished, deployment, family, limit_of(wished, deployment), barred=barred)
    dropped = [*unsaid(fields), *speaker.dropped]
    if thought.dropped:
        dropped.append("thinking" if wished.effort is None else "reasoning_effort")
    body: Body = {"messages": messages} | filled(
        system=blocks,
        inferenceConfig=inference(wished, thought, family, dropped),
        toolConfig=offer.config,
        additionalModelRequestFields=own_fields(wished, thought, family, dropped),
        outputConfig=filled(textFormat=native, effort=thought.effort),
        serviceTier=tier(fields, family, dropped),
        requestMetadata=metadata(fields, dropped),
    )
    if family.vendor == "anthropic" and "stopSequences" in body.get("inferenceConfig", ()):
        body["additionalModelResponseFieldPaths"] = STOPPED_BY
    return Rendered(msgspec.json.encode(body), tuple(dict.fromkeys(dropped)))


def filled(**members: Any) -> Body:
    """Those that say something."""
    return {name: value for name, value in members.items() if value}


# --- what is not said -------------------------------------------------------------------------------------------


def refuse(fields: Mapping[str, Any]) -> None:
    """Raises CannotSay for what the meaning would change without: the last guard behind eligibility."""
    if (fields.get("n") or 1) > 1:
        raise CannotSay("Converse gives one answer to a request.", param="n")
    for name in ("logprobs", "top_logprobs"):
        if fields.get(name):
            raise CannotSay("Converse does not tell the probabilities of tokens.", param=name)
    if "audio" in (fields.get("modalities") or ()):
        raise CannotSay("Converse does not speak.", param="modalities")
    for name in ("max_completion_tokens", "max_tokens"):
        if isinstance(limit := fields.get(name), int) and limit < 1:
            raise CannotSay(f"{name} is {limit}: it must be at least 1.", param=name)
    if fields.get("web_search_options") is not None:
        raise CannotSay("Converse does not search the web.", param="web_search_options")


def unsaid(fields: Mapping[str, Any]) -> list[str]:
    """The members that Converse has no words for, and means the same without.

    That calls may come several at once is what all models do, so only the wish for the contrary is one.
    """
    found = [
        name
        for name, value in fields.items()
        if name not in SAID and (value or (name in ("seed", "parallel_tool_calls") and value is not None))
    ]
    if fields.get("parallel_tool_calls"):
        found.remove("parallel_tool_calls")
    if any(m.get("name") and m["role"] in ("system", "developer", "user", "assistant") for m in fields["messages"]):
        found.append("messages[].name")
    return found


# --- the parts --------------------------------------------------------------------------------------------------


def form_of(wished: Wishes, family: Family) -> tuple[Body | None, Body | None, list[Text]]:
    """How an answer gets its form: by a schema that must be called for as a tool, by a format, or by being told to.

    Raises CannotSay for a schema that nothing holds this model to.
    """
    if wished.json:
        # To force a call is surest, but it forbids to think and to call anything else.
        alone = family.forces and not wished.tools and wished.effort in (None, "none") and wished.budget is None
        return ({"type": "object"}, None, []) if alone and not wished.adaptive else (None, None, [Text(JSON_ONLY)])
    if wished.schema is None:
        return None, None, []
    held = closed(wished.schema) if family.schemas else None
    if held is not None:
        text = msgspec.json.encode(held).decode()
        schema = filled(schema=text, name=wished.schema_name)
        return None, {"type": "json_schema", "structure": {"jsonSchema": schema}}, []
    if not family.forces:
        raise CannotSay("This model cannot be held to this schema over Converse.", param="response_format")
    return wished.schema, None, []


def limit_of(wished: Wishes, deployment: Deployment) -> int | None:
    """The most tokens of the answer that the client wants, as far as the model can give them."""
    if wished.limit is None or deployment.max_output is None:
        return wished.limit
    return min(wished.limit, deployment.max_output)


def inference(wished: Wishes, thought: Thought, family: Family, dropped: list[str]) -> Body:
    """The parameters that all models share, as far as this one takes them, thinking or not."""
    stops = [text for text in wished.stop if text.strip()]
    if len(stops) < len(wished.stop):
        dropped.append("stop")
    said: Body = {}
    if thought.limit is not None:
        said["maxTokens"] = thought.limit
    return said | sampling(wished, thought, family, dropped) | filled(stopSequences=stops)


def sampling(wished: Wishes, thought: Thought, family: Family, dropped: list[str]) -> Body:
    """Temperature and top_p. AWS takes them up to 1."""
    refused = set()
    if family.samples == "none" or thought.on:
        refused = {"temperature", "top_p"}
    elif family.samples == "one" and wished.temperature is not None:
        refused = {"top_p"}
    said: Body = {}
    for name, theirs in (("temperature", "temperature"), ("top_p", "topP")):
        value = getattr(wished, name)
        if value is None or (value == 1 and name in refused):
            continue
        if name in refused or not 0 <= value <= 1:
            dropped.append(name)
        if name not in refused:
            said[theirs] = min(max(value, 0), 1)
    return said


def own_fields(wished: Wishes, thought: Thought, family: Family, dropped: list[str]) -> Body:
    """Parameters of this family alone."""
    said = dict(thought.fields)
    if wished.top_k is None:
        return said
    if not family.top_k or thought.on or family.samples == "none":
        dropped.append("top_k")
        return said
    *above, last = family.top_k
    own: Body = {last: wished.top_k}
    for name in reversed(above):
        own = {name: own}
    return said | own


def tier(fields: Mapping[str, Any], family: Family, dropped: list[str]) -> Body | None:
    """The tier of service: those that AWS calls the same. The default one goes without saying."""
    said = fields.get("service_tier")
    if isinstance(said, str) and said in TIERS and family.tiers:
        return {"type": said}
    if said not in (None, "auto", "default"):
        dropped.append("service_tier")
    return None


def metadata(fields: Mapping[str, Any], dropped: list[str]) -> Body:
    """Metadata, without what AWS would refuse the whole request for."""
    said = inner(fields, "metadata")
    kept = {
        name: value
        for name, value in said.items()
        if isinstance(value, str) and METADATA_KEY.fullmatch(name) and METADATA_VALUE.fullmatch(value)
    }
    if len(kept) < len(said) or len(kept) > MAX_METADATA:
        dropped.append("metadata")
    return dict(list(kept.items())[:MAX_METADATA])


def is_unsigned(messages: list[Body]) -> bool:
    """Whether the model is in the midst of using tools, and its turn does not begin with its thinking."""
    if len(messages) < 3 or "toolResult" not in messages[-1]["content"][0]:
        return False
    return "reasoningContent" not in messages[-2]["content"][0]
