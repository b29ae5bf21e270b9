"""What the tables refuse, whoever writes to them."""

from __future__ import annotations

import sqlite3

import pytest

from clawvm_es.model.events import ContentRedacted, ToolCalled
from clawvm_es.model.facts import RedactReason
from clawvm_es.storage import open_log, verify
from clawvm_es.testing.logs import budget, new, used


@pytest.fixture
def path(tmp_path):
    """A journal with events, a body and a sealed body."""
    path = tmp_path / "journal.db"
    with open_log(path) as log:
        vault = log.vault("s")
        log.append(
            "s", [budget(1, "k"), used(), new(ToolCalled(1, "t", vault.commit(b"body"), vault.seal(b"sealed")))]
        )
        log.append("t", [budget(2)])
    return path


@pytest.fixture
def db(path):
    """A plain connection of another program."""
    db = sqlite3.connect(path, isolation_level=None)
    yield db
    db.close()


COPY = (
    "SELECT {} , session_id || '{}', version + {}, turn, kind, type, schema_version, at, principal, cause, {}, data,"
)
COPY += " prev_hash, hash FROM events WHERE seq = 1"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET turn = 2",
        "UPDATE events SET seq = 9 WHERE seq = 3",
        "DELETE FROM events",
        "DELETE FROM events WHERE seq = 4",
        "INSERT OR REPLACE INTO events SELECT * FROM events WHERE seq = 1",
        "REPLACE INTO events " + COPY.format(5, "", 0, "NULL"),
        "REPLACE INTO events " + COPY.format(5, "", 2, "idempotency_key"),
        "INSERT OR IGNORE INTO events " + COPY.format(2, "", 9, "NULL"),
        "INSERT INTO events " + COPY.format(6, "", 9, "NULL"),
        "INSERT INTO events " + COPY.format("NULL", "", 9, "NULL"),
        "INSERT INTO events " + COPY.format(0, "x", 0, "NULL"),
        "INSERT INTO events " + COPY.format(5, "", 9, "NULL") + " ON CONFLICT DO UPDATE SET turn = 9",
        "UPDATE blobs SET body = x'00'",
        "DELETE FROM blobs",
        "REPLACE INTO blobs SELECT blob_id, digest, x'00' FROM blobs",
        "REPLACE INTO blobs SELECT blob_id + 1, digest, x'00' FROM blobs",
        "UPDATE commitments SET salt = x'00'",
        "UPDATE commitments SET blob_id = NULL",
        "UPDATE commitments SET session_id = 't', blob_id = 1 WHERE blob_id IS NULL",
        "DELETE FROM commitments",
        "REPLACE INTO commitments SELECT commitment_id, 'x', session_id, salt, blob_id, binding FROM commitments",
        "REPLACE INTO commitments SELECT commitment_id + 9, commitment, 't', salt, blob_id, binding FROM commitments",
        "UPDATE journal SET id = 'x'",
        "DELETE FROM journal",
        "REPLACE INTO journal SELECT 1, 'x', 0, 0",
    ],
)
def test_accidents_are_stopped(path, db, statement) -> None:
    """UPDATE, DELETE, INSERT OR REPLACE and gaps are refused, and the journal stays as it was."""
    upsert = "ON CONFLICT" in statement
    if upsert:
        statement = statement.replace("SELECT 5", "SELECT 1")
    with pytest.raises(sqlite3.IntegrityError, match=r"append-only|never replaced|identity|body|commitment"):
        db.execute(statement)
    assert verify(path) == ()


def test_content_goes_only_after_it_was_redacted(path, db) -> None:
    """Salts and bodies can be deleted once an event names them as redacted, commitments before bodies."""
    ((commitment,),) = db.execute("SELECT commitment FROM commitments WHERE blob_id IS NOT NULL").fetchall()
    with open_log(path) as log:
        log.append("s", [new(ContentRedacted(RedactReason.REQUEST, (commitment,)))])
    with pytest.raises(sqlite3.IntegrityError, match="still needs this body"):
        db.execute("DELETE FROM blobs")
    db.execute("DELETE FROM commitments WHERE commitment = ?", (commitment,))
    db.execute("DELETE FROM blobs")
    with pytest.raises(sqlite3.IntegrityError, match="no content_redacted"):
        db.execute("DELETE FROM commitments")
    assert verify(path) == ()
    with open_log(path) as log:
        assert log.vault("s").open(commitment) is None


def test_columns_have_their_types(db) -> None:
    """The tables are STRICT: text in a number's place is refused."""
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT value in INTEGER"):
        db.execute("INSERT INTO events " + COPY.format(5, "", 9, "NULL").replace("turn", "'one'"))
