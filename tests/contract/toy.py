"""A storage in one file of JSON lines, as short as the ports allow: one log at a time, no capability.

Each line is one committed transaction: its rows, and the bodies that they name first. This is all that a new storage
needs; the journal's own `planning` stamps and chains rows, and its `vault` makes commitments.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from contextlib import contextmanager

from clawvm_es.errors import JournalReadOnly, UsageError
from clawvm_es.journal import planning
from clawvm_es.journal.codec import decode
from clawvm_es.journal.ports import Durability, Expected, Head, Recorded
from clawvm_es.journal.vault import Bodies, Body, SessionVault


def open_log(place, *, read_only=False, reproducible=False, **options):
    """Open the log at a path, or make one."""
    return ToyLog(place, read_only, reproducible)


class ToyLog:
    """An `EventLog` that holds everything in memory and appends each commit to its file."""

    kind = "toy"
    capabilities = frozenset()

    def __init__(self, place, read_only, reproducible):
        self.place, self.read_only = place, read_only
        self.events, self.known, self.bodies = [], {}, Bodies(self)
        self.durable = self.closed = self.writing = False
        self.turn = threading.RLock()  # held by the thread that writes
        if not os.path.exists(place):
            self._write({"id": secrets.token_hex(16), "reproducible": reproducible})
        with open(place, encoding="utf-8") as lines:
            first, *rest = map(json.loads, lines)
        self.journal_id, self.reproducible = first["id"], first["reproducible"]
        for line in rest:
            self.events += map(_recorded, line["rows"])
            self.known.update((body.commitment, body) for body in map(_body, line["bodies"]))

    def _write(self, line, full=False):
        with open(self.place, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            if full:
                os.fsync(file.fileno())

    def _open(self):
        if self.closed:
            raise UsageError("the log is closed")
        return self

    @contextmanager
    def transaction(self, durability=Durability.NORMAL):
        """Open a write transaction; its line is written when the block ends."""
        if self._open().read_only:
            raise JournalReadOnly(f"{self.place} was opened to be read")
        with self.turn:
            if self.writing:
                raise UsageError("a transaction is open in this thread")
            yield from self._transaction(durability)

    def _transaction(self, durability):
        self.writing = True
        made = ToyTransaction(self, durability)
        try:
            yield made
            rows = [_row(each) for each in made.new]
            self._write({"rows": rows, "bodies": [_cells(body) for body in made.kept]}, durability is Durability.FULL)
            self.events = self.events + made.new
            self.known.update((body.commitment, body) for body in made.kept)
            self.bodies.forget(made.kept)
            self.durable = durability is Durability.FULL
        finally:
            self.writing, made.log = False, None

    def append(self, session_id, events, expected=Expected.ANY, durability=Durability.NORMAL, *, version_first=False):
        """Append to one stream in a transaction of its own."""
        with self.transaction(durability) as transaction:
            if version_first:
                planning.check_expected(session_id, transaction.place(session_id), expected)
            return transaction.append(session_id, events, expected)

    def first(self, session_id):
        """The first event of a stream."""
        return next(self.read(session_id), None)

    def head(self, session_id):
        """Where a stream stands."""
        return _head(list(self.read(session_id)), not self.durable)

    def heads(self):
        """The heads of all streams, by session id."""
        ids = sorted({each.session_id for each in self._open().events}, key=str.encode)
        return tuple(self.head(session_id) for session_id in ids)

    def find(self, session_id, idempotency_key):
        """The input under a key and its decisions."""
        return _group(list(self.read(session_id)), idempotency_key)

    def read(self, session_id, after=0, upto=None):
        """The events of a stream."""
        found = [each for each in self._open().events if each.session_id == session_id]
        return (each for each in found if after < each.version <= (2**63 if upto is None else upto))

    def read_all(self, after_seq=0, upto_seq=None):
        """All events."""
        return iter(self._open().events[max(after_seq, 0) : upto_seq])

    def vault(self, session_id, seed=None):
        """The bodies of one session."""
        planning.id_bytes(session_id)
        return SessionVault(self._open().bodies, session_id, seed)

    def commitment_of(self, session_id, digest):
        """A session's commitment to a stored body."""
        same = (body for body in self.known.values() if (body.session_id, body.digest) == (session_id, digest))
        return next((body.commitment for body in same if not body.sealed), None)

    def stored(self, commitment):
        """Salt and body behind a commitment."""
        body = self.known.get(commitment)
        return None if body is None else (body.salt, None if body.sealed else body.body)

    def stored_bodies(self, commitments):
        """Commitment → stored body."""
        found = {name: self.known[name] for name in commitments if name in self.known}
        return {name: body.body for name, body in found.items() if not body.sealed}

    def holders(self, commitment):
        """All that stand for the same body."""
        body = self.known.get(commitment)
        same = (each for each in self.known.values() if body and not body.sealed and each.digest == body.digest)
        return ((body.session_id, commitment),) if body and body.sealed else tuple(_names(same))

    def bodies_kept(self, session_id=None):
        """Bodies and their bytes."""
        kept = {
            body.body for body in self.known.values() if not body.sealed and session_id in (None, body.session_id)
        }
        return len(kept), sum(map(len, kept))

    def details(self):
        """The size of the file."""
        return {"file_bytes": os.path.getsize(self.place)}

    def close(self):
        """Release the log."""
        self.closed = True

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class ToyTransaction:
    """An open write transaction of a `ToyLog`."""

    def __init__(self, log, durability):
        self.log, self.durability, self.new, self.kept = log, durability, [], []

    def head(self, session_id):
        """Where a stream stands, in here."""
        return _head(list(self.read(session_id)), self.durability is not Durability.FULL)

    def find(self, session_id, idempotency_key):
        """The input under a key and its decisions."""
        return _group(list(self.read(session_id)), idempotency_key)

    def read(self, session_id, after=0):
        """The events of a stream, in here."""
        if self.log is None:
            raise UsageError("the transaction has ended")
        here = [each for each in self.new if each.session_id == session_id]
        return (each for each in [*self.log.read(session_id), *here] if each.version > after)

    def place(self, session_id):
        """Version, seq and hash of the last event of a stream, in here."""
        stream = list(self.read(session_id))
        return (stream[-1].version, stream[-1].seq, stream[-1].hash) if stream else None

    def append(self, session_id, events, expected=Expected.ANY, prev_hash=None):
        """Append to one stream, with the bodies that its inputs name."""
        planning.id_bytes(session_id)
        stream, spot = list(self.read(session_id)), self.place(session_id)
        keys = planning.keys_of(events)
        known = {each.idempotency_key: each for each in stream if each.idempotency_key in keys}
        kept = planning.new_events(session_id, events, known, self.log.bodies.same)
        if kept:
            planning.check_expected(session_id, spot, expected)
            tip = planning.tip_of(session_id, spot, events[kept[0]].data, prev_hash, self._hash_at)
            rows = planning.stamp(session_id, tip, len(self.log.events) + len(self.new), events, kept)
            self.kept += self.log.bodies.named_by(session_id, rows)
            self.new += [
                Recorded(*row[:11], row[11].encode(), *row[12:], events[at].data)
                for row, at in zip(rows, kept, strict=True)
            ]
        elif not stream:
            raise UsageError(f"session {session_id}: nothing to append")
        return self.head(session_id)

    def _hash_at(self, session_id, version):
        return next((each.hash for each in self.read(session_id) if each.version == version), None)


def _head(stream, provisional):
    last = stream[-1] if stream else None
    return last and Head(last.session_id, last.version, last.seq, last.hash, provisional)


def _group(stream, key):
    at = next((n for n, each in enumerate(stream) if key is not None and each.idempotency_key == key), len(stream))
    end = next((n for n in range(at + 1, len(stream)) if stream[n].kind != "decision"), len(stream))
    return tuple(stream[at:end])


def _names(bodies):
    return ((body.session_id, body.commitment) for body in bodies if not body.sealed)


def _row(recorded):
    return [*recorded[:11], recorded.raw.decode(), recorded.prev_hash.hex(), recorded.hash.hex()]


def _recorded(row):
    raw = row[11].encode()
    return Recorded(*row[:11], raw, bytes.fromhex(row[12]), bytes.fromhex(row[13]), decode(row[5], row[6], raw))


def _cells(body):
    binary = (body.salt, body.digest, b"" if body.sealed else body.body)
    return [body.session_id, body.commitment, *map(bytes.hex, binary), body.sealed]


def _body(cells):
    return Body(*cells[:2], *map(bytes.fromhex, cells[2:5]), cells[5])
