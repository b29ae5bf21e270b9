"""LAW-SHOWN-1: what a reader sees of a text that anybody may have written."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.representations.visible import visible, visible_lines

ANY = st.text(st.characters())
"""All characters, lone surrogates too."""


@given(ANY)
def test_nothing_that_is_obeyed_or_unseen_is_left(text):
    """No control but tab, no surrogate, separator or bidirectional control comes through."""
    for character in visible(text):
        assert character == "\t" or unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(character) not in (
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
        )  # fmt: skip
    assert "\u200b" not in visible(text) and "\ufeff" not in visible(text)


@given(ANY)
def test_escaping_twice_is_escaping_once(text):
    """What was made visible stays as it is."""
    assert visible(visible(text)) == visible(text)


@given(ANY)
def test_lines_end_at_line_feeds_only(text):
    """Joined again, the lines say the same; no separator of any other kind makes one."""
    assert len(visible_lines(text)) == text.count("\n") + 1
    assert all("\n" not in line for line in visible_lines(text))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("\x9b2J\x7f\0", "\\x9b2J\\x7f\\x00"),
        ("evil\u202etxt.exe", "evil\\u202etxt.exe"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\ud800", "\\ud800"),
        ("p\U000e0041", "p\\U000e0041"),
        ("a\nb\rc", "a\\nb\\rc"),
        ("p1\u3164", "p1\\u3164"),
        ("adm\u200din", "adm\\u200din"),
        ("a\ufe0f", "a\\ufe0f"),
    ],
)
def test_what_deceives_is_shown_by_its_number(text, shown):
    """Escape sequences, reversals and fillers stand in the open."""
    assert visible(text) == shown


@pytest.mark.parametrize(
    "text", ["tab\there", "naïve – 连接　全角", "می‌خواهم", "क्‍ष", "👩‍💻 ❤️‍🔥 1️⃣", "e\u0301", "C:\\x1b"]
)
def test_what_people_write_stays_as_it_is(text):
    """Letters of every script, combining marks, emoji and backslashes are not escaped."""
    assert visible(text) == text
