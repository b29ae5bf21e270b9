"""Policies beside bounds on recorded sessions: the results of each session at each budget, under every policy.

A coding session counts if it has enough turns and page tokens; it is measured at every budget and under both
renderers. A chat is shorter; it counts in frames, at budgets that its pages exceed. The recorded harness runs once
per session and renderer. `real_report` makes the section from the cells; `verdict` and `front` make its claims.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs
from msgspec.structs import replace

from clawvm_es.core.profiles import CLAWVM
from clawvm_es.errors import UsageError
from clawvm_es.evaluation.bounds import bounds
from clawvm_es.evaluation.cells import Cell, Experiment, Result, Results, Section
from clawvm_es.evaluation.choice import WHOLE, Choice
from clawvm_es.evaluation.harness import LISTS, measure_harness, outcome_of, without_thoughts
from clawvm_es.evaluation.policies import POLICIES, Policy
from clawvm_es.evaluation.real_report import section
from clawvm_es.evaluation.run import run
from clawvm_es.evaluation.sessions import CHAT, CODING, Found, Sessions, workload
from clawvm_es.evaluation.split import side
from clawvm_es.evaluation.timing import arrivals_of, timing
from clawvm_es.evaluation.verdict import BASE, CANDIDATE, Measured
from clawvm_es.evaluation.workload import MESSAGES, RENDERERS, NeedAt, Workload, needs_of
from clawvm_es.model import events as e
from clawvm_es.model.facts import Need
from clawvm_es.model.pages import Fidelity, PageType
from clawvm_es.model.profile import Capability

BUDGETS: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        CODING: (2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000),
        CHAT: (500, 1_000, 2_000, 4_000),
    }
)
"""Tokens of one prompt, by kind of session; 64k and 128k only to see misses vanish."""
MESSAGES_LEAST: Final = 16_000
"""Smallest budget of messages: the exchange that is still open leaves smaller ones no choice."""
TURNS_LEAST: Final = 25
PAGE_TOKENS_LEAST: Final = 16_000
"""A coding session counts with so many turns and tokens of pages, whatever the budget."""
_MESSAGES_WORK: Final = 4
FULL_ONLY: Final = (BASE, CANDIDATE)
"""Policies that also run where pages have no level below full, to see what levels are worth."""


def experiment(
    sessions: Sessions, fixed_tokens: int = 0, choice: Choice = WHOLE, renderers: Collection[str] = ()
) -> Experiment:
    """Every counting session at every budget, each turn charged for `fixed_tokens` beyond the recorded ones.

    `lru` is always among the policies, since the others are compared with it. `renderers` restricts the renderers.
    Raises `UsageError` for a negative number of fixed tokens.
    """
    if fixed_tokens < 0:
        raise UsageError(f"fixed region of {fixed_tokens} tokens: must not be negative")
    names = tuple(name for name in POLICIES if name == BASE or name in choice.policy_names)
    placed = {
        _key(found, budget, fixed_tokens): (found, budget)
        for found in sessions.found
        for budget in choice.budgets_of(budgets_of(found))
        if counts(found, budget) and found.renderer in (renderers or RENDERERS)
    }
    harnesses = {_key(found, 0, fixed_tokens): found for found, _ in placed.values()}
    cells = [
        *(
            Cell(key, measure_harness, (found.kept, fixed_tokens), cost=found.inputs // 4)
            for key, found in harnesses.items()
        ),
        *(
            Cell(key, measure, (found.kept, budget, fixed_tokens, names), cost=_work(found))
            for key, (found, budget) in placed.items()
        ),
    ]

    def read_off(results: Results) -> Section:
        rows = [
            Measured(
                found,
                side(found.name, found.origin),
                budget,
                results[key],
                results[_key(found, 0, fixed_tokens)],
            )
            for key, (found, budget) in placed.items()
        ]
        return section(sessions, rows, [POLICIES[name] for name in names], fixed_tokens)

    return Experiment("real", cells, read_off)


def _work(found: Found) -> int:
    """Rough measure of the work of a session at a budget; prompts of messages are laid out by groups."""
    return found.inputs * (_MESSAGES_WORK if found.renderer == MESSAGES else 1)


def budgets_of(found: Found) -> tuple[int, ...]:
    """The budgets at which a session is measured."""
    least = MESSAGES_LEAST if found.renderer == MESSAGES else 0
    return tuple([budget for budget in BUDGETS[found.kind] if budget >= least])


def counts(found: Found, budget: int) -> bool:
    """Tell whether a session counts at a budget; a coding session counts at all of them, or at none."""
    if found.kind == CODING:
        return found.turns >= TURNS_LEAST and found.page_tokens >= PAGE_TOKENS_LEAST
    return found.page_tokens > budget


def _key(found: Found, budget: int, fixed_tokens: int) -> str:
    """The cell's key with a digest of the inputs, so that a session recorded further is another cell."""
    fixed = f"+{fixed_tokens}" if fixed_tokens else ""
    return f"{found.kind}/{found.renderer}/{found.name}/{found.digest[:12]}/{budget or 'harness'}{fixed}"


def measure(kept: str, budget_tokens: int, fixed_tokens: int, names: Sequence[str] = tuple(POLICIES)) -> Result:
    """One session at one budget: its needs, bounds, and the results of each policy."""
    its = charged(without_thoughts(workload(kept)), fixed_tokens)
    needs = list(its.all_needs())
    dropped = outcome_of(kept).unmet
    below = bounds(its, budget_tokens)
    bare = full_only(its)

    def large(need: NeedAt) -> bool:
        return not need.options or need.tokens > budget_tokens

    def outcome(policy: Policy) -> Result:
        found = run(its, policy, budget_tokens)
        return {
            "misses": found.figures.misses,
            "dropped": sum(gone and not hit for gone, hit in zip(dropped, found.hits, strict=True)),
            "near": found.misses(needs, near),
            "large": found.misses(needs, large),
            "tokens": found.figures.tokens,
            "uncached_tokens": found.figures.uncached_tokens,
            "faults": found.faults,
            "rules": found.rules,
            "pressure": found.figures.pressure,
            "epochs": found.figures.epochs,
            "costs": found.figures.spent.costs(LISTS),
        }

    return {
        "turns": its.turns,
        "needs": len(needs),
        "near": sum(map(near, needs)),
        "large": sum(map(large, needs)),
        "fit": below.fit,
        "demand": below.demand,
        "dropped": sum(dropped),
        "timing": attrs.asdict(timing(arrivals_of(its), CLAWVM, _room(its, budget_tokens))),
        "policies": _each_once(its, [POLICIES[name] for name in names], outcome),
        "full_only": {
            name: run(bare, POLICIES[name], budget_tokens).figures.misses for name in FULL_ONLY if name in names
        },
    }


def _each_once(its: Workload, policies: Sequence[Policy], outcome: Callable[[Policy], Result]) -> Result:
    """Outcome of each policy; without instructions, policies that differ only in keeping instructions run once."""
    bare = not any(isinstance(data, e.PageWritten) and data.page_type is PageType.BOOTSTRAP for data in its.inputs)
    known: dict[Policy, Result] = {}
    found: dict[str, Result] = {}
    for policy in policies:
        same = _without_instructions(policy) if bare else policy
        if same not in known:
            known[same] = outcome(policy)
        found[policy.name] = known[same]
    return found


def _without_instructions(policy: Policy) -> Policy:
    """A policy as it acts in a session without instructions, where keeping their floors does nothing."""
    kept = tuple([each for each in policy.profile.capabilities if each is not Capability.FIXED_BOOTSTRAP])
    profile = attrs.evolve(policy.profile, name="", capabilities=kept)
    return attrs.evolve(policy, name="", says="", profile=profile)


def _room(its: Workload, budget_tokens: int) -> int:
    """Tokens that a budget leaves for pages."""
    fixed = max((data.fixed_tokens for data in its.inputs if isinstance(data, e.TurnBegan)), default=0)
    return max(budget_tokens - fixed - its.opened.directory_tokens, 1)


def near(need: NeedAt) -> bool:
    """Tell whether a need's text was in the prompt anyway, because it was written or needed at most one turn ago."""
    return need.distance <= 1


def charged(its: Workload, fixed_tokens: int) -> Workload:
    """The workload with a fixed region of the given tokens in each turn; 0 means as recorded."""
    if not fixed_tokens:
        return its
    inputs = tuple(
        replace(data, fixed_tokens=fixed_tokens) if isinstance(data, e.TurnBegan) else data for data in its.inputs
    )
    return attrs.evolve(its, inputs=inputs)


def full_only(its: Workload) -> Workload:
    """The workload as if no page had a level below full."""
    inputs = tuple([_full(data) for data in its.inputs])
    return attrs.evolve(its, inputs=inputs, needs=tuple(needs_of(inputs)))


def _full(data: e.Input) -> e.Input:
    if isinstance(data, e.PageWritten):
        return replace(data, levels=data.levels[:1])
    if isinstance(data, (e.ToolCalled, e.ToolReturned, e.ModelResponded, e.RecallAnswered)):
        return replace(data, needs=tuple(_full_need(need) for need in data.needs))
    return data


def _full_need(need: Need) -> Need:
    holders = [replace(holder, levels=_only_full(holder.levels)) for holder in need.holders]
    return replace(need, holders=tuple(holders))


def _only_full(levels: Sequence[Fidelity]) -> tuple[Fidelity, ...]:
    return tuple(level for level in levels if level is Fidelity.FULL)
