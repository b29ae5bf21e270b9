"""Utility in permille, and the steps of a page: integers only, so that every machine ranks alike.

utility(level) = quality(level) × score / 1000. The score is the sum of the weights that apply to the page: pin,
bootstrap, active plan, recency, shared scope, cost of getting it again. Quality 100/450/750/1000 and the weights
marked (paper) in `model.profile` follow the ClawVM paper (arXiv:2604.10352) where it gives them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import attrs

from clawvm_es.model.pages import PAGE_TYPES, Extra, Holding, PageType, Pin, Scope
from clawvm_es.model.profile import Weights

QUALITY: Final = (0, 100, 450, 750, 1000)
"""Quality by rank: absent, pointer, structured, compressed, full."""
COST_TOKENS: Final = 8192
"""Tokens of a full page at which recompute cost saturates."""


@attrs.frozen
class Ages:
    """A falling step function of age (turns): `values[i]` permille up to `bounds[i]`, the last one beyond them."""

    bounds: tuple[int, ...]
    values: tuple[int, ...]

    def step(self, age: int) -> tuple[int, int | None]:
        """Permille at an age in turns, and the last age that has it; None if all later ones have it too."""
        place = bisect_left(self.bounds, age)
        return self.values[place], self.bounds[place] if place < len(self.bounds) else None

    def at(self, age: int) -> int:
        """Permille at an age in turns."""
        return self.step(age)[0]


RECENCY: Final = Ages((1, 4, 16, 64), (1000, 750, 500, 250, 0))
"""Recency by turns since last use."""


def recency(age: int) -> int:
    """Permille for a page that was last used `age` turns ago."""
    return RECENCY.at(age)


def recompute_cost(full_tokens: int) -> int:
    """Cost of getting the page again, in permille, estimated by its size in tokens."""
    return min(1000, full_tokens * 1000 // COST_TOKENS)


class Score(NamedTuple):
    """The parts of a page's score that do not change with time, each in permille."""

    pin: int
    boot: int
    plan: int
    scope: int
    cost: int
    holds: int
    same: int = 0  # what every page scores where the policy scores none


UNSCORED: Final = Score(0, 0, 0, 0, 0, 0, 1000)
"""The score of each page under a policy without scoring."""


def static_score(
    weights: Weights,
    page_type: PageType,
    pin: Pin,
    scope: Scope,
    active: bool,
    full_tokens: int,
    of_record: bool,
    by_model: bool,
    told_elsewhere: bool = False,
) -> Score:
    """The weights that apply to a page, without recency.

    `of_record`: the page is about one resource. `told_elsewhere`: other pages hold the same text; for the result of a
    write, the page of the model's own words does.
    """
    row = PAGE_TYPES[page_type]
    return Score(
        weights.pin_hard if pin is Pin.HARD else weights.pin_soft if pin is Pin.SOFT else 0,
        weights.boot if row.extra is Extra.BOOT else 0,
        weights.plan if row.extra is Extra.PLAN and active else 0,
        weights.scope if scope is Scope.PROJECT else 0,
        weights.cost * recompute_cost(full_tokens) // 1000,
        weights.holds_said if told_elsewhere else _holds(weights, row.holding, of_record, by_model),
    )


def _holds(weights: Weights, holding: Holding, of_record: bool, by_model: bool) -> int:
    """The weight of the kind of content that a page holds."""
    if holding is Holding.RESULT:
        return weights.holds_record if of_record else weights.holds_result
    if holding is Holding.SPEECH:
        return weights.holds_said if by_model else weights.holds_told
    return weights.holds_stated


Hull: TypeAlias = tuple[tuple[int, int, int], ...]
"""(rank, Δquality, Δtokens) per step."""


def hull(tokens: Sequence[int], base: int) -> Hull:
    """The steps of a page's upper convex hull in (tokens, quality) from rank `base` up.

    `tokens[rank]` is the size of a kept level, -1 where none is kept, 0 for absent. Returns (rank, Δquality,
    Δtokens) per step, of strictly falling quality per token. Utility is quality times one factor per page, so
    the hull in quality is the hull in utility (Andrew's monotone chain, 1979).
    """
    steps: list[tuple[int, int, int]] = []
    last, last_size = QUALITY[base], max(tokens[base], 0)
    for rank in range(base + 1, 5):
        size = tokens[rank]
        if size <= last_size:
            continue
        gain, cost = QUALITY[rank] - last, size - last_size
        while steps and gain * steps[-1][2] >= steps[-1][1] * cost:  # not flatter than the step before: one step
            _, more, tokens_more = steps.pop()
            gain, cost = gain + more, cost + tokens_more
        steps.append((rank, gain, cost))
        last, last_size = QUALITY[rank], size
    return tuple(steps)
