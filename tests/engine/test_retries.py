"""Delivery is at-least-once, handles are many, and anything may fail in the middle: what must hold all the same."""

import asyncio
import threading

import pytest

from clawvm_es.engine.aio import AsyncJournal
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import IdempotencyConflict, NotCanonical, ToolFailed, UsageError
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Boundary, Evidence, Holder, Need, NeedRule, ReturnStatus, Trigger
from clawvm_es.model.pages import Author, Origin, OriginKind, PageType, Scope
from clawvm_es.observe.declared import file_reader
from clawvm_es.observe.tools import Tool
from tests.engine.conftest import FIELDS, ticking
from tests.waiting import CEILING_S


def everything(session, prefix):
    """Every hook that takes a key, once, and what each returned."""
    said = session.user_says("hello", key=f"{prefix}1")
    prompt = session.assemble(key=f"{prefix}2")
    calls = session.observe_model("hi", [("a", {"x": 1}), ("b", {})], key=f"{prefix}3")
    page = session.observe_result(calls[0], "result", key=f"{prefix}4")
    recalled = session.recall("q", ["m1", "m2"], key=f"{prefix}5")
    staged = session.stage("notes", "append", 1, evidence=said, key=f"{prefix}6")
    session.pin(page, "soft", key=f"{prefix}7")
    session.compact(key=f"{prefix}8")
    return said, prompt, calls, page, recalled, staged


def test_every_keyed_hook_gives_its_first_result_again(tmp_path):
    """The same keys with the same content append nothing and return the first ids, also after a reopening."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal:
        session = journal.session("s", counter="lines4", settings=Settings(fields=FIELDS))
        first = everything(session, "k")
        session.user_says("something in between")
        session.assemble()
        head = session.head
        assert everything(session, "k") == first
        assert session.head == head
    with Journal.open(path) as journal:
        session = journal.session("s", settings=Settings(fields=FIELDS))
        assert everything(session, "k") == first
        assert session.head == head
        with pytest.raises(IdempotencyConflict, match="k3"):
            session.observe_model("other words", [("a", {"x": 1}), ("b", {})], key="k3")


def test_two_stale_handles_never_write_over_each_other(tmp_path):
    """Handles that loaded before the other wrote build their commands anew: own pages, own calls, own signatures."""
    with Journal.open(tmp_path / "j.db") as one, Journal.open(tmp_path / "j.db") as two:
        tool = Tool("calc", lambda x: f"{x}", True, validator=lambda arguments: "v")
        a = one.session("s", counter="lines4", settings=Settings(tools=[tool]))
        b = two.session("s", counter="lines4", settings=Settings(tools=[tool]))
        assert a.state.version == b.state.version
        assert [a.user_says("from a"), b.user_says("from b")] == ["p1", "p2"]
        assert [b.read_page("p1"), b.read_page("p2")] == ["from a", "from b"]
        assert [a.tool("calc", {"x": 1}).text, b.tool("calc", {"x": 2}).text] == ["1", "2"]
        assert a.tool("calc", {"x": 2}).text == "2"
        assert [call.signature for call in a.state.calls.values()] == [1, 2, 2]


def test_a_handle_can_be_read_while_it_loads(tmp_path):
    """Readers in other threads see a whole state, never one that is half folded."""
    with Journal.open(tmp_path / "j.db") as journal:
        with journal.session("s", counter="lines4") as session:
            for number in range(150):
                session.user_says(f"{number}")
        for _ in range(5):
            session = journal.session("s")
            seen, done = [], threading.Event()

            def look(session=session, seen=seen, done=done):
                while not done.is_set():
                    seen.append((session.state.version, session.fill_permille, len(session.in_flight)))

            reader = threading.Thread(target=look)
            reader.start()
            written = session.user_says("new")
            done.set()
            reader.join()
            assert session.read_page(written) == "new"
            assert min(version for version, _, _ in seen) >= 151


def test_a_refused_batch_leaves_no_ordinal_behind(journal):
    """When a later call cannot be recorded, the signatures of earlier ones are forgotten with it."""
    tool = Tool("calc", lambda x: f"result of {x}", True, validator=lambda arguments: "v")
    with journal.session("s", counter="lines4", settings=Settings(tools=[tool])) as session:
        with pytest.raises(NotCanonical):
            session.observe_model("", [("calc", {"x": 1}), ("calc", {"x": b"raw"})])
        assert session.tool("calc", {"x": 1}).text == "result of 1"
    with journal.session("s", settings=Settings(tools=[tool])) as session:
        second = session.tool("calc", {"x": 2})
        assert (second.text, second.served) == ("result of 2", False)


def test_arguments_that_a_model_made_up_are_recorded_not_raised(journal):
    """A declared tool called with the wrong arguments is a call of unknown effect; the answer is not lost."""
    with journal.session("s", counter="lines4", settings=Settings(tools=[file_reader("read")])) as session:
        session.observe_model("reading", [("read", {"file": "a"})])
        assert len(session.state.calls) == 1
        with pytest.raises(ToolFailed):
            session.tool("read", {"file": "a"})
        assert session.state.calls[1].returned.status is ReturnStatus.ERROR


def test_a_tool_that_returns_no_text_has_failed(journal):
    """What is no text is recorded as an error, and nothing stays in flight."""
    with journal.session("s", counter="lines4") as session:
        with pytest.raises(ToolFailed, match="must return text"):
            session.tool("t", {}, run=lambda: None)
        assert session.in_flight == ()


def test_a_backend_may_answer_with_any_series_of_texts(journal):
    """A generator is an answer; numbers, broken JSON and any other error are failures with their outcome."""

    def broken(query):
        raise RuntimeError

    with journal.session("s", counter="lines4") as session:
        assert session.recall("q", lambda query: (text for text in ["a", "b"])) == ("p1", "p2")
        for answer in (lambda query: 5, [1], "text", lambda query: {}[1], broken):
            assert session.recall("q", answer) == ()
    rows = [row.data for row in journal.log.read("s") if isinstance(row.data, e.RecallAnswered)]
    assert [str(row.outcome) for row in rows[1:]] == ["malformed"] * 3 + ["backend_error"] * 2


def test_what_was_never_committed_is_never_rendered(tmp_path, monkeypatch):
    """After a failed append, the prompt holds what the log holds."""
    with Journal.open(tmp_path / "j.db") as journal, journal.session("s", counter="lines4") as session:
        edge = session._shell.edge
        ghost = edge.page(
            "p1", PageType.CONVERSATION, "never committed", author=Author.USER, origin=Origin(OriginKind.RECORD)
        ).event
        with monkeypatch.context() as patch:
            patch.setattr(journal.log, "append", lambda *given, **named: (_ for _ in ()).throw(OSError(28, "full")))
            with pytest.raises(OSError):
                session.execute(Command(ghost, 1), Command(e.TurnBegan(), 1))
        session.user_says("committed text")
        text = session.assemble().text
        assert "committed text" in text
        assert "never" not in text


def test_the_head_is_the_logs_own(tmp_path):
    """A handle that was just opened tells the head, and never one that was rolled back."""
    with Journal.open(tmp_path / "j.db") as journal:
        with journal.session("s", counter="lines4") as session:
            session.user_says("x")
        head = journal.log.head("s")
        assert journal.session("s").head == (head.version, head.hash.hex())


def test_a_boundary_given_as_a_command_publishes_to_its_scope_too(journal):
    """However a boundary comes, what it commits to a project is in the project's stream."""
    settings = Settings(fields=FIELDS)
    with journal.session("a", counter="lines4", project="team", settings=settings) as a:
        page = a.user_says("x")
        a.stage("notes", "append", "one", scope="project", evidence=page)
        a.execute(Command(e.BoundaryReached(Boundary.SAVE, Trigger.RECORDED), 1))
        assert [row.data.field for row in journal.log.read("scope:team")] == ["notes"]
        assert a.value("notes", "project") == ["one"]


def test_a_session_sees_a_project_as_of_its_last_commit_point(journal):
    """Values of a project are those that the session has synced, not what others committed since."""
    settings = Settings(fields=FIELDS)
    with (
        journal.session("a", counter="lines4", project="team", settings=settings) as a,
        journal.session("b", counter="lines4", project="team", settings=settings) as b,
    ):
        page = a.user_says("x")
        a.stage("notes", "append", 1, scope="project", evidence=page)
        a.save()
        assert b.value("notes", Scope.PROJECT) is None
        b.save()
        assert b.value("notes", Scope.PROJECT) == [1]
        assert b.stage("notes", "append", 2, evidence=Evidence(scope_version=1)).reason is None


def test_pending_updates_are_judged_together_and_nothing_is_overwritten(session):
    """A merge over a pending merge, and an append over what is no list, would destroy something: refused."""
    page = session.user_says("x")
    assert session.stage("facts", "merge", {"a": 1}, evidence=page).reason is None
    assert session.stage("facts", "merge", {"a": 2}, evidence=page).reason == "DESTRUCTIVE_OP"
    session.stage("notes", "set_with_version", "precious", evidence=page, base_version=0)
    session.save()
    assert session.stage("notes", "append", "x", evidence=page).reason == "DESTRUCTIVE_OP"
    assert session.stage("notes", "merge", {"k": 1}, evidence=page).reason == "DESTRUCTIVE_OP"
    assert session.stage("timezone", "append", "x", evidence=page).reason == "SCHEMA_INVALID"
    assert (session.value("facts"), session.value("notes")) == ({"a": 1}, "precious")
    with pytest.raises(UsageError, match="JSON"):
        session.stage("notes", "append", {1, 2}, evidence=page)


def test_dirty_pages_pass_the_validators_too(journal):
    """What a boundary writes back by itself is validated like any update; a refused page stays dirty."""
    settings = Settings(validators={"no-secrets": lambda field, value: "secret" not in str(value)})
    with journal.session("s", counter="lines4", settings=settings) as session:
        bad = session.write_page("preference", "my secret", author="user")
        good = session.write_page("preference", "likes tea", author="user")
        session.save()
        assert list(session.state.dirty) == [bad]
        assert ("session", good) in session.state.store
    settings = Settings(writers={"session": ["nobody"]})
    with journal.session("t", counter="lines4", settings=settings) as session:
        page = session.write_page("plan", "Goal: x", author="model")
        session.save()
        assert page in session.state.dirty


def test_a_served_result_is_the_recorded_one(journal):
    """Rewriting the page of a result does not change what the tool is said to have returned."""
    tool = Tool("read", lambda: "the result", True, validator=lambda arguments: "v")
    with journal.session("s", counter="lines4", settings=Settings(tools=[tool])) as session:
        first = session.tool("read", {})
        session.write_page("evidence", "annotated", page_id=first.page_id)
        again = session.tool("read", {})
        assert (again.text, again.served) == ("the result", True)
        session.retire(first.page_id)
        assert not session.tool("read", {}).served


def test_a_long_answer_cannot_jump_past_the_flush(journal):
    """The model's own text counts towards the fill like any page."""
    with journal.session("s", budget_tokens=300, counter="lines4") as session:
        session.write_page("plan", "Goal: x", author="model")
        session.observe_model("data " * 3000)
        assert not session.state.dirty


def test_a_page_in_brings_the_lines_that_were_asked_for(session):
    """`resolve` gives a range of lines, records the need at its cost, and the next prompt holds it as a page."""
    page = session.write_page("evidence", "".join(f"line {n}\n" for n in range(1, 400)))
    for number in range(12):
        session.user_says(f"{number} " + "noise " * 40)
        session.assemble()
    assert session.resolve(page, 3, 4) == "line 3\nline 4\n"
    rows = [row.data for row in session._shell.log.read("s") if isinstance(row.data, e.PageResolved)]
    assert [row.tokens for row in rows] == [4]
    prompt = session.assemble()
    assert page not in prompt.pages
    assert f'source="page {page}, lines 3-4">\nline 3\nline 4\n' in prompt.text
    with pytest.raises(UsageError, match="p999"):
        session.resolve("p999")


def test_seeds_are_a_matter_of_the_whole_journal(tmp_path):
    """A journal made with a seed is written with it only, and scopes come out the same as sessions do."""
    heads = []
    for name in ("one", "two"):
        with Journal.open(tmp_path / name, seed=7, clock=ticking()) as journal:
            settings = Settings(fields=FIELDS)
            with journal.session("s", counter="lines4", project="team", settings=settings) as session:
                page = session.user_says("x")
                session.stage("notes", "append", 1, scope="project", evidence=page)
                session.save()
            heads.append([head.hash for head in journal.log.heads()])
    assert heads[0] == heads[1]
    with Journal.open(tmp_path / "one") as journal, pytest.raises(UsageError, match="reproducible"):
        journal.session("s")
    Journal.open(tmp_path / "three").close()
    with Journal.open(tmp_path / "three", seed=1) as journal, pytest.raises(UsageError, match="not made with a seed"):
        journal.session("s")


def test_streams_of_scopes_are_no_sessions(journal):
    """A session cannot take the name of a scope's stream."""
    with pytest.raises(UsageError, match="scope:"):
        journal.session("scope:team")


def test_async_tools_may_use_hooks_and_be_cancelled(tmp_path):
    """Many coroutine tools that call hooks run side by side; a cancelled one is recorded as interrupted."""

    async def run():
        async with await AsyncJournal.open(tmp_path / "j.db") as journal:
            session = await journal.session("s", counter="lines4")

            async def talk(n):
                await session.user_says(f"from tool {n}")
                return f"done {n}"

            results = await asyncio.wait_for(
                asyncio.gather(*(session.tool("talk", {"n": n}, talk) for n in range(20))), timeout=CEILING_S
            )

            began = asyncio.Event()

            async def forever():
                began.set()
                await asyncio.Event().wait()
                return ""

            task = asyncio.create_task(session.tool("forever", {}, forever))
            await began.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return results, session.state.calls[21].returned.status, session.sync.in_flight

    results, status, in_flight = asyncio.run(run())
    assert sorted(result.text for result in results) == sorted(f"done {n}" for n in range(20))
    assert status is ReturnStatus.INTERRUPTED
    assert in_flight == ()


def test_a_declared_need_of_a_hidden_page_is_a_page_in(session):
    """Needs that a harness declares on an old page are met from the log."""
    page = session.user_says("old " * 300)
    for number in range(15):
        session.user_says(f"{number} " + "noise " * 40)
        session.assemble()
    session.observe_model(needs=[Need((Holder(page),), NeedRule.DECLARED, 3)])
    names = [row.type for row in session._shell.log.read("s")]
    assert names.count("page_resolved") == 1
