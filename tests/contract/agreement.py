"""Answers of a log to every question of its ports, and the same worked out from the list of its events.

The sessions use every hook, and forks of forks; so each storage must say of them what plain Python says.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from clawvm_es.engine.journal import Journal
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal.ports import (
    Capability,
    Durability,
    EventLog,
    Head,
    Indexed,
    Recorded,
    anchoring,
    declares,
    models_of,
    snapshots_of,
)
from clawvm_es.model.events import RepresentationChanged, SessionForked, ToolCalled
from clawvm_es.projections.tables import MODELS
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.testing.logs import budget
from tests.golden.make import forked, live

COMMITMENT = re.compile(rb"[0-9a-f]{64}")
NOWHERE = "no such session"
Answers = Iterator[tuple[str, object, object]]
"""A question, the answer of the log, and the one that plain Python gives."""


def filled(log: EventLog) -> None:
    """Record sessions, forks of them, and an erasure, under a seed and a clock of their own."""
    ticks = itertools.count(1)
    journal = Journal(log, seed=1, clock=lambda: next(ticks))
    live(journal)
    forked(journal)
    redact(log, Target("second", page_id="p2"), at_us=next(ticks))


def in_memory() -> MemoryLog:
    """A log in memory with sessions of every kind."""
    log = MemoryLog(reproducible=True)
    filled(log)
    return log


class Plain:
    """The same questions over a list of events."""

    def __init__(self, rows: Sequence[Recorded]) -> None:
        self.rows = rows
        self.streams = {row.session_id: [each for each in rows if each.session_id == row.session_id] for row in rows}

    def part(self, stream: str, after: int = 0, upto: int | None = None) -> list[Recorded]:
        """The events of a stream with versions in `(after, upto]`."""
        rows = self.streams.get(stream, [])
        return [row for row in rows if row.version > after and (upto is None or row.version <= upto)]

    def group(self, stream: str, key: str) -> list[Recorded]:
        """The input under a key, and the decisions between it and the next input."""
        rows = self.streams.get(stream, [])
        first = next((place for place, row in enumerate(rows) if row.idempotency_key == key), None)
        if first is None:
            return []
        behind = itertools.takewhile(lambda row: row.kind != "input", rows[first + 1 :])
        return [rows[first], *behind]

    def line(self, stream: str, upto: int) -> list[Recorded]:
        """The events of a session up to a version, its parents' part included, newest first."""
        rows = self.part(stream, 0, upto)
        begins = self.streams[stream][0].data if stream in self.streams else None
        if isinstance(begins, SessionForked):
            return [*reversed(rows), *self.line(begins.parent, min(begins.parent_version, upto))]
        return rows[::-1]


def of_events(log: EventLog, plain: Plain) -> Answers:
    """Reading, heads and keys, outside and inside a transaction."""
    end = len(plain.rows)
    for after, upto in (
        (0, None),
        (0, 0),
        (0, 1),
        (1, 2),
        (5, 5),
        (7, 3),
        (end - 1, None),
        (end, None),
        (3, end + 9),
    ):
        wanted = [row for row in plain.rows if row.seq > after and (upto is None or row.seq <= upto)]
        yield f"read_all {after} {upto}", list(log.read_all(after, upto)), wanted
    for stream in (*plain.streams, NOWHERE):
        versions = [row.version for row in plain.streams.get(stream, ())] or [0]
        for after, upto in (
            (0, None),
            (0, versions[0]),
            (versions[0], versions[-1]),
            (versions[-1] - 1, None),
            (4, 9),
        ):
            yield (
                f"read {stream} {after} {upto}",
                list(log.read(stream, after, upto)),
                plain.part(stream, after, upto),
            )
        yield f"first {stream}", log.first(stream), next(iter(plain.part(stream)), None)
        yield f"head {stream}", _head(log.head(stream)), _last(plain.part(stream))
        for key in {None: 0} | {row.idempotency_key: 0 for row in plain.part(stream)} | {"no such key": 0}:
            if key is not None:
                yield f"find {stream} {key}", list(log.find(stream, key)), plain.group(stream, key)
    heads = [_last(plain.streams[stream]) for stream in sorted(plain.streams)]
    yield "heads", [_head(head) for head in log.heads()], heads
    if declares(log, Capability.ANCHOR):
        hashes = anchoring(log, "anchor")
        yield "size", hashes.size(), end
        for after, upto in ((0, end), (0, 0), (3, 7), (end - 1, end)):
            yield f"hashes {after} {upto}", list(hashes.hashes(after, upto)), [r.hash for r in plain.rows[after:upto]]
    if log.read_only:
        return
    with log.transaction(Durability.NORMAL) as transaction:
        for stream in (*plain.streams, NOWHERE):
            yield f"inside, head {stream}", _head(transaction.head(stream)), _last(plain.part(stream))
            for after in (0, 3):
                yield f"inside, read {stream}", list(transaction.read(stream, after)), plain.part(stream, after)
            for row in plain.part(stream)[:3]:
                key = row.idempotency_key or "no such key"
                yield f"inside, find {stream} {key}", list(transaction.find(stream, key)), plain.group(stream, key)


def _head(head: Head | None) -> object:
    return None if head is None else (head.session_id, head.version, head.seq, head.hash)


def _last(rows: Sequence[Recorded]) -> object:
    return (rows[-1].session_id, rows[-1].version, rows[-1].seq, rows[-1].hash) if rows else None


def of_snapshots(log: EventLog, plain: Plain) -> Answers:
    """Events as the snapshots of a log read them."""
    if not declares(log, Capability.SNAPSHOTS):
        return
    store = snapshots_of(log)
    assert store is not None
    end = len(plain.rows)
    yield "news", store.news()[1], end
    for after, upto in ((0, end), (0, 1), (4, 9), (end, end + 5), (end - 3, end)):
        streams = sorted({row.session_id for row in plain.rows[after:upto]})
        yield f"active {after} {upto}", sorted(store.active(after, upto)), streams
    for stream in (*plain.streams, NOWHERE):
        rows = {row.version: row for row in plain.part(stream)}
        for version in (0, 1, 2, 5, max(rows, default=0), max(rows, default=0) + 1):
            hash_ = rows[version].hash if version in rows else None
            yield f"hash_at {stream} {version}", store.hash_at(stream, version), hash_
        for versions in ([], [1], [5, 2, 99_999], list(rows), list(rows)[::-3]):
            found = {version: rows[version].data for version in versions if version in rows}
            yield f"events_at {stream} {len(versions)}", dict(store.events_at(stream, versions)), found
        for after, upto in ((0, 99_999), (2, 6), (6, 2)):
            found_after: list[Any] = []
            while piece := store.events_after(stream, found_after[-1][0] if found_after else after, upto):
                found_after.extend(piece)
            wanted = [(row.version, row.data) for row in plain.part(stream, after, upto)]
            yield f"events_after {stream} {after} {upto}", found_after, wanted


def of_models(log: EventLog, plain: Plain) -> Answers:
    """Events as the read models of a log read them."""
    store = models_of(log, MODELS)
    if store is None:
        return
    end = len(plain.rows)
    with store.reading() as reader:
        yield "last_seq", reader.last_seq(), end
        for after in (0, 1, 2, 3, end // 2, end - 1, end):
            found = next((row.seq for row in plain.rows if row.seq > after and row.kind == "input"), None)
            yield f"next_input {after}", reader.next_input(after), found
        for after, upto in ((0, end), (0, 1), (4, 9), (9, 4), (end - 2, end + 5)):
            wanted = [_raw(row) for row in plain.rows if after < row.seq <= upto]
            yield f"events {after} {upto}", [*map(_plain, reader.events(after, upto))], wanted
        for stream in plain.streams:
            last = plain.streams[stream][-1].version
            for upto in (0, 1, 7, last, last + 1):
                wanted = [_raw(row) for row in plain.part(stream, 0, upto)]
                yield f"stream_events {stream} {upto}", [*map(_plain, reader.stream_events(stream, upto))], wanted
            for upto in (1, last // 2, last - 1, last):
                yield from _newest(reader, plain, stream, upto)


def _newest(reader: Any, plain: Plain, stream: str, upto: int) -> Answers:
    line = [(row.version, row.data) for row in plain.line(stream, upto)]
    for call in range(6):
        tool = next((d.tool for _, d in line if isinstance(d, ToolCalled) and d.call == call), None)
        yield f"tool {stream} {call} {upto}", reader.tool(stream, call, upto), tool
    moves = [(version, data.page_id) for version, data in line if isinstance(data, RepresentationChanged)]
    for page, after in itertools.product(("p1", "p2", "p3", "p9999"), (0, 9, upto - 1)):
        moved = next((version for version, page_id in moves if page_id == page and version > after), None)
        yield f"moved {stream} {page} {after} {upto}", reader.moved(stream, page, after, upto), moved


def _raw(row: Recorded) -> tuple[object, ...]:
    about = (row.seq, row.session_id, row.version, row.turn, row.kind, row.type, row.schema_version, row.at_us)
    return (*about, row.principal, json.loads(row.raw), row.hash)


def _plain(row: Sequence[Any]) -> tuple[object, ...]:
    return (*row[:9], json.loads(row[9]) if isinstance(row[9], (str, bytes)) else row[9], bytes(row[10]))


def of_bodies(log: EventLog, plain: Plain, bodies: dict[str, dict[str, bytes]]) -> Answers:
    """Texts: what is kept, by session, and who else has it. `bodies`: session → commitment → body."""
    everywhere = [(stream, name, body) for stream, kept in bodies.items() for name, body in kept.items()]
    whole = {body for _, _, body in everywhere}
    yield "bodies_kept", log.bodies_kept(), (len(whole), sum(map(len, whole)))
    for stream in (*plain.streams, NOWHERE):
        kept = bodies.get(stream, {})
        own = set(kept.values())
        yield f"bodies_kept {stream}", log.bodies_kept(stream), (len(own), sum(map(len, own)))
        vault = log.vault(stream, 1)
        yield f"open_all {stream}", dict(vault.open_all([*kept, "0" * 64])), kept
        for name, body in list(kept.items())[:9]:
            yield f"open {stream} {name[:6]}", vault.open(name), body
            yield f"known {stream} {name[:6]}", vault.known(body), next(n for n, b in kept.items() if b == body)
            stored = log.stored(name)
            yield f"stored {name[:6]}", None if stored is None else stored[1], body
            both = sorted((other, named) for other, named, same in everywhere if same == body)
            yield f"holders {name[:6]}", sorted(log.holders(name)), both
        yield f"unknown {stream}", (vault.known(b"no such body"), vault.open("0" * 64)), (None, None)
    yield "nothing stored", (log.stored("0" * 64), log.holders("0" * 64)), (None, ())


def of_texts(log: EventLog, plain: Plain, bodies: dict[str, dict[str, bytes]]) -> Answers:
    """Inputs that name a text."""
    if not declares(log, Capability.TEXT):
        return
    index = cast(Indexed, log).texts()
    for stream, kept in bodies.items():
        last = plain.streams[stream][-1].version
        for names, (after, upto) in itertools.product((list(kept)[:1], list(kept)[2:5]), ((0, None), (4, last - 1))):
            wanted = [
                row.version
                for row in plain.part(stream, after, upto)
                if row.kind == "input" and any(name.encode() in row.raw for name in names)
            ]
            found = [row.version for row in index.naming(stream, names, after, upto)]
            yield f"naming {stream} {len(names)} {after} {upto}", found, wanted


def kept_by(log: EventLog, rows: Sequence[Recorded]) -> dict[str, dict[str, bytes]]:
    """Session → commitment that its events name → the body, where it is kept."""
    found: dict[str, dict[str, bytes]] = {}
    for row in rows:
        for name in COMMITMENT.findall(row.raw):
            body = log.vault(row.session_id).open(name.decode())
            if body is not None:
                found.setdefault(row.session_id, {})[name.decode()] = body
    return found


QUESTIONS: dict[str, Callable[[EventLog, Plain], Answers]] = {
    "events": of_events,
    "snapshots": of_snapshots,
    "models": of_models,
}


def of_kept(log: EventLog, memory: EventLog) -> Answers:
    """Questions about the bodies that both logs were given: by commitment, by session and in all."""
    plain = Plain(list(memory.read_all()))
    bodies = kept_by(memory, plain.rows)
    assert sum(map(len, bodies.values())) > 50
    for questions in (of_bodies, of_texts):
        yield from questions(log, plain, bodies)


def of_heads(log: EventLog) -> Answers:
    """Questions about heads inside a `normal` transaction, while commits of both durabilities are made."""
    for number, durability in enumerate((Durability.NORMAL, Durability.FULL, Durability.NORMAL, Durability.FULL)):
        for name in ("a", "b"):
            log.append(name, [budget(number + 1)], durability=durability)
            with log.transaction() as transaction:
                for each in ("a", "b", NOWHERE):
                    yield f"{each} after {name} {number}", transaction.head(each), log.head(each)
            found = log.head(name)
            yield f"{name} {durability}", found is not None and found.provisional, durability is Durability.NORMAL
