"""A growing session as server-sent events: its head at once, and again whenever it moves.

Only the files' state is polled; the journal is opened briefly when they have changed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from clawvm_es.errors import ClawVMError
from clawvm_es.web.encode import encode

LOOK_S: Final = 0.3
"""Seconds between two looks at the files."""
QUIET_S: Final = 15.0
"""Seconds of silence after which a comment shows that the connection is alive."""
Look = Callable[[], dict[str, Any]]


async def tail(journal: str, look: Look, stopping: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The events of a stream; `look` returns the data about the head, and is called in its own thread."""
    seen: Any = None
    told: dict[str, Any] | None = None
    quiet = 0.0
    while not stopping():
        now = _stamp(journal)
        if told is None or now is None or now != seen:
            seen = now
            try:
                found = await asyncio.to_thread(look)
            except (ClawVMError, OSError) as error:
                said, hint = (error.message, error.hint) if isinstance(error, ClawVMError) else (str(error), "")
                yield message("gone", {"error": said, "hint": hint or None})
                return
            if found != told:
                told, quiet = found, 0.0
                yield message("head", found)
        await asyncio.sleep(LOOK_S)
        quiet += LOOK_S
        if quiet >= QUIET_S:
            quiet = 0.0
            yield b":\n\n"


def message(name: str, data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), encode(data))


def _stamp(journal: str) -> tuple[int, ...] | None:
    """Marks that change when a journal's file does; None for a journal that is no file.

    An empty write-ahead log counts as absent: each reader of a closed journal makes one, and removes it.
    """
    found: list[int] = []
    try:
        for path in (journal, f"{journal}-wal"):
            if os.path.exists(path) and (stat := os.stat(path)).st_size:
                found += (stat.st_mtime_ns, stat.st_size)
    except OSError:
        return None
    return tuple(found) or None
