"""What was erased is gone for sessions that are open, too: from prompts, old ones as well, and from the store."""

import pytest

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.history.redact import Target, redact
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import RedactReason
from clawvm_es.observe.tools import Tool
from clawvm_es.storage.memory.log import MemoryLog
from tests.engine.conftest import FIELDS

SECRET = "my secret words"


def test_a_prompt_that_is_delivered_again_does_not_bring_an_erased_text_back(journal):
    """The prompt of the first time, but for the text that was erased since; also while the handle stays open."""
    with journal.session("s", counter="lines4") as session:
        page = session.user_says(SECRET)
        session.user_says("what stays")
        assert SECRET in session.assemble(key="k").text
        redact(journal.log, Target("s", page_id=page), at_us=1)
        for handle in (session, journal.session("s")):
            again = handle.assemble(key="k")
            assert SECRET not in again.text and "[erased]" in again.text and "what stays" in again.text
            assert page in again.pages


def test_an_erased_source_line_is_read_from_the_log_again(journal):
    """Where an erasure comes as a command, as a trace brings it, the next prompt of the same handle obeys it."""
    with journal.session("s", counter="lines4") as session:
        page = session.write_page("evidence", "what stays", source=SECRET)
        assert SECRET in session.assemble().text
        named = session.state.pages[page].source
        session.execute(Command(e.ContentRedacted(RedactReason.REQUEST, (named,)), 1))
        with journal.log.transaction() as transaction:
            transaction.erase([named])
        text = session.assemble().text
        assert SECRET not in text and 'source="[erased]"' in text and "what stays" in text


@pytest.mark.parametrize("policy", ["retrieval", "compaction_hybrid"])
def test_a_retriever_finds_nothing_by_an_erased_text(journal, policy):
    """Words that were erased lead to no page, in the handle that had indexed them."""
    with journal.session("s", counter="lines4", policy=policy, budget_tokens=200) as session:
        page = session.write_page("evidence", "zebra " * 20)
        session.user_says("tell me of the zebra")
        session.assemble()
        redact(journal.log, Target("s", page_id=page), at_us=1)
        session.user_says("tell me of the zebra again")
        assert page not in session.assemble().pages


def test_a_retriever_that_learns_of_an_erasure_at_a_commit_point_finds_nothing_by_its_text(journal):
    """In a project a boundary reads what others recorded: the handle finds what one that is opened now does."""
    with journal.session("s", counter="lines4", policy="retrieval", budget_tokens=300, project="team") as session:
        page = session.write_page("evidence", "zebra " * 20)
        session.user_says("tell me of the zebra")
        session.assemble()
        redact(journal.log, Target("s", page_id=page), at_us=1)
        session.save()
        session.user_says("tell me of the zebra again")
        found = session.assemble().pages
        assert page not in found
        (turn,) = [row.data for row in journal.log.read("s") if isinstance(row.data, e.TurnBegan)][1:]
        assert page not in turn.retrieved


@pytest.mark.parametrize("opens", [False, True], ids=["held open", "opened anew"])
def test_an_erased_text_of_the_model_is_no_longer_its_own(journal, opens):
    """LAW-OBSERVED-1: what is needed afterwards does not depend on which handle asks."""
    text = "the quick brown fox jumps over the lazy dog and runs to the hills"
    session = journal.session("s", counter="lines4")
    (call,) = session.observe_model("", [("look", {"n": 1})])
    page = session.observe_result(call, f"{text}\n" + "more text\n" * 30)
    session.observe_model(f"I know that {text}")
    said = max(session.state.pages, key=lambda page_id: int(page_id[1:]))
    redact(journal.log, Target("s", page_id=said), at_us=1)
    session = journal.session("s", counter="lines4") if opens else session
    session.observe_model("", [("look", {"m": text})])
    called = [row.data for row in journal.log.read("s") if isinstance(row.data, e.ToolCalled)]
    assert [[need.holders[0].page_id for need in each.needs] for each in called] == [[], [page]]


def test_an_erased_value_that_is_pending_is_committed_as_nothing(journal):
    """Others wrote the project's store meanwhile, so the update is judged anew: its erased value counts as null."""
    settings = Settings(fields=FIELDS)
    with (
        journal.session("a", counter="lines4", project="team", settings=settings) as a,
        journal.session("b", counter="lines4", project="team", settings=settings) as b,
    ):
        for session in (a, b):
            session.user_says("x")
        b.stage("notes", "append", SECRET, scope="project", evidence="p1")
        redact(journal.log, Target("b", body=b.state.updates[1].facts.value), at_us=1)
        a.stage("notes", "append", "one", scope="project", evidence="p1")
        a.save()
        assert b.save().refused == ()
        a.save()
        assert a.value("notes", "project") == b.value("notes", "project") == ["one", None]


def test_an_erased_value_of_the_session_s_own_store_counts_as_null(journal):
    """A committed value that was erased leaves its place in the list, and the field goes on."""
    with journal.session("s", counter="lines4", settings=Settings(fields=FIELDS)) as session:
        session.user_says("x")
        for value in ("one", SECRET, "three"):
            session.stage("notes", "append", value, evidence="p1")
        session.save()
        redact(journal.log, Target("s", body=session.state.updates[2].facts.value), at_us=1)
        assert session.value("notes") == ["one", None, "three"]
        session.stage("notes", "append", "four", evidence="p1")
        session.save()
        assert session.value("notes") == ["one", None, "three", "four"]


def test_a_result_whose_text_is_gone_is_not_served():
    """Where the bodies of a result are missing, whatever took them, the tool runs again instead of giving nothing."""
    runs = []
    tool = Tool("calc", lambda x: runs.append(x) or f"result {len(runs)}", True, validator=lambda arguments: "v")
    with (
        Journal(MemoryLog(), clock=lambda: 1) as journal,
        journal.session("s", counter="lines4", settings=Settings(tools=[tool])) as session,
    ):
        first = session.tool("calc", {"x": 1})
        assert session.tool("calc", {"x": 1}).served
        page = session.state.pages[first.page_id]
        gone = {session.state.calls[1].returned.result, *page.bodies} - {None}
        with journal.log.transaction() as transaction:
            transaction.erase(sorted(gone))
        again = session.tool("calc", {"x": 1})
        assert (again.served, again.text, runs) == (False, "result 2", [1, 1])
