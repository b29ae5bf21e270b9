"""The spool's script as a harness runs it: it keeps an event or does not, and never fails."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from clawvm_es.integrations import settings, spool
from clawvm_es.integrations.ingest import waiting
from clawvm_es.integrations.install import BLANK

EVENT = {
    "session_id": "s/../1",
    "hook_event_name": "InstructionsLoaded",
    "cwd": "/w",
    "prompt": "a text of the user",
    "last_assistant_message": "a text of the model",
    "model": "m" * 5000,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A spool with its script."""
    made = tmp_path / "j.db.spool"
    made.mkdir()
    shutil.copy(spool.__file__, made / settings.SCRIPT)
    return made


def hook(folder: Path, data: bytes, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run the hook's command as a harness does."""
    command = settings.command_of(folder, "claude-code")
    return subprocess.run(command, shell=True, input=data, capture_output=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


def assert_goes_on(done: subprocess.CompletedProcess[bytes]) -> None:
    """The harness sees an empty answer or none, and code 0."""
    assert done.returncode == 0
    assert done.stdout in (b"", b"{}\n")
    assert done.stderr == b""


def test_an_event_is_kept(folder: Path) -> None:
    """One file for its owner only: session, event and the transcript's size, none of the texts."""
    transcript = folder / "t.jsonl"
    transcript.write_text("12345")
    done = hook(folder, json.dumps({**EVENT, "transcript_path": str(transcript)}).encode())
    assert done.stdout == b"{}\n"
    assert_goes_on(done)
    (name,) = waiting(folder)
    kept = json.loads((folder / name).read_text())
    assert (kept["session"], kept["event"], kept["size"]) == ("s/../1", "InstructionsLoaded", 5)
    assert kept["payload"] == {"cwd": "/w", "transcript_path": str(transcript)}
    assert (folder / name).stat().st_mode & 0o777 == 0o600


def _full(left: int = 0) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (left, left))


BROKEN: dict[str, Callable[[Path], dict[str, object]]] = {
    "no script": lambda folder: (folder / settings.SCRIPT).unlink() or {},
    "a script that is none": lambda folder: (folder / settings.SCRIPT).write_text("no python(") and {},
    "no folder": lambda folder: shutil.rmtree(folder) or {},
    "no interpreter": lambda folder: {"env": {"PATH": str(_only_sh(folder))}},
    "a full disk": lambda folder: {"preexec_fn": _full},
    "no engine": lambda folder: {},
    "an engine that is gone": lambda folder: _engine(folder, ["/none/python", "-c", ""]),
    "a package that is gone": lambda folder: _engine(
        folder, [shutil.which("python3"), "-I", "-S", "-m", "clawvm_es"]
    ),
    "an engine that fails": lambda folder: _engine(folder, ["/bin/sh", "-c", "echo loud >&2; exit 2"]),
}


def _only_sh(folder: Path) -> Path:
    found = folder.parent / "bin"
    found.mkdir()
    (found / "sh").symlink_to("/bin/sh")
    return found


def _engine(folder: Path, command: list[str | None]) -> dict[str, object]:
    (folder / "engine.json").write_text(json.dumps({"command": command}))
    return {}


@pytest.mark.parametrize("how", sorted(BROKEN))
def test_whatever_is_missing(folder: Path, how: str) -> None:
    """At a boundary the harness goes on without the script, its interpreter, the engine, or room on the disk."""
    options = BROKEN[how](folder)
    data = json.dumps({**EVENT, "hook_event_name": "SessionStart"}).encode()
    assert_goes_on(hook(folder, data, **options))


def test_a_full_disk_is_told_later(folder: Path) -> None:
    """An event that is kept in part is taken away again, and the room that was made for it says why."""
    (folder / spool.ROOM).write_bytes(BLANK)
    long = {**EVENT, "transcript_path": "/t" * 500}
    assert_goes_on(hook(folder, json.dumps(long).encode(), preexec_fn=lambda: _full(spool.ROOM_BYTES)))
    assert waiting(folder) == []
    said = (folder / spool.ROOM).read_text()
    assert len(said) == spool.ROOM_BYTES and "InstructionsLoaded: No space left on device" in said


@pytest.mark.parametrize("path", ["/a\0b", "/\ud800", "/t" * 2_500, 7, None, ["/t"]])
def test_an_event_is_kept_whatever_its_transcript_is_called(folder: Path, path: object) -> None:
    """A name that no file can have took the whole event away."""
    assert_goes_on(hook(folder, json.dumps({**EVENT, "transcript_path": path}).encode()))
    (name,) = waiting(folder)
    kept = json.loads((folder / name).read_text())
    assert (kept["session"], kept["event"], kept["size"]) == ("s/../1", "InstructionsLoaded", -1)


NONE = [
    *(b"", b"{", b"[]", b"\xff", b"[" * 9_000, b'{"hook_event_name": 1}', b'{"session_id": {}}'),
    *(json.dumps({**EVENT, "session_id": other}).encode() for other in (None, 7, "", ["s"])),
    *(json.dumps({**EVENT, "hook_event_name": other}).encode() for other in (None, 7, "", ["Stop"])),
    json.dumps({**EVENT, "prompt": "x" * spool.BYTES_MAX}).encode(),
]


@pytest.mark.parametrize("data", NONE, ids=range(len(NONE)))
def test_events_that_are_none(folder: Path, data: bytes) -> None:
    """What is no event is not kept, and the room for it says why, without its texts; an id is a text."""
    (folder / spool.ROOM).write_bytes(BLANK)
    assert_goes_on(hook(folder, data))
    assert waiting(folder) == []
    said = (folder / spool.ROOM).read_text()
    assert "Error: " in said and len(said) == spool.ROOM_BYTES and "a text of" not in said


def test_nothing_is_printed_where_people_would_see_it(folder: Path) -> None:
    """Claude Code shows the output of some hooks to its user."""
    assert hook(folder, json.dumps({**EVENT, "hook_event_name": "PostCompact"}).encode()).stdout == b""


def test_the_engine_runs_at_boundaries(folder: Path) -> None:
    """In the hook's place where the harness waits, with its output; on its own elsewhere; at no other event."""
    _engine(folder, ["/bin/sh", "-c", f'echo "$2" >> {folder}/ran; echo answer; : > {folder}/done', "sh"])
    os.mkfifo(folder / "done.fifo")
    assert hook(folder, json.dumps({**EVENT, "hook_event_name": "SessionStart"}).encode()).stdout == b"answer\n"
    assert (folder / "ran").read_text().splitlines() == [str(folder / name) for name in waiting(folder)]
    assert hook(folder, json.dumps({**EVENT, "hook_event_name": "PostToolUse"}).encode()).stdout == b"{}\n"
    assert len((folder / "ran").read_text().splitlines()) == 1
    _engine(folder, ["/bin/sh", "-c", f"echo answer; echo done > {folder}/done.fifo", "sh"])
    assert hook(folder, json.dumps({**EVENT, "hook_event_name": "Stop"}).encode()).stdout == b"{}\n"
    assert (folder / "done.fifo").read_text() == "done\n"  # waits for it


def test_a_killed_hook_leaves_nothing_that_stops_the_next(folder: Path) -> None:
    """The file that a killed hook began is no event, and the next one is kept beside it."""
    torn = folder / f"{1:020d}-1.json"
    torn.touch()
    assert_goes_on(hook(folder, json.dumps(EVENT).encode()))
    assert len(waiting(folder)) == 2
