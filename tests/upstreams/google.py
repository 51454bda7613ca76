"""generateContent as Gemini 3 judges and speaks it. Read next: server.py.

Source: ai.google.dev, "Thought signatures", "Function calling" and the reference of ``models.generateContent``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct, field

from tests.upstreams.anthropic import pieces
from tests.upstreams.judging import alternate, bytes_of, demand, shaped
from tests.upstreams.said import Answer, Called, Heard, Part, Picture, Result, Spent, Text, Tool, Turn
from tests.upstreams.server import Request

__all__ = ["Google"]

#: What Google says to send with calls that no Gemini has made.
UNSIGNED = "skip_thought_signature_validator"


class _Known(Struct, forbid_unknown_fields=True):
    pass


class _Blob(_Known):
    mimeType: str
    data: str


class _Media(_Known):
    inlineData: _Blob


class _Call(_Known):
    name: str
    args: dict[str, Any] = {}
    id: str | None = None


class _Response(_Known):
    name: str
    response: dict[str, Any]
    id: str | None = None
    parts: list[_Media] = []


class _Part(_Known):
    text: str | None = None
    inlineData: _Blob | None = None
    functionCall: _Call | None = None
    functionResponse: _Response | None = None
    thought: bool = False
    thoughtSignature: str | None = None


class _Content(_Known):
    role: Literal["user", "model"]
    parts: list[_Part]


class _System(_Known):
    parts: list[_Part]


class _Function(_Known):
    name: str
    description: str = ""
    parametersJsonSchema: dict[str, Any] | None = None


class _Tools(_Known):
    functionDeclarations: list[_Function]


class _Thinking(_Known):
    includeThoughts: bool = False
    thinkingLevel: Literal["low", "medium", "high"] | None = None
    thinkingBudget: int | None = None


class _Generation(_Known):
    maxOutputTokens: int | None = None
    thinkingConfig: _Thinking = field(default_factory=_Thinking)


class _Body(_Known):
    contents: list[_Content]
    systemInstruction: _System = field(default_factory=lambda: _System([]))
    tools: list[_Tools] = []
    generationConfig: _Generation = field(default_factory=_Generation)


class Google:
    """A Gemini that signs its calls, and wants the first of each step signed."""

    name = "google"
    kind = "gemini"
    model = "gemini-3.1-pro-preview"

    def heard(self, request: Request) -> Heard:
        path, _, query = request.path.partition("?")
        demand(path.startswith(f"/v1beta/models/{self.model}:"), f"there is no {path}")
        demand(request.headers.get("x-goog-api-key") == "sk-google", "API key not valid.")
        verb = path.rpartition(":")[2]
        demand((verb, query) in (("generateContent", ""), ("streamGenerateContent", "alt=sse")), f"there is no {verb}")
        body = shaped(request.body, _Body)
        alternate([content.role for content in body.contents], "model")
        demand(body.contents[-1].role == "user", "Please ensure that the last turn is a user's.")
        thinking = body.generationConfig.thinkingConfig
        demand(thinking.thinkingLevel is None or thinking.thinkingBudget is None, "both a level and a budget")
        self._judge_signatures(body.contents)
        tools = [
            Tool(f.name, f.description, f.parametersJsonSchema) for t in body.tools for f in t.functionDeclarations
        ]
        return Heard(
            verb == "streamGenerateContent",
            tuple([part.text or "" for part in body.systemInstruction.parts]),
            tuple(tools),
            tuple(self._turns(body.contents)),
            thinking.includeThoughts,
        )

    def _turns(self, contents: list[_Content]) -> Iterator[Turn]:
        called: list[_Call] = []
        for content in contents:
            demand(content.parts, "contents.parts must not be empty.")
            given = [part.functionResponse for part in content.parts if part.functionResponse]
            demand(len(given) == len(called), f"{len(given)} function responses for {len(called)} function calls")
            waiting = dict(enumerate(called))
            parts = [p for part in content.parts if (p := self._part(part, content.role, waiting)) is not None]
            called = [part.functionCall for part in content.parts if part.functionCall]
            signed = tuple([part.thoughtSignature for part in content.parts if part.thoughtSignature])
            yield Turn(content.role, tuple(parts), signed)

    def _part(self, part: _Part, role: str, waiting: dict[int, _Call]) -> Part | None:
        has = [part.text, part.inlineData, part.functionCall, part.functionResponse]
        demand(sum(value is not None for value in has) == 1, "a part must have exactly one of its data")
        if part.thought:
            return None
        if part.text is not None:
            demand(part.text or part.thoughtSignature, "a text must not be empty")
            # A text's signature comes by itself in a stream, and may go back so.
            return Text(part.text) if part.text else None
        if part.inlineData is not None:
            return Picture(part.inlineData.mimeType, bytes_of(part.inlineData.data))
        if part.functionCall is not None:
            demand(role == "model", "a user calls no functions")
            return Called(part.functionCall.name, part.functionCall.args)
        assert part.functionResponse is not None
        return answered(part.functionResponse, waiting)

    def _judge_signatures(self, contents: list[_Content]) -> None:
        """Calls of the current turn, which a text of the user's begins, must be signed; and no signature be moved."""
        begins = max(at for at, c in enumerate(contents) if c.role == "user" and not any(map(is_response, c.parts)))
        turn = 0
        for at, content in enumerate(contents):
            calls = [part for part in content.parts if part.functionCall]
            for n, part in enumerate(content.parts):
                known = (None, UNSIGNED, self._signature(turn))
                demand(part.thoughtSignature in known, f"Thought signature is not valid: {part.thoughtSignature}")
                signed = part.thoughtSignature == self._signature(turn)
                place = part is calls[0] if calls else n == len(content.parts) - 1
                demand(place or not signed, "a signature stands on another part than it was given on")
            if at > begins and calls:
                demand(calls[0].thoughtSignature, "Function call is missing a thought_signature in functionCall parts.")
            turn += content.role == "model"

    def _signature(self, turn: int) -> str:
        return f"sig+google/{turn}=="

    # --- said ---------------------------------------------------------------------------------------------------

    def whole(self, answer: Answer, turn: int, heard: Heard) -> Any:
        parts = list(self._parts(answer, turn, heard))
        return self._chunk(parts, turn, usageMetadata=usage_of(answer.spent), finishReason="STOP")

    def _parts(self, answer: Answer, turn: int, heard: Heard) -> Iterator[dict[str, Any]]:
        if heard.thinks:
            yield {"text": answer.reasoning, "thought": True}
        signature = {"thoughtSignature": self._signature(turn)}
        if answer.text:
            yield {"text": answer.text} | (signature if not answer.calls else {})
        for n, call in enumerate(answer.calls):
            # Newer servers name their calls, older ones do not.
            id = {"id": f"fc-{turn}-{n}"} if turn % 2 else {}
            args = {"args": call.arguments} if call.arguments else {}
            yield {"functionCall": {"name": call.name, **args, **id}} | (signature if n == 0 else {})

    def _chunk(self, parts: list[Any], turn: int, finishReason: str | None = None, **members: Any) -> Any:
        content: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
        candidate = content | ({"finishReason": finishReason} if finishReason else {})
        return {"candidates": [candidate], "modelVersion": self.model, "responseId": f"r{turn}", **members}

    def stream(self, answer: Answer, turn: int, heard: Heard) -> tuple[str, Sequence[bytes]]:
        parts = [piece for part in self._parts(answer, turn, heard) for piece in in_pieces(part)]
        usage = usage_of(answer.spent)
        early = {**usage, "candidatesTokenCount": 1}
        chunks = [self._chunk([part], turn, usageMetadata=early) for part in parts[:-1]]
        chunks.append(self._chunk(parts[-1:], turn, usageMetadata=usage, finishReason="STOP"))
        events = [f"data: {json.dumps(chunk, ensure_ascii=False)}\r\n\r\n".encode() for chunk in chunks]
        return "text/event-stream", events

    def refusal(self, status: int, message: str) -> Any:
        word = "INVALID_ARGUMENT" if status == 400 else "UNAVAILABLE"
        return {"error": {"code": status, "message": message, "status": word}}


def is_response(part: _Part) -> bool:
    return part.functionResponse is not None


def answered(response: _Response, waiting: dict[int, _Call]) -> Result:
    """The result, matched to its call by its id where that has one, else to the first of its name."""
    found = [
        at for at, call in waiting.items() if call.name == response.name and (call.id is None or call.id == response.id)
    ]
    demand(found, f"no function call waits for a response of {response.name}, {response.id}")
    del waiting[found[0]]
    error = response.response.keys() == {"error"}
    text = response.response["error" if error else "output"]
    media = [Picture(part.inlineData.mimeType, bytes_of(part.inlineData.data)) for part in response.parts]
    return Result(found[0], (Text(text), *media), error)


def in_pieces(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A part as it is streamed: a text in several, and its signature by itself at the end."""
    if "text" not in part:
        yield part
        return
    thought = {"thought": True} if part.get("thought") else {}
    yield from ({"text": piece, **thought} for piece in pieces(part["text"]))
    if "thoughtSignature" in part:
        yield {"text": "", "thoughtSignature": part["thoughtSignature"]}


def usage_of(spent: Spent) -> dict[str, int]:
    return {
        "promptTokenCount": spent.input,
        "candidatesTokenCount": spent.output - spent.reasoning,
        "totalTokenCount": spent.input + spent.output,
        "cachedContentTokenCount": spent.cached,
        "thoughtsTokenCount": spent.reasoning,
    }
