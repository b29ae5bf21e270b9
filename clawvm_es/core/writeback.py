"""Writeback: stage → validate → commit. Rejected updates stay in the log, with the first reason that matches.

| check, in this order | reason |
|---|---|
| the field is known; its type and size are right | SCHEMA_INVALID |
| the evidence, and all pages that a `replace` replaces, resolve here or in a shared scope | PROVENANCE_UNRESOLVED |
| the principal may write this scope | SCOPE_DENIED |
| nothing committed is overwritten | DESTRUCTIVE_OP |
| no hard pin is violated, every validator agrees | POLICY_VIOLATION |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from clawvm_es.core.state import FieldKey, State
from clawvm_es.model.facts import Evidence, Op, RejectReason, SchemaVerdict, StagedPage, UpdateFacts
from clawvm_es.model.pages import Pin


def check(state: State, facts: UpdateFacts, ahead: Mapping[FieldKey, int] | None = None) -> RejectReason | None:
    """The reason why an update is refused; None if it passes. `ahead` are versions given earlier at this commit
    point.
    """
    if facts.verdict is not SchemaVerdict.OK:
        return RejectReason.SCHEMA_INVALID
    if not (_resolves(state, facts.evidence) and _replaces(state, facts)):
        return RejectReason.PROVENANCE_UNRESOLVED
    if not facts.allowed:
        return RejectReason.SCOPE_DENIED
    if _destroys(facts, committed_version(state, facts, ahead)):
        return RejectReason.DESTRUCTIVE_OP
    page = state.pages.get(facts.field)
    if page is not None and page.pin is Pin.HARD and facts.size_bytes == 0:
        return RejectReason.POLICY_VIOLATION
    if any(state.pages[page_id].pin is Pin.HARD for page_id in facts.replaces):
        return RejectReason.POLICY_VIOLATION
    if not all(verdict.agrees for verdict in facts.validators):
        return RejectReason.POLICY_VIOLATION
    return None


def committed_version(state: State, facts: UpdateFacts, ahead: Mapping[FieldKey, int] | None = None) -> int:
    """The committed version of an update's field; 0 if there is none."""
    key = (facts.scope, facts.field)
    known = state.store.get(key, 0)
    return ahead.get(key, known) if ahead else known


def rebased(state: State, staged: Iterable[StagedPage]) -> tuple[StagedPage, ...]:
    """Staged pages of another run as this run writes them back: only the dirty ones, on top of its own versions."""
    return tuple(
        replace(page, update=replace(page.update, base_version=committed_version(state, page.update)))
        for page in staged
        if page.page_id in state.dirty
    )


def _resolves(state: State, evidence: Evidence) -> bool:
    if evidence.page_id is not None:
        page = state.pages.get(evidence.page_id)
        return page is not None and not page.gone
    if evidence.version is not None:
        return 1 <= evidence.version <= state.version
    if evidence.scope_version is not None:
        return any(1 <= evidence.scope_version <= seen for seen in state.scopes.values())
    return False


def _replaces(state: State, facts: UpdateFacts) -> bool:
    """Tell whether all pages resolve that a summary replaces; False for a summary that replaces none."""
    if facts.op is not Op.REPLACE:
        return not facts.replaces
    pages = [state.pages.get(page_id) for page_id in facts.replaces]
    return bool(pages) and all(page is not None and not page.gone for page in pages)


OVERWRITES: Final = (Op.SET_WITH_VERSION, Op.DELETE, Op.REPLACE)
"""Operations that put something in the place of what is committed: they need its version."""


def _destroys(facts: UpdateFacts, committed: int) -> bool:
    if facts.op in OVERWRITES:
        return (facts.base_version or 0) != committed
    return facts.keys_changed > 0
