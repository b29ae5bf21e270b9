"""Random sessions give and record what they did when the walks were written."""

from itertools import zip_longest

from tests.golden.walks import HERE, walks


def test_random_sessions_go_as_before():
    """Drawn sessions go as they are pinned; `python -m tests.golden.walks` pins a change that is meant."""
    golden = HERE.read_text(encoding="utf-8").splitlines()
    for number, (was, now) in enumerate(zip_longest(golden, walks()), 1):
        assert now == was, f"line {number}"
