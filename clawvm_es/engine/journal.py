"""The journal as a harness uses it: open a file, open sessions in it. This is the composition root of the engine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from msgspec.structs import replace

from clawvm_es import limits
from clawvm_es.core.decide import DECIDER_VERSION, decide
from clawvm_es.core.profiles import profile
from clawvm_es.engine import given
from clawvm_es.engine.declared import counter_of
from clawvm_es.engine.finding import Listed, sessions
from clawvm_es.engine.hooks import OtherSettings, Settings
from clawvm_es.engine.renderers import named
from clawvm_es.engine.session import Session, now_us, other_settings
from clawvm_es.engine.shell import Shell
from clawvm_es.errors import ClawVMError, JournalError, UsageError
from clawvm_es.journal import snapshots
from clawvm_es.journal.admission import check_text
from clawvm_es.journal.lineage import event_at, lineage
from clawvm_es.journal.ports import Capability, EventLog, Expected, NewEvent, anchoring, declares
from clawvm_es.logs import Log
from clawvm_es.model.commands import Command
from clawvm_es.model.events import SCOPE_PREFIX, SessionForked, SessionOpened, SettingsAdopted
from clawvm_es.model.facts import OnPressure
from clawvm_es.model.profile import RULES, Paging, Profile
from clawvm_es.projections import catch_up, keep_up
from clawvm_es.representations.counter import TokenCounter
from clawvm_es.representations.frame import RENDERER
from clawvm_es.representations.sayable import is_sayable
from clawvm_es.storage import open_log

_log = Log("clawvm_es.journal")


class Journal:
    """An open journal: a log of sessions in a file (or in memory), with its read models."""

    def __init__(
        self,
        log: EventLog,
        *,
        seed: int | None = None,
        read_only: bool = False,
        clock: Callable[[], int] = now_us,
        hide_secrets: bool = False,
        prices: str | Path | None = None,
    ) -> None:
        self.log = log
        self.prices = prices
        self.read_only = read_only
        self.seed = seed
        self.clock = clock
        self.hide_secrets = hide_secrets
        self._behind = 0  # events recorded by sessions since the read models were brought on
        self._caught_up: int | None = None  # events of the log when read models and snapshots were brought on to it
        self._closed = False

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str],
        *,
        seed: int | None = None,
        wait_s: float = limits.LOCK_WAIT_S,
        read_only: bool = False,
        clock: Callable[[], int] = now_us,
        hide_secrets: bool = False,
        group: bool = False,
        prices: str | Path | None = None,
        connect: Callable[..., Any] | None = None,
    ) -> Journal:
        """Open the journal at `url`, or make it: a path, `sqlite:///PATH`, `postgresql://…`, or `memory:`.

        `memory:` is a new journal that ends with this object. With a `seed`, salts are derived from it, so that
        the same input gives the same bytes on any machine; such a journal can only be written with its seed. With
        `hide_secrets`, credentials of known forms are replaced by their kind before anything is stored, counted or
        put into a prompt. A new journal is readable by its owner only, with `group` also by the file's group; an
        existing one keeps its permissions. `prices` names a price list (one of `prices.NAMES`, or a file);
        sessions use it to decide when a new selection of pages pays. `connect` makes the connections of the
        storage (`storage.open_log`). Raises `UsageError` (no such storage), `NotAJournal`, `JournalTooNew`,
        `JournalDamaged`, `JournalBusy`, `JournalReadOnly`.
        """
        given.seconds("wait_s", wait_s)
        for what, flag in (("read_only", read_only), ("hide_secrets", hide_secrets), ("group", group)):
            given.boolean(what, flag)
        if seed is not None:
            given.integer("seed", seed)
        if prices is not None:
            given.path("prices", prices)
        given.function("clock", clock)
        if connect is not None:
            given.function("connect", connect)
        log = open_log(
            url, connect=connect, wait_s=wait_s, read_only=read_only, reproducible=seed is not None, group=group
        )
        return cls(log, seed=seed, read_only=log.read_only, clock=clock, hide_secrets=hide_secrets, prices=prices)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(catch_up=not isinstance(error, JournalError))

    def session(  # noqa: PLR0913 - one argument a setting
        self,
        session_id: str,
        *,
        policy: str | Profile | None = None,
        budget_tokens: int | None = None,
        counter: str | TokenCounter | None = None,
        on_pressure: OnPressure | str | None = None,
        project: str | None = None,
        linked_to: str | None = None,
        folder: str | os.PathLike[str] | None = None,
        renderer: str | None = None,
        settings: Settings | None = None,
        on_other_settings: OtherSettings | str | None = None,
    ) -> Session:
        """Open a session, or continue it at the end of its stream; the next hook reopens a closed session.

        Defaults: policy `clawvm`; a budget of `limits.BUDGET_DEFAULT` tokens, counted by tiktoken's `o200k_base`;
        `on_pressure="protect"`: an assembly raises if a bootstrap or constraint page does not fit.

        Policy, budget and `on_pressure` may differ from those of an existing session. A closed session then adopts
        them, as an event. An open one raises `UsageError`, since another handle may be using it. `on_other_settings`
        overrides this: `"adopt"`, `"raise"`, or `"keep"` the session's own. Counter, project and renderer are fixed.

        `folder` is the agent's working folder, by which `sessions` finds the session. `settings` declares what the
        log does not hold: tools, fields of the durable store, validators, writers. A `counter` of your own is
        recorded by name, and has to be passed again whenever the session is opened. Under the policy `recorded` pages
        are kept in full only, and what-ifs say so. `renderer` makes the prompts: `"messages/1:anthropic"`,
        `"messages/1:openai"` (Chat Completions) or `"messages/1:responses"` (see `Prompt.messages`); by default a
        prompt is one text of frames.
        """
        self._check_id(session_id)
        if settings is not None:
            given.instance("settings", Settings, settings, "Settings")
        where = None if folder is None else given.path("folder", folder)
        counted = counter if counter is None or isinstance(counter, str) else counter_of(counter).name
        for what, name in (("project", project), ("linked_to", linked_to), ("counter", counted)):
            if name is not None:
                check_text(what, name)
        wanted = None if policy is None else self._priced(profile(policy) if isinstance(policy, str) else policy)
        if budget_tokens is not None:
            given.integer("budget in tokens", budget_tokens, 1)
        pressure = None if on_pressure is None else given.choice("on_pressure", OnPressure, on_pressure)
        how = (
            None if on_other_settings is None else given.choice("on_other_settings", OtherSettings, on_other_settings)
        )
        stored = self.opened(session_id)
        if stored is None:
            wants = SessionOpened(
                profile=wanted or self._priced(profile("clawvm")),
                budget_tokens=limits.BUDGET_DEFAULT if budget_tokens is None else budget_tokens,
                counter=counted or "o200k_base",
                decider_version=DECIDER_VERSION,
                on_pressure=pressure or OnPressure.PROTECT,
                reproducible=self.seed is not None,
                project=SCOPE_PREFIX + project if project else None,
                linked_to=linked_to,
                misfits=limits.MISFITS,
                directory_tokens=limits.DIRECTORY_TOKENS,
                renderer=named(renderer) if renderer is not None else "",
                hides_secrets=self.hide_secrets or None,
            )
            session, stored = self._begun(session_id, wants, counter, where, settings)
            if session is not None:
                return session
        if how is not OtherSettings.KEEP:
            _check_fixed(session_id, stored, counter=counted, project=project, renderer=renderer)
        counts = counter if counter is not None and counted == stored.counter else stored.counter
        session = self.resume(session_id, counts, settings, reopens=True, hides_secrets=stored.hides_secrets)
        if isinstance(policy, str) and self.prices is None and session.state.profile.name == policy:
            wanted = None  # a session keeps the version of its policy that it was opened with
        if how is not OtherSettings.KEEP and any(found is not None for found in (wanted, budget_tokens, pressure)):
            session.adopt(SettingsAdopted(wanted, budget_tokens, pressure), how)
        return session

    def _begun(
        self,
        session_id: str,
        wants: SessionOpened,
        counter: str | TokenCounter | None,
        folder: str | None,
        settings: Settings | None,
    ) -> tuple[Session | None, SessionOpened]:
        """A new session and its opening event; or no session, and another writer's opening event if it was faster."""
        wants = replace(wants, levels=not RULES[wants.profile.rule].recorded)  # it selects nothing
        session = self.resume(session_id, counter or wants.counter, settings)
        if folder is not None:
            wants = replace(wants, folder=session.keep(os.path.abspath(folder)))
        stored = session.open(wants)
        return session if stored == wants else None, stored

    def _priced(self, wanted: Profile) -> Profile:
        """A profile at this journal's prices."""
        if self.prices is None or wanted.paging is Paging.TURN:
            return wanted
        from clawvm_es.prices import applied

        return applied(wanted, self.prices)

    def sessions(
        self, *, folder: str | os.PathLike[str] | None = None, title: str | None = None
    ) -> tuple[Listed, ...]:
        """The sessions of this journal, in order of opening.

        `folder` selects sessions that worked in it or below it; `title` those whose title or id contains the text,
        ignoring case.
        """
        where = None if folder is None else os.path.abspath(given.path("folder", folder))
        return tuple(sessions(self.log, where, None if title is None else given.text("title", title)))

    @staticmethod
    def _check_id(session_id: str) -> None:
        check_text("session id", session_id)
        if session_id.startswith(SCOPE_PREFIX):
            raise UsageError(f"session id {session_id!r}: {SCOPE_PREFIX} names the streams of shared scopes")

    def opened(self, session_id: str) -> SessionOpened | None:
        """Return the event that opened a session; None if there is no such session."""
        if not is_sayable(given.text("session id", session_id)):
            return None
        opened: SessionOpened | None = None
        for segment in lineage(self.log, session_id):
            first = self.log.first(segment.stream)
            if first is not None and isinstance(first.data, SessionOpened):
                opened = first.data
            elif first is not None and isinstance(first.data, SessionForked) and opened is not None:
                fork = first.data
                opened = replace(
                    opened,
                    profile=fork.profile or opened.profile,
                    budget_tokens=fork.budget_tokens or opened.budget_tokens,
                )
        return opened

    def fork(
        self,
        parent: str,
        session_id: str,
        *,
        at: int | None = None,
        policy: str | Profile | None = None,
        budget_tokens: int | None = None,
        allow_new_calls: bool = False,
        counter: TokenCounter | None = None,
        settings: Settings | None = None,
    ) -> Session:
        """Open a new session that continues from event `at` of `parent` (by default its last) and copies nothing.

        Policy and budget are the parent's unless given; pass a `counter` of your own again. The fork's `tool` serves
        results that the parent recorded, also after `at`. It runs nothing else, now or when the fork is opened again,
        unless `allow_new_calls` is set. Raises `UsageError` if there is no such event, or `session_id` is taken.
        """
        self._check_id(session_id)
        stored, head = self.opened(parent), self.log.head(parent)
        if stored is None or head is None:
            raise UsageError(f"there is no session {parent} to fork")
        if at is not None and not 1 <= given.integer("at", at) <= head.version:
            raise UsageError(f"session {parent} has no version {at}", hint=f"its last is {head.version}")
        last = event_at(self.log, parent, head.version if at is None else at)
        if last.session_id != parent:
            raise UsageError(
                f"version {at} of {parent} is an event of {last.session_id}", hint=f"fork {last.session_id}"
            )
        if self.log.head(session_id) is not None:
            raise UsageError(f"there is a session {session_id} already", hint="give the fork another name")
        forked = SessionForked(
            parent=parent,
            parent_version=last.version,
            parent_hash=last.hash.hex(),
            profile=profile(policy) if isinstance(policy, str) else policy,
            budget_tokens=budget_tokens,
            allow_new_calls=allow_new_calls,
        )
        decide(snapshots.state_at(self.log, parent, last.version), Command(forked, 0))
        event = NewEvent(forked, last.turn, self.clock(), "harness")
        session = self.resume(session_id, counter or stored.counter, settings, hides_secrets=stored.hides_secrets)
        self.log.append(session_id, [event], Expected.NO_STREAM)
        return session

    def resume(
        self,
        session_id: str,
        counter: str | TokenCounter,
        settings: Settings | None = None,
        *,
        reopens: bool = False,
        hides_secrets: bool | None = None,
    ) -> Session:
        """Return a handle on a stream as it is, open or not; for importers that write the opening event themselves.

        With `reopens`, the first hook that records something reopens a closed session. `hides_secrets` is the setting
        with which the session was opened; with None (unknown) the journal's own setting applies.
        """
        if self.log.reproducible and self.seed is None:
            hint = "open it with the seed that it was made with: --seed N, in Python seed=N; the demo's is 1"
            raise UsageError("this journal is reproducible", hint=hint)
        if self.seed is not None and not self.log.reproducible:
            raise UsageError("this journal was not made with a seed", hint="open it without one, or make another")
        hides = self.hide_secrets if hides_secrets is None else hides_secrets
        shell = Shell(self.log, session_id, counter_of(counter), self.seed, hides, reopens)
        return Session(shell, settings, self.clock, self.catch_up, self._recorded)

    def catch_up(self) -> None:
        """Bring the read models up to date, and take the snapshots that are due."""
        size = self._size()
        catch_up(self.log)
        snapshots.catch_up(self.log)
        self._caught_up = size

    def _size(self) -> int | None:
        """The number of events in the log; None if it does not tell."""
        return anchoring(self.log, "catch up").size() if declares(self.log, Capability.ANCHOR) else None

    def _recorded(self, events: int) -> None:
        """Advance read models and snapshots by one piece once many events are new, so that `close` is quick.

        A failure is logged and stops no hook, since the hook's events are already recorded.
        """
        self._behind += events
        if self._behind < limits.KEEP_UP_EVENTS or self.read_only:
            return
        self._behind = 0
        try:
            keep_up(self.log)
            snapshots.keep_up(self.log)
        except ClawVMError as error:
            _log.warning("the read models were not brought on", path=self.log.place, error=error.message)

    def close(self, *, catch_up: bool = True) -> None:
        """Bring the read models up to date (unless told not to) and release the file; closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        try:
            if catch_up and not self.read_only and (self._caught_up is None or self._caught_up != self._size()):
                self.catch_up()
        finally:
            self.log.close()


def _check_fixed(
    session_id: str, stored: SessionOpened, *, counter: str | None, project: str | None, renderer: str | None
) -> None:
    """Raise `UsageError` if a given setting differs from one that is fixed since the session was opened."""
    fixed = {
        "counter": (stored.counter, counter),
        "project": (stored.project, project and SCOPE_PREFIX + project),
        "renderer": (stored.renderer or RENDERER, renderer),
    }
    for name, (was, now) in fixed.items():
        if now is not None and now != was:
            hint = "give the session another name, or leave the setting out"
            raise other_settings(session_id, name, was, now, hint)
