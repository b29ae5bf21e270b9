"""A walk-through: what a new storage takes. `toy.py` is one file and one row of `storage.SCHEMES`."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawvm_es import storage
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import MissingCapability
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal.ports import Capability, declares
from clawvm_es.testing import FakeClock, assert_redecides, recorded
from clawvm_es.testing.logs import EventLogContract, Place
from tests.contract import toy

SCHEME = "toy"


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The one row: the scheme of its URLs and the module that opens it."""
    monkeypatch.setattr(storage, "SCHEMES", {**storage.SCHEMES, SCHEME: toy.__name__})


@pytest.fixture
def url(tmp_path):
    """The URL of a journal that is not there yet."""
    return f"{SCHEME}:///{tmp_path / 'journal.jsonl'}"


class TestToyLog(EventLogContract):
    """The contract: what the toy does not declare is skipped, and refused aloud."""

    @pytest.fixture
    def place(self, url):
        """One log at a time, that is there again when it is opened again."""
        return Place(lambda **options: storage.open_log(url, **options), kept=True)


def test_a_journal_works_over_the_toy(url):
    """Sessions are recorded, go on after the journal was opened again, and are decided again the same."""
    prompts = []
    for turn in (1, 2):
        with Journal.open(url, seed=7, clock=FakeClock()) as journal:
            with journal.session("session", budget_tokens=300, counter="lines4") as session:
                session.write_page("constraint", "- Never force-push.")
                session.user_says(f"turn {turn}: " + "words " * 40)
                prompts.append(session.assemble())
            assert_redecides(recorded(journal))
            assert journal.log.kind == SCHEME
    assert [prompt.turn for prompt in prompts] == [1, 2]
    assert all("Never force-push" in prompt.text for prompt in prompts)


def test_the_toy_and_memory_come_to_the_same(url):
    """With a seed and a clock, a session has the same hashes on every storage."""

    def head(place):
        with Journal.open(place, seed=7, clock=FakeClock()) as journal:
            with journal.session("s", counter="lines4") as session:
                session.user_says("hello")
                session.assemble()
            return journal.log.head("s").hash

    assert head(url) == head("memory:")


def test_what_the_toy_cannot_do_is_refused(url):
    """Erasing, verifying and copying raise one sentence each, and leave the file as it was."""
    with Journal.open(url, clock=FakeClock()) as journal, journal.session("s", counter="lines4") as session:
        session.user_says("hello")
        assert not any(declares(journal.log, capability) for capability in Capability)
        with pytest.raises(MissingCapability, match="the storage toy does not declare the capability erase"):
            redact(journal.log, Target("s", everything=True), at_us=1)
        with pytest.raises(MissingCapability, match="verify"):
            storage.verify(journal.log)
    for verb in (storage.verify, storage.exists, lambda place: storage.backup(place, url + ".copy")):
        with pytest.raises(MissingCapability, match="the storage toy does not have it"):
            verb(url)


def test_a_storage_is_one_file():
    """The toy imports the journal's ports and helpers, and nothing of another storage."""
    source = Path(toy.__file__).read_text(encoding="utf-8")
    assert "clawvm_es.storage" not in source
    assert len(source.splitlines()) < 250
