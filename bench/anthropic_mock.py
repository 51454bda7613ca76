"""`python -m bench.anthropic_mock PORT CHUNKS GAP_US`: an Anthropic provider that streams a text, one write an event.

Read next: streams.py, which measures what it costs to translate this. As the rig's own mock: the first text after
50 ms, the others GAP_US apart.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Final

FIRST_S: Final = 0.05
HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
USAGE: Final = {"input_tokens": 212, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}


def event(kind: str, **members: Any) -> bytes:
    """One event as one HTTP chunk."""
    data = f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


MESSAGE: Final[dict[str, Any]] = {
    "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "type": "message",
    "role": "assistant",
    "content": [],
    "model": "claude-sonnet-4-5-20250929",
    "stop_reason": None,
    "stop_sequence": None,
    "usage": USAGE,
}
BEGIN: Final = event("message_start", message=MESSAGE) + event(
    "content_block_start", index=0, content_block={"type": "text", "text": ""}
)
TEXT: Final = event("content_block_delta", index=0, delta={"type": "text_delta", "text": " a few more words"})
END: Final = (
    event("content_block_stop", index=0)
    + event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 130})
    + event("message_stop")
    + b"0\r\n\r\n"
)


async def serve(port: int, chunks: int, gap_s: float) -> None:
    """Until it is ended."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            writer.write(HEAD + BEGIN)
            await asyncio.sleep(FIRST_S)
            for n in range(chunks):
                writer.write(TEXT if n < chunks - 1 else TEXT + END)
                await asyncio.sleep(gap_s)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) / 1e6))
