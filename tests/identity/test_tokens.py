"""Who a token stands for: every wrong one is told the same, and what is remembered is the whole of a right one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import NOT_VALID, Forbidden, Unauthorized, Unavailable
from gateway.identity import tokens
from gateway.identity.keyring import REFRESH_S, Key, Keyring, Unreached
from gateway.identity.signatures import verify
from gateway.identity.token import Token
from gateway.identity.tokens import Tokens
from gateway.types import Issuer
from tests.identity.issuing import NOW, by_hand, issuer, signer
from tests.identity.test_keyring import There


class Desk:
    """Tokens of one issuer, whose keys are ``there``; ``verified`` counts the signatures that were looked at."""

    def __init__(self, *keys: dict[str, Any], **more: Any) -> None:
        self.there = There(*(keys or (signer().jwk(), signer("ES256", "ec").jwk(), signer("EdDSA", "ed").jwk())))
        self.verified = 0
        rings: dict[Issuer, Keyring] = {issuer(**more): self.there.ring}
        self.tokens = Tokens(rings, self.verify)

    def verify(self, token: Token, key: Key) -> None:
        self.verified += 1
        verify(token, key)

    async def who(self, text: str, now: float = NOW) -> str:
        """The team, or the reason why not."""
        try:
            return (await self.tokens.caller_of(text, now)).team or ""
        except Unauthorized as error:
            same = (error.message, error.code, error.status) == (NOT_VALID, "invalid_api_key", 401)
            return error.reason if same else f"other words: {error.message}"
        except (Forbidden, Unavailable) as error:
            return f"{error.status} {error.code}"


@pytest.mark.parametrize("one", [signer(), signer("ES256", "ec"), signer("EdDSA", "ed")])
async def test_a_token_that_its_issuer_signed_stands_for_its_subject(one: Any) -> None:
    assert await Desk().who(one.token()) == "support"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a.b.c", "garbled"),
        (signer().token(exp=NOW - 31), "expired"),
        (signer().token(nbf=NOW + 31), "early"),
        (signer().token(aud="other"), "audience"),
        (signer().token(iss="https://evil.example"), "issuer"),
        (signer().token(sub=None), "claims"),
        (signer("RS256", "stranger").token({"kid": "one"}), "signature"),
        (signer("RS256", "stranger").token(), "key"),
        (signer("ES256", "ec").token({"kid": "one"}), "key"),
        (signer("PS256").token(), "algorithm"),
        (by_hand({"alg": "none"}), "algorithm"),
        (by_hand({"alg": "HS256", "kid": "one"}), "algorithm"),
        (by_hand({"alg": "RS256", "kid": "one"}), "signature"),
        (by_hand({"alg": "RS256", "kid": "one", "crit": ["b64"], "b64": False}), "header"),
    ],
)
async def test_every_wrong_token_is_told_the_same_and_counted_by_what_was_wrong(text: str, reason: str) -> None:
    assert await Desk().who(text) == f"token_{reason}"


async def test_a_token_chooses_neither_its_key_nor_where_that_comes_from() -> None:
    desk, stranger = Desk(), signer("RS256", "stranger")
    header = {"jku": "https://evil.example/keys", "x5u": "https://evil.example/c", "jwk": stranger.jwk()}
    assert await desk.who(stranger.token({**header, "kid": "one"})) == "token_signature"
    assert await desk.who(stranger.token({**header, "kid": "https://evil.example/keys"})) == "token_key"


async def test_what_is_wrong_anyhow_costs_no_signature_and_no_look_for_a_key() -> None:
    desk = Desk()
    await desk.who(signer().token())
    asked, verified = desk.there.asked, desk.verified
    for claims in ({"exp": NOW - 31}, {"aud": "other"}, {"iss": "x"}):
        await desk.who(signer("RS256", "stranger").token(**claims))
    assert (desk.there.asked, desk.verified) == (asked, verified)


async def test_a_token_is_verified_once() -> None:
    desk, text = Desk(), signer().token()
    first = await desk.tokens.caller_of(text, NOW)
    assert await desk.tokens.caller_of(text, NOW + 629) is first
    assert (desk.verified, await desk.who(text, NOW + 630)) == (1, "token_expired")


async def test_what_is_remembered_is_the_whole_of_a_token() -> None:
    desk, text = Desk(), signer().token()
    assert await desk.who(text) == "support"
    head, _, signature = text.rpartition(".")
    for other in (f"{head}.{signature[:-6]}AAAAAA", f"{head}.AA", f"{text}A", f"{text}=", f" {text}", text[:-1]):
        assert (await desk.who(other)).startswith("token_"), other
    other_subject = signer().token(sub="bob", groups=["legal"])
    assert other_subject[:60] == text[:60]
    assert await desk.who(other_subject) == "legal"


@given(st.integers(0, 2000), st.sampled_from("abcXYZ019-_.="))
def test_no_other_text_is_taken_for_a_token_that_was_verified(place: int, letter: str) -> None:
    async def both() -> tuple[str, str, bool]:
        desk, text = Desk(), signer().token()
        other = text[: place % len(text)] + letter + text[place % len(text) + 1 :]
        return await desk.who(text), await desk.who(other), other == text

    first, second, same = asyncio.run(both())
    assert (first, second == "support") == ("support", same)


async def test_a_withdrawn_key_takes_the_tokens_with_it_that_it_had_verified() -> None:
    desk, text = Desk(), signer().token()
    assert await desk.who(text) == "support"
    desk.there.keys = (signer("RS256", "two").jwk(),)
    await desk.there.pass_by(REFRESH_S)
    assert await desk.who(text) == "token_key"


async def test_while_the_issuer_is_down_tokens_go_on_being_verified() -> None:
    desk = Desk()
    assert await desk.who(signer().token()) == "support"
    desk.there.failure = Unreached("gone")
    await desk.there.pass_by(REFRESH_S)
    assert await desk.who(signer().token()) == "support"
    assert await desk.who(signer().token(sub="bob")) == "support"
    assert await desk.who(signer("RS256", "two").token()) == "503 identity_unavailable"
    assert await desk.who(signer().token(exp=NOW - 31)) == "token_expired"


async def test_without_keys_a_token_is_not_wrong_but_cannot_be_judged() -> None:
    desk = Desk()
    desk.there.failure = Unreached("gone")
    assert await desk.who(signer().token()) == "503 identity_unavailable"


async def test_a_subject_without_a_team_is_no_wrong_token_and_is_not_remembered() -> None:
    desk = Desk()
    assert await desk.who(signer().token(groups=["guests"])) == "403 no_team"
    assert repr(desk.tokens) == "0 tokens of corp remembered"


async def test_no_more_tokens_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST", 3)
    desk = Desk()
    one, *others = (signer().token(sub=f"s{n}") for n in range(5))
    for other in others:
        await desk.who(one)
        await desk.who(other)
    assert repr(desk.tokens) == "3 tokens of corp remembered"
    verified = desk.verified
    await desk.who(one)
    assert (verified, desk.verified) == (5, 5), "the one that is in use stays"
    await desk.who(others[0])
    assert desk.verified == 6


@given(st.text(max_size=300))
def test_no_text_is_taken_for_a_token_or_raises_anything_else(text: str) -> None:
    assert asyncio.run(Desk().who(text)).startswith("token_")
