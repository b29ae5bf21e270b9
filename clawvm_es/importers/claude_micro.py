"""Infer micro-compactions of Claude Code without a row: from its rule, and from the provider's token counts.

Before a call, Claude Code may take old results of some tools out of its prompt. It removes the oldest until
`KEPT_TOKENS` tokens of results are left. It spares the results of the newest `KEPT_CALLS` calls, and acts only if it
saves `SAVED_TOKENS_MIN` tokens. It counts one token per four characters. Some versions write no row of it, others
omit some rows, and those of a subagent are never shown. The provider's count then falls from one call to the next.

Versions of that time also lose results at a resume: those outside the path of parents from the newest row to the
first, such as results of parallel calls.

LAW-MICRO-1: an inference at an answer depends only on the rows up to the answer's first row, so that following a file
gives the same as importing it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

import attrs

KEPT_TOKENS: Final = 40_000
SAVED_TOKENS_MIN: Final = 20_000
KEPT_CALLS: Final = 3
LOST_TOKENS_MIN: Final = 5_000
"""Least tokens that a resume is said to have lost; less are thoughts, which leave, too."""
TOOLS: Final = frozenset(("Read", "Bash", "Grep", "Glob", "WebSearch", "WebFetch", "Edit", "Write"))
"""Tools whose results are taken out."""
IMAGE_TOKENS: Final = 2_000
_CHARS: Final = 4
_DENSE: Final = 2
"""Most tokens of a provider that are one by the harness's count."""


def rough(text: str) -> int:
    """The harness's own count of a text: one token per four characters, rounded half up."""
    return (len(text) + _CHARS // 2) // _CHARS


@attrs.define
class Results:
    """Results that may be taken out, those taken out by inference, and the prompt size of the last answer.

    Sizes are by call id in the order of the calls, in tokens by the harness's count.
    """

    sizes: dict[str, int] = attrs.field(factory=dict)
    out: dict[str, int] = attrs.field(factory=dict)
    others: dict[str, int] = attrs.field(factory=dict)
    asked: int = 0  # tokens by the provider's count; 0: a row said that the context changed since
    model: str = ""
    grown: int = 0  # tokens since, by the harness's count

    def called(self, call_id: str, tool: str) -> None:
        """Note a call."""
        if tool in TOOLS and call_id not in self.out:
            self.sizes.setdefault(call_id, 0)

    def came(self, tokens: int, call_id: str = "") -> None:
        """Note text that came into the context; it is a result if `call_id` names its call."""
        self.grown += tokens
        if call_id in self.sizes:
            self.sizes[call_id] = tokens
        elif call_id and call_id not in self.out:
            self.others[call_id] = tokens

    def replaced(self, call_id: str, tokens: int) -> None:
        """Note that a result that came last is another text, of so many tokens more."""
        self.grown += tokens
        for known in (self.sizes, self.others):
            if call_id in known:
                known[call_id] += tokens

    def changed(self, gone: Iterable[str] = ()) -> None:
        """Note a row that changed the context; the results of some calls are gone for good."""
        self.asked = 0
        self._forget(gone)

    def answered(self, asked: int, model: str) -> None:
        """Note an answer; `asked` is the token count of its prompt."""
        self.asked, self.grown, self.model = asked, 0, model

    def fallen(self, asked: int, model: str) -> int:
        """Tokens that a prompt lacks, compared with the last one plus what came since; 0 if not comparable."""
        return self.asked + self.grown - asked if self._asked(model) else 0

    def left(self, asked: int, model: str, standing: Callable[[], Collection[str]]) -> tuple[str, ...]:
        """The calls whose results, `standing` until now, left before an answer."""
        fallen = self.fallen(asked, model)
        if 2 * fallen < SAVED_TOKENS_MIN:
            return ()
        known = standing()
        found = self._oldest([call_id for call_id in self.sizes if call_id in known])
        saved = sum([self.sizes[call_id] for call_id in found])
        if saved < SAVED_TOKENS_MIN or 2 * fallen < saved:
            return ()
        for call_id in found:
            self.out[call_id] = self.sizes.pop(call_id)
        return tuple(found)

    def lost(self, asked: int, model: str, aside: Collection[str]) -> tuple[str, ...]:
        """The calls among `aside` whose results a resume lost for good, before the first answer after it."""
        sizes = self.sizes | self.others
        found = [call_id for call_id in sizes if call_id in aside]
        total = sum([sizes[call_id] for call_id in found])
        if total < LOST_TOKENS_MIN or self.fallen(asked, model) < total:
            return ()
        self._forget(found)
        return tuple(found)

    def returned(self, asked: int, model: str) -> tuple[str, ...]:
        """The calls whose results had left by inference, and are in the prompt of an answer again."""
        risen = self._asked(model) and asked - self.asked - _DENSE * self.grown
        if not self.out or 2 * risen < sum(self.out.values()):
            return ()
        found, self.out = self.out, {}
        self.sizes = {**found, **self.sizes}
        return tuple(found)

    def _forget(self, calls: Iterable[str]) -> None:
        """Forget results that are gone for good."""
        for call_id in calls:
            for known in (self.sizes, self.out, self.others):
                known.pop(call_id, None)

    def _asked(self, model: str) -> int:
        """The tokens of the last answer's prompt, if the two prompts can be compared."""
        return self.asked if model == self.model else 0

    def _oldest(self, calls: list[str]) -> list[str]:
        """The calls whose results the rule takes out."""
        rest = sum([self.sizes[call_id] for call_id in calls])
        found = []
        for call_id in calls[:-KEPT_CALLS]:
            if rest > KEPT_TOKENS and self.sizes[call_id]:
                rest -= self.sizes[call_id]
                found.append(call_id)
        return found
