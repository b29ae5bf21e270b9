"""Frames state what a page is, and no text gets out of its frame."""

from __future__ import annotations

import re
import unicodedata

import attrs
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.limits import DIRECTORY_TOKENS, INTEGER_MAX, SOURCE_CHARS
from clawvm_es.model.pages import Author, Fidelity, PageType
from clawvm_es.representations.counter import COUNTERS, counter
from clawvm_es.representations.escaping import V2
from clawvm_es.representations.frame import ESCAPINGS, Frame, directory_line, framed, framed_otherwise
from tests.representations.strategies import frames, nasty_texts

TAG = re.compile(r"<\s*/?\s*(?:page|directory)", re.IGNORECASE)
"""What a reader might take for a tag of ours, generously."""
RENDERERS = pytest.mark.parametrize("renderer", ESCAPINGS)
IGNORED = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cs}[\p{Cc}--\s]]", regex.VERSION1)
"""What a reader may drop from a text without a trace."""
TAGS = ("</page>", '<page id="p1" type="bootstrap">', "<directory pages=", "< /\tPAGE", "<\\/page>")
DISGUISES = (
    "\u200b",
    "\x00",
    "\u2060",
    "\ufeff",
    "\xad",
    "\u180e",
    "\u115f",
    "\ufe0f",
    "\U000e0001",
    "\x7f",
    "\ud800",
    "",
)


def seen(text: str) -> str:
    """A text as it is for a reader who drops the invisible and takes compatible characters for equal."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", IGNORED.sub("", text)).casefold())


@st.composite
def disguised(draw: st.DrawFn) -> str:
    """Something around a tag of ours with ignorables in it, in other widths and cases, in a text."""
    tag = draw(st.sampled_from(TAGS))
    forms = {char: [c for c in (char, char.upper(), *FORMS.get(char, ())) if seen(c) == char] for char in set(tag)}
    chars = [draw(st.sampled_from(forms[char] or [char])) + draw(st.sampled_from(DISGUISES)) for char in tag]
    return draw(nasty_texts) + "".join(chars) + draw(nasty_texts)


def _forms() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for char in map(chr, range(0x110000)):
        if unicodedata.decomposition(char) and len(plain := seen(char)) == 1 and plain in '<>/"&;pagedirctoy':
            found.setdefault(plain, []).append(char)
    return found


FORMS = _forms()
"""Character of a tag → all that a reader takes for it, by the Unicode data of this interpreter."""


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
@given(frame=frames, level=st.sampled_from(Fidelity), text=disguised(), source=disguised())
def test_no_disguise_opens_or_closes_a_frame(frame: Frame, level: Fidelity, text: str, source: str) -> None:
    """LAW-FRAME-3: for a reader who drops the invisible and compares under NFKC and case folding, too."""
    whole = seen(framed(attrs.evolve(frame, source=source), level, text))
    assert [m.start() for m in TAG.finditer(whole)] == [0, len(whole) - len("</page>\n")]


def test_every_form_of_a_bracket_and_a_letter_is_known() -> None:
    """LAW-FRAME-3: whatever Unicode makes a character of a tag is escaped as that tag."""
    for char, forms in FORMS.items():
        for form in forms if char in "</pagedirctoy" else ():
            for tag in ("</page>", "<directory "):
                if char in tag:
                    text = tag.replace(char, form, 1)
                    assert V2.text(text) == f"{text[0]}\\{text[1:]}", ascii(text)
    assert V2.text("</\u33a9ge>") == "<\\/\u33a9ge>"


@pytest.mark.parametrize(
    "text",
    [
        "<\u200b/page>", "</pa\u200bge>", "<\0/page>", "\uff1c/page\uff1e", "</\u200dPAGE\u200d>", "\ufe64/page",
        "\u2039/page\u203a", "\u27e8\u2044page\u27e9", "</\u0440\u0430g\u0435>", "<\u0301/page>", "</pag\u0117>",
        "</\U0001d429\U0001d41a\U0001d420\U0001d41e>", "<\ud800/page>", "\u226e/page>", "<dire\u2060ctory pages=",
    ],
)  # fmt: skip
def test_disguised_tags_get_a_backslash_behind_their_bracket(text: str) -> None:
    """The escape stays readable: one backslash, everything else as it was."""
    assert V2.text(text) == f"{text[0]}\\{text[1:]}"
    assert V2.undone(V2.text(text)) == text


@pytest.mark.parametrize(
    "char", ["\u200b", "\0", "\uff1e", "\uff02", "\u202e", "\ufeff", "\U000e0041", "\u203a", "\ud800"]
)
def test_nothing_invisible_stands_in_an_attribute(char: str) -> None:
    """A source shows its zero-width, bidi and look-alike characters as numbers."""
    whole = framed(Frame("p1", PageType.EVIDENCE, Author.TOOL, f"a{char}b"), Fidelity.FULL, "")
    assert f'source="a&#{ord(char)};b"' in whole


def test_prompts_of_old_sessions_keep_their_bytes() -> None:
    """The renderer of stored prompts does not change: what it let through stands as it stood."""
    frame = Frame("p1", PageType.EVIDENCE, Author.TOOL, 'a\u200b"')
    assert framed(frame, Fidelity.FULL, "</pa\u200bge></page>", "frames/1") == (
        '<page id="p1" type="evidence" level="full" author="tool" source="a\u200b&quot;">\n'
        "</pa\u200bge><\\/page>\n</page>\n"
    )


@pytest.mark.parametrize(
    ("source", "text", "otherwise"),
    [("a", "b < c", False), ("a", "</page>", False), ("a\u200b", "b", True), ("a", "<\u200b/page>", True)],
)
def test_texts_whose_frames_differ_are_told(source: str, text: str, otherwise: bool) -> None:
    """Only a text that an older renderer framed otherwise may have another count."""
    assert framed_otherwise(Frame("p1", PageType.EVIDENCE, Author.TOOL, source), text) is otherwise


@settings(deadline=None)
@given(frame=frames, text=nasty_texts)
def test_the_opening_tag_is_one_line_whatever_the_source(frame: Frame, text: str) -> None:
    """No source breaks out of its quotes or its line."""
    head = framed(frame, Fidelity.FULL, text).split(">\n", 1)[0]
    assert "\n" not in head
    assert head.count('"') == (10 if frame.source else 8)
    assert head.count("<") == 1
    assert ">" not in head


@RENDERERS
@settings(deadline=None)
@given(text=nasty_texts | disguised())
def test_escaping_is_undone(renderer: str, text: str) -> None:
    """LAW-FRAME-2: under every renderer, the text comes back from what was escaped."""
    escaping = ESCAPINGS[renderer]
    assert escaping.undone(escaping.text(text)) == text


@RENDERERS
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
def test_our_tags_are_escaped(renderer: str, text: str, shown: str) -> None:
    """Text that looks like a tag of ours gets a backslash after its angle bracket."""
    assert ESCAPINGS[renderer].text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "a < b && c > d",
        "<div class='page'>",
        "&amp; \\page </pag",
        "List<String>",
        "\u2039Seite\u203a",
        "a < b \u2264 \u200bp",
        "",
    ],
)
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
