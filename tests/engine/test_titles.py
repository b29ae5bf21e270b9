"""Titles: what the user asked first, or the id."""

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.engine.titles import TITLE_CHARS, Openings, folder_of, title_of
from clawvm_es.errors import JournalDamaged
from clawvm_es.history.redact import Target, redact
from clawvm_es.model.events import SessionForked
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.testing.logs import budget


@pytest.mark.parametrize(
    ("says", "title"),
    [
        ("\n  fix   the login\nplease", "fix the login"),
        ("x" * TITLE_CHARS, "x" * TITLE_CHARS),
        ("x" * (TITLE_CHARS + 1), "x" * (TITLE_CHARS - 1) + "…"),
        (" \n ", "run-1"),
        ("use ghp_" + "a1B2" * 9, "use [GitHub token hidden]"),
    ],
)
def test_a_title_is_the_first_line_of_the_first_prompt(says, title):
    """Blanks are made one, long lines are cut, credentials are hidden; of an empty prompt the id is the title."""
    with Journal.open(":memory:") as journal:
        with journal.session("run-1") as session:
            session.write_page("bootstrap", "- You must be careful.")
            session.user_says(says)
            session.user_says("and then this")
        assert title_of(journal.log, "run-1") == title


def test_without_a_prompt_or_after_its_erasure_the_id_is_the_title():
    """A session without a user, an erased prompt and a shared scope are named by their ids."""
    with Journal.open(":memory:") as journal:
        with journal.session("run-1", project="team") as session:
            session.observe_model("hello")
            assert title_of(journal.log, "run-1") == "run-1"
            session.user_says("fix it")
        assert title_of(journal.log, "run-1") == "fix it"
        redact(journal.log, Target("run-1", everything=True), at_us=5)
        assert title_of(journal.log, "run-1") == "run-1"
        assert title_of(journal.log, "scope:team") == "scope:team"


class Counting:
    """A log that counts how often a first event is asked for."""

    def __init__(self, log):
        self.log, self.asked = log, []

    def first(self, stream):
        """The log's answer."""
        self.asked.append(stream)
        return self.log.first(stream)

    def __getattr__(self, name):
        return getattr(self.log, name)


def test_what_forks_have_from_their_parents_is_looked_up_once():
    """In a line of forks each stream is read once; one that began before the user spoke has words of its own."""
    with Journal.open(":memory:") as journal:
        with journal.session("run-1") as session:
            session.write_page("bootstrap", "- You must be careful.")
            before = session.state.version
            session.user_says("fix it")
        for number in range(1, 9):
            journal.fork("run-1" if number == 1 else f"fork-{number - 1}", f"fork-{number}")
        with journal.fork("run-1", "other", at=before) as other:
            other.user_says("do another thing")
        journal.fork("other", "other again")
        log = Counting(journal.log)
        openings, ids = Openings(log), [head.session_id for head in journal.log.heads()]
        told = {session_id: (openings.title(session_id), openings.folder(session_id)) for session_id in ids}
        assert sorted(log.asked) == sorted(ids)
        assert told == {each: (title_of(journal.log, each), folder_of(journal.log, each)) for each in ids}
        assert told["fork-8"][0] == "fix it" and told["other again"][0] == told["other"][0] == "do another thing"


class Firsts:
    """A log that only knows how each stream begins: a fork of a parent at a version."""

    def __init__(self, forked):
        with MemoryLog() as log:
            log.append("x", [budget(1)])
            self.row = log.first("x")
        self.forked = forked

    def first(self, stream):
        """The first event of a stream."""
        if stream not in self.forked:
            return None
        parent, at = self.forked[stream]
        return self.row._replace(session_id=stream, version=at + 1, data=SessionForked(parent, at, ""))


@pytest.mark.parametrize(
    ("forked", "says"),
    [
        ({"s": ("p", 3)}, "session s was forked from p, which has no events"),
        ({"s": ("s", 3)}, "session s descends from itself by way of s"),
        ({"s": ("p", 3), "p": ("s", 1)}, "session s descends from itself by way of s"),
        ({"s": ("p", 3), "p": ("q", 1), "q": ("p", 7)}, "session s descends from itself by way of p"),
    ],
)
def test_a_title_from_a_circle_of_forks_is_damage(forked, says):
    """What is no tree of forks is told, and never an endless walk."""
    with pytest.raises(JournalDamaged, match=says):
        Openings(Firsts(forked)).title("s")
