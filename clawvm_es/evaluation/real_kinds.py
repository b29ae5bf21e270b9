"""Measurements on one kind of recorded session, for tables and prose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from clawvm_es.evaluation.sessions import CHAT, CODING
from clawvm_es.evaluation.verdict import PARTS, Measured, Verdict, budgets_of, judge, part
from clawvm_es.evaluation.workload import FRAMES

TITLES: Final[Mapping[str, str]] = {CODING: "Coding sessions", CHAT: "Chat sessions"}


@attrs.frozen
class Kind:
    """Everything measured on one kind of session under a renderer, and the verdict on each policy in each part."""

    name: str
    rows: Sequence[Measured]
    policies: Sequence[str]
    verdicts: Mapping[str, Mapping[str, Verdict]]
    renderer: str = FRAMES

    @property
    def title(self) -> str:
        """`Coding sessions (messages)`."""
        return f"{TITLES[self.name]} ({self.renderer})"

    @property
    def budgets(self) -> list[int]:
        """The budgets at which any of them counts."""
        return budgets_of(self.rows)

    def part(self, name: str) -> list[Measured]:
        """Measurements on one side of the split, or on all."""
        return part(self.rows, name)


def measured(name: str, rows: Sequence[Measured], policies: Sequence[str], renderer: str = FRAMES) -> Kind:
    """The rows of one kind under a renderer, and the verdicts on these policies."""
    its = [row for row in rows if (row.found.kind, row.found.renderer) == (name, renderer)]
    verdicts = {place: {policy: judge(part(its, place), policy) for policy in policies} for place in PARTS}
    return Kind(name, its, policies, verdicts, renderer)
