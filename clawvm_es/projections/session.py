"""The fold of one session: the rows that it touched, found by their keys, and the envelope of the event in hand.

A fold keeps all its state in its rows; `Past` supplies rows of earlier pieces, one at a time, when an event needs
them. A fork's row begins as a copy of its parent's, under its own id, when the fork's own events first change it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol, TypeAlias, TypeVar, cast

import attrs
import msgspec

from clawvm_es.journal.ports import Cells, RawEvent
from clawvm_es.model.events import BoundaryReached
from clawvm_es.model.facts import UpdateFacts
from clawvm_es.projections.rows import (
    BoundaryRow,
    FaultRow,
    FieldRow,
    LossRow,
    PageRow,
    SessionRow,
    TurnRow,
    UpdateRow,
)
from clawvm_es.projections.tables import BOUNDARIES, PAGE_TABLE, TURNS, UPDATES, Table

R = TypeVar("R")
Stood: TypeAlias = tuple[str, int, int]
"""Level of a page in a prompt, its tokens, and the boundary that had taken it out."""
Moved: TypeAlias = Mapping[str, Stood | None]
"""Pages that were moved since the last prompt → how they stood in it; None: they left before another turn began."""

_CHANGING = {TURNS.name: "turns", PAGE_TABLE.name: "pages", UPDATES.name: "updates", BOUNDARIES.name: "boundaries"}
"""Table → the rows of it that a `SessionFold` touched, by their key within the session."""

_EPOCH = datetime(1970, 1, 1)
_LEVEL_TOKENS = msgspec.json.Decoder(dict[str, int])
_COUNTS = msgspec.json.Decoder(dict[str, int])


class ModelUsage(msgspec.Struct):
    """Usage that the provider told of one model's answers; `name` is the commitment to the model's name."""

    name: str | None = None
    answers: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0
    output_tokens: int = 0


USAGES = msgspec.json.Decoder(dict[str, ModelUsage])
"""Reads `SessionRow.usage_by_model`."""
_SORTED = msgspec.json.Encoder(order="deterministic")


@lru_cache(maxsize=256)
def _second(at_s: int) -> str:
    return (_EPOCH + timedelta(seconds=at_s)).isoformat(" ", "seconds")


def iso(at_us: int) -> str:
    """UTC microseconds as text that sorts and that SQLite's date functions read: `2026-11-22 10:11:02.000000`.

    A time outside the calendar, which older programs accepted, is given in seconds: `@-62135600400.000000`.
    """
    seconds, rest = divmod(at_us, 1_000_000)
    try:
        return f"{_second(seconds)}.{rest:06d}"
    except OverflowError:
        return f"@{seconds}.{rest:06d}"


class Past(Protocol):
    """The rows that earlier pieces of the log left, or those that a fork inherits."""

    def row(self, table: Table[R], key: Cells) -> R | None:
        """The row with this key; None if there is none."""

    def rows(self, table: Table[R], session_id: str | None = None) -> Iterator[R]:
        """The rows of one session, or of all."""

    def tool(self, session_id: str, call: int, upto: int) -> str | None:
        """The name of the tool of a call, as of a version."""


class NoPast:
    """The past of a fold from zero."""

    def row(self, table: Table[R], key: Cells) -> None:
        """No row."""

    def rows(self, table: Table[R], session_id: str | None = None) -> Iterator[R]:
        """No rows."""
        return iter(())

    def tool(self, session_id: str, call: int, upto: int) -> None:
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
    tools: dict[int, tuple[str, int]] = attrs.field(factory=dict)
    faults: list[FaultRow] = attrs.field(factory=list)
    fields: list[FieldRow] = attrs.field(factory=list)
    by_type: dict[str, int] = attrs.field(factory=dict)  # page type → pages; empty until one is counted
    by_model: dict[str, ModelUsage] = attrs.field(factory=dict)  # empty until an answer is counted
    losses: list[LossRow] = attrs.field(factory=list)
    boundaries: dict[int, BoundaryRow] = attrs.field(factory=dict)
    given: RawEvent = (0, "", 0, 0, "", "", 0, 0, "", "", b"")  # the input whose decisions are in hand
    reached: BoundaryReached | None = None  # where that is a boundary
    staged: dict[str, UpdateFacts] = attrs.field(factory=dict)  # by that boundary
    in_epochs: bool | None = None  # whether it pages in epochs; None: its events in hand do not say
    assembling: bool = False  # whether a turn began and its prompt is not assembled yet
    has_prompt: bool = False  # whether one was assembled, among the events in hand
    stood: dict[str, Stood | None] = attrs.field(factory=dict)  # `Moved` since then

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

    def take(self, raw: RawEvent) -> None:
        """Take an input in hand: what a boundary before it staged was for its own decisions only."""
        self.given = raw
        if self.reached is not None:
            self.reached, self.staged = None, {}

    def enter_turn(self, number: int) -> None:
        """Make `number` the turn in hand; the event before the one in hand was the last of another turn."""
        self.turn.last_version = self.version - 1
        known = self.turns.get(number) or self.past.row(TURNS, (self.session_id, number))
        if known is None:
            known = TurnRow(self.session_id, number, at=self.at, first_version=self.version)
        self.turn = self.turns[number] = known
        self.turn_tag = b"%d " % number

    def known_page(self, page_id: str) -> PageRow | None:
        """The row of a page, or None if it was never written."""
        page = self.pages.get(page_id)
        if page is None:
            page = self.past.row(PAGE_TABLE, (self.session_id, page_id))
            if page is not None:
                self.pages[page_id] = page
        return page

    def page(self, page_id: str) -> PageRow:
        """The row of a page, made when it is first touched."""
        page = self.pages.get(page_id) or self.known_page(page_id)
        if page is None:
            page = self.pages[page_id] = PageRow(self.session_id, page_id, seq=self.seq, first_version=self.version)
        return page

    def moves(self, page: PageRow, leaves: bool) -> None:
        """Note how a page stood in the last prompt, before it is moved. What leaves between prompts is gone."""
        if self.in_epochs is False:
            return
        if leaves and not self.assembling:
            self.stood[page.page_id] = None
        else:
            self.stood.setdefault(page.page_id, (page.level, page.tokens, page.left_version))

    def restore(self) -> None:
        """Let the pages stand as in the last prompt, since the next one was never assembled."""
        for page_id, found in self.stood.items():
            if found is not None:
                page = self.page(page_id)
                page.level, page.tokens, page.left_version = found
                page.changed_version = self.version

    def count_page(self, page_type: str) -> None:
        """Count a page that was written for the first time."""
        if not self.by_type:
            self.by_type = _COUNTS.decode(self.row.pages_by_type)
        self.by_type[page_type] = self.by_type.get(page_type, 0) + 1

    def usage_of(self, model: int | None) -> ModelUsage:
        """The usage of a model by its ordinal; what is added to it is written to the row at the end."""
        if not self.by_model:
            self.by_model = USAGES.decode(self.row.usage_by_model)
        return self.by_model.setdefault(str(model or 0), ModelUsage())

    def update(self, number: int) -> UpdateRow:
        """The row of an update, made when it is first touched; who asks for it changes it."""
        update = self.updates.get(number)
        if update is None:
            update = self.past.row(UPDATES, (self.session_id, number))
            if update is None:
                update = UpdateRow(self.session_id, number, turn=self.turn.turn, version=self.version)
                update.first_version = self.version
            self.updates[number] = update
        update.changed_version = self.version
        return update

    def boundary(self, version: int) -> BoundaryRow | None:
        """The row of a boundary that took pages out."""
        found = self.boundaries.get(version) or self.past.row(BOUNDARIES, (self.session_id, version))
        if found is not None:
            self.boundaries[version] = found
            found.changed_version = self.version
        return found

    def tool(self, call: int | None) -> str | None:
        """The name of the tool of a call."""
        if call is None:
            return None
        found = self.tools.get(call)
        return found[0] if found else self.past.tool(self.session_id, call, self.version)

    def touched(self, table: Table[R], key: Cells) -> R | None:
        """A row that this fold touched and that may still change, by its key within the session."""
        return cast("Mapping[Any, R]", getattr(self, _CHANGING[table.name])).get(key[0])

    def rows(self, table: Table[R]) -> Iterator[R]:
        """The rows of one table that this fold touched."""
        match table.name:
            case "sessions":
                found: Iterable[Any] = (self.row,)
            case "turns":
                found = (row for number, row in self.turns.items() if number > 0)
            case "faults":
                found = self.faults
            case "durable_store":
                found = self.fields
            case "losses":
                found = self.losses
            case name:
                found = getattr(self, _CHANGING[name]).values()
        return iter(found)

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
        if self.by_model:
            row.usage_by_model = _SORTED.encode(self.by_model).decode()


@lru_cache(maxsize=8192)
def _sizes(levels: str) -> dict[str, int]:
    return _LEVEL_TOKENS.decode(levels)


def tokens_at(page: PageRow, level: str) -> int:
    """Tokens of a page at a level; 0 where it is not kept."""
    return _sizes(page.levels).get(level, 0)
