"""The full-text index: it says what the bodies say, forgets what is erased, and never misses a newer body."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.history.grep import grep, words
from clawvm_es.journal.ports import Edition, NewEvent
from clawvm_es.model import events as e
from clawvm_es.model.facts import RecallOutcome, RedactReason
from clawvm_es.projections import index_texts, projections_problems, rebuild, store
from clawvm_es.projections.tables import MODELS
from clawvm_es.storage.sqlite import queries, snapshots, text_index
from clawvm_es.storage.sqlite.log import SQLiteLog, open_log

ODD = [
    "caf\udce9 zebra".encode("utf-8", "surrogatepass"),
    b"\x00zebra\x00\xff\xfe zebra",
    b"\xff" * 50,
    b"",
    "Žebra".encode(),
]


def recall(log: SQLiteLog, *bodies: bytes) -> None:
    """Append an event for each body."""
    vault = log.vault("one")
    for body in bodies:
        query = e.RecallAnswered(1, RecallOutcome.OK, vault.commit(body))
        log.append("one", [NewEvent(query, 0, 0, "t")])


def matches(path: Path, words: str) -> list[int]:
    """The bodies that hold words, as any SQLite tool with FTS5 finds them."""
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT rowid FROM body_index WHERE body_index MATCH ? ORDER BY rowid", (words,))
        return [row[0] for row in found]


def test_any_bytes_can_be_indexed(tmp_path):
    """Lone surrogates, zero bytes and bytes that are no text break nothing, and words beside them are found."""
    with open_log(tmp_path / "j.db") as log:
        recall(log, *ODD, b"read_file(path)")
        index_texts(log)
        assert projections_problems(log) == []
    assert matches(tmp_path / "j.db", "zebra") == [1, 2, 5], "accents are ignored"
    assert matches(tmp_path / "j.db", '"read_file"') == matches(tmp_path / "j.db", "FILE") == [6]


@pytest.mark.parametrize("asked", [1, 9])
def test_the_commitments_to_many_bodies_are_looked_up_one_by_one_at_first(tmp_path, monkeypatch, asked):
    """Of more bodies than pay to be named at once, those that are asked about are the same; so they are later."""
    monkeypatch.setattr(text_index, "_NAMES_AT_ONCE", 3)
    with open_log(tmp_path / "j.db") as log:
        recall(log, *(b"zebra %d" % number for number in range(6)), *(b"horse %d" % number for number in range(6)))
        index_texts(log)
        found = log.texts().holding([("zebra",)])
        names = [row.data.query for row in log.read("one")]
        assert not isinstance(found, frozenset)
        for _ in range(asked):
            assert [name for name in names if name in found] == names[:6]
        assert "none" not in found


@pytest.mark.parametrize("named_at_once", [3, 1_000])
def test_of_many_bodies_only_the_inputs_that_name_one_are_decoded(tmp_path, monkeypatch, named_at_once):
    """Their events come in order, from and up to a version, whatever the pieces that are looked through."""
    monkeypatch.setattr(text_index, "_NAMES_AT_ONCE", named_at_once)
    monkeypatch.setattr(text_index, "_PIECE", 2)
    with open_log(tmp_path / "j.db") as log:
        recall(log, *(b"%s %d" % (word, number) for number in range(30) for word in (b"zebra", b"horse")))
        index_texts(log)
        rows, decoded, plain = list(log.read("one")), [], queries.recordeds
        monkeypatch.setattr(queries, "recordeds", lambda rows: (decoded.append(row) or row for row in plain(rows)))
        held = log.texts().holding([("zebra",)])
        for after, upto in ((0, None), (3, 9), (5, 99), (23, None), (99, None)):
            decoded.clear()
            found = [row for row in rows if row.data.query in held and after < row.version <= (upto or 99)]
            assert list(log.texts().naming("one", held, after, upto)) == decoded == found
        assert list(log.texts().naming("nobody", held)) == []
        decoded.clear()
        assert len(list(grep(log, words("zebra")))) == len(decoded) == 30


def test_an_index_that_is_up_to_date_is_asked_over_the_connection_that_is_there(tmp_path):
    """Neither what is held nor how much is behind opens the file again; what is missing is indexed beside it."""
    made = []
    with open_log(tmp_path / "j.db") as log:
        recall(log, b"zebra")
        index_texts(log)
        recall(log, b"another zebra")
    with open_log(
        tmp_path / "j.db", read_only=True, connect=lambda *a, **o: made.append(a) or connect(*a, **o)
    ) as log:
        made.clear()
        assert (log.texts().behind(), made) == (1, [])
        assert len(log.texts().holding([("zebra",)])) == 2 and len(made) == 1
    with open_log(tmp_path / "j.db") as log:
        index_texts(log)
    with open_log(
        tmp_path / "j.db", read_only=True, connect=lambda *a, **o: made.append(a) or connect(*a, **o)
    ) as log:
        made.clear()
        assert len(log.texts().holding([("zebra",)])) == 2
        assert (log.texts().behind(), made) == (0, [])


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "index", "forget", "piece", "rebuild"]), st.integers(0, 30)),
        max_size=14,
    )
)
def test_the_index_says_what_the_bodies_say(tmp_path_factory, doings):
    """LAW-INDEX-1: however bodies come and go, what is left is an index of exactly those that there are."""
    path = tmp_path_factory.mktemp("index") / "j.db"
    with open_log(path) as log:
        recall(log, b"word zero")
        index_texts(log)
        for place, (what, number) in enumerate(doings):
            if what == "write":
                recall(log, b"word number %d of %d" % (number, place))
            elif what == "forget":
                erase(log, number)
            elif what == "piece":
                with log.models(MODELS).writing() as writer:
                    store.begin(writer)
                    writer.index_texts(Edition.NEXT)
            else:
                (index_texts if what == "index" else rebuild)(log)
        assert projections_problems(log) == []
        index_texts(log)
        with log.transaction() as transaction:
            bodies = [row[0] for row in transaction.connection.execute("SELECT blob_id FROM blobs ORDER BY 1")]
        assert matches(path, "word") == bodies
        rebuild(log)
        assert matches(path, "word") == bodies and projections_problems(log) == []


def erase(log: SQLiteLog, which: int) -> None:
    """Erase one body, the newest included, so that its id is given to another later."""
    with log.transaction() as transaction:
        names = [
            row[0]
            for row in transaction.connection.execute("SELECT commitment FROM commitments ORDER BY commitment_id")
        ]
        if not names:
            return
        name = names[which % len(names)]
        redacted = e.ContentRedacted(RedactReason.REQUEST, (name,))
        transaction.append("one", [NewEvent(redacted, 0, 0, "t")])
        transaction.erase([name])


def test_no_word_of_a_forgotten_body_is_left_after_optimize(tmp_path):
    """Neither in the live index nor in one that is being built."""
    with open_log(tmp_path / "j.db") as log:
        canary = "the canary sings quetzalcoatl 金絲雀 gelb\u00fcr".encode()
        recall(log, b"common words", canary, b"more common words")
        index_texts(log)
        with log.models(MODELS).writing() as writer:
            store.begin(writer)
            writer.index_texts(Edition.NEXT)
        erase(log, 1)
        with log.transaction() as transaction:
            db = transaction.connection
            for place in ("", "next_"):
                blocks = b"".join(row[0] for row in db.execute(f"SELECT block FROM {place}body_index_data"))
                assert b"ommon" in blocks
                assert b"anary" not in blocks and b"uetzal" not in blocks and b"elbur" not in blocks
                assert not any(char.encode() in blocks for char in "金絲雀")
        rebuild(log)
    assert matches(tmp_path / "j.db", "canary") == [] and matches(tmp_path / "j.db", "common") == [1, 3]


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("INSERT INTO body_index(body_index, rowid, body) VALUES ('delete', 2, 'beta')", "does not know body 2"),
        ("INSERT INTO body_index(rowid, body) VALUES (9, 'omega')", "knows body 9, which is not there"),
        ("INSERT INTO body_index(rowid, body) VALUES (2, 'omega')", "other words than body 2"),
        ("INSERT INTO body_index(body_index) VALUES ('delete-all')", None),
        ("DROP TABLE body_index", "body_index is missing"),
    ],
)  # fmt: skip
def test_an_index_that_was_changed_is_found(tmp_path, harm, says):
    """`verify` names the body that the index is wrong about; an index that only knows less is behind, not wrong."""
    with open_log(tmp_path / "j.db") as log:
        recall(log, b"alpha", b"beta", b"gamma")
        index_texts(log)
    with closing(sqlite3.connect(tmp_path / "j.db", isolation_level=None)) as db:
        db.executescript(harm)
    with open_log(tmp_path / "j.db", read_only=True) as log:
        found = projections_problems(log)
    assert (says is None) == (not found) and (says is None or says in found[0])


def changed(path: Path, *statements: str) -> list[str]:
    """What is said of an index after changes behind the log's back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)
    with open_log(path, read_only=True) as log:
        return log.texts().problems()


def test_every_wrong_body_is_named_once_in_order(tmp_path):
    """Bodies that are not there by rising id, then those it lacks, then those with other words; twenty at most."""
    path = tmp_path / "j.db"
    with open_log(path) as log:
        recall(log, *[b"word number %d" % number for number in range(1, 31)])
        index_texts(log)
        assert log.texts().problems() == [] and log.texts().stray() == 0
    insert = "INSERT INTO body_index(rowid, body) VALUES ({}, 'omega')"
    delete = "INSERT INTO body_index(body_index, rowid, body) VALUES ('delete', {0}, 'word number {0}')"
    strays = [900, 77, 1500, 40, 301]
    found = changed(path, *map(insert.format, strays), delete.format(7), delete.format(3), insert.format(12))
    missing = [f"body_index: knows body {number}, which is not there" for number in sorted(strays)]
    lacking = [f"body_index: does not know body {number}" for number in (3, 7)]
    assert found[:8] == [*missing, *lacking, "body_index: has other words than body 12"]
    with open_log(path, read_only=True) as log:
        assert log.texts().stray() == len(strays)
    found = changed(path, *(insert.format(number) for number in range(2000, 2040)))
    assert len(found) == 21 and found[-1].endswith("more bodies differ")
    assert found[:5] == missing


def test_bodies_that_were_never_indexed_are_all_behind_and_none_is_stray(tmp_path):
    """Without an index every body is counted as missing, and nothing can be in it that the log does not keep."""
    with open_log(tmp_path / "j.db") as log:
        texts = log.texts()
        assert (texts.behind(), texts.stray(), texts.problems()) == (0, 0, [])
        recall(log, b"one", b"two", b"three")
        assert (texts.behind(), texts.stray(), texts.problems()) == (3, 0, [])
        index_texts(log)
        assert (texts.behind(), texts.stray()) == (0, 0)
        recall(log, b"four")
        assert (texts.behind(), texts.stray()) == (1, 0)


def test_the_best_texts_come_first_and_no_more_than_asked_for() -> None:
    """By how well they match, then by their numbers; a number that is given again has its new text alone."""
    ranked = text_index.Ranked()
    for number, text in ((3, "red fox"), (1, "red fox"), (2, "red red red fox"), (9, "blue"), (4, "old words")):
        ranked.put(number, text)
    ranked.put(4, "red herring and a great many other words that stand beside it")
    found = ranked.best([("red",)], 9)
    assert found[0] == 2 and set(found) == {1, 2, 3, 4} and found[-1] == 4 and found[1:3] == (1, 3)
    for top_k in (-1, 0, 1, 2, 3, 4, 5):
        assert ranked.best([("red",)], top_k) == found[: max(0, top_k)]
    assert ranked.best([], 9) == ranked.best([("old",)], 9) == ()
    assert set(ranked.best([("blue",), ("red", "herring")], 9)) == {4, 9}
    ranked.close()
    with pytest.raises(sqlite3.ProgrammingError):
        ranked.best([("red",)], 1)


def test_all_names_are_read_once_more_are_asked_about_than_there_are(tmp_path, monkeypatch) -> None:
    """As many different questions as there are bodies are looked up one by one, each once; the next one reads all."""
    read: list[int] = []
    names_of = text_index._names
    monkeypatch.setattr(text_index, "_names", lambda db, bodies: read.append(len(bodies)) or names_of(db, bodies))
    monkeypatch.setattr(text_index, "_NAMES_AT_ONCE", 3)
    with open_log(tmp_path / "j.db") as log:
        recall(log, *(b"zebra %d" % number for number in range(4)), *(b"horse %d" % number for number in range(3)))
        found = log.texts().holding([("zebra",)])
        names = [row.data.query for row in log.read("one")]
        assert 7 not in found and found.known == {}
        for place, name in enumerate((names[0], names[4], names[0], names[1], names[5])):
            assert (name in found) is (name in names[:4]), place
        assert read == [] and found.known == dict.fromkeys(names[:2], True) | dict.fromkeys(names[4:6], False)
        assert [name in found for name in (names[6], names[3], names[4], "none")] == [False, True, False, False]
        assert read == [4] and found.all == set(names[:4])


@pytest.mark.parametrize("table", ["snapshots", "snapshot_nodes", "snapshot_position"])
def test_tables_of_snapshots_that_are_not_as_made_are_dropped_by_an_erasure(tmp_path, table) -> None:
    """They may hold anything, so that nothing of them may stay; afterwards there are none."""
    with open_log(tmp_path / "j.db") as log:
        recall(log, b"word")
        with log.transaction() as transaction:
            db = transaction.connection
            snapshots.create(db)
            db.execute(f"ALTER TABLE {table} ADD COLUMN odd INTEGER")
            assert not snapshots.exist(db) and snapshots.forget(db, ["one"]) == 0
            left = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            assert not left & {"snapshots", "snapshot_nodes", "snapshot_position"}
            snapshots.create(db)
            assert snapshots.exist(db) and snapshots.position(db) == 0 and snapshots.next_ids(db) == (1, 1)
            snapshots.set_position(db, 7)
            snapshots.set_position(db, 3)
            assert snapshots.position(db) == 7
