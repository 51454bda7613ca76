"""Keys that are kept: fetched before they are old, sought when unknown, used on when nobody answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.errors import Unavailable
from gateway.identity import keyring
from gateway.identity.keyring import AGAIN_MOST_S, MAX_STALE_S, REFRESH_S, SEEK_S, Keyring, KeySet, Unreached
from gateway.identity.token import Wrong
from gateway.testing.clock import Clock
from tests.identity.issuing import keys_of, signer

ONE, TWO = signer().jwk(), signer("RS256", "two").jwk()


class There:
    """An issuer that shows these keys, or fails; it waits with that while ``go`` is not set."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = keys
        self.failure: Exception | None = None
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()
        self.said: list[tuple[str, object]] = []
        self.clock = Clock()
        self.ring = Keyring("corp", self.load, self.clock, self.say)

    async def load(self) -> KeySet:
        self.asked += 1
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return keys_of(*self.keys)

    def say(self, event: str, **fields: object) -> None:
        self.said.append((event, fields.get("keys")))

    async def kid(self, kid: str | None = "one", algorithm: str = "RS256") -> str | None:
        """The id of the key that is found, or what is raised."""
        try:
            return (await self.ring.key(kid, algorithm)).kid
        except Wrong as wrong:
            return f"wrong {wrong.reason}"
        except Unavailable as error:
            return f"{error.status} {error.code}"

    async def pass_by(self, seconds: float) -> None:
        """Time passes, and whatever is due then is done."""
        self.clock.advance(seconds)
        self.ring.tick()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


GONE = "503 identity_unavailable"


async def test_keys_are_fetched_once_for_all_that_wait_and_then_no_more() -> None:
    there = There(ONE)
    assert await asyncio.gather(*(there.kid() for _ in range(20))) == ["one"] * 20
    await there.pass_by(REFRESH_S - 1)
    assert (await there.kid(), there.asked) == ("one", 1)
    assert repr(there.ring) == f"issuer corp: 1 keys, {REFRESH_S - 1:.0f} s old"


async def test_they_are_fetched_anew_before_anybody_asks_and_nobody_waits_for_it() -> None:
    there = There(ONE)
    await there.pass_by(0)
    there.go.clear()
    there.keys = (TWO,)
    await there.pass_by(REFRESH_S)
    assert (there.asked, await there.kid()) == (2, "one"), "what is held goes on being used meanwhile"
    there.go.set()
    await there.settle()
    assert (await there.kid("two"), await there.kid("one")) == ("two", "wrong key")
    assert there.said == [("identity.keys", ["one"]), ("identity.keys", ["two"])]


async def test_a_key_that_is_new_is_found_at_once() -> None:
    there = There(ONE)
    assert await there.kid() == "one"
    there.keys = (ONE, TWO)
    assert (await there.kid("two"), there.asked, there.ring.turn) == ("two", 2, 0)


async def test_a_key_that_is_not_there_is_looked_for_twice_a_minute_at_most() -> None:
    there = There(ONE)
    assert await there.kid() == "one"
    for n in range(1, 300):
        assert await there.kid(f"made-up-{n}") == "wrong key"
        await there.pass_by(1)
    assert there.asked == 1 + 300 // SEEK_S


async def test_who_looks_for_a_key_while_another_does_waits_for_the_same_fetch() -> None:
    there = There(ONE)
    assert await there.kid() == "one"
    there.go.clear()
    there.keys = (ONE, TWO)
    asking = [asyncio.create_task(there.kid("two")) for _ in range(20)]
    await there.settle()
    there.go.set()
    assert (await asyncio.gather(*asking), there.asked) == (["two"] * 20, 2)


async def test_a_key_that_was_withdrawn_turns_the_ring_and_one_that_was_added_does_not() -> None:
    there = There(ONE)
    await there.pass_by(0)
    turns = []
    for keys in ((ONE, TWO), (TWO,), (TWO,), ({**TWO, "kid": "three"},)):
        there.keys = keys
        await there.pass_by(REFRESH_S)
        turns.append(there.ring.turn)
    assert turns == [0, 1, 1, 2]


async def test_while_nobody_answers_known_keys_go_on_and_of_unknown_ones_nothing_is_known() -> None:
    there = There(ONE)
    await there.pass_by(0)
    there.failure = Unreached("https://login.example/keys answered 502")
    for _ in range(100):
        await there.pass_by(AGAIN_MOST_S)
    assert (await there.kid(), await there.kid("two")) == ("one", GONE)
    assert there.said[1:] == [("identity.unreachable", 1)], "it is said once"
    assert repr(there.ring) == "issuer corp: 1 keys, 3000 s old; https://login.example/keys answered 502"
    there.failure = None
    await there.pass_by(AGAIN_MOST_S)
    assert (await there.kid(), await there.kid("two"), there.ring.age_s) == ("one", "wrong key", 0)


async def test_after_a_day_without_an_answer_they_count_no_more() -> None:
    there = There(ONE)
    await there.pass_by(0)
    there.failure = Unreached("gone")
    await there.pass_by(MAX_STALE_S)
    assert (await there.kid(), there.ring.turn) == ("one", 0)
    await there.pass_by(1)
    assert (await there.kid(), there.ring.turn, there.ring.count) == (GONE, 1, 0)
    assert there.said[-1][0] == "identity.keys_too_old"


async def test_without_any_keys_nobody_is_told_that_a_token_is_wrong() -> None:
    there = There(ONE)
    there.failure = Unreached("gone")
    assert [await there.kid(), await there.kid("two"), await there.kid(None)] == [GONE] * 3
    there.failure = None
    await there.pass_by(AGAIN_MOST_S)
    assert await there.kid() == "one"


async def test_a_fetch_that_fails_is_tried_again_later_and_later() -> None:
    there = There(ONE)
    there.failure = Unreached("gone")
    at = []
    for second in range(100):
        before = there.asked
        await there.pass_by(0 if second == 0 else 1)
        at += [second] if there.asked > before else []
    assert at == [0, 1, 3, 7, 15, 31, 61, 91]


async def test_of_an_error_that_nobody_foresaw_only_its_name_is_said() -> None:
    there = There(ONE)
    there.failure = RuntimeError("a secret")
    await there.pass_by(0)
    assert repr(there.ring) == "issuer corp: no keys at hand; it failed with RuntimeError"


async def test_a_request_waits_for_keys_only_so_long_and_the_fetch_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "PATIENCE_S", 0.01)
    there = There(ONE)
    there.go.clear()
    assert await there.kid() == GONE
    there.go.set()
    await there.settle()
    assert (await there.kid(), there.asked) == ("one", 1)


async def test_without_an_id_a_key_is_meant_only_where_it_is_the_only_one() -> None:
    there = There(ONE, signer("ES256", "ec").jwk())
    assert [await there.kid(None), await there.kid(None, "ES256"), await there.kid("ec")] == ["one", "ec", "wrong key"]
    there.keys = (ONE, TWO)
    await there.pass_by(REFRESH_S)
    asked = there.asked
    assert (await there.kid(None), there.asked) == ("wrong key", asked), "two would do: nothing is looked for"


async def test_a_key_without_an_id_is_not_that_of_a_token_that_names_one() -> None:
    bare = {name: value for name, value in ONE.items() if name != "kid"}
    there = There(bare)
    assert (await there.kid("one"), await there.kid(None)) == ("wrong key", None)


async def test_what_is_under_way_ends_with_the_ring() -> None:
    there = There(ONE)
    there.go.clear()
    there.ring.tick()
    await there.settle()
    await there.ring.aclose()
    assert there.asked == 1
    await there.ring.aclose()
