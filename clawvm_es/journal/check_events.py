"""Checks of rows of events, in the order of the log: numbers without gaps, chains, canonical data.

Rows come as stored bytes, so that data which is only hashed need not be decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

import attrs

from clawvm_es.errors import ClawVMError
from clawvm_es.journal.admission import is_admitted, odd_text, odd_time, oddity
from clawvm_es.journal.chain import GENESIS, event_hash
from clawvm_es.journal.codec import check_canonical, decode
from clawvm_es.journal.planning import COLUMNS
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.journal.problems import Note, Problem, silent
from clawvm_es.limits import TIME_MAX_US, TIME_MIN_US
from clawvm_es.model.events import EVENT_TYPES, KINDS, SessionForked

RawRow: TypeAlias = tuple[Any, ...]
"""The columns of `planning.COLUMNS`; texts are UTF-8 bytes."""

_FORKED: Final = SessionForked.TYPE.encode()
_KINDS: Final = {name.encode(): kind.encode() for name, kind in KINDS.items()}
_GUESSES: Final = 64


@attrs.define
class _Stream:
    """The facts of a stream's last row that the next one is compared with."""

    row: RawRow
    hash: bytes  # as it should be


class EventChecker:
    """Takes rows in the order of `seq` and yields the problems of each.

    `hash_at` returns the stored hash of an event by stream and version (for forks). With `fast`, data is hashed but
    not parsed. `note` is called with oddities: values of an older program that would not be admitted today.
    """

    def __init__(
        self,
        hash_at: Callable[[str, int], bytes | None],
        fast: bool,
        note: Note = silent,
    ) -> None:
        self._hash_at = hash_at
        self._fast = fast
        self._note = note
        self._plain: set[bytes] = set()  # ids and principals that were found to be in order
        self._seq = 0
        self._streams: dict[bytes, _Stream] = {}

    def check(self, row: RawRow) -> Iterable[Problem]:
        """All problems of the next row."""
        if not self._follows(row):
            return self._look(row)
        return () if self._fast else self._check_data(row)

    def _follows(self, row: RawRow) -> bool:
        """Check a row except for its data; `_look` names the problems of a row that fails."""
        stream = self._streams.get(row[1])
        if (
            stream is None
            or row[0] != self._seq + 1
            or row[2] != stream.row[2] + 1
            or stream.row[13] != stream.hash
            or (row[12] != b"" and row[12] != stream.hash)
            or row[1] not in self._plain
            or row[8] not in self._plain
            or type(row[7]) is not int
            or not TIME_MIN_US <= row[7] <= TIME_MAX_US
            or (row[10] is not None and (not isinstance(row[10], bytes) or odd_text(text(row[10])) is not None))
        ):
            return False
        computed = _hash((*row[:12], stream.hash))
        if computed != row[13]:
            return False
        self._seq, stream.row, stream.hash = row[0], row, computed
        return True

    def _look(self, row: RawRow) -> Iterator[Problem]:
        """All problems of the next row, one after the other."""
        seq, session_id, version, stored_prev, stored_hash = row[0], row[1], row[2], row[12], row[13]
        stream = self._streams.get(session_id)
        if seq != self._seq + 1:
            yield Problem("seq", place(row), f"the row before has seq {self._seq}, so {self._seq + 1} was expected")
        self._seq = seq
        if stream is not None and stored_prev == b"":
            row = _completed(row, stream)
            stored_prev = row[12]
        computed = _hash(row)
        if stream is None:
            stream = self._streams[session_id] = _Stream(row, stored_hash)
            yield from self._check_start(row)
        else:
            if version != stream.row[2] + 1:
                yield Problem("version", place(row), f"follows version {stream.row[2]} of its session")
            if stored_prev not in (stream.row[13], stream.hash):
                yield Problem("prev_hash", place(row), "is not the hash of the session's event before")
        if computed != stored_hash:
            yield _explain(row, stream, self._streams)
        if not self._fast:
            yield from self._check_data(row)
        for what, detail in self._odd_columns(row):
            self._note(Problem(what, place(row), detail))
        stream.row, stream.hash = row, computed

    def _check_start(self, row: RawRow) -> Iterator[Problem]:
        """Check that a stream begins at version 1 and 32 zero bytes, or at its fork from a parent."""
        version, prev_hash = 1, GENESIS
        if row[4 + 1] == _FORKED:
            try:
                fork = decode(SessionForked.TYPE, row[6], row[11])
            except ClawVMError:
                fork = None
            if isinstance(fork, SessionForked):
                parent = self._hash_at(fork.parent, fork.parent_version)
                if parent is None or parent.hex() != fork.parent_hash:
                    at = f"event {fork.parent_version} of its parent {fork.parent}"
                    yield Problem("parent_hash", place(row), f"{at} is missing or has another hash")
                    parent = row[12]
                version, prev_hash = fork.parent_version + 1, parent
        if row[2] != version:
            yield Problem("version", place(row), f"the session's first event should have version {version}")
        if row[12] != prev_hash:
            yield Problem("prev_hash", place(row), f"the session's first event should follow {prev_hash.hex()}")

    def _odd_columns(self, row: RawRow) -> Iterator[tuple[str, str]]:
        """The columns beside data whose values would not be admitted today, and why not."""
        if (odd := odd_time(row[7])) is not None:
            yield "at", odd
        for what, cell in (("session_id", row[1]), ("principal", row[8]), ("idempotency_key", row[10])):
            if isinstance(cell, bytes) and cell not in self._plain:
                if (odd := odd_text(text(cell))) is not None:
                    yield what, odd
                elif what != "idempotency_key":
                    self._plain.add(cell)

    def _check_data(self, row: RawRow) -> Iterator[Problem]:
        """Check that type, kind, cause and key fit each other, and that the data is canonical for its type."""
        kind = _KINDS.get(row[5])
        if kind is not None and row[4] != kind:
            yield Problem("kind", place(row), f"is {text(row[4])!r}, but {text(row[5])} is of kind {text(kind)!r}")
        if row[9] is not None and not 0 < row[9] < row[2]:
            yield Problem("cause", place(row), f"{row[9]} is no earlier version of the session")
        if row[10] is not None and kind == b"decision":
            yield Problem("idempotency_key", place(row), "only inputs have one")
        try:
            event = decode(text(row[5]), row[6], row[11])
            current = row[6] == event.SCHEMA_VERSION
            if current and kind == b"input" and is_admitted(row[11], event):
                return
            if current:
                check_canonical(row[11], event)
            odd = oddity(event) if kind == b"input" else None
            if odd is not None:
                self._note(Problem(f"data{odd[0].removeprefix('$')}", place(row), odd[1]))
        except ClawVMError as error:
            yield Problem("type" if isinstance(error, LookupError) else "data", place(row), error.message)


def _completed(row: RawRow, stream: _Stream) -> RawRow:
    """A row as it was hashed, with the `prev_hash` that its storage leaves out.

    If the row before was altered, either of its hashes may be the right one.
    """
    found = (*row[:12], stream.row[13], row[13])
    return found if _hash(found) == row[13] else (*row[:12], stream.hash, row[13])


def check_log(log: EventLog, fast: bool, note: Note = silent) -> Iterator[Problem]:
    """All problems of a log's events, read through its port."""

    def hash_at(session_id: str, version: int) -> bytes | None:
        return next((recorded.hash for recorded in log.read(session_id, version - 1, version)), None)

    checker = EventChecker(hash_at, fast, note)
    for recorded in log.read_all():
        yield from checker.check(raw_row(recorded))


def raw_row(recorded: Recorded) -> RawRow:
    """The stored row of an event that was read."""
    return tuple(cell.encode() if isinstance(cell, str) else cell for cell in recorded[: len(COLUMNS)])


def place(row: RawRow) -> str:
    """Describe the place of a row for people."""
    return f"session {text(row[1])} version {row[2]} (seq {row[0]})"


def text(raw: bytes) -> str:
    """Stored text for people; bytes that are not UTF-8 are escaped."""
    return raw.decode("utf-8", "backslashreplace")


def _hash(row: RawRow) -> bytes:
    try:
        return event_hash(*row[1:13])
    except (struct.error, TypeError):  # a cell whose type or size no event has
        return b""


def _explain(row: RawRow, stream: _Stream, streams: Iterable[bytes]) -> Problem:
    """Name the altered column, if a value suggested by its neighbours restores the hash."""
    for column, values in _suggestions(row, stream, streams).items():
        index = COLUMNS.index(column)
        for value in values:
            if value != row[index] and _hash((*row[:index], value, *row[index + 1 :])) == row[13]:
                return Problem(column, place(row), f"was changed: with {_show(value)} the hash would be right")
    return Problem("hash", place(row), "is not the hash of the other columns: one of them, or it, was changed")


def _suggestions(row: RawRow, stream: _Stream, streams: Iterable[bytes]) -> dict[str, list[Any]]:
    before, version = stream.row, row[2]
    last = before[2] if before is not row else 0
    return {
        "prev_hash": [stream.hash, before[13], GENESIS],
        "version": [last + 1],
        "session_id": [session_id for session_id, _ in zip(streams, range(_GUESSES), strict=False)],
        "kind": [b"input", b"decision"],
        "type": list(_KINDS),
        "schema_version": list(range(1, 1 + max(cls.SCHEMA_VERSION for cls in EVENT_TYPES.values()))),
        "cause": [None, *range(max(1, version - _GUESSES), version)],
        "principal": [before[8], b"harness"],
        "at": [before[7]],
        "turn": [*range(max(0, before[3] - 1), before[3] + 3)],
        "idempotency_key": [None],
    }


def _show(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex() if len(value) == len(GENESIS) else repr(text(value))
    return "NULL" if value is None else str(value)
