"""Hints: which pages the newest texts name, by the names of files that were read."""

from __future__ import annotations

import pytest

from clawvm_es.limits import NEED_HOLDERS_MAX
from clawvm_es.observe.hints import Hints


def known(*paths):
    """Hints that know files by these paths, as pages p1, p2, …"""
    hints = Hints()
    for number, path in enumerate(paths, 1):
        hints.read(path, f"p{number}")
    return hints


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        ("look at src/app.py now", ("p1",)),
        ("see app.py.", ("p1", "p2")),
        ("./src/app.py and ../lib/app.py", ("p1", "p2")),
        ("/w/src/app.py", ("p1",)),
        ("README.md and README.md", ("p3",)),
        ("rc/app.py", ()),
        ("app py README", ()),
        ("other.py", ()),
        ("README.md, then lib/app.py", ("p3", "p2")),
    ],
)
def test_a_text_names_pages_by_the_ends_of_paths(text, pages):
    """Whole last parts of a path, in the order of naming; a path without folders by its whole name."""
    hints = known("/w/src/app.py", "/w/lib/app.py", "README.md")
    hints.say("user", text)
    assert hints.now() == pages


def test_the_newest_text_of_a_source_and_the_newest_page_of_a_file_count():
    """A text replaces the one before of its source; a file read again is its new page."""
    hints = known("/w/a.py", "/w/b.py")
    hints.say("user", "a.py")
    hints.say("plan", "b.py")
    assert hints.now() == ("p1", "p2")
    hints.read("/w/a.py", "p9")
    hints.say("plan", "nothing")
    assert hints.now() == ("p9",)
    hints.say("user", "")
    assert hints.now() == ()


def test_a_name_of_too_many_files_names_none():
    """As many as a need may have holders are named, one more are not."""
    paths = [f"/w/{number}/a.py" for number in range(NEED_HOLDERS_MAX + 1)]
    for count, found in ((NEED_HOLDERS_MAX, NEED_HOLDERS_MAX), (NEED_HOLDERS_MAX + 1, 0)):
        hints = known(*paths[:count])
        hints.say("user", "a.py")
        assert len(hints.now()) == found
