"""A stream that breaks off at one protocol goes on at another, and the conversation goes on after that at either."""

from __future__ import annotations

import asyncio

import pytest

from tests.pairs.clients import CLIENTS
from tests.pairs.rescue import CALLS, NATIVE, PREFILLS, TEXT, rescued, ring
from tests.pairs.talk import PROTOCOLS


@pytest.mark.parametrize("other", PREFILLS)
@pytest.mark.parametrize("client", CLIENTS)
async def test_who_takes_the_beginning_of_an_answer_goes_on_with_the_text_of_another(client: str, other: str) -> None:
    pairs = [(first, other) for first in PROTOCOLS if first != other and (first, client) != NATIVE]
    await asyncio.gather(*[rescued(client, pair, "continue", then, TEXT) for pair in pairs for then in pair])


@pytest.mark.parametrize("client", CLIENTS)
async def test_who_says_the_same_again_goes_on_from_there(client: str) -> None:
    pairs = [pair for pair in ring(PROTOCOLS) if (pair[0], client) != NATIVE]
    await asyncio.gather(*[rescued(client, pair, "splice", then, TEXT) for pair in pairs for then in pair])


@pytest.mark.parametrize("client", CLIENTS)
async def test_calls_that_are_written_the_same_again_go_on_from_there(client: str) -> None:
    # Google's arguments come at once, as values: nothing of them could be half said.
    pairs = [pair for pair in ring([name for name in PROTOCOLS if name != "google"]) if (pair[0], client) != NATIVE]
    await asyncio.gather(*[rescued(client, pair, "splice", then, CALLS) for pair in pairs for then in pair])
