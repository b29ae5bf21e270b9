"""A session of a journal that receives the steps of a followed file, continuing after the last command given.

LAW-GIVE-1: a step gives the same commands under the same keys for every giver, so it may be given again. A repeated
step is observed on the session as it was before that step, even if others (hooks, a server) recorded more since. A
new step is observed on the whole session (LAW-OBSERVE-2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from clawvm_es import limits
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.errors import IdempotencyConflict, VersionConflict
from clawvm_es.importers import trace
from clawvm_es.importers.kept import Place
from clawvm_es.importers.recording import RecordedStep, Recording, Skips
from clawvm_es.importers.replay import Replayed, ReplaySettings, Target, in_folder, is_full, with_fixed
from clawvm_es.importers.translate import numbered, tools_of
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import Durability, Recorded
from clawvm_es.model.commands import Command
from clawvm_es.model.events import BoundaryReached
from clawvm_es.model.facts import Boundary, Trigger
from clawvm_es.observe.edge import Edge
from clawvm_es.observe.observer import Observer
from clawvm_es.representations.counter import counter as counter_named

STEPS_AT_ONCE: Final = 64
"""Steps whose commands are recorded in one transaction."""


class Differs(Exception):
    """A step of a file contradicts its session: it differs from the one recorded under its key."""

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
    _version: int = 0  # up to which the observer knows the session

    @classmethod
    def open(
        cls, journal: Journal, recording: Recording, target: Target, settings: ReplaySettings, place: Place
    ) -> Given:
        """Open the session to continue it; a new session is created."""
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
            given._gave(1, at_us, place)
        return given

    def _open(self) -> None:
        """Record the opening of the session, or find it recorded."""
        vault = self.journal.log.vault(self.session_id, self.journal.seed)
        opened = self.target.opened
        edge = Edge(vault, counter_named(opened.counter), self.target.hides_secrets, renderer=opened.renderer)
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
        """Release what is held in memory."""
        self.session.__exit__(None, None, None)
        self._observer = None

    def give(self, steps: Sequence[RecordedStep], place: Place) -> None:
        """Record steps, or find them recorded. Raises `Differs`."""
        if self.target.recorded_by is not None:
            return
        for first in range(0, len(steps), STEPS_AT_ONCE):
            self._record(steps[first : first + STEPS_AT_ONCE], place)

    def save(self, place: Place) -> None:
        """Write back dirty pages, as an import does at the end of a file."""
        if self.target.recorded_by is None and self.session.state.dirty and self.recording.format != trace.NAME:
            saved = BoundaryReached(Boundary.SAVE, Trigger.CALLER)
            command = Command(saved, self.at_us, idempotency_key=f"save:{self.number}")
            self.appended += self.session.execute(command).appended

    def told(self, path: str, format_: str, skips: Skips) -> Replayed:
        """Outcome since the last report."""
        self.skipped.update(skips)
        appended, self.appended = self.appended, 0
        found, self.skipped = self.skipped, Skips()
        counts = {str(reason): found.counts[reason] for reason in sorted(found.counts)}
        by = self.target.recorded_by
        return Replayed(self.session_id, path, format_, appended, counts, found.first_lines(), by)

    def trial(self) -> Callable[[Sequence[RecordedStep]], bool | None]:
        """Test other steps in place of the one that differs.

        Returns None if they differ too or are not all recorded; else whether the session ends with them.
        """

        def fits(steps: Sequence[RecordedStep]) -> bool | None:
            number, at_us, self._observer = self.number, self.at_us, None
            try:
                if not steps or self._give_again(steps, None) < len(steps) or self.number == number:
                    return None
                return not self._has(self.number + 1)
            except Differs:
                return None
            finally:
                self.number, self.at_us, self._observer = number, at_us, None

        return fits

    def goes_on(self, steps: Sequence[RecordedStep] = ()) -> bool:
        """Tell whether the session has more commands than those given, plus those of `steps`.

        Nothing is recorded.
        """
        if self.target.recorded_by is not None or not self._has(self.number + 1):
            return False
        observer, self._observer = self._observer, None
        number = self.number + len(self._commands(steps, self._before(self.number + 1)))
        self._observer = observer
        return self._has(number + 1)

    def _has(self, number: int) -> bool:
        return bool(self._recorded(number))

    def _recorded(self, number: int) -> tuple[Recorded, ...]:
        """The command of a number and its decisions, from the log."""
        return self.journal.log.find(self.session_id, f"i:{number}")

    def _commands(self, steps: Sequence[RecordedStep], observer: Observer) -> list[Command]:
        return list(with_fixed(numbered(steps, observer, self.number), self.settings.fixed_tokens))

    def _record(self, steps: Sequence[RecordedStep], place: Place) -> None:
        """Record steps, or find them recorded; others may write to the session meanwhile."""
        done, tries = 0, limits.RETRIES
        while done < len(steps):
            if self._has(self.number + 1):
                done += self._give_again(steps[done:], place)
                continue
            try:
                done += self._give_new(steps[done:], place)
            except VersionConflict:
                self._observer, tries = None, tries - 1
                if not tries:
                    raise

    def _give_new(self, steps: Sequence[RecordedStep], place: Place) -> int:
        """Record as many steps as fit one transaction, at the session's present end; returns their number."""
        observer = self._at(self.session.state.version)
        vault = observer.edge.vault
        commands: list[Command] = []
        done, held = 0, vault.held_bytes()
        for step in steps:
            found = list(
                with_fixed(numbered([step], observer, self.number + len(commands)), self.settings.fixed_tokens)
            )
            commands.extend(found)
            done += 1
            if is_full(len(commands), vault.held_bytes() - held):
                break
        if commands:
            durability = Durability.FULL if done == len(steps) else Durability.NORMAL
            outcome = self.session.execute(*commands, durability=durability, after=self._version)
            self.appended += outcome.appended
            self._version = self.session.state.version
            self._gave(self.number + len(commands), commands[-1].at_us, place)
        return done

    def _give_again(self, steps: Sequence[RecordedStep], place: Place | None) -> int:
        """Find that steps are recorded, each observed on the state before it; returns how many are.

        Raises `Differs` at a step with other content.
        """
        for done, step in enumerate(steps):
            if not self._has(self.number + 1):
                return done
            for tries in (1, 0):  # another process may have recorded it under commitments of its own
                commands = self._commands([step], self._before(self.number + 1))
                try:
                    self.appended += self.session.execute(*commands).appended if commands else 0
                    break
                except IdempotencyConflict as error:
                    self._observer = None
                    if not tries:
                        raise Differs(self, step) from error
            if commands:
                self._version = self._recorded(self.number + len(commands))[-1].version
                self._gave(self.number + len(commands), commands[-1].at_us, place)
        return len(steps)

    def _before(self, number: int) -> Observer:
        """The observer of the session before a command; for an unknown number, of the present session."""
        recorded = self._recorded(number)
        return self._at(recorded[0].version - 1 if recorded else self.session.state.version)

    def _at(self, version: int) -> Observer:
        """The observer of the session up to a version, including what others recorded."""
        if self._observer is None or self._version > version:
            self._observer = self.session.observer(tools_of(self.recording.format, self.settings.tools), version)
        elif self._version < version:
            between = read_session(self.journal.log, self.session_id, self._version, version)
            self._observer.known.learn_all(row.data for row in between)
        self._version = version
        return self._observer

    def _gave(self, number: int, at_us: int, place: Place | None) -> None:
        self.number, self.at_us = number, at_us
        if place is not None:
            place.given[self.session_id], place.at_us[self.session_id] = number, at_us
