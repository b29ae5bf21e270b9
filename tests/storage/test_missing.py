"""A storage that cannot do something says so, and does nothing in its place (A11, A13)."""

import pytest

from clawvm_es import storage
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import MissingCapability
from clawvm_es.history.certificate import certify
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal import anchors
from clawvm_es.journal.ports import Recorded
from clawvm_es.model.events import ContentRedacted
from clawvm_es.model.facts import RedactReason
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.storage.sqlite.log import SQLiteLog
from clawvm_es.testing import FakeClock

NOW_US = 1_800_000_000_000_000


@pytest.fixture(params=[SQLiteLog, MemoryLog])
def journal(request, tmp_path, monkeypatch):
    """A journal with a session, in a storage that declares no capability."""
    url = "memory:" if request.param is MemoryLog else tmp_path / "j.db"
    with Journal.open(url, clock=FakeClock()) as journal:
        with journal.session("s", counter="lines4") as session:
            session.user_says("a canary")
            session.write_page("constraint", "- Keep the canary.")
            session.assemble()
        monkeypatch.setattr(request.param, "capabilities", frozenset())
        yield journal
        monkeypatch.undo()


@pytest.mark.parametrize("dry_run", [False, True])
def test_redact_refuses_a_log_that_does_not_erase(journal, dry_run):
    """Without ERASE nothing is `erased`: one sentence says what is missing, and no event is written."""
    before = journal.log.heads()
    with pytest.raises(MissingCapability, match=r"redact is not possible here: .* the capability erase"):
        redact(journal.log, Target("s", everything=True), at_us=NOW_US, dry_run=dry_run)
    assert journal.log.heads() == before


def test_proofs_refuse_a_log_that_does_not_give_hashes(journal, tmp_path):
    """Without ANCHOR there is no checkpoint and no anchor."""
    anchors.make_key(str(tmp_path / "k"), "here", 30, NOW_US // 1_000_000)
    key = anchors.load_secret(str(tmp_path / "k"), NOW_US // 1_000_000)
    with pytest.raises(MissingCapability, match="checkpoint"):
        anchors.take_checkpoint(journal.log, key)
    with pytest.raises(MissingCapability, match="proof"):
        anchors.inclusion_proofs(journal.log, [1], 1)


def test_verify_refuses_a_log_that_does_not_check(journal):
    """Without VERIFY a log is not called consistent."""
    with pytest.raises(MissingCapability, match="verify"):
        storage.verify(journal.log)


def test_a_certificate_needs_a_log_that_erases(journal):
    """No certificate of an erasure comes from a log that cannot erase."""
    with pytest.raises(MissingCapability, match="certificate"):
        certify(journal.log, [_redacted()], at_us=NOW_US)


def _redacted():
    """An event that tells of an erasure, as a log would give it."""
    data = ContentRedacted(RedactReason.REQUEST, ("0" * 64,))
    return Recorded(1, "s", 1, 0, "input", data.TYPE, 1, 0, "operator", None, None, b"{}", bytes(32), bytes(32), data)
