"""Every promise of conformance/checks.py, held by the SDK that is installed. Read next: conformance/checks.py."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.config.load import load_text
from tests.conformance.checks import CHECKS, At, Check, name_of
from tests.conformance.stage import ENVIRON, stage
from tests.gateway import serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at() -> AsyncIterator[At]:
    """One gateway for all of them, as a user has one."""
    async with stage() as play, serving(load_text(play.config, ENVIRON)) as gateway:
        yield At(gateway.url, play.seen)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("check", CHECKS, ids=map(name_of, CHECKS))
async def test_a_client_of_the_sdk_finds_that(check: Check, at: At) -> None:
    if inspect.iscoroutinefunction(check):
        await check(at)
    else:
        await asyncio.to_thread(check, at)
