"""One circuit breaker: whether a deployment may be tried, from how its last calls ended. Read next: load.py.

A state machine without a clock. Its owner tells it when tries start and how they end, carries what it decides to the
rest of the fleet, and tells it what the fleet has decided. What is borrowed: results of an earlier state are ignored
(sony/gobreaker's generations); a ring of exact counts, a single probe, and a 429 that is neither a failure nor a
recovery (Linkerd's unified breaker); diversion in proportion (Google's SRE book, "Handling Overload").
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from gateway.reliability.window import Window

__all__ = ["Breaker", "BreakerRules", "State", "Verdict"]

State = Literal["closed", "open", "due", "half_open"]
Verdict = Literal["ok", "failed", "soft", "none"]

#: Calls that succeeded are weighed this much against all calls before any are diverted. The SRE book's 2 diverts
#: nothing below half of the calls failing, which is where the breaker opens anyway.
ACCEPTS: Final = 1.1


class BreakerRules(Struct, frozen=True):
    """When a breaker opens, for how long, and how it closes again.

    It opens when, over ``window_s`` seconds kept in ``buckets`` parts, at least ``min_failures`` calls failed and they
    are at least ``ratio`` of the calls that were made, those of which nothing is known yet among them: failures come
    quicker than successes, so that of a deployment that fails a third of its calls the first to be known after a start
    are the failures. Or when ``in_a_row`` failed without a success between, since
    a window full of successes hides an outage for half its length. Twelve in a row befall a deployment that fails a
    third of its calls once in some million calls, and one that fails a twentieth never.

    It stays open for exactly ``open_s``: one probe serves the whole fleet, so no herd can form that jitter would have
    to spread, and what is healthy again must be back by then. A probe that has not been heard of for ``probe_s`` is
    lost; less than the patience for a first token makes a slow model's probes useless. Diversion needs ``divert_after``
    known outcomes and never exceeds ``max_divert``, a share of the traffic.
    """

    window_s: float = 30.0
    buckets: int = 10
    min_failures: int = 3
    ratio: float = 0.5
    in_a_row: int = 12
    open_s: float = 30.0
    probe_s: float = 60.0
    divert_after: int = 10
    max_divert: float = 0.8


class Breaker:
    """The breaker of one model at one provider account. Its window's ``plus`` are successes, its ``minus`` failures.

    closed → open (it failed too often, or the fleet says so) → due (time is up, but it stays shut until this process
    holds the fleet's lease: ``allow_probe``) → half_open (one permit) → closed, or open again. ``opened`` counts the
    ways into open. What changes the state returns the new one, else None, so that the owner need not compare.
    """

    __slots__ = (
        "_asked_at",
        "_because",
        "_first",
        "_heard",
        "_lapses_at",
        "_mode",
        "_out",
        "_row",
        "_serial",
        "_unheard",
        "_until",
        "_window",
        "half_open_since",
        "opened",
        "rules",
    )

    def __init__(self, rules: BreakerRules, now: float) -> None:
        self.rules = rules
        self.opened = 0
        #: When it became half-open, in monotonic seconds: an idle one may be probed with something cheap. Else None.
        self.half_open_since: float | None = None
        self._mode: State = "closed"  # never "due", which is a matter of the time
        self._serial = 0  # the last ticket that was given out
        self._first = 1  # the first one whose result still means anything
        self._until = self._lapses_at = 0.0
        self._out = False  # whether the permit of a half-open one is out
        self._row = 0  # failures since the last success
        self._because = ""
        self._asked_at = now
        self._window = Window(rules.window_s, rules.buckets, now)
        self._heard: dict[int, int] = {}  # calls that go on after their first content: ticket → slot of that
        self._unheard: set[int] = set()  # calls of a closed one of which nothing has been heard

    def __repr__(self) -> str:
        return self.sentence(self._asked_at)

    def sentence(self, now: float) -> str:
        """The state for an operator. ``repr`` says it as of the last time that anything was asked."""
        state = self.state(now)
        if state == "closed":
            self._window.roll(now)
            return f"closed with {self._counted()}"
        if state == "open":
            return f"open for {self._until - now:.1f} s more after {self._because}"
        if state == "due":
            return f"due for a probe after {self._because}"
        return f"half-open after {self._because}, " + ("its probe is out" if self._out else "waiting for a probe")

    def state(self, now: float) -> State:
        self._asked_at = now
        if self._mode == "open" and now >= self._until:
            return "due"
        if self._mode == "half_open" and now >= self._lapses_at:
            return "due"
        return self._mode

    def permits(self, now: float) -> bool:
        """Whether ``begin`` would give a ticket."""
        return self._mode == "closed" or (self.state(now) == "half_open" and not self._out)

    @property
    def until_at(self) -> float:
        """When it may be asked next, in monotonic seconds: in the past when it may be asked now."""
        if self._mode == "half_open":
            return self._lapses_at if self._out else self.half_open_since or 0.0
        return self._until

    def begin(self, now: float) -> int | None:
        """A try starts: the ticket to end it with; None when it may not start."""
        if self._mode != "closed":
            if not self.permits(now):
                return None
            self._out = True
            self._lapses_at = now + self.rules.probe_s
        self._serial = ticket = self._serial + 1
        if self._mode == "closed":
            self._unheard.add(ticket)
        return ticket

    def passed(self, ticket: int, now: float) -> State | None:
        """The first content has come. It closes the breaker if this is the probe: the rest may take minutes.

        In a closed one the call counts as a success from now on, unless it fails after all. Otherwise the failures,
        which are quick, would be known long before the successes, and a few of them would open it after every start.
        """
        if ticket < self._first or self._mode == "open":
            return None
        if self._mode == "half_open":
            return self._close()
        if ticket not in self._heard:
            self._unheard.discard(ticket)
            self._heard[ticket] = slot = self._window.roll(now)
            self._window.add(slot)
            self._row = 0
        return None

    def ended(self, ticket: int, verdict: Verdict, now: float, retry_after_s: float | None = None) -> State | None:
        """The try with this ticket has ended. Every ticket is ended once.

        ``failed`` is a hard failure; ``soft`` a 429, neither failure nor success, whose ``retry_after_s`` a probe
        heeds; ``none`` says nothing about the deployment: the client left, or the mistake was the client's.
        """
        if ticket < self._first:
            return None
        if self._mode == "half_open":
            return self._probed(verdict, now, retry_after_s)
        heard = self._heard.pop(ticket, None)
        self._unheard.discard(ticket)
        if verdict == "none" or (verdict == "ok" and heard is not None):
            return None
        window = self._window
        slot = window.roll(now)
        if verdict == "ok":
            window.add(slot)
            self._row = 0
            return None
        if heard is not None:
            window.take_back(heard)
        if verdict == "soft":
            return None
        window.subtract(slot)
        self._row += 1
        return self._judge(now)

    def shut(self, until_at: float, now: float) -> State | None:
        """The fleet says that it is open until then. What is past changes nothing, nor does an earlier end.

        While this process's own probe is out it changes nothing either: the probe was leased after the fleet's word
        had run out, so that its result is the newer news, and to discard it would cost the next probe's time.
        """
        if until_at <= now:
            return None
        if self._mode == "half_open" and self._out and now < self._lapses_at:
            return None
        if self._mode == "open" and now < self._until:
            self._until = max(self._until, until_at)
            return None
        return self._open(until_at, now, self._because or "failures elsewhere")

    def mend(self, now: float) -> State | None:
        """The fleet says that a probe has passed elsewhere: closed, with an empty window; a closed one stays so."""
        if self._mode == "closed":
            return None
        self._asked_at = now
        self._first = self._serial + 1
        return self._close()

    def allow_probe(self, now: float) -> State | None:
        """This process holds the fleet's lease for the probe. Nothing happens when none is due (any more)."""
        if self.state(now) != "due":
            return None
        self._mode = "half_open"
        self._first = self._serial + 1
        self._out = False
        self.half_open_since = now
        self._lapses_at = now + self.rules.probe_s
        return "half_open"

    def diversion(self, now: float) -> float:
        """The share of the traffic, 0 to ``max_divert``, that had better go elsewhere while this is closed.

        In proportion to the failures below the point where it opens. Outcomes count when they are known: a call that
        lasts minutes is no failure meanwhile, as it would be if requests were counted when they start.
        """
        window = self._window
        window.roll(now)
        calls = window.minus + window.plus
        if self._mode != "closed" or calls < self.rules.divert_after or not window.minus:
            return 0.0
        return min(self.rules.max_divert, max(0.0, (calls - ACCEPTS * window.plus) / (calls + 1)))

    def _judge(self, now: float) -> State | None:
        rules, failures = self.rules, self._window.minus
        if self._row >= rules.in_a_row:
            return self._open(now + rules.open_s, now, f"{self._row} failures in a row")
        calls = failures + self._window.plus + len(self._unheard)
        if failures < rules.min_failures or failures < rules.ratio * calls:
            return None
        return self._open(now + rules.open_s, now, self._counted())

    def _probed(self, verdict: Verdict, now: float, retry_after_s: float | None) -> State | None:
        rules = self.rules
        if verdict == "ok":
            return self._close()
        if verdict == "none":
            self._out = False
            self._first = self._serial + 1
            return None
        if verdict == "failed":
            return self._open(now + rules.open_s, now, "a failed probe")
        wait = rules.open_s if retry_after_s is None else min(rules.open_s, max(1.0, retry_after_s))
        return self._open(now + wait, now, "a rate-limited probe")

    def _open(self, until: float, now: float, because: str) -> State:
        self._mode = "open"
        self._asked_at = now
        self._until = until
        self._because = because
        self._first = self._serial + 1
        self._out = False
        self.half_open_since = None
        self.opened += 1
        self._heard.clear()
        self._unheard.clear()
        return "open"

    def _close(self) -> State:
        """A probe's ticket stays good: what still befalls its answer counts in the new window."""
        self._mode = "closed"
        self._until = 0.0
        self._because = ""
        self._out = False
        self.half_open_since = None
        self._row = 0
        self._window.clear()
        return "closed"

    def _counted(self) -> str:
        failures, calls = self._window.minus, self._window.minus + self._window.plus
        return f"{failures} failure{'' if failures == 1 else 's'} in {calls} call{'' if calls == 1 else 's'}"
