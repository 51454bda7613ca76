"""How a provider is asked how many tokens a request has. Read next: ../upstream/count.py, which asks.

Only Anthropic counts for others, and only those who ask in its own words.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.providers.protocol import Protocol
from gateway.types import Call, Deployment, Endpoint, WireRequest

__all__ = ["counted", "question"]

#: Members that may stand where tokens are counted.
MEMBERS: Final = frozenset(
    """
    messages model system tools tool_choice thinking output_config output_format mcp_servers cache_control
    context_management
    """.split()
)
PATH: Final = "/messages"


class _Count(Struct):
    input_tokens: int


_decoder: Final = msgspec.json.Decoder(_Count)


def question(call: Call, protocol: Protocol, deployment: Deployment, endpoint: Endpoint) -> WireRequest | None:
    """The request that asks, None where nobody can be asked. Raises CannotSay."""
    path, _, query = endpoint.target.partition("?")
    if call.native is None or call.dialect != protocol.dialect or not path.endswith(PATH):
        return None
    rendered = protocol.render(call, deployment, stream=False)
    fields = msgspec.json.decode(rendered.body)
    body = msgspec.json.encode({name: value for name, value in fields.items() if name in MEMBERS})
    target = f"{path}/count_tokens" + (f"?{query}" if query else "")
    return WireRequest(replace(endpoint, target=target), body, rendered.headers)


def counted(body: bytes) -> int | None:
    """The number in an answer, None when there is none."""
    try:
        return _decoder.decode(body).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
