"""Re-decide: the same code decides the same, and other code is caught at the event and the field."""

import pytest
from msgspec.structs import replace

from clawvm_es.core import utility
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import NondeterminismError
from clawvm_es.history import redecide
from clawvm_es.history.redecide import changed_fields
from clawvm_es.importers.replay import ReplaySettings, replay
from tests.engine.conftest import FIELDS
from tests.engine.test_shell import busy


@pytest.fixture
def rows():
    """The events of a session that used every hook."""
    with Journal.open(":memory:") as journal:
        with journal.session("s", budget_tokens=700, counter="lines4", settings=Settings(fields=FIELDS)) as session:
            busy(session)
        yield list(journal.log.read("s"))


def test_the_same_code_decides_the_same(rows):
    """Every decision of the session is counted as taken again."""
    assert redecide(rows) == sum(row.kind == "decision" for row in rows) > 50


def test_a_changed_weight_is_caught_where_it_first_matters(rows, monkeypatch):
    """A change in the selector is reported with event, field path, both values and the two events before."""
    monkeypatch.setattr(utility, "QUALITY", (0, 900, 910, 920, 1000))
    with pytest.raises(NondeterminismError, match=r"version \d+ .*\$.*recorded .*, today ") as caught:
        redecide(rows)
    difference = caught.value.difference
    assert difference.path.startswith("$")
    assert [version for version, _ in difference.before] == [difference.version - 2, difference.version - 1]
    assert f"--at {difference.version}" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"turn": 99}, "$turn"),
        ({"cause": 1}, "$cause"),
    ],
)
def test_turn_and_cause_are_compared_too(rows, change, path):
    """A decision under another turn or cause is a difference, whatever its data."""
    place = next(i for i, row in enumerate(rows) if row.kind == "decision")
    rows[place] = rows[place]._replace(**change)
    with pytest.raises(NondeterminismError) as caught:
        redecide(rows)
    assert caught.value.difference.path == path


def test_a_missing_and_an_extra_decision_are_differences(rows):
    """What is decided today but was not recorded, and the other way round, is reported by its type."""
    place = next(i for i, row in enumerate(rows) if row.type == "prompt_assembled")
    with pytest.raises(NondeterminismError) as caught:
        redecide(rows[:place] + rows[place + 1 :])
    assert caught.value.difference.path == "$type"
    extra = rows[place]._replace(version=rows[place].version + 1)
    with pytest.raises(NondeterminismError) as caught:
        redecide([*rows[: place + 1], extra])
    assert caught.value.difference.now is None


def test_a_nested_field_is_named_by_its_path(rows):
    """The path leads to the value that differs, not to the event."""
    place = next(i for i, row in enumerate(rows) if row.type == "prompt_assembled")
    rows[place] = rows[place]._replace(data=replace(rows[place].data, tokens=5))
    with pytest.raises(NondeterminismError, match=r"\$\.tokens: recorded 5"):
        redecide(rows)


def test_a_recorded_session_is_decided_again_without_its_bodies(traces):
    """A real session of megabytes, re-decided from its events alone."""
    path = next(iter(sorted((traces / "claude_code").glob("28596a79*.jsonl"))))
    with Journal.open(":memory:") as journal:
        (found, *_) = replay(journal, path, ReplaySettings(budget_tokens=4000, counter="lines4"))
        assert redecide(journal.log.read(found.session_id)) > 20


def test_fields_differ_where_their_bytes_do():
    """A value that became one that Python calls equal is named with its path."""
    was, now = {"a": 0, "b": [1, {"c": True}], "d": 2}, {"a": False, "b": [1, {"c": 1}], "d": 2}
    assert list(changed_fields(was, now)) == [("$.a", 0, False), ("$.b[1].c", True, 1)]
