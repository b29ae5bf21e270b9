"""Texts found by a part of them: an index over all series of three characters, in a file that only this process has.

SQLite keeps the index, and the texts that are to be kept, in memory while they are small, then in a temporary file.

LAW-SUBSTRING-1: every text that holds another is among those that may hold it.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import tempfile
from typing import Any, Final

_SERIES: Final = 3
_ASKED: Final = 32
"""Series of a text that are asked for at most."""
_ODD: Final = re.compile("[\0\ud800-\udfff]")
_KIB_CACHED: Final = 2_048


class Series:
    """The `Substrings` of this storage."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_KIB_CACHED}"):
            self._db.execute(f"PRAGMA {setting}")
        options = "content='', detail=none, tokenize='trigram case_sensitive 1'"
        self._db.execute(f"CREATE VIRTUAL TABLE texts USING fts5(text, {options})")
        self._db.execute("CREATE TABLE kept (number INTEGER PRIMARY KEY, text BLOB NOT NULL)")
        self._db.execute("BEGIN")  # never ended: each commit would write and merge a segment of its own

    def put(self, number: int, text: str, keep: bool = False) -> None:
        """Index the text of a number, which is given once; the text itself is only kept if told so."""
        self._ask("INSERT INTO texts (rowid, text) VALUES (?, ?)", number, _plain(text))
        if keep:
            self._ask("INSERT INTO kept VALUES (?, ?)", number, text.encode("utf-8", "surrogatepass"))

    def text(self, number: int) -> str:
        """The text of a number; empty where it was not kept."""
        found = self._ask("SELECT text FROM kept WHERE number = ?", number)
        return b"".join(text for (text,) in found).decode("utf-8", "surrogatepass")

    def may_hold(self, text: str) -> list[int]:
        """The numbers of the texts that may hold `text`, rising; `text` has at least three characters."""
        plain = _plain(text)
        step = max(1, (len(plain) - _SERIES) // _ASKED)
        series = dict.fromkeys(plain[at : at + _SERIES] for at in range(0, len(plain) - _SERIES + 1, step))
        quoted = (each.replace('"', '""') for each in series)
        query = " AND ".join(f'"{each}"' for each in quoted)
        return [
            number for (number,) in self._ask("SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid", query)
        ]

    def _ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query. Raises `OSError`, which names the folder of temporary files."""
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
            told = f"{error}; texts that are searched are put by there (TMPDIR names another folder)"
            folder = os.environ.get("SQLITE_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir()
            raise OSError(errno.ENOSPC if full else errno.EIO, told, folder) from error


def _plain(text: str) -> str:
    """A text without the characters that SQLite takes for an end, or not at all; each becomes another one."""
    return _ODD.sub("\ufffd", text)
