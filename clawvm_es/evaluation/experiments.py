"""The experiments of the evaluation and their settings: the one module that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from clawvm_es.errors import UnreadableInput, UsageError
from clawvm_es.evaluation import real
from clawvm_es.evaluation.ablation import ablation
from clawvm_es.evaluation.cells import Experiment
from clawvm_es.evaluation.choice import WHOLE, Choice
from clawvm_es.evaluation.gates import gates
from clawvm_es.evaluation.overhead import overhead
from clawvm_es.evaluation.sessions import Sessions
from clawvm_es.evaluation.stress import stress
from clawvm_es.evaluation.tasks import tasks
from clawvm_es.evaluation.tier2 import BUDGETS, tier2
from clawvm_es.evaluation.weights import weights
from clawvm_es.evaluation.workload import RENDERERS

ALL: Final = "all"
REAL: Final = "real"


@attrs.frozen
class Settings:
    """Choice of experiments: parts by name, a folder of recorded sessions, tokens charged to each turn.

    `renderers` make the prompts of recorded sessions; by default messages and frames, each apart. Raises `UsageError`
    for unknown names, `UnreadableInput` if there is no such folder.
    """

    parts: tuple[str, ...] = (ALL,)
    traces: Path | None = None
    fixed_tokens: int = 0
    choice: Choice = WHOLE
    renderers: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        for name in self.parts:
            if name not in (ALL, *PARTS):
                raise UsageError(f"unknown part {name!r}", hint=f"one of {', '.join(PARTS)}, {ALL}")
        if self.fixed_tokens < 0:
            raise UsageError(f"{self.fixed_tokens} fixed tokens: must be at least 0")
        for name in self.renderers:
            if name not in RENDERERS:
                raise UsageError(f"unknown renderer {name!r}", hint=f"one of {', '.join(RENDERERS)}")
        self._check_choice()
        if self.parts == (REAL,) and self.traces is None:
            raise UsageError("the real part needs recorded sessions", hint="name their folder with --traces DIR")
        if REAL in self.chosen and self.traces is not None and not self.traces.is_dir():
            raise UnreadableInput(f"{self.traces}: is no folder", hint="name a folder of recorded sessions")

    def _check_choice(self) -> None:
        """Raise for a budget that no part has, and for a choice that no requested part supports."""
        known = sorted({budget for part in PARTS.values() for budget in part.budgets})
        for budget in self.choice.budgets:
            if budget not in known:
                raise UsageError(f"unknown budget {budget}", hint=f"one of {', '.join(map(str, known))}")
        asked = [PARTS[name] for name in self._asked]
        for what, its in self._narrowed().items():
            if its and not any(what in part.narrowed for part in asked):
                able = ", ".join(name for name, part in PARTS.items() if what in part.narrowed)
                raise UsageError(f"{what} cannot be chosen for {', '.join(self.parts)}", hint=f"they can for {able}")

    def _narrowed(self) -> dict[str, bool]:
        """Choices, and whether they are other than everything."""
        its = self.choice
        return {
            "policies": its.policy_names != WHOLE.policy_names,
            "families": its.families != WHOLE.families,
            "budgets": its.budgets != WHOLE.budgets,
            "seed": its.seed != WHOLE.seed,
            "fixed tokens": self.fixed_tokens != 0,
            "renderers": bool(self.renderers),
        }

    @property
    def _asked(self) -> tuple[str, ...]:
        return tuple(name for name in PARTS if ALL in self.parts or name in self.parts)

    @property
    def chosen(self) -> tuple[str, ...]:
        """The requested parts that can be made, in the order of the report."""
        return tuple(name for name in self._asked if name not in self.left_out)

    @property
    def left_out(self) -> Mapping[str, str]:
        """The requested parts that cannot be made, with the reason."""
        found: dict[str, str] = {}
        for name in self._asked:
            own = PARTS[name].budgets
            if own and not self.choice.budgets_of(own):
                found[name] = f"its budgets are {', '.join(map(str, own))}"
            elif name == REAL and self.traces is None:
                found[name] = "no folder of recorded sessions was named (--traces DIR)"
        return found

    def told(self) -> dict[str, Any]:
        """The settings as a report shows them, without any detail of this machine."""
        its = self.choice
        return {
            "parts": list(self.chosen),
            "policies": list(its.policy_names),
            "families": list(its.families),
            "budgets": list(its.budgets) or "all",
            "seed": its.seed,
            "fixed tokens": self.fixed_tokens,
            "renderers": [name for name in RENDERERS if name in (self.renderers or RENDERERS)],
        }


Make: TypeAlias = Callable[[Settings, Sessions], Experiment]


@attrs.frozen
class Part:
    """One experiment: its description in a line, its maker, its possible choices, and its own budgets."""

    shows: str
    make: Make
    narrowed: tuple[str, ...] = ()
    budgets: tuple[int, ...] = ()


PARTS: Final[Mapping[str, Part]] = MappingProxyType(
    {
        "tier1": Part(
            "Six lifecycle gates: each fails under a weak policy and passes under clawvm.", lambda *_: gates()
        ),
        "tier2": Part(
            "Faults, misses and thrash of every policy on four workload families at six budgets.",
            lambda its, _: tier2(its.choice),
            ("policies", "families", "budgets", "seed"),
            BUDGETS,
        ),
        "ablation": Part(
            "What each mechanism of clawvm is worth.", lambda its, _: ablation(its.choice), ("families", "seed")
        ),
        "weights": Part(
            "That faults do not depend on the weights, and how misses do.",
            lambda its, _: weights(its.choice),
            ("families", "seed"),
        ),
        "stress": Part(
            "Where no budget is enough: pressure, told apart from faults.",
            lambda its, _: stress(its.choice),
            ("policies",),
        ),
        "tasks": Part(
            "Thirty short tasks: whether what they were told was there when needed.",
            lambda its, _: tasks(its.choice),
            ("policies",),
        ),
        REAL: Part(
            "Recorded sessions at real budgets: misses and uncached tokens beside offline bounds, with intervals.",
            lambda its, sessions: real.experiment(sessions, its.fixed_tokens, its.choice, its.renderers),
            ("policies", "budgets", "fixed tokens", "renderers"),
            tuple(sorted({budget for budgets in real.BUDGETS.values() for budget in budgets})),
        ),
        "overhead": Part("Time and memory of the policy engine for each turn.", lambda *_: overhead()),
    }
)
"""All parts by name, in the order of the report."""


def experiments(settings: Settings, sessions: Sessions) -> dict[str, Experiment]:
    """The requested experiments by name, in the order of the report."""
    return {name: PARTS[name].make(settings, sessions) for name in settings.chosen}
