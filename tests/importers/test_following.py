"""Following: the law of cuts on every format of lines, of steps and in a journal."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import Journal
from clawvm_es.core.profiles import CLAWVM
from clawvm_es.files import FOLLOWED
from clawvm_es.importers import follow, following, read_bytes
from clawvm_es.importers.following import AS_RECORDED, Follower, settled
from clawvm_es.importers.format import Format
from clawvm_es.importers.formats import TABLE
from clawvm_es.importers.replay import ReplaySettings, replay
from tests.importers.followed import (
    CLAUDE,
    PI,
    ROWS,
    USAGE,
    Followed,
    as_lines,
    assert_same,
    claude,
    imported,
    inputs,
    result,
    use,
)

OF_LINES = sorted(name for name, row in TABLE.items() if row.reader)


SMALLEST = 5


SAMPLED = 50


READINGS = 2


TRACES = {"claude_code": 17, "codex": 2, "pi": 3}


"""Recorded sessions of formats of lines."""


def of_lines(traces: Path) -> Iterator[tuple[Format, list[Path]]]:
    """The traces of each format of lines, the smallest first."""
    for name in OF_LINES:
        found = sorted((traces / name).glob("*.jsonl"), key=lambda path: path.stat().st_size)
        if found:
            yield TABLE[name], found


def test_law_at_every_line_of_the_smallest(traces: Path) -> None:
    """LAW-FOLLOW-1: taken after every line, the steps are those of the whole file, and a session opens the same."""
    for row, paths in of_lines(traces):
        for path in paths[:SMALLEST]:
            data = path.read_bytes()
            followed, end = Followed(row), 0
            for number, line in enumerate(data.splitlines(keepends=True)):
                end += len(line)
                followed.read(data, end)
                if len(data) < 200_000 or number % 97 == 0:
                    followed.keep()
            followed.finish(data)
            assert_same(followed, row.parse(data, path.name), path.name)


def cuts_of(data: bytes, seed: str) -> list[int]:
    """Seeded places of a file: ends of lines, and any bytes."""
    chance = random.Random(seed)
    ends = [place + 1 for place, byte in enumerate(data) if byte == 0x0A]
    some = chance.sample(ends, min(SAMPLED, len(ends)))
    return [*some, *(chance.randrange(len(data)) for _ in range(SAMPLED))]


@pytest.mark.sweep(sample=2)
@pytest.mark.parametrize(("format_", "number"), [(name, n) for name, count in TRACES.items() for n in range(count)])
def test_law_at_seeded_cuts(traces: Path, format_: str, number: int) -> None:
    """LAW-FOLLOW-1: a file cut anywhere, then the whole, gives the steps of the whole; the state is kept between."""
    paths = sorted((traces / format_).glob("*.jsonl"))
    assert len(paths) == TRACES[format_]
    row, data = TABLE[format_], paths[number].read_bytes()
    whole = row.parse(data, paths[number].name)
    cuts = sorted(cuts_of(data, paths[number].name))
    for first in range(READINGS):  # a file that grows in steps meets many cuts in one reading
        followed = Followed(row)
        for cut in cuts[first::READINGS]:
            followed.read(data, cut)
            followed.keep()
        followed.finish(data)
        assert_same(followed, whole, (paths[number].name, cuts))


@pytest.mark.parametrize("kept", [True, False], ids=["one process", "many runs"])
@pytest.mark.parametrize("format_", sorted(ROWS))
def test_law_in_a_journal(tmp_path: Path, live: Path, format_: str, kept: bool) -> None:
    """LAW-FOLLOW-1: a file followed line by line, and finished, makes the inputs of its import."""
    rows = ROWS[format_]
    whole = imported(tmp_path, as_lines(rows))
    with Journal.open(tmp_path / "j.db", seed=1) as journal, Follower(journal, [live]) as follower:
        for number in range(1, len(rows) + 1):
            live.write_bytes(as_lines(rows[:number]))
            found = follower.once() if kept else follow(journal, live)
            assert not found.refused
            for name, said in inputs(journal).items():
                assert said == whole[name][: len(said)], (number, name)
        follow(journal, live, final=True)
        assert inputs(journal) == whole
        assert follow(journal, live, final=True).unchanged == 1
        assert follow(journal, live).appended == 0


def test_law_of_traces_in_a_journal(tmp_path: Path, traces: Path) -> None:
    """LAW-FOLLOW-1: the smallest trace of each format, followed over seeded cuts, makes the inputs of its import."""
    settings, chance = ReplaySettings(as_recorded=True, counter="lines4"), random.Random(5)
    for _, (path, *_) in of_lines(traces):
        data = path.read_bytes()
        if len(data) > 200_000:
            continue
        live = tmp_path / path.name
        with Journal.open(tmp_path / f"{path.stem}.db", seed=1) as journal:
            for cut in [*sorted(chance.randrange(len(data)) for _ in range(4)), len(data)]:
                live.write_bytes(data[:cut])
                assert not follow(journal, live, settings).refused
            follow(journal, live, settings, final=True)
            assert inputs(journal) == imported(tmp_path, data, settings), path.name


@pytest.mark.parametrize("line", range(1, len(CLAUDE)))
def test_a_cut_that_was_taken_whole_goes_on(tmp_path: Path, live: Path, line: int) -> None:
    """C2: a growing file that was finished, or imported, too early is no conflict: its rest is added."""
    for first in ("final", "replay", "no cache"):
        with Journal.open(tmp_path / f"{first} {line}.db", seed=1) as journal:
            live.write_bytes(as_lines(CLAUDE[:line]))
            if first == "replay":
                replay(journal, live, AS_RECORDED)
            else:
                follow(journal, live, final=True)
            before = inputs(journal)
            if first == "no cache":
                for kept in (tmp_path / f"{first} {line}.db{FOLLOWED}").iterdir():
                    kept.unlink()
            live.write_bytes(as_lines(CLAUDE))
            if first == "replay":
                assert sum(each.appended for each in replay(journal, live, AS_RECORDED))
                assert not sum(each.appended for each in replay(journal, live, AS_RECORDED, again=True))
            else:
                assert follow(journal, live, final=True).appended
            for name, said in before.items():
                assert inputs(journal)[name][: len(said)] == said
            calls = [data for _, kind, _, _, data in inputs(journal)["s1"] if kind == "tool_called"]
            assert len(calls) == 3
            assert follow(journal, live, final=True).appended == 0


THINKING: list[Any] = [
    claude(0, "user", "go"),
    claude(1, "assistant", [{"type": "thinking", "thinking": "hm", "signature": "x"}], id="m1", usage=USAGE),
    claude(2, "assistant", [{"type": "text", "text": "I look."}], id="m1", usage=USAGE),
    claude(3, "assistant", use("t1", "/w/a.py"), id="m1", usage=USAGE),
    claude(4, "user", result("t1", "alpha")),
]


@pytest.mark.parametrize("rows", [*ROWS.values(), THINKING], ids=[*ROWS, "thoughts of claude_code"])
def test_a_last_line_that_is_taken_without_its_end_is_as_one_with_it(live: Path, rows: list[Any]) -> None:
    """Taken as final at any line, then as the file goes on: what is read of it is not read twice, and not lost."""
    for cut in range(1, len(rows)):
        found = []
        for end in (b"\n", b""):
            with Journal.open("memory:", seed=1) as journal, Follower(journal, [live], final=True) as follower:
                live.write_bytes(as_lines(rows[:cut]).removesuffix(b"\n") + end)
                said = [follower.once().refused, inputs(journal)]
                live.write_bytes(as_lines(rows))
                os.utime(live, (cut, cut))
                said += [follower.once().refused, inputs(journal)]
            found.append(said)
        assert found[0] == found[1], cut


def test_a_torn_character_and_other_ends_of_lines(tmp_path: Path, live: Path) -> None:
    """A file cut inside a character or a CRLF waits for the rest of the line."""
    data = as_lines(CLAUDE, "\r\n")
    whole = imported(tmp_path, data)
    places = [data.index("ö".encode()) + 1, data.index(b"\r\n") + 1, data.rindex(b"\r\n") + 1, len(data)]
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        for place in places:
            live.write_bytes(data[:place])
            follow(journal, live)
        follow(journal, live, final=True)
        assert inputs(journal) == whole


def test_own_files_of_subagents_win(tmp_path: Path, journal: Journal) -> None:
    """A subagent that a file shows is taken from its own file, which is followed too."""
    nested = claude(2, "assistant", [{"type": "text", "text": "Shown."}], id="m9", usage=USAGE)
    shows = {**claude(1, "user", ""), "type": "progress", "data": {"type": "agent_progress", "agentId": "a1"}}
    shows["data"]["message"] = nested
    main, own = tmp_path / "s1.jsonl", tmp_path / "agent-a1.jsonl"
    main.write_bytes(as_lines([claude(0, "user", "Go."), shows, claude(3, "user", "On.")]))
    rows = [{**row, "isSidechain": True, "agentId": "a1"} for row in (claude(5, "user", "Look."), nested)]
    own.write_bytes(as_lines([*rows, {**claude(6, "user", "More."), "isSidechain": True, "agentId": "a1"}]))
    found = follow(journal, main)
    assert {each.session_id: each.source for each in found.taken} == {"s1": str(main), "s1/agent-a1": str(own)}
    assert follow(journal, main).unchanged == 2


def test_nothing_whole_is_nothing(live: Path, journal: Journal) -> None:
    """A file with no whole line yet is waited for, and a session that no row names is held back."""
    rows = as_lines([{"type": "summary", "summary": "t", "leafUuid": "u9"}, *CLAUDE])
    for end in (0, 1, rows.index(b"\n"), rows.index(b"\n") + 1):
        live.write_bytes(rows[:end])
        found = follow(journal, live)
        assert not found.taken and not found.refused
    assert inputs(journal) == {}


def test_settled_steps() -> None:
    """The last answer and its results are held back, until something else follows."""
    (whole, *_) = read_bytes(as_lines(PI), "pi")
    assert settled(whole.steps) == whole.steps
    assert settled(whole.steps[:3]) == whole.steps[:1] == settled(whole.steps[:2])
    assert settled(whole.steps[:1]) == whole.steps[:1]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_law_of_files_that_are_taken_in_portions(
    tmp_path: Path, live: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """LAW-FOLLOW-1: however many lines are read before steps are recorded, the inputs are those of an import."""
    monkeypatch.setattr(following, "LINES_AT_ONCE", at_once)
    for format_, rows in ROWS.items():
        data = as_lines(rows)
        live.write_bytes(data)
        with Journal.open(tmp_path / f"{format_}.db", seed=1) as journal:
            follow(journal, live, final=True)
            assert inputs(journal) == imported(tmp_path, data), format_


TODO = [{"content": "ship", "status": "in_progress", "activeForm": "shipping"}]


def test_a_session_under_a_policy_is_written_back_at_the_end_of_its_file(tmp_path: Path, live: Path) -> None:
    """What following leaves at the end is what an import leaves: nothing dirty, and the same inputs."""
    settings = ReplaySettings(counter="lines4", policy=CLAWVM, budget_tokens=2_000)
    told = [
        claude(11, "assistant", [{"type": "tool_use", "id": "t9", "name": "TodoWrite", "input": {"todos": TODO}}])
    ]
    data = as_lines([*CLAUDE, *told, claude(12, "user", result("t9", "Todos have been modified."))])
    live.write_bytes(data)
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        follow(journal, live, settings, final=True)
        assert inputs(journal) == imported(tmp_path, data, settings)
        assert any(kind == "boundary_reached" for _, kind, _, _, _ in inputs(journal)["s1"])
        assert not journal.session("s1").state.dirty
