"""The shell: retries, failures, threads, re-decide, and texts that never reach the events."""

import asyncio
import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es import limits
from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.engine import retriever
from clawvm_es.engine.aio import AsyncJournal
from clawvm_es.engine.calls import same_arguments
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.observed import Observed
from clawvm_es.errors import UsageError, VersionConflict
from clawvm_es.history import prompt_at, redecide
from clawvm_es.journal import snapshots
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import (
    Boundary,
    Evidence,
    Holder,
    Need,
    NeedRule,
    Op,
    StagedPage,
    Trigger,
    UpdateFacts,
)
from clawvm_es.observe.tools import Tool
from clawvm_es.storage import ranked_texts
from tests.engine.conftest import FIELDS, ticking

WORDS = st.lists(st.sampled_from(["snow", "rain", "parser", "Oslo"]), max_size=4).map(" ".join)


def busy(session, rounds=6):
    """A session that uses every hook."""
    session.write_page("bootstrap", "- You must be careful.\n" * 5)
    for number in range(rounds):
        page = session.user_says(f"question {number} " + "words " * 30)
        session.assemble(hints=["p1"])
        calls = session.observe_model(f"answer {number}", [("look", {"at": number % 2}), ("touch", {"n": number})])
        for call in calls:
            session.observe_result(call, f"result {call} " + "data " * 50)
        session.stage("notes", "append", number, evidence=page)
        session.write_page("plan", f"Goal: x\n1. step {number}", page_id=None, author="model")
        session.recall(f"what about {number}?", [f"memory {number}"])
        if number % 2:
            session.compact()
    session.prune()
    session.close()


def test_the_log_is_what_the_state_has_folded(journal):
    """LAW-SHELL-1: folding the stored stream from zero gives the live state, for every step of a busy session."""
    with journal.session("s", budget_tokens=700, counter="lines4", settings=Settings(fields=FIELDS)) as session:
        busy(session)
        live = session.state
        again = State()
        for row in journal.log.read("s"):
            apply(again, row.data)
        assert again == live


def test_stored_inputs_decide_the_same_again_without_any_body(journal):
    """Re-decide: each recorded decision follows from the inputs alone, byte for byte."""
    with journal.session("s", budget_tokens=700, counter="lines4", settings=Settings(fields=FIELDS)) as session:
        busy(session)
    rows = list(journal.log.read("s"))
    assert redecide(rows) == sum(row.kind == "decision" for row in rows)


def test_no_authored_text_stands_in_events(journal):
    """Canaries in every text that a caller can give are in no event."""
    canary = "cAnArY"
    tools = [
        Tool(
            "known",
            lambda **given: canary,
            True,
            reads=[f"file:{canary}key"],
            validator=lambda given: canary + "validator",
        )
    ]
    settings = Settings(tools=tools, fields=FIELDS)
    with journal.session("s", counter="lines4", settings=settings) as session:
        session.write_page("bootstrap", canary, source=canary + "source")
        page = session.user_says(canary)
        session.assemble()
        session.observe_model(canary, [(canary + "_tool", {canary: canary})])
        session.observe_result(1, canary, source=canary)
        session.tool("known", {"a": canary})
        session.tool("known", {"a": canary})
        with pytest.raises(Exception, match="failed"):
            session.tool(canary, {}, run=lambda: {}[1])
        session.recall(canary, [canary])
        session.stage("notes", "append", canary, evidence=page)
        session.stage(canary + "field", "append", canary, evidence=page)
        session.write_page("plan", canary)
        session.compact()
        session.close()
    for row in journal.log.read("s"):
        assert canary.encode() not in row.raw, row
        assert canary not in (row.principal, row.idempotency_key)


def test_two_handles_on_one_session_catch_up_with_each_other(tmp_path):
    """A version conflict is caught up with and decided again; nothing is lost and nothing is doubled."""
    path = tmp_path / "j.db"
    with Journal.open(path) as one, Journal.open(path) as two:
        a, b = one.session("s", counter="lines4"), two.session("s", counter="lines4")
        for number in range(5):
            a.execute(Command(e.TurnBegan(), number))
            b.execute(Command(e.TurnBegan(), number))
        assert a.state.turn == 9
        assert b.state.turn == 10
        assert [row.type for row in one.log.read("s")].count("turn_began") == 10


def test_threads_share_a_session(journal):
    """Hooks called from many threads are serialised: every page has its own id, and the log is whole."""
    with journal.session("s", counter="lines4") as session:
        found = []

        def work(name):
            for number in range(10):
                found.append(session.user_says(f"{name} {number}"))
                session.assemble()

        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found, key=lambda p: int(p[1:])) == [f"p{n}" for n in range(1, 41)]
        assert session.state.turn == 40


def test_a_failed_append_leaves_the_session_as_the_log_has_it(tmp_path, monkeypatch):
    """When the disk refuses, the error is raised, and the next hook goes on from what is stored."""
    with Journal.open(tmp_path / "j.db") as journal, journal.session("s", counter="lines4") as session:
        session.user_says("first")
        append = journal.log.append

        def full(*arguments, **named):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(journal.log, "append", full)
        with pytest.raises(OSError):
            session.user_says("lost")
        monkeypatch.setattr(journal.log, "append", append)
        assert session.user_says("second") == "p2"
        assert session.read_page("p2") == "second"


def test_a_refusal_leaves_the_state_and_the_ordinals_of_a_session(session):
    """What was refused before anything was decided costs no reading of the log, and gives out no number."""
    session.user_says("hello")
    session.assemble()
    before, version = session.state, session.state.version
    with pytest.raises(UsageError):
        session.observe_model(
            "I look", [("read", {"path": "a"})], needs=[Need((Holder("p99"),), NeedRule.DECLARED, 1)]
        )
    with pytest.raises(UsageError):
        session.retire("p99")
    assert session.state is before and before.version == version
    (call,) = session.observe_model("I look", [("read", {"path": "a"})])
    assert call == 1


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    """With a seed and a clock of one's own, two journals hold the same events to the last byte."""
    heads = []
    for name in ("one", "two"):
        with Journal.open(tmp_path / name, seed=7, clock=ticking()) as journal:
            with journal.session(
                "s", budget_tokens=700, counter="lines4", settings=Settings(fields=FIELDS)
            ) as session:
                busy(session)
            heads.append(journal.log.head("s").hash)
    assert heads[0] == heads[1]


@pytest.mark.parametrize("policy", ["clawvm", "clawvm_turn"])
def test_the_rendered_prompt_is_the_one_that_was_committed_to(policy):
    """The log's salted commitment stands for the bytes of the prompt, or in epochs for its layout and tail."""
    options = {"policy": policy, "counter": "lines4"}
    with Journal.open(":memory:", seed=7) as journal, journal.session("s", **options) as session:
        session.user_says("hello")
        prompt = session.assemble()
        rendered = [row.data for row in journal.log.read("s") if isinstance(row.data, e.PromptRendered)]
        body = prompt.text if policy == "clawvm_turn" else f"{rendered[0].renderer}\n{session.state.chain}\n"
        assert rendered[0].prompt == journal.log.vault("s", 7).seal(body.encode())
        assert prompt_at(journal.log, "s").matches is True
        assert rendered[0].tokens == session.state.pages["p1"].full_tokens
        assert prompt.tokens == rendered[0].tokens + limits.DIRECTORY_TOKENS  # reserved, though no line stands


def test_async_twins_do_the_same(tmp_path):
    """The async journal writes what the sync one would; coroutine tools run on the caller's loop."""

    async def run():
        async with await AsyncJournal.open(tmp_path / "j.db") as journal:
            settings = Settings(fields=FIELDS)
            async with await journal.session("s", counter="lines4", settings=settings) as session:
                page = await session.user_says("hi")
                prompt = await session.assemble()
                await session.observe_model("answer", [("t", {})])
                await session.observe_result(1, "result")

                async def fetch(url):
                    await asyncio.sleep(0)
                    return f"body of {url}"

                result = await session.tool("fetch", {"url": "u"}, fetch)
                await session.recall("q", ["a"])
                await session.stage("notes", "append", 1, evidence=page)
                for hook in (
                    session.compact,
                    session.reset,
                    session.prune,
                    session.flush,
                    session.save,
                    session.close,
                ):
                    await hook()
                return prompt, result, session.state.closed

    prompt, result, closed = asyncio.run(run())
    assert "hi" in prompt.text
    assert result.text == "body of u"
    assert closed


def test_policies_without_a_contract_still_log_everything(journal):
    """Under plain retrieval the same hooks work; old pages come back when the question matches them."""
    with journal.session("s", policy="retrieval", budget_tokens=300, counter="lines4") as session:
        target = session.user_says("the launch code is zebra")
        session.assemble()
        for number in range(10):
            session.user_says(f"{number} " + "noise " * 30)
            session.assemble()
        assert target not in session.state.resident
        session.user_says("what was the launch code?")
        assert target in session.assemble().pages
    with journal.session("s") as session:
        session.user_says("and the zebra?")
        assert target in session.assemble().pages


def test_only_what_others_recorded_is_caught_up_with(journal):
    """The state stays where nobody wrote, and is read anew where another handle did."""
    with journal.session("s", counter="lines4") as one, journal.session("s") as other:
        assert not other.state.pages
        page = one.user_says("hello")
        before = one.state
        assert not one._shell.catch_up() and one.state is before
        assert other._shell.catch_up() and page in other.state.pages


def test_an_error_of_the_caller_s_own_is_not_taken_for_a_conflict(journal):
    """What others recorded meanwhile makes a refusal worth another try, and nothing else."""
    tries = []

    def failing(error):
        def build(state):
            tries.append(state.version)
            journal.session("s", counter="lines4").user_says(f"meanwhile {len(tries)}")
            raise error

        return build

    with journal.session("s", counter="lines4") as session:
        with pytest.raises(ZeroDivisionError):
            session._shell.run(failing(ZeroDivisionError()))
        assert len(tries) == 1
        with pytest.raises(VersionConflict, match="session s: another writer was faster"):
            session._shell.run(failing(UsageError("no")))
        assert len(tries) == 2 + limits.RETRIES and tries[1:] == sorted(set(tries[1:]))


LOOKS = Tool("open", path="path", reads=("file:{path}",))


def test_the_edge_before_an_event_knows_what_was_recorded_before_it_and_no_more(journal):
    """Ordinals of calls and of resources are those of each version in turn: the same, or one more."""
    with journal.session("s", counter="lines4", settings=Settings(tools=[LOOKS])) as session:
        for number in range(3):
            session.observe_model(f"{number}", [("look", {"at": number}), ("open", {"path": f"/{number}"})])
        events = [row.data for row in journal.log.read("s")]
        for version in range(1, len(events) + 2):
            called = [data for data in events[: version - 1] if isinstance(data, e.ToolCalled)]
            edge = session._shell.edge_before(version)
            assert edge.signatures.count == len({data.signature for data in called})
            assert edge.resource_keys.count == sum(len(data.resources) for data in called)


@pytest.mark.parametrize("sees", ["by itself", "by catching up"])
def test_a_turn_is_idle_since_the_last_answer_whoever_recorded_it(sees):
    """What another handle recorded in a scope that both share moves the times as one's own does."""
    now = [1_700_000_000_000_000]
    with Journal.open(":memory:", clock=lambda: now[0]) as journal:
        first = journal.session("s", counter="lines4", project="team")
        first.observe_model("one")
        other = journal.session("s", counter="lines4", project="team")
        for seconds, hook in ((60, lambda: other.observe_model("two")), (5, lambda: other.user_says("and?"))):
            now[0] += seconds * 1_000_000
            hook()
        if sees == "by catching up":
            first.save()
        first.assemble()
        turn = next(row.data for row in journal.log.read("s") if isinstance(row.data, e.TurnBegan))
        assert turn.idle_s == 5


def test_a_turn_of_a_recorded_session_is_as_it_was_told(journal):
    """One that tells no idle time gets none, however long ago the last answer was; one that tells a time keeps it."""
    with journal.session("s", counter="lines4") as session:
        session.observe_model("one")
        at = 1_700_000_000_000_000
        session.execute(Command(e.ModelResponded(), at))
        for told, as_told in ((None, True), (7, True), (7, False), (None, False)):
            at += 60_000_000
            session.execute(Command(e.TurnBegan(idle_s=told), at, as_told=as_told))
    turns = [row.data.idle_s for row in journal.log.read("s") if isinstance(row.data, e.TurnBegan)]
    assert turns[:3] == [None, 7, 7] and turns[3] is not None


def test_a_boundary_that_tells_its_facts_keeps_them(journal):
    """Facts of what is written back are found out where a boundary has none, and taken as told where it has."""
    said = []
    for told in (False, True):
        with journal.session(f"told {told}", counter="lines4", settings=Settings(fields=FIELDS)) as session:
            page = session.write_page("plan", "Goal: x\n1. step", author="model")
            facts = UpdateFacts(page, Op.SET_WITH_VERSION, "0" * 64, 77, Evidence(page_id=page), base_version=0)
            staged = (StagedPage(page, facts),) if told else ()
            session.execute(Command(e.BoundaryReached(Boundary.FLUSH, Trigger.CALLER, staged=staged), 9))
            rows = [row.data for row in journal.log.read(session.session_id)]
            (reached,) = [data for data in rows if isinstance(data, e.BoundaryReached)]
            assert [each.page_id for each in reached.staged] == [page]
            said.append(reached.staged[0].update.size_bytes)
    assert said[1] == 77 != said[0]


@pytest.mark.parametrize(("policy", "made"), [("clawvm", 0), ("lru", 0), ("retrieval", 1)])
def test_an_index_is_made_for_a_policy_that_retrieves_and_no_other(journal, monkeypatch, policy, made):
    """Texts are indexed once, at the first turn that asks for the best of them, and not where nobody does."""
    indexes = []
    made_so = lambda: indexes.append(ranked_texts()) or indexes[-1]  # noqa: E731
    monkeypatch.setattr(retriever, "ranked_texts", made_so)
    with journal.session("s", policy=policy, counter="lines4") as session:
        for number in range(3):
            session.user_says(f"hello {number}")
            session.assemble()
    assert len(indexes) == made


def test_pages_that_a_turn_names_as_retrieved_are_taken_as_told(journal):
    """A recorded turn tells which pages were found for it; nothing else is looked for."""
    with journal.session("s", policy="retrieval", counter="lines4") as session:
        for text in ("the parser of the tables", "snow in Oslo", "the parser again"):
            session.user_says(text)
            session.assemble()
        session.execute(Command(e.TurnBegan(retrieved=("p2",)), 9))
        session.execute(Command(e.TurnBegan(), 9))
    turns = [row.data for row in journal.log.read("s") if isinstance(row.data, e.TurnBegan)]
    assert turns[-2].retrieved == ("p2",)
    assert "p1" in turns[-1].retrieved and "p2" not in turns[-1].retrieved


def test_an_observer_learns_what_was_before_an_event_and_nothing_of_it(journal):
    """Delivered again, a step is observed as the first time; one that is behind its session learns the rest."""
    with journal.session("s", counter="lines4") as session:
        calls = [session.observe_model("", [("look", {"n": number})])[0] for number in range(3)]
        rows = [row.version for row in journal.log.read("s") if isinstance(row.data, e.ToolCalled)]
        observed = Observed(session._shell, {})
        for call, version in zip(calls, rows, strict=True):
            assert sorted(observed.before(version).known.calls) == calls[: call - 1]
            assert sorted(observed.before(version + 1).known.calls) == calls[:call]
        assert sorted(observed.at(session.state).known.calls) == calls
        older = snapshots.state_at(journal.log, "s", rows[1])
        assert sorted(observed.at(older).known.calls) == calls[:2]
        assert sorted(observed.at(session.state).known.calls) == calls


KEYED = {
    "user_says": lambda session, key: session.user_says("hello", key=key),
    "write_page": lambda session, key: session.write_page("evidence", "x", page_id="p1", key=key),
    "pin": lambda session, key: session.pin("p1", "soft", key=key),
    "set_budget": lambda session, key: session.set_budget(900, key=key),
    "repage": lambda session, key: session.repage(key=key),
    "save": lambda session, key: session.save(key=key),
    "observe_result": lambda session, key: session.observe_result(1, "found", key=key),
}


@pytest.mark.parametrize("hook", KEYED)
def test_a_key_is_looked_for_in_the_log_once_and_in_a_new_session_never(tmp_path, monkeypatch, hook):
    """A new session knows its own keys; one that was there before asks for a new key once, for a known one again."""
    asked = []
    with Journal.open(tmp_path / "j.db") as journal:
        find = journal.log.find
        monkeypatch.setattr(journal.log, "find", lambda name, key: asked.append(key) or find(name, key))
        session = journal.session("s", counter="lines4")
        session.write_page("evidence", "first", key="a")
        session.observe_model("", [("x", {}), ("y", {})])
        assert asked == []
        session = journal.session("s")
        before = session.state.version
        first = KEYED[hook](session, "k")
        assert asked in (["k"], ["k", "k:page"]) and session.state.version > before
        head = journal.log.head("s")
        again = KEYED[hook](journal.session("s"), "k")
        assert again == first or hook == "save"  # whose report tells how many events it added
        assert journal.log.head("s") == head


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["user", "model", "tool"]), WORDS), max_size=9), WORDS)
@settings(max_examples=40)
def test_an_index_that_is_made_anew_finds_what_one_that_was_kept_does(steps, query):
    """Whatever pages were written again, and by whom: the best of them for a query, and for what was said last."""
    with Journal.open(":memory:") as journal:
        kept = journal.session("s", policy="retrieval", counter="lines4")
        kept.search("a", 1)
        for number, author, text in steps:
            known = f"p{number}" if f"p{number}" in kept.state.pages else None
            kept.write_page("conversation" if author != "tool" else "evidence", text, page_id=known, author=author)
        anew = journal.session("s")
        for limit in (1, 2, 9):
            assert kept.search(query, limit) == anew.search(query, limit)
        assert kept._shell._index.best(kept.state) == anew._shell._index.best(anew.state)


def test_commands_that_were_made_for_an_earlier_version_are_refused_whole(journal):
    """A session that has moved on says from where to where; nothing of the commands is recorded."""
    with journal.session("s", counter="lines4") as session:
        session.user_says("hello")
        version, _ = session.head
        told = Command(e.BudgetChanged(700), 1)
        with pytest.raises(VersionConflict, match=f"made on version {version - 1}, not on {version}"):
            session.execute(told, after=version - 1)
        assert session.head[0] == version
        session.execute(told, after=version)
        assert session.head[0] > version


def test_there_is_no_last_boundary_before_the_first(journal):
    """A session that was never closed has no end; after it was, that is its last."""
    with journal.session("s", counter="lines4") as session:
        session.user_says("hello")
        assert session._shell.last(Boundary.END) == ()
        session.close()
        ended, *_ = session._shell.last(Boundary.END)
        assert isinstance(ended, e.BoundaryReached) and ended.boundary is Boundary.END


def test_a_folder_that_was_removed_stops_no_session(journal, monkeypatch):
    """Where the working directory is gone, calls are recorded without one."""

    def gone():
        raise FileNotFoundError

    with journal.session("s", counter="lines4") as session:
        monkeypatch.setattr(os, "getcwd", gone)
        (call,) = session.observe_model("looking", [("Read", {"file_path": "a.py"})])
        assert session.observe_result(call, "text of a.py")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}', True),
        ('{"a": 1}', '{"a": 2}', False),
        ("{broken", "{broken", True),
        ("{broken", "{broken ", False),
        ('{"a": 1}', "{broken", False),
        ("[" * 100_000, "[" * 99_999, False),
        ("x", None, False),
    ],
)
def test_arguments_are_the_same_by_their_values_or_else_by_their_text(one, other, same):
    """The order of names and blanks between them do not matter; what is no JSON is compared as it is."""
    assert same_arguments(one, other) is same
