"""`clawvm diff` of two runs: what a person reads, what a program reads, and the exit code."""

import json

import pytest

from clawvm_es.engine.journal import Journal
from tests.history.test_compare import play


@pytest.fixture
def path(tmp_path):
    """A journal with two equal runs, and one with another tool argument in its second turn."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal:
        for name, line in (("one", 9), ("two", 9), ("three", 999)):
            play(journal, name, [{}, {"arguments": {"path": "a\x1b.py", "line": line}}])
    return path


def test_two_runs_that_differ_in_one_tool_argument(path, run):
    """Exit code 1; turn, event, path and both values on the first line of differences and on the last line."""
    code, out, _ = run("diff", path, "one", "three")
    lines = out.splitlines()
    assert code == 1 and "tool_called, arguments.line: 9 → 999" in lines[lines.index("first difference") + 1]
    assert next(line for line in lines if line.startswith("called ")).split()[:4] == ["called", "1", "0", "0"]
    assert lines[-1].startswith("✗ 1 event differs, first at turn 2, event ") and lines[-1].endswith("9 → 999")
    code, out, _ = run("diff", path, "one", "three", "--json")
    first = json.loads(out)["runs"]["first"]
    assert code == 1 and first["a"] == first["b"] and first["a"]["turn"] == 2
    assert first["changes"][0] == {"path": "arguments.line", "line": None, "a": 9, "b": 999, "shown": ["9", "999"]}


def test_equal_runs_and_wrong_usage_have_exit_codes_of_their_own(path, run):
    """0 where nothing differs, also in another journal; 2 for what is not there."""
    assert run("diff", path, "one", "two")[0] == 0
    assert run("diff", path, "one", "one", "--against", path)[0] == 0
    assert run("diff", path, "one", "nobody")[0] == 2
    assert run("diff", path, "one", "two", "--against", path.with_name("none.db"))[0] == 2


def test_places_of_one_session_are_moments_and_of_two_both(path, run):
    """Of one session pages and store are told; of two sessions at places also where they part."""
    code, out, _ = run("diff", path, "turn:1", "turn:2", "-s", "one")
    assert code == 1 and "pages  " in out and "first difference" not in out
    assert run("diff", path, "one@turn:1", "three@turn:1")[0] == 0
    code, out, _ = run("diff", path, "one@turn:2", "three@turn:2")
    assert code == 1 and "first difference" in out


def test_control_characters_of_values_are_escaped(path, run):
    """A value that a terminal would obey is shown, not sent."""
    _, out, _ = run("diff", path, "one@turn:1", "three")
    assert "\x1b" not in out and "\\u001b" in out
