"""What a harness brings along: its counter, its builders, its profile; checked before anything is recorded."""

from __future__ import annotations

import attrs
import pytest
import structlog

from clawvm_es import Journal, Settings, profile, views
from clawvm_es.errors import UsageError
from clawvm_es.history import redecide
from clawvm_es.history.whatif import Setting, whatif
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.pages import Fidelity
from tests.engine.conftest import ticking


class Words:
    """A counter of words."""

    name = "words/1"

    def count(self, text):
        """The words of a text."""
        return len(text.split())


class Halves:
    """A builder that keeps the first half."""

    name = "halves/1"

    def build(self, text, source):
        """Half of the text, and its first word."""
        return {Fidelity.COMPRESSED: text[: len(text) // 2], "pointer": text.split(" ")[0]}


def levels(journal, session_id="s"):
    """The kept levels of the pages of a session: level, tokens, builder."""
    rows = [row.data for row in journal.log.read(session_id) if isinstance(row.data, e.PageWritten)]
    return [[(each.level, each.tokens, each.builder) for each in page.levels] for page in rows]


def test_a_counter_of_ones_own_counts_every_page_and_prompt(tmp_path):
    """It is recorded by its name; opened again with it, or forked, it goes on, and no decision changes."""
    with Journal.open(tmp_path / "j.db", clock=ticking()) as journal:
        session = journal.session("s", counter=Words(), budget_tokens=300)
        page = session.user_says("one two three")
        shown = '<page id="p1" type="conversation" level="full" author="user">\none two three\n</page>\n'
        assert session.state.pages[page].full_tokens == Words().count(shown)
        session.assemble()
        assert journal.opened("s").counter == "words/1"
        again = journal.session("s", counter=Words())
        again.user_says("four")
        child = journal.fork("s", "t", counter=Words())
        child.user_says("five six")
        child.assemble()
        for name in ("s", "t"):
            redecide(read_session(journal.log, name))


@pytest.mark.parametrize(
    ("counter", "told"),
    [
        ("words/1", "pass your own: an object with name and count"),
        (5, "expected a name or a TokenCounter, got 5"),
        (attrs.make_class("NoCount", ["name"])("x"), "a counter has a name and count"),
        (attrs.make_class("Nameless", ["name"], class_body={"count": Words.count})(""), "a counter has a name"),
        (attrs.make_class("Numbered", ["name"], class_body={"count": Words.count})(7), "a counter has a name"),
        (attrs.make_class("Taken", ["name"], class_body={"count": Words.count})("o200k_base"), "counter that ships"),
        (
            attrs.make_class("Float", ["name"], class_body={"count": lambda self, text: 1.5})("x"),
            "expected an integer",
        ),
        (attrs.make_class("Less", ["name"], class_body={"count": lambda self, text: -1})("x"), "at least 0"),
    ],
)
def test_what_is_no_counter_is_refused(journal, counter, told):
    """The error says what one is, and no session is begun."""
    with pytest.raises(UsageError) as caught:
        journal.session("s", counter=counter)
    assert told in str(caught.value)
    assert journal.log.head("s") is None


def test_a_session_goes_on_with_its_own_counter_only(journal):
    """Without it, or with another one, a session is refused that was counted by one that does not ship."""
    journal.session("s", counter=Words())
    with pytest.raises(UsageError, match="unknown token counter 'words/1'"):
        journal.session("s")
    with pytest.raises(UsageError, match="goes on with counter words/1, not lines4"):
        journal.session("s", counter="lines4")


def test_a_builder_of_ones_own_makes_the_levels_of_its_pages(journal):
    """Those of its page type, also after the session is opened again; others are built as ever."""
    text = "word " * 200
    settings = Settings(builders={"evidence": Halves()})
    for _ in range(2):
        with journal.session("s", counter="lines4", settings=settings) as session:
            session.write_page("evidence", text, author="tool")
            session.write_page("preference", text)
    first, other, second, _ = levels(journal)
    assert first == second
    assert [(level, builder) for level, _, builder in first] == [
        ("full", "full/1"),
        ("compressed", "halves/1"),
        ("pointer", "halves/1"),
    ]
    assert "halves/1" not in [builder for _, _, builder in other]


@pytest.mark.parametrize(
    "build",
    [
        lambda text, source: 1 / 0,
        lambda text, source: None,
        lambda text, source: {"full": text},
        lambda text, source: {"short": text},
        lambda text, source: {"pointer": 5},
    ],
)
def test_a_builder_that_fails_loses_no_page(journal, build):
    """Its error is reported by name, and the page has the levels of the fallback."""
    builder = attrs.make_class("Broken", ["name", "build"])("broken/1", build)
    with (
        structlog.testing.capture_logs() as logged,
        journal.session("s", counter="lines4", settings=Settings(builders={"evidence": builder})) as session,
    ):
        session.write_page("evidence", "word " * 200, author="tool")
    assert [(each["event"], each["builder"]) for each in logged] == [("a builder failed", "broken/1")]
    (found,) = levels(journal)
    assert {builder for _, _, builder in found} == {"full/1", "fallback/1"}


@pytest.mark.parametrize(
    ("builders", "told"),
    [
        ({"essay": Halves()}, "page type: expected one of bootstrap"),
        ({"evidence": str.upper}, "expected a LevelBuilder"),
        ({"evidence": Words()}, "build(text, source)"),
        ({"evidence": attrs.make_class("Nameless", ["name"], class_body={"build": Halves.build})("")}, "has a name"),
        ({"evidence": attrs.make_class("Numbered", ["name"], class_body={"build": Halves.build})(7)}, "has a name"),
    ],
)
def test_what_is_no_builder_is_refused(journal, builders, told):
    """The error says what one is."""
    with pytest.raises(UsageError) as caught:
        journal.session("s", settings=Settings(builders=builders))
    assert told in str(caught.value)


def test_a_profile_of_ones_own_is_recorded_whole(journal):
    """It decides, it is adopted by an event, and its decisions are taken again the same."""
    mine = attrs.evolve(profile("lru"), name="mine", weights=attrs.evolve(profile("lru").weights, plan=2000))
    with journal.session("s", policy=mine, counter="lines4", budget_tokens=300) as session:
        for number in range(5):
            session.user_says(f"{number} " + "so " * 60)
            session.assemble()
        assert session.state.profile == mine
    again = journal.session("s", policy=attrs.evolve(mine, name="other"), on_other_settings="adopt")
    again.assemble()
    assert again.state.profile.name == "other"
    redecide(read_session(journal.log, "s"))


def test_a_session_that_selects_nothing_builds_no_lower_levels(journal):
    """Live under `recorded` pages are kept in full; from the event that adopts another policy on levels are built."""
    text = "word " * 200
    with journal.session("s", policy="recorded", counter="lines4", budget_tokens=4_000) as session:
        session.write_page("evidence", text, author="tool")
    assert journal.opened("s").levels is False
    with journal.session("s", policy="lru", on_other_settings="adopt") as session:
        session.write_page("evidence", text, author="tool")
        session.assemble()
    assert [[level for level, _, _ in page] for page in levels(journal)] == [
        ["full"],
        ["full", "compressed", "structured", "pointer"],
    ]
    redecide(read_session(journal.log, "s"))
    shown = views.whatif(journal.log, "s", 0, whatif(journal.log, "s", [Setting(profile("lru"), 4_000)]))
    assert shown["caveat"].endswith("full only: the session kept no lower levels of its pages")
