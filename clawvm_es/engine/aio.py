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
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Prompt, Session, StageResult, ToolResult
from clawvm_es.model.facts import RecallOutcome, ReturnStatus
from clawvm_es.model.pages import PageType


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

    async def assemble(self, hints: Iterable[str] = (), fixed_tokens: int = 0, *, key: str | None = None) -> Prompt:
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
        """See `Session.tool`; `run` may be a coroutine function, which then runs on the calling loop."""
        if run is not None and inspect.iscoroutinefunction(run):
            run = _on_loop(run, asyncio.get_running_loop())
        return await asyncio.to_thread(self.sync.tool, name, arguments, run)  # type: ignore[arg-type]

    async def recall(
        self,
        query: str,
        answer: Callable[[str], Sequence[str]] | Sequence[str] | None,
        *,
        outcome: RecallOutcome | str | None = None,
    ) -> tuple[str, ...]:
        """See `Session.recall`."""
        return await asyncio.to_thread(functools.partial(self.sync.recall, query, answer, outcome=outcome))

    async def stage(self, field: str, op: str, value: Any, **options: Any) -> StageResult:
        """See `Session.stage`."""
        return await asyncio.to_thread(functools.partial(self.sync.stage, field, op, value, **options))

    async def compact(self) -> None:
        """See `Session.compact`."""
        await asyncio.to_thread(self.sync.compact)

    async def reset(self) -> None:
        """See `Session.reset`."""
        await asyncio.to_thread(self.sync.reset)

    async def prune(self, page_ids: Iterable[str] = ()) -> None:
        """See `Session.prune`."""
        await asyncio.to_thread(self.sync.prune, page_ids)

    async def flush(self) -> None:
        """See `Session.flush`."""
        await asyncio.to_thread(self.sync.flush)

    async def save(self) -> None:
        """See `Session.save`."""
        await asyncio.to_thread(self.sync.save)

    async def close(self) -> None:
        """See `Session.close`."""
        await asyncio.to_thread(self.sync.close)


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

    async def close(self) -> None:
        """See `Journal.close`."""
        await asyncio.to_thread(self.sync.close)


def _on_loop(run: Callable[..., Any], loop: asyncio.AbstractEventLoop) -> Callable[..., Any]:
    """A function for a worker thread that awaits `run` on `loop`."""

    def call(**arguments: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(run(**arguments), loop).result()

    return call
