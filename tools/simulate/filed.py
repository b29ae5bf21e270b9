"""The world of a journal file: processes write to it over a disk that fails, and that forgets when the power goes."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest import mock

from clawvm_es import files, limits, storage
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import DiskFailed, JournalFull
from clawvm_es.testing.fakes import FakeClock
from simulate import vfs
from simulate.disk import FailingDisk, Plan
from simulate.worlds import Process, told

_WRITES: Final = ("BEGIN IMM", "INSERT", "DELETE", "UPDATE", "COMMIT", "ALTER")
_CHECKPOINT_PAGES: Final = (5, 20, 60, limits.WAL_CHECKPOINT_PAGES)


class SQLiteWorld:
    """A journal file; each process has connections of its own, whose statements pulse and whose files may fail."""

    cuts_power = True
    interrupts = True
    fails = True
    changes: Callable[[Any], None] | None = None

    def __init__(self, seed: int, synced: Callable[[], None], folder: Path | None = None) -> None:
        assert folder is not None
        self.seed, self.synced, self.clock = seed, synced, FakeClock()
        self.path = folder / "j.db"
        self.dice = Random(seed + 1)
        self.disk = FailingDisk(self.path, self.dice)
        self.running: Process | None = None
        self.ends: set[bytes] = set()
        self.rewrites: dict[str, str] = {}
        self._vfs = vfs.Vfs(self.disk)
        self._alive: dict[Process, int] = {}
        self._started = 0
        self._patches = ExitStack()
        self._vfs.register()
        self._patches.callback(self._vfs.remove)
        pages = self.dice.choice(_CHECKPOINT_PAGES)
        self._patches.enter_context(mock.patch.object(limits, "WAL_CHECKPOINT_PAGES", pages))
        self._patches.enter_context(mock.patch.object(files, "sync_path", self._sync_path(files.sync_path)))
        self._patches.enter_context(mock.patch.object(files, "rewrite", self._rewrite(files.rewrite)))

    def _rewrite(self, rewrite: Callable[[str], None]) -> Callable[[str], None]:
        def rewritten(path: str) -> None:
            data = Path(path).read_bytes()
            if self.running is not None and self.disk.asked(self._alive.get(self.running, 0), "write", path, 0, data):
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
            rewrite(path)
            self.disk.done("write", path, 0, data)

        return rewritten

    def _sync_path(self, sync: Callable[[Any], None]) -> Callable[[Any], None]:
        def synced(path: Any) -> None:
            if self.running is not None and self.disk.asked(
                self._alive.get(self.running, 0), "sync", str(path), 0, b""
            ):
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
            sync(path)
            self.disk.done("sync", str(path), 0, b"")

        return synced

    def start(self) -> Process:
        """Open the file in a new process."""
        process = Process()
        self._started += 1
        self._alive[process] = self._started
        log = storage.open_log(self.path, connect=self._connect(process), wait_s=0, reproducible=True)
        told(log, self.synced)
        self._note_ends(log)
        if self.changes is not None:
            self.changes(log)
        process.journal = Journal(log, seed=self.seed, clock=self.clock)
        process.held.append(log)
        if self._started == 1:
            self.disk.settle()
        return process

    def _note_ends(self, log: Any) -> None:
        end = log._end

        def ended(transaction: Any, commit: bool) -> None:
            if commit and transaction.last is not None:
                self.ends.add(transaction.last[1])
            end(transaction, commit)

        log._end = ended

    def _connect(self, process: Process) -> Callable[..., sqlite3.Connection]:
        world, actor = self, self._alive[process]

        def connect(database: Any, *args: Any, factory: Any = sqlite3.Connection, **options: Any) -> Any:
            class Pulsing(factory):  # type: ignore[misc]
                """A connection whose writes pulse."""

                def execute(self, statement: str, *values: Any) -> Any:
                    statement = world.rewrites.get(statement, statement)
                    return self._around(statement, super().execute, statement, *values)

                def executemany(self, statement: str, *values: Any) -> Any:
                    return self._around(statement, super().executemany, statement, *values)

                def _around(self, statement: str, run: Callable[..., Any], *arguments: Any) -> Any:
                    if not statement.startswith(_WRITES):
                        return run(*arguments)
                    process.pulse()
                    done = run(*arguments)
                    process.pulse()
                    return done

            place = vfs.address(str(database), actor)
            made = sqlite3.connect(place, *args, factory=Pulsing, **{**options, "uri": True})
            process.held.append(made)
            return made

        return connect

    # ------------------------------------------------------------------------------------- what befalls it

    def plan(self, process: Process, kind: str) -> None:
        """Let the disk fail for a process, some operations from now: it is full, it has errors, or all ends there."""
        dice, actor = self.dice, self._alive[process]
        if kind == "crash":
            made = Plan(("write", "sync", "truncate", "delete"), dice.randint(1, 40), dies=True)
        elif kind == "unreadable":
            made = Plan(("read",), dice.randint(1, 30), times=dice.choice((1, 1000)))
        elif kind == "full":
            made = Plan(("write",), dice.randint(1, 30), vfs.FULL, times=dice.choice((1, 1000)))
        else:
            operations = dice.choice((("read",), ("write",), ("sync",), ("write", "sync", "truncate", "delete")))
            left = 5 if operations == ("sync",) else 30
            made = Plan(operations, dice.randint(1, left), times=dice.choice((1, 1000)))
        self.disk.plans[actor] = made

    def mended(self, process: Process) -> None:
        """Let the disk work again for a process."""
        self.disk.plans.pop(self._alive.get(process, 0), None)

    def died(self, process: Process) -> bool:
        """Tell whether a process met its end at the disk."""
        return self._alive.get(process, 0) in self.disk.dead

    def failed(self, process: Process, error: Exception) -> bool:
        """Tell whether an error is what a failing disk has to be told by."""
        return self.hit(process) and isinstance(error, (JournalFull, DiskFailed))

    def hit(self, process: Process) -> bool:
        """Tell whether the disk has failed for a process since its plan was made."""
        plan = self.disk.plans.get(self._alive.get(process, 0))
        return plan is not None and plan.fired > 0

    def kill(self, process: Process) -> None:
        """Close what a process had open, as the system does: nothing is copied, cut or removed."""
        self.disk.dead.add(self._alive.pop(process))
        for each in process.held:
            if isinstance(each, sqlite3.Connection):
                with suppress(sqlite3.Error):
                    sqlite3.Connection.close(each)
            else:
                each._closed = True
                each._lock.close()
                each._wal.close()

    def end(self, process: Process) -> None:
        """Let a process close its journal and go."""
        process.journal.close()
        self._alive.pop(process)

    def cut_power(self, dice: Random) -> None:
        """Leave what was synced, and of the rest what the disk pleases."""
        self.disk.power_cut()
        Path(f"{self.path}-shm").unlink(missing_ok=True)

    def bytes_left(self) -> list[bytes]:
        """The bytes of the journal's files."""
        found = (Path(f"{self.path}{end}") for end in ("", "-wal"))
        return [path.read_bytes() for path in found if path.exists()]

    def close(self) -> None:
        """Close what is open and remove the files."""
        for process in list(self._alive):
            self.kill(process)
        self._patches.close()
        for each in self.path.parent.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
