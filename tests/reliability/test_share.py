"""Who may have what is left of a limit that runs short: the values, by hypothesis, and a crowd by the clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.reliability.quota import NEVER, Need, Quota
from gateway.reliability.share import ACTIVE_S, MEMORY_S, RESERVE, Share
from tests.crowd import Had, Tenant, jain, play

T0 = 1000.0


def short(**had: float) -> Share:
    """A shortage in which these tenants have had so much."""
    share = Share()
    share.ran_short(T0)
    for tenant, amount in had.items():
        share.took(tenant, amount, T0)
    return share


def test_while_there_is_enough_nothing_is_counted() -> None:
    share = Share()
    assert (share.took("big", 5.0, T0), share.kept("big", T0), share.had("big")) == (0.0, 0.0, 0.0)
    assert repr(share) == "no shortage lately"


def test_who_has_had_its_share_leaves_nothing_and_who_had_all_leaves_the_reserve() -> None:
    share = short(big=6.0, even=2.0, small=0.0, none=0.0)
    kept = {tenant: share.kept(tenant, T0) for tenant in ("big", "even", "small", "new")}
    assert kept == {"big": pytest.approx(RESERVE * (0.75 - 0.25) / 0.75), "even": 0.0, "small": 0.0, "new": 0.0}
    assert repr(share) == "5 tenants in the last shortage, a fair share is 20%; big had most, 75%"
    alone = short(big=6.0)
    assert alone.kept("big", T0) == 0.0, "there is nobody to leave it for"
    assert (alone.kept("new", T0), alone.kept("big", T0)) == (0.0, RESERVE)


def test_use_is_forgotten_and_so_is_who_asks_no_more() -> None:
    share = short(old=4.0)
    for later in (1, 2, 3, 4):
        share.ran_short(T0 + 10 * later)
        share.took("new", 1.0, T0 + 10 * later)
    assert share.had("old") == 0.0
    share = short(old=1.0)
    share.took("new", 1.0, T0 + MEMORY_S)
    assert share.had("old") == pytest.approx(1 / (1 + 2.718281828459045))
    assert share.kept("new", T0 + MEMORY_S + 0.1) == 0.0, "the shortage is over"


def test_a_new_shortage_begins_with_a_clean_sheet() -> None:
    share = short(big=9.0, small=1.0)
    share.ran_short(T0 + MEMORY_S + 1)
    assert (share.kept("big", T0 + MEMORY_S + 1), share.had("big")) == (0.0, 0.0)


def test_what_turns_out_not_to_be_used_is_given_back_at_the_weight_it_was_counted_with() -> None:
    share = short(big=3.0, small=1.0)
    share.ran_short(T0 + 10)
    share.corrected("big", -2.0, T0)
    share.corrected("unknown", -2.0, T0)
    assert share.had("big") == 0.5
    share.corrected("big", -2.0, T0)
    assert share.had("big") == 0.0, "never less than nothing"


def test_weights_stay_within_a_float() -> None:
    share = Share()
    now = T0
    for n in range(20_000):
        now += 1.0
        share.ran_short(now)
        share.took("a" if n % 4 else "b", 1.0, now)
    assert share.had("a") == pytest.approx(0.75, abs=0.03)


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.floats(0, 10), st.floats(0, 2 * ACTIVE_S), st.booleans()), max_size=60
    )
)
def test_what_is_kept_is_within_the_reserve_and_nothing_for_those_below_their_share(
    uses: list[tuple[str, float, float, bool]],
) -> None:
    share, now = Share(), T0
    for tenant, amount, later, runs_short in uses:
        now += later
        if runs_short:
            share.ran_short(now)
        counted = share.took(tenant, amount, now)
        assert counted == (amount if share.short(now) else 0.0)
        kept = {one: share.kept(one, now) for one in "abcd"}
        parts = [share.had(one) for one in "abcd"]
        assert sum(parts) == pytest.approx(1.0) or sum(parts) == 0.0
        for one, part in zip("abcd", parts, strict=True):
            assert 0.0 <= kept[one] <= RESERVE
            assert kept[one] <= 1e-9 or part > 0.25 - 1e-9
        assert [x for _, x in sorted(zip(parts, kept.values(), strict=True))] == sorted(kept.values())


@given(st.floats(0, 10), st.floats(0, 1), st.integers(1, 600), st.floats(0, 60))
def test_what_is_kept_makes_a_wait_longer_and_never_endless(sent: float, kept: float, need: int, later: float) -> None:
    quota = Quota(rpm=600, tpm=60_000)
    for _ in range(int(sent * 10)):
        quota.take(Need.of(50, 50), T0)
    one = Need.of(need, need)
    waits = [quota.wait_s(one, T0 + later, kept=part) for part in (0.0, kept, 1.0)]
    assert waits == sorted(waits)
    assert waits[2] < NEVER
    assert quota.wait_s(one, T0 + later + waits[1] + 1e-6, kept=kept) == pytest.approx(0.0, abs=1e-5)


# --- a crowd before one deployment of 10 requests a second ----------------------------------------------------------

SMALL = [f"small {n}" for n in range(10)]


def rates(had: dict[str, Had], seconds: float = 60.0) -> dict[str, float]:
    return {name: one.served / seconds for name, one in had.items()}


def small(per_s: float, n: int = 10, **more: float) -> dict[str, Tenant]:
    return {name: Tenant(per_s, **more) for name in SMALL[:n]}  # type: ignore[arg-type]


@pytest.mark.parametrize(("rpm", "tpm", "seed"), [(600, None, 1), (600, None, 2), (None, 60_000, 3)])
def test_one_that_asks_ten_times_as_much_has_what_the_others_leave(rpm: int | None, tpm: int | None, seed: int) -> None:
    had = play({"big": Tenant(6), **small(0.6)}, rpm=rpm, tpm=tpm, seed=seed)
    got = rates(had)
    assert min(had[name].part for name in SMALL) >= 0.95
    assert 0.95 * 10 <= sum(got.values()) <= 1.02 * 10
    assert got["big"] >= 10 - sum(got[name] for name in SMALL) - 0.5
    assert max(had["big"].waits) < 3.0
    unfair = play({"big": Tenant(6), **small(0.6)}, rpm=rpm, tpm=tpm, seed=seed, blind=True)
    assert jain([had[name].part for name in SMALL]) > 0.999 > jain([unfair[name].part for name in SMALL])


def test_a_flood_of_a_hundred_times_as_much_is_not_starved_nor_noticed() -> None:
    had = play({"big": Tenant(50), **small(0.5)})
    got = rates(had)
    assert min(had[name].part for name in SMALL) >= 0.95
    assert sorted(wait for name in SMALL for wait in had[name].waits)[-3] == 0.0, "and at once"
    assert (got["big"] > 4.0, sum(got.values()) >= 9.5) == (True, True)
    unfair = play({"big": Tenant(50), **small(0.5)}, blind=True)
    assert max(unfair[name].part for name in SMALL) < 0.5


def test_those_that_want_more_than_there_is_get_as_much_as_each_other() -> None:
    got = rates(play({"big": Tenant(40), "middle": Tenant(12), **small(0.5, 3)}))
    assert got["big"] == pytest.approx(got["middle"], rel=0.05)
    assert jain([got["big"], got["middle"]]) > 0.999
    assert sum(got.values()) >= 9.5


def test_clumps_of_the_small_ones_find_what_was_left_for_them() -> None:
    had = play({"big": Tenant(40), **small(0.5, clump=5)})
    assert sum(had[name].served for name in SMALL) >= 0.95 * sum(had[name].asked for name in SMALL)
    assert sum(rates(had).values()) >= 9.5


def test_who_comes_late_is_served_within_moments() -> None:
    had = play({"big": Tenant(40), **small(2.0, 2, since=60.0)})
    assert min(had[name].part for name in SMALL[:2]) >= 0.95
    assert sum(rates(had).values()) >= 9.5


@pytest.mark.parametrize("per_s", [5.0, 40.0])
def test_who_is_alone_has_all_of_it_and_does_as_if_nobody_counted(per_s: float) -> None:
    crowd = {"big": Tenant(per_s)}
    assert play(crowd) == play(crowd, blind=True)


def test_without_a_shortage_there_is_no_difference() -> None:
    crowd = {"big": Tenant(4), **small(0.3)}
    assert play(crowd) == play(crowd, blind=True)
