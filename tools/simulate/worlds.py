"""Worlds: a place for journals whose processes die at any write, and whose power is cut.

Everything happens in one thread: a process is a journal of its own on the same place. Before and after each write the
world counts a pulse; there the process that writes may die (`Crash`), or another process may come in between. What a
killed process leaves is what the storage had then. What a power cut leaves is what was on the disk for sure, or more.
The world of a journal file is in `filed`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Protocol

import attrs

from clawvm_es import storage
from clawvm_es.engine.journal import Journal
from clawvm_es.journal.ports import Durability, EventLog, Expected
from clawvm_es.journal.vault import Bodies
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.testing.fakes import FakeClock


class Crash(BaseException):
    """The process that writes dies here."""


@attrs.define(eq=False)
class Process:
    """One process: its journal, the pulses until it dies or is interrupted, and what it keeps open."""

    journal: Any = None
    fuse: int = 0
    gap: int = 0
    intruder: Callable[[], None] | None = None
    sessions: dict[str, Any] = attrs.field(factory=dict)
    held: list[Any] = attrs.field(factory=list)

    def pulse(self) -> None:
        """Count one point around a write."""
        if self.gap and self.intruder is not None:
            self.gap -= 1
            if not self.gap:
                intruder, self.intruder = self.intruder, None
                intruder()
        if self.fuse:
            self.fuse -= 1
            if not self.fuse:
                raise Crash


class World(Protocol):
    """A place for the journals of processes."""

    clock: FakeClock
    seed: int
    cuts_power: bool
    interrupts: bool
    fails: bool
    running: Process | None
    ends: set[bytes]

    def start(self) -> Process:
        """Open a journal in a new process."""

    def kill(self, process: Process) -> None:
        """Let a process be gone, whatever it was doing."""

    def cut_power(self, dice: Random) -> None:
        """Let all processes be gone (they were killed before), and with them what was not on the disk."""

    def close(self) -> None:
        """Leave nothing behind."""


def told(log: EventLog, synced: Callable[[], None]) -> None:
    """Have `synced` called whenever the log acknowledged a `full` commit."""
    append, transaction = log.append, log.transaction

    def appended(
        session_id: str, events: Any, expected: Any = Expected.ANY, durability: Any = Durability.NORMAL, **more: Any
    ) -> Any:
        head = append(session_id, events, expected, durability, **more)
        if durability is Durability.FULL:
            synced()
        return head

    def opened(durability: Any = Durability.NORMAL) -> Any:
        made = transaction(durability)
        leave = type(made).__exit__

        class Told(type(made)):  # type: ignore[misc]
            """The same transaction, that tells when it is done."""

            def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
                leave(self, kind, error, trace)
                if kind is None and durability is Durability.FULL:
                    synced()

        made.__class__ = Told
        return made

    log.append, log.transaction = appended, opened  # type: ignore[method-assign]


# ------------------------------------------------------------------------------------------- in memory


class PulsingLog(MemoryLog):
    """A log in memory that pulses around its writes, and can go back to what was durable."""

    world: MemoryWorld

    def _begin(self, transaction: Any) -> None:
        self.world.pulse()
        super()._begin(transaction)
        try:
            self.world.pulse()
        except Crash:
            super()._end(transaction, commit=False)
            raise

    def _add(self, transaction: Any) -> None:
        self.world.pulse()
        super()._add(transaction)
        self.world.committed(transaction)
        self.world.pulse()


class MemoryWorld:
    """All processes share one log in memory, which plays the disk."""

    cuts_power = True
    interrupts = False
    fails = False
    make: type[PulsingLog] = PulsingLog

    def __init__(self, seed: int, synced: Callable[[], None], folder: Path | None = None) -> None:
        self.seed, self.synced, self.clock = seed, synced, FakeClock()
        self.log = self.make(reproducible=True)
        self.log.world = self
        self.syncs = True
        self._images: list[tuple[int, dict[str, Any], dict[Any, str]]] = [(0, {}, {})]
        self._durable = 0
        self.running: Process | None = None
        self.ends: set[bytes] = set()
        told(self.log, self._acknowledged)

    def pulse(self) -> None:
        """Count a point of the process that runs."""
        if self.running is not None:
            self.running.pulse()

    def committed(self, transaction: Any) -> None:
        """Keep what a commit made, to go back to it; a `full` one is durable."""
        log = self.log
        if log._events:
            self.ends.add(log._events[-1].hash)
        self._images.append((len(log._events), dict(log._stored), dict(log._kept)))
        if transaction.durability is Durability.FULL and self.syncs:
            self._durable = len(self._images) - 1

    def _acknowledged(self) -> None:
        self.synced()

    def start(self) -> Process:
        """Open a handle on the log."""
        return Process(Journal(self.log, seed=self.seed, clock=self.clock))

    def kill(self, process: Process) -> None:
        """Forget a handle; the log itself has rolled back."""
        process.sessions.clear()

    def cut_power(self, dice: Random) -> None:
        """Go back to a commit from the last durable one on."""
        log = self.log
        at = dice.randrange(self._durable, len(self._images))
        del self._images[at + 1 :]
        events, stored, kept = self._images[at]
        self._durable = at
        del log._events[events:]
        log._streams, log._keys = {}, {}
        for each in log._events:
            log._streams.setdefault(each.session_id, []).append(each)
            if each.idempotency_key is not None:
                log._keys[each.session_id, each.idempotency_key] = each
        log._stored, log._kept, log._bodies = dict(stored), dict(kept), Bodies(log)
        log._durable_seq = min(log._durable_seq, events)

    def close(self) -> None:
        """Nothing is left."""


# ------------------------------------------------------------------------------------- on a server


class PostgresWorld:
    """A schema on a server; a process that dies leaves its connections to be rolled back. The power stays on."""

    cuts_power = False
    interrupts = False
    fails = False

    def __init__(self, seed: int, synced: Callable[[], None], url: str) -> None:
        self.seed, self.synced, self.clock = seed, synced, FakeClock()
        self.url = f"{url}{'&' if '?' in url else '?'}schema=simulated_{seed}"
        self._alive: list[Process] = []
        self.running: Process | None = None
        self.ends: set[bytes] = set()

    def start(self) -> Process:
        """Open the journal over connections of its own."""
        process = Process()
        log = storage.open_log(self.url, connect=self._connect(process), wait_s=1, reproducible=True)
        told(log, self.synced)
        process.journal = Journal(log, seed=self.seed, clock=self.clock)
        self._alive.append(process)
        return process

    def _connect(self, process: Process) -> Callable[..., Any]:
        import psycopg

        class Pulsing(psycopg.Connection[Any]):
            """A connection whose writes pulse."""

            def execute(self, query: Any, *args: Any, **options: Any) -> Any:
                writes = query.startswith(
                    (b"BEGIN ISOLATION LEVEL READ C", b"SELECT status", b"CALL", b"COMMIT", b"INSERT")
                )
                if writes:
                    process.pulse()
                done = super().execute(query, *args, **options)
                if writes:
                    process.pulse()
                return done

        def connect(conninfo: str, **options: Any) -> Any:
            made = Pulsing.connect(conninfo, **options)
            process.held.append(made)
            return made

        return connect

    def kill(self, process: Process) -> None:
        """Cut the connections."""
        self._alive.remove(process)
        for each in process.held:
            each.close()

    def cut_power(self, dice: Random) -> None:
        """Never comes."""

    def close(self) -> None:
        """Close what is open, and drop the schema."""
        import psycopg

        for process in list(self._alive):
            self.kill(process)
        place, _, rest = self.url.rpartition("schema=")
        with psycopg.connect(place.rstrip("?&"), autocommit=True) as db:
            db.execute(f"DROP SCHEMA IF EXISTS {rest} CASCADE".encode())
