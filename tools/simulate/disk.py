"""A disk that fails: it knows what was written since the last sync, and what of it a power cut leaves.

A file is what was synced, and the writes since then in their order. SQLite asks before each operation (`vfs`); a plan
makes one of them fail, or the process die there. After a power cut each write since the last sync may be there, or
lost, or there in part, whatever became of those around it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Final

import attrs

from simulate import vfs

SECTOR_BYTES: Final = 512
_FAILS: Final = {
    "read": vfs.READ_FAILS,
    "write": vfs.WRITE_FAILS,
    "sync": vfs.SYNC_FAILS,
    "truncate": vfs.TRUNCATE_FAILS,
    "delete": vfs.DELETE_FAILS,
}


@attrs.define
class Plan:
    """A failure to come: at which operation of which kinds, with which code (0: its own), and for how many."""

    operations: tuple[str, ...]
    left: int
    code: int = 0
    times: int = 1
    dies: bool = False
    fired: int = 0

    def asked(self, operation: str) -> int:
        """Count an operation; the code with which it fails."""
        if operation not in self.operations or self.times <= self.fired:
            return 0
        self.left -= 1
        if self.left > 0:
            return 0
        self.fired += 1
        return self.code or _FAILS[operation]


@attrs.define
class Kept:
    """One file: what a power cut cannot take (None: not even the file), and what it may."""

    synced: bytearray | None
    since: list[tuple[str, int, bytes]] = attrs.field(factory=list)

    def sync(self) -> None:
        """Let all that was written be there for good."""
        self.synced, self.since = _after(self.synced, self.since), []


def _after(data: bytearray | None, done: Iterable[tuple[str, int, bytes]]) -> bytearray | None:
    for operation, at, written in done:
        if operation == "delete":
            data = None
            continue
        data = bytearray() if data is None else data
        if operation == "truncate":
            del data[at:]
            continue
        if len(data) < at:
            data.extend(bytes(at - len(data)))
        data[at : at + len(written)] = written
    return data


class FailingDisk:
    """The files of one journal, and the plans of those who use them."""

    def __init__(self, path: Path, dice: Random, syncs: bool = True) -> None:
        self.path, self.dice, self.syncs = path, dice, syncs
        self.plans: dict[int, Plan] = {}
        self.dead: set[int] = set()
        self.files = {str(path) + end: Kept(None) for end in ("", "-wal", "-journal")}

    def settle(self) -> None:
        """Take the files as they are for synced."""
        for name in self.files:
            there = Path(name)
            self.files[name] = Kept(bytearray(there.read_bytes()) if there.exists() else None)

    def power_cut(self) -> None:
        """Leave what was synced, with all, none, the first or any of the writes since."""
        choice = self.dice.randrange(4)
        for name, file in self.files.items():
            if choice == 1:
                left = file.since
            elif choice == 2:
                left = file.since[: self.dice.randrange(len(file.since) + 1)]
                left = [*left[:-1], *(self._torn(each) for each in left[-1:])]
            elif choice == 3:
                left = [self._torn(each) for each in file.since if self.dice.random() < 0.7]
            else:
                left = []
            data = _after(file.synced, left)
            self.files[name] = Kept(data)
            Path(name).unlink(missing_ok=True)
            if data is not None:
                Path(name).write_bytes(data)

    def _torn(self, done: tuple[str, int, bytes]) -> tuple[str, int, bytes]:
        operation, at, data = done
        if operation == "write" and self.dice.random() < 0.5:
            sectors = self.dice.randrange(len(data) // SECTOR_BYTES + 1) * SECTOR_BYTES
            data = data[: self.dice.choice((sectors, self.dice.randrange(len(data) + 1)))]
        return operation, at, data

    # ------------------------------------------------------------------------------ what the VFS asks

    def asked(self, actor: int, operation: str, path: str, at: int, data: bytes) -> int:
        """Refuse what a dead process asks, and what a plan lets fail."""
        if actor in self.dead:
            return _FAILS[operation]
        plan = self.plans.get(actor) if path in self.files else None
        if plan is None or not (code := plan.asked(operation)):
            return 0
        if plan.dies:
            self.dead.add(actor)
        elif operation == "sync" and (file := self.files.get(path)) is not None and self.syncs:
            file.since = self._dropped(file.since)
        self._partly = operation == "write" and self.dice.random() < 0.5
        return code

    def partly(self, size: int) -> int:
        """Let a part of a refused write reach the file now and then."""
        reaches, self._partly = self._partly, False
        return self.dice.randrange(size) if reaches else 0

    def done(self, operation: str, path: str, at: int, data: bytes) -> None:
        """Note a write; a sync makes those before it last."""
        if (file := self.files.get(path)) is None:
            return
        if operation != "sync":
            file.since.append((operation, at, data))
        elif self.syncs:
            file.sync()

    _partly = False

    def _dropped(self, since: list[tuple[str, int, bytes]]) -> list[tuple[str, int, bytes]]:
        """What a failed sync leaves to be synced by the next one: a system may take its writes for written."""
        return [] if self.dice.random() < 0.5 else since
