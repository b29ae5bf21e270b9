"""Read bundles back: the events of their sessions, checked against the bundle's own digests.

LAW-BUNDLE-3: a bundle is read only if its last line has the SHA-256 of all bytes before it, and every stream in it is
one chain with the versions that its header lists; a fork's chain begins at its parent's event.

`clawvm_es/verify_bundle.py` checks the signature, and that the journal really held these events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from clawvm_es.errors import UnreadableInput
from clawvm_es.history.recording import RecordedSession
from clawvm_es.journal.bundled import AGAIN, FIRST_BYTES, Header, fields_of, header_of, line_of, row_of
from clawvm_es.journal.chain import GENESIS
from clawvm_es.journal.ports import Recorded
from clawvm_es.model.events import SCOPE_PREFIX, SessionForked, SessionOpened

SUFFIX: Final = ".clawvm.bundle"
"""Suffix of the name of a bundle that is collected as tests."""

Streams: TypeAlias = Mapping[str, Sequence[Recorded]]


def is_bundle(first_line: bytes) -> bool:
    """Tell whether a file with this first line claims to be a bundle."""
    return first_line.startswith(FIRST_BYTES)


def read_bundle(raw: bytes, name: str) -> tuple[RecordedSession, ...]:
    """The sessions of a bundle; raises `UnreadableInput`, which names the line, the place in it, and the problem."""
    lines = raw.removesuffix(b"\n").split(b"\n")
    header = header_of(lines[0], name)
    _check_end(raw, lines, name)
    streams: dict[str, list[Recorded]] = {listed.session_id: [] for listed in header.streams}
    for number, each in enumerate(lines[1:-1], 2):
        if each.startswith(b'{"at":'):  # keys are sorted: an event, not a commitment
            row = row_of(line_of(each, name, number), f"{name}: line {number}")
            if row.session_id not in streams:
                raise UnreadableInput(f"{name}: line {number}: its stream is not in the header", hint=AGAIN)
            _check_place(streams, row, f"{name}: line {number}")
            streams[row.session_id].append(row)
        elif not each.startswith(b'{"body":'):
            raise UnreadableInput(f"{name}: line {number}: neither event nor commitment", hint=AGAIN)
    for listed in header.streams:
        rows = streams[listed.session_id]
        if not rows or (rows[0].version, rows[-1].version) != (listed.first, listed.last):
            raise UnreadableInput(f"{name}: stream {listed.session_id} is not whole", hint=AGAIN)
    forks = {each: rows[0].data for each, rows in streams.items() if isinstance(rows[0].data, SessionForked)}
    return tuple(_session(streams, each, name) for each in _tops(header, forks))


def ids_in_bundle(raw: bytes, name: str) -> tuple[str, ...]:
    """The ids of a bundle's sessions, without reading the whole bundle."""
    lines = raw.split(b"\n")
    header = header_of(lines[0], name)
    forks: dict[str, SessionForked] = {}
    for number, each in enumerate(lines, 1):
        if each.startswith(b'{"at":') and b'"type":"session_forked"' in each:
            row = row_of(line_of(each, name, number), f"{name}: line {number}")
            if isinstance(row.data, SessionForked):
                forks.setdefault(row.session_id, row.data)
    return _tops(header, forks)


def _check_end(raw: bytes, lines: Sequence[bytes], name: str) -> None:
    """Check that the last line ends the bundle and has the digest of all bytes before it."""
    end = fields_of(lines[-1], name, len(lines))
    if end.get("line") != "end":
        raise UnreadableInput(f"{name}: cut after line {len(lines)}", hint=AGAIN)
    found = hashlib.sha256(raw[: raw.rindex(lines[-1])]).hexdigest()
    if end.get("sha256") != found:
        raise UnreadableInput(
            f"{name}: changed since it was made: its lines have the SHA-256 {found[:16]}…, its last line says "
            f"{str(end.get('sha256'))[:16]}…",
            hint=AGAIN,
        )


def _check_place(streams: Streams, row: Recorded, where: str) -> None:
    """Check that a row continues its stream; the first row of a fork continues its parent's event."""
    rows = streams[row.session_id]
    if not rows and isinstance(row.data, SessionForked):
        rows = [*_lineage(streams, row.data.parent, row.data.parent_version)]
    version, before = (rows[-1].version, rows[-1].hash) if rows else (0, GENESIS)
    if (row.version, row.prev_hash) != (version + 1, before):
        raise UnreadableInput(f"{where}: $.prev_hash: does not go on from the event before it", hint=AGAIN)


def _tops(header: Header, forks: Mapping[str, SessionForked]) -> tuple[str, ...]:
    """The sessions from whose end no other session continues; scopes and mere prefixes of forks are left out."""
    within: dict[str, int] = {}
    for fork in forks.values():
        within[fork.parent] = max(within.get(fork.parent, 0), fork.parent_version)
    return tuple(
        listed.session_id
        for listed in header.streams
        if not listed.session_id.startswith(SCOPE_PREFIX) and listed.last > within.get(listed.session_id, 0)
    )


def _lineage(streams: Streams, session_id: str, upto: int | None = None) -> Iterator[Recorded]:
    """A session's events up to a version, after those of its fork parents (which stand before it in the bundle)."""
    parts: list[tuple[Sequence[Recorded], int | None]] = []
    seen: set[str] = set()
    while rows := streams.get(session_id, ()):
        if session_id in seen:
            raise UnreadableInput(f"session {session_id!r} descends from itself", hint=AGAIN)
        seen.add(session_id)
        parts.append((rows, upto))
        fork = rows[0].data
        if not isinstance(fork, SessionForked):
            break
        session_id, upto = fork.parent, fork.parent_version if upto is None else min(upto, fork.parent_version)
    for rows, last in reversed(parts):
        yield from (row for row in rows if last is None or row.version <= last)


def _session(streams: Streams, session_id: str, name: str) -> RecordedSession:
    rows = tuple(_lineage(streams, session_id))
    opened = rows[0].data
    if not isinstance(opened, SessionOpened):
        raise UnreadableInput(f"{name}: session {session_id} does not begin with session_opened", hint=AGAIN)
    return RecordedSession(session_id, rows, name, opened.decider_version, evidence=True)
