"""Rows that follow one another are taken at once; whatever else a row is, the slow look at it says the same."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clawvm_es.journal.check_events import EventChecker, raw_row
from clawvm_es.limits import TIME_MAX_US, TIME_MIN_US
from clawvm_es.model.events import ToolCalled
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.testing.logs import budget, new, used


def rows() -> list[tuple]:
    """The rows of two sessions that take turns: inputs with keys and bodies, and decisions."""
    with MemoryLog() as log:
        for n in range(1, 5):
            log.append("a", [budget(n, f"k{n}"), used("p1"), used("p2")])
            log.append("b", [new(ToolCalled(n, "tool", log.vault("b").commit(b"%d" % n)))])
        return [raw_row(row) for row in log.read_all()]


ROWS = rows()
FIRSTS = {ROWS[0][0], ROWS[3][0]}


def found(given_rows, fast: bool, slow: bool = False) -> tuple[list, list, list[int]]:
    """Problems, notes, and the seqs of the rows that were looked at one by one."""
    notes, looked = [], []

    class Checker(EventChecker):
        """A checker that remembers what it looks at; a slow one looks at everything."""

        def _follows(self, row) -> bool:
            return False if slow else super()._follows(row)

        def _look(self, row):
            looked.append(row[0])
            return super()._look(row)

    checker = Checker(lambda *_: None, fast, notes.append)
    return [problem for row in given_rows for problem in checker.check(row)], notes, looked


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("stored", [True, False])
def test_of_a_sound_log_only_the_first_rows_of_sessions_are_looked_at(fast, stored) -> None:
    """Also where the hash before a row is not stored, since the row before has it."""
    blank = [row if stored or row[2] == 1 else (*row[:12], b"", row[13]) for row in ROWS]
    problems, notes, looked = found(blank, fast)
    assert (problems, notes) == ([], []) and set(looked) == FIRSTS


BYTES = (
    b"", b"a", b"b", b"k1", b"\xff", b"x\0y", "\u202e".encode(), b"input", b"decision", b"budget_changed", b"{}",
    b"page_used", b"tool_called", bytes(32), bytes(31), ROWS[1][13], ROWS[4][13], ROWS[3][12],
)  # fmt: skip
NUMBERS = (-1, 0, 1, 2, 3, 7, 1 << 62, TIME_MIN_US, TIME_MIN_US - 1, TIME_MAX_US, TIME_MAX_US + 1)
VALUES = {
    **dict.fromkeys((1, 4, 5, 8, 11, 12, 13), BYTES),
    **dict.fromkeys((0, 2, 3, 6, 7), NUMBERS),
    9: (None, *NUMBERS),
    10: (None, *BYTES),
}
"""Place of a column → values of its type, as every storage enforces it."""
CHANGE = st.integers(0, 13).flatmap(
    lambda column: st.tuples(st.integers(0, len(ROWS) - 1), st.just(column), st.sampled_from(VALUES[column]))
)


def changed(changes, hashed: bool) -> list[tuple]:
    """The rows with some cells changed; with `hashed`, each then has the hash that fits it, where it can have one."""
    from clawvm_es.journal.check_events import _hash

    made = list(ROWS)
    for at, column, value in changes:
        made[at] = (*made[at][:column], value, *made[at][column + 1 :])
    if hashed:
        made = [(*row[:13], _hash(row) or row[13]) for row in made]
    return made


@pytest.mark.parametrize("fast", [False, True])
@given(st.lists(CHANGE, min_size=1, max_size=3), st.booleans())
@example([(1, 7, TIME_MIN_US)], True)
@example([(1, 7, TIME_MAX_US)], True)
@example([(1, 7, TIME_MIN_US - 1)], True)
@example([(1, 7, TIME_MAX_US + 1)], True)
@example([(4, 10, b"x\0y")], True)
@example([(4, 8, b"x\0y")], True)
@example([(2, 12, b"")], False)
@example([(2, 12, bytes(32))], True)
@example([(2, 0, 7)], False)
@example([(2, 2, 7)], True)
@example([(2, 13, bytes(32))], False)
def test_a_row_is_judged_alike_at_once_and_one_by_one(fast, changes, hashed) -> None:
    """Problems and notes, in their order, whatever cells were changed, under their old hash or one that fits."""
    made = changed(changes, hashed)
    assert found(made, fast)[:2] == found(made, fast, slow=True)[:2]


@pytest.mark.parametrize("column", range(14))
@pytest.mark.parametrize("at", [0, 1, 2, 3, 5])
def test_each_changed_cell_of_a_row_is_a_problem(at, column) -> None:
    """None is left out of the hash or of what goes on from it, but for the `prev_hash` that need not be stored."""
    for value in VALUES[column]:
        if value == ROWS[at][column]:
            continue
        unstored = column == 12 and value == b"" and ROWS[at][2] > 1
        assert bool(found(changed([(at, column, value)], False), True)[0]) != unstored, (column, value)


def test_a_name_is_looked_at_until_it_is_found_to_be_in_order() -> None:
    """A principal that is new is looked at once; one that would not be admitted is told with each of its rows."""
    ann, odd = ([(*row[:8], name, *row[9:]) for row in ROWS if row[1] == b"b"] for name in (b"ann", b"x\0y"))
    ann[1] = (*ann[1][:8], b"bob", *ann[1][9:])
    ann[3] = (*ann[3][:8], b"bob", *ann[3][9:])
    for given_rows, looked, told in ((ann, [1, 2], 0), (odd, [1, 2, 3, 4], 4)):
        chained, before = [], bytes(32)
        for seq, row in enumerate(given_rows, 1):
            before = hashed((seq, *row[1:12], before, b""))
            chained.append((seq, *row[1:12], chained[-1][13] if chained else bytes(32), before))
        problems, notes, seen = found(chained, False)
        assert (problems, seen) == ([], looked)
        assert [note.what for note in notes] == ["principal"] * told


def hashed(row: tuple) -> bytes:
    """The hash of a row by its other cells."""
    from clawvm_es.journal.chain import event_hash

    return event_hash(*row[1:13])


@pytest.mark.parametrize("at", [14, 15])
@pytest.mark.parametrize(
    ("column", "value", "what"),
    [(0, 99, "seq"), (2, 99, "version"), (12, bytes(32), "prev_hash"), (9, 99, "cause"), (4, b"odd", "kind")],
)
def test_a_cell_that_is_wrong_under_a_hash_that_fits_is_named(at, column, value, what) -> None:
    """The last row of each session, so that nothing that follows it says more."""
    seqs = [problem for problem in found(changed([(at, column, value)], True), False)[0] if problem.what == "seq"]
    problems = [each.what for each in found(changed([(at, column, value)], True), False)[0] if each.what != "seq"]
    assert problems == ([] if what == "seq" else [what])
    assert len(seqs) == (0 if what != "seq" else 2 if at == 14 else 1)
