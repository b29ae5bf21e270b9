"""Of files whose rows were mixed the same is read, or they are refused, as when the words were written."""

from itertools import zip_longest

from tests.importers.mixes import HERE, words


def test_mixed_files_are_read_as_before():
    """Where a difference is meant, `python -m tests.importers.mixes` writes the words anew."""
    for was, now in zip_longest(HERE.read_text(encoding="utf-8").splitlines(), words()):
        assert now == was
