"""The observer of needs, calls and recalls: every need has exactly one outcome, the first row that matches (§6).

| need | outcome |
|---|---|
| a holder is resident at a level whose text contains it | `page_used` (hit) |
| the content of all holders was redacted | fault `refetch`, reason `redacted` |
| the newest holder (that was not redacted) can be resolved | `page_resolved` (page-in) |
| the call repeats a declared call whose result still held | fault `duplicate_tool` |
| otherwise | fault `refetch` |

Under the rule `recorded` a page is resident if the harness had it in its context, and no page can be resolved. For
a page that the harness had dropped, reading it again is a `refetch`, and any other need is a `need_unmet`.

Needs are counted once per (turn, set of holders). A miss is charged to the newest holder that the policy offers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clawvm_es.core.state import Page, State, holder_set
from clawvm_es.model import events as e
from clawvm_es.model.facts import FaultReason, FaultType, Need, NeedRule, RecallOutcome
from clawvm_es.model.pages import ABSENT, FULL, RANK
from clawvm_es.model.profile import Capability

_SILENT = {
    RecallOutcome.DENIED: FaultReason.DENIED,
    RecallOutcome.BACKEND_ERROR: FaultReason.BACKEND_ERROR,
    RecallOutcome.MALFORMED: FaultReason.MALFORMED,
}
"""Recall outcomes that are failures, not answers."""


def needs(
    state: State, found: Iterable[Need], call: int | None = None, repeats: int | None = None
) -> Iterator[e.Decision]:
    """Return one decision for each need that was not yet counted in this turn.

    The needs ride on `call`; `repeats` is the earlier, still valid call that it repeats.
    """
    seen = dict(state.turn_needs)
    for need in found:
        key = holder_set(need)
        if key not in seen:
            seen[key] = None
            yield _outcome(state, need, call, repeats)


def _outcome(state: State, need: Need, call: int | None, repeats: int | None) -> e.Decision:
    for holder in reversed(need.holders):
        if _resident(state, holder.page_id, tuple(RANK[level] for level in holder.levels)):
            return e.PageUsed(holder.page_id, need.rule)
    pages = [state.pages[holder.page_id] for holder in reversed(need.holders)]
    page = min(pages, key=lambda page: (page.redacted, not state.offers(page)))
    evidence: tuple[int, ...] = (page.written_version,)
    if page.redacted:
        return e.FaultObserved(FaultType.REFETCH, FaultReason.REDACTED, page.page_id, call, evidence)
    if state.as_recorded and need.rule is not NeedRule.REPEATED_READ:
        return e.NeedUnmet(page.page_id, need.rule, need.tokens, call)
    if _resolvable(state, page, need.rule):
        return e.PageResolved(page.page_id, need.rule, need.tokens)
    if repeats is not None and not state.as_recorded:
        evidence += (state.calls[repeats].version,)
        return e.FaultObserved(FaultType.DUPLICATE_TOOL, FaultReason.RERUN, page.page_id, call, evidence)
    return e.FaultObserved(FaultType.REFETCH, FaultReason.NOT_RESIDENT, page.page_id, call, evidence)


def _resident(state: State, page_id: str, ranks: tuple[int, ...]) -> bool:
    if state.as_recorded:
        return FULL in ranks and (page_id in state.resident or page_id in state.arrivals)
    return state.resident.get(page_id, ABSENT) in ranks and page_id not in state.rewritten


def _resolvable(state: State, page: Page, rule: NeedRule) -> bool:
    if page.gone or Capability.RESOLUTION not in state.capabilities:
        return False
    return rule is not NeedRule.REPEATED_READ or Capability.VALIDITY in state.capabilities


def recall(state: State, answer: e.RecallAnswered) -> Iterator[e.Decision]:
    """The fault `silent_recall`: an empty answer although the backend denied or failed, and the policy did not say
    so.
    """
    reason = _SILENT.get(answer.outcome)
    if reason is not None and not answer.pages and Capability.RECALL_OUTCOME not in state.capabilities:
        yield e.FaultObserved(FaultType.SILENT_RECALL, reason, evidence=(state.version + 1,))
