"""The tape of a fork: what the parent recorded is served, nothing runs."""

import asyncio
import itertools
import json
import pickle
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.engine.aio import AsyncJournal
from clawvm_es.engine.calls import as_json
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import NewToolCall, ToolFailed, UsageError
from clawvm_es.history import redecide
from clawvm_es.history.redact import Target, redact
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import RedactReason
from clawvm_es.observe.steps import ToolResult
from clawvm_es.observe.tools import Kind, Tool
from clawvm_es.storage import verify
from tests.engine.conftest import ticking

key = ("file:{path}",)
"""The resource that a call touches: the file at `path`."""


class World:
    """Files that tools read and write, and how often each tool ran."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()

    def read(self, path, note=""):
        """The file's version, as text."""
        self.runs["read"] += 1
        if path == "missing":
            raise OSError("no such file")
        return f"{path} is at {self.files[path]}"

    def write(self, path):
        """Give the file its next version."""
        self.runs["write"] += 1
        self.files[path] += 1
        return f"wrote {path}"

    def look(self, **given):
        """A tool that no list declares."""
        self.runs["look"] += 1
        return f"look {sum(self.runs.values())}"

    def plan(self, **given):
        """A planning tool."""
        self.runs["plan"] += 1
        return f"plan {self.runs['plan']}"

    def settings(self):
        """The tools as a harness declares them."""
        return Settings(
            tools=[
                Tool("read", self.read, True, reads=key, ignores=("note",), validator=self.validator),
                Tool("write", self.write, writes=key),
                Tool("plan", self.plan, kind=Kind.PLANNING),
            ]
        )

    def validator(self, arguments):
        """A stored read holds while the file is at the same version."""
        return f"{self.files[arguments['path']]}"


@pytest.fixture
def journal(tmp_path):
    """An open journal in a file, under a clock that ticks."""
    with Journal.open(tmp_path / "j.db", clock=ticking()) as found:
        yield found


@pytest.fixture
def world(journal):
    """A parent that called every kind of tool before and after version `world.at`; what ran since then is counted."""
    world = World()
    with journal.session("parent", budget_tokens=500, counter="lines4", settings=world.settings()) as session:
        session.write_page("bootstrap", "- You must be careful.")
        session.user_says("go on")
        session.assemble()
        session.tool("read", {"path": "before"})
        world.at = session.state.version
        world.said = [session.tool("read", {"path": "a", "note": "first"}).text]
        world.said.append(session.tool("read", {"path": "a"}).text)  # served from the log
        session.tool("write", {"path": "a"})
        world.said.append(session.tool("read", {"path": "a"}).text)
        session.tool("look", {"n": 1}, world.look)
        session.tool("look", {"n": 1}, world.look)
        session.tool("plan", {"todo": ["x"]})
        with pytest.raises(ToolFailed):
            session.tool("read", {"path": "missing"})
        world.end = session.state.version
    world.runs.clear()
    return world


def calls(journal, session_id):
    """The calls of a session's own stream."""
    return [row.data for row in journal.log.read(session_id) if isinstance(row.data, e.ToolCalled)]


def check(journal, session_id="child"):
    """The log is consistent and today's code decides the session the same."""
    assert verify(journal.log) == ()
    redecide(read_session(journal.log, session_id))


def test_a_fork_is_served_what_its_parent_recorded_and_runs_nothing(journal, world):
    """LAW-TAPE-1 for declared, served, unknown, planning and failing calls, in another order than the parent's."""
    with journal.fork("parent", "child", at=world.at, settings=world.settings()) as child:
        looks = [child.tool("look", {"n": 1}, world.look) for _ in range(2)]
        assert child.tool("plan", {"todo": ["x"]}).text == "plan 1"
        assert [child.tool("read", {"note": "other", "path": "a"}).text for _ in range(2)] == world.said[:2]
        child.tool("write", {"path": "a"})
        last = child.tool("read", {"path": "a"})
        assert last.text == world.said[2] and last.served
        with pytest.raises(ToolFailed, match="OSError: no such file"):
            child.tool("read", {"path": "missing"})
        assert len({found.text for found in looks}) == 2
        assert child.read_page(last.page_id) == last.text, "the child holds the text itself"
        assert child.in_flight == ()
        child.assemble()
    assert not world.runs
    made = calls(journal, "child")
    assert [call.served_by for call in made].count("parent") == 7
    assert [call.served_by is None for call in made].count(True) == 1, "what the parent was served from its log"
    assert all(call.served_from for call in made)
    assert not any(row.type == "tool_returned" for row in journal.log.read("child"))
    check(journal)


def test_what_the_tape_served_holds_for_alerts_and_validity_like_a_run(journal, world):
    """A second, needless read of the same file is the alert that it was in the parent, had it run."""
    with journal.fork("parent", "child", at=world.at, settings=world.settings()) as child:
        child.tool("read", {"path": "a"})
        number = len(child.state.calls)
        assert child.state.valid_call(child.state.calls[number].signature).call == number
        child.tool("write", {"path": "a"})
        assert child.state.valid_call(child.state.calls[number].signature) is None
        assert child.tool("read", {"path": "a"}).text == world.said[1]
    check(journal)


def test_a_result_of_the_shared_prefix_is_served_while_it_holds(journal, world):
    """What the tape does not hold comes from the prefix, also where nobody declares the tools, until a write."""
    with journal.fork("parent", "child", at=world.at) as child:
        found = child.tool("read", {"path": "before"}, world.read)
        assert found.served and found.text == "before is at 0"
        assert calls(journal, "child")[-1].served_by is None
        child.tool("write", {"path": "a"}, world.write)  # of unknown effect here: it invalidates all reads
        with pytest.raises(NewToolCall, match="recorded no result"):
            child.tool("read", {"path": "before"}, world.read)
    assert not world.runs
    check(journal)


def test_a_call_that_is_not_on_the_tape_raises_and_leaves_no_trace(journal, world):
    """The error names tool and arguments, says why and what to do; nothing ran and nothing was recorded."""
    with journal.fork("parent", "child", at=world.at, settings=world.settings()) as child:
        child.tool("write", {"path": "a"})
        before = child.head
        with pytest.raises(
            NewToolCall, match=r"write \{\"path\": \"a\"\}: not on the tape: .*1 result of it"
        ) as caught:
            child.tool("write", {"path": "a"})
        assert "allow_new_calls" in caught.value.hint
        with pytest.raises(NewToolCall, match="…"):
            child.begin_tool("look", {"n": "long " * 100})
        assert child.head == before
    with journal.session("child", settings=world.settings()) as again, pytest.raises(NewToolCall):
        again.tool("write", {"path": "b"})
    assert not world.runs


def test_the_error_names_the_nearest_recorded_call_and_its_difference(journal):
    """Of the same tool first, then with the fewest fields that differ; ignored arguments are no difference."""
    world = World()
    with journal.session("parent", counter="lines4", settings=world.settings()) as session:
        session.user_says("go")
        at = session.state.version
        session.tool("look", {"path": "b", "line": 999}, world.look)
        session.tool("edit", {"path": "a", "edits": [{"line": 9}]}, world.look)
        session.tool("edit", {"path": "b", "edits": [{"line": 9}]}, world.look)
        session.tool("read", {"path": "a", "note": "first"})
    with journal.fork("parent", "child", at=at, settings=world.settings()) as child:
        with pytest.raises(NewToolCall, match=r"edits\[0\].line: recorded 9, got 999 \(") as caught:
            child.tool("edit", {"path": "b", "edits": [{"line": 999}]})
        near, (change,) = caught.value.nearest, caught.value.difference
        assert (near.stream, near.tool, near.version) == ("parent", "edit", near.version)
        assert near.arguments == as_json({"path": "b", "edits": [{"line": 9}]})
        assert (change.path, change.was, change.now) == ("arguments.edits[0].line", 9, 999)
        assert len(str(caught.value).splitlines()) == 1
        with pytest.raises(NewToolCall, match=r'arguments\.path: recorded "a", got "z"'):
            child.tool("read", {"path": "z", "note": "second"})
        with pytest.raises(NewToolCall, match='tool: recorded "look", got "list"'):
            child.tool("list", {"path": "b", "line": 999})
        again = pickle.loads(pickle.dumps(caught.value))
        assert str(again.nearest) == str(near) and again.difference == (change,)
    with journal.fork("parent", "late", settings=world.settings()) as late, pytest.raises(NewToolCall) as alone:
        late.tool("edit", {"path": "c\x1b"})
    assert "and no other call" in str(alone.value) and "\x1b" not in str(alone.value)
    assert alone.value.nearest is None and alone.value.difference == ()


def test_new_calls_run_where_the_fork_allows_them_now_and_when_it_is_opened_again(journal, world):
    """The tape goes first; then a stored result whose validator agrees; then the tool, also after reopening."""
    options = {"at": world.at, "settings": world.settings(), "allow_new_calls": True}
    with journal.fork("parent", "child", **options) as child:
        assert child.tool("read", {"path": "before"}).served, "its validator agrees"
        assert child.tool("look", {"n": 1}, world.look).served
        world.files["before"] = 5
        assert child.tool("read", {"path": "before"}).text == "before is at 5"
        assert not child.tool("look", {"n": 9}, world.look).served
        with pytest.raises(UsageError, match="nothing to run"):
            child.tool("unheard of", {})
    with journal.session("child", settings=world.settings()) as again:
        assert again.tool("look", {"n": 1}, world.look).served
        assert not again.tool("look", {"n": 1}, world.look).served
    assert world.runs == {"look": 2, "read": 1}
    check(journal)


def test_the_tape_goes_on_where_it_was_after_reopening(tmp_path):
    """Each handle, each process finds the next result: the calls since the fork are counted in the log."""
    world = World()
    path = tmp_path / "j.db"
    with Journal.open(path) as journal, journal.session("parent", counter="lines4") as session:
        for _ in range(4):
            session.tool("look", {}, world.look)
        texts = [journal.log.vault("parent").open(row.data.result) for row in journal.log.read("parent")
                 if row.type == "tool_returned"]  # fmt: skip
        journal.fork("parent", "child", at=1).tool("look", {})
    found = []
    for _ in range(3):
        with Journal.open(path) as journal, journal.session("child") as one, journal.session("child") as two:
            found.append((one if len(found) % 2 else two).tool("look", {}).text.encode())
    assert found == texts[1:]


def test_a_fork_of_a_fork_plays_what_its_parent_was_served(journal, world):
    """The tape of a grandchild is the child's lineage after the fork: what the child was served, and what it ran."""
    options = {"settings": world.settings(), "allow_new_calls": True}
    with journal.fork("parent", "child", at=world.at, **options) as child:
        at = child.state.version
        child.tool("read", {"path": "a"})
        child.tool("read", {"path": "a"})
        child.tool("look", {"n": 7}, world.look)
        with pytest.raises(ToolFailed):
            child.tool("read", {"path": "missing"})
    world.runs.clear()
    with journal.fork("child", "grandchild", at=at, settings=world.settings()) as last:
        assert [last.tool("read", {"path": "a"}).text for _ in range(2)] == world.said[:2]
        last.tool("look", {"n": 7})
        with pytest.raises(ToolFailed, match="no such file"):
            last.tool("read", {"path": "missing"})
        with pytest.raises(NewToolCall):
            last.tool("write", {"path": "a"})
    assert not world.runs
    assert [call.served_by for call in calls(journal, "grandchild")] == ["parent", None, "child", "parent"]
    check(journal, "grandchild")
    with pytest.raises(UsageError, match="is an event of parent"):
        journal.fork("grandchild", "x", at=2)


def test_an_erased_result_leaves_a_gap(journal, world):
    """LAW-TAPE-2: the first of two results was erased: its call raises and says why, the second never moves up."""
    results = [row.data.result for row in journal.log.read("parent") if row.type == "tool_returned"]
    redact(journal.log, Target("parent", body=results[1]), at_us=1, reason=RedactReason.REQUEST)
    with journal.fork("parent", "child", at=world.at, settings=world.settings()) as child:
        for _ in range(2):
            with pytest.raises(NewToolCall, match="was erased"):
                child.tool("read", {"path": "a"})
    options = {"at": world.at, "settings": world.settings(), "allow_new_calls": True}
    with journal.fork("parent", "other", **options) as other:
        assert not other.tool("read", {"path": "a"}).served
        assert other.tool("read", {"path": "a"}).served, "as in the parent, from the log"
        last = other.tool("read", {"path": "a"})
        assert last.served and last.text == world.said[2], "the next one stands where it stood"
    assert [call.served_by for call in calls(journal, "other")] == [None, None, "parent"]
    check(journal, "other")


@pytest.mark.parametrize("what", ["arguments", "name"])
def test_a_call_whose_texts_were_erased_is_on_no_tape(journal, world, what):
    """A call without its name or its arguments is passed over; the others are served."""
    with journal.session("other", counter="lines4") as session:
        at = session.state.version
        session.tool("strange", {"n": 1}, world.look)
        kept = session.tool("strange", {"n": 2}, world.look).text
    gone, _ = (row.data for row in journal.log.read("other") if row.type == "tool_called")
    redact(journal.log, Target("other", body=getattr(gone, what)), at_us=1, reason=RedactReason.REQUEST)
    with journal.fork("other", "child", at=at) as child:
        if what == "name":  # both calls had it
            with pytest.raises(NewToolCall, match="and no other call"):
                child.tool("strange", {"n": 2})
            return
        with pytest.raises(NewToolCall) as caught:
            child.tool("strange", {"n": 1})
        assert [change.was for change in caught.value.difference] == [2]
        assert child.tool("strange", {"n": 2}).text == kept
    check(journal)


def test_results_of_calls_in_flight_and_results_before_their_call_are_on_the_tape(journal):
    """The parent was forked while a call ran; another result came before its call."""
    with journal.session("parent", counter="lines4") as session:
        (first,) = session.observe_model("", [("slow", {"x": 1})])
        at = session.state.version
        session.observe_result(first, "it is done")
        session.observe(ToolResult(2, "early", unmatched=True))
        session.observe_model("", [("quick", {})])
    with journal.fork("parent", "child", at=at) as child:
        assert [call.tool for call in child.in_flight] == ["unknown"]
        assert child.tool("slow", {"x": 1}).text == "it is done"
        assert child.tool("quick", {}).text == "early"
    check(journal)


def test_async_calls_play_the_tape(tmp_path):
    """The async twin serves, fails and raises as the sync one does; a coroutine tool never starts."""
    world = World()

    async def never(**given):
        world.runs["never"] += 1
        return "x"

    async def go():
        async with await AsyncJournal.open(tmp_path / "j.db") as journal:
            async with await journal.session("parent", counter="lines4") as parent:
                await parent.tool("look", {"n": 1}, world.look)
            ran = world.runs.total()
            async with await journal.fork("parent", "child", at=1) as child:
                found = await child.tool("look", {"n": 1}, never)
                assert found.served and found.text == f"look {ran}"
                with pytest.raises(NewToolCall):
                    await child.tool("look", {"n": 1}, never)
            assert "never" not in world.runs

    asyncio.run(go())


def test_imported_sessions_have_a_tape(traces):
    """Calls of a real session, made again in a fork by name and arguments, get what was recorded, in order."""
    path = sorted((traces / "claude_code").glob("6113e919*.jsonl"))[0]
    with Journal.open(":memory:", clock=ticking()) as journal:
        (found, *_) = replay(journal, path, ReplaySettings(budget_tokens=8000, counter="lines4"))
        open_ = lambda name: journal.log.vault(found.session_id).open(name).decode()  # noqa: E731
        rows = list(journal.log.read(found.session_id))
        at = next(row.version for row in rows if row.turn == 40 and row.type == "turn_began") - 1
        results = {row.data.call: row.data for row in rows if row.type == "tool_returned" and row.version > at}
        made = [
            row.data for row in rows if row.type == "tool_called" and row.version > at and row.data.call in results
        ]
        assert len(made) > 50
        with journal.fork(found.session_id, "child", at=at) as child:
            for call in made[:60]:
                name = call.tool if call.tool != "unknown" else open_(call.name)
                try:
                    text = child.tool(name, json.loads(open_(call.arguments))).text
                except ToolFailed as failed:
                    text = str(failed).partition("failed: ")[2]
                assert text == open_(results[call.call].result)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(["read a", "read b", "write a", "look 1", "look 2", "plan 1"]), max_size=14), st.data()
)
def test_the_same_calls_after_a_fork_get_the_same_results(steps, data):
    """LAW-TAPE-1: whatever the parent called after the fork, the same calls get the same texts and nothing runs."""
    world = World()
    with Journal.open(":memory:", clock=ticking()) as journal:
        with journal.session("parent", counter="lines4", settings=world.settings()) as session:
            cut = data.draw(st.integers(0, len(steps)))
            texts, at = [], 1
            for number, step in enumerate(steps):
                if number == cut:
                    at = session.state.version
                texts.append(call(session, world, step))
            if cut == len(steps):
                at = session.state.version
        world.runs.clear()
        with journal.fork("parent", "child", at=at, settings=world.settings()) as child:
            assert [call(child, world, step) for step in steps[cut:]] == texts[cut:]
            parents = [row.data for row in journal.log.read("parent", after=at)]
            figures = [Counter(type(d) for d in found if d.TYPE in e.KINDS and e.KINDS[d.TYPE] == "decision")
                       for found in (parents, [row.data for row in journal.log.read("child")])]  # fmt: skip
            assert figures[0] == figures[1], "alerts and needs are those of the parent"
        assert not world.runs
        assert redecide(read_session(journal.log, "child")) >= 0


def call(session, world, step):
    """One step of a generated session."""
    name, what = step.split()
    if name == "look":
        return session.tool("look", {"n": what}, world.look).text
    return session.tool(name, {"path": what} if name != "plan" else {"todo": what}).text


def test_a_call_that_claims_a_server_without_an_event_is_refused(journal):
    """`served_by` means nothing without `served_from`."""
    with (
        journal.session("s", counter="lines4") as session,
        pytest.raises(UsageError, match="from none of its events"),
    ):
        session.execute(Command(e.ToolCalled(1, "look", "0" * 64, served_by="other"), 1))


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize(("lines", "flushes"), [(2, 0), (400, 1)])
def test_a_result_that_is_served_counts_towards_the_fill(journal, joined, lines, flushes):
    """What the tape gives is a page like any other: where it fills the prompt, what is dirty is written back."""
    text = "a line of a result\n" * lines
    with journal.session("parent", budget_tokens=2_000, counter="lines4") as parent:
        parent.user_says("go on")
        at = parent.state.version
        parent.tool("look", {"n": 1}, lambda n: text)
    with journal.fork("parent", "child", at=at) as child:
        child.write_page("plan", "Goal: x", author="model")
        (call,) = child.observe_model("", [("look", {"n": 1})]) if joined else (None,)
        assert child.tool("look", {"n": 1}, call=call).text == text
        rows = [row.data for row in journal.log.read("child")]
        assert sum(isinstance(data, e.BoundaryReached) for data in rows) == flushes


def test_a_result_that_is_served_again_adds_no_page(journal):
    """A stored result stands where it stood, so that nothing is written back for it, however full the prompt is."""
    looks = Tool("look", lambda n: "a line of a result\n" * 400, True, validator=lambda given: "v")
    options = {"budget_tokens": 2_000, "counter": "lines4", "settings": Settings(tools=[looks])}
    with journal.session("s", **options) as session:
        session.tool("look", {"n": 1})
        session._flush_at_permille, kept = 10**9, session._flush_at_permille
        session.write_page("plan", "Goal: x", author="model")
        session._flush_at_permille = kept
        assert session.tool("look", {"n": 1}).served
        assert not [row for row in journal.log.read("s") if isinstance(row.data, e.BoundaryReached)]


def test_a_call_that_a_fork_refuses_is_not_held(journal, world):
    """Its arguments are no event's, so nothing of them stays in memory, however many calls are refused."""
    with journal.fork("parent", "child", at=world.at, settings=world.settings()) as child:
        held = child._shell.vault.held_bytes()
        for number in range(3):
            with pytest.raises(NewToolCall):
                child.tool("look", {"n": number, "text": "x" * 1_000}, world.look)
        assert child._shell.vault.held_bytes() == held


def test_a_fork_is_served_the_newest_result_of_a_call_wherever_it_ran(journal, tmp_path, monkeypatch):
    """The same relative path in two folders has two signatures: the result that came last is the newest."""
    runs = itertools.count(1)
    tool = Tool("read", lambda path: f"run {next(runs)}", True, path="path", validator=lambda given: f"{next(runs)}")
    settings = Settings(tools=[tool])
    folders = [tmp_path / "one", tmp_path / "two", tmp_path / "one"]
    with journal.session("parent", counter="lines4", settings=settings) as parent:
        for folder in folders:
            folder.mkdir(exist_ok=True)
            monkeypatch.chdir(folder)
            newest = parent.tool("read", {"path": "x"})
            assert not newest.served
    with journal.fork("parent", "child", settings=settings) as child:
        assert child.tool("read", {"path": "x"}).text == newest.text
