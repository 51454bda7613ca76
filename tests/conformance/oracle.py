"""What the providers' own SDKs make of recorded answers, asked in one batch and kept in the judges' folder.

Read next: sdk_answers.py, which runs where the SDKs are; answers.py, which compares.

A few real answers no SDK can read, each for one of the reasons in MENDS: those are asked again with only that mended.
What none can read even so is left unjudged, and counted.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from tests.conformance.workshop import fetch_oracle
from tests.recordings import Recording

__all__ = ["SDK", "Said", "answers_of", "ask", "first_of"]

HERE: Final = Path(__file__).parent

#: Which SDK reads which recordings.
SDK: Final[Mapping[tuple[str, str], str]] = {
    ("anthropic", "messages"): "anthropic",
    ("vertex", "rawPredict"): "anthropic",
    ("vertex", "streamRawPredict"): "anthropic",
    ("gemini", "generateContent"): "gemini",
    ("gemini", "streamGenerateContent"): "gemini",
    ("vertex", "generateContent"): "vertex",
    ("vertex", "streamGenerateContent"): "vertex",
    ("bedrock", "converse"): "bedrock",
    ("bedrock", "converse-stream"): "bedrock",
    ("azure", "chat.completions"): "azure",
    ("mistral", "chat.completions"): "mistral",
}


class Said(Struct, frozen=True):
    """What an SDK made of one answer: ``said`` in the normal form of sdk_answers.py, or ``error``, what it raised.

    ``mended`` is the reason why it was not asked about the recorded bytes themselves.
    """

    id: str
    said: dict[str, Any] | None = None
    error: str | None = None
    mended: str | None = None


class Mend(Struct, frozen=True):
    """A reason why an SDK cannot read a real answer: what it raises then, and the bytes that say the same to it."""

    why: str
    raised: str
    mended: Callable[[bytes], bytes]


def words_for_numbers(body: bytes) -> bytes:
    """Google's finish reasons by name, where a client of the old protobuf library recorded their numbers."""
    named = re.sub(rb'"finishReason":\s*(\d)', lambda found: b'"finishReason": "%s"' % FINISH[int(found[1])], body)
    return re.sub(rb'"(category|probability|modality|blockReason|trafficType)":\s*\d+', rb'"\1": "UNSPECIFIED"', named)


def events_for_array(body: bytes) -> bytes:
    """Google's stream without ``alt=sse`` is one JSON array."""
    answers = json.loads(words_for_numbers(body))
    return b"".join(b"data: %s\r\n\r\n" % json.dumps(answer).encode() for answer in answers)


def without_type(body: bytes) -> bytes:
    """Blocks of Converse with a ``type``, which Bedrock does not send: those were written by hand."""
    return re.sub(rb'"type":\s*"text",', b"", body)


def without_empty_starts(body: bytes) -> bytes:
    """An event that begins a block of nothing in particular; Bedrock sends none before text."""
    frames, at = [], 0
    while at < len(body):
        size = int.from_bytes(body[at : at + 4])
        frames.append(body[at : at + size])
        at += size
    return b"".join(frame for frame in frames if b'"start":{}' not in frame)


FINISH: Final = (b"FINISH_REASON_UNSPECIFIED", b"STOP", b"MAX_TOKENS", b"SAFETY", b"RECITATION", b"OTHER")
MENDS: Final = (
    Mend("enumerations as numbers", r"'int' object has no attribute 'upper'", words_for_numbers),
    Mend("a stream that is one JSON array", r"Failed to parse response as JSON. Raw response: \[", events_for_array),
    Mend("content blocks with a type", r"ContentBlock must have one and only one member", without_type),
    Mend("a start of no block", r"ContentBlockStart must have one and only one member", without_empty_starts),
)


async def answers_of(recordings: Sequence[Recording], folder: Path) -> Mapping[str, Said]:
    """What the SDKs say of these 2xx answers, by id. Raises Missing when they cannot be installed."""
    asked = [question(one, first_of(one.body)) for one in recordings]
    said = {one.id: one for one in msgspec.convert(await ask("sdk_answers.py", asked, folder), list[Said])}
    again = [(one, mend) for one in recordings for mend in MENDS if re.search(mend.raised, said[one.id].error or "")]
    mended = await ask("sdk_answers.py", [question(one, mend.mended(one.body)) for one, mend in again], folder)
    for (one, mend), told in zip(again, mended, strict=True):
        said[one.id] = msgspec.convert({**told, "mended": mend.why}, Said)
    return said


def first_of(body: bytes) -> bytes:
    """The first message: some files have several of Anthropic's streams, one after the other, which the SDK mixes."""
    answer, end, _ = body.partition(b'data: {"type":"message_stop"}\n\n')
    return answer + end


def question(recorded: Recording, body: bytes) -> dict[str, Any]:
    return {
        "id": recorded.id,
        "sdk": SDK[recorded.provider, recorded.api],
        "stream": recorded.stream,
        "type": dict(recorded.headers).get(b"content-type", b"application/json").decode(),
        "body": base64.b64encode(body).decode(),
    }


async def ask(script: str, lines: Iterable[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """Put these lines to a script that runs where the SDKs are; its lines in return, kept for the next time."""
    python = await fetch_oracle(folder)
    asked = b"\n".join(msgspec.json.encode(line) for line in lines)
    code = (HERE / script).read_bytes()
    kept = folder / f"{Path(script).stem}-{sha256(str(python).encode() + code + asked).hexdigest()[:16]}.jsonl"
    if not kept.exists():
        process = await asyncio.create_subprocess_exec(
            *(str(python), "-W", "ignore", str(HERE / script)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        told, _ = await process.communicate(asked)
        if process.returncode:
            raise RuntimeError(f"{script} ended with {process.returncode}")
        kept.write_bytes(told)
    return [json.loads(line) for line in kept.read_bytes().splitlines()]
