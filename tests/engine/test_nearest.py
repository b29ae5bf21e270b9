"""The nearest recorded call: which one it is, and how it is told."""

from __future__ import annotations

import json

import pytest

from clawvm_es.engine.nearest import CALLS_MAX, MadeCall, nearest


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


def test_likeness_of_texts_decides_last():
    """Among calls with as many differences the more alike beginning wins, and the earlier of equals."""
    near, far = made(1, "t", text="abcdefgh"), made(2, "t", text="zzzzzzzz")
    wanted = json.dumps({"text": "abcdefgx"})
    assert nearest("t", wanted, [far, near]).call is near and nearest("t", wanted, [near, far]).call is near
    assert nearest("t", wanted, [near, MadeCall("s", 9, "t", near.arguments)]).call is near
    assert nearest("u", wanted, [made(4, "u", text="q"), near]).call.tool == "u"
    same, tail = "x" * 2_000, "y" * 50
    one, other = MadeCall("s", 1, "t", same + tail), MadeCall("s", 2, "t", same + "w")
    assert nearest("t", same + "w!", [one, other]).call is one, "what is beyond the beginning is not compared"
    short = same[:-1]
    one, other = MadeCall("s", 1, "t", short + "a"), MadeCall("s", 2, "t", short + "b")
    assert nearest("t", short + "bc", [one, other]).call is other


def test_so_many_calls_are_looked_at():
    """The last call that is looked at can be the nearest, the one behind it cannot."""
    others = [made(number, "other", n=number) for number in range(1, CALLS_MAX)]
    wanted, call = "{}", made(9999, "t")
    assert nearest("t", wanted, [*others, call]).call is call
    assert nearest("t", wanted, [*others, others[0], call]).call is not call
