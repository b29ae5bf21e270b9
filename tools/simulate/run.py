"""One run: a seed makes sessions, processes and a schedule; the laws are checked as it goes and at the end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs

from clawvm_es.errors import ClawVMError, JournalBusy, VersionConflict
from clawvm_es.history.redact import Target, redact
from simulate import deliveries, faults, laws
from simulate.deliveries import Delivery
from simulate.filed import SQLiteWorld
from simulate.laws import Broken
from simulate.worlds import Crash, MemoryWorld, PostgresWorld, Process

STEPS: Final = 40
_WAITED: Final = (JournalBusy, VersionConflict)
_CHANCES: Final = (
    ("next", 46), ("again", 16), ("crash", 10), ("between", 6), ("catch up", 6), ("fail", 6), ("power", 4),
    ("redact", 3), ("clock", 3), ("restart", 3),
)  # fmt: skip


@attrs.define
class Told:
    """One session as its harness knows it: what is to be delivered, and the answers so far."""

    session_id: str
    project: str | None
    script: list[Delivery]
    answers: dict[str, Any] = attrs.field(factory=dict)

    @property
    def next(self) -> Delivery | None:
        """The next delivery that has no answer yet."""
        return next((each for each in self.script if each.key not in self.answers), None)


class Run:
    """A run over one world; `steps` are the steps that were done."""

    def __init__(self, seed: int, world: Any) -> None:
        self.dice = Random(seed)
        self.world = world
        self.steps = 0
        self.processes: list[Process] = []
        self.acknowledged: list[bytes] = []
        self.erased: list[str] = []
        self.erasing = False
        project = f"team{seed}" if seed % 2 else None
        scope = "project" if project else "session"
        self.told = [
            Told(f"s{n}", project, deliveries.script(self.dice, f"s{n}", scope, 12))
            for n in range(self.dice.randint(1, 3))
        ]

    def go(self, steps: int) -> None:
        """Do so many steps, then check everything."""
        names, weights = zip(*_CHANCES, strict=True)
        for _ in range(steps):
            self.steps += 1
            step = self.dice.choices(names, weights)[0]
            getattr(self, f"_{step.replace(' ', '_')}")()
        self._settle()

    # ------------------------------------------------------------------------------------------ steps

    def _next(self, fuse: int = 0, intruder: Any = None, plan: str = "") -> None:
        told = self.dice.choice(self.told)
        if (delivery := told.next) is not None:
            self._deliver(self._process(), told, delivery, fuse, intruder, plan)

    def _again(self) -> None:
        told = self.dice.choice(self.told)
        known = [each for each in told.script if each.key in told.answers and self._repeats(each)]
        if known:
            self._deliver(self._process(), told, self.dice.choice(known))

    def _crash(self) -> None:
        choice = self.dice.randrange(5) if self.world.fails else 0
        if choice < 2:
            self._next(fuse=self.dice.randint(1, 24))
        elif choice < 4:
            self._next(plan="crash")
        else:
            self._redact(plan="crash")

    def _fail(self) -> None:
        """Let the disk be full or have errors while something is done; it works again afterwards."""
        if not self.world.fails:
            return self._next()
        plan = self.dice.choice(("full", "errors", "errors"))
        choice = self.dice.randrange(6)
        if choice == 0:
            return self._redact(plan)
        if choice == 1:
            return self._verify()
        if choice == 2:
            return self._catch_up(plan)
        return self._next(plan=plan)

    def _verify(self) -> None:
        """Look at the whole log over a disk with errors: what could not be read is not called right."""
        process = self._process()
        with self._running(process, plan="unreadable"):
            found = process.journal.log.verify()
            if not found and self.world.hit(process):
                raise Broken("verify: an error of the disk, and nothing is said")

    def _between(self) -> None:
        """Let another process deliver something in the middle of a write."""
        if not self.world.interrupts:
            return self._next()
        other, told = self._process(new=True), self.dice.choice(self.told)

        def intrude() -> None:
            if (delivery := told.next) is not None and self.world.running is not other:
                self._deliver(other, told, delivery)

        return self._next(intruder=intrude)

    def _catch_up(self, plan: str = "") -> None:
        process = self._process()
        with self._running(process, plan=plan):
            process.journal.catch_up()

    def _power(self) -> None:
        if self.world.cuts_power:
            for process in list(self.processes):
                self._kill(process)
            self.world.cut_power(self.dice)
            self._recover()

    def _redact(self, plan: str = "") -> None:
        told = self.dice.choice(self.told)
        known = [each.canary for each in told.script if each.canary and each.key in told.answers]
        if not known:
            return
        canary = self.dice.choice(known)
        process = self._process()
        with self._running(process, plan=plan):
            self.erasing = True
            target = Target(matches=lambda text: canary in text)
            redact(process.journal.log, target, at_us=self.world.clock(), everywhere=True)
            self.erased.append(canary)

    def _clock(self) -> None:
        self.world.clock.start_us += self.dice.choice((-3_600_000_000, 1, 86_400_000_000))

    def _restart(self) -> None:
        if not self.processes:
            return
        process = self.dice.choice(self.processes)
        if self.world.fails and self.dice.random() < 0.5:
            with self._running(process):
                self.world.end(process)
                self.processes.remove(process)
        else:
            self._kill(process)

    # -------------------------------------------------------------------------------------- delivering

    def _deliver(
        self, process: Process, told: Told, delivery: Delivery, fuse: int = 0, intruder: Any = None, plan: str = ""
    ) -> None:
        """Deliver once; a lost answer, and one that has to wait, leaves it to be delivered again."""
        known = delivery.key in told.answers
        if process not in self.processes or not (known or told.next is delivery):
            return
        with self._running(process, fuse, intruder, plan):
            answer = delivery.call(self._session(process, told), told.answers)
            first = told.answers.setdefault(delivery.key, answer)
            if first != answer and self._repeats(delivery):
                raise Broken(f"LAW-SHELL-2: {told.session_id} {delivery.key}: another answer the second time")

    def _repeats(self, delivery: Delivery) -> bool:
        """Tell whether a second delivery has to give the same answer: not where what it shows was erased."""
        return not (self.erasing and (delivery.canary or delivery.shows))

    def _session(self, process: Process, told: Told) -> Any:
        if told.session_id not in process.sessions:
            process.sessions[told.session_id] = process.journal.session(
                told.session_id,
                counter="lines4",
                budget_tokens=900,
                project=told.project,
                settings=deliveries.SETTINGS,
                on_other_settings="keep",
            )
        return process.sessions[told.session_id]

    @contextmanager
    def _running(self, process: Process, fuse: int = 0, intruder: Any = None, plan: str = "") -> Iterator[None]:
        """Let a process run; if it dies, it is gone, and what it did is found out by a new one."""
        before = self.world.running
        self.world.running = process
        process.fuse, process.intruder = fuse, intruder
        if plan:
            self.world.plan(process, plan)
        process.gap = self.dice.randint(1, 10) if intruder is not None else 0
        try:
            yield
        except _WAITED:
            process.sessions.clear()
        except Crash:
            self._kill(process)
        except ClawVMError as error:
            if not (self.world.fails and (self.world.died(process) or self.world.failed(process, error))):
                raise Broken(f"{type(error).__name__}: {error}") from error
            if self.dice.random() < 0.5:
                process.sessions.clear()
        finally:
            process.fuse, process.intruder = 0, None
            self.world.running = before
        if self.world.fails and self.world.died(process):
            self._kill(process)
        elif self.world.fails:
            self.world.mended(process)
        if process not in self.processes:
            self._recover()

    # ----------------------------------------------------------------------------------------- processes

    def _process(self, new: bool = False) -> Process:
        least = 2 if new else 1
        if len(self.processes) < least or (len(self.processes) < 3 and self.dice.random() < 0.15):
            self.processes.append(self.world.start())
        return self.dice.choice(self.processes[-1:] if new else self.processes)

    def _kill(self, process: Process) -> None:
        if process in self.processes:
            self.processes.remove(process)
            self.world.kill(process)

    def synced(self) -> None:
        """Remember all that is there: a `full` commit was acknowledged."""
        process = self.world.running
        if process is not None:
            log = process.journal.log
            self.acknowledged += log.hashes(len(self.acknowledged), log.size())

    def _recover(self) -> None:
        """Check what a new process finds, and forget the answers that the world has lost."""
        log = self._process().journal.log
        laws.durable(log, self.acknowledged)
        laws.ended(log, self.world.ends)
        laws.whole(log)
        for told in self.told:
            keys = {(each.idempotency_key or "").partition(":")[0] for each in log.read(told.session_id)}
            told.answers = {key: answer for key, answer in told.answers.items() if key in keys}

    def _settle(self) -> None:
        """Deliver what is left, everything once more, and check every law."""
        for told in self.told:
            while (delivery := told.next) is not None:
                self._deliver(self._process(), told, delivery)
            for delivery in told.script:
                if self._repeats(delivery):
                    self._deliver(self._process(), told, delivery)
        process = self._process()
        with self._running(process):
            process.journal.catch_up()
        log = process.journal.log
        laws.durable(log, self.acknowledged)
        laws.whole(log)
        laws.folds(log)
        laws.gone(log, self.erased)
        if self.world.fails:
            self._clean()

    def _clean(self) -> None:
        """Check that nothing erased is left in the files once a process has opened them and nothing is pending."""
        for process in list(self.processes):
            self._kill(process)
        log = self._process().journal.log
        if log.pending_erasures():
            raise Broken("LAW-ERASE-1: an erasure is pending, and nothing is in its way")
        laws.gone(log, self.erased, self.world.bytes_left())


@attrs.frozen
class Failure:
    """A seed that fails: after how few steps, and what it breaks."""

    seed: int
    steps: int
    what: str


def once(seed: int, storage: str, fault: str | None = None, steps: int = STEPS) -> str | None:
    """Do one run; return the law that it breaks, None where all hold."""
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # the disk is simulated
    with tempfile.TemporaryDirectory(prefix="clawvm-simulate-", dir=in_memory) as folder:
        run: Run | None = None

        def synced() -> None:
            if run is not None:
                run.synced()

        if storage == "memory":
            world: Any = MemoryWorld(seed, synced)
        elif storage == "sqlite":
            world = SQLiteWorld(seed, synced, Path(folder))
        else:
            world = PostgresWorld(seed, synced, storage)
        run = Run(seed, world)
        try:
            with faults.planted(fault, world):
                run.go(steps)
        except Broken as broken:
            return " ".join(str(broken).split())
        except Exception as error:  # what no code of ours expects is broken, too
            return f"{type(error).__name__}: {error}"
        finally:
            world.close()
    return None


def shrunk(seed: int, storage: str, fault: str | None = None) -> Failure | None:
    """The fewest steps after which a seed fails, and what it breaks then; None where it does not fail."""
    what = once(seed, storage, fault)
    if what is None:
        return None
    if storage not in ("memory", "sqlite"):  # there a seed fixes what clients do, not when it happens
        return Failure(seed, STEPS, what)
    for steps in range(STEPS):
        if (found := once(seed, storage, fault, steps)) is not None:
            return Failure(seed, steps, found)
    return Failure(seed, STEPS, what)
