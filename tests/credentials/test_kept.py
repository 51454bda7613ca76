"""What a login yields is fetched once, before it ends, and by one at a time: by a hand-wound clock."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from gateway.errors import CredentialFailed
from gateway.upstream.credentials import kept as module
from gateway.upstream.credentials.kept import Fresh, Kept


class Grants:
    """Hands out 1, 2, 3 …, each for ``life_s``; ``hold`` makes fetches wait until it is let go."""

    def __init__(self, life_s: float | None = 3600.0) -> None:
        self.now = 1_000_000.0
        self.life_s = life_s
        self.asked = 0
        self.error: Exception | None = None
        self.go = threading.Event()
        self.go.set()
        self.kept: Kept[int] = Kept("the login of one", self.fetch, lambda: self.now)

    def fetch(self) -> Fresh[int]:
        self.asked += 1
        asked, error = self.asked, self.error
        assert self.go.wait(5)
        if error is not None:
            raise error
        return Fresh(asked, None if self.life_s is None else self.now + self.life_s)

    async def settled(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not done():
                await asyncio.sleep(0.001)


async def test_many_that_wait_are_served_by_one_fetch() -> None:
    grants = Grants()
    assert await asyncio.gather(*(grants.kept.get() for _ in range(50))) == [1] * 50
    assert (await grants.kept.get(), grants.asked) == (1, 1)


async def test_before_its_end_it_is_fetched_anew_while_the_old_one_serves_on() -> None:
    grants = Grants()
    await grants.kept.get()
    grants.now += 3600 - 226
    assert (await grants.kept.get(), grants.asked) == (1, 1)
    grants.go.clear()
    grants.now += 2
    assert [await grants.kept.get() for _ in range(20)] == [1] * 20
    await grants.settled(lambda: grants.asked == 2)
    grants.go.set()
    await grants.settled(lambda: "3600 s" in repr(grants.kept))
    assert (await grants.kept.get(), grants.asked) == (2, 2)


async def test_what_is_about_to_end_is_not_used_any_more() -> None:
    grants = Grants()
    await grants.kept.get()
    grants.now += 3600 - 9
    assert (await grants.kept.get(), grants.asked) == (2, 2)


async def test_what_lives_for_a_minute_is_not_fetched_for_each_request() -> None:
    grants = Grants(60.0)
    await grants.kept.get()
    grants.now += 44
    assert (await grants.kept.get(), grants.asked) == (1, 1)


async def test_what_never_ends_is_fetched_once() -> None:
    grants = Grants(None)
    await grants.kept.get()
    grants.now += 1e9
    assert (await grants.kept.get(), grants.asked) == (1, 1)


async def test_a_fetch_that_fails_is_told_to_all_that_wait_and_is_not_repeated_at_once() -> None:
    grants = Grants()
    grants.error = CredentialFailed("401", refused=True)
    told = await asyncio.gather(*(grants.kept.get() for _ in range(9)), return_exceptions=True)
    assert {(type(error), str(error)) for error in told} == {(CredentialFailed, "the login of one: 401")}
    with pytest.raises(CredentialFailed, match="401") as again:
        await grants.kept.get()
    assert (again.value.refused, grants.asked) == (True, 1)
    grants.error, grants.now = None, grants.now + 2
    assert await grants.kept.get() == 2


async def test_a_failure_while_the_old_one_is_valid_hurts_nobody_and_is_shown() -> None:
    grants = Grants()
    await grants.kept.get()
    grants.now += 3600 - 100
    grants.error = CredentialFailed("503", refused=False)
    assert await grants.kept.get() == 1
    await grants.settled(lambda: "503" in repr(grants.kept))
    assert repr(grants.kept) == "the login of one: valid for 100 s more; the login of one: 503"
    assert [await grants.kept.get() for _ in range(9)] == [1] * 9
    assert grants.asked == 2


async def test_of_an_error_that_nobody_foresaw_only_the_name_is_said() -> None:
    grants = Grants()
    grants.error = RuntimeError("with secret-of-somebody")
    with pytest.raises(CredentialFailed, match=r"^the login of one: it failed with RuntimeError$"):
        await grants.kept.get()


async def test_one_that_leaves_takes_the_fetch_from_nobody() -> None:
    grants = Grants()
    grants.go.clear()
    first, second = asyncio.create_task(grants.kept.get()), asyncio.create_task(grants.kept.get())
    await grants.settled(lambda: grants.asked == 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    grants.go.set()
    assert (await second, grants.asked) == (1, 1)


async def test_what_was_refused_is_fetched_anew() -> None:
    grants = Grants()
    await grants.kept.get()
    grants.kept.forget()
    assert (await grants.kept.get(), grants.asked) == (2, 2)


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    grants = Grants()
    grants.go.clear()
    with pytest.raises(CredentialFailed, match="no answer within") as raised:
        await grants.kept.get()
    grants.go.set()
    assert not raised.value.refused
    assert await grants.kept.get() == 1
