"""Long files of lines are read line by line: the same recordings, in memory that does not grow with the files."""

from __future__ import annotations

import errno
import io
import json
import os
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest

from clawvm_es import limits
from clawvm_es.core.profiles import CLAWVM
from clawvm_es.engine.journal import Journal
from clawvm_es.history.whatif import Setting, whatif
from clawvm_es.importers import claude_code, codex, pi, read
from clawvm_es.importers.following import follow
from clawvm_es.importers.format import Format
from clawvm_es.importers.replay import ReplaySettings, replay, replay_file
from clawvm_es.importers.spool import Spooled
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.vault import Bodies

SETTINGS = ReplaySettings(counter="lines4", as_recorded=True)
RESULT_CHARS = 24_000


def _pi(steps: int, chars: int = RESULT_CHARS) -> Iterator[object]:
    yield {"type": "session", "version": 3, "id": "s", "timestamp": "2026-01-01T00:00:00Z", "cwd": "/w"}
    for n in range(steps):
        call = {"type": "toolCall", "id": f"c{n}", "name": "read", "arguments": {"path": f"/w/{n}.txt"}}
        said = {"role": "assistant", "content": [call], "usage": {"input": 1, "output": 1}}
        got = {"role": "toolResult", "toolCallId": f"c{n}", "toolName": "read", "isError": False}
        yield {"type": "message", "id": f"a{n}", "parentId": f"r{n - 1}" if n else None, "message": said}
        yield {
            "type": "message",
            "id": f"r{n}",
            "parentId": f"a{n}",
            "message": {**got, "content": _words(n)[:chars]},
        }


def _claude(steps: int) -> Iterator[object]:
    base = {"sessionId": "s", "cwd": "/w", "timestamp": "2026-01-01T00:00:00Z"}
    for n in range(steps):
        call = {"type": "tool_use", "id": f"c{n}", "name": "Read", "input": {"file_path": f"/w/{n}.txt"}}
        got = {"type": "tool_result", "tool_use_id": f"c{n}", "content": _words(n)}
        said = {"id": f"m{n}", "role": "assistant", "content": [call], "usage": {"input_tokens": 1}}
        parent = f"r{n - 1}" if n else None
        yield {**base, "type": "assistant", "uuid": f"a{n}", "parentUuid": parent, "message": said}
        heard = {"role": "user", "content": [got]}
        yield {**base, "type": "user", "uuid": f"r{n}", "parentUuid": f"a{n}", "message": heard}


def _codex(steps: int) -> Iterator[object]:
    yield {"timestamp": "2026-01-01T00:00:00Z", "type": "session_meta", "payload": {"id": "s", "cwd": "/w"}}
    for n in range(steps):
        call = {"type": "function_call", "call_id": f"c{n}", "name": "shell", "arguments": f'{{"command":"cat {n}"}}'}
        got = {"type": "function_call_output", "call_id": f"c{n}", "output": _words(n)}
        for item in (call, got):
            yield {"timestamp": "2026-01-01T00:00:01Z", "type": "response_item", "payload": item}


def _words(n: int) -> str:
    dice = Random(n)
    return "\n".join(f"{dice.getrandbits(200):x}" for _ in range(RESULT_CHARS // 51))


def _written(path: Path, rows: Iterator[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that short files pass."""
    monkeypatch.setattr(limits, "STEPS_AT_HAND_BYTES", 1 << 17)
    monkeypatch.setattr(limits, "NEED_TEXT_CHARS", 1 << 17)
    monkeypatch.setattr(limits, "IMPORT_BATCH", 16)
    monkeypatch.setattr(limits, "TEXTS_AT_HAND", 8)


@pytest.mark.parametrize(
    ("format_", "rows"), [(pi.FORMAT, _pi), (claude_code.FORMAT, _claude), (codex.FORMAT, _codex)]
)
@pytest.mark.parametrize("end", ["", "\n\n", '{"type": "mess'])
def test_a_long_file_gives_what_its_bytes_give(
    tmp_path: Path, small: None, format_: Format, rows: Callable[[int], Iterator[object]], end: str
) -> None:
    """LAW-STREAM-1, LAW-SPOOL-1: steps and counts are those of all bytes read at once, broken last line or not."""
    path = _written(tmp_path / "long.jsonl", rows(24))
    path.write_text(path.read_text() + end)
    (streamed,), (whole,) = read(path), format_.parse(path.read_bytes(), str(path))
    assert isinstance(streamed.steps, Spooled)
    assert tuple(streamed.steps) == tuple(streamed.steps) == tuple(whole.steps)
    assert [streamed.steps[n] for n in range(-1, len(whole.steps))] == [whole.steps[-1], *whole.steps]
    assert streamed.steps[3:9] == tuple(whole.steps)[3:9]
    for field in ("session_id", "began_us", "skipped", "skipped_lines", "cwd", "turns", "tool_calls"):
        assert getattr(streamed, field) == getattr(whole, field)


def test_a_full_disk_for_steps_is_told_with_its_folder(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that cannot be put by end the import with the folder that is full, on one line."""

    class Full(io.RawIOBase):
        def seekable(self) -> bool:
            return True

        def seek(self, *at: int) -> int:
            return 0

        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: Full())
    with pytest.raises(OSError, match=r"No space left on device; .*TMPDIR") as caught:
        read(_written(tmp_path / "long.jsonl", _pi(24)))
    assert caught.value.filename == tempfile.gettempdir()


def test_what_is_appended_while_a_file_is_read_is_left(tmp_path: Path, small: None) -> None:
    """A file is read as it was when the reading began: a row that is being appended is no broken line of it."""
    from clawvm_es.importers.streaming import lines_of

    path = _written(tmp_path / "growing.jsonl", _pi(4))
    before = path.read_bytes()
    with open(path, "rb") as file:
        lines = lines_of(file)
        first = next(lines)
        with open(path, "ab") as other:
            other.write(b'{"type": "mess')
        found = [first, *lines]
    assert b"".join(line.raw + b"\n" for line in found) == before
    assert all(line.whole for line in found) and found[-1].end == len(before)


def test_a_file_without_a_session_id_is_named_by_its_whole_content(tmp_path: Path, small: None) -> None:
    """A long file whose rows name no session is read whole, since its name is a digest of all of it."""
    path = _written(tmp_path / "unnamed.jsonl", (row for n, row in enumerate(_pi(24)) if n))
    (found,), (whole,) = read(path), pi.parse(path.read_bytes(), str(path))
    assert found.session_id == whole.session_id != ""


def _peaks(take: Callable[[Path], object], paths: Sequence[Path]) -> list[int]:
    """The largest memory while each file is taken."""
    found: list[int] = []
    tracemalloc.start()
    try:
        for path in paths:
            tracemalloc.reset_peak()
            take(path)
            found.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    return found


@pytest.mark.parametrize("rows", [_pi, _claude, _codex])
def test_reading_twice_the_file_takes_the_same_memory(
    tmp_path: Path, small: None, rows: Callable[[int], Iterator[object]]
) -> None:
    """Reading a file of twice the size takes at most 15 % more memory at its peak."""
    paths = [_written(tmp_path / f"{steps}.jsonl", rows(steps)) for steps in (8, 40, 80)]
    _, one, two = _peaks(read, paths)
    assert two <= 1.15 * one


def test_an_import_of_twice_the_file_adds_state_and_no_texts(tmp_path: Path, small: None) -> None:
    """The peak of an import grows by what the engine knows of a step: less than its text, once."""

    def take(path: Path) -> None:
        with Journal.open(f"{path}.db", seed=1) as journal:
            (done,) = replay_file(journal, path, SETTINGS)
        assert done.appended > 2 * int(path.stem)

    paths = [_written(tmp_path / f"{steps}.jsonl", _pi(steps)) for steps in (8, 30, 60)]
    _, one, two = _peaks(take, paths)
    assert two - one <= 30 * RESULT_CHARS


def test_what_if_of_twice_the_session_holds_no_events(tmp_path: Path, small: None) -> None:
    """The peak of a comparison grows by less than the events of the session take: by the folded state alone."""
    paths = [_written(tmp_path / f"{steps}.jsonl", _pi(steps, chars=200)) for steps in (8, 50, 100)]
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        for path in paths:
            replay_file(journal, path, attrs.evolve(SETTINGS, name=path.stem))
        peaks = _peaks(lambda path: whatif(journal.log, path.stem, [Setting(CLAWVM, 2_000)]), paths)
        held = _peaks(lambda path: tuple(read_session(journal.log, path.stem)), paths)
    assert peaks[2] - peaks[1] < held[2] - held[1]


@pytest.mark.parametrize("follows", [False, True])
def test_a_transaction_is_bounded_by_the_bytes_of_its_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follows: bool
) -> None:
    """An import commits as soon as the texts of its commands fill a batch, and its events are the same."""
    path = _written(tmp_path / "long.jsonl", _pi(24))
    found, held, keep = [], list[int](), Bodies.keep

    def kept(bodies: Bodies, *of: Any, **by: Any) -> str:
        name = keep(bodies, *of, **by)
        held[-1] = max(held[-1], bodies.held_bytes)
        return name

    monkeypatch.setattr(Bodies, "keep", kept)
    for most in (limits.IMPORT_BATCH_BYTES, 2 * RESULT_CHARS):
        monkeypatch.setattr(limits, "IMPORT_BATCH_BYTES", most)
        held.append(0)
        with Journal.open(tmp_path / f"{most}.db", seed=1) as journal:
            follow(journal, path, SETTINGS, final=True) if follows else replay(journal, path, SETTINGS)
            found.append([(row.type, row.raw) for row in read_session(journal.log, "s")])
            assert journal.log.vault("s").held_bytes() == 0
    assert found[0] == found[1] and held[0] > 20 * RESULT_CHARS > 5 * RESULT_CHARS > held[1]
