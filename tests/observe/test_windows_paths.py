"""Paths of Windows: one file has one name, however its path is written (C7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.engine.journal import Journal
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.model.events import DuplicateSignatureAlerted, PageWritten
from clawvm_es.model.pages import PageType
from clawvm_es.observe.tools import absolute


@pytest.mark.parametrize(
    ("path", "cwd", "expected"),
    [
        ("C:\\Users\\me\\a.py", "", "C:/Users/me/a.py"),
        ("c:/Users/me/x/../a.py", "/w", "C:/Users/me/a.py"),
        ("src\\a.py", "c:\\w", "C:/w/src/a.py"),
        ("src/a.py", "C:\\w", "C:/w/src/a.py"),
        ("", "c:\\w\\", "C:/w"),
        ("\\\\host\\share\\a", "", "//host/share/a"),
        ("/c/w/a", "C:\\w", "/c/w/a"),
        ("~/a", "C:\\w", "~/a"),
        ("a\\b", "/w", "/w/a\\b"),
    ],
)
def test_a_path_has_one_name(path: str, cwd: str, expected: str) -> None:
    """Drives are upper case and parts are parted by `/`; paths of other systems stay as they are."""
    assert absolute(path, cwd) == expected


PARTS = st.lists(st.text("ab.", min_size=1, max_size=3).filter(lambda part: part.strip(".")), min_size=1, max_size=4)


@given(PARTS, st.sampled_from("cCdD"), st.sampled_from("\\/"), st.sampled_from("\\/"))
def test_spelling_does_not_matter(parts: list[str], drive: str, one: str, other: str) -> None:
    """Whatever slashes and case of the drive: the same file, and its name is its own."""
    first = absolute(f"{drive}:{one}{one.join(parts)}", "")
    second = absolute(other.join(parts), f"{drive.swapcase()}:{other}")
    assert first == second == absolute(first, "")


def test_a_session_on_windows(cases: Path) -> None:
    """Rules are a bootstrap page, and two spellings of one file repeat one call."""
    with Journal.open(":memory:", seed=1) as journal:
        (found,) = replay(journal, cases / "08-windows-paths" / "s.jsonl", ReplaySettings(counter="lines4"))
        events: list[Any] = [row.data for row in journal.log.read(found.session_id)]
    types = [event.page_type for event in events if isinstance(event, PageWritten)]
    assert types.count(PageType.BOOTSTRAP) == 1
    assert sum(isinstance(event, DuplicateSignatureAlerted) for event in events) == 1
