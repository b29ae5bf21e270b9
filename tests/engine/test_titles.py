"""Titles: what the user asked first, or the id."""

import pytest

from clawvm_es.engine.journal import Journal
from clawvm_es.engine.titles import TITLE_CHARS, title_of
from clawvm_es.history.redact import Target, redact


@pytest.mark.parametrize(
    ("says", "title"),
    [
        ("\n  fix   the login\nplease", "fix the login"),
        ("x" * 200, "x" * (TITLE_CHARS - 1) + "…"),
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
