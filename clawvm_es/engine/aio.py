"""Async twins of the journal and its sessions: the same calls, run in worker threads.

The sync core is thread-safe, so that an event loop never waits for a lock or a disk.

LAW-ASYNC-1: each public method of a session and of a journal has a twin with the same parameters; each property
has a property.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from clawvm_es.core.state import Call, State
from clawvm_es.engine.hooks import ToolResult
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session

P = ParamSpec("P")
R = TypeVar("R")


def _twin(
    method: Callable[Concatenate[Session, P], R],
) -> Callable[Concatenate[AsyncSession, P], Coroutine[Any, Any, R]]:
    """The twin of a method of `Session`, which runs in a thread."""

    async def twin(self: AsyncSession, /, *args: P.args, **options: P.kwargs) -> R:
        own: Callable[P, R] = getattr(self.sync, method.__name__)
        return await asyncio.to_thread(own, *args, **options)

    functools.update_wrapper(twin, method)
    twin.__doc__ = f"See `Session.{method.__name__}`."
    return twin


def _of_journal(
    method: Callable[Concatenate[Journal, P], R],
) -> Callable[Concatenate[AsyncJournal, P], Coroutine[Any, Any, R]]:
    """The twin of a method of `Journal`, which runs in a thread."""

    async def twin(self: AsyncJournal, /, *args: P.args, **options: P.kwargs) -> R:
        own: Callable[P, R] = getattr(self.sync, method.__name__)
        return await asyncio.to_thread(own, *args, **options)

    functools.update_wrapper(twin, method)
    twin.__doc__ = f"See `Journal.{method.__name__}`."
    return twin


class AsyncSession:
    """The async twin of `Session`; parameters and results are those of the sync methods."""

    def __init__(self, session: Session) -> None:
        self.sync = session

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.sync.__exit__, kind, error, trace)

    @property
    def session_id(self) -> str:
        """See `Session.session_id`."""
        return self.sync.session_id

    @property
    def state(self) -> State:
        """The folded state; treat it as read-only."""
        return self.sync.state

    @property
    def head(self) -> tuple[int, str]:
        """See `Session.head`."""
        return self.sync.head

    @property
    def in_flight(self) -> tuple[Call, ...]:
        """See `Session.in_flight`."""
        return self.sync.in_flight

    @property
    def fill_permille(self) -> int:
        """See `Session.fill_permille`."""
        return self.sync.fill_permille

    value = _twin(Session.value)
    field_version = _twin(Session.field_version)
    store = _twin(Session.store)
    search = _twin(Session.search)
    read_page = _twin(Session.read_page)
    emit = _twin(Session.emit)

    open = _twin(Session.open)
    adopt = _twin(Session.adopt)
    keep = _twin(Session.keep)
    execute = _twin(Session.execute)
    observer = _twin(Session.observer)
    write_page = _twin(Session.write_page)
    user_says = _twin(Session.user_says)
    pin = _twin(Session.pin)
    retire = _twin(Session.retire)
    repage = _twin(Session.repage)
    set_budget = _twin(Session.set_budget)
    assemble = _twin(Session.assemble)
    observe = _twin(Session.observe)
    observe_model = _twin(Session.observe_model)
    observe_result = _twin(Session.observe_result)

    async def tool(
        self,
        name: str,
        arguments: Mapping[str, Any],
        run: Callable[..., str] | Callable[..., Awaitable[str]] | None = None,
        *,
        call: int | str | None = None,
    ) -> ToolResult:
        """See `Session.tool`; a `run` that is a coroutine function or returns an awaitable is awaited on this loop.

        If the task is cancelled meanwhile, the call is recorded as interrupted.
        """
        run = run or self.sync.declared(name)
        begun = await self.begin_tool(name, arguments, runs=run is not None, call=call)
        if begun.served is not None:
            return begun.served
        assert run is not None
        try:
            text = await _run(run, arguments)
        except BaseException as error:
            await asyncio.shield(asyncio.to_thread(self.sync.fail_tool, begun, error))
            raise
        return await self.finish_tool(begun, text)

    declared = _twin(Session.declared)
    begin_tool = _twin(Session.begin_tool)
    finish_tool = _twin(Session.finish_tool)
    fail_tool = _twin(Session.fail_tool)
    recall = _twin(Session.recall)
    resolve = _twin(Session.resolve)

    stage = _twin(Session.stage)
    compact = _twin(Session.compact)
    reset = _twin(Session.reset)
    prune = _twin(Session.prune)
    flush = _twin(Session.flush)
    save = _twin(Session.save)
    close = _twin(Session.close)


async def _run(run: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """Run a tool: a coroutine function on this loop, any other in a thread; an awaitable result is awaited."""
    if inspect.iscoroutinefunction(run):
        return await run(**arguments)
    found = await asyncio.to_thread(functools.partial(run, **arguments))
    return await found if inspect.isawaitable(found) else found


class AsyncJournal:
    """The async twin of `Journal`."""

    def __init__(self, journal: Journal) -> None:
        self.sync = journal

    @classmethod
    async def open(cls, url: str | os.PathLike[str], **options: Any) -> AsyncJournal:
        """See `Journal.open`."""
        return cls(await asyncio.to_thread(functools.partial(Journal.open, url, **options)))

    async def __aenter__(self) -> AsyncJournal:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.sync.__exit__, kind, error, trace)

    async def session(self, session_id: str, **options: Any) -> AsyncSession:
        """See `Journal.session`."""
        return AsyncSession(await asyncio.to_thread(functools.partial(self.sync.session, session_id, **options)))

    async def fork(self, parent: str, session_id: str, **options: Any) -> AsyncSession:
        """See `Journal.fork`."""
        return AsyncSession(await asyncio.to_thread(functools.partial(self.sync.fork, parent, session_id, **options)))

    async def resume(self, session_id: str, counter: str, *args: Any, **options: Any) -> AsyncSession:
        """See `Journal.resume`."""
        own = functools.partial(self.sync.resume, session_id, counter, *args, **options)
        return AsyncSession(await asyncio.to_thread(own))

    sessions = _of_journal(Journal.sessions)
    opened = _of_journal(Journal.opened)
    catch_up = _of_journal(Journal.catch_up)
    close = _of_journal(Journal.close)
