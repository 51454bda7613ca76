"""A cloud's login on a real socket: what it was asked is kept, and it answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Struct

__all__ = ["Cloud", "Question", "cloud"]


class Question(Struct, frozen=True):
    """One request, with its form where it had one."""

    method: str
    path: str
    headers: Mapping[str, str]
    form: Mapping[str, str]


class Cloud:
    """Answers by ``method path``: a status and a value that is sent as JSON, or text as it stands.

    It waits with that while ``go`` is not set.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[Question] = []
        self.go = threading.Event()
        self.go.set()

    def token(self, at: str, token: str, *, expires_in: int | str = 3600) -> None:
        """Grant this token there."""
        self.answers[at] = (200, {"access_token": token, "token_type": "Bearer", "expires_in": expires_in})


@contextmanager
def cloud() -> Iterator[Cloud]:
    """One that answers until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            there.asked.append(Question(self.command, self.path, headers, dict(parse_qsl(body.decode()))))
            there.go.wait(5)
            status, value = there.answers.get(f"{self.command} {self.path.partition('?')[0]}", (404, "nothing here"))
            data = (value if isinstance(value, str) else json.dumps(value)).encode()
            self.send_response(status)
            self.send_header("content-type", "text/plain" if isinstance(value, str) else "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    there = Cloud(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=lambda: server.serve_forever(0.01))
    thread.start()
    try:
        yield there
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
