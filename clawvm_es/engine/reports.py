"""Reports to the caller: updates that a boundary committed, refused or lost, and pages that did not fit a prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from clawvm_es.core.layout import levels_of_prompt
from clawvm_es.core.state import Page, State, Update
from clawvm_es.engine.hooks import Objection, Pressed, Pressure, Report, UpdateResult
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, FaultType, PressureReason
from clawvm_es.model.pages import ABSENT, POINTER, PageType
from clawvm_es.model.profile import RULES, Paging, Profile

Open = Callable[[str | None], str | None]
"""From a commitment to its text."""

KEPT_RULES = (PageType.BOOTSTRAP, PageType.CONSTRAINT)
"""Types of pages without which a prompt is not handed out by default."""


def priced(profile: Profile, assembled: e.PromptAssembled) -> tuple[int, int | None]:
    """Tokens of a prompt that the provider's cache should hold, and its cost in input tokens; None without prices."""
    by_epochs = profile.paging is Paging.EPOCHS and not RULES[profile.rule].recorded
    cached = assembled.cached_tokens if by_epochs else assembled.tokens - assembled.uncached_tokens
    if not profile.write_price:
        return cached, None
    uncached = assembled.tokens - cached
    return cached, (cached * profile.read_price + uncached * profile.write_price) // 1000


def update_result(state: State, number: int, open_: Open) -> UpdateResult:
    """An update, as reported to the caller."""
    update = state.updates[number]
    facts = update.facts
    return UpdateResult(
        update=number,
        field=open_(facts.field_name) or facts.field,
        op=facts.op,
        scope=facts.scope,
        page_id=update.page_id,
        version=update.field_version or None,
        reason=update.reason if not update.field_version else None,
        objections=objections(update, open_),
    )


def objections(update: Update, open_: Open) -> tuple[Objection, ...]:
    """The validators that refused an update, each with the error it raised, if any."""
    said = (verdict for verdict in update.facts.validators if not verdict.agrees)
    return tuple(Objection(verdict.validator, open_(verdict.error)) for verdict in said)


def report(state: State, boundary: Boundary, events: Iterable[e.Event], open_: Open) -> Report:
    """Return the report of a boundary from its events."""
    committed: dict[int, None] = {}
    refused: dict[int, None] = {}
    lost: list[str] = []
    for event in events:
        if isinstance(event, e.UpdateCommitted):
            committed[event.update] = None
        elif isinstance(event, e.UpdateRejected):
            refused[event.update] = None
        elif isinstance(event, e.FaultObserved) and event.fault is FaultType.FLUSH_MISS and event.page_id:
            lost.append(event.page_id)
    told = [tuple(update_result(state, number, open_) for number in numbers) for numbers in (committed, refused)]
    return Report(boundary, told[0], told[1], tuple(lost))


def with_earlier(found: Report, earlier: Sequence[Report]) -> Report:
    """A report, extended by what earlier automatic boundaries refused and lost and no report mentioned."""
    refused = tuple(result for one in (*earlier, found) for result in one.refused)
    lost = tuple(page_id for one in (*earlier, found) for page_id in one.lost)
    return attrs.evolve(found, refused=refused, lost=lost)


def pressures(state: State, events: Iterable[e.Event]) -> tuple[Pressure, ...]:
    """Return the pages that did not fit an assembly, one by one."""
    found = []
    for event in events:
        if isinstance(event, e.InvariantPressureObserved):
            wanted = _floor if event.reason is PressureReason.FLOORS else _lowest
            pages = (state.pages[page_id] for page_id in event.pages)
            pressed = tuple(Pressed(page.page_id, page.page_type, page.tokens[wanted(state, page)]) for page in pages)
            found.append(Pressure(event.reason, event.required_tokens, event.available_tokens, pressed))
    return tuple(found)


def _floor(state: State, page: Page) -> int:
    return state.required.get(page.page_id, page.floor)


def _lowest(state: State, page: Page) -> int:
    """The lowest rank at which a page may arrive."""
    return next(rank for rank in range(POINTER + 1, len(page.tokens)) if page.tokens[rank] >= 0)


def lost_rules(state: State, found: Iterable[Pressure]) -> tuple[Pressed, ...]:
    """Bootstrap and constraint pages that stand below their floor."""
    levels = levels_of_prompt(state)
    return tuple(
        page
        for pressure in found
        if pressure.reason is PressureReason.FLOORS
        for page in pressure.pages
        if page.page_type in KEPT_RULES
        and levels.get(page.page_id, ABSENT) < state.required.get(page.page_id, ABSENT)
    )
