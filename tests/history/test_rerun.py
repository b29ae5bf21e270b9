"""What-if and re-run: the same inputs under other settings, in memory and as a fork."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.core.profiles import CLAWVM, LRU, RETRIEVAL, profile
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UsageError
from clawvm_es.history import end_of_turn, prompt_at, redecide
from clawvm_es.history.figures import figures_of
from clawvm_es.history.redact import Target, redact
from clawvm_es.history.rerun import rerun
from clawvm_es.history.whatif import Setting, whatif
from clawvm_es.history.whatif import settings as combined
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import FaultType, Holder, Need, NeedRule, ReturnStatus
from clawvm_es.model.profile import Capability
from clawvm_es.observe.steps import ToolResult
from clawvm_es.projections import snapshot
from clawvm_es.projections.tables import SESSIONS
from clawvm_es.storage import verify
from tests.engine.conftest import FIELDS, ticking
from tests.engine.test_tape import World


def live(journal, world, session_id="parent", policy="clawvm", budget=220, rounds=6, **options):
    """A session that uses all hooks, with needs on old pages, tools of all kinds, updates and boundaries."""
    declared = attrs.evolve(world.settings(), fields=FIELDS)
    with journal.session(
        session_id, policy=policy, budget_tokens=budget, counter="lines4", settings=declared, **options
    ) as session:
        session.write_page("bootstrap", "- You must be careful.\n- Never guess.")
        session.write_page("preference", "timezone: UTC", author="user")
        for number in range(rounds):
            page = session.user_says(f"message {number} about the file f{number % 3} " + "words " * 20)
            session.assemble(hints=["p2"])
            session.tool("read", {"path": f"f{number % 3}"})
            session.tool("read", {"path": f"f{number % 3}"})
            if number % 3 == 2:
                session.tool("write", {"path": "f0"})
                session.tool("look", {"n": number}, world.look)
            old = [Need((Holder(f"p{1 + number * 2}"),), NeedRule.DECLARED, 9)]
            calls = session.observe_model(f"answer {number}", [("grep", {"for": "x"})], needs=old)
            session.observe_result(calls[0], "found it " * 20)
            session.recall(f"what about {number}", [f"memory {number}"])
            session.stage("notes", "append", number, evidence=page)
            session.stage("timezone", "set_with_version", f"z{number}", evidence=page, base_version=number // 2)
            session.write_page("plan", f"Goal: ship\n1. [ ] step {number}", author="model")
            if number % 2:
                session.compact()
        session.set_budget(budget - 10)
        session.assemble()
        session.prune()
        session.close()


@pytest.fixture(params=["clawvm", "retrieval"])
def journal(request, tmp_path):
    """A journal with a session `parent` that used all hooks."""
    with Journal.open(tmp_path / "j.db", clock=ticking()) as journal:
        live(journal, World(), policy=request.param)
        yield journal


def row_of(journal, session_id):
    """The session's row in the read models."""
    with snapshot(journal.log) as view:
        return next(row for row in view.rows(SESSIONS) if row.session_id == session_id)


def as_row(figures):
    """Figures by the names of the read model's columns."""
    names = ("turns", "needs", "hits", "page_ins", "misses", "alerts", "pressure", "tokens", "uncached_tokens")
    return {name: getattr(figures, name) for name in names} | {str(k): v for k, v in figures.faults.items()}


def own_figures(row):
    """The same of a row."""
    names = ("turns", "needs", "hits", "page_ins", "misses", "alerts", "pressure", "tokens", "uncached_tokens")
    return {name: getattr(row, name) for name in (*names, *map(str, FaultType))}


def test_the_recorded_run_is_the_journals_own(journal):
    """The first row of a what-if has the figures that the read models have."""
    found = whatif(journal.log, "parent", [])
    assert as_row(found.recorded.figures) == own_figures(row_of(journal, "parent"))
    assert found.recorded.figures.needs > 10


def test_under_its_own_settings_a_session_comes_out_as_it_was(journal):
    """LAW-WHATIF-1: from the start and from any version, nothing parts and all figures are the recorded ones."""
    head = journal.log.head("parent").version
    for after in (0, 1, head // 3, head // 2, head):
        found = whatif(journal.log, "parent", [Setting()], after=after)
        assert found.runs[0].parted is None
        assert after not in (0, head) or found.runs[0].figures == found.recorded.figures
    at = end_of_turn(journal.log, "parent", 3)
    found = whatif(journal.log, "parent", [Setting()], after=at)
    assert found.runs[0].figures == found.recorded.figures


def test_a_run_parts_where_its_first_prompt_differs(journal):
    """The parting names a recorded assembly, and a page that stood at the level it says."""
    (run,) = whatif(journal.log, "parent", [Setting(LRU, 90)]).runs
    parted = run.parted
    row = next(row for row in journal.log.read("parent") if row.version == parted.version)
    assert row.type == "prompt_assembled" and row.turn == parted.turn
    assert parted.recorded != parted.now
    early = whatif(journal.log, "parent", [Setting(LRU, 90)], after=parted.version).runs[0]
    assert early.parted is None or early.parted.turn > parted.turn


def test_a_broken_mechanism_shows_its_fault():
    """Without resolution what was a page-in is a fault; without staging the dirty pages are lost."""
    with Journal.open(":memory:", clock=ticking()) as journal:
        live(journal, World())
        missing = [[Capability.RESOLUTION], [Capability.STAGING]]
        found = whatif(journal.log, "parent", combined(CLAWVM, missing=missing))
        assert not any(found.recorded.figures.faults.values()) and found.recorded.figures.page_ins > 0
        first, second = (run.figures for run in found.runs)
        assert first.page_ins == 0 and first.faults[FaultType.REFETCH] == found.recorded.figures.page_ins
        assert second.faults[FaultType.FLUSH_MISS] > 0
        assert [run.profile.name for run in found.runs] == ["clawvm-without-resolution", "clawvm-without-staging"]


def test_every_combination_is_a_setting():
    """Budgets, policies, weights and mechanisms multiply; an axis that is not given is as recorded."""
    found = combined(
        CLAWVM, budgets=[100, 200], policies=[LRU, RETRIEVAL], weights=[{"plan": 0}], missing=[[Capability.STAGING]]
    )
    assert len(found) == 4 and {setting.budget_tokens for setting in found} == {100, 200}
    assert found[0].profile.name == "lru,plan=0-without-staging" and found[0].profile.weights.plan == 0
    assert combined(CLAWVM) == (Setting(CLAWVM, None),)
    with pytest.raises(UsageError, match="no weight 'x'"):
        combined(CLAWVM, weights=[{"x": 1}])
    with pytest.raises(UsageError, match="at most 2,147,483,647"):
        combined(CLAWVM, budgets=[2**31])
    with pytest.raises(UsageError, match="at least 1"):
        combined(CLAWVM, budgets=[0])


def test_only_a_retrieval_policy_needs_texts(tmp_path):
    """With a page's text erased all other policies still run; retrieval says which page it misses."""
    with Journal.open(tmp_path / "j.db", clock=ticking()) as journal:
        live(journal, World())
        before = whatif(journal.log, "parent", [Setting(LRU, 100)])
        redact(journal.log, Target("parent", page_id="p4"), at_us=1)
        after = whatif(journal.log, "parent", [Setting(LRU, 100)])
        assert after.runs[0].figures.misses == before.runs[0].figures.misses
        with pytest.raises(UsageError, match="page p4 was erased"):
            whatif(journal.log, "parent", [Setting(RETRIEVAL)])


def test_what_if_writes_nothing_and_refuses_what_is_not_there(journal):
    """Heads and file are as before; an unknown session or version is wrong usage; progress ends at the whole."""
    before = journal.log.heads()
    seen = []
    whatif(
        journal.log,
        "parent",
        [Setting(LRU), Setting(None, 50)],
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1] > 0
    with pytest.raises(UsageError, match="no session"):
        whatif(journal.log, "nobody", [])
    with pytest.raises(UsageError, match="no version"):
        whatif(journal.log, "parent", [], after=10**6)
    assert journal.log.heads() == before


def test_what_if_goes_through_forks_and_projects(tmp_path):
    """A fork's inputs are its lineage's; a session of a project learns what it learned then."""
    with Journal.open(tmp_path / "j.db", clock=ticking()) as journal:
        live(journal, World(), project="team")
        live(journal, World(), "second", project="team")
        for session_id in ("parent", "second"):
            found = whatif(journal.log, session_id, [Setting(), Setting(LRU, 120)])
            assert found.runs[0].figures == found.recorded.figures and found.runs[0].parted is None
        at = end_of_turn(journal.log, "parent", 4)
        with journal.fork("parent", "child", at=at, policy="lru", budget_tokens=150) as child:
            child.assemble()
        found = whatif(journal.log, "child", [Setting(), Setting(CLAWVM, 220)])
        assert found.recorded.profile.name == "lru" and found.recorded.budget_tokens == 150
        assert found.runs[0].figures == found.recorded.figures and found.runs[0].parted is None
        assert found.runs[1].parted is None or found.runs[1].parted.turn == 5, "up to the fork it was like that"


# --------------------------------------------------------------------------------------------- re-run


@pytest.mark.parametrize("turn", [0, 2, 5])
def test_a_rerun_under_the_parents_settings_is_the_parent(journal, turn):
    """LAW-RERUN-1: the prompts turn by turn, the figures, pages and store of the parent; nothing runs or differs."""
    at = end_of_turn(journal.log, "parent", turn) if turn else 1
    ran = rerun(journal, "parent", "child", at=at)
    assert ran.parted is None and ran.now == ran.recorded and ran.left_out == 0
    digests = [
        [(row.turn, row.data.digest) for row in read_session(journal.log, name) if row.type == "prompt_assembled"]
        for name in ("parent", "child")
    ]
    assert digests[0] == digests[1]
    parent, child = journal.session("parent").state, journal.session("child").state
    assert list(child.pages) == list(parent.pages) and child.resident == parent.resident
    assert child.store == parent.store and child.closed == parent.closed
    assert child.results == parent.results and child.written_keys.keys() == parent.written_keys.keys()
    assert not any(row.type == "tool_returned" for row in journal.log.read("child"))
    assert ran.served == sum(row.type == "tool_called" for row in journal.log.read("child")) > 0
    assert verify(journal.log) == () and redecide(read_session(journal.log, "child")) > 0


def test_a_rerun_under_other_settings_is_what_if_written_down(journal):
    """A fork with overrides comes to the figures that what-if foretells from the same place."""
    at = end_of_turn(journal.log, "parent", 2)
    ran = rerun(journal, "parent", "child", at=at, policy="lru", budget_tokens=120)
    told = whatif(journal.log, "parent", [Setting(profile("lru"), 120)], after=at)
    assert ran.recorded == told.recorded.figures
    assert ran.now == told.runs[0].figures and ran.parted == told.runs[0].parted
    assert verify(journal.log) == () and redecide(read_session(journal.log, "child")) > 0


def test_an_interrupted_rerun_goes_on(journal):
    """LAW-RERUN-2: killed after some inputs, the same call gives the events that one call would have given."""
    at = end_of_turn(journal.log, "parent", 2)
    whole = rerun(journal, "parent", "whole", at=at, budget_tokens=150)
    for steps in (1, 4):
        calls = []

        def stop(done, total, calls=calls, steps=steps):
            calls.append(done)
            if len(calls) > steps:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            rerun(journal, "parent", "child", at=at, budget_tokens=150, progress=stop)
    half = rerun(journal, "parent", "child", at=at, budget_tokens=150)
    assert 0 < half.appended < whole.appended
    assert (half.now, half.parted, half.served) == (whole.now, whole.parted, whole.served)
    raw = {
        name: [row.raw for row in journal.log.read(name) if row.type != "prompt_rendered"]  # its salt is random
        for name in ("child", "whole")
    }
    assert raw["child"] == raw["whole"]
    assert rerun(journal, "parent", "child", at=at).appended == 0


def test_a_rerun_refuses_what_it_cannot_go_on_with(journal):
    """Another place, other settings, a session that went on by itself or is no fork, a project's session."""
    rerun(journal, "parent", "child", at=end_of_turn(journal.log, "parent", 2))
    with pytest.raises(UsageError, match="is a fork of parent at version"):
        rerun(journal, "parent", "child", at=2)
    with pytest.raises(UsageError, match="with budget"):
        rerun(journal, "parent", "child", at=end_of_turn(journal.log, "parent", 2), budget_tokens=5)
    with pytest.raises(UsageError, match="no fork"):
        rerun(journal, "parent", "parent", at=2)
    with journal.fork("parent", "live", at=2) as session:
        session.user_says("hello")
    with pytest.raises(UsageError, match="went on by itself at version 4"):
        rerun(journal, "parent", "live", at=2)
    live(journal, World(), "team", project="team")
    with pytest.raises(UsageError, match="publish"):
        rerun(journal, "team", "child2", at=5)


def test_a_rerun_of_a_fork_of_a_rerun(journal):
    """What the tape served is a tape again: a re-run of a re-run is the parent too."""
    at = end_of_turn(journal.log, "parent", 2)
    rerun(journal, "parent", "child", at=at)
    again = rerun(journal, "child", "grandchild", at=end_of_turn(journal.log, "child", 4))
    assert again.now == again.recorded and again.parted is None
    assert redecide(read_session(journal.log, "grandchild")) > 0 and verify(journal.log) == ()


def test_a_need_whose_page_came_after_the_call_is_left_out_and_counted():
    """Two parallel reads of one answer, the second's result standing in the first's page: said, not failed."""
    with Journal.open(":memory:", clock=ticking()) as journal:
        with journal.session("parent", counter="lines4") as session:
            session.assemble()
            calls = session.observe_model("", [("read", {"path": "a"}), ("read", {"path": "a", "x": 1})])
            first = session.observe_result(calls[0], "the same text")
            need = Need((Holder(first),), NeedRule.REPEATED_READ, 3)
            session.execute(Command(e.ToolReturned(calls[1], ReturnStatus.OK, needs=(need,)), 5))
        ran = rerun(journal, "parent", "child", at=1)
        assert ran.left_out == 1 and ran.served == 2 and ran.recorded.needs == 1 and ran.now.needs == 0


def test_a_pause_that_nobody_told_of_stays_unknown():
    """A turn that a trace brought without its pause has none in a re-run either, whatever the times of its events."""
    with Journal.open(":memory:", clock=ticking()) as journal:
        with journal.session("parent", counter="lines4", budget_tokens=400) as session:
            for number in range(9):
                session.user_says(f"message {number} " + "words " * 60)
                at = 1_800_000_000_000_000 + number * 400_000_000
                session.execute(Command(e.TurnBegan(), at, as_told=True), Command(e.ModelResponded(), at))
        ran = rerun(journal, "parent", "child", at=1)
        assert ran.now == ran.recorded and ran.parted is None
        turns = [row.data for row in journal.log.read("child") if isinstance(row.data, e.TurnBegan)]
        assert [turn.idle_s for turn in turns] == [None] * 9


@pytest.mark.parametrize("policy", ["clawvm", "clawvm_turn", "recorded"])
@pytest.mark.parametrize("renderer", [None, "messages/1:anthropic", "messages/1:openai"])
def test_results_that_came_late_again_or_as_failures_come_so_again(renderer, policy):
    """LAW-RERUN-1, to the bytes of each prompt: it says of each call how it had ended by then."""
    said = {"renderer": renderer} if renderer and policy != "recorded" else {}
    with Journal.open(":memory:", seed=1, clock=ticking()) as journal:
        with journal.session("parent", counter="lines4", policy=policy, budget_tokens=900, **said) as session:
            session.user_says("go on")
            session.assemble()
            calls = session.observe_model("reads", [("look", {"n": number}) for number in range(3)])
            session.observe_result(calls[0], "it is not there", status=ReturnStatus.ERROR)
            session.observe_result(calls[1], "what it says\n" * 20)
            session.assemble()
            session.observe_model("waits")
            session.observe_result(calls[2], "what came late\n" * 20)
            session.observe(ToolResult(calls[2], "what it says\n" * 20))
            session.assemble()
            session.observe_model("", [("look", {"n": "what came late"})])
            session.assemble()
        ran = rerun(journal, "parent", "child", at=1)
        assert ran.now == ran.recorded and ran.parted is None and ran.left_out == 0
        theirs, ours = (assembled(journal, name) for name in ("parent", "child"))
        assert [each.data for each in ours] == [each.data for each in theirs]
        for was, now in zip(theirs, ours, strict=True) if policy != "recorded" else ():
            shown = [prompt_at(journal.log, *place) for place in (("parent", was.version), ("child", now.version))]
            assert shown[0].text == shown[1].text


def assembled(journal, session_id):
    """The assemblies of a session."""
    return [row for row in read_session(journal.log, session_id) if isinstance(row.data, e.PromptAssembled)]


@pytest.mark.parametrize("name", ["9d7a9d52", "6113e919"])
def test_real_sessions_are_rerun_and_asked_what_if(traces, name):
    """Sessions of megabytes: the laws of both hold on them, and what-if agrees with a replay under its settings."""
    path = sorted((traces / "claude_code").glob(f"{name}*.jsonl"))[0]
    with Journal.open(":memory:") as journal:
        (found, *_) = replay(journal, path, ReplaySettings(budget_tokens=8000, counter="lines4"))
        told = whatif(journal.log, found.session_id, [Setting(), *combined(CLAWVM, budgets=[2000], policies=[LRU])])
        assert told.runs[0].figures == told.recorded.figures and told.runs[0].parted is None
        assert as_row(told.recorded.figures) == own_figures(row_of(journal, found.session_id))
        (small, *_) = replay(journal, path, ReplaySettings(LRU, 2000, "lines4", name="really"))
        really = whatif(journal.log, small.session_id, []).recorded.figures
        assert told.runs[1].figures == really, "what-if foretells the session that is replayed so"
        assert told.runs[1].parted is not None
        at = end_of_turn(journal.log, found.session_id, 60)
        ran = rerun(journal, found.session_id, "child", at=at)
        assert ran.now == ran.recorded and ran.parted is None and ran.served > 50 and ran.left_out == 0
        small = rerun(journal, found.session_id, "small", at=at, budget_tokens=2000)
        assert small.now == whatif(journal.log, found.session_id, [Setting(None, 2000)], after=at).runs[0].figures


STEPS = st.lists(st.sampled_from(["say", "turn", "read", "look", "write", "compact", "stage", "need"]), max_size=16)


@settings(max_examples=25, deadline=None)
@given(STEPS, st.integers(20, 200), st.data())
def test_the_laws_hold_for_sessions_of_any_shape(steps, budget, data):
    """LAW-WHATIF-1 and LAW-RERUN-1 on generated sessions, forked at any event that ends a group."""
    world = World()
    with Journal.open(":memory:", clock=ticking()) as journal:
        declared: Settings = attrs.evolve(world.settings(), fields=FIELDS)
        options = {"counter": "lines4", "settings": declared, "on_pressure": "degrade"}
        with journal.session("parent", budget_tokens=budget, **options) as session:
            page = session.write_page("bootstrap", "- You must be careful.")
            for number, step in enumerate(steps):
                match step:
                    case "say":
                        page = session.user_says(f"message {number} " + "words " * 12)
                    case "turn":
                        session.assemble()
                    case "read" | "write":
                        session.tool(step, {"path": f"f{number % 2}"})
                    case "look":
                        session.tool("look", {"n": number % 2}, world.look)
                    case "compact":
                        session.compact()
                    case "stage":
                        session.stage("notes", "append", number, evidence=page)
                    case "need":
                        session.observe_model(f"answer {number}", needs=[Need((Holder(page),), NeedRule.DECLARED, 3)])
        found = whatif(journal.log, "parent", [Setting()])
        assert found.runs[0].figures == found.recorded.figures and found.runs[0].parted is None
        rows = list(journal.log.read("parent"))
        ends = [a.version for a, b in zip(rows, [*rows[1:], None], strict=True) if b is None or b.kind == "input"]
        world.runs.clear()
        ran = rerun(journal, "parent", "child", at=data.draw(st.sampled_from(ends)))
        assert ran.now == ran.recorded == figures_of(row.data for row in rows if row.version > ran.parent_version)
        assert ran.parted is None and not world.runs
        redecide(read_session(journal.log, "child"))
