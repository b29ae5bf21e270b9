"""The nearest recorded call: which one it is, and how it is told."""

from __future__ import annotations

import json

import pytest

from clawvm_es.engine.nearest import MadeCall, nearest


def made(version, tool, **arguments):
    """A recorded call."""
    return MadeCall("s", version, tool, json.dumps(arguments))


CALLS = [
    made(3, "read", path="a", line=1, more=2),
    made(5, "read", path="b", line=1),
    made(7, "write", path="a", line=9),
]


@pytest.mark.parametrize(
    ("tool", "arguments", "version", "says"),
    [
        ("read", {"path": "a", "line": 1, "more": 2}, 3, "nearest is version 3 of s, the same call"),
        ("read", {"path": "c", "line": 1}, 5, 'nearest is version 5 of s: arguments.path: recorded "b", got "c"'),
        ("write", {"path": "a", "line": 8}, 7, "nearest is version 7 of s: arguments.line: recorded 9, got 8"),
        ("write", {"path": "x", "line": 8}, 7, "version 7 of s: arguments.line: recorded 9, got 8 and 1 more field"),
        ("write", {"path": "x", "line": 8, "z": 1}, 7, "recorded 9, got 8 and 2 more fields"),
    ],
)
def test_the_nearest_call_is_of_the_same_tool_with_the_fewest_differences(tool, arguments, version, says):
    """Which call, and its first difference, with how many more there are."""
    found = nearest(tool, json.dumps(arguments), CALLS)
    assert found.call.version == version
    assert says in str(found) and str(found).endswith(says.split(": ")[-1])


def test_without_calls_there_is_no_nearest_one():
    """And what is ignored is no difference."""
    assert nearest("read", "{}", []) is None
    found = nearest("read", json.dumps({"path": "b", "line": 7}), CALLS, frozenset({"line"}))
    assert found.call.version == 5 and found.difference == ()
