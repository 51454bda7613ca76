"""What a simulated model says: text, tool calls or JSON, made from the prompt alone, so the same prompt gets the same.

Read next: openai.py, which puts an answer on the wire.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from zlib import crc32

import msgspec
from msgspec import Struct

from gateway.testing.instance import instance
from gateway.testing.prompt import Prompt
from gateway.testing.script import Script
from gateway.types import Usage

__all__ = ["Answer", "Choice", "ToolCall", "answer"]

SENTENCES = (
    "The short version is that it depends on what you measure first.",
    "A good next step is to write down the two or three facts that decide it.",
    "Start with the smallest case that still shows the effect, then widen it.",
    "The usual trap is to change two things at once and to credit the wrong one.",
    "If the numbers disagree, trust the one you can reproduce.",
    "Most of the cost sits in one place, and it is rarely the place people look at.",
    "Keep the old way running until the new one has earned its place.",
    "Ask what would have to be true for the opposite to hold.",
)
TOKEN = re.compile(r"\s*\S+|\s+\Z")


class ToolCall(Struct, frozen=True):
    """A call of one tool; ``arguments`` is JSON text."""

    id: str
    name: str
    arguments: str


class Choice(Struct, frozen=True):
    """One answer of ``n``. The pieces of ``tokens`` make up the text."""

    tokens: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    finish: str = "stop"

    @property
    def count(self) -> int:
        """Tokens that this choice costs."""
        called = sum(len(TOKEN.findall(call.arguments)) + 4 for call in self.tool_calls)
        refused = len(TOKEN.findall(self.refusal or ""))
        return len(self.tokens) + len(self.reasoning) + called + refused


class Answer(Struct, frozen=True):
    """All choices and what they cost."""

    choices: tuple[Choice, ...]
    usage: Usage


def answer(prompt: Prompt, script: Script) -> Answer:
    """The answer to a prompt under a script."""
    choices = tuple(choice(prompt, script, index) for index in range(prompt.n))
    return Answer(choices, script.usage or cost(prompt, choices))


def cost(prompt: Prompt, choices: tuple[Choice, ...]) -> Usage:
    return Usage(
        input=prompt.tokens,
        output=sum(c.count for c in choices),
        reasoning=sum(len(c.reasoning) for c in choices),
    )


def choice(prompt: Prompt, script: Script, index: int) -> Choice:
    reasoning = tokens(script.reasoning or "")
    if script.refusal is not None:
        return Choice(refusal=script.refusal, reasoning=reasoning, finish=script.finish or "stop")
    if script.text is None and (tool := asked_tool(prompt)) is not None:
        return Choice(
            tool_calls=(call(tool, prompt, index),), reasoning=reasoning, finish=script.finish or "tool_calls"
        )
    return limited(tokens(said(prompt, script, index)), reasoning, prompt.max_tokens, script.finish or "stop")


def limited(text: tuple[str, ...], reasoning: tuple[str, ...], limit: int | None, finish: str) -> Choice:
    """The text as far as the client's token limit lets it go; reasoning counts first."""
    room = len(text) if limit is None else max(0, limit - len(reasoning))
    return Choice(text[:room], reasoning, finish=finish if room >= len(text) else "length")


def said(prompt: Prompt, script: Script, index: int) -> str:
    """The text: the script's, or structured, or made up; without what the client has prefilled."""
    full = script.text if script.text is not None else structured(prompt)
    if full is None:
        full = made_up(prompt.question, script.words, index)
    return full.removeprefix(prompt.prefill) if prompt.prefill else full


def structured(prompt: Prompt) -> str | None:
    """JSON text when the client asked for JSON, else None."""
    wanted = prompt.fields.get("response_format") or {}
    match wanted.get("type"):
        case "json_schema":
            return dump(instance((wanted.get("json_schema") or {}).get("schema")))
        case "json_object":
            return dump({"answer": made_up(prompt.question, 12, 0)})
    return None


def asked_tool(prompt: Prompt) -> Mapping[str, Any] | None:
    """The function to call: the named one, else the first; none once its result has come back."""
    wanted = prompt.fields.get("tool_choice")
    functions = offered(prompt)
    if not functions or wanted == "none" or prompt.has_result:
        return None
    name = (wanted.get("function") or {}).get("name") if isinstance(wanted, Mapping) else None
    return next((f for f in functions if f.get("name") == name), functions[0])


def offered(prompt: Prompt) -> list[Mapping[str, Any]]:
    """The functions among the tools of the request."""
    tools = prompt.fields.get("tools") or ()
    return [tool["function"] for tool in tools if isinstance(tool, Mapping) and isinstance(tool.get("function"), dict)]


def call(function: Mapping[str, Any], prompt: Prompt, index: int) -> ToolCall:
    name = str(function.get("name"))
    number = crc32(f"{prompt.question}|{name}|{index}".encode())
    return ToolCall(f"call_sim_{number:08x}", name, dump(instance(function.get("parameters") or {"type": "object"})))


@lru_cache(1024)
def made_up(question: str, words: int | None, index: int) -> str:
    """Plain sentences that say they are simulated; as many words as asked, else 30 to 90 by the question."""
    seed = crc32(f"{question}|{index}".encode())
    wanted = words if words is not None else 30 + seed % 61
    quoted = " ".join(question.split()[:8])
    said = [*f"This is a simulated answer to “{quoted}”.".split()]
    place = seed
    while len(said) < wanted:
        said += SENTENCES[place % len(SENTENCES)].split()
        place += 1 + (seed >> 8) % 3
    return " ".join(said[:wanted])


@lru_cache(1024)
def tokens(text: str) -> tuple[str, ...]:
    """Text in pieces as a model would stream it: a word with the space before it."""
    return tuple(TOKEN.findall(text))


def dump(value: object) -> str:
    return msgspec.json.encode(value).decode()
