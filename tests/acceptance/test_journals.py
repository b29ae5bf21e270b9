"""Journals that are held, cannot be written, break off, or are not what they should be."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from clawvm_es import Journal
from clawvm_es.errors import JournalBusy
from clawvm_es.storage import open_log
from tests.acceptance.user import PROGRAM, conversation, in_shell, lines, refused
from tests.waiting import until

VERBS = ("sessions", "log", "stats", "rebuild", "export")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A journal with a session of 2 turns, made with a seed; tests copy it."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "s.jsonl").write_text(lines(conversation(2)), encoding="utf-8")
    assert in_shell("replay", folder / "s.jsonl", "-j", folder / "j.db", "--seed", 7).code == 0
    return folder / "j.db"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A file of 400 turns, and the head and size of its session when nothing disturbs the replay."""
    folder = tmp_path_factory.mktemp("large")
    path = folder / "large.jsonl"
    path.write_text(lines(conversation(400)), encoding="utf-8")
    (session,) = in_shell("replay", path, "-j", folder / "j.db", "--seed", 7, "--json").json["sessions"]
    return path, session["head"], session["events"]


def test_a_journal_held_by_another_process_is_waited_for(good, tmp_path, run, file):
    """A writer waits in line while readers go on; when the other lets go, it writes."""
    journal = shutil.copy(good, tmp_path / "j.db")
    with open(f"{journal}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run("verify", journal).code == run("sessions", journal).code == 0
        with pytest.raises(JournalBusy, match="another process holds"):
            Journal.open(journal, wait_s=0.05, seed=7).session("new")
        more = file(conversation(1, "more"))
        assert refused(run("replay", more, "-j", journal, "--seed", 7, "--wait", 0.1), "holds")
        assert refused(run("rebuild", journal, "--wait", 0.1), "holds")
        threading.Timer(0.3, fcntl.flock, (lock, fcntl.LOCK_UN)).start()
        assert run("replay", file(conversation(3, "other")), "-j", journal, "--seed", 7).code == 0
    assert run("verify", journal).code == 0


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs another user to run as")
def test_what_may_only_be_read_is_read_and_not_written_as_another_user(good, tmp_path_factory):
    """As a user without the right to write: readers work and leave nothing, writers say in one line why not."""
    folder = tmp_path_factory.mktemp("read_only")
    for above in (folder, *folder.parents):
        if above == Path(tempfile.gettempdir()):
            break
        above.chmod(0o755)
    journal = shutil.copy(good, folder / "j.db")
    journal.chmod(0o644)  # new ones are their owner's alone
    session = folder / "s.jsonl"
    session.write_text(lines(conversation(1, "new")), encoding="utf-8")

    def as_other(*arguments):
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *PROGRAM, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    before = sorted(os.listdir(folder))
    if as_other("--version").returncode:
        pytest.skip("the other user cannot run the program")
    for verb in ("sessions", "verify", "log", "stats"):
        assert as_other(verb, journal).returncode == 0
    for arguments in (("replay", session, "-j", journal, "--seed", 7), ("rebuild", journal)):
        ran = as_other(*arguments)
        assert (ran.returncode, ran.stderr.count("\n")) == (2, 1) and "cannot be written" in ran.stderr
    ran = as_other("replay", session, "-j", folder / "new.db")
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1) and "Permission denied" in ran.stderr
    assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize("limit_kb", [1, 40, 100, 300])
def test_a_full_disk_leaves_whole_transactions(large, tmp_path, run, limit_kb):
    """Where files cannot grow: one line, exit code 2, a journal that verifies, and with room the same head."""
    path, head, _ = large
    journal = tmp_path / "j.db"
    size = limit_kb * 1024
    ran = in_shell(
        "replay", path, "-j", journal, "--seed", 7,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )  # fmt: skip
    assert refused(ran, "cannot grow")
    assert not journal.exists() or run("verify", journal).code == 0
    (session,) = run("replay", path, "-j", journal, "--seed", 7, "--json").json["sessions"]
    assert session["head"] == head
    assert run("verify", journal).code == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_replay_that_is_cut_off_goes_on_where_it_ended(large, tmp_path, run, how):
    """Ctrl-C or kill -9 in the middle: the journal verifies, and the same command gives the uninterrupted head."""
    path, head, events = large
    journal = tmp_path / "j.db"
    command = [*PROGRAM, "replay", str(path), "-j", str(journal), "--seed", "7"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509  no threads
    ) as process:  # fmt: skip
        until(lambda: process.poll() is not None or _written(journal) >= 1000, "a thousand events")
        process.send_signal(how)
        out, err = process.communicate()
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert out == ""
    assert how == signal.SIGKILL or (err.strip().startswith("clawvm: interrupted") and "Traceback" not in err)
    assert run("verify", journal).code == 0
    assert 1000 <= _written(journal) < events
    (session,) = run("replay", path, "-j", journal, "--seed", 7, "--json").json["sessions"]
    assert session["head"] == head and 0 < session["appended"] < events
    assert run("verify", journal).code == 0


def _written(journal) -> int:
    """How many events are in the journal so far."""
    if not journal.exists():
        return 0
    with open_log(journal, read_only=True) as log:
        return max((head.seq for head in log.heads()), default=0)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("text", "no SQLite file"),
        ("foreign", "another program"),
        ("newer", "has format 99"),
        ("half", "is damaged"),
        ("header", "is damaged"),
        ("zeroed", "is damaged"),
        ("directory", "is a directory"),
    ],
)
def test_what_is_no_good_journal_is_refused_untouched(good, tmp_path, run, file, name, says):
    """One clear line from every verb; `verify` exits 2 on what is not ours, 1 on what is ours and damaged."""
    path, raw = tmp_path / "x.db", good.read_bytes()
    if name == "directory":
        path.mkdir()
    elif name in ("foreign", "newer"):
        if name == "newer":
            path.write_bytes(raw)
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA journal_mode=DELETE")
            db.execute("PRAGMA user_version=99")
            db.execute("CREATE TABLE t (x)")
    else:
        damaged = {"text": b"hello " * 50, "half": raw[: len(raw) // 2], "header": raw[:100]}
        path.write_bytes(damaged.get(name, raw[:4096] + bytes(4096) + raw[8192:]))
    before = None if path.is_dir() else path.read_bytes()
    for verb in VERBS:
        assert refused(run(verb, path), says)
    assert refused(run("replay", file(conversation(1)), "-j", path, "--seed", 7), says)
    assert (
        run("verify", path).code
        == run("verify", path, "--fast").code
        == (1 if says in ("is damaged", "has format 99") else 2)
    )
    assert before is None or path.read_bytes() == before


def test_an_export_that_fails_leaves_no_file(good, tmp_path, run):
    """A damaged event is an error, and half a trace is not written."""
    journal = shutil.copy(good, tmp_path / "j.db")
    with sqlite3.connect(journal) as db:
        db.execute("DROP TRIGGER events_update")
        db.execute("UPDATE events SET data = CAST(x'ff' AS TEXT) WHERE seq = 9")
    assert refused(run("export", journal, "-o", tmp_path / "out.jsonl"), "is damaged")
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("redirect", "says"), [(">/dev/full", "No space left"), (">&-", "stdout is closed"), (">/dev/full 2>&-", "")]
)
def test_output_that_goes_nowhere_is_said(good, redirect, says):
    """A full or closed stdout: exit code 2 and one line, if anybody can read it."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    for verb in ("sessions", "log --json", "verify"):
        command = f"{' '.join(PROGRAM)} {verb} '{good}' {redirect}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 2 and done.stdout == ""
        assert says in done.stderr and done.stderr.count("\n") == (1 if says else 0)


def test_a_reader_that_goes_away_ends_quietly(large, tmp_path, run):
    """`log | head -1` prints one line and no error."""
    path, _, _ = large
    assert run("replay", path, "-j", tmp_path / "j.db", "--seed", 7).code == 0
    command = f"{' '.join(PROGRAM)} log '{tmp_path / 'j.db'}' | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert "session_opened" in done.stdout and (done.stdout.count("\n"), done.stderr) == (1, "")
