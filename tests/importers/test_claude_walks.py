"""Of each random session of Claude Code is read what was read when the words were written, whole and as it grows."""

from itertools import zip_longest

import pytest

from clawvm_es.importers.claude_code import FORMAT, parse
from tests.importers.claude_walks import HERE, session, words
from tests.importers.followed import Followed, assert_same


def test_random_sessions_are_read_as_they_were():
    """Where a difference is meant, `python -m tests.importers.claude_walks` writes the words anew."""
    for was, now in zip_longest(HERE.read_text(encoding="utf-8").splitlines(), words()):
        assert now == was


@pytest.mark.parametrize("seed", range(0, 40, 3))
def test_a_random_session_that_grows_is_read_as_the_whole_one(seed):
    """LAW-FOLLOW-1 and LAW-MICRO-1: taken after every line, the steps are those of the whole file, of one run."""
    data = session(seed).replace(b'"sessionId": "t"', b'"sessionId": "s"')
    data = data.replace(b'"isSidechain": true', b'"isSidechain": false').replace(b"parent_tool_use_id", b"by")
    followed, end = Followed(FORMAT), 0
    for line in data.splitlines(keepends=True):
        end += len(line)
        followed.read(data, end)
    followed.finish(data)
    assert_same(followed, parse(data, "s.jsonl"), seed)
