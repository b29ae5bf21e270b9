"""The rules whose names end in `reuse`: pages ranked by likely need, for the room that they take.

An estimate of hit density (Beckmann, Chen and Cidon, LHD, NSDI 2018) from what was measured to foretell a need in
recorded coding sessions; integers only:

    priority = score × (1000 + reuse × min(uses, 3)) / 1000 × nearness(age) / ⁴√tokens

`reuse` looks at the next turn, the others at all turns that a selection lasts; `exchange_reuse` ranks as
`epoch_reuse` does, and `core.epochs` tells how they differ; `copy_reuse` is `exchange_reuse` that knows copies:

| rule | nearness | counts as what the model said |
|---|---|---|
| `reuse` | age^-1.5 | what the model said |
| `epoch_reuse` | 21 / (20 + age) | and the result of a call that writes what it is about: the model said that |
| `copy_reuse` | the same | and a result that stood whole in an earlier page: that page tells it, and was just used |

LAW-REUSE-1: more score or uses never rank a page lower, more tokens never higher.
LAW-REUSE-2: nearness falls with age and is never 0, so that an old page keeps its place in the order.
LAW-REUSE-3: a copy never ranks higher than under `exchange_reuse`, and what is none ranks as there.

Exponents, and the weights of `core.profiles.REUSE_WEIGHTS`, were chosen on the part of the recorded sessions that
the evaluation's split tunes on; which terms to look at was found with all of them in sight. What `epoch_reuse` does
otherwise was read off 20 sessions on six checkouts, at 205 turns of them. Of 6,491 results of reads 358 were needed
in the 60 turns that followed: 19 % of those one turn old, 11 % at 8 to 15 turns, 7 % at 32 to 63, 2 % at 128 to
255, on the checkout of most sessions as on the others. Of 6,118 results of writes four were needed. `copy_reuse` has
no figure of its own; `evaluation.real_prose` tells how it was found.

| term | says |
|---|---|
| score | what it holds (a file or record, another result, what was said or stated), and pins, plans, scopes |
| uses | needs whose text it held: what was used is used again |
| age | turns since its last use, or the last write of what it is the newest page of |
| tokens | a larger page is needed more often, but less often per token: its size counts by the fourth root |
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from types import MappingProxyType
from typing import Final

from clawvm_es.core.utility import Ages
from clawvm_es.model.profile import Key

USES_MAX: Final = 3
"""Uses that count; more say no more."""
_BOUNDS: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
NEAR: Final = 10_000
"""Nearness of a page that was used in the turn before."""
_AGES: Final = (*_BOUNDS, 256)
_HALVED: Final = 20
"""Turns after which a page is half as likely to be needed in an epoch."""
NEARNESS: Final[Mapping[Key, Ages]] = MappingProxyType(
    {
        Key.REUSE: Ages(_BOUNDS, tuple(isqrt(NEAR**2 // age**3) for age in _AGES)),
        Key.EPOCH_REUSE: Ages(_BOUNDS, tuple(NEAR * (_HALVED + 1) // (_HALVED + age) for age in _AGES)),
    }
)
"""Nearness in ten-thousandths, in steps, so that a page's rank moves at few turns."""
_SCALE: Final = 1 << 10


def worth(score: int, reuse: int, uses: int, tokens: int) -> int:
    """The part of a page's priority that does not move with time; it is `score` × 16 for a page of 256 tokens."""
    root = isqrt(isqrt(max(tokens, 1) << 16))  # 16 × the fourth root
    return score * (1000 + reuse * min(uses, USES_MAX)) * _SCALE // (1000 * root)
