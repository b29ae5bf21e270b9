"""Two runs side by side: what was said, called, returned and decided, and where they part first."""

import pytest
from hypothesis import given as forall
from hypothesis import settings as limit
from hypothesis import strategies as st

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.history.align import Item, align
from clawvm_es.history.compare import At, compare
from clawvm_es.history.redact import Target, redact
from clawvm_es.history.rerun import rerun
from clawvm_es.observe.tools import Tool
from tests.engine.conftest import FIELDS, ticking
from tests.engine.test_shell import busy
from tests.engine.test_tape import World

TURN = {"says": "go on", "tool": "edit", "arguments": {"path": "a.py", "line": 9}, "result": "ok", "answer": "done"}


def play(journal, name, turns, **options):
    """A session that goes through these turns, each told by what is other than in `TURN`."""
    with journal.session(name, budget_tokens=500, counter="lines4", **options) as session:
        session.write_page("bootstrap", "- You must be careful.")
        for other in turns:
            turn = TURN | other
            session.user_says(turn["says"])
            session.assemble()
            for call in session.observe_model(
                turn["answer"], [(turn["tool"], turn["arguments"])] if turn["tool"] else ()
            ):
                session.observe_result(call, turn["result"])
            if turn.get("boundary"):
                session.save()


@pytest.fixture
def journal(tmp_path):
    """An open journal under a clock that ticks, so that no two sessions have the same times."""
    with Journal.open(tmp_path / "j.db", clock=ticking()) as found:
        yield found


def both(journal, one, two, **options):
    """The comparison of two new sessions that go through these turns."""
    play(journal, "one", one)
    play(journal, "two", two)
    return compare(journal.log, ("one", None), ("two", None), **options)


def test_another_tool_argument_is_named_with_turn_path_and_both_values(journal):
    """The fault this is for: the argument is stored, and `diff` said that nothing differs."""
    found = both(journal, [{}, {}], [{}, {"arguments": {"path": "a.py", "line": 999}}])
    assert not found.same and found.counts == {"called": {"changed": 1}}
    assert str(found.first) == f"turn 2, event {found.first.a.version} tool_called, arguments.line: 9 → 999"
    assert found.first.a == found.first.b == At(found.first.a.version, 2)


@pytest.mark.parametrize(
    ("other", "kind", "says"),
    [
        ({"says": "stop"}, "said", 'page_written, text: "go on" → "stop"'),
        ({"answer": "no"}, "said", 'page_written, text: "done" → "no"'),
        ({"tool": "read"}, "called", 'tool_called, tool: "edit" → "read"'),
        ({"result": "bad"}, "returned", 'tool_returned, result: "ok" → "bad"'),
        ({"result": "ok\n2"}, "returned", 'tool_returned, result line 2: nothing → "2"'),
        ({"result": '{"a": [1]}'}, "returned", 'tool_returned, result: "ok" → {"a": [1]}'),
        ({"arguments": {}}, "called", "tool_called, arguments.line: 9 → nothing (and 1 more field)"),
    ],
    ids=str,
)
def test_each_kind_of_difference_is_found(journal, other, kind, says):
    """What is said, called and returned, each with its field and both values."""
    found = both(journal, [{}, {}], [{}, other])
    assert found.first.kind == kind and str(found.first).endswith(says)


def test_one_more_call_does_not_make_the_rest_differ(journal):
    """What comes after is aligned: only the added turn stands in one run alone."""
    turns = [{"result": f"result {n}", "answer": f"answer {n}"} for n in range(8)]
    more = [*turns[:3], {"tool": "look", "result": "seen", "answer": "more"}, *turns[3:]]
    found = both(journal, turns, more)
    for kind in ("said", "called", "returned"):
        assert set(found.counts[kind]) == {"only_b"}, found.counts
    assert found.counts["called"] == found.counts["returned"] == {"only_b": 1}
    assert "only in b: look" in next(str(each) for each in found.divergences if each.kind == "called")


OTHERS = st.sampled_from(
    [
        {},
        {"says": "stop"},
        {"arguments": {"path": "b"}},
        {"result": "bad"},
        {"tool": "look"},
        {"tool": ""},
        {"boundary": 1},
    ]
)


@limit(max_examples=20, deadline=None)
@forall(st.lists(OTHERS, max_size=5), st.lists(OTHERS, max_size=5))
def test_equal_runs_are_the_same_and_both_directions_tell_the_same(one, two):
    """LAW-COMPARE-1: whatever the salts and times; what only a has, only b has the other way round."""
    with Journal.open(":memory:", clock=ticking()) as journal:
        there = both(journal, one, two)
        back = compare(journal.log, ("two", None), ("one", None))
        assert there.same == back.same == (one == two)
        assert compare(journal.log, ("one", None), ("one", None)).same
        turned = {"only_a": "only_b", "only_b": "only_a", "changed": "changed"}
        told = {kind: {turned[how]: number for how, number in counts.items()} for kind, counts in back.counts.items()}
        steps = ("said", "called", "returned")
        assert {kind: there.counts.get(kind) for kind in steps} == {kind: told.get(kind) for kind in steps}


def test_two_journals_are_compared_by_their_texts(tmp_path, journal):
    """The second run may be in another journal, whose commitments are all others."""
    with Journal.open(tmp_path / "other.db") as second:
        for each, line in ((journal, 9), (second, 10)):
            play(each, "same", [{}, {"boundary": 1}])
            play(each, "run", [{}, {"arguments": {"line": line}}])
        assert compare(journal.log, ("same", None), ("same", None), other=second.log).same
        assert "9 → 10" in str(compare(journal.log, ("run", None), ("run", None), other=second.log).first)


def test_runs_under_other_settings_tell_them_apart_from_events(journal):
    """A fork under another budget says the same: the setting differs, and what was decided, no more."""
    play(journal, "one", [{"result": "long\n" * 90}] * 3)
    with journal.fork("one", "two", at=1, budget_tokens=120):
        pass
    end = journal.log.head("one").version
    found = compare(journal.log, ("one", 1), ("two", None))
    assert [(each.name, each.a, each.b) for each in found.settings] == [("budget_tokens", 500, 120)]
    assert found.divergences == () and not found.same
    rerun(journal, "one", "again", at=1, budget_tokens=120)
    assert set(compare(journal.log, ("one", end), ("again", None)).counts) == {"decided"}


def test_a_run_again_is_the_same_run(journal):
    """LAW-STEPS-1, LAW-COMPARE-1: a fork that is given all of its parent's inputs does not differ from it."""
    with journal.session("s", budget_tokens=500, counter="lines4", settings=Settings(fields=FIELDS)) as session:
        busy(session)
    rerun(journal, "s", "again", at=1)
    found = compare(journal.log, ("s", None), ("again", None))
    assert found.counts.keys() <= {"harness", "decided"}, [str(each) for each in found.divergences]


def test_a_call_that_the_tape_served_is_the_call_that_ran(journal):
    """LAW-STEPS-1: name, arguments, status and text are the parent's, though nothing ran."""
    world = World()
    for name in ("parent", "child"):
        if name == "parent":
            session = journal.session(name, budget_tokens=500, counter="lines4", settings=world.settings())
            session.user_says("go")
            at = session.state.version
        else:
            session = journal.fork("parent", name, at=at, settings=world.settings())
        with session:
            session.tool("read", {"path": "a"})
            session.tool("read", {"path": "a"})
            session.tool("write", {"path": "a"})
            session.tool("look", {"n": 1}, world.look)
    assert compare(journal.log, ("parent", None), ("child", None)).same


def test_a_served_result_differs_from_a_run(journal):
    """A result that the log served is called so, and returns the same text."""
    key = ("file:{path}",)
    tool = Tool("read", lambda path: "text", True, reads=key, validator=lambda arguments: "1")
    rereads = Tool("read", lambda path: "text", True, reads=key)
    for name, declared in (("one", tool), ("two", rereads)):
        with journal.session(name, counter="lines4", settings=Settings(tools=[declared])) as session:
            for _ in range(2):
                session.tool("read", {"path": "a"})
    found = compare(journal.log, ("one", None), ("two", None))
    assert "served: true → nothing" in str(found.first)
    assert "returned" not in found.counts


def test_erased_texts_are_said_and_two_of_them_are_no_difference(journal):
    """One side erased: a difference that says so. Both: nobody can tell, and that is counted."""
    for name in ("one", "two"):
        play(journal, name, [{"arguments": {"secret": "canary"}}])
    redact(journal.log, Target("one", matches=lambda text: "canary" in text), at_us=5)
    found = compare(journal.log, ("one", None), ("two", None))
    assert 'arguments: (erased) → {"secret": "canary"}' in str(found.first)
    redact(journal.log, Target("two", matches=lambda text: "canary" in text), at_us=5)
    found = compare(journal.log, ("one", None), ("two", None))
    assert found.same and found.erased == 2, "the arguments, and the line that names their result"


def test_times_and_token_counts_are_compared_where_asked(journal):
    """They differ between any two live runs, so they are no differences by themselves."""
    for name, tokens in (("one", 5), ("two", 6)):
        with journal.session(name, counter="lines4") as session:
            session.observe_model("hello", input_tokens=tokens)
    assert compare(journal.log, ("one", None), ("two", None)).same
    timed = compare(journal.log, ("one", None), ("two", None), times=True)
    assert {change.path for each in timed.divergences for change in each.changes} == {"at", "input_tokens"}


def test_runs_are_compared_up_to_a_place(journal):
    """Up to where they part, two runs are the same."""
    found = both(journal, [{}, {}], [{}, {"result": "bad"}])
    at = found.first.a.version
    assert compare(journal.log, ("one", at - 1), ("two", at - 1)).same
    assert found.firsts["returned"] == found.first
    assert not compare(journal.log, ("one", at), ("two", at)).same


@forall(st.lists(st.integers(0, 5), max_size=12), st.lists(st.integers(0, 5), max_size=12))
def test_an_alignment_keeps_order_and_loses_nothing(one, two):
    """Every item stands once, in its order; pairs share a key, and as many are equal as a subsequence can be."""
    sides = [[Item(place, (number, number % 2)) for place, number in enumerate(side)] for side in (one, two)]
    pairs = list(align(*sides))
    assert [a for a, _ in pairs if a is not None] == list(range(len(one)))
    assert [b for _, b in pairs if b is not None] == list(range(len(two)))
    matched = [(one[a], two[b]) for a, b in pairs if a is not None and b is not None]
    assert all(a % 2 == b % 2 for a, b in matched)
    longest = [[0] * (len(two) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(two):
            longest[i + 1][j + 1] = longest[i][j] + 1 if a == b else max(longest[i][j + 1], longest[i + 1][j])
    assert sum(a == b for a, b in matched) >= longest[-1][-1]
    assert {(a, b) for b, a in align(*reversed(sides))} == set(pairs)


def test_long_runs_are_aligned_in_halves(monkeypatch):
    """Beyond the bound on memory the halves are aligned, and still nothing is lost."""
    monkeypatch.setattr("clawvm_es.history.align.CELLS_MAX", 9)
    items = [Item(place, (place,)) for place in range(20)]
    assert list(align(items, items)) == [(place, place) for place in range(20)]
