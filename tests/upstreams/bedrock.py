"""Bedrock's Converse with a Claude behind it, as AWS judges and speaks it. Read next: server.py.

Whether a body is one is for AWS's own model of it to say, as botocore has it. Source: the Amazon Bedrock Runtime API
reference, and the pages of its user guide on tool use and extended thinking.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote

import botocore.loaders
import botocore.model
import botocore.validate

from gateway.providers.bedrock.frames import framed
from tests.upstreams.anthropic import pieces
from tests.upstreams.judging import alternate, bytes_of, demand
from tests.upstreams.said import Answer, Called, Heard, Part, Picture, Result, Spent, Text, Tool, Turn
from tests.upstreams.server import Request

__all__ = ["Bedrock"]

Block = dict[str, Any]


@cache
def shape() -> Any:
    """What a request of Converse is, as AWS has it."""
    service = botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2")
    return botocore.model.ServiceModel(service).operation_model("Converse").input_shape


class Bedrock:
    """A Claude that is told to think by a budget."""

    name = "bedrock"
    kind = "bedrock"
    model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"

    def heard(self, request: Request) -> Heard:
        base, _, verb = request.path.rpartition("/")
        demand(base == f"/model/{quote(self.model, safe='')}", f"there is no {request.path}")
        demand(verb in ("converse", "converse-stream"), f"there is no {verb}")
        demand(request.headers.get("authorization") == "Bearer sk-bedrock", "The security token is invalid.")
        body = request.body
        valid = botocore.validate.ParamValidator().validate({**with_bytes(body), "modelId": self.model}, shape())
        demand(not valid.has_errors(), valid.generate_report())
        alternate([message["role"] for message in body["messages"]], "assistant")
        thinks = self._thinks(body)
        self._judge_thinking(body["messages"], thinks)
        system = [block["text"] for block in body.get("system", ()) if "text" in block]
        return Heard(
            verb == "converse-stream",
            tuple(system),
            tuple(tools_of(body)),
            tuple(self._turns(body["messages"])),
            thinks,
            tuple(cached(body)),
        )

    def _thinks(self, body: Block) -> bool:
        more = body.get("additionalModelRequestFields", {})
        demand(more.keys() <= {"thinking"}, f"Extra inputs are not permitted: {sorted(more)}")
        if more.get("thinking", {}).get("type") != "enabled":
            return False
        budget, most = more["thinking"]["budget_tokens"], body.get("inferenceConfig", {}).get("maxTokens")
        demand(budget >= 1024, "budget_tokens: Input should be greater than or equal to 1024")
        demand(most is None or most > budget, "`max_tokens` must be greater than `thinking.budget_tokens`")
        forced = body.get("toolConfig", {}).get("toolChoice", {}).keys() & {"any", "tool"}
        demand(not forced, "Thinking may not be enabled when tool_choice forces tool use.")
        return True

    def _turns(self, messages: list[Block]) -> Iterator[Turn]:
        called: list[str] = []
        for message in messages:
            content = message["content"]
            demand(content, "The content field in the Message object is empty.")
            results = [block["toolResult"]["toolUseId"] for block in content if "toolResult" in block]
            demand(sorted(results) == sorted(called), f"toolResult of {results} after toolUse of {called}")
            parts = [part for block in content if (part := part_of(block, called)) is not None]
            called = [block["toolUse"]["toolUseId"] for block in content if "toolUse" in block]
            signed = [text["signature"] for block in content if (text := thought_in(block))]
            yield Turn("user" if message["role"] == "user" else "model", tuple(parts), tuple(signed))

    def _judge_thinking(self, messages: list[Block], thinks: bool) -> None:
        spoken = [message["content"] for message in messages if message["role"] == "assistant"]
        for turn, content in enumerate(spoken):
            for at, block in enumerate(content):
                if text := thought_in(block):
                    demand(text.get("signature") == self._signature(turn), "Invalid `signature` in `thinking` block")
                    demand(at == 0, "thinking must come first")
        last = messages[-1]
        if thinks and spoken and (last["role"] == "assistant" or any("toolResult" in b for b in last["content"])):
            demand(thought_in(spoken[-1][0]), f"Expected `thinking`, found {sorted(spoken[-1][0])}")

    def _signature(self, turn: int) -> str:
        return f"sig+bedrock/{turn}=="

    # --- said ---------------------------------------------------------------------------------------------------

    def whole(self, answer: Answer, turn: int, heard: Heard) -> Any:
        content = list(self._blocks(answer, turn, heard))
        return {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": "tool_use" if answer.calls else "end_turn",
            "usage": usage_of(answer.spent),
            "metrics": {"latencyMs": 7},
        }

    def _blocks(self, answer: Answer, turn: int, heard: Heard) -> Iterator[Block]:
        if heard.thinks:
            text = {"text": answer.reasoning, "signature": self._signature(turn)}
            yield {"reasoningContent": {"reasoningText": text}}
        if answer.text:
            yield {"text": answer.text}
        for n, call in enumerate(answer.calls):
            yield {"toolUse": {"toolUseId": f"tooluse_{turn}-{n}", "name": call.name, "input": call.arguments}}

    def stream(self, answer: Answer, turn: int, heard: Heard) -> tuple[str, Sequence[bytes]]:
        return "application/vnd.amazon.eventstream", list(self._events(self.whole(answer, turn, heard)))

    def _events(self, whole: Block) -> Iterator[bytes]:
        yield event("messageStart", role="assistant")
        for index, block in enumerate(whole["output"]["message"]["content"]):
            if tool := block.get("toolUse"):
                start = {"toolUse": {"toolUseId": tool["toolUseId"], "name": tool["name"]}}
                yield event("contentBlockStart", contentBlockIndex=index, start=start)
            for delta in deltas(block):
                yield event("contentBlockDelta", contentBlockIndex=index, delta=delta)
            yield event("contentBlockStop", contentBlockIndex=index)
        yield event("messageStop", stopReason=whole["stopReason"])
        yield event("metadata", usage=whole["usage"], metrics=whole["metrics"])

    def refusal(self, status: int, message: str) -> Any:
        kind = "ValidationException" if status == 400 else "ServiceUnavailableException"
        return {"__type": f"com.amazon.coral.validate#{kind}", "message": message}


# --- read -------------------------------------------------------------------------------------------------------


def with_bytes(value: Any, name: str = "") -> Any:
    """A body as botocore is given it: what stands in base64 on the wire are bytes there."""
    if isinstance(value, dict):
        return {key: with_bytes(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_bytes(item) for item in value]
    return bytes_of(value) if name in ("bytes", "redactedContent") else value


def tools_of(body: Block) -> Iterator[Tool]:
    for tool in body.get("toolConfig", {}).get("tools", ()):
        if spec := tool.get("toolSpec"):
            yield Tool(spec["name"], spec.get("description", ""), spec["inputSchema"]["json"])


def thought_in(block: Block) -> Block | None:
    found: Block | None = block.get("reasoningContent", {}).get("reasoningText")
    return found


def part_of(block: Block, called: list[str]) -> Part | None:
    if "text" in block:
        demand(block["text"].strip(), "The text field in the ContentBlock object is blank.")
        return Text(block["text"])
    if image := block.get("image"):
        return Picture(f"image/{image['format']}", bytes_of(image["source"]["bytes"]))
    if use := block.get("toolUse"):
        return Called(use["name"], use["input"])
    if result := block.get("toolResult"):
        parts = tuple([part_of(inner, []) for inner in result["content"]])
        error = result.get("status") == "error"
        return Result(called.index(result["toolUseId"]), parts, error)  # type: ignore[arg-type]
    return None


def cached(body: Block) -> Iterator[str | int]:
    """The places of cache points."""
    if any("cachePoint" in block for block in body.get("system", ())):
        yield "system"
    if any("cachePoint" in block for block in body.get("toolConfig", {}).get("tools", ())):
        yield "tools"
    for at, message in enumerate(body["messages"]):
        if any("cachePoint" in block for block in message["content"]):
            yield at


# --- said -------------------------------------------------------------------------------------------------------


def usage_of(spent: Spent) -> dict[str, int]:
    return {
        "inputTokens": spent.input - spent.cached - spent.written,
        "outputTokens": spent.output,
        "totalTokens": spent.input + spent.output,
        "cacheReadInputTokens": spent.cached,
        "cacheWriteInputTokens": spent.written,
    }


def deltas(block: Block) -> Iterator[Block]:
    if text := thought_in(block):
        yield from ({"reasoningContent": {"text": piece}} for piece in pieces(text["text"]))
        yield {"reasoningContent": {"signature": text["signature"]}}
    elif "text" in block:
        yield from ({"text": piece} for piece in pieces(block["text"]))
    else:
        # A call without arguments has no input at all.
        input = block["toolUse"]["input"]
        written = json.dumps(input, ensure_ascii=False) if input else ""
        yield from ({"toolUse": {"input": piece}} for piece in pieces(written))


def event(kind: str, **members: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    padded = {**members, "p": "abcdefgh"}
    return framed(headers, json.dumps(padded, ensure_ascii=False).encode())
