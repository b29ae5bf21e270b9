"""Rows that a fork inherits: its parents' rows as of the fork, found on demand.

LAW-FORK-1: a fork stores its session's row and the rows that its own events changed, so that its size and time depend
only on those events. Every other row is its nearest parent's, as of the fork.

If the parent has not changed a row since the fork, the stored row is used. If it has, the parent's own events up to
the fork are folded again, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final, Protocol, TypeVar, cast

import attrs

from clawvm_es.errors import JournalDamaged
from clawvm_es.journal.ports import Cells
from clawvm_es.projections.rows import SessionRow
from clawvm_es.projections.session import Moved, Past, SessionFold
from clawvm_es.projections.tables import SESSIONS, Table

R = TypeVar("R")

_STRIDE: Final = 8
"""Of so many ancestors on the way to an inherited row one keeps it."""


class Streams(Protocol):
    """Sources of ancestors: the rows of all streams as of now, and a fold of a part of one."""

    past: Past
    sessions: dict[str, SessionFold]

    def parent(self, row: SessionRow) -> Ancestor | None:
        """Return the parent of a session, as of the fork."""

    def latest(self, table: Table[R], key: Cells) -> R | None:
        """Return a stream's own row as of now."""

    def latest_rows(self, table: Table[R], stream: str) -> Iterable[R]:
        """Return a stream's own rows as of now."""

    def fold_again(self, ancestor: Ancestor) -> SessionFold:
        """Fold the own events of an ancestor's stream, up to the ancestor's version."""


@attrs.define(eq=False, slots=False)
class Ancestor:
    """A stream as it was after its version `upto`, which is one of its own events."""

    streams: Streams
    stream: str
    upto: int
    _then: SessionFold | None = None
    _inherited: dict[tuple[str, Cells], object] = attrs.field(factory=dict)

    @cached_property
    def older(self) -> Ancestor | None:
        """The parent of the stream, as of the fork; None if the stream is no fork."""
        row = self.streams.latest(SESSIONS, (self.stream,))
        return None if row is None else self.streams.parent(row)

    def line(self) -> Iterator[Ancestor]:
        """Yield this ancestor, its parent, and so on to the first."""
        at: Ancestor | None = self
        while at is not None:
            yield at
            at = at.older

    def inherited(self, table: Table[R], key: Cells) -> R | None:
        """A copy of the row as of here: the stream's own, or its nearest parent's.

        It is cached on the way, since no later event changes it; other forks find it after a few steps.
        """
        found: R | None = None
        passed: list[Ancestor] = []
        for each in self.line():
            if (table.name, key) in each._inherited:
                found = cast("R | None", each._inherited[table.name, key])
                break
            passed.append(each)
            row = each.row(table, key)
            if row is not None:
                found = attrs.evolve(row)  # type: ignore[misc]
                break
        for each in passed[::_STRIDE]:
            each._inherited[table.name, key] = found
        return found

    def session(self) -> SessionRow:
        """The row of the stream's session. Raises `JournalDamaged` if the stream has no event `upto`."""
        row = self._then.row if self._then else self._head()
        if row is None:
            row = self.then().row
        if row.head_version != self.upto:
            raise JournalDamaged(f"{self.stream} has no version {self.upto}, from which it was forked")
        return row

    def row(self, table: Table[R], key: Cells) -> R | None:
        """The stream's own row with this key, within the session; None if its own events did not change it."""
        row = None if self._then else self.streams.latest(table, (self.stream, *key))
        if row is None:
            return self._then.touched(table, key) if self._then else None
        first, last = table.span_of(row)
        if last <= self.upto:
            return row
        return None if first > self.upto else self.then().touched(table, key)

    def rows(self, table: Table[R], latest: Iterable[R]) -> Iterator[R]:
        """The stream's own rows, given those as of now."""
        for row in latest:
            first, last = table.span_of(row)
            if last <= self.upto:
                yield row
            elif first <= self.upto:
                then = self.then().touched(table, table.key_of(row)[1:])
                if then is not None:
                    yield then

    def tool(self, call: int) -> str | None:
        """The name of the tool of a call that the stream itself made, of those in hand."""
        fold = self._then or self.streams.sessions.get(self.stream)
        found = fold.tools.get(call) if fold else None
        if found and found[1] > self.upto:
            found = self.then().tools.get(call)
        return found[0] if found else None

    def cut(self) -> Moved | None:
        """The pages that a fork restores (moved since the last prompt), if its parent ends inside an assembly.

        None if it does not, or selects at every turn, or did not continue.
        """
        return self._moved() if self._then is not None and self._then.assembling and self._in_epochs() else None

    def _moved(self) -> Moved:
        then = self.then()
        if then.has_prompt or self.older is None:
            return then.stood
        found = dict(self.older._moved())
        found.update((page_id, stood) for page_id, stood in then.stood.items() if not (stood and found.get(page_id)))
        return found

    def _in_epochs(self) -> bool:
        found = self.then().in_epochs
        return found if found is not None else self.older is not None and self.older._in_epochs()

    def then(self) -> SessionFold:
        """The fold of the stream's own events up to here; older streams that have gone on are folded before it."""
        needed = []
        for each in self.line():
            if each._then:
                break
            if each is self or each._head() is None:
                needed.append(each)
        for each in reversed(needed):
            each._then = self.streams.fold_again(each)
        assert self._then is not None, "LAW-FORK-1: an ancestor is folded from its stream's first event"
        return self._then

    def _head(self) -> SessionRow | None:
        """The session's row as of now, if nothing came after `upto`. Raises `JournalDamaged` if it ends before."""
        row = self.streams.latest(SESSIONS, (self.stream,))
        if row is None or row.head_version < self.upto:
            raise JournalDamaged(
                f"a session was forked from version {self.upto} of {self.stream},"
                f" which has {row.head_version if row else 0} events"
            )
        return row if row.head_version == self.upto else None


@attrs.frozen
class Inherited:
    """The past of a fork: its own stored rows, else those of its parents, under its id."""

    own: Past
    parent: Ancestor

    def row(self, table: Table[R], key: Cells) -> R | None:
        """The row with this key."""
        found = self.own.row(table, key)
        if found is not None:
            return found
        row = self.parent.inherited(table, key[1:])
        return None if row is None else under(key[0], row)

    def rows(self, table: Table[R], session_id: str | None = None) -> Iterator[R]:
        """The fork's own rows."""
        return self.own.rows(table, session_id)

    def tool(self, session_id: str, call: int, upto: int) -> str | None:
        """The name of the tool of a call."""
        found = self.own.tool(session_id, call, upto)
        names = (each.tool(call) for each in self.parent.line())
        return found or next((name for name in names if name is not None), None)


def under(session_id: str, row: R) -> R:
    """A copy of a row under another session's id."""
    return attrs.evolve(row, session_id=session_id)  # type: ignore[misc]  # all rows have one
