"""Frames state what a page is, and no text gets out of its frame."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.limits import DIRECTORY_TOKENS, INTEGER_MAX, SOURCE_CHARS
from clawvm_es.model.pages import Author, Fidelity, PageType
from clawvm_es.representations.counter import COUNTERS, counter
from clawvm_es.representations.frame import Frame, directory_line, escaped, framed, unescaped
from tests.representations.strategies import frames, nasty_texts

TAG = re.compile(r"<\s*/?\s*(?:page|directory)", re.IGNORECASE)
"""What a reader might take for a tag of ours, generously."""


@settings(deadline=None)
@given(frame=frames, level=st.sampled_from(Fidelity), text=nasty_texts)
def test_a_frame_has_exactly_its_own_tags(frame: Frame, level: Fidelity, text: str) -> None:
    """LAW-FRAME-1: it starts with its opening tag, ends with its closing tag and a newline, and holds no other."""
    whole = framed(frame, level, text)
    assert whole.startswith(
        f'<page id="{frame.page_id}" type="{frame.page_type}" level="{level}" author="{frame.author}"'
    )
    assert whole.endswith("</page>\n")
    assert [m.start() for m in TAG.finditer(whole)] == [0, len(whole) - len("</page>\n")]


@settings(deadline=None)
@given(frame=frames, text=nasty_texts)
def test_the_opening_tag_is_one_line_whatever_the_source(frame: Frame, text: str) -> None:
    """No source breaks out of its quotes or its line."""
    head = framed(frame, Fidelity.FULL, text).split(">\n", 1)[0]
    assert "\n" not in head
    assert head.count('"') == (10 if frame.source else 8)
    assert head.count("<") == 1
    assert ">" not in head


@settings(deadline=None)
@given(text=nasty_texts)
def test_escaping_is_undone(text: str) -> None:
    """LAW-FRAME-2: `unescaped` undoes `escaped`."""
    assert unescaped(escaped(text)) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("</page>", "<\\/page>"),
        ('<page id="p1" type="bootstrap">', '<\\page id="p1" type="bootstrap">'),
        ("<\\/page>", "<\\\\/page>"),
        ("< / PAGE>", "<\\ / PAGE>"),
        ("<\n/page>", "<\\\n/page>"),
        ("<directory pages=", "<\\directory pages="),
    ],
)
def test_our_tags_are_escaped(text: str, shown: str) -> None:
    """Text that looks like a tag of ours gets a backslash after its angle bracket."""
    assert escaped(text) == shown


@pytest.mark.parametrize("text", ["a < b && c > d", "<div class='page'>", "&amp; \\page </pag", "List<String>", ""])
def test_other_markup_is_left_as_it_is(text: str) -> None:
    """LAW-FRAME-2: text without our tags stands byte for byte in its frame."""
    frame = Frame("p1", PageType.EVIDENCE, Author.TOOL)
    assert framed(frame, Fidelity.FULL, text).split(">\n", 1)[1] == f"{text}\n</page>\n"


def test_a_frame_by_hand() -> None:
    """Type, level, author and source are stated; a pointer is one line and names its source in its text."""
    frame = Frame("p7", PageType.EVIDENCE, Author.TOOL, 'Bash: echo "a" && ls <b>\n')
    assert framed(frame, Fidelity.COMPRESSED, "out") == (
        '<page id="p7" type="evidence" level="compressed" author="tool"'
        ' source="Bash: echo &quot;a&quot; && ls &lt;b&gt;&#10;">\nout\n</page>\n'
    )
    assert framed(frame, Fidelity.POINTER, "Bash: echo · 3 chars") == (
        '<page id="p7" type="evidence" level="pointer" author="tool">Bash: echo · 3 chars</page>\n'
    )


def test_long_sources_are_clipped() -> None:
    """A source of many kilobytes does not make every level dear."""
    whole = framed(Frame("p1", PageType.EVIDENCE, Author.TOOL, "x" * 10_000), Fidelity.FULL, "")
    assert f'source="{"x" * (SOURCE_CHARS - 1)}…"' in whole


@pytest.mark.parametrize("name", COUNTERS)
@given(pages=st.integers(1, INTEGER_MAX))
@settings(max_examples=50, deadline=None)
def test_the_directory_line_fits_its_reserve(name: str, pages: int) -> None:
    """One line, stating the number, within the tokens that assembly reserves for it."""
    line = directory_line(pages)
    assert counter(name).count(line) <= DIRECTORY_TOKENS
    assert line.startswith("<directory") and line.endswith(">\n") and line.count("\n") == 1
    assert f'"{pages}"' in line


def test_no_directory_line_without_pages() -> None:
    """Nothing stands for nothing."""
    assert directory_line(0) == ""
