"""A session of a journal that steps of a followed file are given to, from the command that was given last.

LAW-GIVE-1: a step gives the same commands under the same keys whoever gives it, so it may be given again. An observer
that goes on learned the session from its log, up to the last command that was given (LAW-OBSERVE-2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from clawvm_es import limits
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.errors import IdempotencyConflict
from clawvm_es.importers import trace
from clawvm_es.importers.kept import Place
from clawvm_es.importers.recording import RecordedStep, Recording, Skips
from clawvm_es.importers.replay import Replayed, ReplaySettings, Target, in_folder, with_fixed
from clawvm_es.importers.translate import numbered, tools_of
from clawvm_es.journal.ports import Durability
from clawvm_es.model.commands import Command
from clawvm_es.model.events import BoundaryReached
from clawvm_es.model.facts import Boundary, Trigger
from clawvm_es.observe.edge import Edge
from clawvm_es.observe.observer import Observer
from clawvm_es.representations.counter import counter as counter_named

STEPS_AT_ONCE: Final = 64
"""Steps whose commands are recorded in one transaction."""


class Differs(Exception):
    """A step of a file says something else than its session has under the same key."""

    def __init__(self, given: Given, step: RecordedStep | None, line: int = 1) -> None:
        super().__init__(given.session_id)
        self.session_id = given.session_id
        self.recorded_id = given.recording.session_id
        self.linked = given.recording.linked_to is not None
        self.step = step
        self.line = line if step is None else step.lines.first
        self.fits: Callable[[Sequence[RecordedStep]], bool | None] = given.trial()


@attrs.define
class Given:
    """A session, the number of commands given to it, and the observer that makes the next ones."""

    journal: Journal
    recording: Recording
    target: Target
    settings: ReplaySettings
    session: Session
    number: int = 0
    at_us: int = 0
    appended: int = 0
    skipped: Skips = attrs.field(factory=Skips)
    _observer: Observer | None = None

    @classmethod
    def open(
        cls, journal: Journal, recording: Recording, target: Target, settings: ReplaySettings, place: Place
    ) -> Given:
        """The session as it is gone on with; one that is new is opened."""
        session = journal.resume(target.session_id, target.opened.counter, hides_secrets=target.hides_secrets)
        number, at_us = place.given.get(target.session_id, 0), place.at_us.get(target.session_id, recording.began_us)
        given = cls(journal, recording, target, settings, session, number, at_us)
        if number == 0 and target.recorded_by is None:
            try:
                given._open()
            except IdempotencyConflict:  # another process opened it meanwhile, under commitments of its own
                try:
                    given._open()
                except IdempotencyConflict as error:
                    raise Differs(given, None) from error
            given._gave(1, place)
        return given

    def _open(self) -> None:
        """Record the opening of the session, or find that it is recorded."""
        vault = self.journal.log.vault(self.session_id, self.journal.seed)
        edge = Edge(vault, counter_named(self.target.opened.counter), self.target.hides_secrets)
        opened = in_folder(self.target, self.recording, edge)
        command = Command(opened, self.recording.began_us, idempotency_key="i:1")
        self.appended += self.session.execute(command).appended

    def __enter__(self) -> Given:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def session_id(self) -> str:
        """The session's id in the journal."""
        return self.target.session_id

    def close(self) -> None:
        """Let go of what is held in memory."""
        self.session.__exit__(None, None, None)
        self._observer = None

    def give(self, steps: Sequence[RecordedStep], place: Place) -> None:
        """Record steps, or find that they are recorded. Raises `Differs`."""
        if self.target.recorded_by is not None:
            return
        for first in range(0, len(steps), STEPS_AT_ONCE):
            some = steps[first : first + STEPS_AT_ONCE]
            try:
                self._record(some, place)
            except IdempotencyConflict:
                self._record_again(some, place)

    def save(self, place: Place) -> None:
        """Write back what is dirty, as an import does at the end of a file."""
        if self.target.recorded_by is None and self.session.state.dirty and self.recording.format != trace.NAME:
            saved = BoundaryReached(Boundary.SAVE, Trigger.CALLER)
            command = Command(saved, self.at_us, idempotency_key=f"save:{self.number}")
            self.appended += self.session.execute(command).appended

    def told(self, path: str, format_: str, skips: Skips) -> Replayed:
        """Outcome since it was told last."""
        self.skipped.update(skips)
        appended, self.appended = self.appended, 0
        found, self.skipped = self.skipped, Skips()
        counts = {str(reason): found.counts[reason] for reason in sorted(found.counts)}
        by = self.target.recorded_by
        return Replayed(self.session_id, path, format_, appended, counts, found.first_lines(), by)

    def trial(self) -> Callable[[Sequence[RecordedStep]], bool | None]:
        """A test of steps in place of the one that differs.

        It gives None where they differ too, or are not all recorded; else whether the session ends with them.
        """

        def fits(steps: Sequence[RecordedStep]) -> bool | None:
            self._observer = None
            commands = self._commands(steps)
            last = self.number + len(commands)
            if not commands or not self._has(last):
                return None
            try:
                self.session.execute(*commands)
            except IdempotencyConflict:
                return None
            return not self._has(last + 1)

        return fits

    def goes_on(self, steps: Sequence[RecordedStep] = ()) -> bool:
        """Tell whether the session has commands beyond those that were given, and beyond those of `steps`.

        Nothing is recorded.
        """
        if self.target.recorded_by is not None or not self._has(self.number + 1):
            return False
        observer, self._observer = self._observer, None
        number = self.number + len(self._commands(steps))
        self._observer = observer
        return self._has(number + 1)

    def _has(self, number: int) -> bool:
        return bool(self.journal.log.find(self.session_id, f"i:{number}"))

    def _commands(self, steps: Sequence[RecordedStep]) -> list[Command]:
        stream = numbered(steps, self._observing(), self.number)
        return list(with_fixed(stream, self.settings.fixed_tokens))

    def _observing(self) -> Observer:
        """The observer of the session up to the last command that was given."""
        if self._observer is None:
            group = self.journal.log.find(self.session_id, f"i:{self.number}")
            tools = tools_of(self.recording.format, self.settings.tools)
            self._observer = self.session.observer(tools, group[-1].version)
        return self._observer

    def _record(self, steps: Sequence[RecordedStep], place: Place) -> None:
        commands = self._commands(steps)
        for first in range(0, len(commands), limits.IMPORT_BATCH):
            some = commands[first : first + limits.IMPORT_BATCH]
            last = first + len(some) == len(commands)
            self.appended += self.session.execute(
                *some, durability=Durability.FULL if last else Durability.NORMAL
            ).appended
        if commands:
            self.at_us = commands[-1].at_us
            self._gave(self.number + len(commands), place)

    def _gave(self, number: int, place: Place) -> None:
        self.number = number
        place.given[self.session_id], place.at_us[self.session_id] = number, self.at_us

    def _record_again(self, steps: Sequence[RecordedStep], place: Place) -> None:
        """Record steps that conflicted: another process may have given them, under commitments of its own.

        Raises `Differs` at the step that says something else.
        """
        self._observer = None
        for step in steps:
            for left in range(limits.RETRIES, -1, -1):
                before = self.journal.log.head(self.session_id)
                try:
                    self._record([step], place)
                    break
                except IdempotencyConflict as error:
                    self._observer = None
                    if not left or self.journal.log.head(self.session_id) == before:
                        raise Differs(self, step) from error
