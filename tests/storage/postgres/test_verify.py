"""`verify` on a server finds and names what someone with the owner's rights changed, whatever table it was in."""

from __future__ import annotations

import pytest

from clawvm_es import storage
from clawvm_es.model.events import ContentRedacted, PromptRendered, ToolCalled
from clawvm_es.model.facts import RedactReason
from clawvm_es.projections import catch_up, index_texts, projections_problems
from clawvm_es.testing.logs import budget, new, used


def filled(url: str) -> str:
    """The URL of a journal with two sessions, three bodies, a sealed one, and one that was erased."""
    with storage.open_log(url) as log:
        for session in ("a", "b"):
            vault = log.vault(session)
            log.append(session, [budget(1, "k1"), new(ToolCalled(1, "tool", vault.commit(b"body of %a" % session)))])
        gone = log.vault("a").commit(b"a secret")
        log.append("a", [new(ToolCalled(2, "tool", gone)), used("p1")])
        log.append("a", [new(PromptRendered("r", 7, log.vault("a").seal(b"prompt")))])
        with log.transaction() as transaction:
            transaction.append("a", [new(ContentRedacted(RedactReason.REQUEST, commitments=(gone,)))])
            transaction.erase([gone])
    return url


def tampered(server, url: str, *statements: str) -> list[str]:
    """What `verify` says after statements that no guard looked at."""
    name = url.rpartition("schema=")[2]
    server.run("SET session_replication_role = replica", *(each.replace("{s}", name) for each in statements))
    return [str(each) for each in storage.verify(url)]


BODY = "(SELECT body FROM {s}.blobs ORDER BY blob_id LIMIT 1)"
TAMPERINGS = {
    "turn of an event": ("UPDATE {s}.events SET turn = 7 WHERE seq = 2", ["seq 2"]),
    "data of an event": ("UPDATE {s}.events SET data = data || ' ' WHERE seq = 3", ["seq 3"]),
    "an event that is gone": (
        "DELETE FROM {s}.events WHERE seq = 3",
        [
            "the row before has seq 2, so 3 was expected",
            "first event should have version 1",
            "first event should follow",
        ],
    ),
    "id of the journal": (
        "UPDATE {s}.journal SET id = 'x' || id",
        ["journal: id, created_at_us or reproducible was"],
    ),
    "a body": ("UPDATE {s}.blobs SET body = 'x' WHERE blob_id = 1", ["blobs 1: body: was changed"]),
    "a digest": (
        "UPDATE {s}.blobs SET digest = 'x' WHERE blob_id = 1",
        ["blobs 1: digest: is not the SHA-256 of its body"],
    ),
    "a salt": (
        "UPDATE {s}.commitments SET salt = sha256('x') WHERE blob_id = 1",
        ["salt: the body does not open", "binding: salt"],
    ),
    "a short salt": (
        "UPDATE {s}.commitments SET salt = 'x' WHERE blob_id = 1",
        ["salt: has 1 bytes, not 32", "salt: the body does not open", "binding: salt"],
    ),
    "the body of another": (
        "UPDATE {s}.commitments SET blob_id = 2 WHERE blob_id = 1",
        ["blob_id: the body does not open this commitment", "blobs 1: blob_id: no commitment stands for this body"],
    ),
    "a body that was unlinked": (
        "UPDATE {s}.commitments SET blob_id = NULL WHERE blob_id = 1",
        [
            "binding: salt, commitment, session_id or binding was changed, or the body unlinked",
            "no commitment stands",
        ],
    ),
    "a binding": ("UPDATE {s}.commitments SET binding = 'x' WHERE blob_id IS NULL", ["binding: salt, commitment"]),
    "a commitment that is gone": (
        "DELETE FROM {s}.commitments WHERE blob_id = 1",
        ["has no row, and no content_redacted names it", "blobs 1: blob_id: no commitment stands"],
    ),
    "a commitment that nothing names": (
        "INSERT INTO {s}.commitments (commitment, session_id, salt, binding)"
        " VALUES (repeat('0', 64), 'a', sha256('x'), 'x')",
        ["commitment: no input of the log names it", "binding: salt"],
    ),
    "a body that nothing stands for": (
        "INSERT INTO {s}.blobs (digest, body) VALUES (sha256('x'), 'x')",
        ["no commitment stands for this body"],
    ),
    "a trigger of a stranger": (
        "CREATE TRIGGER strange BEFORE INSERT ON {s}.events FOR EACH ROW EXECUTE FUNCTION {s}.refuse('x')",
        ["strange: schema: is a trigger on events that is not ours"],
    ),
    "a guard that does nothing": (
        "CREATE OR REPLACE FUNCTION {s}.unnamed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
        ["unnamed: schema: is not as made"],
    ),
    "no function to append": ("ALTER FUNCTION {s}.append RENAME TO other", ["append: schema: is missing"]),
    "a cell that no row has": (
        "ALTER TABLE {s}.commitments ALTER salt DROP NOT NULL; UPDATE {s}.commitments SET salt = NULL",
        ["rows: cannot be read on"],
    ),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_what_was_changed_is_named(server, url, what):
    """Each change is a problem that names its row, guard or table; nothing beside it is said to be wrong."""
    statement, expected = TAMPERINGS[what]
    assert storage.verify(filled(url)) == ()
    said = tampered(server, url, statement)
    for each in expected:
        assert any(each in line for line in said), said
    for line in said:
        assert any(each in line for each in expected), line


INDEXED = {
    "a body's words": ("UPDATE {s}.body_words SET words = 'other' WHERE blob_id = 1", "has other words than body 1"),
    "no words": ("UPDATE {s}.body_words SET words = NULL WHERE blob_id = 2", "has other words than body 2"),
    "a body that is gone": ("DELETE FROM {s}.blobs WHERE blob_id = 2", "knows body 2, which is not there"),
    "another number": (
        "UPDATE {s}.body_words SET blob_id = 99 WHERE blob_id = 1",
        "knows body 99, which is not there",
    ),
}


@pytest.mark.parametrize("what", INDEXED)
def test_what_the_index_says_wrongly_is_named(server, url, what):
    """LAW-INDEX-1: the body whose words are others than the index has is named, and one that is not there."""
    statement, expected = INDEXED[what]
    with storage.open_log(filled(url)) as log:
        index_texts(log)
        assert projections_problems(log) == []
        name = url.rpartition("schema=")[2]
        server.run("SET session_replication_role = replica", statement.replace("{s}", name))
        assert projections_problems(log) == [f"body_words: {expected}"]


@pytest.mark.parametrize(
    ("seq", "expected"),
    [(99, "stand at seq 99, beyond the last event 8"), (-1, "stand at seq -1, before the first, up to 8"), (0, None)],
)
def test_read_models_that_stand_where_no_event_is_are_a_problem(server, url, seq, expected):
    """A position that no log gives is named; an earlier one only waits to be brought on."""
    with storage.open_log(filled(url)) as log:
        catch_up(log)
        assert projections_problems(log) == [] and log.size() == 8
        name = url.rpartition("schema=")[2]
        server.run("SET session_replication_role = replica", f"UPDATE {name}.model_positions SET seq = {seq}")
        found = projections_problems(log)
        assert (found == [f"projections: {expected}"]) if expected else not any("stand at" in each for each in found)
