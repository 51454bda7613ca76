"""Every transport test runs on asyncio's own event loop and on uvloop.

Read next: test_contract.py.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

import pytest
import pytest_asyncio
import trustme
import uvloop

from gateway.upstream.http1 import Http1
from gateway.upstream.over_httpx2 import OverHttpx2
from gateway.upstream.transport import Limits, Transport

#: Trusts nobody. Loading the authorities of the system takes longer than most tests here.
WARY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
PROXY_VARIABLES = "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY".split()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


class Maker:
    """Makes transports of one sort, and closes them at the end of the test."""

    def __init__(self, sort: str) -> None:
        self.sort = sort
        self.made: list[Transport] = []

    def __call__(self, *, tls: ssl.SSLContext | None = None, limits: Limits | None = None) -> Transport:
        made: Transport = (
            Http1(ssl_context=tls or WARY, limits=limits)
            if self.sort == "http1"
            else OverHttpx2(verify=tls or WARY, limits=limits)
        )
        self.made.append(made)
        return made


@pytest_asyncio.fixture(params=["http1", "httpx2"])
async def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Maker]:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    maker = Maker(request.param)
    yield maker
    for transport in maker.made:
        await transport.aclose()


@pytest.fixture
def transport(make: Maker) -> Transport:
    return make()


@pytest.fixture
def deviates(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says that httpx2 cannot keep this one; the words must stand in the docstring of OverHttpx2."""

    def say(words: str) -> None:
        sorts = cast(Any, request.node).callspec.params
        if sorts.get("make") == "httpx2":
            assert words in " ".join((OverHttpx2.__doc__ or "").split())
            request.applymarker(pytest.mark.xfail(strict=True, reason=words))

    return say


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture
def serving(authority: trustme.CA) -> Callable[[str], ssl.SSLContext]:
    """The TLS context of a server with a certificate for this name."""

    def make(name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return context

    return make
