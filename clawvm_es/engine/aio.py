"""Async twins of the journal and its sessions: the same calls, run in worker threads.

The sync core is thread-safe, so that an event loop never waits for a lock or a disk.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from clawvm_es.core.state import State
from clawvm_es.engine.hooks import Prompt, Report, StageResult, ToolResult
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.engine.shell import Outcome
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.model.pages import PageType
from clawvm_es.observe.steps import Step


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
    def state(self) -> State:
        """The folded state; treat it as read-only."""
        return self.sync.state

    async def write_page(self, page_type: PageType | str, text: str, **options: Any) -> str:
        """See `Session.write_page`."""
        return await asyncio.to_thread(functools.partial(self.sync.write_page, page_type, text, **options))

    async def user_says(self, text: str, *, key: str | None = None) -> str:
        """See `Session.user_says`."""
        return await asyncio.to_thread(functools.partial(self.sync.user_says, text, key=key))

    async def emit(self, page_id: str, first_line: int = 1, last_line: int | None = None) -> str:
        """See `Session.emit`."""
        return await asyncio.to_thread(functools.partial(self.sync.emit, page_id, first_line, last_line))

    async def observe(self, step: Step, *, key: str | None = None) -> Outcome:
        """See `Session.observe`."""
        return await asyncio.to_thread(functools.partial(self.sync.observe, step, key=key))

    async def assemble(
        self, hints: Iterable[str] | None = None, fixed_tokens: int = 0, *, key: str | None = None
    ) -> Prompt:
        """See `Session.assemble`."""
        return await asyncio.to_thread(functools.partial(self.sync.assemble, hints, fixed_tokens, key=key))

    async def observe_model(
        self, text: str = "", calls: Sequence[tuple[str, Mapping[str, Any]]] = (), **options: Any
    ) -> tuple[int, ...]:
        """See `Session.observe_model`."""
        return await asyncio.to_thread(functools.partial(self.sync.observe_model, text, calls, **options))

    async def observe_result(
        self, call: int, text: str, status: ReturnStatus | str = ReturnStatus.OK, **options: Any
    ) -> str:
        """See `Session.observe_result`."""
        return await asyncio.to_thread(functools.partial(self.sync.observe_result, call, text, status, **options))

    async def tool(
        self,
        name: str,
        arguments: Mapping[str, Any],
        run: Callable[..., str] | Callable[..., Awaitable[str]] | None = None,
    ) -> ToolResult:
        """See `Session.tool`; a `run` that is a coroutine function runs on the calling loop.

        When the task is cancelled meanwhile, the call is recorded as interrupted.
        """
        run = run or self.sync.declared(name)
        begun = await asyncio.to_thread(
            functools.partial(self.sync.begin_tool, name, arguments, runs=run is not None)
        )
        if begun.served is not None:
            return begun.served
        assert run is not None
        try:
            if inspect.iscoroutinefunction(run):
                text = await run(**arguments)
            else:
                text = await asyncio.to_thread(functools.partial(run, **arguments))
        except BaseException as error:
            await asyncio.shield(asyncio.to_thread(self.sync.fail_tool, begun, error))
            raise
        return await asyncio.to_thread(self.sync.finish_tool, begun, text)

    async def recall(
        self, query: str, answer: Callable[[str], Iterable[str]] | Iterable[str] | None, **options: Any
    ) -> tuple[str, ...]:
        """See `Session.recall`."""
        return await asyncio.to_thread(functools.partial(self.sync.recall, query, answer, **options))

    async def stage(self, field: str, op: str, value: Any, **options: Any) -> StageResult:
        """See `Session.stage`."""
        return await asyncio.to_thread(functools.partial(self.sync.stage, field, op, value, **options))

    async def resolve(
        self, page_id: str, first_line: int = 1, last_line: int | None = None, *, key: str | None = None
    ) -> str:
        """See `Session.resolve`."""
        return await asyncio.to_thread(functools.partial(self.sync.resolve, page_id, first_line, last_line, key=key))

    async def pin(self, page_id: str, pin: str, *, key: str | None = None) -> None:
        """See `Session.pin`."""
        await asyncio.to_thread(functools.partial(self.sync.pin, page_id, pin, key=key))

    async def retire(self, page_id: str, reason: str = "withdrawn", *, key: str | None = None) -> None:
        """See `Session.retire`."""
        await asyncio.to_thread(functools.partial(self.sync.retire, page_id, reason, key=key))

    async def set_budget(self, tokens: int, *, key: str | None = None) -> None:
        """See `Session.set_budget`."""
        await asyncio.to_thread(functools.partial(self.sync.set_budget, tokens, key=key))

    async def value(self, field: str, scope: str = "session") -> Any:
        """See `Session.value`."""
        return await asyncio.to_thread(self.sync.value, field, scope)

    async def compact(self, *, key: str | None = None) -> Report:
        """See `Session.compact`."""
        return await asyncio.to_thread(functools.partial(self.sync.compact, key=key))

    async def reset(self, *, key: str | None = None) -> Report:
        """See `Session.reset`."""
        return await asyncio.to_thread(functools.partial(self.sync.reset, key=key))

    async def prune(self, page_ids: Iterable[str] = (), *, key: str | None = None) -> Report:
        """See `Session.prune`."""
        return await asyncio.to_thread(functools.partial(self.sync.prune, page_ids, key=key))

    async def flush(self, *, key: str | None = None) -> Report:
        """See `Session.flush`."""
        return await asyncio.to_thread(functools.partial(self.sync.flush, key=key))

    async def save(self, *, key: str | None = None) -> Report:
        """See `Session.save`."""
        return await asyncio.to_thread(functools.partial(self.sync.save, key=key))

    async def close(self, *, key: str | None = None) -> Report:
        """See `Session.close`."""
        return await asyncio.to_thread(functools.partial(self.sync.close, key=key))


class AsyncJournal:
    """The async twin of `Journal`."""

    def __init__(self, journal: Journal) -> None:
        self.sync = journal

    @classmethod
    async def open(cls, path: str | os.PathLike[str], **options: Any) -> AsyncJournal:
        """See `Journal.open`."""
        return cls(await asyncio.to_thread(functools.partial(Journal.open, path, **options)))

    async def __aenter__(self) -> AsyncJournal:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def session(self, session_id: str, **options: Any) -> AsyncSession:
        """See `Journal.session`."""
        return AsyncSession(await asyncio.to_thread(functools.partial(self.sync.session, session_id, **options)))

    async def fork(self, parent: str, session_id: str, **options: Any) -> AsyncSession:
        """See `Journal.fork`."""
        return AsyncSession(await asyncio.to_thread(functools.partial(self.sync.fork, parent, session_id, **options)))

    async def close(self) -> None:
        """See `Journal.close`."""
        await asyncio.to_thread(self.sync.close)
