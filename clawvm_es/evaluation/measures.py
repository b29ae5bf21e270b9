"""Figures of a run on a family, as cells hold and tables show them."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Final

from clawvm_es.evaluation import families
from clawvm_es.evaluation.cells import Result
from clawvm_es.evaluation.policies import Policy
from clawvm_es.evaluation.run import run
from clawvm_es.evaluation.workload import Workload
from clawvm_es.model.facts import FaultType
from clawvm_es.model.profile import Profile

SEED: Final = 1
"""The seed of the sessions that the tables of the synthetic part are about, unless another is chosen."""
BY_CONSTRUCTION: Final = "by construction"
"""Remark beside zero faults that no run could have had."""


@lru_cache(maxsize=16)
def session(family: str, factor: Fraction = Fraction(1), seed: int = SEED) -> Workload:
    """The session of a family, its parameters times a factor; made once a process."""
    if factor == 1:
        return families.workload(family, seed)
    return families.workload(family, seed, families.scaled(families.family(family).parameters, factor))


def family_cell(
    family: str, policy: Policy | Profile, budget_tokens: int, factor: Fraction = Fraction(1), seed: int = SEED
) -> Result:
    """One family under one policy and budget: faults by type, and the other figures of the run."""
    outcome = run(session(family, factor, seed), policy, budget_tokens)
    figures = outcome.figures
    return {
        "faults": outcome.faults,
        "faults_by_type": {str(fault): figures.faults[fault] for fault in FaultType},
        "hits": figures.hits,
        "page_ins": figures.page_ins,
        "misses": figures.misses,
        "alerts": figures.alerts,
        "pressure": figures.pressure,
        "turns": figures.turns,
        "tokens": figures.tokens,
        "uncached_tokens": figures.uncached_tokens,
        "thrash_permille": outcome.thrash_permille,
    }


def total(results: Iterable[Result], key: str) -> int:
    """The sum of one figure."""
    return sum(result[key] for result in results)


def by_type(results: Iterable[Result]) -> dict[str, int]:
    """Faults of each type over several runs."""
    found = dict.fromkeys(map(str, FaultType), 0)
    for result in results:
        for fault, count in result["faults_by_type"].items():
            found[fault] += count
    return found


def mean(value: int, count: int, places: int = 1) -> str:
    """`value / count` with so many decimal places, rounded half up, in integers throughout."""
    scale = 10**places
    rounded = (2 * value * scale + count) // (2 * count)
    return f"{rounded // scale}.{rounded % scale:0{places}}"
