"""A system without POSIX: the package can be imported, journals read, and writing says what is missing."""

from __future__ import annotations

import subprocess
import sys

from clawvm_es.storage import open_log
from clawvm_es.testing.logs import budget

WITHOUT_POSIX = """
import os, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
import subprocess, tempfile, sqlite3, asyncio, multiprocessing  # the standard library's own use of them
for name in "register_at_fork fork pread pwrite fchmod getuid O_NOFOLLOW O_CLOEXEC O_NONBLOCK".split():
    delattr(os, name)
import clawvm_es
import clawvm_es.cli.main
import clawvm_es.evaluation.kept
from clawvm_es.errors import JournalReadOnly
from clawvm_es.storage import open_log
with open_log(sys.argv[1], read_only=True) as log:
    print(len(list(log.read_all())))
with open_log(sys.argv[1]) as log:
    try:
        log.append("s", [log.first("s").data])
    except JournalReadOnly as error:
        print(error)
try:
    clawvm_es.Journal.open(sys.argv[1] + ".new")
except JournalReadOnly as error:
    print(error)
"""


def test_without_posix_journals_are_read_and_writing_is_refused(tmp_path) -> None:
    """Nothing dies of a missing module; one line says that POSIX is needed to write, and what to do."""
    path = tmp_path / "j.db"
    with open_log(path) as log:
        log.append("s", [budget(1)])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    count, *refused = done.stdout.splitlines()
    assert count == "1"
    assert len(refused) == 2
    assert all("POSIX systems only" in line and "read_only=True" in line for line in refused)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["j.db", "j.db.lock"]
