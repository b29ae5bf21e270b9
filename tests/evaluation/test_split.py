"""The split of recorded sessions into those that policies are tuned on and those held out."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.evaluation.split import HELD_OUT, TUNE, assign, origin, side, split_file
from clawvm_es.importers import read
from clawvm_es.importers.recording import Recording
from clawvm_es.observe.steps import Lines, ModelMessage, ToolUse, Usage


def recording(session_id: str, *cwds: str) -> Recording:
    """A recording whose calls worked in these folders."""
    calls = tuple(ToolUse(number, "Read", {}, cwd) for number, cwd in enumerate(cwds, 1))
    answer = ModelMessage((), calls, Usage(), Lines(1, 1), 0, 0)
    return Recording(session_id, "claude_code", (answer,))


def test_a_session_that_the_file_does_not_name_is_held_out():
    """Sessions that are recorded later are never tuned on (LAW-SPLIT-2)."""
    assert side("recorded-tomorrow") == HELD_OUT
    assert side("recorded-tomorrow/agent-1") == HELD_OUT


def test_a_subagent_stands_with_the_session_that_started_it():
    """What a subagent reads is what its main session reads (LAW-SPLIT-1)."""
    named = [(session, row["side"]) for row in split_file()["origins"].values() for session in row["sessions"]]
    assert {side(f"{session}/agent-7") for session, its in named if its == TUNE} == {TUNE}
    assert all(side(session) == its for session, its in named)


@pytest.mark.parametrize(
    "folder",
    [
        "/home/someone/workspace/cli",
        "/Users/else/workspace/cli",
        "/root/workspace/cli",
        r"D:\Users\else\workspace\cli",
        "/home/x/workspace/cli/.worktrees/a",
        "/home/x/workspace/cli/.claude/worktrees/b",
    ],
)
def test_a_checkout_that_was_tuned_on_is_never_unseen(folder):
    """LAW-SPLIT-2: a new session of a known checkout stands on its side, whoever's home folder it is in."""
    known = origin(recording("recorded-tomorrow", folder))
    assert side("recorded-tomorrow", known) == side("recorded-tomorrow/agent-1", known) == TUNE


@pytest.mark.parametrize(
    "folder", ["/home/x/workspace/other", "/workspace/cli", "/srv/home/x/workspace/cli", "cli", ""]
)
def test_another_checkout_is_held_out(folder):
    """LAW-SPLIT-2: what only ends like a known checkout is another one."""
    assert side("recorded-tomorrow", origin(recording("recorded-tomorrow", folder))) == HELD_OUT


def test_the_name_of_a_session_goes_before_its_checkout():
    """A session that the file names stands where the file says."""
    rows = split_file()["origins"]
    name = next(session for row in rows.values() if row["side"] == HELD_OUT for session in row["sessions"])
    assert side(name, "/home/someone/workspace/cli") == HELD_OUT


def test_no_session_has_two_origins():
    """Each session is named once, so that it has one side."""
    named = Counter(session for row in split_file()["origins"].values() for session in row["sessions"])
    assert set(named.values()) == {1}


def test_both_sides_hold_between_two_fifths_and_three_fifths_of_the_needs_of_a_family():
    """Neither side of a family is a remainder."""
    needs: Counter[tuple[str, str]] = Counter()
    for row in split_file()["origins"].values():
        needs[row["family"], row["side"]] += row["needs"]
    for family in ("coding", "openai_chat"):
        total = needs[family, TUNE] + needs[family, HELD_OUT]
        assert 2 * total <= 5 * needs[family, TUNE] <= 3 * total


def test_the_file_follows_from_its_rule():
    """Nobody moved an origin by hand after looking at a result."""
    rows = split_file()["origins"]
    for family in ("coding", "openai_chat"):
        needs = {name: row["needs"] for name, row in rows.items() if row["family"] == family}
        assert assign(needs) == {name: rows[name]["side"] for name in needs}


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 50), min_size=1))
def test_the_sides_differ_by_no_more_than_the_largest_origin(needs):
    """Longest first to the lighter side balances as far as origins allow."""
    sides = assign(needs)
    held_out = sum(needs[name] for name in needs if sides[name] == HELD_OUT)
    assert abs(2 * held_out - sum(needs.values())) <= max(needs.values())


def test_worktrees_of_a_checkout_are_one_origin():
    """The first folder that a call worked in counts, up to where worktrees begin."""
    plain = recording("a", "", "/u/cli", "/u/cli/deeper")
    assert origin(plain) == origin(recording("b", "/u/cli/.worktrees/fix")) == "/u/cli"


def test_a_task_is_the_origin_of_all_its_trials():
    """tau-bench sessions are named by digest, task and trial; a session that names neither is its own origin."""
    assert origin(recording("chat-1-task-7-trial-0")) == origin(recording("chat-2-task-7-trial-3", "/u"))
    assert origin(recording("chat-1-task-7-trial-0")) != origin(recording("chat-1-task-77-trial-0"))
    assert origin(recording("alone")) == "alone"


def test_the_file_names_every_recorded_session_with_its_origin(traces):
    """The origins of the small recorded files, read again, are those in the file; twins are one session."""
    rows = split_file()["origins"]
    for name in ("claude_code/61cb3ba8-484b-4a21-bf99-34f7dc361170.jsonl", "taubench/gpt-4o-airline.json"):
        for found in read(traces / name):
            if found.linked_to is None:
                assert found.session_id in rows[origin(found)]["sessions"]
    for session, files in split_file()["twins"].items():
        assert {found.session_id for file in files for found in read(traces / file)} == {session}
