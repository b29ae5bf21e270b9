"""Following: the law of cuts on every format of lines, many processes, rewritten files, caches, folders."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import pickle
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import clawvm_es.importers
import clawvm_es.observe
from clawvm_es import Journal, limits
from clawvm_es.core.profiles import CLAWVM
from clawvm_es.errors import UnreadableInput, UsageError, VersionConflict
from clawvm_es.files import FOLLOWED
from clawvm_es.history.redact import Target, redact
from clawvm_es.importers import export_trace, follow, following, kept, read_bytes
from clawvm_es.importers.detect import LOOKED_AT
from clawvm_es.importers.following import AS_RECORDED, OPEN_FILES, Follower, settled
from clawvm_es.importers.format import Format
from clawvm_es.importers.formats import TABLE
from clawvm_es.importers.given import Differs, Given
from clawvm_es.importers.growing import lines
from clawvm_es.importers.kept import Place, _Loader
from clawvm_es.importers.recording import RecordedStep, Recording, Skips
from clawvm_es.importers.replay import LIVE, ReplaySettings, replay, target
from clawvm_es.importers.streaming import read_one
from clawvm_es.model.commands import Command
from clawvm_es.model.events import BoundaryReached
from clawvm_es.model.facts import Boundary, Trigger
from clawvm_es.observe.steps import ModelMessage
from tests.importers.bases import LINES

OF_LINES = sorted(name for name, row in TABLE.items() if row.reader)
SMALLEST = 5
SAMPLED = 50
READINGS = 2
TRACES = {"claude_code": 17, "codex": 2, "pi": 3}
"""Recorded sessions of formats of lines."""


# ------------------------------------------------------------------------------------------ streams of steps


class Followed:
    """The steps that following gives of a file, as the reader's state goes from cut to cut."""

    def __init__(self, row: Format) -> None:
        assert row.reader is not None
        self.reader = row.reader
        self.state = row.reader.begin()
        self.number = self.end = 0
        self.steps: dict[str, list[RecordedStep]] = {}
        self.facts: dict[str, tuple[Any, ...]] = {}  # what a session is opened with, at its first step

    def read(self, data: bytes, upto: int, final: bool = False) -> None:
        """Take the whole lines of a file that has grown up to a place, at the end also one without an end."""
        for line in lines(io.BytesIO(data[self.end : upto]), self.number, self.end, hashlib.sha256()):
            if not (line.whole or final):
                break
            read_one(self.reader, self.state, line, Skips())
            self.number, self.end = line.number, line.end
        self.take()

    def take(self) -> None:
        """Take the steps that are whole, of all sessions whose id is known."""
        for part in self.reader.parts(self.state):
            if part.session_id and part.into.steps and part.into.began_us is not None:
                self.steps.setdefault(part.session_id, []).extend(part.into.take())
                facts = (part.into.began_us, part.linked_to, part.resumed_from)
                assert self.facts.setdefault(part.session_id, facts) == facts

    def keep(self) -> None:
        """Go through the cache and back."""
        self.state = _Loader(io.BytesIO(pickle.dumps(self.state, protocol=5))).load()

    def finish(self, data: bytes) -> None:
        """Take what was held back."""
        self.read(data, len(data), final=True)
        for part in self.reader.parts(self.state):
            part.into.flush()
        self.take()


def assert_same(followed: Followed, whole: Sequence[Recording], place: object) -> None:
    """What was followed is what an import of the whole reads."""
    read = {recording.session_id: recording for recording in whole if recording.steps}
    assert followed.steps.keys() == read.keys(), place
    for name, recording in read.items():
        assert tuple(followed.steps[name]) == recording.steps, (place, name)
        facts = (recording.began_us, recording.linked_to, recording.resumed_from)
        assert followed.facts[name] == facts, (place, name)


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


# ---------------------------------------------------------------------------------------------- into a journal

AT = "2026-01-01T00:00:%02d.000Z"


def claude(second: int, kind: str, content: Any, **more: Any) -> dict[str, Any]:
    """A row of a Claude Code session."""
    return {
        "type": kind,
        "uuid": f"u{second}",
        "parentUuid": f"u{second - 1}" if second else None,
        "sessionId": "s1",
        "cwd": "/w",
        "timestamp": AT % second,
        "message": {"role": kind, "content": content, **more},
    }


def use(call: str, path: str) -> list[dict[str, Any]]:
    """The blocks of a call."""
    return [{"type": "tool_use", "id": call, "name": "Read", "input": {"file_path": path}}]


def result(call: str, text: str) -> list[dict[str, Any]]:
    """The blocks of a result."""
    return [{"type": "tool_result", "tool_use_id": call, "content": text}]


USAGE = {"input_tokens": 5, "output_tokens": 1}
CLAUDE: list[Any] = [
    claude(0, "user", "Look at both files. Größe, 连接."),
    claude(1, "assistant", [{"type": "text", "text": "I read both."}], id="m1", usage=USAGE),
    claude(2, "assistant", use("t1", "/w/a.py"), id="m1", usage={**USAGE, "output_tokens": 40}),
    claude(3, "user", result("t1", "alpha = 'long enough to be needed'")),
    claude(4, "assistant", use("t2", "/w/b.py"), id="m1", usage={**USAGE, "output_tokens": 90}),
    claude(5, "user", result("t2", "beta = 2")),
    {**claude(6, "user", "agent's prompt"), "isSidechain": True, "agentId": "a1"},
    {**claude(7, "assistant", [{"type": "text", "text": "Done."}], id="m9", usage=USAGE), "isSidechain": True},
    claude(8, "assistant", use("t3", "/w/a.py"), id="m2", usage=USAGE),
    claude(9, "user", result("t3", "alpha = 'long enough to be needed'")),
    claude(10, "assistant", [{"type": "text", "text": "Both read."}], id="m3", usage=USAGE),
]
CLAUDE[7]["agentId"] = "a1"
PI: list[Any] = [
    {"type": "session", "version": 3, "id": "s2", "cwd": "/w", "timestamp": AT % 0},
    {
        "type": "message",
        "id": "e1",
        "parentId": None,
        "timestamp": AT % 1,
        "message": {"role": "user", "content": "hi"},
    },
    {
        "type": "message",
        "id": "e2",
        "parentId": "e1",
        "timestamp": AT % 2,
        "message": {"role": "assistant", "content": [{"type": "toolCall", "id": "c", "name": "ls", "arguments": {}}]},
    },
    {
        "type": "message",
        "id": "e3",
        "parentId": "e2",
        "timestamp": AT % 3,
        "message": {"role": "toolResult", "toolCallId": "c", "toolName": "ls", "content": "a.py"},
    },
    {
        "type": "message",
        "id": "e4",
        "parentId": "e1",
        "timestamp": AT % 4,
        "message": {"role": "user", "content": "no"},
    },
]
ROWS = {**LINES, "claude_code": CLAUDE, "pi": PI}


def as_lines(rows: Sequence[Any], end: str = "\n") -> bytes:
    """Rows as JSON Lines, not escaped."""
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode()


def inputs(journal: Journal) -> dict[str, list[tuple[Any, ...]]]:
    """The inputs of all sessions, as they stand in the log."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in journal.log.read_all():
        if row.kind == "input" and row.data.TYPE != "prompt_rendered":
            said = (row.idempotency_key, row.data.TYPE, row.turn, row.at_us, row.data)
            found.setdefault(row.session_id, []).append(said)
    return found


def imported(tmp_path: Path, data: bytes, settings: ReplaySettings = AS_RECORDED) -> dict[str, list[tuple[Any, ...]]]:
    """The inputs that an import of a file makes."""
    path = tmp_path / "whole.jsonl"
    path.write_bytes(data)
    with Journal.open("memory:", seed=1) as journal:
        replay(journal, path, settings)
        return inputs(journal)


@pytest.fixture
def live(tmp_path: Path) -> Path:
    """A file that grows."""
    return tmp_path / "live.jsonl"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal in a file, whose salts depend on its content alone."""
    with Journal.open(tmp_path / "j.db", seed=1) as found:
        yield found


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


def test_many_processes(tmp_path: Path, live: Path) -> None:
    """Several processes that follow one file at once record it once."""
    live.write_bytes(as_lines(CLAUDE))
    command = [
        sys.executable,
        "-m",
        "clawvm_es",
        "follow",
        str(live),
        "-j",
        str(tmp_path / "j.db"),
        "--final",
        "--counter",
        "lines4",
    ]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(3)]
    assert [(each.communicate()[0], each.returncode)[1] for each in running] == [0, 0, 0]
    whole = imported(tmp_path, as_lines(CLAUDE))
    with Journal.open(tmp_path / "j.db") as journal:
        assert {name: [said[:4] for said in all_said] for name, all_said in inputs(journal).items()} == {
            name: [said[:4] for said in all_said] for name, all_said in whole.items()
        }


def test_two_writers_meet(tmp_path: Path, live: Path) -> None:
    """A handle that another one overtook goes on: what it gives again is what was recorded, under other salts."""
    with Journal.open(tmp_path / "j.db") as one, Journal.open(tmp_path / "j.db") as other:
        with Follower(one, [live]) as first, Follower(other, [live]) as second:
            for number in range(1, len(CLAUDE) + 1):
                live.write_bytes(as_lines(CLAUDE[:number]))
                for each in (first, second) if number % 3 else (second,):
                    assert not each.once().refused
        follow(one, live, final=True)
        found = {name: [said[0] for said in all_said] for name, all_said in inputs(one).items()}
    whole = imported(tmp_path, as_lines(CLAUDE))
    assert found == {name: [said[0] for said in all_said] for name, all_said in whole.items()}


def test_two_writers_begin_a_session_at_once(tmp_path: Path) -> None:
    """Both look before either begins: the second one finds the folder of the first under another salt."""
    recording, *_ = read_bytes(as_lines(CLAUDE), "live")
    names = {recording.session_id: recording.session_id}
    with Journal.open(tmp_path / "j.db") as one, Journal.open(tmp_path / "j.db") as other:
        found = [(each, target(each, recording, names, AS_RECORDED)) for each in (one, other)]
        for each, into in found:
            with Given.open(each, recording, into, AS_RECORDED, Place("claude_code", None)) as given:
                given.give(recording.steps, Place("claude_code", None))
        assert len(inputs(one)) == 1


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "no cache"])
def test_rewritten_files_change_nothing(tmp_path: Path, live: Path, journal: Journal, cached: bool) -> None:
    """LAW-FOLLOW-2: a file that says something else, or ends too early, is refused by line; a new name takes it."""
    changed = [*CLAUDE]
    changed[3] = claude(3, "user", result("t1", "gamma = 3"))
    for rows, line in ((changed, 4), ([claude(0, "user", "Another."), *CLAUDE[1:]], 1), (CLAUDE[:4], 5)):
        live.write_bytes(as_lines(CLAUDE))
        follow(journal, live)
        before = inputs(journal)
        live.write_bytes(as_lines(rows))
        if not cached:
            for kept in (tmp_path / f"j.db{FOLLOWED}").iterdir():
                kept.unlink()
        with pytest.raises(UsageError, match=f"this file was rewritten at line {line}"):
            follow(journal, live)
        assert inputs(journal) == before
    beside = follow(journal, live, ReplaySettings(name="again", as_recorded=True), final=True)
    assert beside.appended and {each.session_id for each in beside.taken} == {"again"}


def test_a_file_that_grows_while_it_is_read_is_not_taken_for_a_cut_one(live: Path, journal: Journal) -> None:
    """Another process has recorded more than this one has read: the next pass reads the rest, nothing is refused."""
    live.write_bytes(as_lines(CLAUDE))
    follow(journal, live)
    before = inputs(journal)

    class Growing(Follower):
        grown = False

        def _drain(self, *given: Any, **named: Any) -> None:
            if not self.grown:
                live.write_bytes(as_lines(CLAUDE))
            self.grown = True
            super()._drain(*given, **named)

    live.write_bytes(as_lines(CLAUDE[:4]))
    with Growing(journal, [live]) as follower:
        assert not follower.once().refused
        assert not follower.once().refused and follower.once().unchanged == 1
    assert inputs(journal) == before


def test_a_file_with_another_session_in_its_place(live: Path, journal: Journal) -> None:
    """A path that another session's file takes gives that session; the first is left as it is."""
    live.write_bytes(as_lines(CLAUDE))
    follow(journal, live)
    before = inputs(journal)["s1"]
    live.write_bytes(as_lines(PI))
    assert follow(journal, live, final=True).appended
    assert inputs(journal)["s1"] == before and "s2" in inputs(journal)


def test_a_damaged_cache_costs_time_alone(tmp_path: Path, live: Path, journal: Journal) -> None:
    """LAW-KEPT-1: whatever stands in the cache, what is followed is the same; it is for its owner only."""
    whole = imported(tmp_path, as_lines(CLAUDE))
    folder, chance = tmp_path / f"j.db{FOLLOWED}", random.Random(3)
    for number in range(1, len(CLAUDE) + 1):
        live.write_bytes(as_lines(CLAUDE[:number]))
        follow(journal, live)
        (kept,) = folder.iterdir()
        assert kept.stat().st_mode & 0o777 == 0o600
        bad = bytearray(kept.read_bytes())
        bad[chance.randrange(len(bad))] ^= 0xFF
        kept.write_bytes([bytes(bad), b"", bytes(bad[: len(bad) // 2])][number % 3])
    follow(journal, live, final=True)
    assert inputs(journal) == whole


@pytest.mark.parametrize("length", [len(CLAUDE) - 1, len(CLAUDE)])
def test_what_was_kept_for_another_journal_at_the_same_place_is_made_again(
    tmp_path: Path, live: Path, length: int
) -> None:
    """Where the log does not hold what the cache says was given, the file is read from its beginning."""
    live.write_bytes(as_lines(CLAUDE[:length]))
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        assert follow(journal, live, final=length == len(CLAUDE)).appended > 0
    (tmp_path / "j.db").unlink()
    live.write_bytes(as_lines(CLAUDE)) if length < len(CLAUDE) else None
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        assert follow(journal, live, final=True).appended > 0
        assert inputs(journal) == imported(tmp_path, as_lines(CLAUDE))


@pytest.mark.parametrize("package", [clawvm_es.importers, clawvm_es.observe])
def test_what_another_program_kept_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: Any
) -> None:
    """A state goes with the code that made it: where an importer or a rule of observing changed, it is not loaded."""
    cache = kept.Kept(tmp_path / "cache", "way")
    cache.save("s.jsonl", Place("claude_code", None))
    assert cache.load("s.jsonl") == Place("claude_code", None)
    changed = shutil.copytree(package.__path__[0], tmp_path / "changed")
    (changed / "new.py").write_text("VALUE = 1\n")
    monkeypatch.setattr(package, "__path__", [str(changed)])
    monkeypatch.setattr(kept, "made_by", kept.made_by.__wrapped__)
    assert cache.load("s.jsonl") is None


def test_a_cache_makes_no_other_objects() -> None:
    """A state in the cache calls nothing: only plain values, attrs classes and enums of its packages are made."""
    for bad in (os.system, subprocess.Popen, print):
        with pytest.raises(pickle.UnpicklingError):
            _Loader(io.BytesIO(pickle.dumps(bad))).load()


def test_a_half_packed_file_is_refused_until_it_is_whole(tmp_path: Path, journal: Journal) -> None:
    """A packed file that is being written is named once, and taken when it is whole."""
    path, packed = tmp_path / "s.jsonl.gz", gzip.compress(as_lines(CLAUDE))
    path.write_bytes(packed[: len(packed) // 2])
    with Follower(journal, [path]) as follower:
        assert list(follower.once().refused) == [str(path)]
        assert not follower.once().refused
        path.write_bytes(packed)
        assert follower.once().appended


@pytest.mark.parametrize("first", [[], [{"type": "session", "version": 3, "id": 7}], ["torn"]])
def test_a_whole_file_that_names_no_session_is_named_as_in_an_import(tmp_path: Path, first: list[object]) -> None:
    """By its content, with `final`; before, its rows may still come, so nothing is taken."""
    said = [("user", [{"type": "text", "text": "hello"}]), ("assistant", [{"type": "text", "text": "hi"}])]
    rows = [
        {
            "type": "message",
            "id": f"a{n}",
            "parentId": f"a{n - 1}" if n else None,
            "message": {"role": role, "content": c},
        }
        for n, (role, c) in enumerate(said)
    ]
    path = tmp_path / "pi.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*first, *rows]))
    with Journal.open(tmp_path / "i.db", seed=1) as whole, Journal.open(tmp_path / "f.db", seed=1) as journal:
        (imported,) = replay(whole, path, AS_RECORDED)
        assert follow(journal, path).taken == ()
        assert follow(journal, path, final=True).taken[0].session_id == imported.session_id
        assert follow(journal, path, final=True).appended == 0
        found = [
            [(row.idempotency_key, row.raw) for row in each.log.read(imported.session_id)]
            for each in (whole, journal)
        ]
        assert found[0] == found[1] and len(found[0]) > 5


def test_a_folder_is_watched(tmp_path: Path, journal: Journal) -> None:
    """New files of a folder are found, and what is no recording is named once; an unchanged file is not read."""
    folder = tmp_path / "sessions"
    (folder / "deep").mkdir(parents=True)
    with Follower(journal, [folder]) as follower:
        assert follower.once().appended == 0
        (folder / "a.jsonl").write_bytes(as_lines(CLAUDE))
        (folder / "deep" / "b.jsonl").write_bytes(as_lines(PI))
        (folder / "package.json").write_bytes(b'{"name": "x"}')
        (folder / "notes.txt").write_bytes(b"no recording")
        found = follower.once()
        assert {each.session_id for each in found.taken if each.appended} == {"s1", "s1/agent-a1", "s2"}
        assert list(found.refused) == [str(folder / "package.json")]
        assert follower.once().unchanged == 3
    (folder / "package.json").unlink()
    assert follow(journal, folder).unchanged == 2


def test_read_models_follow_where_one_file_of_several_went_on(tmp_path: Path) -> None:
    """A pass that added anything at all brings them to the end of the log, also where other files gave nothing."""
    place, folder = tmp_path / "j.db", tmp_path / "sessions"
    folder.mkdir()
    with Journal.open(place, seed=1) as journal, Follower(journal, [folder]) as follower:
        for rows, noise in ((CLAUDE[:-1], b""), (CLAUDE, b"{}\n")):
            (folder / "a.jsonl").write_bytes(as_lines(rows))
            (folder / "b.jsonl").write_bytes(as_lines(PI) + noise)
            found = follower.once()
        assert {each.appended > 0 for each in found.taken} == {True, False}
        with closing(sqlite3.connect(place)) as db:
            assert db.execute("SELECT seq - (SELECT max(seq) FROM events) FROM projections").fetchall() == [(0,)]


def test_a_file_that_cannot_be_looked_at_stops_no_other(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of this program in one file, and a folder that may not be read, leave the other files as they are."""
    folder = tmp_path / "sessions"
    (folder / "secret").mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(as_lines(CLAUDE))
    (folder / "b.jsonl").write_bytes(as_lines(PI))
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    take = Follower._take
    faulty = str(folder / "a.jsonl")
    monkeypatch.setattr(
        Follower, "_take", lambda self, path, stamp: 1 / 0 if path == faulty else take(self, path, stamp)
    )
    found = follow(journal, folder)
    assert list(found.faults) == [faulty] and [each.session_id for each in found.taken] == ["s2"]
    assert [error.message for error in found.refused.values()] == [f"{folder / 'secret'}: cannot be read"]


def test_a_path_that_leads_nowhere_is_named_once(tmp_path: Path, live: Path, journal: Journal) -> None:
    """A path without a file is told once, and again after it was there; the paths beside it are taken."""
    live.write_bytes(as_lines(CLAUDE))
    later = tmp_path / "later.jsonl"
    with Follower(journal, [later, live]) as follower:
        first = follower.once()
        assert [error.message for error in first.refused.values()] == [f"{later}: no such file or folder"]
        assert first.appended and not follower.once().refused
        later.write_bytes(as_lines(PI))
        assert follower.once().appended
        later.unlink()
        assert list(follower.once().refused) == [str(later)]


def test_whole_sessions_in_one_text_are_read_again_or_refused(tmp_path: Path, journal: Journal) -> None:
    """A file that is one JSON text is read again when it changed; one without a name of its own waits for `final`."""
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    path = tmp_path / "chat.json"
    path.write_text(json.dumps({"messages": chat}))
    with pytest.raises(UnreadableInput, match="cannot be followed"):
        follow(journal, path)
    assert follow(journal, path, final=True).appended
    assert follow(journal, tmp_path / "chat.json", final=True).unchanged == 1


def of_documents(traces: Path) -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    """Recorded files of one JSON text, each with the texts that it was before."""
    for path in sorted((traces / "gemini").glob("*.json")):
        whole = json.loads(path.read_bytes())
        sizes = range(1, len(whole["messages"]))
        yield path.name, whole, [{**whole, "messages": whole["messages"][:n]} for n in sizes]
    for path in sorted((traces / "sweagent").glob("*.traj")):
        whole = json.loads(path.read_bytes())
        sizes = range(2, len(whole["history"]))
        yield path.name, whole, [{**whole, "history": whole["history"][:n]} for n in sizes]
    for path in sorted((traces / "openhands").glob("*.jsonl")):
        for line in path.read_bytes().splitlines()[:1]:
            whole = json.loads(line)
            sizes = range(3, len(whole["history"]), 5)
            yield path.name, whole, [{**whole, "history": whole["history"][:n]} for n in sizes]


def test_law_of_files_that_are_read_again(traces: Path) -> None:
    """LAW-FOLLOW-1: what is settled of an earlier text of a document is the beginning of what the whole gives."""
    for name, whole, earlier in of_documents(traces):
        steps = {each.session_id: each.steps for each in read_bytes(json.dumps(whole).encode(), name)}
        for number, text in enumerate(earlier):
            for recording in read_bytes(json.dumps(text).encode(), name):
                found = tuple(settled(recording.steps))
                if any(isinstance(step, ModelMessage) for step in found):
                    assert found == steps[recording.session_id][: len(found)], (name, number)


def test_a_document_that_grows(tmp_path: Path, journal: Journal) -> None:
    """A document is read again when it has changed, and makes the inputs of its import."""
    path, whole = tmp_path / "session.json", {"sessionId": "g", "projectHash": "h", "startTime": AT % 0}
    said = [{"id": f"u{n}", "type": "user", "timestamp": AT % n, "content": f"message {n}"} for n in range(4)]
    told = [{"id": f"m{n}", "type": "gemini", "timestamp": AT % n, "content": f"answer {n}"} for n in range(4)]
    messages = [each for pair in zip(said, told, strict=True) for each in pair]
    for number in range(len(messages) + 1):
        path.write_text(json.dumps({**whole, "messages": messages[:number]}))
        follow(journal, path)
    follow(journal, path, final=True)
    assert inputs(journal) == imported(tmp_path, path.read_bytes())


def test_a_document_of_several_sessions(tmp_path: Path, journal: Journal) -> None:
    """A session of a document whose first answer may still change waits; those after it are taken."""
    path = tmp_path / "sessions.json"

    def session(name: str, answers: int) -> dict[str, Any]:
        said = [{"role": "user", "content": name}, {"role": "assistant", "content": "an answer"}]
        return {"history": [{"role": "system", "content": "Be brief."}, *said * answers], "trajectory": []}

    path.write_text(json.dumps([session("first", 1), session("second", 2)]))
    assert len(follow(journal, path).taken) == 1
    path.write_text(json.dumps([session("first", 2), session("second", 2)]))
    assert len(follow(journal, path).taken) == 2


@pytest.mark.parametrize("kind", ["user", "gemini"])
def test_a_document_that_was_rewritten(tmp_path: Path, journal: Journal, kind: str) -> None:
    """LAW-FOLLOW-2: a document with another prompt or answer than was taken is refused; its session stays."""
    path, whole = tmp_path / "session.json", {"sessionId": "g", "projectHash": "h", "startTime": AT % 0}
    said = [
        {"id": f"{each}{n}", "type": each, "timestamp": AT % n, "content": f"{each} says {n}"}
        for n in range(3)
        for each in ("user", "gemini")
    ]
    path.write_text(json.dumps({**whole, "messages": said}))
    follow(journal, path)
    before = inputs(journal)
    changed = [{**each, "content": "something else"} if each["id"] == f"{kind}1" else each for each in said]
    path.write_text(json.dumps({**whole, "messages": changed}))
    with pytest.raises(UsageError, match="this file was rewritten"):
        follow(journal, path)
    assert inputs(journal) == before


def test_a_trace_of_ours_that_grows(tmp_path: Path, live: Path, journal: Journal) -> None:
    """A `clawvm-trace` is read again, without the line that is being written."""
    live.write_bytes(as_lines(CLAUDE))
    follow(journal, live, final=True)
    data = "".join(export_trace(journal.log, "s1")).encode()
    path = tmp_path / "s1.trace.jsonl"
    with Journal.open(tmp_path / "again.db", seed=1) as again:
        for end in (data.index(b"\n", data.index(b"session_opened")) + 1, len(data) // 2, len(data)):
            path.write_bytes(data[:end])
            assert not follow(again, path).refused
        assert [said[1:4] for said in inputs(again)["s1"]] == [said[1:4] for said in inputs(journal)["s1"]]


def test_no_credential_is_kept(tmp_path: Path, live: Path) -> None:
    """Where the journal hides credentials, none stands in what is kept of a file; following goes on without."""
    secret = "ghp_" + "a1B2" * 9
    rows = [CLAUDE[0], claude(1, "assistant", [{"type": "text", "text": f"It is {secret}."}], id="m1", usage=USAGE)]
    with Journal.open(tmp_path / "j.db", hide_secrets=True) as journal:
        for number in (1, 2):
            live.write_bytes(as_lines(rows[:number]))
            follow(journal, live)
        (kept,) = (tmp_path / f"j.db{FOLLOWED}").iterdir()
        assert secret.encode() not in kept.read_bytes()
        live.write_bytes(as_lines([*rows, claude(2, "user", "Thanks.")]))
        assert follow(journal, live).appended
        assert not any(secret.encode() in path.read_bytes() for path in tmp_path.rglob("j.db*") if path.is_file())


def test_an_erasure_takes_what_is_kept(tmp_path: Path, live: Path, journal: Journal) -> None:
    """What is kept of followed files may hold texts: an erasure removes it."""
    live.write_bytes(as_lines(CLAUDE))
    follow(journal, live)
    assert any((tmp_path / f"j.db{FOLLOWED}").iterdir())
    assert redact(journal.log, Target("s1", page_id="p1"), at_us=1).status == "erased"
    assert not (tmp_path / f"j.db{FOLLOWED}").exists()
    assert follow(journal, live).appended == 0


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


def test_a_session_that_another_process_began_under_other_settings_is_no_one_s_to_go_on_with(tmp_path: Path) -> None:
    """Both look before either begins: the second one finds another budget under the key of the opening."""
    recording, *_ = read_bytes(as_lines(CLAUDE), "live")
    names = {recording.session_id: recording.session_id}
    place = Place("claude_code", None)
    with Journal.open(tmp_path / "j.db") as one, Journal.open(tmp_path / "j.db") as other:
        settings = [ReplaySettings(budget_tokens=budget, counter="lines4") for budget in (4000, 5000)]
        targets = [target(one, recording, names, each) for each in settings]
        Given.open(one, recording, targets[0], settings[0], place).close()
        head = one.log.head(recording.session_id)
        with pytest.raises(Differs) as told:
            Given.open(other, recording, targets[1], settings[1], Place("claude_code", None))
        assert (told.value.session_id, told.value.step, told.value.line) == (recording.session_id, None, 1)
        assert (told.value.recorded_id, told.value.linked) == (recording.session_id, False)
        assert one.log.head(recording.session_id) == head and place.given == {recording.session_id: 1}


def test_an_aside_that_is_told_less_of_records_nothing(live: Path, journal: Journal) -> None:
    """Beside a session that stands there whole; both stay as they were."""
    aside = {"isSidechain": True, "agentId": "a1"}
    said = (("user", "Aside."), ("assistant", [{"type": "text", "text": "Yes."}]), ("user", "Go on."))
    rows = [*CLAUDE, *({**claude(second, *each), **aside} for second, each in enumerate(said, 7))]
    live.write_bytes(as_lines(rows))
    follow(journal, live, final=True)
    before = inputs(journal)
    assert len(before) == 2
    live.write_bytes(as_lines(rows[:-2]))
    assert not follow(journal, live, final=True).appended
    assert inputs(journal) == before


def test_a_document_without_one_whole_line_is_refused_for_what_it_is(tmp_path: Path, journal: Journal) -> None:
    """It is not read as the empty file that is left of it without its last line: its own fault is told."""
    path = tmp_path / "session.traj"
    path.write_bytes(b'{"history": [')
    with pytest.raises(UnreadableInput, match=r"is not JSON: .*char 13"):
        Follower(journal, [path])._read_again(str(path), "sweagent")


def test_a_session_that_others_also_write_is_taken_from_where_its_file_was_left(live: Path, journal: Journal) -> None:
    """An import of a session that hooks report adds what its file has more, tells of it, and adds nothing twice."""
    live.write_bytes(as_lines(CLAUDE[:4]))
    follow(journal, live, final=True)
    with journal.session("s1") as session:
        session.execute(Command(BoundaryReached(Boundary.SAVE, Trigger.CALLER), 1, idempotency_key=LIVE))
    live.write_bytes(as_lines(CLAUDE))
    taken = {each.session_id: each.appended for each in replay(journal, live, AS_RECORDED)}
    assert taken.keys() == {"s1", "s1/agent-a1"} and all(taken.values())
    calls = [data for _, kind, _, _, data in inputs(journal)["s1"] if kind == "tool_called"]
    assert len(calls) == 3
    assert not sum(each.appended for each in replay(journal, live, AS_RECORDED, again=True))


GEMINI = {"id": "u1", "type": "user", "timestamp": AT % 1, "content": "hello"}


def test_sessions_are_let_go_of_with_their_files(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower holds the sessions of the files that grew last, and none once it is closed or a file went away."""
    held: set[str] = set()
    opened, close = Given.open.__func__, Given.close  # type: ignore[attr-defined]

    def noted(cls: type[Given], *arguments: Any) -> Given:
        found: Given = opened(cls, *arguments)
        held.add(found.session_id)
        return found

    def let_go(given: Given) -> None:
        held.discard(given.session_id)
        close(given)

    monkeypatch.setattr(Given, "open", classmethod(noted))
    monkeypatch.setattr(Given, "close", let_go)
    with Follower(journal, [tmp_path / "sessions"]) as follower:
        for number in range(1, OPEN_FILES + 3):
            path = tmp_path / "sessions" / f"{number}.jsonl"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(as_lines([{**row, "sessionId": f"s{number}"} for row in CLAUDE[:6]]))
            assert follower.once().appended
            assert held == {f"s{each}" for each in range(max(1, number - OPEN_FILES + 1), number + 1)}
        path.write_bytes(b"no recording any more\n" * 99)
        assert follower.once().refused and f"s{number}" not in held and len(held) == OPEN_FILES - 1
    assert not held
    document = {"sessionId": "g", "projectHash": "h", "startTime": AT % 0, "messages": [GEMINI]}
    (tmp_path / "document.json").write_text(json.dumps(document))
    assert follow(journal, tmp_path / "document.json", final=True).appended and not held


@pytest.mark.parametrize("blank", [b"", b"\n" * (LOOKED_AT + 1), b" \r\n" * 9], ids=["nothing", "ends", "blanks"])
@pytest.mark.parametrize("format_", [None, *TABLE])
def test_a_blank_file_is_refused_or_waited_for(
    live: Path, journal: Journal, format_: str | None, blank: bytes
) -> None:
    """A file without a word is no session of any format; one whose format is not told may still become one."""
    live.write_bytes(blank)
    with pytest.raises(UnreadableInput, match="is empty"):
        replay(journal, live, format=format_)
    if format_ is None:
        assert not follow(journal, live).taken and not follow(journal, live, final=True).refused
    else:
        with pytest.raises(UnreadableInput, match="is empty"):
            follow(journal, live, format=format_, final=True)


def test_an_unknown_format_is_refused_before_anything_is_read(live: Path, journal: Journal) -> None:
    """The formats that there are are named."""
    with pytest.raises(UsageError, match="unknown format 'telex'") as caught:
        Follower(journal, [live], format="telex")
    assert all(name in str(caught.value) for name in TABLE)


def test_a_file_that_cannot_be_opened_is_refused_by_its_name(
    tmp_path: Path, live: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the system is one line that says what to do; the other files are taken."""
    other = tmp_path / "other.jsonl"
    live.write_bytes(as_lines(CLAUDE))
    other.write_bytes(as_lines(PI))

    def denied(path: str) -> Any:
        if path == str(live):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return open_text(path)

    open_text = following.open_text
    monkeypatch.setattr(following, "open_text", denied)
    with Follower(journal, [live, other]) as follower:
        found = follower.once()
        assert {path: str(error) for path, error in found.refused.items()} == {
            str(live): f"{live}: Permission denied (check its permissions)"
        }
        assert {each.session_id for each in found.taken} == {"s2"}
        monkeypatch.setattr(following, "open_text", open_text)
        assert not follower.once().refused


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


def test_a_file_of_one_session_that_gets_another_is_refused_under_one_name(live: Path, journal: Journal) -> None:
    """A name for one session stands for no second one; without it both are taken."""
    first, second = [({**row, "sessionId": name}) for name in ("s1", "s8") for row in CLAUDE[:1]]
    settings = ReplaySettings(as_recorded=True, name="mine")
    with Follower(journal, [live], settings) as follower:
        live.write_bytes(as_lines([first]))
        assert {each.session_id for each in follower.once().taken} == {"mine"}
        live.write_bytes(as_lines([first, {**second, "uuid": "u8", "parentUuid": None}]))
        (error,) = follower.once().refused.values()
        assert "holds several sessions" in str(error) and "--as" in str(error)
    assert set(inputs(journal)) == {"mine"}


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


TODO = [{"content": "ship", "status": "in_progress", "activeForm": "shipping"}]


def test_where_nothing_can_be_kept_all_is_read_again(tmp_path: Path, live: Path) -> None:
    """A folder that cannot be made costs time alone."""
    (tmp_path / f"j.db{FOLLOWED}").write_text("in the way")
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        for number in (4, len(CLAUDE)):
            live.write_bytes(as_lines(CLAUDE[:number]))
            assert not follow(journal, live).refused
        follow(journal, live, final=True)
        assert inputs(journal) == imported(tmp_path, as_lines(CLAUDE))


@pytest.mark.parametrize("times", [0, 1, limits.RETRIES - 1, limits.RETRIES])
def test_steps_that_another_writer_overtakes_are_made_again_so_many_times(
    tmp_path: Path, live: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Each time they are observed on what the session then is; a writer that is always faster is an error at last."""
    give, tried = Given._give_new, list[int]()

    def overtaken(given: Given, steps: Sequence[RecordedStep], place: Place) -> int:
        tried.append(given.number)
        if len(tried) <= times:
            raise VersionConflict("session s1: another writer was faster")
        return give(given, steps, place)

    monkeypatch.setattr(Given, "_give_new", overtaken)
    live.write_bytes(as_lines(CLAUDE[:6]))
    if times < limits.RETRIES:
        follow(journal, live, final=True)
        monkeypatch.setattr(Given, "_give_new", give)
        assert inputs(journal) == imported(tmp_path, live.read_bytes())
    else:
        with pytest.raises(VersionConflict):
            follow(journal, live, final=True)
        assert len(tried) == limits.RETRIES


def test_what_others_write_between_two_looks_is_known_at_the_next(tmp_path: Path, live: Path) -> None:
    """A follower that stays open records what one that is opened anew each time records."""
    found = []
    for stays in (True, False):
        with (
            Journal.open(tmp_path / f"{stays}.db", seed=1, clock=lambda: 5) as journal,
            Follower(journal, [live]) as follower,
        ):
            for number in range(3, len(CLAUDE) + 1):
                live.write_bytes(as_lines(CLAUDE[:number]))
                assert not (follower.once() if stays else follow(journal, live)).refused
                journal.session("s1").user_says(f"beside it {number}", key=f"beside {number}")
            follow(journal, live, final=True)
            found.append(inputs(journal))
            assert len(journal.session("s1").state.pages) > len(CLAUDE)
    assert found[0] == found[1]
