"""Keeps connections of SQLite from being carried over a fork, which would break the file under both processes.

Open logs let go of theirs before a fork of the process and connect again on first use, on either side of it.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from typing import Final, Protocol


class Forked(Protocol):
    """An owner of connections, who is told of forks."""

    def before_fork(self) -> None:
        """Take all locks, and close what may be closed."""

    def after_fork(self, child: bool) -> None:
        """Give the locks back, in the parent or in the child."""


OPEN: Final[weakref.WeakSet[Forked]] = weakref.WeakSet()
"""All that have connections open."""
LEFT_TO_PARENT: Final[list[sqlite3.Connection | None]] = []
"""Connections that a fork inside a transaction copied; closing them here would disturb the parent's."""
_forking: Final[list[Forked]] = []


def _before_fork() -> None:
    _forking.extend(OPEN)
    for each in _forking:
        each.before_fork()


def _after_fork(child: bool) -> None:
    while _forking:
        _forking.pop().after_fork(child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(child=False),
        after_in_child=lambda: _after_fork(child=True),
    )
