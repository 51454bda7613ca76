"""The providers that speak OpenAI's protocol: one row each, with only what differs.

Read next: registry.py, which gives each row its protocol. To add a provider, add a row; its name stands nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from gateway.providers.repairs import ALL, ALL_CHUNK, Repair

__all__ = ["ROWS", "Row"]


class Row(Struct, frozen=True, kw_only=True, eq=False):
    """A provider. ``base_url`` is its public address, None where every account has one of its own.

    ``env`` names the variable that its key is usually kept in; ``key_required`` says that nothing works without.
    ``path`` follows the base address; ``per_deployment`` is the path before it where the model stands in the address.
    ``include_usage``: it knows ``stream_options``, and reports usage in a stream only when asked to.
    ``rename`` and ``drop`` are members of requests that it calls otherwise, or refuses.
    ``repairs`` and ``chunk_repairs`` are what its answers and chunks need; an answer that is valid is not touched.
    ``finish_by_done``: its streams name no finish reason, and ``[DONE]`` alone ends them.
    """

    kind: str
    base_url: str | None = None
    company: str | None = None
    env: str | None = None
    key_required: bool = True
    protocol: Literal["openai"] = "openai"
    auth: Literal["bearer", "api-key"] = "bearer"
    path: str = "/chat/completions"
    per_deployment: str | None = None
    include_usage: bool = True
    rename: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()
    repairs: tuple[Repair, ...] = ALL
    chunk_repairs: tuple[Repair, ...] = ALL_CHUNK
    finish_by_done: bool = False
    simulated: bool = False


ROWS: Final[Mapping[str, Row]] = {
    row.kind: row
    for row in (
        Row(kind="openai", base_url="https://api.openai.com/v1", company="openai", env="OPENAI_API_KEY"),
        Row(kind="openai_compatible", key_required=False),
        Row(
            kind="simulated",
            base_url="http://simulated.invalid/v1",
            company="simulated",
            key_required=False,
            simulated=True,
        ),
    )
}
