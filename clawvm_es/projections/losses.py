"""Rows of losses and of boundaries that took pages out of the prompt, equal to what `history.losses` finds."""

from __future__ import annotations

import re
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from clawvm_es.journal import codec
from clawvm_es.model import events as e
from clawvm_es.model.facts import Cut, FaultType, Need, NeedRule
from clawvm_es.model.pages import ABSENT, FULL, LADDER
from clawvm_es.projections.lean import LeanPageResolved, LeanRepresentationChanged
from clawvm_es.projections.rows import BoundaryRow, LossRow, PageRow
from clawvm_es.projections.session import SessionFold, tokens_at


class Kind(StrEnum):
    """Way in which a loss showed."""

    READ_AGAIN = "read_again"
    UNMET = "unmet"
    PAGED_IN = "paged_in"
    RULE_LOST = "rule_lost"


OF_FAULTS: Final = MappingProxyType(
    {
        FaultType.REFETCH: Kind.READ_AGAIN,
        FaultType.DUPLICATE_TOOL: Kind.READ_AGAIN,
        FaultType.POST_COMPACTION_BOOTSTRAP: Kind.RULE_LOST,
        FaultType.PINNED_INVARIANT_MISS: Kind.RULE_LOST,
    }
)
_ABSENT: Final = LADDER[ABSENT].value
_FULL: Final = LADDER[FULL].value
_LINE: Final = re.compile(r"\blines? (\d+)")


def taken_out(s: SessionFold, page: PageRow, data: LeanRepresentationChanged) -> None:
    """Note that a boundary took a page out of the prompt, or lowered it there."""
    reached, version = s.reached, s.given[2]
    if reached is None:
        return
    row = s.boundary(version)
    if row is None:
        cut = None if reached.cut is None else reached.cut.value
        row = BoundaryRow(s.session_id, version, s.turn.turn, reached.boundary.value, cut)
        s.boundaries[version] = row
    row.pages += data.after == _ABSENT
    row.tokens += tokens_at(page, data.before) - tokens_at(page, data.after)
    row.changed_version, page.left_version = s.version, version


def summarized(s: SessionFold) -> None:
    """Note a summary in place of the pages that the last boundary took out."""
    row = s.boundary(s.row.boundary_version) if s.row.boundary_version else None
    if row is not None and row.cut != Cut.REWIND:
        row.summary = True


def paged_in(s: SessionFold, data: LeanPageResolved) -> None:
    """Note a page that a policy with resolution got from the log."""
    _lost(s, s.page(data.page_id), Kind.PAGED_IN, _need(s, data.page_id))


def unmet(s: SessionFold, data: e.NeedUnmet) -> None:
    """Note a needed page although no page or summary with the text was there."""
    _lost(s, s.page(data.page_id), Kind.UNMET, _need(s, data.page_id), data.call)


def faulted(s: SessionFold, page: PageRow, data: e.FaultObserved) -> None:
    """Note a page that was read again, or a rule that was not in the prompt."""
    kind = OF_FAULTS.get(data.fault)
    if kind is not None:
        _lost(s, page, kind, None if kind is Kind.RULE_LOST else _need(s, page.page_id), data.call)


def _need(s: SessionFold, page_id: str) -> Need | None:
    """The last need of the input in hand that a page holds."""
    _, _, _, _, _, name, schema_version, _, _, data, _ = s.given
    if not name:
        return None
    needs = getattr(codec.decode(name, schema_version, data.encode()), "needs", ())
    found = (need for need in reversed(needs) if any(holder.page_id == page_id for holder in need.holders))
    return next(found, None)


def _lost(s: SessionFold, page: PageRow, kind: Kind, need: Need | None, call: int | None = None) -> None:
    again = need is not None and need.rule is NeedRule.REPEATED_READ
    s.losses.append(
        LossRow(
            s.session_id,
            s.turn.turn,
            s.version,
            s.seq,
            kind.value,
            page.page_id,
            page.page_type,
            need.rule.value if need else None,
            need.tokens if need and again else tokens_at(page, _FULL),
            first_line(page.origin),
            call,
            page.left_version or None,
        )
    )


def first_line(origin: str) -> int:
    """The first transcript line in an origin (`line 3`, `call 7, lines 3-5`); 0 if it has none."""
    found = _LINE.search(origin)
    return int(found[1]) if found else 0
