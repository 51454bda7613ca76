"""Who is let in, and what the others are told."""

from __future__ import annotations

import contextlib
import hmac
from ipaddress import ip_network
from typing import Any

import pytest

from gateway.errors import NOT_VALID, Forbidden, GatewayError, Unauthorized
from gateway.keys import porter as porter_module
from gateway.keys.bunch import Bunch
from gateway.keys.document import Document
from gateway.keys.form import Pepper, mint
from gateway.keys.porter import ANYBODY, Porter
from gateway.state.memory import Memory
from gateway.types import Caller, Key, Secret, Team, World
from tests.keys.guest import Guest

PEPPER = "the pepper"
KEY, HASH = mint("team", Pepper(PEPPER))
OLD, OLD_HASH = mint("team", Pepper(PEPPER))
NOW = 1_000.0


def world_with(*keys: Key, **what: Any) -> World:
    known = {key.caller.id: key for key in keys}
    return World("v", {}, (), keys=known, **{"auth": True, "pepper": Secret(PEPPER), **what})


def porter_at(now: float = NOW) -> Porter:
    return Porter(Bunch(Memory()), wall=lambda: now)


def refusal_of(key: Key, guest: Guest, now: float = NOW) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        porter_at(now).known(guest, world_with(key))
    return refused.value


def test_a_key_is_its_callers() -> None:
    caller = Caller("team", tags={"team": "legal"})
    assert porter_at().known(Guest(KEY), world_with(Key(caller, (HASH,)))) is caller


def test_where_no_keys_are_asked_for_anybody_may_ask() -> None:
    assert porter_at().known(Guest(None), world_with(auth=False)) is ANYBODY
    assert porter_at().known(Guest(KEY), world_with(Key(Caller("team"), (HASH,)), auth=False)) is ANYBODY


async def test_whatever_is_wrong_with_a_key_the_words_are_the_same() -> None:
    off, off_hash = mint("off", Pepper(PEPPER))
    world = world_with(Key(Caller("team"), (HASH,)), Key(Caller("off"), (off_hash,), enabled=False))
    said = set()
    shapes = (KEY[:-1], KEY + "x", "gw_nobody" + KEY[7:], "", "é", "\ud800", "k" * 9000, "a.b.c")
    for wrong in (OLD, off, *shapes):
        with pytest.raises(Unauthorized) as refused:
            await porter_at().identify(Guest(wrong), world)
        said.add((str(refused.value), refused.value.code))
    assert said == {(NOT_VALID, "invalid_api_key")}


async def test_whatever_is_sent_is_hashed_once_and_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(porter_module, "compare_digest", compare)
    world = world_with(Key(Caller("team"), (HASH,)))
    for sent in (KEY, OLD, "gw_nobody" + KEY[7:], "nonsense", "k" * 9000):
        compared.clear()
        with contextlib.suppress(Unauthorized):
            await porter_at().identify(Guest(sent), world)
        assert compared == [(64, 64)], sent


def test_both_secrets_open_while_a_key_is_rotated_and_the_old_one_only_until_its_end() -> None:
    rotated = Key(Caller("team"), (HASH, OLD_HASH))
    assert [porter_at().known(Guest(key), world_with(rotated)) for key in (KEY, OLD)] == [Caller("team")] * 2
    ending = Key(Caller("team"), (HASH, OLD_HASH), retires_at=NOW + 10)
    assert porter_at(NOW + 9).known(Guest(OLD), world_with(ending)) == Caller("team")
    assert porter_at(NOW + 11).known(Guest(KEY), world_with(ending)) == Caller("team")
    assert refusal_of(ending, Guest(OLD), NOW + 10).code == "invalid_api_key"


def test_another_pepper_makes_all_keys_invalid_and_the_same_one_read_again_none() -> None:
    key, porter = Key(Caller("team"), (HASH,)), porter_at()
    assert porter.known(Guest(KEY), world_with(key))
    assert porter.known(Guest(KEY), world_with(key, pepper=Secret(PEPPER)))
    for other in (Secret("another"), None):
        with pytest.raises(Unauthorized):
            porter.known(Guest(KEY), world_with(key, pepper=other))
    assert porter.known(Guest(KEY), world_with(key))


def test_only_who_has_a_key_learns_that_it_has_expired() -> None:
    expired = Key(Caller("team", expires_at=NOW), (HASH,))
    error = refusal_of(expired, Guest(KEY))
    assert (error.status, error.code, str(error)) == (
        401,
        "key_expired",
        "Key team has expired: ask whoever gave it to you for another.",
    )
    assert refusal_of(expired, Guest(OLD)).code == "invalid_api_key"
    assert porter_at(NOW - 1).known(Guest(KEY), world_with(expired)) == expired.caller


def test_a_key_may_be_used_only_from_its_networks() -> None:
    caller = Caller("team", networks=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    key = Key(caller, (HASH,))
    for at in ("192.0.2.7", "2001:db8::7"):
        assert porter_at().known(Guest(KEY, at), world_with(key)) is caller
    error = refusal_of(key, Guest(KEY, "198.51.100.1"))
    assert isinstance(error, Forbidden)
    assert (error.code, str(error)) == ("network_not_allowed", "Key team may not be used from 198.51.100.1.")
    assert refusal_of(key, Guest(OLD, "198.51.100.1")).code == "invalid_api_key"


def test_a_claim_is_believed_only_as_far_as_it_goes() -> None:
    batch = Caller("team", priority="batch")
    world = world_with(Key(batch, (HASH,)))
    assert porter_at().claimed(OLD, world) is batch
    assert [porter_at().claimed(sent, world) for sent in (None, "nonsense", "gw_nobody" + KEY[7:])] == [None] * 3


async def test_a_key_of_the_configuration_comes_before_one_made_at_run_time() -> None:
    memory = Memory()
    made = Document({"id": "team", "models": ["b"]}, (OLD_HASH,), NOW).render()
    await memory.change_key("team", None, made)
    porter = Porter(Bunch(memory), wall=lambda: NOW)
    assert porter.known(Guest(OLD), world_with()) == Caller("team", models=frozenset({"b"}))
    both = world_with(Key(Caller("team"), (HASH,)))
    assert porter.known(Guest(KEY), both) == Caller("team")
    with pytest.raises(Unauthorized):
        porter.known(Guest(OLD), both)


async def test_a_key_made_at_run_time_belongs_to_the_teams_of_the_configuration_in_use() -> None:
    memory = Memory()
    await memory.change_key("team", None, Document({"id": "team", "team": "sales"}, (HASH,), NOW).render())
    porter = Porter(Bunch(memory), wall=lambda: NOW)
    one, other = Team("sales", tags={"n": "1"}), Team("sales", tags={"n": "2"})
    for team in (one, other, one):
        caller = porter.known(Guest(KEY), world_with(teams={"sales": team}))
        assert caller is not None
        assert caller.tags == team.tags
    with pytest.raises(Unauthorized):  # without its team it would be without its limits
        porter.known(Guest(KEY), world_with())


@pytest.mark.parametrize(
    "document", [b"", b"{}", b"[]", b'{"terms":{"id":"team","new":1},"hashes":["x"],"created_at":0}']
)
async def test_a_document_that_cannot_be_read_opens_nothing(document: bytes) -> None:
    memory = Memory()
    await memory.change_key("team", None, document or b"x")
    with pytest.raises(Unauthorized):
        await Porter(Bunch(memory), wall=lambda: NOW).identify(Guest(KEY), world_with())
