"""A canonical request as the body of generateContent, and what of it was not said.

Read next: contents.py, tools.py and config.py, its three parts.

Source: ``models.generateContent`` in the references of the Gemini API and of Vertex.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gateway.errors import CannotSay
from gateway.providers import turns as canonical
from gateway.providers import wishes as asked
from gateway.providers.google import config
from gateway.providers.google.contents import contents
from gateway.providers.google.models import is_third, thinking_of
from gateway.providers.google.shapes import Object
from gateway.providers.google.tools import declared, server_tool, tool_config
from gateway.providers.protocol import Rendered
from gateway.providers.turns import Document, Turn
from gateway.providers.wishes import Wishes
from gateway.types import Call, Deployment

__all__ = ["render"]

#: Members whose wish is in the body, or is none that a provider could fulfil.
SAID: Final = frozenset(
    """
    model messages stream stream_options max_tokens max_completion_tokens temperature top_p top_k stop seed
    frequency_penalty presence_penalty tools tool_choice functions function_call response_format modalities n
    reasoning_effort thinking web_search_options logprobs top_logprobs
    """.split()
)
#: Members of Google's own, sent by clients who know whom they ask.
OWN: Final = {
    "cachedContent": "cachedContent",
    "cached_content": "cachedContent",
    "safetySettings": "safetySettings",
    "safety_settings": "safetySettings",
    "labels": "labels",
}


def render(call: Call, deployment: Deployment, *, studio: bool) -> Rendered:
    """The request body. ``studio``: for AI Studio, which knows a little that Vertex does not. Raises CannotSay."""
    fields = call.fields
    refuse(fields)
    system, turns = canonical.read(fields)
    wishes = asked.read(fields)
    body: Object = {"contents": contents(turns, third=is_third(deployment))}
    if system:
        body["systemInstruction"] = {"parts": [{"text": text.text} for text in system]}
    body |= tools(fields, wishes, deployment, studio=studio)
    if made := config.generation(fields, wishes, deployment, studio=studio):
        body["generationConfig"] = made
    body |= {name: fields[member] for member, name in OWN.items() if fields.get(member) is not None}
    dropped = sorted(
        {
            *unsaid(fields, wishes, deployment),
            *unsaid_of_messages(fields, turns),
            *config.unsaid(fields, deployment, studio=studio),
        }
    )
    return Rendered(msgspec.json.encode(body), tuple(dropped))


def refuse(fields: Mapping[str, Any]) -> None:
    """Raises CannotSay for what must not be dropped; the choice of deployments usually saw to it before."""
    if (fields.get("n") or 1) != 1:
        raise CannotSay("This model gives one answer to a request; ask n times.", param="n")
    for name in ("logprobs", "top_logprobs", "audio"):
        if fields.get(name):
            raise CannotSay(f"Google has no words for {name}.", param=name)


def tools(fields: Mapping[str, Any], wishes: Wishes, deployment: Deployment, *, studio: bool) -> Object:
    """``tools`` and ``toolConfig``: each kind of Google's own tools stands in an object of its own."""
    theirs = [server_tool(tool) for tool in wishes.server_tools]
    if fields.get("web_search_options") is not None and not any("googleSearch" in tool for tool in theirs):
        theirs.append({"googleSearch": {}})
    mine = [{"functionDeclarations": [declared(tool) for tool in wishes.tools]}] if wishes.tools else []
    body: Object = {"tools": [*mine, *theirs]} if mine or theirs else {}
    calling = tool_config(wishes, told=bool(studio and mine and theirs and is_third(deployment)))
    return body if calling is None else {**body, "toolConfig": calling}


# --- what is not said -------------------------------------------------------------------------------------------


def unsaid(fields: Mapping[str, Any], wishes: Wishes, deployment: Deployment) -> Iterator[str]:
    """Members that Google has no words for and that change nothing of the meaning."""
    for name, value in fields.items():
        if value is not None and name not in SAID and name not in OWN and not (name == "parallel_tool_calls" and value):
            yield name
    if thinking_of(deployment) == "none" and wishes.effort != "none":
        yield from (name for name in ("reasoning_effort", "thinking") if fields.get(name) is not None)
    search = fields.get("web_search_options")
    yield from (f"web_search_options.{name}" for name in (search if isinstance(search, dict) else ()))
    if any(tool.strict is not None for tool in wishes.tools):
        yield "tools[].function.strict"
    if any(tool.cache for tool in wishes.tools):
        yield "cache_control"


def unsaid_of_messages(fields: Mapping[str, Any], turns: list[Turn]) -> Iterator[str]:
    for message in fields["messages"]:
        if message.get("name") and message["role"] not in ("tool", "function"):
            yield "messages[].name"
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            image = part.get("image_url")
            if isinstance(image, dict) and image.get("detail") not in (None, "auto"):
                yield "messages[].content[].image_url.detail"
            if part.get("cache_control"):
                # What is sent again is found again without a hint.
                yield "cache_control"
        if message.get("cache_control"):
            yield "cache_control"
    if any(isinstance(part, Document) and part.name for turn in turns for part in turn.parts):
        yield "messages[].content[].file.filename"
