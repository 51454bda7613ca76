"""Leases, as one replica sees them."""

from __future__ import annotations

from gateway.state.leases import Asked, Leases


def test_what_is_granted_is_held_until_it_ends_counted_from_before_it_was_asked_for() -> None:
    leases = Leases()
    leases.want("probe", 5.0)
    asked = leases.take(1.0)
    assert asked == Asked((), {"probe": 5.0})
    assert not leases.holds("probe", 1.0)
    leases.granted(1.0, asked, {"probe"})
    assert (leases.holds("probe", 5.9), leases.holds("probe", 6.0)) == (True, False)


def test_who_is_refused_asks_no_more_by_itself() -> None:
    leases = Leases()
    leases.want("probe", 5.0)
    leases.granted(1.0, leases.take(1.0), set())
    assert not leases.holds("probe", 1.0)
    assert leases.take(2.0) == Asked((), {})


def test_what_was_never_answered_is_asked_again() -> None:
    leases = Leases()
    leases.want("probe", 5.0)
    leases.let_go("other")
    assert leases.take(1.0) == leases.take(2.0) == Asked(("other",), {"probe": 5.0})


def test_what_is_held_is_asserted_and_lost_to_whom_the_store_names() -> None:
    leases = Leases()
    leases.want("probe", 5.0)
    leases.grant(1.0)
    asked = leases.take(3.0)
    assert asked == Asked((), {"probe": 3.0})
    leases.granted(3.0, asked, set())
    assert not leases.holds("probe", 3.0)


def test_what_is_let_go_while_it_is_being_granted_is_not_held_and_is_given_back_next() -> None:
    leases = Leases()
    leases.want("probe", 5.0)
    asked = leases.take(1.0)
    leases.let_go("probe")
    leases.granted(1.0, asked, {"probe"})
    assert not leases.holds("probe", 1.0)
    assert leases.take(2.0) == Asked(("probe",), {})


def test_what_is_let_go_and_wanted_again_is_given_back_first() -> None:
    leases = Leases()
    leases.want("probe", 5.0)
    leases.grant(1.0)
    leases.let_go("probe")
    leases.want("probe", 7.0)
    assert leases.take(2.0) == Asked(("probe",), {"probe": 7.0})
