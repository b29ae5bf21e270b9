"""Verbs on a disk that fills up or fails while they write: one line, nothing half, and the same command goes on."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from clawvm_es import files
from clawvm_es.journal.anchors import make_key
from clawvm_es.storage import open_log, verify
from tests.storage.sqlite import failing_disk

pytestmark = pytest.mark.skipif(not failing_disk.available(), reason="SQLite's library cannot be reached")

OLD = Path(__file__).resolve().parent.parent / "golden" / "v4.journal"
VERBS = {
    "redact": ["redact", "j.db", "-s", "demo-clawvm", "--page", "p3", "--everywhere", "--yes"],
    "archive": ["archive", "j.db", "-o", "made", "--key", "k", "--older-than", "0s", "--open"],
    "upgrade": ["rebuild", "old.db"],
    "rebuild": ["rebuild", "j.db"],
    "html": ["export", "j.db", "-s", "demo-clawvm", "--as", "html", "-o", "made"],
    "bundle": ["bundle", "j.db", "-s", "demo-clawvm", "--key", "k", "-o", "made"],
    "backup": ["backup", "j.db", "made"],
    "replay": ["replay", "demo.jsonl", "--journal", "new.db"],
}
BESIDE = ("-wal", "-shm", "-journal", ".lock", ".imports", ".archives")
"""Endings of what a journal has beside it, at any time."""


@pytest.fixture(scope="session")
def base(demo_journal, tmp_path_factory) -> Path:
    """A folder with a journal, one of an older format, a recording and a key."""
    folder = tmp_path_factory.mktemp("base")
    shutil.copy(demo_journal, folder / "j.db")
    shutil.copy(OLD, folder / "old.db")
    shutil.copy(Path(files.__file__).parent / "cli" / "demo_session.jsonl", folder / "demo.jsonl")
    make_key(str(folder / "k"), "signer", 365, int(time.time()))
    return folder


def heads(path: Path) -> dict[str, int]:
    """The versions of all streams."""
    with open_log(str(path), read_only=True) as log:
        return {head.session_id: head.version for head in log.heads()}


def names(folder: Path) -> set[str]:
    """All files but those that a journal has beside it."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.endswith(BESIDE)}


@pytest.mark.sweep(sample=4)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("after", [0, 3, 9, 27, 81])
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_ends_with_the_error_of_the_disk(base, tmp_path, monkeypatch, run, verb, after, number):
    """Its line names a file; every event stays; what is unfinished is gone; the same command then does all."""
    folder = Path(shutil.copytree(base, tmp_path / "folder"))
    monkeypatch.chdir(folder)
    before = heads(folder / "j.db")
    synced = iter(range(after // 9))

    def sync(fd: int, real=files.sync) -> None:
        if next(synced, None) is None:
            raise OSError(number, os.strerror(number))
        real(fd)

    with monkeypatch.context() as patched, failing_disk.failing_writes(number, after) as failed:
        patched.setattr(files, "sync", sync)
        code, _, err = run(*VERBS[verb])
    if code == 0:
        assert not failed
        return
    assert code == (1 if verb == "redact" and not err else 2)
    assert code == 1 or (len(err.splitlines()) == 1 and (str(folder) in err or "made" in err))
    assert names(folder) - {"new.db", "made"} == names(base)
    for journal in ("j.db", "old.db", "new.db"):
        assert not (folder / journal).exists() or verify(folder / journal) == ()
    assert before.items() <= heads(folder / "j.db").items() or verb == "redact"
    if verb == "backup":
        assert not (folder / "made").exists()
    code, _, err = run(*VERBS[verb])
    assert (code, err) == (0, "")
    assert verify(folder / "j.db") == ()
