"""The budget of a prompt, when the caller names none: what fits the model's window by the provider's own counts.

A provider counts more tokens in a text than we do: its tokenizer is another. The ratio of the two, in permille, is
learned from the answers of a session, as a running median; until one is known it is `RATIO_DEFAULT` (quartiles over
recorded sessions: 1,130, 1,220, 1,350). System prompt and tool schemas that a recording does not hold are told apart:
they are what the provider counted of the first prompt beyond ours, and no part of the ratio.

LAW-BUDGET-1: a prompt of the default budget, times the ratio, and the longest answer fit the window.
"""

from __future__ import annotations

from bisect import insort
from typing import Final

import attrs

WINDOW_DEFAULT: Final = 200_000
"""Tokens of a model's window, by the provider's count."""
OUTPUT_DEFAULT: Final = 32_000
"""Tokens of the longest answer that is asked for."""
RATIO_DEFAULT: Final = 1_300
"""Provider's count over ours, in permille, where no answer told it."""
RATIO_LEAST: Final = 1_000
"""The least ratio that is gone by: where we count more than the provider does, some of it was not sent."""
RECORDED_BUDGET: Final = 128_000
"""Tokens of pages in a prompt when a recorded session is replayed or asked what if; the fixed region is added."""
LEAST: Final = 1


def default_budget(
    window: int = WINDOW_DEFAULT, max_output: int = OUTPUT_DEFAULT, ratio_permille: int = RATIO_DEFAULT
) -> int:
    """Tokens by our count of the largest prompt that fits the window beside the longest answer; at least 1."""
    return max((window - max_output) * 1000 // ratio_permille, LEAST)


@attrs.define
class Ratio:
    """Running median of the provider's count over ours, in permille; prompts that we count as empty tell nothing.

    With `records_all` False the fixed region is in the provider's counts and not in ours: `unrecorded` is how many
    tokens the provider counts in it, once the first answer told it.
    """

    records_all: bool = True
    told: list[int] = attrs.field(factory=list)
    unrecorded: int | None = None

    def answered(self, provider_tokens: int, our_tokens: int) -> None:
        """Note one answer: what the provider counted of its prompt, and what we did."""
        if provider_tokens <= 0 or our_tokens <= 0:
            return
        if self.records_all or self.unrecorded is not None:
            insort(self.told, max(provider_tokens - (self.unrecorded or 0), 0) * 1000 // our_tokens)
        else:
            self.unrecorded = max(provider_tokens - our_tokens, 0)

    @property
    def permille(self) -> int:
        """The median so far, the lower of two, at least `RATIO_LEAST`; `RATIO_DEFAULT` before the first answer."""
        return max(self.told[(len(self.told) - 1) // 2], RATIO_LEAST) if self.told else RATIO_DEFAULT

    @property
    def fixed(self) -> int:
        """Tokens by our count of the fixed region that is not recorded."""
        return (self.unrecorded or 0) * 1000 // self.permille

    def budget(self, window: int = WINDOW_DEFAULT, max_output: int = OUTPUT_DEFAULT) -> int:
        """The default budget by what is known so far."""
        return default_budget(window, max_output, self.permille)
