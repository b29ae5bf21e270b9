"""LAW-SHELL-3: a session that goes on from its snapshots is, byte for byte, the one that was folded from zero."""

from __future__ import annotations

import itertools
import re
import tempfile
from pathlib import Path

import attrs
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clawvm_es import limits
from clawvm_es.core.profiles import CLAWVM, PROFILES, RETRIEVAL
from clawvm_es.engine.hooks import Call, OtherSettings, Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import ClawVMError
from clawvm_es.history import prompt_at, redecide
from clawvm_es.history.redact import Target, redact
from clawvm_es.history.rerun import rerun
from clawvm_es.journal import snapshots
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.events import ToolCalled
from clawvm_es.model.facts import Boundary, Cut, Holder, Need, NeedRule, Trigger
from clawvm_es.model.pages import PageType, Pin
from clawvm_es.observe.steps import ContextDropped, FileShown, Image, ToolResult
from clawvm_es.observe.tools import Tool
from clawvm_es.testing.histories import histories, play
from tests.engine.conftest import FIELDS

LOOK = Tool(
    "look",
    run=lambda what: f"saw {what}\n" * 9,
    deterministic=True,
    path="what",
    reads=["file:{what}"],
    validator=lambda arguments: "same",
)
EDIT = Tool("edit", run=lambda what: f"edited {what}", path="what", writes=["file:{what}"])
SETTINGS = Settings(fields=FIELDS, tools=[LOOK, EDIT])
KINDS = tuple(PageType)
POLICIES = tuple(PROFILES.values())
OPENINGS = st.fixed_dictionaries(
    {"policy": st.sampled_from(POLICIES), "budget_tokens": st.sampled_from([150, 400, 400, 1_500])},
    optional={
        "renderer": st.sampled_from(["messages/1:anthropic", "messages/1:openai", "messages/1:responses"]),
        "project": st.just("team"),
    },
).filter(lambda each: "project" not in each or not each["policy"].compact_permille)
WAYS = [(10**9, False), (10**9, True), (3, True)]
"""Events between snapshots, and whether each step has a handle of its own."""
BEGINS = 1_800_000_000_000_000
"""A time in 2027, in microseconds."""


def page_of(session, number):
    """The id of some page that is there."""
    return f"p{1 + number % len(session.state.pages)}"


def text_of(session, number):
    """A line of some page, for the model to use."""
    return next(iter(session.read_page(page_of(session, number)).splitlines()), "") + " and what follows it"


def erase(session, page_id):
    """Erase what a page holds, and all texts that only it has, by a handle of its own."""
    redact(session._shell.log, Target(session.session_id, page_id=page_id), at_us=7)
    session._shell.catch_up()


def moved(session, boundary, cut, left, returned=()):
    """The harness tells what it took out of its context, and what it put back."""
    reached = e.BoundaryReached(boundary, Trigger.RECORDED, cut=cut, left=left, returned=returned)
    return session.execute(Command(reached, 3)).appended


def adopted(session, a, b):
    """Go on under another policy, or another budget."""
    policy = POLICIES[a % len(POLICIES)] if b % 2 else None
    return session.adopt(e.SettingsAdopted(policy, None if policy else 150 + 90 * a), OtherSettings.ADOPT)


STEPS = {
    "use": lambda s, a, b: s.observe_model(f"use {a}", [("run", {"n": (text_of(s, a), b)})]),
    "use as text": lambda s, a, b: s.observe_model(
        "", [("run", {"n": text_of(s, a)})], thinking="so", model=f"m{b % 2}"
    ),
    "use by id": lambda s, a, b: s.observe_model(
        "", [Call(f"id{a}", "run", {"n": b}), Call("", "look", {"what": "f1"})]
    ),
    "asked": lambda s, a, b: s.assemble(model=f"m{a % 2}", fixed_tokens=30 * (b % 2), fixed="rules").text,
    "again": lambda s, a, b: s.observe(ToolResult(1 + a % len(s.state.calls), f"gave {b}\n" * 9)).appended,
    "early": lambda s, a, b: s.observe(ToolResult(len(s.state.calls) + 1, f"f{a}", unmatched=True)).appended,
    "image": lambda s, a, b: (
        s.observe(
            ToolResult(1 + a % len(s.state.calls), f"gave {b}\n" * 9, images=(Image("image/png", 2, "0" * 64),))
        ).appended
    ),
    "shown": lambda s, a, b: s.observe(FileShown(f"saw f{a % 4}\n" * 9, f"/f{a % 4}")).appended,
    "dropped": lambda s, a, b: (
        s.observe(ContextDropped(Boundary.PRUNE, dropped_calls=(1 + a % len(s.state.calls),), cut=Cut.MICRO)).appended
    ),
    "back": lambda s, a, b: (
        s.observe(
            ContextDropped(Boundary.PRUNE, returned_calls=(1 + a % len(s.state.calls),), cut=Cut.MICRO)
        ).appended
    ),
    "rewound": lambda s, a, b: moved(s, Boundary.PRUNE, Cut.REWIND, (page_of(s, a), page_of(s, b))),
    "put back": lambda s, a, b: moved(s, Boundary.COMPACT, Cut.COMPACT, (), (page_of(s, a),)),
    "erase": lambda s, a, b: erase(s, page_of(s, a)),
    "adopt": adopted,
    "reset": lambda s, a, b: s.reset(),
    "prune": lambda s, a, b: s.prune([page_of(s, a)] if b % 2 else ()),
    "flush": lambda s, a, b: s.flush(),
    "repage": lambda s, a, b: s.repage(),
    "find": lambda s, a, b: [hit.page_id for hit in s.search(f"page {a} gave saw", 5)],
    "show": lambda s, a, b: s.user_says(s.emit(page_of(s, a))),
    "part": lambda s, a, b: s.resolve(page_of(s, a), lines=(1, 1 + b)),
    "say": lambda s, a, b: s.user_says(f"message {a} {b}\n" * (1 + b)),
    "say again": lambda s, a, b: s.user_says(f"keyed {a}", key=f"k{a}"),
    "write": lambda s, a, b: s.write_page(KINDS[a % len(KINDS)], f"page {a}\n" * (1 + b), dirty=b % 2 == 0),
    "rewrite": lambda s, a, b: s.write_page("conversation", f"said {a} {b}", page_id=page_of(s, a), author="user"),
    "assemble": lambda s, a, b: s.assemble([page_of(s, a)] if b % 3 == 0 else []).text,
    "answer": lambda s, a, b: s.observe_model(
        f"so {a}", [("run", {"n": b})], needs=[Need((Holder(page_of(s, a)),), NeedRule.DECLARED, 5)]
    ),
    "result": lambda s, a, b: s.observe_result(1 + a % len(s.state.calls), f"gave {b}\n" * 9),
    "look": lambda s, a, b: s.tool("look", {"what": f"f{a % 4}"}),
    "edit": lambda s, a, b: s.tool("edit", {"what": f"f{a % 4}"}),
    "stage": lambda s, a, b: s.stage("notes", "append", a, evidence=page_of(s, b)),
    "pin": lambda s, a, b: s.pin(page_of(s, a), tuple(Pin)[b % len(Pin)]),
    "retire": lambda s, a, b: s.retire(page_of(s, a)),
    "resolve": lambda s, a, b: s.resolve(page_of(s, a), key=f"r{a}"),
    "recall": lambda s, a, b: s.recall(f"query {a}", [f"memory {a} {b}"]),
    "budget": lambda s, a, b: s.set_budget(150 + 40 * b),
    "compact": lambda s, a, b: s.compact(),
    "save": lambda s, a, b: s.save(),
    "close": lambda s, a, b: s.close(),
    "value": lambda s, a, b: s.value("notes"),
    "in flight": lambda s, a, b: s.in_flight,
}
STEP = st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 9))


class Way:
    """One way to live through the same steps: with one handle, or with a new one for each step."""

    def __init__(self, path, opening, *, reopens):
        self.reopens = reopens
        ticks = itertools.count(BEGINS, 60_000_000)
        self.journal = Journal.open(path, seed=1, clock=lambda: next(ticks))
        self.session = self.journal.session(
            "s", counter="lines4", settings=SETTINGS, on_pressure="degrade", **opening
        )

    def does(self, step):
        """Take one step; the outcome, or the error's words."""
        name, a, b = step
        if self.reopens:
            self.reopen()
        try:
            if name == "fork":
                at = max(1, self.session.head[0] - 7 * a)
                self.session = self.journal.fork("s", "child", at=at, allow_new_calls=True, settings=SETTINGS)
                return self.session.state.version
            return STEPS[name](self.session, a, b)
        except ClawVMError as error:
            return f"{type(error).__name__}: {error}"
        except ZeroDivisionError:
            return "there is none"
        finally:
            if name == "close":
                self.reopen()

    def reopen(self):
        """Take the session up again in a handle of its own, as another process would."""
        snapshots.catch_up(self.journal.log)
        self.session = self.journal.session(self.session.session_id, settings=SETTINGS)

    def rows(self):
        """Every event of every session, as it is stored."""
        return [(row.session_id, row.version, row.cause, row.raw, row.hash) for row in self.journal.log.read_all()]


LOOKS = [("look", 1, 0), ("edit", 1, 0), ("look", 1, 0), ("look", 2, 0), ("look", 1, 0), ("assemble", 0, 1)]
SAYS = [
    *[("say", 1, 1), ("assemble", 0, 1), ("say again", 2, 0), ("say again", 2, 0)],
    *[("rewrite", 0, 1), ("assemble", 0, 1)],
]


@given(
    OPENINGS,
    st.lists(STEP, min_size=4, max_size=14),
    st.lists(STEP, max_size=8),
    st.integers(0, 9),
)
@settings(max_examples=12, deadline=None)
@example({"policy": CLAWVM, "budget_tokens": 400}, LOOKS, [*LOOKS, *SAYS], 0)
@example({"policy": RETRIEVAL, "budget_tokens": 400}, [*SAYS, *LOOKS], SAYS, 5)
def test_a_session_is_the_same_whatever_it_goes_on_from(opening, steps, later, at):
    """One handle in memory and in a file, and one per step over folds from zero and over snapshots: the same bytes,
    forks included; and all of it is decided the same again.
    """
    script = [("say", 0, 0), *steps, *([("fork", at, 0), *later] if later else [])]
    lived = []
    for name, distance, reopens in ((":memory:", 10**9, False), *(("j.db", *way) for way in WAYS)):
        was, limits.SNAPSHOT_EVENTS = limits.SNAPSHOT_EVENTS, distance
        try:
            with tempfile.TemporaryDirectory() as folder:
                way = Way(name if name == ":memory:" else Path(folder) / name, opening, reopens=reopens)
                with way.journal:
                    lived.append(([str(way.does(step)) for step in script], way.rows(), way.session.state.copy()))
                    redecide(read_session(way.journal.log, way.session.session_id))
        finally:
            limits.SNAPSHOT_EVENTS = was
    for other in lived[1:]:
        assert other == lived[0]


def played(path, history, *, reopens):
    """Play a history in one handle, or in one per move; the journal, the session and what its prompts said."""
    ticks = itertools.count(BEGINS, 60_000_000)
    journal = Journal.open(path, seed=1, clock=lambda: next(ticks))
    opening = {"policy": history.policy, "budget_tokens": history.budget, "renderer": f"messages/1:{history.shape}"}
    session = journal.session("s", counter="lines4", on_pressure="degrade", **opening)
    said = []
    for move in history.moves:
        if reopens:
            snapshots.catch_up(journal.log)
            session = journal.session("s")
        try:
            said += [prompt.text for prompt in play(session, attrs.evolve(history, moves=(move,)))]
        except ClawVMError as error:
            said.append(str(error))
    return journal, session, said


@given(histories())
@settings(max_examples=10, deadline=None)
def test_a_history_of_messages_is_the_same_in_one_handle_in_many_and_run_again(history):
    """The same events to the byte over snapshots, and LAW-RERUN-1 to the byte of each prompt."""
    was = limits.SNAPSHOT_EVENTS
    with tempfile.TemporaryDirectory() as folder:
        journal, session, said = played(":memory:", history, reopens=False)
        limits.SNAPSHOT_EVENTS = 3
        try:
            other, again, said_again = played(Path(folder) / "j.db", history, reopens=True)
            with other:
                assert said_again == said and again.state.copy() == session.state.copy()
                assert [row.hash for row in other.log.read_all()] == [row.hash for row in journal.log.read_all()]
        finally:
            limits.SNAPSHOT_EVENTS = was
    with journal:
        ran = rerun(journal, "s", "child", at=1)
        assert ran.left_out == 0 and ran.now == ran.recorded and ran.parted is None
        assert prompts(journal.log, "child") == prompts(journal.log, "s")


def prompts(log, session_id):
    """The text of each prompt of a session."""
    rows = [row for row in read_session(log, session_id) if isinstance(row.data, e.PromptAssembled)]
    return [prompt_at(log, session_id, row.version).text for row in rows]


def calls(journal, session_id):
    """Signature and read resources of each call of a session's own, with how many of both its event adds."""
    found = [row.data for row in journal.log.read(session_id) if isinstance(row.data, ToolCalled)]
    return [(data.signature, data.reads, len(data.resources)) for data in found]


def test_a_fork_knows_the_keys_of_those_it_came_from(tmp_path):
    """LAW-ORDINAL-1: keys of a parent and of its parent keep their ordinals; what is new comes after them."""
    with Journal.open(tmp_path / "j.db", clock=lambda: 0) as journal:
        parent = journal.session("s", counter="lines4", settings=SETTINGS)
        parent.tool("look", {"what": "f1"})
        child = journal.fork("s", "child", allow_new_calls=True, settings=SETTINGS)
        child.tool("look", {"what": "f2"})
        grandchild = journal.fork("child", "grandchild", allow_new_calls=True, settings=SETTINGS)
        for what in ("f3", "f2", "f1", "f4"):
            grandchild.tool("look", {"what": what})
        assert calls(journal, "child") == [(2, (2,), 1)]
        assert calls(journal, "grandchild") == [(3, (3,), 1), (2, (2,), 0), (1, (1,), 0), (4, (4,), 1)]


def test_a_key_that_was_erased_is_new_again(tmp_path):
    """LAW-ORDINAL-1: nothing leads from a text to what was erased; the ordinals of other keys stay as they were."""
    with Journal.open(tmp_path / "j.db", clock=lambda: 0) as journal:
        session = journal.session("s", counter="lines4", settings=SETTINGS)
        session.tool("look", {"what": "f1"})
        session.tool("look", {"what": "f2"})
        redact(journal.log, Target(session_id="s", matches=re.compile("f1").search), at_us=0)
        again = journal.session("s", settings=SETTINGS)
        again.tool("look", {"what": "f1"})
        again.tool("look", {"what": "f2"})
        assert calls(journal, "s")[2:] == [(3, (3,), 1), (2, (2,), 0)]
