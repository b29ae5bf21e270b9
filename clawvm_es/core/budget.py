"""The budget of a prompt, when the caller names none: what fits the model's window by the provider's own counts.

A provider counts more tokens in a prompt than we do: its tokenizer is another, and system prompt and tool schemas are
in no page. The ratio of the two, in permille, is learned from the answers of a session, as a running median; until
one is known it is `RATIO_DEFAULT` (quartiles over recorded sessions: 1,130, 1,220, 1,350).

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
RECORDED_BUDGET: Final = 128_000
"""Tokens of pages in a prompt when a recorded session is replayed or asked what if; the fixed region is added."""
LEAST: Final = 1


def default_budget(
    window: int = WINDOW_DEFAULT, max_output: int = OUTPUT_DEFAULT, ratio_permille: int = RATIO_DEFAULT
) -> int:
    """Tokens by our count of the largest prompt that fits the window beside the longest answer; at least 1."""
    return max((window - max_output) * 1000 // max(ratio_permille, 1), LEAST)


@attrs.define
class Ratio:
    """Running median of the provider's count over ours, in permille; prompts that we count as empty tell nothing."""

    told: list[int] = attrs.field(factory=list)

    def answered(self, provider_tokens: int, our_tokens: int) -> None:
        """Note one answer: what the provider counted of its prompt, and what we did."""
        if provider_tokens > 0 and our_tokens > 0:
            insort(self.told, provider_tokens * 1000 // our_tokens)

    @property
    def permille(self) -> int:
        """The median so far, the lower of two; `RATIO_DEFAULT` before the first answer."""
        return self.told[(len(self.told) - 1) // 2] if self.told else RATIO_DEFAULT

    def budget(self, window: int = WINDOW_DEFAULT, max_output: int = OUTPUT_DEFAULT) -> int:
        """The default budget by what is known so far."""
        return default_budget(window, max_output, self.permille)
