"""Names the processes that read from a journal's write-ahead log, where the system tells (Linux).

SQLite marks a reader by a lock on one of five bytes of the shared memory
(https://www.sqlite.org/walformat.html#wal_locks). While the first is held, nothing is copied from the log into the
file; while another is, the log is not written from its start again.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

_LOCKS: Final = Path("/proc/locks")
_PROCESSES: Final = Path("/proc")
_READ_MARKS: Final = range(123, 128)
_LINE: Final = re.compile(r"\d+: POSIX +\S+ +READ +(\d+) [0-9a-f]+:[0-9a-f]+:(\d+) (\d+) (\d+|EOF)$")


@attrs.frozen
class Process:
    """A process by its id and the name of its program, empty where the system does not tell."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.name})" if self.name else str(self.pid)


def holders(path: str) -> tuple[Process, ...]:
    """The processes that read from the log of the journal at `path` now; empty where the system does not tell."""
    try:
        inode = os.stat(path + "-shm").st_ino
        lines = _LOCKS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    found = {int(match[1]) for match in map(_LINE.match, lines) if match and _reads(match, inode)}
    return tuple(Process(pid, _name(pid)) for pid in sorted(found) if pid > 0)


def _reads(match: re.Match[str], inode: int) -> bool:
    last = _READ_MARKS[-1] if match[4] == "EOF" else int(match[4])
    return int(match[2]) == inode and int(match[3]) <= _READ_MARKS[-1] and last >= _READ_MARKS[0]


def _name(pid: int) -> str:
    with suppress(OSError):
        return (_PROCESSES / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    return ""
