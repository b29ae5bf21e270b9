"""The index of substrings against a plain model: texts that hold all series which are asked for."""

from __future__ import annotations

import errno
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.storage import substrings
from clawvm_es.storage.sqlite.substrings import Series

SHORT = st.text("ab\"'\0é\ud800", max_size=14)


@given(st.lists(SHORT, max_size=8), SHORT.filter(lambda text: len(text) > 2))
def test_a_short_text_may_stand_where_all_its_series_stand(texts, wanted) -> None:
    """LAW-SUBSTRING-1: all that hold it are found, and of the others only those that hold each three of it."""
    index = substrings()
    for number, text in enumerate(texts, 5):
        index.put(number, text)
    plain = [text.replace("\0", "\ufffd").replace("\ud800", "\ufffd") for text in (*texts, wanted)]
    threes = {plain[-1][at : at + 3] for at in range(len(wanted) - 2)}
    assert index.may_hold(wanted) == [
        number for number, text in enumerate(plain[:-1], 5) if all(three in text for three in threes)
    ]


@pytest.mark.parametrize(("length", "asked"), [(3, 1), (34, 32), (35, 33), (66, 64), (67, 33), (98, 48), (1_003, 33)])
def test_of_a_long_text_few_series_are_asked_for(monkeypatch, length, asked) -> None:
    """The first always; of a text of more than two times 32 series those at equal steps, up to its end."""
    queries: list[str] = []
    monkeypatch.setattr(Series, "_ask", lambda _, query, *values: queries.extend(values) or [])
    index = Series.__new__(Series)
    text = "".join(chr(0x4E00 + at) for at in range(length))
    assert index.may_hold(text) == []
    series = queries[0].split(" AND ")
    step = max(1, (length - 3) // 32)
    assert series == [f'"{text[at : at + 3]}"' for at in range(0, length - 2, step)]
    assert len(series) == asked


def test_a_text_is_kept_as_it_was_if_told_so() -> None:
    """Kept texts come back with every character; of others, and of numbers that were never given, nothing does."""
    index = substrings()
    odd = "a\0b\ud800 é\"'"
    index.put(1, odd, keep=True)
    index.put(2, "not kept")
    index.put(3, "", keep=True)
    assert [index.text(number) for number in (1, 2, 3, 4)] == [odd, "", "", ""]


def test_a_full_disk_names_the_folder_of_temporary_files(monkeypatch) -> None:
    """What SQLite cannot write is told as the system's error, with the folder that another one can replace."""

    class Failing:
        """A connection that fails with one of SQLite's errors."""

        def __init__(self, code: int) -> None:
            self.error = sqlite3.OperationalError("no room")
            self.error.sqlite_errorcode = code

        def execute(self, *_: object) -> None:
            """Fail."""
            raise self.error

    folders = [("SQLITE_TMPDIR", "/one"), ("TMPDIR", "/two")]
    index = substrings()
    for name, _ in folders:
        monkeypatch.delenv(name, raising=False)
    for name, folder in reversed(folders):
        monkeypatch.setenv(name, folder)
        for code, number in ((sqlite3.SQLITE_FULL, errno.ENOSPC), (sqlite3.SQLITE_IOERR, errno.EIO)):
            index._db = Failing(code)
            with pytest.raises(OSError, match="no room; texts that are searched") as caught:
                index.put(1, "text")
            assert (caught.value.errno, caught.value.filename) == (number, folder)
