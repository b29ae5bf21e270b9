"""Certificates of erasures: what they say, what they never hold, and what does not pass for one."""

import errno
import json
import os
import secrets
import sqlite3
import time

import pytest

from clawvm_es import files
from clawvm_es.cli.certificate import certify_done, certify_earlier
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import AnchorRefused, JournalFull, UsageError
from clawvm_es.history.certificate import canonical, certify, check_certificate, earlier_events, events_of
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal import anchors
from clawvm_es.model.events import ContentRedacted
from tests.history.test_redact import canary, talk


@pytest.fixture
def journal(tmp_path):
    """A journal with sessions that hold one text."""
    with Journal.open(tmp_path / "j.db") as found:
        found.text = canary()
        found.page = talk(found, "a", found.text)
        talk(found, "b", found.text)
        yield found


@pytest.fixture
def keys(tmp_path, journal):
    """A key pair for the journal."""
    public = anchors.make_key(str(tmp_path / "k"), journal.log.journal_id, 5, int(time.time()))
    return anchors.load_secret(str(tmp_path / "k"), int(time.time())), public


def erase(journal, **options):
    """The page of session `a` is erased."""
    return redact(journal.log, Target("a", page_id=journal.page), at_us=5, principal="dpo", **options)


def test_a_certificate_says_what_was_erased_and_holds_no_text(journal, keys):
    """LAW-CERTIFICATE-1: events with their hashes, commitments, places and outcomes; it verifies with key and log."""
    key, public = keys
    done = erase(journal, everywhere=True)
    raw = certify(journal.log, events_of(journal.log, done), at_us=6, key=key, done=done)
    document = check_certificate(raw, public, journal.log)
    assert journal.text.encode() not in raw and b"line 3" not in raw
    assert (document["status"], document["journal_id"], document["held_by"]) == ("erased", journal.log.journal_id, [])
    assert {each["session_id"] for each in document["events"]} == {"a", "b"}
    assert {each["outcome"] for each in document["scanned"]} == {"erased"}
    assert [each["what"] for each in document["scanned"]][:3] == ["rows", "file", "write-ahead log"]
    stored = {(row.seq, row.hash.hex()) for row in journal.log.read_all() if isinstance(row.data, ContentRedacted)}
    assert {(each["seq"], each["hash"]) for each in document["events"]} == stored
    assert document["commitments"] == sum(len(each["commitments"]) for each in document["events"])


def test_an_erasure_that_was_done_before_can_be_certified(journal):
    """By session, or by the version of its event; events of the same erasure in other streams come with it."""
    done = erase(journal, everywhere=True)
    redact(journal.log, Target("a", page_id="p1"), at_us=9)
    (first, _) = (trail for trail in done.trails)
    now = certify(journal.log, events_of(journal.log, done), at_us=6)
    assert certify(journal.log, earlier_events(journal.log, "a", first.version), at_us=6) == now
    assert len(earlier_events(journal.log, "a")) == 3
    for session_id, at in (("a", 1), ("a", 999), ("nobody", None)):
        with pytest.raises(UsageError):
            earlier_events(journal.log, session_id, at)
    with pytest.raises(UsageError, match="nothing to certify"):
        certify(journal.log, [], at_us=6)


def test_what_is_not_finished_is_not_called_erased(journal, tmp_path):
    """A reader in the way: the certificate says pending, and of which places; afterwards it says erased."""
    reader = sqlite3.connect(tmp_path / "j.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM blobs").fetchone()
    done = erase(journal)
    rows = events_of(journal.log, done)
    document = json.loads(certify(journal.log, rows, at_us=6, done=done))
    outcomes = {each["what"]: each["outcome"] for each in document["scanned"]}
    assert document["status"] == outcomes["file"] == outcomes["write-ahead log"] == "pending"
    assert outcomes["rows"] == "erased" and document["held_by"] == ["b"]
    reader.close()
    erase(journal)
    assert json.loads(certify(journal.log, rows, at_us=6))["status"] == "erased"


def test_a_table_that_is_not_ours_may_hold_a_copy(journal, tmp_path):
    """With rows in it nobody can say that the text is gone, and its name, which may be one, is not told."""
    rows = events_of(journal.log, erase(journal))
    with sqlite3.connect(tmp_path / "j.db", isolation_level=None) as stranger:
        stranger.execute(f'CREATE TABLE "{journal.text}" (body)')
        stranger.execute(f'INSERT INTO "{journal.text}" VALUES (?)', (journal.text,))
    stranger.close()
    raw = certify(journal.log, rows, at_us=6)
    outcomes = {each["what"]: each["outcome"] for each in json.loads(raw)["scanned"]}
    assert json.loads(raw)["status"] == outcomes["foreign objects"] == "held" and journal.text.encode() not in raw


def test_a_changed_certificate_does_not_pass(journal, keys, tmp_path):
    """Any other byte, another key, another journal, or a line of its own: refused, and the reason is named."""
    key, public = keys
    raw = certify(journal.log, events_of(journal.log, erase(journal)), at_us=6, key=key)
    for place in range(0, len(raw) - 1, 97):
        with pytest.raises(AnchorRefused):
            check_certificate(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :], public, journal.log)
    other = anchors.make_key(str(tmp_path / "other"), "other", 5, int(time.time()))
    with pytest.raises(AnchorRefused, match="not signed by other"):
        check_certificate(raw, other)
    unsigned = {name: value for name, value in json.loads(raw).items() if name != "signature"}
    with pytest.raises(AnchorRefused, match="not signed"):
        check_certificate(canonical(unsigned) + b"\n", public)
    for wrong in (b"", b"[]", b"{}", raw.strip(), json.dumps(json.loads(raw)).encode(), secrets.token_bytes(50)):
        with pytest.raises(AnchorRefused):
            check_certificate(wrong, public)
    with Journal.open(tmp_path / "else.db") as elsewhere, pytest.raises(AnchorRefused, match="of the journal"):
        check_certificate(raw, public, elsewhere.log)


def test_a_journal_in_memory_is_certified_by_its_rows():
    """There are no files to scan."""
    with Journal.open(":memory:") as journal:
        page = talk(journal, "a", canary())
        done = redact(journal.log, Target("a", page_id=page), at_us=5)
        document = check_certificate(certify(journal.log, events_of(journal.log, done), at_us=6), log=journal.log)
    assert [(each["what"], each["outcome"]) for each in document["scanned"]] == [("rows", "erased")]


def test_a_certificate_that_cannot_be_written_says_how_to_make_it(journal, tmp_path, monkeypatch):
    """The erasure is in the log by then; the command that certifies them afterwards is named, and works."""
    done = erase(journal)

    def full(path, chunks):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    with monkeypatch.context() as patched:
        patched.setattr(files, "write_whole", full)
        with pytest.raises(JournalFull, match=r"c\.json cannot be written: No space left .*erasure stands") as told:
            certify_done(journal.log, done, Target("a", everything=True), str(tmp_path / "c.json"), None)
    assert f"clawvm redact {journal.log.place} --session" in told.value.hint
    assert certify_earlier(journal.log, "a", None, str(tmp_path / "c.json"), None)["status"] == "erased"
