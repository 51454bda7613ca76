"""What the other transport is there for: proxies from the environment.

Read next: test_contract.py.
"""

from __future__ import annotations

import pytest

from gateway.types import Endpoint
from gateway.upstream.over_httpx2 import OverHttpx2
from tests.transport.asking import ask, pieces
from tests.transport.conftest import PROXY_VARIABLES
from tests.transport.peer import echo, peer


@pytest.mark.parametrize("trust", [True, False])
async def test_a_proxy_named_in_the_environment_is_used_when_it_may_be(
    monkeypatch: pytest.MonkeyPatch, trust: bool
) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    async with peer(echo) as provider, peer(echo) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.host}:{proxy.port}")
        transport = OverHttpx2(trust_env=trust)
        response = await ask(transport, provider.endpoint(target="/v1"), b"through")
        assert await pieces(response) == b"through"
        await transport.aclose()
        assert (len(proxy.lines), len(provider.lines)) == ((1, 0) if trust else (0, 1))
        if trust:
            asked = proxy.lines[0].heads[0].split(b" ")[1]
            assert asked == b"http://127.0.0.1:%d/v1" % provider.port


async def test_a_header_that_cannot_be_sent_does_not_show_its_value() -> None:
    transport = OverHttpx2(trust_env=False)
    async with peer(echo) as provider:
        headers = ((b"bad name", b"sk-secret"),)
        with pytest.raises(ValueError, match=r"a header that cannot be sent$"):
            await ask(transport, Endpoint("http", provider.host, provider.port, "POST", "/", headers))
        await transport.aclose()
