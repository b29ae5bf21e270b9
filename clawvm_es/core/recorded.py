"""The rule `recorded`: the prompt is the context of the harness itself, as far as it was recorded.

| event | the context then holds |
|---|---|
| a page is written, shown again or put back | the page at the end, in full; an older copy stays, as stale tokens |
| a tool is called | its arguments, where they were counted |
| the model answers | its thoughts, where they are known and were counted |
| the user speaks | everything but thoughts that its provider drops then |
| a boundary that names its cut | everything but `left` and the named `pages` |
| any cut of more than single results | only arguments whose result stands, and thoughts whose answer stands |
| a compaction or reset that names no cut | only system messages and their rules |
| a pruning that names nothing | everything but evidence |

The budget binds nothing, so LAW-SELECT-1 to 3 are not claimed.

LAW-RECORDED-1: a page stands in full in every prompt from the one after it was written to the cut that took it out.
LAW-RECORDED-2: without a cut a prompt begins with the whole prompt before it: uncached is what was appended. Thoughts
that leave as the user speaks are a cut if the prompt before held them.
LAW-RECORDED-3: the work of a turn depends on what was appended or cut since the last turn, not on all pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clawvm_es.core.layout import chained
from clawvm_es.core.state import State
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, ChangeReason, Cut, EpochTrigger, FaultReason, FaultType
from clawvm_es.model.pages import ABSENT, FULL, LADDER, Author, Fidelity, PageType

_STATED = (PageType.BOOTSTRAP, PageType.CONSTRAINT)
_CUTTING = (Boundary.COMPACT, Boundary.RESET, Boundary.PRUNE)


def assemble(state: State, turn: e.TurnBegan) -> list[e.Decision]:
    """Return the decisions after a `turn_began`: appended pages, totals, and faults for rules that a cut took."""
    decisions: list[e.Decision] = []
    for page_id in state.arrivals:
        before = state.resident.get(page_id, ABSENT)
        if before != FULL:
            decisions.append(e.RepresentationChanged(page_id, LADDER[before], Fidelity.FULL, ChangeReason.ARRIVAL))
    decisions.append(_assembled(state, turn))
    if state.boundary_version:
        decisions.extend(_lost_rules(state))
    return decisions


def _assembled(state: State, turn: e.TurnBegan) -> e.PromptAssembled:
    pages = state.pages
    tokens = turn.fixed_tokens + state.sent + sum([pages[page_id].full_tokens for page_id in state.arrivals])
    anew = state.cut or not state.epoch
    return e.PromptAssembled(
        state.budget_tokens,
        tokens,
        len(state.resident) + sum([page_id not in state.resident for page_id in state.arrivals]),
        tokens - _cached(state, turn),
        chained(state.chain, [pages[page_id].tag(FULL) for page_id in state.arrivals]),
        epoch=state.epoch + anew,
        trigger=EpochTrigger.FORCED if anew else None,
    )


def _cached(state: State, turn: e.TurnBegan) -> int:
    """Tokens before the first piece that differs from the prompt before."""
    return turn.fixed_tokens + state.prefix if turn.fixed_tokens == state.assembled_fixed else 0


def _lost_rules(state: State) -> Iterator[e.FaultObserved]:
    """One fault for each required page that was in the last prompt and that a boundary took out since."""
    for page_id in state.required:
        if page_id not in state.assembled or page_id in state.resident or page_id in state.arrivals:
            continue
        page = state.pages[page_id]
        fault, reason = FaultType.PINNED_INVARIANT_MISS, FaultReason.BELOW_FLOOR
        if page.page_type is PageType.BOOTSTRAP:
            fault, reason = FaultType.POST_COMPACTION_BOOTSTRAP, FaultReason.ABSENT_AFTER_BOUNDARY
        yield e.FaultObserved(fault, reason, page_id, evidence=(page.written_version, state.boundary_version))


def leaving(state: State, reached: e.BoundaryReached) -> tuple[str, ...]:
    """The pages that a boundary takes out of the recorded context, by the table of this module."""
    if reached.cut is not None or reached.left:
        return tuple(dict.fromkeys((*reached.left, *reached.pages)))
    held = dict.fromkeys((*state.resident, *state.arrivals))
    if reached.boundary is Boundary.PRUNE:
        return reached.pages or tuple([p for p in held if state.pages[p].page_type is PageType.EVIDENCE])
    if reached.boundary in (Boundary.COMPACT, Boundary.RESET):
        return tuple([page_id for page_id in held if not _stays(state, page_id)])
    return ()


def _stays(state: State, page_id: str) -> bool:
    page = state.pages[page_id]
    return page.author is Author.HARNESS and page.page_type in _STATED


# ------------------------------------------------------------------------------------------- the fold


def assembled(state: State) -> None:
    """Fold a `prompt_assembled`: what arrived stands at the end from now on."""
    for page_id in state.arrivals:
        page = state.pages[page_id]
        page.last_used = state.turn
        before = state.copies.get(page_id, ())
        if before:
            resident = state.changing()
            resident[page_id] = resident.pop(page_id)
        state.copies[page_id] = (*before, _append(state, page.full_tokens))
    state.prefix, state.cut = state.sent, False


def called(state: State, call: e.ToolCalled) -> None:
    """Fold a tool call: its arguments stand in the context from now on."""
    if call.levels:
        state.asked[call.call] = _append(state, call.levels[0].tokens)
        state.chain = chained(state.chain, [f"call {call.call}"])


def responded(state: State, answer: e.ModelResponded) -> None:
    """Fold an answer: its thoughts stand in the context from now on."""
    if answer.thinking is not None and answer.thinking_tokens:
        state.thought[state.version] = _append(state, answer.thinking_tokens)
        if answer.thinking_passes:
            state.passing[state.version] = None
        state.chain = chained(state.chain, [f"thoughts {state.version}"])


def spoke(state: State) -> None:
    """Fold that the user spoke: thoughts that the provider keeps for one exchange leave the context."""
    versions = [version for version in state.passing if version in state.thought]
    state.passing.clear()
    if not versions:
        return
    first, before = state.thought[versions[0]], state.sent
    for place, tokens in reversed(state.layout.items()):
        before -= tokens
        if place == first:
            break
    state.cut = state.cut or before < state.prefix
    state.prefix = min(state.prefix, before)
    state.sent -= sum([state.layout.pop(state.thought.pop(version)) for version in versions])
    state.chain = chained(state.chain, [f"-thoughts {version}" for version in versions])


def _append(state: State, tokens: int) -> int:
    """Append tokens to the context; returns their place."""
    state.appended += 1
    state.layout[state.appended] = tokens
    state.sent += tokens
    return state.appended


def left(state: State, page_id: str) -> None:
    """Fold that all copies of a page left the context."""
    places = state.copies.pop(page_id, ())
    if places:
        _take_out(state, places, f"-{page_id}")


def _take_out(state: State, places: tuple[int, ...], said: str) -> None:
    before = 0
    for place, tokens in state.layout.items():
        if place == places[0] or before >= state.prefix:
            break
        before += tokens
    state.prefix = min(state.prefix, before)
    state.sent -= sum([state.layout.pop(place) for place in places])
    state.chain = chained(state.chain, [said])
    state.cut = True


def taken_out(state: State, reached: e.BoundaryReached) -> None:
    """Apply a boundary to arguments, thoughts, and pages not yet in the context."""
    gone = dict.fromkeys(leaving(state, reached))
    unplaced = [page_id for page_id in gone if state.arrivals.pop(page_id, "") is None]
    if gone and reached.cut is not Cut.MICRO and reached.boundary in _CUTTING:
        calls = [call for call in state.asked if not _answered(state, call, gone)]
        places = [place for page_id in gone for place in state.copies.get(page_id, ())]
        places += [state.asked[call] for call in calls]
        for version in _thoughts(state, dict.fromkeys(places), bool(unplaced)):
            _take_out(state, (state.thought.pop(version),), f"-thoughts {version}")
        for call in calls:
            _take_out(state, (state.asked.pop(call),), f"-call {call}")


def put_back(state: State, reached: e.BoundaryReached) -> None:
    """Apply a boundary to the pages that it put back."""
    for page_id in reached.returned:
        if page_id not in state.resident and state.holdable(state.pages[page_id]):
            state.arrivals[page_id] = None


def _thoughts(state: State, places: Mapping[int, None], unplaced: bool) -> list[int]:
    """The answers whose thoughts leave because text after them leaves: at given places, or not placed yet."""
    if not state.thought:
        return []
    versions = {place: version for version, place in state.thought.items()}
    found, waiting = [], []
    for place in state.layout:
        if place in versions:
            waiting.append(versions[place])
        else:
            found += waiting if place in places else []
            waiting = []
    return found + waiting if unplaced else found


def _answered(state: State, call: int, gone: Mapping[str, None]) -> bool:
    """Tell whether the result of a call stays in the context."""
    page_id = state.calls[call].page_id
    return page_id is not None and page_id not in gone and (page_id in state.resident or page_id in state.arrivals)


def settled(state: State) -> None:
    """Fold a change of policy to the rule or from it: the context begins with the pages in the prompt."""
    state.layout, state.copies, state.asked, state.thought, state.assembled_tags = {}, {}, {}, {}, ()
    state.passing = {}
    state.sent = state.prefix = 0
    state.cut = bool(state.resident)
    if state.as_recorded:
        standing = sorted(state.resident, key=lambda page_id: state.pages[page_id].number)
        waiting = dict.fromkeys((*standing, *state.arrivals))
        state.arrivals = {page_id: None for page_id in waiting if state.holdable(state.pages[page_id])}
