"""What follows an erasure: pieces that are searched for, and the table of what is not finished."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.journal.ports import Erasure
from clawvm_es.model.events import ContentRedacted, ToolCalled
from clawvm_es.model.facts import RedactReason
from clawvm_es.storage import open_log
from clawvm_es.storage.sqlite import erasure
from clawvm_es.storage.sqlite.erasure import PENDING, PIECE_BYTES, PIECES_MAX, mark, pending, pieces
from clawvm_es.testing.logs import budget, new


@given(st.lists(st.integers(0, 200).map(lambda length: bytes(range(200))[:length] * 3), max_size=5))
def test_pieces_are_parts_of_the_bodies(bodies) -> None:
    """Each piece has its length and is of a body; every body that is long enough gives one, from both its ends."""
    found = pieces(bodies)
    assert len(set(found)) == len(found) <= PIECES_MAX
    assert all(len(piece) == PIECE_BYTES and any(piece in body for body in bodies) for piece in found)
    for body in bodies:
        if len(body) >= PIECE_BYTES:
            assert body[:PIECE_BYTES] in found and body[-PIECE_BYTES:] in found


def numbered(count: int, length: int = 100) -> list[bytes]:
    """Bodies without a part in common."""
    return [
        b"".join(b"%06d." % (number * 1000 + n) for n in range(length // 7 + 1))[:length] for number in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "bodies_hit"), [(1, 1), (2, 2), (33, 33), (64, 64), (65, 33), (128, 64), (129, 43), (640, 64)]
)
def test_pieces_are_spread_over_many_bodies(count, bodies_hit) -> None:
    """Up to as many bodies as pieces each gives some; of more, every second or third one does."""
    bodies = numbered(count)
    found = pieces(bodies)
    assert sum(any(piece in body for piece in found) for body in bodies) == bodies_hit
    assert len(found) <= PIECES_MAX


def test_a_short_body_has_no_piece_and_a_long_one_is_covered() -> None:
    """A body of just the length is one piece, a shorter one none, and the pieces of one body are spread evenly."""
    (body,) = numbered(1, 24 + 63 * 10)
    assert pieces([]) == pieces([b"x" * (PIECE_BYTES - 1)]) == ()
    assert pieces([body[:PIECE_BYTES]]) == (body[:PIECE_BYTES],)
    assert pieces([b"", body, b"short"]) == tuple(body[at : at + PIECE_BYTES] for at in range(0, 631, 10))


def test_pending_erasures_are_kept_once_in_order() -> None:
    """The table is made when it is first needed, in place of whatever has its name, and holds each event once."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        assert pending(db) == ()
        mark(db, 7)
        mark(db, 3)
        mark(db, 7)
        assert pending(db) == (3, 7)
        db.execute(f"DROP TABLE {PENDING}")
        db.execute(f"CREATE TABLE {PENDING} (seq TEXT)")
        assert pending(db) == ()
        mark(db, 5)
        assert pending(db) == (5,)
        db.execute(f"DROP TABLE {PENDING}")
        db.execute(f"CREATE VIEW {PENDING} AS SELECT 9 AS seq")
        assert pending(db) == ()
        mark(db, 6)
        assert pending(db) == (6,)


def test_an_erasure_that_somebody_keeps_from_its_end_stays_pending(tmp_path) -> None:
    """A writer that does not end, then a reader of the old pages: the bytes go as soon as both are gone."""
    path, body = tmp_path / "j.db", b"a secret that nobody is to find again" * 9
    with open_log(path) as log, open_log(path) as other, closing(sqlite3.connect(path)) as reader:
        name = log.vault("s").commit(body)
        log.append("s", [new(ToolCalled(1, "tool", name))])
        assert erasure.scrub(log, [body]) is Erasure.NOTHING
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM events").fetchall()
        with log.transaction() as transaction:
            transaction.append("s", [new(ContentRedacted(RedactReason.REQUEST, commitments=(name,)))])
            transaction.erase([name])
        with other.transaction() as transaction:
            transaction.append("t", [budget(1)])
            assert erasure.scrub(log, [body], wait_s=0.01) is Erasure.PENDING
        assert erasure.scrub(log, [body]) is Erasure.PENDING
        reader.rollback()
        assert erasure.scrub(log, [body]) is Erasure.ERASED
        assert erasure.scrub(log, [body]) is Erasure.NOTHING
    assert body[:40] not in path.read_bytes()


def test_pieces_are_found_in_the_file_and_in_its_log(tmp_path) -> None:
    """Either file counts; a piece of a body that stays is no trace."""
    path = tmp_path / "j.db"
    path.write_bytes(b"..needle..")
    wanted = [b"needle", b"thread", b"button"]
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE blobs (digest BLOB, body BLOB)")
        assert erasure._residue(db, str(path), wanted) == {b"needle"}
        (tmp_path / "j.db-wal").write_bytes(b"..thread..")
        assert erasure._residue(db, str(path), wanted) == {b"needle", b"thread"}
        assert erasure._residue(db, str(path), []) == set()
        body = b"a needle here"
        db.execute("INSERT INTO blobs VALUES (?, ?)", (hashlib.sha256(body).digest(), body))
        assert erasure._residue(db, str(path), wanted) == {b"thread"}


@pytest.mark.parametrize("appends", [0, 1, 2])
def test_an_erasure_is_pending_from_the_first_event_of_its_transaction(tmp_path, appends) -> None:
    """Of several appends of several events the first counts; without any, the last event of the log."""
    with open_log(tmp_path / "j.db") as log:
        name = log.vault("s").commit(b"a text to be erased, long enough")
        log.append("s", [new(ToolCalled(1, "tool", name)), budget(1)])
        redacted = [new(ContentRedacted(RedactReason.REQUEST, (name,))), budget(2), budget(3)]
        log.append("s", redacted)
        assert log.pending_erasures() == ()
        with log.transaction() as transaction:
            for _ in range(appends):
                transaction.append("s", redacted)
            transaction.erase([name])
        assert log.pending_erasures() == (6 if appends else 5,)
