"""The rules whose names end in `reuse`: they rank pages by likely need per token.

An estimate of hit density (Beckmann, Chen and Cidon, LHD, NSDI 2018), from the terms that predicted needs in recorded
coding sessions. Integers only:

    priority = score × (1000 + reuse × min(uses, 3)) / 1000 × nearness(age) / ⁴√tokens

`reuse` estimates for the next turn, the others for all turns of an epoch. `exchange_reuse` ranks as `epoch_reuse`
does and differs in its room (see `core.epochs`). `copy_reuse` is `exchange_reuse` that also recognises copies:
results that stood whole in an earlier page.

| rule | nearness | pages scored as the model's own words |
|---|---|---|
| `reuse` | age^-1.5 | the model's own words |
| `epoch_reuse` | 21 / (20 + age) | also results of writes, whose text the model wrote itself |
| `copy_reuse` | 21 / (20 + age) | also copies, since the earlier page holds the text and was just used |

LAW-REUSE-1: a higher score or more uses never rank a page lower; more tokens never rank it higher.
LAW-REUSE-2: nearness falls with age and is never 0, so that an old page keeps its place in the order.
LAW-REUSE-3: `copy_reuse` never ranks a copy higher than `exchange_reuse` does, and ranks every other page the same.

The exponents and `core.profiles.REUSE_WEIGHTS` were chosen on the tuning part of the evaluation's split. The terms
themselves were chosen with all recorded sessions in sight. The differences of `epoch_reuse` come from 205 turns of
20 sessions on six checkouts. Of 6,491 results of reads, 358 were needed in the 60 turns that followed: 19 % of
those one turn old, 11 % at 8 to 15 turns, 7 % at 32 to 63, 2 % at 128 to 255, and alike on every checkout. Of
6,118 results of writes, four were needed. `copy_reuse` has no figure of its own; `evaluation.real_prose` says how
it was found.

| term | meaning |
|---|---|
| score | what it holds (a file or record, another result, what was said or stated), and pins, plans, scopes |
| uses | needs whose text the page held: used pages are used again |
| age | turns since the page's last use, or since the last write of the resource whose newest page it is |
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
    """The part of a page's priority that does not change with time; `score` × 16 for a page of 256 tokens."""
    root = isqrt(isqrt(max(tokens, 1) << 16))  # 16 × the fourth root
    return score * (1000 + reuse * min(uses, USES_MAX)) * _SCALE // (1000 * root)
