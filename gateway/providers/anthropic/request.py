"""A canonical request in the words of the Messages API, and a native one with as little changed as can be.

Read next: messages.py, tools.py and thinking.py, its parts; reading.py, for what comes back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gateway.errors import CannotSay
from gateway.providers import turns, wishes
from gateway.providers.anthropic.messages import THINKING, UPLOADED, begins, is_ours, messages_of, system_of
from gateway.providers.anthropic.models import Family, family_of
from gateway.providers.anthropic.schema import closed
from gateway.providers.anthropic.thinking import Thought, thought_of
from gateway.providers.anthropic.tools import offer_of
from gateway.providers.protocol import Rendered
from gateway.providers.turns import Document, Result, Turn
from gateway.providers.wishes import Wishes
from gateway.types import BYTES_PER_TOKEN, Call, Deployment, Native

__all__ = ["native", "request"]

Body = dict[str, Any]

JSON_ONLY: Final = "Answer with one valid JSON object and nothing else: no words around it, no code fence."
CALL: Final = "Answer with a call of a tool."
#: OpenAI's words for who is served first. ``default`` is what costs what is listed, and no more.
TIERS: Final = {"auto": "auto", "default": "standard_only"}
MAX_NAME: Final = 256
#: Marks up to which Anthropic caches; more are refused.
MAX_MARKS: Final = 4
#: The least that is left for an answer nobody has limited: pictures make requests look longer than they are.
MIN_ROOM: Final = 8192
#: How the edits of a context begin that clear thinking, and that are refused where there is none.
CLEARING: Final = "clear_thinking"
FILES: Final = (b"anthropic-beta", b"files-api-2025-04-14")

#: Members of the canonical request that are said, or that say nothing to a provider.
SAID: Final = frozenset(
    """
    messages model stream stream_options max_tokens max_completion_tokens temperature top_p top_k stop tools tool_choice
    parallel_tool_calls functions function_call response_format reasoning_effort thinking modalities n logprobs
    top_logprobs web_search_options user service_tier
    """.split()
)


def request(call: Call, deployment: Deployment, *, stream: bool) -> Rendered:
    """The request. Raises CannotSay."""
    fields = call.fields
    refuse(fields)
    family, wished = family_of(deployment), wishes.read(fields)
    system, said = turns.read(fields, own="anthropic")
    messages = messages_of(said, bound=family.binds)
    capable = deployment.capabilities is None or "json_schema" in deployment.capabilities
    strict = capable and (family.schemas if family.known else deployment.capabilities is not None)
    form = closed(wished.schema) if wished.schema is not None and strict else None
    forced = wished.schema if form is None else None
    offer = offer_of(
        wished,
        said,
        fields.get("web_search_options"),
        strict=strict,
        forces=family.forces,
        answer=forced if family.forces else None,
    )
    thought = thought_of(
        wished,
        deployment,
        family,
        limit_of(wished, call, deployment, family),
        barred=offer.forces or is_unsigned(messages),
    )
    dropped = [*unsaid(fields), *offer.dropped]
    tier = TIERS.get(str(fields.get("service_tier") or "auto"))
    if tier is None:
        dropped.append("service_tier")
    if thought.dropped:
        dropped.append("thinking" if wished.effort is None else "reasoning_effort")
    blocks = system_of(system)
    if wished.json or (forced is not None and not family.forces):
        blocks.append({"type": "text", "text": JSON_ONLY if forced is None else fitting(forced)})
    if "tool_choice" in offer.dropped:
        blocks.append({"type": "text", "text": CALL})
    body: Body = {"model": deployment.model, "max_tokens": thought.limit, "messages": messages}
    config = {"effort": thought.effort, "format": {"type": "json_schema", "schema": form} if form is not None else None}
    body |= present(
        stream=stream or None,
        system=blocks or None,
        tools=offer.tools or None,
        tool_choice=offer.choice,
        thinking=shown(thought, fields),
        output_config=present(**config) or None,
        stop_sequences=stops(wished, dropped) or None,
        metadata=who(fields, dropped),
        service_tier=None if tier == "auto" else tier,
        **sampling(wished, thought, family, dropped),
    )
    keep_marks(body, dropped)
    return Rendered(msgspec.json.encode(body), tuple(dict.fromkeys(dropped)), (FILES,) if has_files(said) else ())


def native(said: Native, deployment: Deployment, *, stream: bool) -> Rendered:
    """The client's own Messages request, without what only this gateway has put into the conversation.

    It does not think by a budget amid a turn that another provider has begun: Anthropic refuses to, without its own
    thinking before the calls.
    """
    fields: Body = {**said.fields, "model": deployment.model}
    if bool(fields.get("stream")) is not stream:
        fields["stream"] = stream
    dropped: tuple[str, ...] = ()
    if isinstance(messages := fields.get("messages"), list):
        fields["messages"] = [kept for message in messages if (kept := without_ours(message)) is not None]
        thinking = fields.get("thinking")
        if isinstance(thinking, dict) and thinking.get("type") == "enabled" and is_unsigned(fields["messages"]):
            dropped = ("thinking", *unthink(fields))
    return Rendered(msgspec.json.encode(fields), dropped, said.headers)


def unthink(fields: Body) -> Iterator[str]:
    """Take thinking out, and the edits of the context that only go with it. Their names."""
    del fields["thinking"]
    management = fields.get("context_management")
    edits = management.get("edits") if isinstance(management, dict) else None
    if not isinstance(management, dict) or not isinstance(edits, list):
        return
    kept = [edit for edit in edits if not (isinstance(edit, dict) and str(edit.get("type")).startswith(CLEARING))]
    if len(kept) < len(edits):
        fields["context_management"] = {**management, "edits": kept}
        yield "context_management"


def without_ours(message: Any) -> Any:
    """A message without blocks that are the gateway's; None when nothing is left of it."""
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or not any(isinstance(block, dict) and is_ours(block) for block in content):
        return message
    kept = [block for block in content if not (isinstance(block, dict) and is_ours(block))]
    return {**message, "content": kept} if kept else None


# --- what cannot be said ----------------------------------------------------------------------------------------


def refuse(fields: Mapping[str, Any]) -> None:
    """Raises CannotSay for what the meaning would change without: the last guard behind eligibility."""
    if (fields.get("n") or 1) > 1:
        raise CannotSay("Anthropic gives one answer to a request.", param="n")
    for name in ("logprobs", "top_logprobs"):
        if fields.get(name):
            raise CannotSay("Anthropic does not tell the probabilities of tokens.", param=name)
    if "audio" in (fields.get("modalities") or ()):
        raise CannotSay("Anthropic does not speak.", param="modalities")


def unsaid(fields: Mapping[str, Any]) -> list[str]:
    """The members that Anthropic has no words for, and means the same without."""
    found = [
        name for name, value in fields.items() if name not in SAID and (value or (name == "seed" and value is not None))
    ]
    if any(m.get("name") and m["role"] in ("system", "developer", "user", "assistant") for m in fields["messages"]):
        found.append("messages[].name")
    return found


# --- the rest of a request --------------------------------------------------------------------------------------


def limit_of(wished: Wishes, call: Call, deployment: Deployment, family: Family) -> int:
    """The most tokens of the answer: the client's, or as many as the model and its window have room for."""
    most = deployment.max_output
    if wished.limit is not None:
        return wished.limit if most is None else min(wished.limit, most)
    limit = most or family.limit
    if deployment.context_window is None:
        return limit
    # A request that could go over the window may be refused: a limit that nobody asked for must not be why.
    return min(limit, max(deployment.context_window - call.size // BYTES_PER_TOKEN, MIN_ROOM))


def sampling(wished: Wishes, thought: Thought, family: Family, dropped: list[str]) -> Body:
    """Temperature, top_p and top_k, as far as this model takes them, thinking or not."""
    temperature, top_p, top_k = wished.temperature, wished.top_p, wished.top_k
    kept = present(temperature=None if temperature is None else min(max(temperature, 0), 1), top_p=top_p, top_k=top_k)
    refused = set()
    if family.sampling == "none":
        refused = set(kept)
    elif thought.on:
        refused = {"temperature", "top_k"} | ({"top_p"} if top_p is not None and top_p < 0.95 else set())
    if family.sampling == "one" and temperature is not None and temperature != 1:
        refused.add("top_p")
    elif family.sampling == "one" and top_p is not None and temperature is not None:
        refused.add("temperature")
    # A default that is not said is no loss.
    dropped += [name for name, value in kept.items() if name in refused and (value != 1 or name == "top_k")]
    return {name: value for name, value in kept.items() if name not in refused}


def stops(wished: Wishes, dropped: list[str]) -> list[str]:
    """Where to stop. Anthropic refuses sequences of blanks alone."""
    kept = [text for text in wished.stop if text.strip()]
    if len(kept) < len(wished.stop):
        dropped.append("stop")
    return kept


def who(fields: Mapping[str, Any], dropped: list[str]) -> Body | None:
    """The name of the user, as far as one may be long."""
    name = fields.get("user")
    if isinstance(name, str) and 0 < len(name) <= MAX_NAME:
        return {"user_id": name}
    if name:
        dropped.append("user")
    return None


def shown(thought: Thought, fields: Mapping[str, Any]) -> Body | None:
    """What is said of thinking, with how the client wants to see it."""
    said = fields.get("thinking")
    if thought.on and thought.thinking is not None and isinstance(said, dict) and said.get("display"):
        return {**thought.thinking, "display": said["display"]}
    return thought.thinking


def is_unsigned(messages: list[Body]) -> bool:
    """Whether the model is amid its turn (using tools, or going on), and that turn does not begin with its thinking."""
    last = next((message for message in reversed(messages) if message["role"] == "assistant"), None)
    if last is None or begins(last, THINKING):
        return False
    return messages[-1] is last or begins(messages[-1], ("tool_result",))


def fitting(schema: Mapping[str, Any]) -> str:
    """A schema in words, for a model that can be held to it in no other way."""
    return f"{JSON_ONLY} It has to be valid by this JSON schema: {msgspec.json.encode(schema).decode()}"


def keep_marks(body: Body, dropped: list[str]) -> None:
    """Take away marks in the middle where there are too many: the first and the last save the most."""
    places = [*body.get("tools", ()), *body.get("system", ())]
    places += [block for message in body["messages"] for block in message["content"]]
    found = [block for block in places if "cache_control" in block]
    for block in found[1 : 1 - MAX_MARKS] if len(found) > MAX_MARKS else ():
        del block["cache_control"]
        dropped.append("cache_control")


def has_files(said: list[Turn]) -> bool:
    parts = [part for turn in said for part in turn.parts]
    parts += [inner for part in parts if isinstance(part, Result) for inner in part.parts]
    return any(isinstance(part, Document) and (part.file_id or "").startswith(UPLOADED) for part in parts)


def present(**members: Any) -> Body:
    return {name: value for name, value in members.items() if value is not None}
