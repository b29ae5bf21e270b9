"""The default budget of a prompt: the tokens that fit the model's window, by the provider's own counts.

A provider counts more tokens in a text than we do, because it uses another tokenizer. The ratio of its count to
ours, in permille, is the running median over the answers of a session. Before the first answer it is
`RATIO_DEFAULT` (quartiles over recorded sessions: 1,130, 1,220, 1,350). A recording may lack the system prompt and
tool schemas. Their size is the provider's count of the first prompt minus ours; the ratio leaves them out.

LAW-BUDGET-1: a prompt of the default budget, times the ratio, plus the longest answer fits the window.
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
    """The largest prompt, in tokens by our count, that leaves room for the longest answer; at least 1."""
    return max((window - max_output) * 1000 // ratio_permille, LEAST)


@attrs.define
class Ratio:
    """Running median of the provider's count over ours, in permille; prompts that we count as empty are ignored.

    With `records_all` False, the provider's counts include the fixed region and ours do not. `unrecorded` is the
    provider's count of that region, known from the first answer on.
    """

    records_all: bool = True
    told: list[int] = attrs.field(factory=list)
    unrecorded: int | None = None

    def answered(self, provider_tokens: int, our_tokens: int) -> None:
        """Note one answer: the provider's count of its prompt, and ours."""
        if provider_tokens <= 0 or our_tokens <= 0:
            return
        if self.records_all or self.unrecorded is not None:
            insort(self.told, max(provider_tokens - (self.unrecorded or 0), 0) * 1000 // our_tokens)
        else:
            self.unrecorded = max(provider_tokens - our_tokens, 0)

    @property
    def permille(self) -> int:
        """The median so far (the lower one of two), at least `RATIO_LEAST`; `RATIO_DEFAULT` before any answer."""
        return max(self.told[(len(self.told) - 1) // 2], RATIO_LEAST) if self.told else RATIO_DEFAULT

    @property
    def fixed(self) -> int:
        """Size of the unrecorded fixed region, in tokens by our count."""
        return (self.unrecorded or 0) * 1000 // self.permille

    def budget(self, window: int = WINDOW_DEFAULT, max_output: int = OUTPUT_DEFAULT) -> int:
        """The default budget, from the ratio learned so far."""
        return default_budget(window, max_output, self.permille)
