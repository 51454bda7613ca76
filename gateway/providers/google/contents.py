"""Turns as generateContent's ``contents``, with the model's own parts where they still say what the turn says.

Read next: parts.py; ../turns.py, where the turns come from.

Source: ai.google.dev, "Thought signatures": what a part of an answer was signed with goes back on the same part. Gemini
3 refuses the first call of a step without one; for calls that no Gemini made the page names a word to send instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from gateway.providers.google.parts import called, result, said
from gateway.providers.google.shapes import Object
from gateway.providers.members import inner, listed
from gateway.providers.turns import Called, Result, Turn, says_the_same

__all__ = ["contents"]

UNSIGNED: Final = "skip_thought_signature_validator"
#: What one part of a model's turn may be. Our own notes of what an answer rested on stand among them, and stay here.
PARTS: Final = frozenset(
    """
    text functionCall functionResponse inlineData executableCode codeExecutionResult toolCall toolResponse
    """.split()
)


def contents(turns: Sequence[Turn], *, third: bool) -> list[Object]:
    """All turns, in order. ``third``: for Gemini 3 or later. Raises CannotSay."""
    found: list[Object] = []
    order: list[str] = []
    given: frozenset[str] = frozenset()
    for turn in turns:
        if turn.role == "assistant":
            native = own(turn)
            parts = native if native is not None else rebuilt(turn, third=third)
            order = [part.id for part in turn.parts if isinstance(part, Called)]
            given = frozenset(ids(native or ()))
            found.append({"role": "model", "parts": parts})
        else:
            found.append({"role": "user", "parts": users(turn, order, given, third=third)})
    return [content for content in found if content["parts"]]


def users(turn: Turn, order: list[str], given: frozenset[str], *, third: bool) -> list[Object]:
    """A user's turn: results in the order of their calls, for calls of one name are told apart by it; then the rest."""
    results = sorted(
        (part for part in turn.parts if isinstance(part, Result)),
        key=lambda part: order.index(part.id) if part.id in order else len(order),
    )
    told = [result(part, id=part.id if part.id in given else None, within=third) for part in results]
    functions = [parts[0] for parts in told]
    media = [part for parts in told for part in parts[1:]]
    rest = [said(part) for part in turn.parts if not isinstance(part, Result | Called)]
    return [*functions, *media, *rest]


# --- the model's turns ------------------------------------------------------------------------------------------


def own(turn: Turn) -> list[Object] | None:
    """The model's own parts of this turn; None where there are none, or the client has changed what they say."""
    kept = listed(turn.native.get("google"))
    parts = [part for part in kept if PARTS & part.keys() and not is_stored(part)]
    if not parts:
        return None
    text = "".join([part["text"] for part in parts if isinstance(part.get("text"), str) and not part.get("thought")])
    mine = [part.id for part in turn.parts if isinstance(part, Called)]
    calls = [part["functionCall"] for part in parts if isinstance(part.get("functionCall"), dict)]
    # Calls that came without an id were given ours, which the parts do not know.
    known = [
        (call.get("id") or (mine[at] if at < len(mine) else ""), call.get("name", ""), call.get("args") or {})
        for at, call in enumerate(calls)
    ]
    return parts if says_the_same(turn, text, known) else None


def is_stored(part: Object) -> bool:
    """Whether a part, or one of a function's response in it, names a file that no model made.

    A client may have written it, and what lies in the operator's storage would be read in the operator's name.
    """
    within = listed(inner(part, "functionResponse").get("parts"))
    return "fileData" in part or any("fileData" in one for one in within)


def ids(parts: Sequence[Object]) -> Iterator[str]:
    """The ids that the model itself gave its calls."""
    for part in parts:
        call = part.get("functionCall")
        if isinstance(call, dict) and isinstance(id := call.get("id"), str):
            yield id


def rebuilt(turn: Turn, *, third: bool) -> list[Object]:
    """The turn of its canonical members, each call with the signature that it had."""
    signatures = dict(signed(turn))
    parts: list[Object] = []
    first = True
    for part in turn.parts:
        if isinstance(part, Called):
            signature = signature_of(part) or signatures.get(key(part.name, part.input()))
            if signature is None and first and third:
                signature = UNSIGNED
            parts.append(called(part, id=None, signature=signature))
            first = False
        elif not isinstance(part, Result):
            parts.append(said(part))
    return parts


def signed(turn: Turn) -> Iterator[tuple[bytes, str]]:
    for part in turn.native.get("google", ()):
        if isinstance(part, dict) and isinstance(call := part.get("functionCall"), dict):
            signature = part.get("thoughtSignature")
            if isinstance(signature, str):
                yield key(call.get("name"), call.get("args") or {}), signature


def key(name: Any, arguments: Any) -> bytes:
    return msgspec.json.encode((name, arguments), order="deterministic")


def signature_of(call: Called) -> str | None:
    google = call.extra.get("google") if call.extra else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) and signature else None
