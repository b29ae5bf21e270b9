"""A live session: the hooks that a harness calls. Each gives one or a few commands to the shell.

The hooks are grouped in modules: `looking`, `writing`, `turns`, `tools`, `paging`, `writeback`. This module begins a
session, adopts other settings, executes ready-made commands, and ends the session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from clawvm_es.core.state import State
from clawvm_es.engine import given
from clawvm_es.engine.hooks import OtherSettings, Report
from clawvm_es.engine.observed import Observed
from clawvm_es.engine.session.handle import HARNESS
from clawvm_es.engine.session.looking import Looking
from clawvm_es.engine.session.paging import Paging
from clawvm_es.engine.session.tools import Tools
from clawvm_es.engine.session.turns import Turns
from clawvm_es.engine.session.writeback import Writeback
from clawvm_es.engine.session.writing import Writing
from clawvm_es.engine.shell import Outcome
from clawvm_es.errors import UsageError, VersionConflict
from clawvm_es.journal.ports import Durability
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Boundary, CloseReason, Trigger
from clawvm_es.model.profile import Profile
from clawvm_es.observe.observer import Observer
from clawvm_es.observe.tools import Tool


class Session(Looking, Writing, Turns, Tools, Paging, Writeback):
    """One agent run. Thread-safe; leaving its `with` block releases the handle, `close` ends the session.

    Hooks with a `key` can be retried: the same key with the same content returns the first result and records
    nothing; other content raises `IdempotencyConflict`.
    """

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shell.close()

    def open(self, opened: e.SessionOpened) -> e.SessionOpened:
        """Begin the session's stream if it has not begun; return the opening event.

        A session of a project syncs with the project's shared scope at once.
        """
        given.instance("opened", e.SessionOpened, opened, "a SessionOpened")

        def build(state: State) -> Sequence[Command]:
            return () if state.opened is not None else (Command(opened, self._clock(), HARNESS),)

        with self._shell.lock:
            self._run(build)
            stored = self.state.opened
            assert stored is not None
            if stored.project is not None:
                self._shell.sync(stored.project, self._clock())
            return stored

    def adopt(self, wanted: e.SettingsAdopted, how: OtherSettings | None = None) -> None:
        """Change the session's settings, recorded as an event; does nothing if they are the same.

        Raises `UsageError` if the session is open, unless `how` is `adopt`; if `how` is `raise`, always.
        """
        given.instance("wanted", e.SettingsAdopted, wanted, "a SettingsAdopted")
        how = None if how is None else given.choice("how", OtherSettings, how)

        def build(state: State) -> Sequence[Command]:
            has = {"policy": state.profile, "budget": state.declared_budget, "on_pressure": state.on_pressure}
            asked = dict(zip(has, (wanted.profile, wanted.budget_tokens, wanted.on_pressure), strict=True))
            other = {name: now for name, now in asked.items() if now is not None and now != has[name]}
            if not other:
                return ()
            if how is OtherSettings.RAISE or (how is None and not state.closed):
                name = next(iter(other))
                hint = 'leave it out, or open the session with on_other_settings="adopt" (or "keep")'
                raise other_settings(self.session_id, name, has[name], other[name], hint)
            adopted = e.SettingsAdopted(
                wanted.profile if "policy" in other else None,
                wanted.budget_tokens if "budget" in other else None,
                wanted.on_pressure if "on_pressure" in other else None,
            )
            return (Command(adopted, self._clock(), HARNESS),)

        self._run(build)

    def keep(self, text: str) -> str:
        """Store a text as a body and return its commitment, for commands that the caller builds."""
        return self._shell.edge.text(text)

    def execute(
        self,
        *commands: Command,
        durability: Durability = Durability.NORMAL,
        after: int | None = None,
    ) -> Outcome:
        """Record ready-made commands (importers, replays) in one transaction.

        Raises `VersionConflict` if the session has moved on from version `after`, for which the commands were built.
        """
        given.commands(commands)
        durability = given.choice("durability", Durability, durability)
        if after is not None:
            given.integer("after", after, 0)

        def build(state: State) -> Sequence[Command]:
            if after is not None and state.version != after:
                raise VersionConflict(f"session {self.session_id}: made on version {after}, not on {state.version}")
            return commands

        return self._shell.run(build, durability)

    def observer(self, tools: Mapping[str, Tool], version: int) -> Observer:
        """An observer that knows the session up to `version`, for importers that continue from there."""
        return Observed(self._shell, tools).before(version + 1)

    def close(self, *, key: str | None = None) -> Report:
        """End the session: write back, then take no further commands until it is opened again.

        Closing a closed session records nothing and returns the same result again.
        """
        given.key(key)

        def build(state: State) -> Sequence[Command]:
            if state.closed and (key is None or self._shell.recorded(key) is None):
                return ()
            at = self._clock()
            end = Command(e.BoundaryReached(Boundary.END, Trigger.CALLER), at, HARNESS, key)
            closed = e.SessionClosed(CloseReason.ENDED)
            return (end, Command(closed, at, HARNESS, key and f"{key}:closed"))

        with self._shell.lock:
            outcome = self._run(build)
            found = self._report(Boundary.END, outcome.events or self._shell.last(Boundary.END), outcome.appended)
        self._on_commit_point()
        return found


def other_settings(session_id: str, name: str, was: object, now: object, hint: str) -> UsageError:
    """The error for continuing a session under a setting that differs from its own."""
    names = [value.name if isinstance(value, Profile) else value for value in (was, now)]
    return UsageError(f"session {session_id} goes on with {name} {names[0]}, not {names[1]}", hint=hint)
