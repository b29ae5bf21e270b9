"""Entries of the selection index: each page's score, its steps, and the turn from which its age counts.

A policy that pages in epochs ranks nothing between them: changed pages wait until the index is used.

LAW-SCORE-1: a page's score depends only on the policy, the page, the calls made before its content was written, and
the needs that came with its own call and its results. So it may be computed late, once, when the page is first
ranked; a copy's is computed each time, since a need that comes later makes a page a copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from clawvm_es.core.index import Index
from clawvm_es.core.reuse import worth
from clawvm_es.core.state import Call, Page, State
from clawvm_es.core.utility import QUALITY, UNSCORED, Hull, Score, hull, static_score
from clawvm_es.model.pages import ABSENT, FULL, Author, PageType
from clawvm_es.model.profile import RULES, Capability, Key

_SCORING: Final = Capability.SCORING  # looked up once, as in `core.selector`


def score_of(state: State, page: Page) -> Score:
    """The parts of a page's score that do not change with time, under the session's policy."""
    if _SCORING not in state.capabilities:
        return UNSCORED
    return static_score(
        state.profile.weights,
        page.page_type,
        page.pin,
        page.scope,
        page.active,
        page.full_tokens,
        of_record=page.origin.resource is not None,
        by_model=page.author is Author.MODEL,
        told_elsewhere=_is_told_elsewhere(state, page),
    )


def _is_told_elsewhere(state: State, page: Page) -> bool:
    """Tell whether other pages hold what this result says, if the policy's rule asks for that."""
    rule = RULES[state.profile.rule]
    if rule.key is not Key.EPOCH_REUSE:
        return False
    return _tells_of_a_write(state, page) or (rule.knows_copies and _is_copy(state, page))


def _is_copy(state: State, page: Page) -> bool:
    """Tell whether a page is the result of a call whose whole result earlier pages held already."""
    number = page.origin.call
    call = state.calls.get(number) if page.page_type is PageType.EVIDENCE and number is not None else None
    return call is not None and call.copied


def _tells_of_a_write(state: State, page: Page) -> bool:
    """Tell whether a page is the result of a call that wrote the resource: its call did not read it.

    False if the result was recorded before its call, since the call's reads were not known then.
    """
    about, number = page.origin.resource, page.origin.call
    if page.page_type is not PageType.EVIDENCE or about is None or number is None:
        return False
    call = state.calls.get(number)
    return call is not None and call.version < page.written_version and about not in call.reads


def recency_weight(state: State) -> int:
    """Return the permille that a use in this turn adds to a page's score."""
    return state.profile.weights.recency if _SCORING in state.capabilities else 0


def scored(state: State, page: Page) -> int:
    """The part of a page's rank that does not change with time; computed if the page does not hold it."""
    if RULES[state.profile.rule].knows_copies and _is_copy(state, page):
        return _score(state, page, sum(score_of(state, page)))
    if page.score is None:
        if page.weight is None:
            page.weight = sum(score_of(state, page))
        page.score = _score(state, page, page.weight)
    return page.score


def _score(state: State, page: Page, weight: int) -> int:
    return worth(weight, state.profile.weights.reuse, page.uses, page.full_tokens) if state.ranks_reuse else weight


def index_of(state: State) -> Index:
    """The selection index of `state`: built if there is none, and brought up to date."""
    if state.index is None:
        state.index = build_index(state)
    elif state.in_epochs:
        _bring_up(state, state.index)
    return state.index


def _bring_up(state: State, index: Index) -> None:
    """Rank the pages that changed or aged since the last epoch; arrivals go on waiting."""
    index.advance(state.turn + 1)
    for page_id in index.waiting:
        page = state.pages[page_id]
        if page_id in state.arrivals or not state.holdable(page):
            index.drop(page_id)
        else:
            put(state, index, page)
    index.waiting = {page_id: None for page_id in index.waiting if page_id in state.arrivals}


def build_index(state: State) -> Index:
    """Build an index for the next assembly, from scratch."""
    profile = state.profile
    order = profile.order if _SCORING in state.capabilities else None
    index = Index(RULES[profile.rule].key, order, recency_weight(state), state.turn + 1)
    for page in state.pages.values():
        if page.page_id not in state.arrivals:
            put(state, index, page)
    if state.in_epochs:
        index.waiting = dict.fromkeys(state.arrivals)
    return index


def advance(state: State, index: Index, arrived: Iterable[str]) -> None:
    """Bring the index to the next turn: rank again the pages that lose recency, and those that `arrived`."""
    index.advance(state.turn + 1)
    for page_id in arrived:
        put(state, index, state.pages[page_id])


def put(state: State, index: Index, page: Page) -> None:
    """Put a page's present steps into the index; a page that no prompt can show gets none."""
    if not state.holdable(page):
        return
    rule = RULES[state.profile.rule]
    if rule.knows_copies and page.origin.call is not None:
        known = index.results.get(page.origin.call, ())
        if page.page_id not in known:
            index.results[page.origin.call] = (*known, page.page_id)
    if rule.whole_results:
        index.put(page.page_id, page.number, in_full(page, ABSENT), scored(state, page), page.last_used)
        return
    base = state.held_floor(page)
    if page.hull is None or page.hull_base != base:
        page.hull, page.hull_base = hull(page.tokens, base), base
    index.put(page.page_id, page.number, page.hull, scored(state, page), since(state, page))


def since(state: State, page: Page) -> int:
    """The turn from which a page's age counts: its last use, or under `reuse` the last write of its resource."""
    return max(page.last_used, page.edited) if state.ranks_reuse else page.last_used


def in_full(page: Page, base: int) -> Hull:
    """The single step of a cache of results, from rank `base`: the whole result. Pages of other types have none."""
    if page.page_type is not PageType.EVIDENCE or base == FULL:
        return ()
    return ((FULL, QUALITY[FULL] - QUALITY[base], page.full_tokens - page.tokens[base]),)


def reindex(state: State, page: Page) -> None:
    """Tell the index, if there is one, that a page's rank changed; arrivals are not in it."""
    if state.index is None:
        return
    if state.in_epochs:
        state.index.waiting[page.page_id] = None
    elif page.page_id not in state.arrivals:
        put(state, state.index, page)


def reindex_copy(state: State, call: Call) -> None:
    """Tell the index, if there is one, that a result is a copy, of which it may have ranked pages before."""
    for page_id in state.index.results.get(call.call, ()) if state.index is not None else ():
        reindex(state, state.pages[page_id])


def unindex(state: State, page: Page) -> None:
    """Remove a page from the index, if there is one."""
    if state.index is None:
        return
    if state.in_epochs:
        state.index.waiting[page.page_id] = None
    else:
        state.index.drop(page.page_id)
