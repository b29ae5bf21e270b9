"""The recorded harness as an arm of its own: its misses, and the cost of its prompts.

It has no budget, so it runs once per session and renderer. Its prompts are counted like those of the policies: as
messages, with framing and arguments of calls; in frames, by pages only (and, beside that, with arguments). Thoughts
count on neither side.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import attrs
from msgspec.structs import replace

from clawvm_es.core.budget import Ratio
from clawvm_es.evaluation.cells import Result
from clawvm_es.evaluation.policies import HARNESS
from clawvm_es.evaluation.run import Outcome, run, steps
from clawvm_es.evaluation.sessions import workload
from clawvm_es.evaluation.workload import MESSAGES, Workload
from clawvm_es.history.harness import pages_alone
from clawvm_es.model import events as e

LISTS: Final = ("anthropic-5m", "anthropic-1h", "openai")
"""Price lists at which every run is priced."""


def measure_harness(kept: str, fixed_tokens: int = 0) -> Result:
    """Outcome of the recorded harness on one session, each prompt charged for a fixed region."""
    its = workload(kept)
    whole = run(without_thoughts(its), HARNESS, 0, fixed_tokens=fixed_tokens or None)
    found = whole if its.renderer == MESSAGES else run(pages_only(its), HARNESS, 0, fixed_tokens=fixed_tokens or None)
    figures = found.figures
    return {
        "turns": figures.turns,
        "timed": figures.spent.timed,
        "needs": figures.needs,
        "misses": figures.misses,
        "dropped": figures.unmet,
        "rules": found.rules,
        "epochs": figures.epochs,
        "tokens": figures.tokens,
        "uncached_tokens": figures.uncached_tokens,
        "costs": figures.spent.costs(LISTS),
        "costs_with_arguments": whole.figures.spent.costs(LISTS),
        **_default_budget(its),
    }


def _default_budget(its: Workload) -> Result:
    """The budget that fits the window by the provider's counts, and the largest provider count of such a prompt.

    The largest ratio of the two counts gives that maximum, over prompts with at least half as many tokens of pages.
    """
    ratio, told = Ratio(records_all=False), list[tuple[int, int]]()
    ours = 0
    for events in steps(its, HARNESS, 0):
        for event in events:
            if isinstance(event, e.PromptAssembled):
                ours = event.tokens
            elif isinstance(event, e.ModelResponded) and event.input_tokens:
                ratio.answered(event.input_tokens, ours)
                told.append((event.input_tokens, ours))
    budget, fixed = ratio.budget(), ratio.unrecorded or 0
    pages = max(budget - ratio.fixed, 0)
    large = [(provider - fixed) * 1000 // own for provider, own in told if own * 2 >= pages]
    return {
        "answers": len(ratio.told),
        "ratio_permille": ratio.permille,
        "default_budget": budget,
        "default_budget_fixed": ratio.fixed,
        "default_budget_counted": fixed + pages * max(large, default=ratio.permille) // 1000,
    }


@lru_cache(maxsize=2)
def outcome_of(kept: str) -> Outcome:
    """The run of the recorded harness, which shows the needs whose pages it had dropped."""
    return run(workload(kept), HARNESS, 0)


def pages_only(its: Workload) -> Workload:
    """A session as if prompts held no arguments and no thoughts."""
    return attrs.evolve(its, inputs=tuple(map(pages_alone, its.inputs)))


def without_thoughts(its: Workload) -> Workload:
    """A session as if prompts held no thoughts: providers drop those of earlier exchanges."""
    inputs = tuple([_thoughtless(data) for data in its.inputs])
    return attrs.evolve(its, inputs=inputs)


def _thoughtless(data: e.Input) -> e.Input:
    return replace(data, thinking_tokens=0) if isinstance(data, e.ModelResponded) and data.thinking_tokens else data
