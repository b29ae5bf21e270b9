"""Looking things up in a session and a journal: the store, a search, page-ins by range, pages by name, sessions."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from clawvm_es import FieldSchema, Journal, Settings, prices, profile
from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.engine.finding import hit
from clawvm_es.engine.retriever import PageIndex
from clawvm_es.errors import UsageError
from clawvm_es.history.redact import Target, redact
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import FaultReason, RedactReason
from clawvm_es.model.pages import Author, Fidelity, PageType
from clawvm_es.observe.declared import file_reader
from clawvm_es.observe.marks import marked
from clawvm_es.testing.core import opened
from clawvm_es.testing.core import page as paged
from tests.engine.conftest import ticking

LONG = "".join(f"line {number} about topic {number % 7}\n" for number in range(1, 201))


def types(session):
    """The event types of a session, in order."""
    return [row.type for row in session._shell.log.read(session.session_id)]


def away(session):
    """Fill the prompt until what stood in it does so no longer."""
    for number in range(6):
        session.user_says(f"{number} " + "noise " * 200)
        session.assemble()


def test_the_store_is_what_was_committed(session):
    """Every field with its value, pages that were written back by their ids; nothing that is only staged."""
    page = session.write_page("preference", "likes tea", author="user")
    session.stage("timezone", "set_with_version", "UTC", evidence=page, base_version=0)
    assert session.store() == {}
    session.save()
    session.stage("notes", "append", 1, evidence=page)
    assert session.store() == {"p1": "likes tea", "timezone": "UTC"}
    with pytest.raises(UsageError, match="belongs to no project"):
        session.store("project")


def test_a_session_tells_its_place_its_fill_and_what_is_in_flight(journal):
    """The end of its stream, the fill in permille of the budget, calls without a result, fields that nobody set."""
    fields = {"timezone": FieldSchema("string", 100)}
    session = journal.session("s", budget_tokens=600, counter="lines4", settings=Settings(fields=fields))
    head = journal.log.head("s")
    assert session.head == (head.version, head.hash.hex()) == (1, head.hash.hex())
    assert (session.value("timezone"), session.field_version("timezone"), session.fill_permille) == (None, 0, 0)
    page = session.user_says("hello " * 60)
    first, second = session.observe_model("I look", [("read", {"path": "a"}), ("read", {"path": "b"})])
    assert [call.call for call in session.in_flight] == [first, second]
    session.observe_result(first, "a")
    assert [call.call for call in session.in_flight] == [second]
    session.stage("timezone", "set_with_version", "UTC", evidence=page, base_version=0)
    session.compact()
    assert (session.value("timezone"), session.field_version("timezone")) == ("UTC", 1)
    tokens = sum(page.full_tokens for page in session.state.pages.values())
    assert session.fill_permille == tokens * 1000 // 600


@pytest.mark.parametrize(("lines", "wanted"), [((), "one\ntwo\nthree"), ((2,), "two\nthree"), ((1, 2), "one\ntwo\n")])
def test_lines_of_a_page_are_given_out_in_a_mark(session, lines, wanted):
    """From the first line to the last, both of them too; without numbers all of it."""
    page = session.user_says("one\ntwo\nthree")
    first, last = lines[0] if lines else 1, lines[1] if len(lines) > 1 else 3
    assert session.emit(page, *lines) == marked(page, first, last, wanted)


def test_a_search_finds_pages_that_stand_in_no_prompt(session):
    """Each with the lines that say most of the query; a page that is written later too, and nothing is recorded."""
    page = session.write_page("evidence", LONG + "the deploy window is friday\n" + LONG, author="tool")
    other = session.user_says("when may we deploy?")
    away(session)
    head = session.head
    found = session.search("deploy window")
    found = sorted(found, key=lambda each: each.page_id)
    assert [each.page_id for each in found] == [page, other]
    assert (found[0].first_line, found[0].last_line, found[0].page_type) == (199, 203, PageType.EVIDENCE)
    assert "the deploy window is friday\n" in found[0].text
    assert [each.page_id for each in session.search("deploy", limit=1)] in ([page], [other])
    assert session.search("nobody said this") == () == session.search("?!")
    assert session.head == head
    later = session.user_says("the deploy window moved")
    assert later in [each.page_id for each in session.search("deploy window")]
    for wrong in (lambda: session.search(5), lambda: session.search("x", 0)):
        with pytest.raises(UsageError):
            wrong()


def test_what_was_erased_is_not_found(tmp_path):
    """Neither on the handle that had indexed it, nor on a new one."""
    with Journal.open(tmp_path / "j.db") as journal:
        session = journal.session("s", counter="lines4")
        page = session.user_says("the secret window")
        assert len(session.search("window")) == 1
        redact(journal.log, Target("s", page_id=page), at_us=1)
        session.user_says("hello")
        assert session.search("window") == () == journal.session("s").search("window")


@pytest.mark.parametrize(("text", "first", "last"), [("", 1, 0), ("one", 1, 1), ("a\nb\nc\nd\ne\nq b\ng", 4, 7)])
def test_an_excerpt_is_the_lines_around_the_best_one(text, first, last):
    """Two lines before and after it, as far as there are any."""
    found = hit("p1", PageType.EVIDENCE, text, "Q b")
    assert (found.first_line, found.last_line) == (first, last)
    assert found.text == "".join(text.splitlines(keepends=True)[first - 1 : last])


# ----------------------------------------------------------------------------------- page-ins by range


@pytest.mark.parametrize("lines", [(120, 125), "120-125", [120, 125]])
def test_a_range_is_paged_in_as_a_page_of_its_own(session, lines):
    """The next prompt holds the range at its own cost and not the page; asked again while it stands it is a hit."""
    page = session.write_page("evidence", LONG, author="tool")
    away(session)
    wanted = "".join(LONG.splitlines(keepends=True)[119:125])
    assert session.resolve(page, lines=lines) == wanted
    prompt = session.assemble()
    excerpt = f"p{len(session.state.pages)}"
    assert wanted in prompt.text and prompt.pages[excerpt] is Fidelity.FULL
    assert f'source="page {page}, lines 120-125"' in prompt.text
    assert prompt.pages.get(page) is not Fidelity.FULL
    resolved = [row.data for row in session._shell.log.read("s") if isinstance(row.data, e.PageResolved)]
    assert [(each.page_id, each.tokens) for each in resolved] == [(excerpt, session._shell.counter.count(wanted))]
    assert session.resolve(page, lines=lines) == wanted
    assert types(session)[-1] == "page_used" and len(session.state.pages) == int(excerpt[1:])


def test_the_same_range_is_one_page_also_after_a_change(session):
    """A page that was written again gives its range anew under the same id."""
    page = session.write_page("evidence", LONG, author="tool")
    away(session)
    session.resolve(page, 5, 6)
    count = len(session.state.pages)
    session.write_page("evidence", LONG.replace("about", "on"), page_id=page, author="tool")
    away(session)
    assert session.resolve(page, 5, 6).startswith("line 5 on")
    assert len(session.state.pages) == count + 6
    assert session.read_page(f"p{count}").startswith("line 5 on")


def test_a_text_that_reaches_the_model_by_another_way_does_not_arrive(session):
    """Asked with `arrives=False` the next prompt is as it would have been; what stands in it is a hit."""
    page = session.write_page("evidence", LONG, author="tool")
    away(session)
    assert session.resolve(page, lines="7-8", arrives=False).startswith("line 7")
    assert session.resolve(page, arrives=False) == LONG
    assert not session.state.arrivals
    standing = session.user_says("here I am")
    session.assemble()
    session.resolve(standing, arrives=False)
    assert types(session)[-1] == "page_used"


@pytest.mark.parametrize("arrives", [True, False])
def test_a_page_whose_text_was_erased_is_a_fault_however_it_is_asked_for(session, arrives):
    """The need is recorded with what became of it, then the caller is told to get the text from elsewhere."""
    page = session.write_page("evidence", LONG, author="tool")
    session.execute(Command(e.ContentRedacted(RedactReason.REQUEST, pages=(page,)), 1))
    with pytest.raises(UsageError, match=f"page {page}: its content was erased"):
        session.resolve(page, arrives=arrives)
    rows = [row.data for row in session._shell.log.read("s")]
    (fault,) = (data for data in rows if isinstance(data, e.FaultObserved))
    assert (fault.page_id, fault.reason) == (page, FaultReason.REDACTED)


def test_a_page_in_by_range_is_recorded_once_under_its_key(tmp_path):
    """Delivered again, on any handle, it gives its text and records nothing."""
    with Journal.open(tmp_path / "j.db", clock=ticking()) as journal:
        session = journal.session("s", budget_tokens=600, counter="lines4")
        page = session.write_page("evidence", LONG, author="tool")
        away(session)
        first = session.resolve(page, lines=(3, 4), key="k")
        session.assemble()
        head = session.head
        for handle in (session, journal.session("s")):
            assert handle.resolve(page, lines=(3, 4), key="k") == first == handle.resolve(page, 3, 4, key="k")
            assert handle.head == head


@pytest.mark.parametrize("lines", ["x", "5-x", (1,), 5, (1.5, 2), ("1", "2"), (201, None), (5, 4), (0, 1)])
def test_a_range_that_is_none_is_refused(session, lines):
    """Wrong types and ranges that the page does not have: a `UsageError`, and nothing is recorded."""
    page = session.write_page("evidence", LONG)
    head = session.head
    with pytest.raises(UsageError, match="lines"):
        session.resolve(page, lines=lines)
    with pytest.raises(UsageError, match="either lines="):
        session.resolve(page, 2, lines="3-4")
    assert session.head == head


# ----------------------------------------------------------------------------------- pages by name


def test_a_slot_is_one_page_that_is_written_again(tmp_path):
    """The same name gives the same page, on any handle; what has not changed is not written again."""
    with Journal.open(tmp_path / "j.db") as journal:
        session = journal.session("s", counter="lines4")
        page = session.write_page("bootstrap", "- Never push.", slot="rules")
        other = session.write_page("evidence", "x", slot="notes", author="tool")
        head = session.head
        assert session.write_page("bootstrap", "- Never push.", slot="rules") == page != other
        assert session.head == head
        session = journal.session("s")
        assert session.write_page("bootstrap", "- Always test.", slot="rules") == page
        assert session.state.pages[page].content_version == 2
        session.retire(page)
        assert session.write_page("bootstrap", "- Always test.", slot="rules") == page
        assert page in session.assemble().pages
        with pytest.raises(UsageError, match="either page_id= or slot="):
            session.write_page("bootstrap", "x", slot="rules", page_id=page)
        with pytest.raises(UsageError, match="slot: expected a string"):
            session.write_page("bootstrap", "x", slot=5)


@pytest.mark.parametrize("kind", [str(kind) for kind in PageType])
@pytest.mark.parametrize(
    "other",
    [{}, {"text": "line 0\n"}, {"author": "user"}, {"active": False}, {"source": "b"}, {"page_type": "preference"}],
)
def test_a_slot_is_written_again_where_anything_of_it_is_another(session, kind, other):
    """The type, the author, the source, whether it is active, and the whole text, of which lower levels are made."""
    if other.get("page_type") == kind:
        other = {"page_type": "evidence"}
    text = "".join(f"line {number} of a text that is longer than what stands for it\n" for number in range(40))
    given = {"page_type": kind, "text": text, "slot": "mine", "author": "model", "source": "a"}
    page = session.write_page(**given)
    head = session.head
    assert session.write_page(**given | other) == page
    assert (session.head == head) == (not other)
    assert session.state.pages[page].content_version == (2 if other else 1)


def test_a_slot_under_a_key_is_delivered_once(session):
    """The second delivery gives the first answer, also when the page was written again meanwhile."""
    page = session.write_page("plan", "Goal: a", slot="plan", author="model", key="k")
    session.write_page("plan", "Goal: b", slot="plan", author="model")
    head = session.head
    assert session.write_page("plan", "Goal: a", slot="plan", author="model", key="k") == page
    assert session.head == head and session.read_page(page) == "Goal: b"


def test_a_file_of_rules_is_one_page_whoever_shows_it(journal, tmp_path, monkeypatch):
    """The harness loads AGENTS.md by name, the model reads it: the page is written again, not a second one."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "AGENTS.md"
    file.write_text("- Never push.\n- Run the tests.\n")
    with journal.session("s", counter="lines4", settings=Settings(tools=[file_reader("read")])) as session:
        page = session.write_page("bootstrap", "- Never push.\n", slot="file:AGENTS.md")
        assert session.tool("read", {"path": str(file)}).page_id == page
        assert len(session.state.pages) == 1
        assert session.read_page(page) == file.read_text()
        assert session.state.pages[page].author is Author.TOOL


# ------------------------------------------------------------------------------------ the whole journal


def test_sessions_are_found_by_their_folder_and_title(tmp_path):
    """Those that worked in a folder or below it, those whose title or id holds a text; in the order of openings."""
    with Journal.open(tmp_path / "j.db") as journal:
        for name, folder, said in (("a", "/w/app", "Fix the login"), ("b", "/w/application", "x"), ("c", None, "y")):
            with journal.session(name, counter="lines4", folder=folder) as session:
                session.user_says(said)
                session.assemble()
        journal.session("a").close()
        found = journal.sessions()
        assert [(each.session_id, each.title, each.folder) for each in found] == [
            ("a", "Fix the login", "/w/app"),
            ("b", "x", "/w/application"),
            ("c", "y", None),
        ]
        assert [each.is_open for each in found] == [False, True, True] and found[0].turns == 1
        assert [each.session_id for each in journal.sessions(folder="/w/app")] == ["a"]
        assert [each.session_id for each in journal.sessions(folder="/w/")] == ["a", "b"]
        assert [each.session_id for each in journal.sessions(title="LOGIN")] == ["a"]
        assert journal.sessions(folder="/w/app", title="y") == ()
        for wrong in ({"folder": 5}, {"title": 5}):
            with pytest.raises(UsageError):
                journal.sessions(**wrong)


FOLDERS = ["/", "/w", "/w/app", "/w/app/deep", "/w/app2", "/v", None]


def test_a_folder_holds_the_sessions_that_worked_in_it_or_below(tmp_path):
    """By whole names of folders, with or without a slash at the end; a title may stand in any case of letters."""
    with Journal.open(tmp_path / "j.db") as journal:
        for number, folder in enumerate(FOLDERS):
            with journal.session(f"Run-{number}", counter="lines4", folder=folder) as session:
                session.user_says(f"Title {number % 2}")
        for folder in [*filter(None, FOLDERS), "/w/app/", "/w/ap", "/x"]:
            wanted = [
                f"Run-{number}"
                for number, each in enumerate(FOLDERS)
                if each is not None and PurePosixPath(each).is_relative_to(folder)
            ]
            assert [each.session_id for each in journal.sessions(folder=folder)] == wanted, folder
        for title in ("title 1", "TITLE 1", "run-", "", "nothing", "itle 0 rUN-2"):
            wanted = [
                f"Run-{number}"
                for number in range(len(FOLDERS))
                if title.lower() in f"title {number % 2} run-{number}"
            ]
            assert [each.session_id for each in journal.sessions(title=title)] == wanted, title
        assert [each.session_id for each in journal.sessions(folder="/w", title="title 1")] == ["Run-1", "Run-3"]


def test_prices_fill_the_profile_of_new_sessions(tmp_path):
    """A policy that pages in epochs is opened at the journal's prices; one that pages by turn has none."""
    with Journal.open(tmp_path / "j.db", prices="anthropic-1h") as journal:
        found = journal.session("s", policy="recorded", counter="lines4").state.profile
        wanted = prices.named("anthropic-1h")
        assert (found.read_price, found.write_price, found.ttl_s) == (
            wanted.read_price,
            wanted.write_price,
            wanted.ttl_s,
        )
        assert journal.session("t", policy="clawvm_paper").state.profile == profile("clawvm_paper")
    with pytest.raises(UsageError, match="anthropic-5m"):
        Journal.open(tmp_path / "j.db", prices="nobody").session("u", policy="recorded")


def test_a_new_selection_can_be_asked_for(session):
    """It is an event that keeps all settings; the next prompt holds what it held."""
    session.write_page("bootstrap", "- Never push.")
    before = session.assemble().pages
    session.repage(key="k")
    session.repage(key="k")
    assert types(session).count("settings_adopted") == 1
    assert session.assemble().pages == before
    assert session.state.profile == profile("clawvm")


def test_fields_of_the_store_keep_their_kinds(journal):
    """Values come back as they were committed."""
    fields = {"n": FieldSchema("number"), "o": FieldSchema("object")}
    with journal.session("s", counter="lines4", settings=Settings(fields=fields)) as session:
        page = session.user_says("x")
        session.stage("n", "set_with_version", 1.5, evidence=page, base_version=0)
        session.stage("o", "merge", {"a": [1]}, evidence=page)
        assert session.save().ok
        assert session.store() == {"n": 1.5, "o": {"a": [1]}}


def test_an_index_reads_each_text_once_and_many_at_a_time():
    """A session of hundreds of pages is indexed with a few questions to the vault, each for other pages."""
    state, asked = State(), list[list[str]]()
    apply(state, opened(budget_tokens=500))
    for number in range(1, 601):
        apply(state, paged(number, tokens=1_000 + number))

    class Noted:
        def open_all(self, names):
            """Note the bodies that are asked for."""
            asked.append(list(names))
            return {name: f"text of {int(name, 16)}".encode() for name in names}

    index = PageIndex(Noted())
    assert index.search(state, "1007", 3) == ("p7",)
    assert index.search(state, "1600", 3) == ("p600",)
    names = [name for some in asked for name in some]
    assert len(names) == len(set(names)) == 600 and len(asked) <= 6
