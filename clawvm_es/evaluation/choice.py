"""A choice of policies, families and budgets for the tables of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from clawvm_es.evaluation.families import FAMILIES, family
from clawvm_es.evaluation.measures import SEED
from clawvm_es.evaluation.policies import POLICIES, Policy, policy

HEADLINE: Final = ("retrieval", "compaction_hybrid", "lru", "clawvm")
"""Policies that a summary names."""


def _ordered(known: Iterable[str], named: Iterable[str]) -> tuple[str, ...]:
    """The names in report order, each once; all if none is named."""
    wanted = dict.fromkeys(named)
    return tuple(name for name in known if not wanted or name in wanted)


@attrs.frozen
class Choice:
    """Policies, families and budgets by name, and the seed of the families' sessions.

    An empty choice means all; the order is always that of reports. Raises `UsageError` for an unknown name.
    """

    policy_names: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    budgets: tuple[int, ...] = ()
    seed: int = SEED

    def __attrs_post_init__(self) -> None:
        for name in self.policy_names:
            policy(name)
        for name in self.families:
            family(name)
        object.__setattr__(self, "policy_names", _ordered(POLICIES, self.policy_names))
        object.__setattr__(self, "families", _ordered(FAMILIES, self.families))
        object.__setattr__(self, "budgets", tuple(sorted({*self.budgets})))

    @property
    def policies(self) -> Mapping[str, Policy]:
        """The chosen policies by name."""
        return {name: POLICIES[name] for name in self.policy_names}

    @property
    def headline(self) -> tuple[str, ...]:
        """The policies that a summary names: four by default, or the chosen ones."""
        return tuple(name for name in self.policy_names if name in HEADLINE) or self.policy_names

    def budgets_of(self, own: Iterable[int]) -> tuple[int, ...]:
        """The chosen ones among a part's own budgets."""
        return tuple(budget for budget in own if not self.budgets or budget in self.budgets)

    @property
    def all_families(self) -> bool:
        """Tell whether no family is left out."""
        return self.families == tuple(FAMILIES)

    @property
    def told_families(self) -> str:
        """The families as named in titles."""
        return "all families" if self.all_families else ", ".join(self.families)


WHOLE: Final = Choice()
"""Everything."""
