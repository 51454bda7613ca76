"""Chance that can be replayed: numbers drawn from a decision's seed. Read next: policy/strategies/weighted.py."""

from __future__ import annotations

__all__ = ["splitmix64", "uniform"]

_MASK = 0xFFFF_FFFF_FFFF_FFFF


def splitmix64(x: int) -> int:
    """The next 64-bit number after state ``x`` (Steele, Lea, Flood 2014: SplitMix64)."""
    x = (x + 0x9E37_79B9_7F4A_7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
    return x ^ (x >> 31)


def uniform(seed: int, salt: int) -> float:
    """A number in (0, 1), the same for the same seed and salt on every machine."""
    return ((splitmix64(seed ^ splitmix64(salt)) >> 11) + 0.5) / 9007199254740992.0
