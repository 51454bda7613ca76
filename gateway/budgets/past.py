"""What earlier processes have reserved and settled, read from a ledger. Read next: ../treasury.py, which writes it.

Each line is a list that begins with a word: ``replica`` (its id, the machine's boot) begins a process; ``account``
(number, name, until when it is kept) names one; ``hold`` (id, micro-dollars, numbers of accounts) and ``settle`` (id,
micro-dollars) are what happened; ``row`` (replica, account, settled, lost, until) sums up what stood here before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.budgets.account import Row

__all__ = ["FINAL", "Past"]

#: The turn of a row that its replica will never tell again.
FINAL = 2**52


class Past:
    """The rows of processes that have ended, by replica and account. What was reserved and never settled is lost.

    ``boots`` are the boots of the machine in which each replica ran: after a power cut the file may lack its end.
    """

    def __init__(self) -> None:
        self.boots: dict[str, str] = {}
        self._replica = ""
        self._names: dict[int, str] = {}
        self._until: dict[str, float] = {}
        self._sums: dict[tuple[str, str], list[int]] = {}
        self._open: dict[str, tuple[int, list[str]]] = {}

    def __repr__(self) -> str:
        return f"{len(self._sums)} rows of {len(self.boots)} processes that have ended"

    def read(self, value: Sequence[Any]) -> None:
        """One line. Raises what a malformed one makes: ValueError, TypeError, KeyError or IndexError."""
        what = value[0]
        if what == "hold":
            self._open[value[1]] = (value[2], [self._names[number] for number in value[3:]])
        elif what == "settle":
            self._settle(value[1], value[2])
        elif what == "account":
            self._names[value[1]] = value[2]
            self._until[value[2]] = value[3]
        elif what == "row":
            self._sums[value[1], value[2]] = [value[3], value[4]]
            self._until[value[2]] = value[5]
        elif what == "replica":
            self.end()
            self._replica = value[1]
            self.boots[value[1]] = value[2]

    def end(self) -> None:
        """The process has ended: what it had reserved is lost."""
        for micros, names in self._open.values():
            for name in names:
                self._row(name)[1] += micros
        self._open = {}
        self._names = {}

    def rows(self, wall: float) -> Mapping[str, Mapping[str, Row]]:
        """The rows of accounts that are still kept, by replica and account."""
        by_replica: dict[str, dict[str, Row]] = {}
        for (replica, name), (settled, lost) in self._sums.items():
            if self._until.get(name, 0) > wall:
                by_replica.setdefault(replica, {})[name] = Row(FINAL, settled + lost, settled, lost)
        return by_replica

    def until(self, account: str) -> float:
        """Until when an account is kept (Unix time)."""
        return self._until.get(account, 0.0)

    def whole(self, wall: float) -> Iterator[list[Any]]:
        """Lines that say the same, without what is kept no longer."""
        for replica, rows in self.rows(wall).items():
            yield ["replica", replica, self.boots.get(replica, "")]
            for name, row in rows.items():
                yield ["row", replica, name, row.settled, row.lost, self._until[name]]

    def _settle(self, id: str, micros: int) -> None:
        if (hold := self._open.pop(id, None)) is not None:
            for name in hold[1]:
                self._row(name)[0] += micros

    def _row(self, name: str) -> list[int]:
        return self._sums.setdefault((self._replica, name), [0, 0])
