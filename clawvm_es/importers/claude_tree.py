"""The tree of a Claude Code session: the context is the path from the newest row to the first.

A *unit* is a prompt, or an answer with all its rows and the results of its calls. Rows of one unit never branch,
whatever their parents are. Rows of the harness (attachments, notices, progress, bodies of commands) belong to the
unit of their parent.

LAW-TREE-1: a row changes the context only if it begins a unit whose parent is not the newest unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import attrs

LAST: Final = "last"
"""Parent of a row that names none: the newest row."""


@attrs.define
class Unit:
    """A prompt, an answer with its results, or a boundary: the lines of its rows; `kept` are those it preserved."""

    parent: int | None = None
    lines: set[int] = attrs.field(factory=set)
    beside: set[int] = attrs.field(factory=set)  # of results, and of rows of the harness
    kept: frozenset[int] = frozenset()


@attrs.define
class Tree:
    """The units of a session so far, by number, the newest of them, and the units in the context."""

    leaf: int = 0
    answers: dict[str, int] = attrs.field(factory=dict)  # message id → unit
    calls: dict[str, int] = attrs.field(factory=dict)  # call id → unit
    awaited: dict[str, tuple[int, int]] = attrs.field(factory=dict)  # parents that are no row yet → child, its line
    _units: list[Unit] = attrs.field(factory=lambda: [Unit()])
    _of: dict[str, int] = attrs.field(factory=dict)  # uuid of a row → its unit
    _lines: dict[str, int] = attrs.field(factory=dict)  # uuid → line
    _results: dict[str, set[int]] = attrs.field(factory=dict)  # call id → lines
    _active: set[int] = attrs.field(factory=lambda: {0})
    _preserved: frozenset[str] = frozenset()  # rows that the newest compaction kept
    _parents: dict[str, str | None] = attrs.field(factory=dict)  # row → the one it hangs on, since the last boundary
    _gone: set[int] = attrs.field(factory=set)  # lines of what was taken out one by one

    def join(self, uuid: str, line: int, unit: int | None = None, parent: str | None = LAST) -> None:
        """Add a row that begins no unit to the given unit, else to its parent's."""
        found = self._or_leaf(self._found(parent) if unit is None else unit)
        self._place(uuid, line, found)
        if unit is None:
            self._units[found].beside.add(line)

    def begin(self, uuid: str, line: int, parent: str | None = LAST) -> frozenset[int] | None:
        """Begin a unit; if its parent is not the newest unit, return the lines in the context from now on.

        `parent` is the uuid of a row, None for the root. A row may come after its children.
        """
        if uuid in self.awaited:
            self._insert(uuid, line, parent)
            return None
        found = 0 if parent is None else self._found(parent)
        if found is None and parent is not None:
            self.awaited.setdefault(parent, (len(self._units), line))
        before = self._or_leaf(found)
        branches = before != self.leaf
        if branches:
            self._active = set(self._path(before))
        stands = self.context() if branches else None
        self._grow(uuid, line, Unit(before))
        return stands

    def follows(self, parent: str | None) -> bool:
        """Tell whether a row with this parent continues the newest unit."""
        return self._or_leaf(0 if parent is None else self._found(parent)) == self.leaf

    def cut(self, uuid: str, line: int, preserved: Iterable[str] = ()) -> frozenset[int]:
        """Begin anew after a boundary: the context is now the lines of the rows that it preserved."""
        self._preserved = frozenset(each for each in preserved if each in self._of)
        kept = frozenset(line for each in self._preserved for line in self._lines_of(each))
        self._active, self._parents = set(), {uuid: None}
        self._grow(uuid, line, Unit(kept=kept))
        return kept

    def result(self, call_id: str, uuid: str, line: int, parent: str | None = LAST) -> bool:
        """Add a result to the unit of its call; True if that unit is in the context."""
        known = self.calls.get(call_id)
        unit = self._or_leaf(self._found(parent) if known is None else known)
        self._place(uuid, line, unit)
        self._units[unit].beside.add(line)
        self._results.setdefault(call_id, set()).add(line)
        return unit in self._active

    def copied(self, uuid: str, first: str) -> None:
        """Add a row that was written again under another id."""
        if uuid and first in self._of:
            self._of.setdefault(uuid, self._of[first])

    def took_out(self, call_ids: Iterable[str]) -> None:
        """Note results that were taken out one by one; no change of path brings them back."""
        for call_id in call_ids:
            self._gone |= self._results.get(call_id, set())

    def lost(self, line: int) -> None:
        """Note that everything at a line left the context for good."""
        self._gone.add(line)

    def took_rows(self, uuids: Iterable[str]) -> bool:
        """Note that rows left for good; True if any of them is known."""
        lines = {line for uuid in uuids if uuid in self._of for line in self._lines_of(uuid)}
        self._gone |= lines
        return bool(lines)

    def put_back(self, call_ids: Iterable[str]) -> None:
        """Note that results taken out earlier are back, if their calls are in the context."""
        for call_id in call_ids:
            self._gone -= self._results.get(call_id, set())

    def hung(self, uuid: str, parent: str | None) -> None:
        """Note the parent of a row; None for the first row."""
        if uuid and parent != LAST:
            self._parents[uuid] = parent

    def aside(self, uuid: str) -> set[str]:
        """The calls whose results are in the context, but not on the path of parents from a row to the first.

        Empty if the path is unknown: it leads to a missing row, or to one before a boundary.
        """
        path: set[str] = set()
        parent: str | None = uuid
        while parent is not None:
            if parent in path or parent not in self._parents:
                return set()
            path.add(parent)
            parent = self._parents[parent]
        lines = {self._lines[each] for each in path if each in self._lines}
        return {call_id for call_id in self.standing() if self._results[call_id].isdisjoint(lines)}

    def standing(self) -> set[str]:
        """The calls whose results are in the context."""
        lines = self.context()
        return {call_id for call_id, its in self._results.items() if not its.isdisjoint(lines)}

    def context(self) -> frozenset[int]:
        """The lines in the context."""
        units = (self._units[number] for number in self._active)
        return frozenset(line for unit in units for line in (*unit.lines, *unit.kept)) - self._gone

    def segment(self, head: str, tail: str) -> list[str]:
        """The rows from `head` to `tail`, in file order."""
        first, last = self._lines.get(head, 0), self._lines.get(tail, 0)
        return [uuid for uuid, line in self._lines.items() if first and first <= line <= last]

    def _found(self, parent: str | None) -> int | None:
        """The unit of a parent; children of a row that a compaction preserved continue the newest unit."""
        if parent == LAST or parent in self._preserved:
            return self.leaf
        return None if parent is None else self._of.get(parent)

    def _or_leaf(self, unit: int | None) -> int:
        return self.leaf if unit is None else unit

    def _insert(self, uuid: str, line: int, parent: str | None) -> None:
        """Insert a unit between an earlier one and that one's parent."""
        child, _ = self.awaited[uuid]
        found = 0 if parent is None else self._found(parent)
        self._units.append(Unit(self._units[child].parent if found is None else found))
        number = len(self._units) - 1
        if child in self._active:
            self._active.add(number)
        self._place(uuid, line, number)

    def _grow(self, uuid: str, line: int, unit: Unit) -> None:
        self._units.append(unit)
        self.leaf = len(self._units) - 1
        self._active.add(self.leaf)
        self._place(uuid, line, self.leaf)

    def _place(self, uuid: str, line: int, unit: int) -> None:
        self._units[unit].lines.add(line)
        child, _ = self.awaited.pop(uuid, (None, 0))
        if child is not None and child not in self._path(unit):
            self._units[child].parent = unit
        if uuid:
            self._of[uuid] = unit
            self._lines.setdefault(uuid, line)

    def _lines_of(self, uuid: str) -> set[int]:
        """The lines of a row; for a row of an answer, those of the answer without rows beside it."""
        unit, line = self._units[self._of[uuid]], self._lines[uuid]
        return {line} if line in unit.beside else unit.lines - unit.beside

    def _path(self, unit: int | None) -> Iterator[int]:
        """A unit and its ancestors, up to a boundary or the first row."""
        while unit is not None:
            yield unit
            unit = self._units[unit].parent
