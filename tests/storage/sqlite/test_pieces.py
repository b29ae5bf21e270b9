"""Pieces of erased texts that are searched for: spread over the texts and over each of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.storage.sqlite.erasure import PIECE_BYTES, PIECES_MAX, pieces


def body(number: int, length: int) -> bytes:
    """A text whose pieces are all different."""
    return b"".join(b"%03d%05d" % (number, at) for at in range(length // 8 + 1))[:length]


@given(st.lists(st.integers(0, 400), max_size=90))
def test_every_text_that_is_long_enough_has_pieces_or_its_neighbour_has(lengths) -> None:
    """At most 64, each as it stands in its text, from the first bytes to the last where there is room for both."""
    bodies = [body(number, length) for number, length in enumerate(lengths)]
    long = [each for each in bodies if len(each) >= 24]
    found = pieces(bodies)
    assert len(found) <= PIECES_MAX == 64 and all(len(each) == PIECE_BYTES == 24 for each in found)
    assert all(any(piece in each for each in long) for piece in found)
    step = -(-len(long) // 64)
    taken = long[::step] if step else []
    assert all(any(piece in each for piece in found) for each in taken)
    if 0 < len(long) <= 32:
        assert all(each[:24] in found and each[-24:] in found for each in long)


@pytest.mark.parametrize(
    ("count", "length", "pieces_each"),
    [(1, 23, 0), (1, 24, 1), (1, 25, 2), (1, 87, 64), (1, 1_000, 64), (2, 500, 32), (3, 500, 21), (40, 500, 1)],
)
def test_few_texts_have_many_pieces_each(count, length, pieces_each) -> None:
    """They share the pieces that are searched for; of one text they stand at equal steps."""
    bodies = [body(number, length) for number in range(count)]
    found = pieces(bodies)
    assert len(found) == count * pieces_each
    last = length - 24
    wanted = [
        each[at : at + 24]
        for each in bodies
        for at in dict.fromkeys(last * place // max(1, pieces_each - 1) for place in range(pieces_each))
    ]
    assert list(found) == (wanted if pieces_each > 2 or length == 24 else list(dict.fromkeys(found)))


def test_of_many_texts_every_second_or_third_has_a_piece() -> None:
    """The first bytes of those that are taken."""
    for count, step in ((64, 1), (65, 2), (128, 2), (129, 3)):
        bodies = [body(number, 100) for number in range(count)]
        assert list(pieces(bodies)) == [each[:24] for each in bodies[::step]]
