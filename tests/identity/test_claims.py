"""What tokens say: for whom, until when, and who their subject is here."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Forbidden
from gateway.identity.claims import caller_of, issuer_of, judge, values
from gateway.identity.token import Wrong
from gateway.types import Caller
from tests.identity.issuing import AUDIENCE, CLAIMS, ISS, NOW, issuer
from tests.identity.test_token import JSON


def judged(now: float = NOW, *, claims: dict[str, Any] | None = None, **more: Any) -> float | str:
    """Until when, or what is wrong."""
    said = {name: value for name, value in {**CLAIMS, **(claims or {})}.items() if value is not None}
    try:
        return judge(said, issuer(**more), now)
    except Wrong as wrong:
        return wrong.reason


def meant(**claims: Any) -> str:
    ours = issuer()
    others = (issuer(name="other", issuer="https://other.example"), issuer(name="app", audiences=frozenset({"app"})))
    try:
        return issuer_of({**CLAIMS, **claims}, (ours, *others)).name
    except Wrong as wrong:
        return wrong.reason


def who(claims: dict[str, Any], **more: Any) -> Caller:
    return caller_of({**CLAIMS, **claims}, issuer(**more), NOW)


# --- for whom -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({}, "corp"),
        ({"aud": ["elsewhere", AUDIENCE]}, "corp"),
        ({"aud": "app"}, "app"),
        ({"iss": "https://other.example"}, "other"),
        ({"iss": ISS.rstrip("/")}, "issuer"),
        ({"iss": ISS.upper()}, "issuer"),
        ({"iss": [ISS]}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"aud": "elsewhere"}, "audience"),
        ({"aud": AUDIENCE.upper()}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": []}, "audience"),
        ({"aud": {AUDIENCE: 1}}, "audience"),
        ({"aud": [AUDIENCE, 7]}, "audience"),
        ({"aud": [AUDIENCE, "app"]}, "audience"),  # of two of ours: which one is meant?
    ],
)
def test_a_token_is_of_one_issuer_and_for_us_to_the_letter(claims: dict[str, Any], found: str) -> None:
    assert meant(**claims) == found


# --- until when -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "now", "said"),
    [
        ({}, NOW, NOW + 630),
        ({}, NOW + 629.9, NOW + 630),
        ({}, NOW + 630, "expired"),
        ({"exp": None}, NOW, "claims"),
        ({"exp": str(NOW + 600)}, NOW, "claims"),
        ({"exp": True}, NOW, "claims"),
        ({"exp": 1e300}, NOW, "claims"),
        ({"exp": [NOW + 600]}, NOW, "claims"),
        ({"exp": 10**13}, NOW, "claims"),
        ({"nbf": NOW + 30}, NOW, NOW + 630),
        ({"nbf": NOW + 31}, NOW, "early"),
        ({"nbf": "soon"}, NOW, "claims"),
        ({"iat": NOW + 31}, NOW, "early"),
        ({"iat": None}, NOW, NOW + 630),
    ],
)
def test_a_token_counts_from_its_beginning_to_its_end_give_or_take_the_leeway(
    claims: dict[str, Any], now: float, said: object
) -> None:
    assert judged(now, claims=claims) == said


@pytest.mark.parametrize(
    ("claims", "now", "said"),
    [
        ({}, NOW, NOW + 330),
        ({}, NOW + 330, "old"),
        ({"iat": None}, NOW, "claims"),
        ({"exp": NOW + 60}, NOW, NOW + 90),
    ],
)
def test_where_the_age_is_bounded_a_token_counts_no_longer_whatever_its_end(
    claims: dict[str, Any], now: float, said: object
) -> None:
    assert judged(now, claims=claims, max_age_s=300.0) == said


@pytest.mark.parametrize(
    ("claims", "passes"),
    [
        ({"realm": {"tier": "gold"}, "scope": "openid gateway.use", "verified": True, "n": 7}, True),
        ({"realm": {"tier": "gold"}, "scope": ["gateway.use"], "verified": True, "n": 7}, True),
        ({"realm": {"tier": "tin"}, "scope": "gateway.use", "verified": True, "n": 7}, False),
        ({"realm": "gold", "scope": "gateway.use", "verified": True, "n": 7}, False),
        ({"realm": {"tier": "gold"}, "scope": "gateway.used", "verified": True, "n": 7}, False),
        ({"realm": {"tier": "gold"}, "scope": "gateway.use", "verified": False, "n": 7}, False),
        ({"realm": {"tier": "gold"}, "scope": "gateway.use", "verified": True}, False),
    ],
)
def test_claims_that_the_operator_requires_are_there_and_have_one_of_the_values(
    claims: dict[str, Any], passes: bool
) -> None:
    require: tuple[tuple[tuple[str, ...], frozenset[str]], ...] = (
        (("realm", "tier"), frozenset({"gold", "silver"})),
        (("scope",), frozenset({"gateway.use"})),
        (("verified",), frozenset({"true"})),
        (("n",), frozenset()),
    )
    assert judged(claims=claims, require=require) == (NOW + 630 if passes else "claims")


# --- who ------------------------------------------------------------------------------------------------------------


def test_a_caller_is_what_its_team_is_under_a_hash_of_its_subject() -> None:
    hashed = who({}).id.removeprefix("jwt:corp:")
    assert who({}) == Caller(
        id=f"jwt:corp:{hashed}", team="support", tags={"team": "support"}, expires_at=NOW, user=hashed
    )
    assert (len(hashed), "ada" in repr(who({}))) == (24, False)


def test_two_subjects_or_issuers_are_never_the_same_caller() -> None:
    one = who({}).id
    assert who({}).id == one
    assert len({one, who({"sub": "bob"}).id, who({}, issuer="https://login.exampl", name="corp").id}) == 3


@pytest.mark.parametrize(
    ("groups", "team"),
    [
        ("legal", "legal"),
        (["legal"], "legal"),
        (["unknown", "legal", "support"], "legal"),
        (["support", "legal"], "support"),
        ([["legal"], {"legal": 1}, None, "support"], "support"),
    ],
)
def test_of_a_list_the_first_value_that_is_a_team_counts(groups: object, team: str) -> None:
    assert who({"groups": groups}).team == team


@pytest.mark.parametrize("groups", [None, [], "unknown", ["unknown"], {"legal": 1}, "legal support", 7])
def test_a_subject_without_a_team_is_turned_away_unless_there_is_one_for_everybody_else(groups: object) -> None:
    with pytest.raises(Forbidden) as raised:
        who({"groups": groups})
    assert (raised.value.status, raised.value.code) == (403, "no_team")
    everybody = Caller(id="jwt:corp", team="guests")
    assert who({"groups": groups}, default=everybody).team == "guests"


@pytest.mark.parametrize("subject", [None, "", 7, ["ada"], "a" * 257, "a\nb", "a\ud800"])
def test_a_token_without_a_subject_stands_for_nobody(subject: object) -> None:
    with pytest.raises(Wrong):
        who({"sub": subject})


def test_only_what_the_operator_maps_is_taken_over_as_it_stands() -> None:
    claims = {"email": "ada@example.com", "org": {"unit": "research", "floor": 3}, "odd": "a\u0000b"}
    plain = who(claims)
    assert "ada" not in repr(plain)
    tags = (("unit", ("org", "unit")), ("floor", ("org", "floor")), ("odd", ("odd",)), ("team", ("email",)))
    mapped = who(claims, user=("email",), tags=tags)
    assert mapped.user == "ada@example.com"
    assert mapped.tags == {"unit": "research", "floor": "3", "team": "support"}, (
        "a tag of the configuration counts more"
    )
    assert (mapped.id, mapped.team) == (plain.id, plain.team)


def test_who_has_no_claim_of_its_name_is_still_an_end_user_of_its_own() -> None:
    assert who({}, user=("email",)).user == who({}).user
    assert who({"email": "x" * 300}, user=("email",)).user == who({}).user


@given(JSON, st.lists(st.text(max_size=8), min_size=1, max_size=3).map(tuple))
def test_whatever_stands_in_a_claim_becomes_texts_that_a_record_can_hold(value: object, claim: tuple[str, ...]) -> None:
    for text in (
        *values({"a": value, **(value if isinstance(value, dict) else {})}, claim),
        *values({"a": value}, ("a",)),
    ):
        assert msgspec.json.decode(msgspec.json.encode(text)) == text
        assert 0 < len(text) <= 256 or text.lstrip("-").isdigit()
