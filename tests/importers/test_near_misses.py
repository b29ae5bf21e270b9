"""Of a recording that nearly is a good one the same is read as when the words were written."""

from itertools import zip_longest

import pytest

from clawvm_es.importers import FORMATS
from tests.importers.near_misses import HERE, damaged, formats, words


@pytest.mark.parametrize("name", FORMATS)
def test_near_misses_are_read_as_before(name):
    """Where a difference is meant, `python -m tests.importers.near_misses` writes the words anew."""
    golden = (HERE / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    for was, now in zip_longest(golden, words(name)):
        assert now == was


def test_the_format_of_a_file_is_told_as_before():
    """Also of one row alone, and without each of its fields."""
    golden = (HERE / "formats.txt").read_text(encoding="utf-8").splitlines()
    for was, now in zip_longest(golden, formats()):
        assert now == was


def test_damaged_files_are_read_or_refused_as_before():
    """Cut off, in another encoding, between other lines: the same recordings, or the same refusal."""
    golden = (HERE / "damaged.txt").read_text(encoding="utf-8").splitlines()
    for was, now in zip_longest(golden, damaged()):
        assert now == was
