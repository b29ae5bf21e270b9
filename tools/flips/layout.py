"""What each byte of an SQLite file and of its write-ahead log is (https://www.sqlite.org/fileformat2.html).

LAW-FLIPS-1: the spans of a file cover every byte exactly once.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import attrs

from clawvm_es.storage.sqlite import schema

HEADER_BYTES = 100
WAL_HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
SET_FIELDS = ((18, 20, "journal mode"), (60, 64, "user_version"), (68, 72, "application_id"))
"""The fields of the file's header that a journal sets; SQLite keeps the others."""
_INDEX_INTERIOR, _TABLE_INTERIOR, _INDEX_LEAF, _TABLE_LEAF = 2, 5, 10, 13
_INTERIOR = (_INDEX_INTERIOR, _TABLE_INTERIOR)


@attrs.frozen
class Span:
    """A range of bytes and what it is."""

    start: int
    end: int
    kind: str


@attrs.frozen
class Layout:
    """The spans of one file, in order."""

    spans: tuple[Span, ...]

    def kind_at(self, offset: int) -> str:
        """What one byte is."""
        return self.spans[bisect_right(self.spans, offset, key=lambda span: span.start) - 1].kind

    def by_kind(self) -> dict[str, list[Span]]:
        """All spans of each kind."""
        found: dict[str, list[Span]] = {}
        for span in self.spans:
            found.setdefault(span.kind, []).append(span)
        return found


def database(path: Path) -> Layout:
    """The layout of a database without a WAL, which must be sound."""
    raw = path.read_bytes()
    pages = _Pages(raw)
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as db:
        roots = db.execute("SELECT name, type, tbl_name, rootpage FROM sqlite_master WHERE rootpage > 0").fetchall()
    pages.walk(1, "schema")
    for name, kind, table, root in roots:
        pages.walk(root, _kind_of(name, kind, table))
    pages.walk_free()
    return Layout(tuple(pages.spans()))


def wal(raw: bytes) -> Layout:
    """The layout of a write-ahead log: what lies behind the last commit of its present round is beyond its end."""
    size = FRAME_HEADER_BYTES + int.from_bytes(raw[8:12], "big")
    salts = raw[16:24]
    spans, commit = [Span(0, WAL_HEADER_BYTES, "WAL header")], 0
    starts = range(WAL_HEADER_BYTES, len(raw) - size + 1, size)
    for number, at in enumerate(starts, 1):
        if raw[at + 8 : at + 16] != salts:
            break
        if any(raw[at + 4 : at + 8]):  # the size of the database after a commit
            commit = number
    for at in starts[:commit]:
        spans.append(Span(at, at + FRAME_HEADER_BYTES, "WAL frame header"))
        spans.append(Span(at + FRAME_HEADER_BYTES, at + size, "WAL frame page"))
    if spans[-1].end < len(raw):
        spans.append(Span(spans[-1].end, len(raw), "WAL beyond its end"))
    return Layout(tuple(spans))


def _kind_of(name: str, kind: str, table: str) -> str:
    if kind == "index":
        return "log index" if table in schema.TABLES else "derived index"
    return f"{name} row" if table in schema.TABLES else "derived row"


class _Pages:
    """The pages of a file, claimed one after the other."""

    def __init__(self, raw: bytes) -> None:
        size = int.from_bytes(raw[16:18], "big")
        self.raw, self.size = raw, 65_536 if size == 1 else size
        self.usable = self.size - raw[20]
        self._found: dict[int, list[Span]] = {}

    def spans(self) -> Iterator[Span]:
        """Every span of every page, in order; bytes that no cell and no header holds are free space."""
        for number in range(1, len(self.raw) // self.size + 1):
            start, end = (number - 1) * self.size, number * self.size
            for span in sorted(self._found.get(number, ()), key=lambda span: span.start):
                if start < span.start:
                    yield Span(start, span.start, "free space in a page")
                yield span
                start = span.end
            if start < end:
                yield Span(start, end, "free space in a page")

    def walk(self, root: int, kind: str) -> None:
        """Claim the b-tree that begins at a page."""
        waiting = [root]
        while waiting:
            number = waiting.pop()
            at = (number - 1) * self.size
            if number == 1:
                self._claim_file_header()
            head = at + (HEADER_BYTES if number == 1 else 0)
            page_type = self.raw[head]
            count = self._int(head + 3, 2)
            first = head + (12 if page_type in _INTERIOR else 8)
            self._claim(number, head, first + 2 * count, "page header and pointers")
            if page_type in _INTERIOR:
                waiting.append(self._int(head + 8, 4))
            for pointer in range(first, first + 2 * count, 2):
                cell = at + self._int(pointer, 2)
                if page_type in _INTERIOR:
                    waiting.append(self._int(cell, 4))
                self._claim_cell(number, cell, page_type, kind)

    def walk_free(self) -> None:
        """Claim the list of free pages: its trunks lead to the others."""
        trunk = self._int(32, 4)
        while trunk:
            at = (trunk - 1) * self.size
            leaves = self._int(at + 4, 4)
            self._claim(trunk, at, at + 8 + 4 * leaves, "list of free pages")
            self._claim(trunk, at + 8 + 4 * leaves, at + self.size, "free page")
            for place in range(at + 8, at + 8 + 4 * leaves, 4):
                leaf = self._int(place, 4)
                self._claim(leaf, (leaf - 1) * self.size, leaf * self.size, "free page")
            trunk = self._int(at, 4)

    def _claim_file_header(self) -> None:
        at = 0
        for start, end, _ in SET_FIELDS:
            self._claim(1, at, start, "file header, SQLite's")
            self._claim(1, start, end, "file header, ours")
            at = end
        self._claim(1, at, HEADER_BYTES, "file header, SQLite's")

    def _claim_cell(self, number: int, cell: int, page_type: int, kind: str) -> None:
        """Claim a cell and the pages that its payload runs over to."""
        at = cell + (4 if page_type in _INTERIOR else 0)
        size, at = self._varint(at)
        if page_type in (_TABLE_INTERIOR, _TABLE_LEAF):
            at = at if page_type == _TABLE_INTERIOR else self._varint(at)[1]
        if page_type == _TABLE_INTERIOR:  # the varint was a row id
            self._claim(number, cell, at, kind)
            return
        here = self._local(size, page_type)
        end = at + here
        if here < size:
            self._claim_overflow(self._int(end, 4), size - here, kind)
            end += 4
        self._claim(number, cell, max(end, cell + 4), kind)

    def _local(self, size: int, page_type: int) -> int:
        """How much of a payload stands in the page itself."""
        least = (self.usable - 12) * 32 // 255 - 23
        most = self.usable - 35 if page_type == _TABLE_LEAF else (self.usable - 12) * 64 // 255 - 23
        if size <= most:
            return size
        here = least + (size - least) % (self.usable - 4)
        return here if here <= most else least

    def _claim_overflow(self, number: int, size: int, kind: str) -> None:
        while number:
            at = (number - 1) * self.size
            here = min(size, self.usable - 4)
            self._claim(number, at, at + 4 + here, kind)
            size -= here
            number = self._int(at, 4)

    def _claim(self, number: int, start: int, end: int, kind: str) -> None:
        self._found.setdefault(number, []).append(Span(start, end, kind))

    def _int(self, at: int, size: int) -> int:
        return int.from_bytes(self.raw[at : at + size], "big")

    def _varint(self, at: int) -> tuple[int, int]:
        """A number and where the next thing begins."""
        value = 0
        for place in range(at, at + 8):
            value = value << 7 | self.raw[place] & 0x7F
            if self.raw[place] < 0x80:
                return value, place + 1
        return value << 8 | self.raw[at + 8], at + 9


def pick(spans: Sequence[Span], number: int) -> int:
    """The offset of byte `number` of some spans."""
    for span in spans:
        if number < span.end - span.start:
            return span.start + number
        number -= span.end - span.start
    raise ValueError("there are fewer bytes")
