"""The experiments of the evaluation, and with which settings each of them is made: the one place that knows all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from clawvm_es.errors import UsageError
from clawvm_es.evaluation import real
from clawvm_es.evaluation.ablation import ablation
from clawvm_es.evaluation.cells import Experiment
from clawvm_es.evaluation.gates import gates
from clawvm_es.evaluation.overhead import overhead
from clawvm_es.evaluation.sessions import Sessions
from clawvm_es.evaluation.stress import stress
from clawvm_es.evaluation.tasks import tasks
from clawvm_es.evaluation.tier2 import tier2
from clawvm_es.evaluation.weights import weights

ALL: Final = "all"
REAL: Final = "real"


@attrs.frozen
class Settings:
    """What is evaluated: parts by name, a folder of recorded sessions, tokens that each of their turns is charged.

    Raises `UsageError` for what is not known.
    """

    parts: tuple[str, ...] = (ALL,)
    traces: Path | None = None
    fixed_tokens: int = 0

    def __attrs_post_init__(self) -> None:
        for name in self.parts:
            if name not in (ALL, *PARTS):
                raise UsageError(f"unknown part {name!r}", hint=f"one of {', '.join(PARTS)}, {ALL}")
        if self.fixed_tokens < 0:
            raise UsageError(f"{self.fixed_tokens} fixed tokens: must be at least 0")
        if self.parts == (REAL,) and self.traces is None:
            raise UsageError("the real part needs recorded sessions", hint="name their folder with --traces DIR")

    @property
    def chosen(self) -> tuple[str, ...]:
        """The parts that are asked for and can be made, in the order of the report."""
        asked = PARTS if ALL in self.parts else self.parts
        return tuple(name for name in PARTS if name in asked and not (name == REAL and self.traces is None))

    @property
    def left_out(self) -> Mapping[str, str]:
        """The parts that are asked for and cannot be made, with the reason."""
        if self.traces is None and (ALL in self.parts or REAL in self.parts):
            return {REAL: "no folder of recorded sessions was named (--traces DIR)"}
        return {}

    def told(self) -> dict[str, Any]:
        """The settings as a report tells them: nothing of this machine."""
        return {"parts": list(self.chosen), "fixed": self.fixed_tokens}


Make: TypeAlias = Callable[[Settings, Sessions], Experiment]


@attrs.frozen
class Part:
    """One experiment of the evaluation: what it shows, in a line, and what makes it."""

    shows: str
    make: Make


PARTS: Final[Mapping[str, Part]] = MappingProxyType(
    {
        "tier1": Part(
            "Six lifecycle gates: each fails under a weak policy and passes under clawvm.", lambda *_: gates()
        ),
        "tier2": Part(
            "Faults, misses and thrash of every policy on four workload families at six budgets.", lambda *_: tier2()
        ),
        "ablation": Part("What each mechanism of clawvm is worth.", lambda *_: ablation()),
        "weights": Part("That faults do not depend on the weights, and how misses do.", lambda *_: weights()),
        "stress": Part("Where no budget is enough: pressure, told apart from faults.", lambda *_: stress()),
        "tasks": Part("Thirty short tasks: whether what they were told was there when needed.", lambda *_: tasks()),
        REAL: Part(
            "Recorded sessions at real budgets: misses and uncached tokens beside offline bounds, with intervals.",
            lambda its, sessions: real.experiment(sessions, its.fixed_tokens),
        ),
        "overhead": Part("Time and memory of the policy engine for each turn.", lambda *_: overhead()),
    }
)
"""All parts by name, in the order of the report."""


def experiments(settings: Settings, sessions: Sessions) -> dict[str, Experiment]:
    """The experiments that are asked for, by name, in the order of the report."""
    return {name: PARTS[name].make(settings, sessions) for name in settings.chosen}
