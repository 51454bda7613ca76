"""One request to a simulated provider, from its bytes to the acts that answer it.

Read next: server.py, which plays over real sockets; transport.py, which plays inside the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.testing.acts import Act, whole
from gateway.testing.answer import answer
from gateway.testing.faults import FAULTS, Fault
from gateway.testing.openai import error_body, models_body, render
from gateway.testing.prompt import Prompt, read
from gateway.testing.script import Script, Scripts, fault_of

__all__ = ["play"]


def play(
    scripts: Scripts,
    *,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    n: int,
    now: float,
    created: int,
) -> Iterator[Act]:
    """The acts that answer a request: the ``n``-th, at ``now`` (seconds, any clock) and ``created`` (Unix seconds)."""
    if method == "POST" and path.endswith("/chat/completions"):
        try:
            prompt = read(body)
            fault = asked_fault(prompt, headers) or scripts.key_fault(headers.get("authorization", ""))
        except ValueError as error:
            return whole(400, error_body(str(error)))
        return perform(prompt, scripts.take(prompt.model, now), fault, id=f"chatcmpl-sim-{n}", created=created)
    if method == "GET" and path.endswith("/models"):
        return whole(200, models_body(scripts.models or ("sim-small", "sim-large"), created))
    return whole(404, error_body(f"there is no {method} {path} here", "not_found"))


def perform(prompt: Prompt, script: Script, fault: Fault | None, *, id: str, created: int) -> Iterator[Act]:
    """A healthy answer, rewritten by the fault that the request asked for, else by the script's."""
    acts = render(prompt, script, answer(prompt, script), id=id, created=created)
    fault = fault or fault_of(script.fault)
    return acts if fault is None else fault.rewrite(acts, prompt)


def asked_fault(prompt: Prompt, headers: Mapping[str, str]) -> Fault | None:
    """What the request itself asks to go wrong: by header, or by the end of the model's name.

    Raises ValueError when the header names no fault. A model name may hold an ``@`` of its own.
    """
    return fault_of(headers.get("x-sim-fault")) or FAULTS.get(prompt.model.rpartition("@")[2])
