"""Texts that tokenizers, parsers and renderers find hard, as Hypothesis strategies."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from clawvm_es.model.pages import Author, PageType
from clawvm_es.representations.frame import Frame

NASTY_PIECES: Final = (
    "\n", "\r\n", "\r", " ", "\t", "\n\n\n", " \n", "/", "//", "</page>", "<page ", '<page id="p1" type="bootstrap">',
    "<\\/page>", "< / PAGE >", "<directory ", "&quot;", "&amp;", '"', "'", "'s", "<", ">", ">\n",
    "\x00", "\ud800", "\udfff",
    "é", "́", "日本", "😀",
    "\u2028", "\xa0", "\x1c", "\x85", "0", "123", "a", "A", "word", "Error: x", "{", "[", "}", "]",
    "<|endoftext|>", "@@ -1 +1 @@\n", "diff --git a b\n", "def f():\n", "    12→", "- [x] ", "a/b.py:3:", "=" * 40,
)  # fmt: skip

nasty_texts: Final = st.one_of(
    st.lists(st.sampled_from(NASTY_PIECES), max_size=60).map("".join),
    st.text(st.characters(), max_size=200),
    st.builds(lambda piece, times: piece * times, st.sampled_from(NASTY_PIECES), st.integers(1, 3000)),
)
frames: Final = st.builds(
    Frame,
    st.integers(1, 10**6).map(lambda n: f"p{n}"),
    st.sampled_from(PageType),
    st.sampled_from(Author),
    nasty_texts,
)
