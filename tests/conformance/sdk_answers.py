"""Reads recorded answers with the providers' own SDKs. Runs in an environment that has them, not in ours.

Read next: oracle.py, which asks. A line of JSON in is ``{"id", "sdk", "stream", "type", "body"}``: ``body`` in base64,
``type`` its content type. A line out is ``{"id", "said"}`` or ``{"id", "error"}``; ``said`` is the normal form:
``{"choices": [{"text", "reasoning", "calls": [{"name", "arguments"}], "finish", "refusal", "images"}], "usage"}``.
``finish`` is the provider's own word, ``arguments`` a JSON value, ``images`` their number, and ``usage`` has what
OpenAI's words mean: ``prompt`` with what was cached or written to a cache, ``completion`` with what was thought, then
``cached``, ``written`` and ``reasoning``, None where the provider does not say.

The bytes come to the real client over a real socket, so that its own parser of streams reads them.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import botocore.session
from anthropic import Anthropic
from botocore.config import Config
from google import genai
from mistralai.client import Mistral
from openai import OpenAI

KEY = "key-of-nobody"


class Replay(ThreadingHTTPServer):
    """Answers whatever is asked with one recorded answer, the one last put here."""

    daemon_threads = True
    asked: dict[str, Any]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Replay

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = base64.b64decode(self.server.asked["body"])
        self.send_response(200)
        self.send_header("content-type", self.server.asked["type"])
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main() -> None:
    """Read until there is no more."""
    server = Replay(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    clients: dict[str, Callable[[bool], dict[str, Any]]] = {}
    for line in sys.stdin:
        server.asked = asked = json.loads(line)
        if asked["sdk"] not in clients:
            clients[asked["sdk"]] = SDKS[asked["sdk"]](server.url)
        try:
            told = {"id": asked["id"], "said": clients[asked["sdk"]](asked["stream"])}
        except Exception as error:  # noqa: BLE001 - whatever the SDK raises is what it says of this answer
            told = {"id": asked["id"], "error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        print(json.dumps(told), flush=True)


class Saying:
    """One choice while it is being read."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {
            "text": "",
            "reasoning": "",
            "calls": [],
            "finish": None,
            "refusal": None,
            "images": 0,
        }
        self.pieces: dict[Any, list[str]] = {}

    def add(self, name: str, text: str | None) -> None:
        self.said[name] = (self.said[name] or "") + (text or "")

    def call(self, name: str | None, arguments: Any) -> None:
        self.said["calls"].append({"name": name, "arguments": arguments})

    def piece(self, key: Any, name: str | None, text: str | None) -> None:
        """Arguments in pieces; the first has the name."""
        if key not in self.pieces:
            self.pieces[key] = []
            self.call(name, None)
        self.pieces[key].append(text or "")
        call = self.said["calls"][list(self.pieces).index(key)]
        call["name"] = call["name"] or name
        call["arguments"] = "".join(self.pieces[key])

    def done(self) -> dict[str, Any]:
        for call in self.said["calls"]:
            call["arguments"] = value_of(call["arguments"])
        return self.said


def value_of(arguments: Any) -> Any:
    """Arguments as a JSON value; the text itself where it is none."""
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def usage(
    prompt: int | None, completion: int | None, cached: int | None, written: int | None, reasoning: int | None
) -> dict[str, Any]:
    return {
        "prompt": prompt or 0,
        "completion": completion or 0,
        "cached": cached,
        "written": written,
        "reasoning": reasoning,
    }


# --- Anthropic --------------------------------------------------------------------------------------------------


def anthropic(url: str) -> Callable[[bool], dict[str, Any]]:
    client = Anthropic(base_url=url, api_key=KEY, max_retries=0)
    request: Any = {"model": "any", "max_tokens": 1, "messages": [{"role": "user", "content": "any"}]}

    def read(stream: bool) -> dict[str, Any]:
        if not stream:
            return message(client.beta.messages.create(**request))
        with client.beta.messages.stream(**request) as events:
            return message(events.get_final_message())

    return read


def message(answer: Any) -> dict[str, Any]:
    one = Saying()
    for block in answer.content:
        if block.type == "text":
            one.add("text", block.text)
        elif block.type == "thinking":
            one.add("reasoning", block.thinking)
        elif block.type == "tool_use":
            one.call(block.name, block.input)
    one.said["finish"] = answer.stop_reason
    # The totals are without what it took to make the conversation shorter, which the same model did and is billed for.
    counts = [part for part in answer.usage.iterations or () if part.type == "compaction"]
    fresh, out, cached, written = (
        sum(getattr(part, name) or 0 for part in (answer.usage, *counts))
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    return {"choices": [one.done()], "usage": usage(fresh + cached + written, out, cached, written, None)}


# --- Google -----------------------------------------------------------------------------------------------------


def google(url: str, vertex: bool) -> Callable[[bool], dict[str, Any]]:
    client = genai.Client(vertexai=vertex, api_key=KEY, http_options={"base_url": url, "timeout": 20_000})

    def read(stream: bool) -> dict[str, Any]:
        if stream:
            return candidates(client.models.generate_content_stream(model="any", contents="any"))
        return candidates(iter([client.models.generate_content(model="any", contents="any")]))

    return read


def candidates(answers: Iterator[Any]) -> dict[str, Any]:
    choices: dict[int, Saying] = {}
    counted = blocked = None
    for answer in answers:
        counted = answer.usage_metadata or counted
        blocked = (answer.prompt_feedback and answer.prompt_feedback.block_reason) or blocked
        for candidate in answer.candidates or ():
            one = choices.setdefault(candidate.index or 0, Saying())
            for part in (candidate.content and candidate.content.parts) or ():
                if part.text:
                    one.add("reasoning" if part.thought else "text", part.text)
                if part.inline_data and part.inline_data.mime_type.startswith("image/") and not part.thought:
                    one.said["images"] += 1
                if part.function_call:
                    called(one, part.function_call)
            if candidate.finish_reason:
                one.said["finish"] = word(candidate.finish_reason)
    if not choices and blocked:
        one = choices.setdefault(0, Saying())
        one.said["finish"] = f"blocked: {word(blocked)}"
    return {"choices": [choices[n].done() for n in sorted(choices)], "usage": google_usage(counted)}


def called(one: Saying, call: Any) -> None:
    """A call, or one more piece of it: values at JSON paths, those of a text in pieces of their own."""
    if call.name:
        one.call(call.name, call.args or {})
    for piece in call.partial_args or ():
        value = next((v for v in (piece.string_value, piece.number_value, piece.bool_value) if v is not None), None)
        place(one.said["calls"][-1]["arguments"], re.findall(r"\w+", piece.json_path), value)


def place(within: Any, path: list[str], value: Any) -> None:
    """Put a value where a path says; a text that goes on is added to."""
    steps = [int(step) if step.isdigit() else step for step in path]
    last = steps[-1]
    for step, following in pairwise(steps):
        within = member(within, step, [] if isinstance(following, int) else {})
    before = member(within, last, "" if isinstance(value, str) else None)
    within[last] = before + value if isinstance(before, str) and isinstance(value, str) else value


def member(within: Any, step: Any, otherwise: Any) -> Any:
    """What stands there; ``otherwise`` once nothing does."""
    if isinstance(within, list):
        within += [None] * (step + 1 - len(within))
        within[step] = otherwise if within[step] is None else within[step]
        return within[step]
    return within.setdefault(step, otherwise)


def word(value: Any) -> str:
    return str(getattr(value, "value", value))


def google_usage(used: Any) -> dict[str, Any] | None:
    if used is None:
        return None
    prompt = (used.prompt_token_count or 0) + (used.tool_use_prompt_token_count or 0)
    thought = used.thoughts_token_count
    completion = (used.candidates_token_count or 0) + (thought or 0)
    return usage(prompt, completion, used.cached_content_token_count, None, thought)


# --- Bedrock ----------------------------------------------------------------------------------------------------


def bedrock(url: str) -> Callable[[bool], dict[str, Any]]:
    session = botocore.session.Session()
    session.set_credentials(KEY, KEY)
    client = session.create_client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=Config(retries={"total_max_attempts": 1})
    )
    request: Any = {"modelId": "any", "messages": [{"role": "user", "content": [{"text": "any"}]}]}

    def read(stream: bool) -> dict[str, Any]:
        return converse_stream(client.converse_stream(**request)) if stream else converse(client.converse(**request))

    return read


def converse(answer: Any) -> dict[str, Any]:
    one = Saying()
    for block in answer["output"]["message"]["content"]:
        cited = block.get("citationsContent", {}).get("content", [])
        one.add("text", block.get("text") or "".join(part.get("text", "") for part in cited))
        one.add("reasoning", block.get("reasoningContent", {}).get("reasoningText", {}).get("text"))
        if (called := block.get("toolUse")) and is_ours(called):
            one.call(called["name"], called.get("input"))
    one.said["finish"] = answer["stopReason"]
    return {"choices": [one.done()], "usage": bedrock_usage(answer.get("usage"))}


def converse_stream(answer: Any) -> dict[str, Any]:
    one, counted = Saying(), None
    theirs = set()
    for event in answer["stream"]:
        [(kind, told)] = event.items()
        if kind == "contentBlockStart" and (called := told["start"].get("toolUse")):
            if not is_ours(called):
                theirs.add(told["contentBlockIndex"])
                continue
            one.piece(told["contentBlockIndex"], called["name"], "")
        elif kind == "contentBlockDelta":
            delta = told["delta"]
            one.add("text", delta.get("text"))
            one.add("reasoning", delta.get("reasoningContent", {}).get("text"))
            if "toolUse" in delta and told["contentBlockIndex"] not in theirs:
                one.piece(told["contentBlockIndex"], None, delta["toolUse"].get("input"))
        elif kind == "messageStop":
            one.said["finish"] = told["stopReason"]
        elif kind == "metadata":
            counted = told.get("usage")
    return {"choices": [one.done()], "usage": bedrock_usage(counted)}


def is_ours(called: dict[str, Any]) -> bool:
    """Whether the client is to run the tool: some are run by Bedrock itself."""
    return called.get("type") != "server_tool_use"


def bedrock_usage(used: dict[str, int] | None) -> dict[str, Any] | None:
    if not used:
        return None
    cached, written = used.get("cacheReadInputTokens"), used.get("cacheWriteInputTokens")
    return usage(
        used.get("inputTokens", 0) + (cached or 0) + (written or 0), used.get("outputTokens"), cached, written, None
    )


# --- OpenAI, for Azure, and Mistral -----------------------------------------------------------------------------


def openai(url: str) -> Callable[[bool], dict[str, Any]]:
    client = OpenAI(base_url=url, api_key=KEY, max_retries=0)
    request: Any = {"model": "any", "messages": [{"role": "user", "content": "any"}]}

    def read(stream: bool) -> dict[str, Any]:
        if not stream:
            return completion(client.chat.completions.create(**request))
        return completions(iter(client.chat.completions.create(stream=True, **request)))

    return read


def mistral(url: str) -> Callable[[bool], dict[str, Any]]:
    client = Mistral(server_url=url, api_key=KEY)
    request: Any = {"model": "any", "messages": [{"role": "user", "content": "any"}]}

    def read(stream: bool) -> dict[str, Any]:
        if not stream:
            return completion(client.chat.complete(**request))
        with client.chat.stream(**request) as events:
            return completions(event.data for event in events)

    return read


def completion(answer: Any) -> dict[str, Any]:
    said = []
    for choice in answer.choices:
        one = Saying()
        content(one, choice.message)
        for call in choice.message.tool_calls or ():
            one.call(call.function.name, call.function.arguments)
        one.said["finish"] = choice.finish_reason
        said.append(one.done())
    return {"choices": said, "usage": chat_usage(answer.usage)}


def completions(chunks: Iterator[Any]) -> dict[str, Any]:
    choices: dict[int, Saying] = {}
    counted = None
    for chunk in chunks:
        counted = chunk.usage or counted
        for choice in chunk.choices:
            one = choices.setdefault(choice.index, Saying())
            content(one, choice.delta)
            for call in choice.delta.tool_calls or ():
                arguments = call.function.arguments
                text = arguments if isinstance(arguments, str | None) else json.dumps(arguments)
                one.piece(key_of(one, call), call.function.name, text)
            one.said["finish"] = choice.finish_reason or one.said["finish"]
    return {"choices": [choices[n].done() for n in sorted(choices)], "usage": chat_usage(counted)}


def key_of(one: Saying, call: Any) -> Any:
    """Which call this is a piece of. Mistral's have an index that may be 0 for all, and an id, or none: "null"."""
    if not type(call).__module__.startswith("mistralai"):
        return call.index
    fresh = call.id not in (None, "", "null")
    return (call.index, call.id) if fresh or not one.pieces else list(one.pieces)[-1]


def content(one: Saying, part: Any) -> None:
    found = part.content
    if isinstance(found, list):
        for piece in found:
            if piece.type == "text":
                one.add("text", piece.text)
            elif piece.type == "thinking":
                one.add("reasoning", "".join(thought.text for thought in piece.thinking))
    elif isinstance(found, str):
        one.add("text", found)
    if isinstance(getattr(part, "refusal", None), str):
        one.add("refusal", part.refusal)


def chat_usage(used: Any) -> dict[str, Any] | None:
    if not used:
        return None
    prompt, completion = (getattr(used, f"{which}_tokens_details", None) for which in ("prompt", "completion"))
    return usage(
        used.prompt_tokens,
        used.completion_tokens,
        getattr(prompt, "cached_tokens", None),
        None,
        getattr(completion, "reasoning_tokens", None),
    )


SDKS: dict[str, Callable[[str], Callable[[bool], dict[str, Any]]]] = {
    "anthropic": anthropic,
    "gemini": lambda url: google(url, vertex=False),
    "vertex": lambda url: google(url, vertex=True),
    "bedrock": bedrock,
    "azure": openai,
    "mistral": mistral,
}

if __name__ == "__main__":
    main()
