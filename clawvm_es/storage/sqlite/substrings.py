"""Texts found by a part of them: an index over all series of three characters, in a file that only this process has.

The texts themselves are not kept. SQLite keeps the index in memory while it is small, then in a temporary file.

LAW-SUBSTRING-1: every text that holds another is among those that may hold it.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Final

_SERIES: Final = 3
_ASKED: Final = 64
"""Series of a text that are asked for at most."""
_ODD: Final = re.compile("[\0\ud800-\udfff]")
_CACHE_KIB: Final = 2_048


class Series:
    """The `Substrings` of this storage."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._db.execute(f"PRAGMA {setting}")
        options = "content='', detail=none, tokenize='trigram case_sensitive 1'"
        self._db.execute(f"CREATE VIRTUAL TABLE texts USING fts5(text, {options})")

    def put(self, number: int, text: str) -> None:
        """Index the text of a number; it is given once."""
        self._db.execute("INSERT INTO texts (rowid, text) VALUES (?, ?)", (number, _plain(text)))

    def may_hold(self, text: str) -> list[int]:
        """The numbers of the texts that may hold `text`, rising; `text` has at least three characters."""
        plain = _plain(text)
        step = max(1, (len(plain) - _SERIES) // _ASKED)
        series = {plain[at : at + _SERIES] for at in range(0, len(plain) - _SERIES + 1, step)}
        quoted = (each.replace('"', '""') for each in sorted(series))
        query = " AND ".join(f'"{each}"' for each in quoted)
        return [
            row[0] for row in self._db.execute("SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid", (query,))
        ]


def _plain(text: str) -> str:
    """A text without the characters that SQLite takes for an end, or not at all; each becomes another one."""
    return _ODD.sub("\ufffd", text)
