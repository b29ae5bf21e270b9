"""The rule `reuse`: pages ranked by how likely they are needed again, for the room that they take.

An estimate of hit density (Beckmann, Chen and Cidon, LHD, NSDI 2018) from what was measured to foretell a need in
recorded coding sessions; integers only:

    priority = score × (1000 + reuse × min(uses, 3)) / 1000 × nearness(age) / ⁴√tokens

| term | says |
|---|---|
| score | what the page holds (a file, another result, something said or stated for good), and pins, plans, scopes |
| uses | needs whose text it held: what was used is used again |
| age | turns since its last use, or the last edit of the file whose newest page it is; needs fall off as 1/age |
| tokens | a larger page is needed more often, but less often per token: its size counts by the fourth root |
"""

from __future__ import annotations

from math import isqrt
from typing import Final

from clawvm_es.core.utility import Ages

USES_MAX: Final = 3
"""Uses that count; more say no more."""
_BOUNDS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
NEARNESS: Final = Ages(_BOUNDS, tuple(1000 // age for age in (*_BOUNDS, 256)))
"""1/age in permille, in steps, so that a page's rank moves at few turns."""
_SCALE: Final = 1 << 10


def worth(score: int, reuse: int, uses: int, tokens: int) -> int:
    """The part of a page's priority that does not move with time; it is `score` × 16 for a page of 256 tokens."""
    root = isqrt(isqrt(max(tokens, 1) << 16))  # 16 × the fourth root
    return score * (1000 + reuse * min(uses, USES_MAX)) * _SCALE // (1000 * root)
