"""Confidence in a difference between two policies: a bootstrap over sessions, in integers, seeded.

The percentile bootstrap (Efron 1979): as many sessions as there are, are drawn with replacement, and their
differences summed. The interval lies between the 2.5 and 97.5 percentiles of those sums. The same draws are used
for every difference over the same number of sessions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Final

import attrs

RESAMPLES: Final = 2_000
"""Number of times that sessions are drawn again."""
SEED: Final = 1
TAIL_PERMILLE: Final = 25
"""Share beyond each end of an interval."""


@attrs.frozen
class Interval:
    """A pooled difference and its 95 % interval, in the unit of the differences, both ends included."""

    difference: int
    low: int
    high: int

    @property
    def excludes_zero(self) -> bool:
        """Tell whether a difference can be claimed."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """`-12 [-20, -3]`."""
        return f"{self.difference:+d} [{self.low:+d}, {self.high:+d}]"


def interval(differences: Sequence[int], resamples: int = RESAMPLES, seed: int = SEED) -> Interval:
    """The sum of one difference per session, and its interval; without sessions everything is 0."""
    if not differences:
        return Interval(0, 0, 0)
    sums = sorted(sum(map(differences.__getitem__, drawn)) for drawn in _draws(len(differences), resamples, seed))
    beyond = max(resamples * TAIL_PERMILLE // 1000 - 1, 0)
    return Interval(sum(differences), sums[beyond], sums[-1 - beyond])


@attrs.frozen
class Share:
    """A pooled ratio and its 95 % interval, all in permille, both ends included."""

    permille: int
    low: int
    high: int

    def __str__(self) -> str:
        """`88.4 % [80.2, 93.1]`."""
        return f"{percent(self.permille)} [{tenths(self.low)}, {tenths(self.high)}]"


def share(parts: Sequence[int], wholes: Sequence[int], resamples: int = RESAMPLES, seed: int = SEED) -> Share | None:
    """The ratio of two sums over sessions, and its interval; None if the second is 0 in a resample."""
    if not sum(wholes):
        return None
    found = []
    for drawn in _draws(len(wholes), resamples, seed):
        whole = sum(map(wholes.__getitem__, drawn))
        if not whole:
            return None
        found.append(sum(map(parts.__getitem__, drawn)) * 1000 // whole)
    found.sort()
    beyond = max(resamples * TAIL_PERMILLE // 1000 - 1, 0)
    return Share(sum(parts) * 1000 // sum(wholes), found[beyond], found[-1 - beyond])


def tenths(permille: int) -> str:
    """A share as a figure of percent: `88.4`."""
    return f"{permille // 10}.{permille % 10}"


def percent(permille: int | None) -> str:
    """A share for people: `88.4 %`; a dash for None."""
    return "–" if permille is None else f"{tenths(permille)} %"


@cache
def _draws(sessions: int, resamples: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """Places of the sessions drawn, resample by resample."""
    source = random.Random(seed)
    bits = sessions.bit_length()

    def below() -> int:
        while (number := source.getrandbits(bits)) >= sessions:
            pass
        return number

    return tuple(tuple([below() for _ in range(sessions)]) for _ in range(resamples))


def leave_one_out(differences: Sequence[int]) -> tuple[int, int]:
    """The smallest and largest pooled difference with any one session left out; (0, 0) without sessions."""
    total = sum(differences)
    left = [total - difference for difference in differences]
    return (min(left), max(left)) if left else (0, 0)
