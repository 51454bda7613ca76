"""A conversation with tools keeps its meaning between every client and every protocol, signatures included.

Each test holds its conversations at once, for they mostly wait.
"""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from tests.pairs.clients import CLIENTS
from tests.pairs.talk import PROTOCOLS, WAYS, Way, talk

DIRECT: Final[tuple[Way, Way]] = ("whole", "stream")


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_three_turns_with_tools_keep_their_meaning(client: str, name: str) -> None:
    await asyncio.gather(*[talk(client, [name] * 3, way) for way in WAYS])


@pytest.mark.parametrize("first", PROTOCOLS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_turn_at_another_provider_is_understood_there_and_back_at_the_first(client: str, first: str) -> None:
    others = [name for name in PROTOCOLS if name != first]
    await asyncio.gather(*[talk(client, [first, other, first], way) for other in others for way in DIRECT])
