"""The fold of one session: the rows that it touched, found by their keys, and the envelope of the event in hand.

Everything that a fold remembers from one piece of the log to the next stands in its rows; rows of earlier
pieces come in through `Past`, one at a time, when an event needs them. A fork's rows begin as copies of what its
parent's were there, under its own id: everything about a child includes the parent's prefix.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Protocol

import attrs
import msgspec

from clawvm_es.journal.ports import RawEvent
from clawvm_es.model.facts import UpdateFacts
from clawvm_es.projections.rows import FaultRow, FieldRow, PageRow, SessionRow, TurnRow, UpdateRow

_EPOCH = datetime(1970, 1, 1)
_LEVEL_TOKENS = msgspec.json.Decoder(dict[str, int])
_COUNTS = msgspec.json.Decoder(dict[str, int])
_SORTED = msgspec.json.Encoder(order="deterministic")


@lru_cache(maxsize=256)
def _second(at_s: int) -> str:
    return (_EPOCH + timedelta(seconds=at_s)).isoformat(" ", "seconds")


def iso(at_us: int) -> str:
    """UTC microseconds as text that sorts and that SQLite's date functions read: `2026-11-22 10:11:02.000000`.

    A time that no calendar of ours holds, which an older program took, is told in seconds: `@-62135600400.000000`.
    """
    seconds, rest = divmod(at_us, 1_000_000)
    try:
        return f"{_second(seconds)}.{rest:06d}"
    except OverflowError:
        return f"@{seconds}.{rest:06d}"


class Past(Protocol):
    """The rows that earlier pieces of the log left; None where there is none."""

    def session(self, session_id: str) -> SessionRow | None:
        """The row of a session."""

    def turn(self, session_id: str, turn: int) -> TurnRow | None:
        """The row of a turn."""

    def page(self, session_id: str, page_id: str) -> PageRow | None:
        """The row of a page."""

    def update(self, session_id: str, number: int) -> UpdateRow | None:
        """The row of an update."""

    def tool(self, session_id: str, call: int) -> str | None:
        """The name of the tool of a call."""


class NoPast:
    """The past of a fold from zero."""

    def session(self, session_id: str) -> None:
        """No row."""

    def turn(self, session_id: str, turn: int) -> None:
        """No row."""

    def page(self, session_id: str, page_id: str) -> None:
        """No row."""

    def update(self, session_id: str, number: int) -> None:
        """No row."""

    def tool(self, session_id: str, call: int) -> None:
        """No name."""


@attrs.define(eq=False)
class SessionFold:
    """The rows of one session that this fold touched, and the envelope of the event in hand."""

    session_id: str
    past: Past
    row: SessionRow
    digest: bytes
    turn: TurnRow
    turn_tag: bytes = b""
    event: RawEvent = (0, "", 0, 0, "", "", 0, 0, "", "", b"")
    turns: dict[int, TurnRow] = attrs.field(factory=dict)
    pages: dict[str, PageRow] = attrs.field(factory=dict)
    updates: dict[int, UpdateRow] = attrs.field(factory=dict)
    tools: dict[int, str] = attrs.field(factory=dict)
    faults: list[FaultRow] = attrs.field(factory=list)
    fields: list[FieldRow] = attrs.field(factory=list)
    by_type: dict[str, int] = attrs.field(factory=dict)  # page type → pages; empty until one is counted
    staged: dict[str, UpdateFacts] = attrs.field(factory=dict)  # by the boundary in hand

    @property
    def seq(self) -> int:
        """Place in the log of the event in hand."""
        return self.event[0]

    @property
    def version(self) -> int:
        """Place in the session of the event in hand."""
        return self.event[2]

    @property
    def at(self) -> str:
        """When the event in hand was recorded."""
        return iso(self.event[7])

    def enter_turn(self, number: int) -> None:
        """Make `number` the turn in hand; the event before the one in hand was the last of another turn."""
        self.turn.last_version = self.version - 1
        known = self.turns.get(number) or self.past.turn(self.session_id, number)
        if known is None:
            known = TurnRow(self.session_id, number, at=self.at, first_version=self.version)
        self.turn = self.turns[number] = known
        self.turn_tag = b"%d " % number

    def known_page(self, page_id: str) -> PageRow | None:
        """The row of a page, or None if it was never written."""
        page = self.pages.get(page_id)
        if page is None:
            page = self.past.page(self.session_id, page_id)
            if page is not None:
                self.pages[page_id] = page
        return page

    def page(self, page_id: str) -> PageRow:
        """The row of a page, made when it is first touched."""
        page = self.pages.get(page_id) or self.known_page(page_id)
        if page is None:
            page = self.pages[page_id] = PageRow(self.session_id, page_id, seq=self.seq)
        return page

    def count_page(self, page_type: str) -> None:
        """Count a page that was written for the first time."""
        if not self.by_type:
            self.by_type = _COUNTS.decode(self.row.pages_by_type)
        self.by_type[page_type] = self.by_type.get(page_type, 0) + 1

    def update(self, number: int) -> UpdateRow:
        """The row of an update, made when it is first touched."""
        update = self.updates.get(number)
        if update is None:
            update = self.past.update(self.session_id, number)
            if update is None:
                update = UpdateRow(self.session_id, number, turn=self.turn.turn, version=self.version)
            self.updates[number] = update
        return update

    def tool(self, call: int | None) -> str | None:
        """The name of the tool of a call."""
        if call is None:
            return None
        return self.tools[call] if call in self.tools else self.past.tool(self.session_id, call)

    def finish(self) -> None:
        """Bring head, digest and last versions up to the last event folded."""
        self.turn.last_version = self.version
        row = self.row
        row.events = self.version  # a fork's count from its parent's first
        row.head_version = self.version
        row.head_hash = self.event[10].hex()
        row.decision_digest = self.digest.hex()
        row.last_at = self.at
        if self.by_type:
            row.pages_by_type = _SORTED.encode(self.by_type).decode()


@lru_cache(maxsize=8192)
def _sizes(levels: str) -> dict[str, int]:
    return _LEVEL_TOKENS.decode(levels)


def tokens_at(page: PageRow, level: str) -> int:
    """Tokens of a page at a level; 0 where it is not kept."""
    return _sizes(page.levels).get(level, 0)
