"""The same inputs make the same events, field by field, as they did when the transcripts were written."""

from itertools import zip_longest

import pytest

from tests.golden.transcripts import HERE, TRANSCRIPTS


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_the_same_inputs_make_the_same_events(name):
    """The first difference is shown; where it is meant, `python -m tests.golden.transcripts` writes it anew."""
    golden = (HERE / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    for was, now in zip_longest(golden, TRANSCRIPTS[name]()):
        assert now == was
