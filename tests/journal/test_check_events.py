"""Each check of a row of events, alone: the hashes are right again, so that nothing but the check can see it."""

from __future__ import annotations

import pytest

from clawvm_es.journal.chain import event_hash
from clawvm_es.journal.check_events import EventChecker, raw_row
from clawvm_es.storage import open_log
from clawvm_es.storage.sqlite import queries
from tests.storage.sqlite.test_verify import fill

COLUMNS = queries.COLUMNS.replace(",", "").split()
AT = COLUMNS.index


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """The rows of a good journal as the checker gets them: session `a`, `b`, `a` again, and a fork of `a`."""
    path = tmp_path_factory.mktemp("rows") / "journal.db"
    with open_log(path) as log:
        fill(log)
        return [raw_row(recorded) for recorded in log.read_all()]


def changed(rows, place, rehashed=True, **columns):
    """The rows with other columns in one of them; with `rehashed` every hash after it is right again."""
    found = [list(row) for row in rows]
    before, kept = {}, {}
    for index, row in enumerate(found):
        stream = row[AT("session_id")]
        if stream in kept:
            row[AT("prev_hash")] = kept[stream]
        if index == place:
            for name, value in columns.items():
                row[AT(name)] = value
        if rehashed:
            row[AT("hash")] = event_hash(*row[1:13])
            if row != list(rows[index]):
                kept[row[AT("session_id")]] = row[AT("hash")]
            before[stream] = row
    return [tuple(row) for row in found]


def problems(rows, fast=False):
    """(what, where) of all problems."""
    hashes = {(row[AT("session_id")].decode(), row[AT("version")]): row[AT("hash")] for row in rows}
    checker = EventChecker(lambda session_id, version: hashes.get((session_id, version)), fast)
    return [(problem.what, problem.where) for row in rows for problem in checker.check(row)]


def where(row):
    """How a row is named."""
    return f"session {row[AT('session_id')].decode()} version {row[AT('version')]} (seq {row[AT('seq')]})"


def test_good_rows_have_no_problems(rows):
    """Neither as they are, nor hashed again, nor fast."""
    assert problems(rows) == problems(changed(rows, 0)) == problems(rows, fast=True) == []
    assert changed(rows, 0) == rows
    assert {where(row) for row in rows} >= {"session a version 1 (seq 1)", "session fork version 5 (seq 9)"}


def lean(rows):
    """The rows as a storage keeps them that leaves out each `prev_hash` which the row before states."""
    begun = set()
    found = []
    for row in rows:
        known = row[AT("session_id")] in begun
        found.append((*row[:12], b"", row[13]) if known else row)
        begun.add(row[AT("session_id")])
    return found


def test_what_a_storage_leaves_out_is_taken_from_the_row_before(rows):
    """Rows without `prev_hash` are in order; a change of data or hash is one problem, at its row."""
    assert problems(lean(rows)) == problems(lean(rows), fast=True) == []
    for column, value in (("data", b'{"budget_tokens":7}'), ("hash", b"\1" * 32)):
        found = lean(changed(rows, 0, rehashed=False, **{column: value}))
        assert [there for what, there in problems(found, fast=True) if what != "parent_hash"] == [where(rows[0])]
    for gone in range(1, 4):
        assert "version" in {what for what, _ in problems(lean(rows[:gone] + rows[gone + 1 :]))}


CASES = {
    "a gap": (3, {"seq": 40}, ["seq"], ["seq"]),
    "the seq before": (3, {"seq": 3}, ["seq"], ["seq"]),
    "a version too high": (1, {"version": 3}, ["version"], ["version"]),
    "the version before": (1, {"version": 1}, ["version", "cause"], ["version"]),
    "a first version": (4, {"version": 2}, ["version"], ["version"]),
    "a fork's first version": (8, {"version": 6}, ["version"], ["version"]),
    "another kind": (0, {"kind": b"decision"}, ["kind"], []),
    "its own cause": (3, {"cause": 4}, ["cause"], []),
    "no cause": (3, {"cause": 0}, ["cause"], []),
    "a key on a decision": (1, {"idempotency_key": b"k"}, ["idempotency_key"], []),
    "a blank": (0, {"data": b'{"budget_tokens":1} '}, ["data"], []),
    "no data": (0, {"data": b""}, ["data"], []),
    "a default": (1, {"data": b'{"page_id":"p1","rule":"declared","x":1}'}, ["data"], []),
    "an unknown type": (0, {"type": b"nothing"}, ["type"], []),
    "a version to come": (0, {"schema_version": 99}, ["type"], []),
    "another beginning": (4, {"prev_hash": b"\1" * 32}, ["prev_hash"], ["prev_hash"]),
    "another fork": (8, {"prev_hash": b"\1" * 32}, ["prev_hash"], ["prev_hash"]),
}
FINE = {
    "the first cause": (3, {"cause": 1}),
    "the last cause": (3, {"cause": 3}),
    "none at all": (3, {"cause": None}),
    "no key": (0, {"idempotency_key": None}),
    "another budget": (0, {"data": b'{"budget_tokens":7}'}),
}


@pytest.mark.parametrize("name", CASES)
def test_each_check_finds_what_it_is_for(rows, name):
    """The row is named, the check too; without reading data, what concerns data is not looked at."""
    place, columns, whole, fast = CASES[name]
    found = changed(rows, place, **columns)
    at = {what for what in problems(found) if what[1] == where(found[place])}
    assert {what for what, _ in at} == set(whole)
    assert {what for what, there in problems(found, fast=True) if there == where(found[place])} == set(fast)


TOLD = {
    "a gap": "the row before has seq 3, so 4 was expected",
    "a version too high": "follows version 1 of its session",
    "the version before": "follows version 1 of its session",
    "a first version": "the session's first event should have version 1",
    "a fork's first version": "the session's first event should have version 5",
    "another kind": "is 'decision', but budget_changed is of kind 'input'",
    "its own cause": "4 is no earlier version of the session",
    "a key on a decision": "only inputs have one",
    "another beginning": f"the session's first event should follow {'0' * 64}",
}


@pytest.mark.parametrize("name", TOLD)
def test_each_check_says_what_it_expected(rows, name):
    """The sentence names the value that the rows before ask for."""
    place, columns, _, _ = CASES[name]
    found = changed(rows, place, **columns)
    checker = EventChecker(lambda session_id, version: rows[3][AT("hash")], fast=False)
    told = [problem for row in found for problem in checker.check(row) if problem.where == where(found[place])]
    assert told[0].detail == TOLD[name]


@pytest.mark.parametrize("name", FINE)
def test_what_is_just_right_is_no_problem(rows, name):
    """The nearest values that are right."""
    place, columns = FINE[name]
    assert [what for what in problems(changed(rows, place, **columns)) if what[0] != "parent_hash"] == []


NAMED = {
    "version": [(0, 2), (3, 9), (10, 1)],
    "turn": [(2, 2), (2, 0)],
    "kind": [(0, b"decision"), (1, b"input")],
    "type": [(0, b"page_used")],
    "schema_version": [(0, 2), (0, 3)],
    "at": [(3, 5)],
    "principal": [(3, b"someone"), (0, b"someone")],
    "cause": [(1, None), (3, 1), (3, 99)],
    "idempotency_key": [(1, b"k")],
    "prev_hash": [(2, b"\2" * 32), (0, b"\2" * 32)],
    "session_id": [(3, b"b")],
}


@pytest.mark.parametrize(("column", "change"), [(name, change) for name in NAMED for change in NAMED[name]], ids=str)
def test_a_changed_column_is_named_with_its_right_value(rows, column, change):
    """Where one value that the neighbours suggest restores the hash, that column is the problem."""
    place, value = change
    was = rows[place][AT(column)]
    found = changed(rows, place, rehashed=False, **{column: value})
    checker = EventChecker(lambda session_id, version: None, True)
    told = [problem for row in found[: place + 1] for problem in checker.check(row) if problem.what == column]
    shown = (
        was.hex()
        if isinstance(was, bytes) and len(was) == 32
        else repr(was.decode())
        if isinstance(was, bytes)
        else was
    )
    assert any(
        f"with {'NULL' if shown is None else shown} the hash would be right" in str(problem) for problem in told
    )


def test_a_changed_principal_is_told_by_the_one_before(rows):
    """Events of one principal that is not the harness come one after the other."""
    for place in (2, 3):
        rows = changed(rows, place, principal=b"agent")
    told = EventChecker(lambda session_id, version: rows[3][AT("hash")], True)
    found = changed(rows, 3, rehashed=False, principal=b"someone")
    (problem,) = [each for row in found[:4] for each in told.check(row) if each.what == "principal"]
    assert "with 'agent' the hash would be right" in str(problem)
