"""Terms: what is the same word whatever its case, accents and composition, and what is found inside of a run."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clawvm_es.representations.terms import composed, indexed, located, pattern, phrases, spaced, terms

HAN = st.text(st.sampled_from("连接数据库失败了的"), min_size=1, max_size=6)
WORDS = st.sampled_from(
    ("itgc", "Café", "x_y", "7", "ÅNGSTRÖM", "ﬁle", "한국어를", "ไทย", "プログラム", "\n", ", ", " ")
)
TEXTS = st.lists(WORDS | HAN, max_size=12).map("".join)


def found(words: str, text: str) -> str | None:
    """What `words` find in a text."""
    finder = pattern(words)
    match = finder.search(spaced(text)) if finder else None
    return None if match is None else composed(text)[slice(*located(text, *match.span()))]


@pytest.mark.parametrize(
    ("words", "text", "place"),
    [
        ("连接", "数据库连接失败", "连接"),
        ("接続", "の接続エラー", "接続"),
        ("连接", "连，接", None),
        ("接続-エラー", "接続エラー", "接続エラー"),
        ("itgc", "了ITGC的配置", "ITGC"),
        ("itgc", "itgcs", None),
        ("使用itgc", "我使用itgc了", "使用itgc"),
        ("가", "각", None),
        ("か", "が", None),
        ("が", "か\u3099", "が"),
        ("연결", "연결을 끊었다", "연결"),
        ("เชื่อม", "การเชื่อมต่อ", "เชื่อม"),
        ("cafe", "the Cafe\u0301.", "Café"),
        ("résumé", "re\u0301sume\u0301", "résumé"),
        ("STRASSE", "Straße", "Straße"),
        ("file", "\ufb01le", "\ufb01le"),
        ("rate limit", "rate,\nlimit", "rate,\nlimit"),
        ("read_file", "read file", "read file"),
        ("\U0001f680", "go\U0001f680\U0001f680", "\U0001f680"),
        ("हिन्दी", "यह हिन्दी है", "हिन्दी"),
    ],
)
def test_what_words_find(words: str, text: str, place: str | None) -> None:
    """Whole words where a script parts them, any part of a run where it does not."""
    assert found(words, text) == place


@given(before=TEXTS, part=HAN, after=TEXTS)
@settings(deadline=None)
def test_every_part_of_a_run_is_found(before: str, part: str, after: str) -> None:
    """Whatever stands around it, a series of characters without blanks between them is found."""
    assert found(part, before + part + after) == part


@given(text=TEXTS, form=st.sampled_from(("NFC", "NFD", "NFKC", "NFKD")))
@settings(deadline=None)
def test_composition_case_and_accents_are_none(text: str, form: str) -> None:
    """Texts that differ in composition or case have the same terms; what indexes see has them too."""
    assert terms(unicodedata.normalize(form, text)) == terms(text) == terms(text.lower())
    assert terms(indexed(text)) == terms(text)


@given(text=TEXTS | st.text(st.characters(), max_size=40), start=st.integers(0, 40), size=st.integers(1, 8))
@settings(deadline=None)
def test_places_in_terms_are_places_in_the_text(text: str, start: int, size: int) -> None:
    """A span of the spaced text leads back to the characters that it came from."""
    whole = spaced(text)
    assume(whole[start : start + size].strip())
    first, last = located(text, start, min(start + size, len(whole)))
    assert whole[start : start + size].strip() in spaced(composed(text)[first:last])


def test_what_a_retriever_asks_for() -> None:
    """Words of two characters at least, each once, as they stand; of a run, each two characters."""
    assert list(phrases("Read_File the read_file a 7")) == [("read", "file"), ("the",)]
    assert list(phrases("数据库itgc")) == [("数", "据"), ("据", "库"), ("itgc",)]
    assert list(phrases("cafe\u0301 caf\xe9")) == [("cafe",)]
    assert list(phrases("\ud800 ** ")) == []
