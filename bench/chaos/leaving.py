"""Clients that leave by the thousand (c13). Read next: ../aborts.py, which does it."""

from __future__ import annotations

from pathlib import Path

from bench.aborts import ABORTS, LIMIT_S, RATE, promises, spread, storm
from bench.chaos.figures import Figure, Finding
from bench.times import ms, quantile

__all__ = ["leaving"]


async def leaving(directory: Path, scale: float) -> Finding:
    """Two thousand clients, two hundred a second, leave in four phases of a request."""
    aborts = max(40, int(ABORTS * scale))
    figures = await storm(directory, aborts, RATE)
    closed = [time for times in figures.closed_s.values() for time in times]
    kept = promises(figures, aborts)
    told = f"{figures.ids}, {figures.outcomes['cancelled']}"
    measured = {
        "all closed": ("upstream connections left open", f"{figures.left_open}", "0"),
        "nothing in flight": ("requests in flight at the end", f"{figures.inflight:g}", "0"),
        "no file left open": ("files open, more than before", f"{figures.more_files}", "≤ 0"),
        "one record for each, cancelled": ("records, cancelled ones", told, f"{aborts}, {aborts}"),
        "no traceback": ("lines of tracebacks", f"{len(figures.trouble.splitlines())}", "0"),
    }
    p99 = quantile(closed, 0.99)
    first = Figure("upstream closed after the client left, p99", ms(p99), f"≤ {ms(LIMIT_S)}", p99 <= LIMIT_S)
    rest = [Figure(what, said, limit, kept[promise]) for promise, (what, said, limit) in measured.items()]
    notes = tuple(f"{phase}: {len(times)} closed after {spread(times)}" for phase, times in figures.closed_s.items())
    return Finding((first, *rest), notes)
