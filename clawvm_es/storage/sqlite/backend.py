"""The interface of the SQLite storage for `clawvm_es.storage`."""

from __future__ import annotations

import os
import sqlite3

from clawvm_es.journal.problems import Note, Problem, silent
from clawvm_es.storage.sqlite.backup import backup
from clawvm_es.storage.sqlite.judging import is_new
from clawvm_es.storage.sqlite.log import open_log
from clawvm_es.storage.sqlite.verify import verify_file
from clawvm_es.storage.sqlite.watched import Connect

__all__ = ["backup", "exists", "open_log", "verify"]


def verify(
    path: str, *, fast: bool = False, note: Note = silent, connect: Connect = sqlite3.connect
) -> tuple[Problem, ...]:
    """All problems of the journal at `path`. Raises `UnreadableInput` where there is no file."""
    return verify_file(os.path.realpath(path), fast=fast, note=note, connect=connect)


def exists(path: str) -> bool:
    """Tell whether there is a journal at `path`; raises for another file, and for a journal too new or damaged."""
    return not is_new(os.path.realpath(path))
