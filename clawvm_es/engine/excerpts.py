"""Page-ins of a range of lines: their facts, and the page that brings the range into the next prompt.

| the requested text | need of | arrives |
|---|---|---|
| stands in the prompt in full, or arrives with its page | the page | – |
| is erased, or is the whole page, or the harness assembles its own prompts | the page | the page |
| is a range | a page of that range | that page, at its own cost |
| reaches the model another way (`arrives=False`) and is not in the prompt | none | – |
"""

from __future__ import annotations

import attrs
from msgspec.structs import replace

from clawvm_es.core.state import Page, State
from clawvm_es.engine import given
from clawvm_es.engine.observed import Observed
from clawvm_es.engine.shell import Shell
from clawvm_es.model import events as e
from clawvm_es.model.facts import Holder, Need, NeedRule, RecallOutcome
from clawvm_es.model.pages import ABSENT, FULL, Origin, OriginKind, PageType


@attrs.frozen
class Looked:
    """Lines of a page in a state: their text (None: erased), the range, and whether it is the whole page."""

    page: Page
    text: str | None
    first: int
    last: int
    is_whole: bool
    query: str


class Excerpts:
    """Page-ins of one session."""

    def __init__(self, shell: Shell, observed: Observed) -> None:
        self._shell = shell
        self._observed = observed

    def look(self, page: Page, first: int, last: int | None) -> Looked:
        """Lines of a page. Raises `UsageError` for a range outside the page."""
        query = f"{page.page_id}:{first}-{last or ''}"
        if page.gone:
            return Looked(page, None, 0, 0, is_whole=True, query=query)
        lines = (self._shell.edge.open(page.bodies[FULL]) or "").splitlines(keepends=True)
        begin, end = given.lines(page.page_id, len(lines), first, last)
        is_whole = begin == 1 and end == len(lines)
        return Looked(page, "".join(lines[begin - 1 : end]), begin, end, is_whole, query)

    def is_recorded(self, key: str, query: str) -> bool:
        """Tell whether this page-in was recorded under a key."""
        first = self._shell.recorded(key)
        return isinstance(first, e.RecallAnswered) and self._shell.edge.open(first.query) == query

    def inputs(self, state: State, looked: Looked, arrives: bool) -> list[e.Input]:
        """The inputs of a page-in; the first one writes the range's page, if it is new."""
        edge = self._shell.edge
        tokens = edge.count(looked.text or "")
        standing = _stands(state, looked.page)
        written: list[e.Input] = []
        holder: str | None = looked.page.page_id
        if looked.text is not None and not standing:
            if not arrives:
                holder = None
            elif not (looked.is_whole or state.as_recorded):
                page = self._page_of(state, looked)
                holder = page.page_id
                is_same = holder in state.pages and state.pages[holder].bodies[FULL] == page.levels[0].body
                written = [] if is_same and state.holdable(state.pages[holder]) else [page]
        needs = () if holder is None else (Need((Holder(holder),), NeedRule.DECLARED, tokens),)
        query = edge.text(looked.query)
        return [*written, e.RecallAnswered(state.recalls + 1, RecallOutcome.OK, query, needs=needs)]

    def _page_of(self, state: State, looked: Looked) -> e.PageWritten:
        """The page to write for a range; the same range is written to the same page."""
        edge, known = self._shell.edge, self._observed.at(state).known
        place = f"{looked.page.page_id}:{looked.first}-{looked.last}"
        name = f"lines:{place}"
        ordinal = known.slot_names.get(name)
        written = edge.page(
            known.slots.get(name) or f"p{len(state.pages) + 1}",
            PageType.EVIDENCE,
            looked.text or "",
            author=looked.page.author,
            origin=Origin(OriginKind.RECORD),
            source=f"page {looked.page.page_id}, lines {looked.first}-{looked.last}",
        ).event
        named = edge.text(name) if ordinal is None else None
        return replace(written, slot=ordinal or len(known.slot_names) + 1, slot_name=named)


def _stands(state: State, page: Page) -> bool:
    """Tell whether a page is in the prompt in full, or arrives in the next one."""
    stands = state.resident.get(page.page_id, ABSENT) == FULL and page.page_id not in state.rewritten
    return stands or page.page_id in state.arrivals
