"""Losses of a session: needed pages that were not in the prompt, and the pages that each boundary took out of it.

Under the policy `recorded` they are the harness's own losses; under any other, those that its prompts would have had.

| loss | how it is known |
|---|---|
| read again | a fault `refetch` or `duplicate_tool` |
| used without the page | `need_unmet`: no page or summary that holds the text was in the prompt |
| paged in | `page_resolved`: a policy with resolution read it from the log |
| rule lost | `post_compaction_bootstrap`, `pinned_invariant_miss` |

LAW-LOSSES-1: the losses in the read models equal those found by a walk over all events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from clawvm_es.history.origins import is_inferred
from clawvm_es.history.places import state_at
from clawvm_es.history.spans import Spans
from clawvm_es.journal.lineage import Line, event_at
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.journal.snapshots import load
from clawvm_es.model import events as e
from clawvm_es.model.facts import ChangeReason, Cut, NeedRule
from clawvm_es.model.pages import LADDER, RANK, Fidelity, PageType
from clawvm_es.projections import Snapshot, snapshot
from clawvm_es.projections.losses import OF_FAULTS, Kind
from clawvm_es.projections.rows import LossRow
from clawvm_es.projections.tables import BOUNDARIES, LOSSES

__all__ = ["Dropped", "Kind", "Loss", "Losses", "losses", "losses_of"]


@attrs.frozen
class Loss:
    """A need whose page was missing, or a missing rule: the turn, the page, and the tokens it takes to get it again.

    `tokens` are those read again, else those of the whole page. `line` is the page's line in the transcript (0:
    none), `again` the line that needed it (0: none). `boundary` is the version of the boundary that took the page
    out.
    """

    kind: Kind
    version: int
    turn: int
    page_id: str
    page_type: PageType
    rule: NeedRule | None
    tokens: int
    line: int
    again: int = 0
    call: int | None = None
    boundary: int | None = None


@attrs.frozen
class Dropped:
    """One boundary: the pages and tokens that it took out of the prompt, and the pages among them needed later.

    It is `inferred` if it was found from the provider's counts alone, without a row in the transcript.
    """

    version: int
    turn: int
    boundary: str
    cut: Cut | None
    pages: int
    tokens: int
    summary: bool
    needed: tuple[Loss, ...]
    inferred: bool = False


@attrs.frozen
class Losses:
    """All losses of a session in the order of their events, and its boundaries that took pages out.

    `held` is the largest number of page tokens in a prompt, without arguments and thoughts.
    """

    losses: tuple[Loss, ...]
    dropped: tuple[Dropped, ...]
    held: int = 0

    def of(self, *kinds: Kind) -> tuple[Loss, ...]:
        """The losses of the given kinds."""
        return tuple(loss for loss in self.losses if loss.kind in kinds)

    @property
    def needed(self) -> tuple[Loss, ...]:
        """Losses of pages that the agent needed again, the most tokens first."""
        found = self.of(Kind.READ_AGAIN, Kind.UNMET, Kind.PAGED_IN)
        return tuple(sorted(found, key=lambda loss: (-loss.tokens, loss.version)))


def losses_of(log: EventLog, session_id: str) -> Losses:
    """The losses of a session from the read models, without `held`, which is 0."""
    with snapshot(log) as view:
        rows, cuts = view.rows(LOSSES, session_id), view.rows(BOUNDARIES, session_id)
        again = _read_again(log, view, session_id, sorted({row.call for row in rows if row.call}))
    found = tuple(_loss(row, again) for row in rows)
    return Losses(
        found,
        tuple(
            Dropped(
                cut.version,
                cut.turn,
                cut.boundary,
                None if cut.cut is None else Cut(cut.cut),
                cut.pages,
                cut.tokens,
                cut.summary,
                tuple(each for each in found if each.boundary == cut.version and each.kind is not Kind.RULE_LOST),
                cut.cut == Cut.MICRO and is_inferred(event_at(log, session_id, cut.version).data),
            )
            for cut in cuts
            if cut.pages
        ),
    )


def _loss(row: LossRow, again: Mapping[int, int]) -> Loss:
    return Loss(
        Kind(row.kind),
        row.version,
        row.turn,
        row.page_id,
        PageType(row.page_type),
        None if row.rule is None else NeedRule(row.rule),
        row.tokens,
        row.line,
        again.get(row.call or 0, 0),
        row.call,
        row.boundary_version,
    )


def _read_again(log: EventLog, view: Snapshot, session_id: str, calls: Sequence[int]) -> dict[int, int]:
    """Call → line of the first page that holds its result."""
    if not calls:
        return {}
    state, spans, line = state_at(log, session_id), Spans.of(view, log, session_id), Line(log, session_id)
    load(state.calls, calls)
    pages = {call: state.calls[call].page_id for call in calls if call in state.calls}
    found: dict[int, int] = {}
    for call, page_id in pages.items():
        span = None if page_id is None else spans.page(page_id)
        for row in line.read(span.first - 1, span.written) if span is not None else ():
            data = row.data
            if isinstance(data, e.PageWritten) and data.origin.call == call:
                found[call] = data.origin.first
                break
    return found


def losses(rows: Iterable[Recorded]) -> Losses:
    """The losses of a session, from its events."""
    found = _Finder()
    for row in rows:
        found.see(row)
    return found.found()


@attrs.define
class _Taken:
    """A boundary in progress."""

    row: Recorded
    data: e.BoundaryReached
    pages: int = 0
    tokens: int = 0
    summary: bool = False


@attrs.frozen
class _Written:
    """The newest content of a page, as losses need it; `tokens` are by rank, 0 for levels not kept."""

    page_type: PageType
    line: int
    tokens: tuple[int, ...]

    @classmethod
    def of(cls, data: e.PageWritten) -> _Written:
        tokens = [0] * len(LADDER)
        for each in data.levels:
            tokens[RANK[each.level]] = each.tokens
        return cls(data.page_type, data.origin.first, tuple(tokens))


@attrs.define
class _Finder:
    """Walks over the events of a session."""

    written: dict[str, _Written] = attrs.field(factory=dict)
    left: dict[str, int] = attrs.field(factory=dict)  # page → version of the boundary that took it out
    calls: dict[int, int] = attrs.field(factory=dict)  # call → line of its result
    needs: dict[str, tuple[NeedRule, int]] = attrs.field(factory=dict)  # page → rule and tokens of its last need
    taken: dict[int, _Taken] = attrs.field(factory=dict)
    losses: list[Loss] = attrs.field(factory=list)
    levels: dict[str, Fidelity] = attrs.field(factory=dict)  # of pages in the prompt
    tokens: int = 0  # of those
    held: int = 0

    def see(self, row: Recorded) -> None:
        """Take one event."""
        data = row.data
        if isinstance(data, e.PageWritten):
            self._page(data)
        elif isinstance(data, e.BoundaryReached):
            self.taken[row.version] = _Taken(row, data)
        elif isinstance(data, e.RepresentationChanged):
            self._changed(row, data)
        elif isinstance(data, e.PromptAssembled):
            self.held = max(self.held, self.tokens)
        elif isinstance(data, e.ToolCalled | e.ToolReturned | e.ModelResponded | e.RecallAnswered):
            self.needs.update(
                (each.page_id, (need.rule, need.tokens)) for need in data.needs for each in need.holders
            )
        elif isinstance(data, e.NeedUnmet):
            self._lost(row, Kind.UNMET, data.page_id, data.call)
        elif isinstance(data, e.PageResolved):
            self._lost(row, Kind.PAGED_IN, data.page_id)
        elif isinstance(data, e.FaultObserved) and data.fault in OF_FAULTS and data.page_id is not None:
            self._lost(row, OF_FAULTS[data.fault], data.page_id, data.call)

    def _page(self, data: e.PageWritten) -> None:
        before = self._standing(data.page_id)
        self.written[data.page_id] = _Written.of(data)
        self.tokens += self._standing(data.page_id) - before
        self.left.pop(data.page_id, None)
        if data.origin.call is not None:
            self.calls.setdefault(data.origin.call, data.origin.first)
        if data.page_type is PageType.SUMMARY and self.taken:
            last = self.taken[max(self.taken)]
            last.summary = last.summary or last.data.cut is not Cut.REWIND

    def _standing(self, page_id: str) -> int:
        level = self.levels.get(page_id)
        return 0 if level is None else self._tokens(page_id, level)

    def _changed(self, row: Recorded, data: e.RepresentationChanged) -> None:
        self.tokens -= self._standing(data.page_id)
        self.levels[data.page_id] = data.after
        self.tokens += self._standing(data.page_id)
        if data.reason is not ChangeReason.BOUNDARY:
            self.left.pop(data.page_id, None)
        elif row.cause is not None and row.cause in self.taken:
            taken = self.taken[row.cause]
            taken.pages += data.after is Fidelity.ABSENT
            taken.tokens += self._tokens(data.page_id, data.before) - self._tokens(data.page_id, data.after)
            self.left[data.page_id] = row.cause

    def _lost(self, row: Recorded, kind: Kind, page_id: str, call: int | None = None) -> None:
        page = self.written[page_id]
        rule, tokens = (None, 0) if kind is Kind.RULE_LOST else self.needs.get(page_id, (None, 0))
        self.losses.append(
            Loss(
                kind,
                row.version,
                row.turn,
                page_id,
                page.page_type,
                rule,
                tokens if rule is NeedRule.REPEATED_READ else self._tokens(page_id, Fidelity.FULL),
                page.line,
                call=call,
                boundary=self.left.get(page_id),
            )
        )

    def _tokens(self, page_id: str, level: Fidelity) -> int:
        return self.written[page_id].tokens[RANK[level]]

    def found(self) -> Losses:
        """All losses, after the last event."""
        lost = tuple(
            attrs.evolve(loss, again=self.calls.get(loss.call or 0, 0)) if loss.call else loss for loss in self.losses
        )
        return Losses(lost, tuple(self._dropped(lost)), self.held)

    def _dropped(self, lost: Iterable[Loss]) -> Iterator[Dropped]:
        by_boundary: dict[int, list[Loss]] = {}
        for loss in lost:
            if loss.boundary is not None and loss.kind is not Kind.RULE_LOST:
                by_boundary.setdefault(loss.boundary, []).append(loss)
        for version, taken in self.taken.items():
            if taken.pages:
                yield Dropped(
                    version,
                    taken.row.turn,
                    taken.data.boundary.value,
                    taken.data.cut,
                    taken.pages,
                    taken.tokens,
                    taken.summary,
                    tuple(by_boundary.get(version, ())),
                    is_inferred(taken.data),
                )
