"""Of each call of a hook, good or nearly so, comes what came of it when the words were written."""

from contextlib import chdir
from itertools import zip_longest

from tests.engine.near_calls import HERE, words


def test_hooks_record_return_and_refuse_what_they_did():
    """Where a difference is meant, `python -m tests.engine.near_calls` writes the words anew."""
    golden = HERE.read_text(encoding="utf-8").splitlines()
    with chdir("/"):
        for was, now in zip_longest(golden, words()):
            assert now == was
