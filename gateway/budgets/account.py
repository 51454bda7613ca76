"""One budget in one period, as one replica sees it. Read next: book.py, which keeps all of them.

A replica has a row in each account, written by nobody else, of sums since the period began: what it may spend (its
``allowance``, of which it gives back what it does not need), what it has ``settled``, and what was ``lost``: reserved
by a process that ended before it was settled. What the fleet has committed is the larger of allowance and spending,
over all rows; it stays within the limit whenever an allowance is raised. Since rows are told as they are and numbered
by turn, telling them twice or late changes nothing, and a store that has lost its last second knows all again after the
next turn.
"""

from __future__ import annotations

from math import inf
from typing import Final

from msgspec import Struct

from gateway.budgets.period import Span
from gateway.types import Period

__all__ = ["Account", "Row", "Told"]

#: How much is leased ahead, in seconds of reservations as of lately, and in the largest of them lately.
AHEAD_S: Final = 2.0
AHEAD: Final = 16
#: The share of a budget that one replica leases ahead at most, unless one reservation takes more.
MOST: Final = 1 / 100
#: The weight of the last turn in what is reserved in a second as of lately.
SMOOTH: Final = 0.3
#: What a turn is taken to have lasted at least, in seconds: some follow each other at once.
SHORTEST_S: Final = 0.1
#: What is left of the largest reservation with each turn.
FORGET: Final = 0.99


class Row(Struct, frozen=True):
    """What one replica says of an account in its turn ``n``: sums in micro-dollars since the period began."""

    n: int
    allowance: int
    settled: int
    lost: int = 0

    @property
    def committed(self) -> int:
        """What the fleet has to reckon with."""
        return max(self.allowance, self.settled + self.lost)

    def render(self) -> bytes:
        """As a store keeps it: ``n allowance settled lost``."""
        return b"%d %d %d %d" % (self.n, self.allowance, self.settled, self.lost)

    @staticmethod
    def parse(data: bytes) -> Row:
        """A row as it is kept. Raises ValueError or TypeError for anything else."""
        return Row(*map(int, data.split()))


class Told(Struct, frozen=True):
    """The answer for one account: the allowance, what others have committed and settled, and their rows as stored."""

    allowance: int
    others: int
    others_settled: int
    rows: tuple[tuple[bytes, bytes], ...] = ()


class Account(Struct, eq=False):
    """``held`` is reserved now; ``others`` is what other replicas had committed when the fleet was last heard.

    ``heard_at`` is when that was, in monotonic seconds; ``others_settled`` what of it was settled. ``needed`` is the
    least that somebody waits for, so that what no budget holds keeps nobody from what it does hold; ``wanted`` is what
    all wait for. ``exhausted``: somebody was refused. ``told`` is what this replica had committed and settled when it
    last told its row, at ``told_at``.
    """

    name: str
    scope: str
    limit: int
    span: Span
    per: Period = "total"
    allowance: int = 0
    settled: int = 0
    lost: int = 0
    held: int = 0
    others: int = 0
    others_settled: int = 0
    heard_at: float = -inf
    told: tuple[int, int] = (0, 0)
    told_at: float = -inf
    used_at: float = -inf
    needed: int = 0
    wanted: int = 0
    changed: bool = True
    alert_at: tuple[float, ...] = ()
    exhausted: bool = False
    rows: tuple[tuple[bytes, bytes], ...] = ()
    _reserved: int = 0
    _largest: int = 0
    _pace: float = 0.0
    _sums: bytes = b""

    def __repr__(self) -> str:
        own = f"{self.settled} settled and {self.held} held here of {self.allowance}"
        return f"{self.name}: {self.used} of {self.limit} micro-dollars committed, {own}"

    @property
    def taken(self) -> int:
        """What this replica has spent, lost and reserved."""
        return self.settled + self.lost + self.held

    @property
    def free(self) -> int:
        """What may be reserved without asking anybody."""
        return self.allowance - self.taken

    @property
    def left(self) -> int:
        """What may be reserved at most, as far as is known: the free part of the lease, and what nobody has."""
        return self.limit - self.others - self.taken

    @property
    def spent(self) -> int:
        """What the fleet has settled, and lost here."""
        return self.others_settled + self.settled + self.lost

    @property
    def used(self) -> int:
        """What the fleet has committed."""
        return self.others + max(self.allowance, self.taken)

    def hold(self, micros: int) -> None:
        """Reserve so much."""
        self.held += micros
        self._reserved += micros
        self._largest = max(self._largest, micros)
        self.changed = True

    def settle(self, held: int, micros: int) -> None:
        """A reservation has come to this."""
        self.held -= held
        self.settled += micros
        self.changed = True

    def need(self, micros: int) -> None:
        """Somebody waits until so much is free."""
        self.needed = min(self.needed, micros) if self.needed else micros
        self.wanted += micros
        self._largest = max(self._largest, micros)
        self.changed = True

    @property
    def ahead(self) -> int:
        """What should be free, for what is to come."""
        most = max(self._largest, int(self.limit * MOST))
        return min(max(AHEAD * self._largest, int(self._pace * AHEAD_S)), most)

    def turn(self, passed_s: float, *, short: bool) -> tuple[int, int]:
        """What this replica needs and wants its allowance to be, after ``passed_s``; gives back what is too much.

        ``short``: another replica was refused, so that what is only leased ahead goes back.
        """
        self._pace += SMOOTH * (self._reserved / max(passed_s, SHORTEST_S) - self._pace)
        self._reserved = 0
        self._largest = int(self._largest * FORGET)
        ahead = 0 if short else self.ahead
        if self.free > (0 if short else 2 * ahead):
            self.allowance = self.taken + ahead
        need = self.taken + self.needed if self.needed else self.allowance
        want = max(need, self.taken + ahead + self.wanted) if self.free < ahead or self.needed else need
        self.needed = self.wanted = 0
        self.changed = False
        return max(need, self.settled + self.lost), want

    def heard(self, row: Row, told: Told, now: float) -> None:
        """The fleet's answer to this replica's row."""
        self.allowance, self.others, self.others_settled = told.allowance, told.others, told.others_settled
        self.told = (max(told.allowance, row.settled + row.lost), row.settled)
        self.rows, self.heard_at, self.told_at, self._sums = told.rows, now, now, b""

    def seen(self, sums: bytes, now: float) -> None:
        """``committed settled`` of all replicas at a look, this one as it last told."""
        self.heard_at = now
        if sums == self._sums:
            return
        committed, settled = map(int, sums.split())
        self.others, self.others_settled = max(0, committed - self.told[0]), max(0, settled - self.told[1])
        self._sums = sums
