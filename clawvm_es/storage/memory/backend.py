"""The interface of the storage in memory for `clawvm_es.storage`."""

from __future__ import annotations

from clawvm_es.errors import UsageError
from clawvm_es.storage.memory.log import MemoryLog

__all__ = ["open_log"]


def open_log(place: str, *, wait_s: float, read_only: bool, reproducible: bool, group: bool) -> MemoryLog:
    """Make an empty log; it waits for writers of this process as long as they take, and no file has a group."""
    if read_only:
        raise UsageError("a log in memory begins empty, so there is nothing to read", hint="name a journal file")
    return MemoryLog(reproducible=reproducible)
