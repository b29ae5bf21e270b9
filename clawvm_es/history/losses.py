"""Losses of a session: needed pages that were not in the prompt, and what each boundary took out of it.

Under the policy `recorded` they are the harness's own; under another they are what its prompts would have lost.

| loss | how it is known |
|---|---|
| read again | a fault `refetch` or `duplicate_tool` |
| used without the page | `need_unmet`: no page that holds the text, and no summary, was there |
| paged in | `page_resolved`: a policy with resolution got it from the log |
| rule lost | `post_compaction_bootstrap`, `pinned_invariant_miss` |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

import attrs

from clawvm_es.journal.ports import Recorded
from clawvm_es.model import events as e
from clawvm_es.model.facts import ChangeReason, Cut, FaultType, Need, NeedRule
from clawvm_es.model.pages import Fidelity, PageType


class Kind(StrEnum):
    """Way in which the loss of a page showed."""

    READ_AGAIN = "read_again"
    UNMET = "unmet"
    PAGED_IN = "paged_in"
    RULE_LOST = "rule_lost"


_FAULTS = {
    FaultType.REFETCH: Kind.READ_AGAIN,
    FaultType.DUPLICATE_TOOL: Kind.READ_AGAIN,
    FaultType.POST_COMPACTION_BOOTSTRAP: Kind.RULE_LOST,
    FaultType.PINNED_INVARIANT_MISS: Kind.RULE_LOST,
}


@attrs.frozen
class Loss:
    """One need whose page was missing, or a rule that was: when, which page, and what it takes to have it again.

    `tokens` are those that were read again, else those of the whole page. `line` is where the page stands in the
    transcript (0: nowhere), `again` the line of what needed it, as far as it has one. `boundary` is the version of
    the boundary that took the page out.
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
    """One boundary: what it took out of the prompt (pages, tokens), and those of it that were needed later."""

    version: int
    turn: int
    boundary: str
    cut: Cut | None
    pages: int
    tokens: int
    summary: bool
    needed: tuple[Loss, ...]


@attrs.frozen
class Losses:
    """All losses of a session in the order in which they showed, and its boundaries that took pages out.

    `held` are the tokens of pages, without arguments and thoughts, in the prompt that held most of them.
    """

    losses: tuple[Loss, ...]
    dropped: tuple[Dropped, ...]
    held: int = 0

    def of(self, *kinds: Kind) -> tuple[Loss, ...]:
        """The losses of some kinds."""
        return tuple(loss for loss in self.losses if loss.kind in kinds)

    @property
    def needed(self) -> tuple[Loss, ...]:
        """Losses of what the agent needed again, the dearest first."""
        found = self.of(Kind.READ_AGAIN, Kind.UNMET, Kind.PAGED_IN)
        return tuple(sorted(found, key=lambda loss: (-loss.tokens, loss.version)))


def losses(rows: Iterable[Recorded]) -> Losses:
    """The losses of a session, from its events."""
    found = _Finder()
    for row in rows:
        found.see(row)
    return found.found()


@attrs.define
class _Taken:
    """A boundary under way."""

    row: Recorded
    data: e.BoundaryReached
    pages: int = 0
    tokens: int = 0
    summary: bool = False


@attrs.define
class _Finder:
    """Walks over the events of a session."""

    written: dict[str, e.PageWritten] = attrs.field(factory=dict)
    left: dict[str, int] = attrs.field(factory=dict)  # page → version of the boundary that took it out
    calls: dict[int, int] = attrs.field(factory=dict)  # call → line of its result
    needs: dict[str, Need] = attrs.field(factory=dict)  # page → the last need that it held
    taken: dict[int, _Taken] = attrs.field(factory=dict)
    losses: list[Loss] = attrs.field(factory=list)
    levels: dict[str, Fidelity] = attrs.field(factory=dict)  # of pages in the prompt
    tokens: int = 0  # of those
    held: int = 0

    def see(self, row: Recorded) -> None:
        """Take an event."""
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
            self.needs.update((each.page_id, need) for need in data.needs for each in need.holders)
        elif isinstance(data, e.NeedUnmet):
            self._lost(row, Kind.UNMET, data.page_id, data.call)
        elif isinstance(data, e.PageResolved):
            self._lost(row, Kind.PAGED_IN, data.page_id)
        elif isinstance(data, e.FaultObserved) and data.fault in _FAULTS and data.page_id is not None:
            self._lost(row, _FAULTS[data.fault], data.page_id, data.call)

    def _page(self, data: e.PageWritten) -> None:
        before = self._standing(data.page_id)
        self.written[data.page_id] = data
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
        page, need = self.written[page_id], self.needs.get(page_id) if kind is not Kind.RULE_LOST else None
        again = need is not None and need.rule is NeedRule.REPEATED_READ
        self.losses.append(
            Loss(
                kind,
                row.version,
                row.turn,
                page_id,
                page.page_type,
                need.rule if need else None,
                need.tokens if need and again else self._tokens(page_id, Fidelity.FULL),
                page.origin.first,
                call=call,
                boundary=self.left.get(page_id),
            )
        )

    def _tokens(self, page_id: str, level: Fidelity) -> int:
        return next((each.tokens for each in self.written[page_id].levels if each.level is level), 0)

    def found(self) -> Losses:
        """Everything, once all events were seen."""
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
                )
