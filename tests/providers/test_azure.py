"""What Azure puts into streams beside answers. Its requests are in test_fitting.py; test_recordings.py has answers."""

from __future__ import annotations

import json
from typing import Any

from gateway.providers.registry import protocol_of
from tests.make import call, deployment
from tests.recordings import invalid

NAMELESS = {"id": "", "object": "", "created": 0, "model": ""}
NAMED = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
PROMPT = [{"prompt_index": 0, "content_filter_results": {}}]
VERDICT = {"content_filter_results": {"hate": {"filtered": False}}, "content_filter_offsets": {"check_offset": 2}}


def choice(**more: Any) -> dict[str, Any]:
    return {"index": 0, "finish_reason": None, **more}


def test_what_an_asynchronous_filter_says_of_an_answer_is_a_chunk_without_content() -> None:
    feed = protocol_of("azure_openai").feed(call(fields={"stream": True}, stream=True), deployment("m"))
    came = [
        {**NAMELESS, "choices": [], "prompt_filter_results": PROMPT},
        {**NAMED, "choices": [choice(delta={"role": "assistant", "content": "Hi"})]},
        {**NAMELESS, "choices": [choice(**VERDICT)]},
        {**NAMED, "choices": [choice(delta={}, finish_reason="stop")]},
        {**NAMELESS, "choices": [choice(**VERDICT)]},
    ]
    pieces = [feed.feed(f"data: {json.dumps(event)}\n\n".encode()) for event in came]
    assert [piece.content for piece in pieces] == [False, True, False, False, False]
    assert feed.feed(b"data: [DONE]\n\n").done
    told = [json.loads(line[6:]) for p in pieces for line in p.data.decode().splitlines() if line]
    verdict = {**NAMED, "choices": [choice(delta={}, **VERDICT)]}
    assert told == [{**NAMED, "choices": [], "prompt_filter_results": PROMPT}, came[1], verdict, came[3], verdict]
    assert [invalid(chunk) for chunk in told] == [[]] * 5
