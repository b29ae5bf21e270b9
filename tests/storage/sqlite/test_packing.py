"""Bodies in a journal file: packed where that saves, the same bytes again, damage and bombs told in one line."""

from __future__ import annotations

import hashlib
import os
import random
import secrets
import sqlite3
import struct
import zlib
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.engine.journal import Journal
from clawvm_es.errors import JournalDamaged
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal.ports import Erasure
from clawvm_es.limits import PACKED_BODY_BYTES, PACKED_BODY_BYTES_MIN
from clawvm_es.model.events import ContentRedacted, ToolCalled
from clawvm_es.model.facts import RedactReason
from clawvm_es.projections import projections_problems
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.sqlite import erasure, packing, raw, snapshots
from clawvm_es.testing.logs import new

TEXT = b"".join(b"line %d of a result that a tool gave\n" % n for n in range(60))


def digest(body: bytes) -> bytes:
    """What the row of a body has as its digest."""
    return hashlib.sha256(body).digest()


def again(body: bytes) -> bytes:
    """A body, packed and unpacked."""
    return packing.unpack(packing.pack(body), digest(body))


def sealed(stream: bytes, length: int) -> bytes:
    """A stream as a packed body, whatever it says its length is."""
    packed = stream + struct.pack(">I", length)
    return packed + struct.pack(">I", zlib.crc32(packed))


def journal(path, *bodies: bytes) -> list[str]:
    """A journal with these bodies; their commitments."""
    with open_log(path) as log:
        names = [log.vault("s").commit(body) for body in bodies]
        log.append("s", [new(ToolCalled(number, "tool", name)) for number, name in enumerate(names, 1)])
    return names


def put(path, stored: bytes, blob_id: int = 1) -> None:
    """Put other bytes in the place of a stored body, beside the guards."""
    with closing(sqlite3.connect(path)) as db:
        (guard,) = db.execute("SELECT sql FROM sqlite_master WHERE name = 'blobs_update'").fetchone()
        db.execute("DROP TRIGGER blobs_update")
        db.execute("UPDATE blobs SET body = ? WHERE blob_id = ?", (stored, blob_id))
        db.execute(guard)
        db.commit()


def stored(path) -> list[bytes]:
    """The bodies as the file has them."""
    with closing(sqlite3.connect(path)) as db:
        return [body for (body,) in db.execute("SELECT body FROM blobs ORDER BY blob_id")]


@given(st.binary(max_size=40), st.integers(0, 80), st.sampled_from([b"", packing.MARK]))
def test_every_body_comes_back(piece, times, start) -> None:
    """LAW-PACK-1: what is unpacked is the body, also where it begins as packed ones do."""
    body = start + piece * times
    assert again(body) == body
    assert len(packing.pack(body)) <= len(body)
    assert packing.body_bytes(packing.pack(body), digest(body)) == len(body)


def test_a_body_that_is_a_packed_one_comes_back() -> None:
    """The digest tells a body that looks packed from one that is."""
    packed = packing.pack(TEXT)
    assert packed != TEXT
    assert again(packed) == packed == packing.unpack(packed, digest(packed))


def test_bodies_are_packed_where_it_saves() -> None:
    """Short bodies, and those that do not get an eighth shorter, stay as they are."""
    assert len(packing.pack(TEXT)) < len(TEXT) // 2
    for body in (b"", b"a" * (PACKED_BODY_BYTES_MIN - 1), os.urandom(4_000)):
        assert packing.pack(body) == body
    assert packing.pack(b"a" * PACKED_BODY_BYTES_MIN) != b"a" * PACKED_BODY_BYTES_MIN


def test_a_body_is_packed_from_an_eighth_on() -> None:
    """The more of a body repeats, the shorter it gets: the first one that is packed saves an eighth, hardly more."""
    noise = random.Random(8).randbytes(2_000)
    bodies = (noise[:-same] + bytes(same) for same in range(1, 600))
    first = next(packed for body in bodies if (packed := packing.pack(body)) != body)
    assert 1_740 < len(first) <= 2_000 * 7 // 8


def test_other_tools_read_a_packed_body() -> None:
    """The stream is zlib's; what follows it is skipped by whoever knows zlib only."""
    assert zlib.decompress(packing.pack(TEXT)) == TEXT


def test_no_changed_byte_of_a_packed_body_is_missed() -> None:
    """Each flipped bit of a packed body is told, or leaves what is not the body by its digest."""
    packed = packing.pack(TEXT)
    for at in range(len(packed)):
        for bit in range(8):
            changed = packed[:at] + bytes([packed[at] ^ 1 << bit]) + packed[at + 1 :]
            try:
                found = packing.unpack(changed, digest(TEXT))
            except JournalDamaged as error:
                assert "packed body cannot be read" in error.message
            else:
                assert digest(found) != digest(TEXT)


BOMB = zlib.compress(bytes(50_000_000), 1)
assert BOMB.startswith(packing.MARK)
DAMAGED = {
    "cut": packing.pack(TEXT)[:9],
    "end cut": packing.pack(TEXT)[:-1],
    "no stream": sealed(packing.MARK + b"\xff" * 90, 90),
    "bomb": sealed(BOMB, 90),
    "bomb that says so": sealed(BOMB, PACKED_BODY_BYTES + 1),
    "too short": sealed(zlib.compress(TEXT, 1), len(TEXT) + 1),
    "two streams": sealed(zlib.compress(TEXT, 1) * 2, len(TEXT)),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_packed_body_is_one_problem(tmp_path, case) -> None:
    """LAW-PACK-2: whatever stands there, verifying says so in one line, and opening it raises one."""
    path = tmp_path / "j.db"
    (name, other) = journal(path, TEXT, b"another")
    with open_log(path) as log:
        log.append("t", [new(ToolCalled(1, "tool", log.vault("t").commit(TEXT)))])
    put(path, DAMAGED[case])
    (problem,) = verify(path)
    assert (problem.what, problem.where) == ("body", "blobs 1")
    assert "\n" not in str(problem)
    with open_log(path) as log:
        with pytest.raises(JournalDamaged, match="packed body cannot be read"):
            log.vault("s").open(name)
        assert log.vault("s").open(other) == b"another"
        assert log.bodies_kept()[0] == 2


def test_a_packed_body_of_other_content_is_found(tmp_path) -> None:
    """A whole packed body in the place of another is not what was committed to."""
    path = tmp_path / "j.db"
    journal(path, TEXT)
    put(path, packing.pack(TEXT.replace(b"result", b"RESULT")))
    assert [problem.what for problem in verify(path)] == ["body"]


def test_files_hold_both_kinds(tmp_path) -> None:
    """A body that was stored as it is by an older program is the same body: verified, opened, and stored once."""
    path = tmp_path / "j.db"
    (name,) = journal(path, TEXT)
    assert stored(path) == [packing.pack(TEXT)]
    put(path, TEXT)
    assert verify(path) == ()
    with open_log(path) as log:
        assert log.vault("s").open(name) == TEXT
        assert log.vault("s").commit(TEXT) == name
        log.append("t", [new(ToolCalled(1, "tool", log.vault("t").commit(TEXT)))])
        assert log.bodies_kept() == (1, len(TEXT))
    assert stored(path) == [TEXT]


def secret() -> bytes:
    """A text that packs, and that nothing else can contain."""
    return "".join(f"key {secrets.token_hex(8)}\n" for _ in range(80)).encode()


def traces(path, *forms: bytes) -> set[bytes]:
    """The pieces of some bytes that stand in the journal's files."""
    wanted = erasure.pieces(forms)
    assert wanted
    return {piece for name in (str(path), f"{path}-wal") for piece in raw.held(name, wanted)}


def test_a_packed_body_leaves_no_trace(tmp_path) -> None:
    """An erased text is in the files neither as it was nor as it was stored, and the index does not know it."""
    path, text = tmp_path / "j.db", secret()
    with Journal.open(path) as journal:
        with journal.session("a", counter="lines4") as session:
            session.user_says("before")
            page = session.user_says(text.decode())
            session.save()
        form = packing.pack(text)
        assert form != text and form in stored(path) and traces(path, form)
        assert redact(journal.log, Target("a", page_id=page), at_us=5).status == "erased"
        assert not traces(path, form) and not traces(path, text)
        assert verify(journal.log) == () and projections_problems(journal.log) == []
    assert not traces(path, form, text)


@pytest.mark.parametrize("kept", [False, True], ids=["in a free page", "in a table"])
def test_a_planted_trace_of_a_packed_body_is_found(tmp_path, kept) -> None:
    """A copy of what was stored is found: rewritten where it is free, told where a table of ours holds it."""
    path, text = tmp_path / "j.db", secret()
    form = packing.pack(text)
    (name,) = journal(path, text)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA secure_delete=OFF")
        if kept:
            snapshots.create(db)
            db.execute("INSERT INTO snapshot_nodes (node_id, body) VALUES (77, ?)", (form,))
        else:
            db.execute("CREATE TABLE mine (x)")
            db.execute("INSERT INTO mine VALUES (?)", (form + bytes(5_000),))
            db.execute("DROP TABLE mine")
        db.commit()
    with open_log(path) as log:
        with log.transaction() as transaction:
            transaction.append("s", [new(ContentRedacted(RedactReason.REQUEST, commitments=(name,)))])
            gone = transaction.erase([name])
        assert [(each.body, each.stored) for each in gone] == [(text, form)]
        assert traces(path, form)
        status = log.scrub([form for each in gone for form in (each.body, each.stored)])
        assert status is (Erasure.RESIDUE if kept else Erasure.ERASED)
        assert bool(traces(path, form)) is kept


def test_pieces_that_a_packed_body_keeps_are_no_traces(tmp_path) -> None:
    """What another body says too, packed or not, is not what was erased."""
    path, text = tmp_path / "j.db", secret()
    name, _ = journal(path, text[:400], text)
    with open_log(path) as log:
        with log.transaction() as transaction:
            transaction.append("s", [new(ContentRedacted(RedactReason.REQUEST, commitments=(name,)))])
            transaction.erase([name])
        assert log.scrub([text[:400]]) is Erasure.ERASED


def test_plain_tools_see_packed_texts_as_zlib_streams(tmp_path) -> None:
    """In the views a short text is text, a packed one the stored blob, which zlib reads."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal, journal.session("a", counter="lines4") as session:
        session.user_says("short")
        session.user_says(TEXT.decode())
        session.save()
    with closing(sqlite3.connect(path)) as db:
        seen = [text for (text,) in db.execute("SELECT text FROM page_text WHERE level = 'full' ORDER BY page_id")]
    assert [text if isinstance(text, str) else zlib.decompress(text) for text in seen] == ["short", TEXT]


def test_the_index_knows_packed_bodies(tmp_path) -> None:
    """Full text finds the words of packed bodies, and goes on beside a damaged one, which `verify` names."""
    path = tmp_path / "j.db"
    names = journal(path, TEXT + b"needle", b"another needle")
    with open_log(path) as log:
        assert log.texts().holding([("needle",)]) == frozenset(names)
    put(path, DAMAGED["bomb"])
    with open_log(path) as log:
        assert log.texts().holding([("needle",)]) == {names[1]}


def test_a_body_of_the_greatest_length_is_packed_and_one_byte_more_is_not() -> None:
    """The bound is the same for packing and unpacking: what is packed comes back, and what states more is damage."""
    body = bytes(PACKED_BODY_BYTES)
    packed = packing.pack(body)
    assert len(packed) < len(body) and packing.body_bytes(packed, digest(body)) == PACKED_BODY_BYTES
    assert packing.unpack(packed, digest(body)) == body
    assert packing.pack(body + b"\0") == body + b"\0"
