"""Cells are computed on any number of workers, kept as they end, and never taken from other code."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest

from clawvm_es.errors import CellFailed, ClawVMError, InvariantBroken, UsageError
from clawvm_es.evaluation import kept as kept_cells
from clawvm_es.evaluation.cells import Cell, Experiment, Section
from clawvm_es.evaluation.gates import gates
from clawvm_es.evaluation.kept import Kept
from clawvm_es.evaluation.pool import compute, missing_cells
from clawvm_es.fleet.processes import as_done


def experiment(*cells: Cell) -> Experiment:
    """An experiment of these cells, whose section nobody reads."""
    return Experiment("mine", cells, lambda results: Section("mine", "Mine", dict(results), ()))


def number(key: str, value: int) -> Cell:
    """A cell that comes to one number."""
    return Cell(key, dict, ([("n", value)],))


@pytest.fixture
def path(tmp_path) -> Path:
    """Where cells are kept."""
    return tmp_path / "cells.jsonl"


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_have_the_order_of_the_cells(path, workers):
    """LAW-POOL-1: whatever is done first, results are those of one worker, in the order of the cells."""
    its = attrs.evolve(gates(), cells=[attrs.evolve(c, cost=n) for n, c in enumerate(gates().cells)])
    with Kept.open(path) as kept:
        results = compute([its], kept, workers=workers)["tier1"]
    assert list(results) == [cell.key for cell in its.cells]
    assert results == {cell.key: cell.function(*cell.arguments) for cell in its.cells}


def test_progress_counts_the_cost_of_what_is_missing(path):
    """Progress ends at the cost of all cells that this run had to compute; kept ones count for nothing."""
    cells = [attrs.evolve(number(str(n), n), cost=n + 1) for n in range(4)]
    seen: list[tuple[int, int]] = []
    with Kept.open(path) as kept:
        compute([experiment(*cells[:2])], kept, workers=1)
        assert missing_cells([experiment(*cells)], kept) == (2, 4)
        compute([experiment(*cells)], kept, workers=1, progress=lambda *at: seen.append(at))
    assert seen == [(4, 7), (7, 7)]


def test_what_is_kept_is_not_computed_again(path):
    """A cell that is there is taken from the file, also by the next process that opens it."""
    with Kept.open(path) as kept:
        kept.add("mine", number("a", 1), {"n": 99})
    with Kept.open(path) as kept:
        assert compute([experiment(number("a", 1))], kept, workers=1) == {"mine": {"a": {"n": 99}}}


@pytest.mark.parametrize(
    "other", [number("b", 1), number("a", 2), Cell("a", list, ([("n", 1)],))], ids=["key", "arguments", "function"]
)
def test_another_cell_is_not_taken_for_it(path, other):
    """Key, arguments and function make a cell."""
    with Kept.open(path) as kept:
        kept.add("mine", number("a", 1), {"n": 99})
        assert kept.get("mine", other) is None
        assert kept.get("yours", number("a", 1)) is None


def test_what_other_code_computed_is_dropped(path):
    """LAW-KEPT-1: cells under another digest of the code are gone, and the number of them is said."""
    with Kept.open(path, code="old") as kept:
        kept.add("mine", number("a", 1), {"n": 99})
    with Kept.open(path, code="new") as kept:
        assert kept.dropped == 1
        assert kept.get("mine", number("a", 1)) is None
    with Kept.open(path, code="old") as kept:
        assert kept.get("mine", number("a", 1)) is None


def test_the_digest_is_of_the_code(tmp_path, monkeypatch):
    """One changed byte in a module gives another digest."""
    root = tmp_path / "clawvm_es"
    (root / "evaluation").mkdir(parents=True)
    (root / "core.py").write_text("A = 1\n")
    monkeypatch.setattr(kept_cells, "__file__", str(root / "evaluation" / "kept.py"))
    before = kept_cells.code_digest.__wrapped__()
    assert before == kept_cells.code_digest.__wrapped__()
    (root / "core.py").write_text("A = 2\n")
    assert kept_cells.code_digest.__wrapped__() != before


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_cut_last_line_is_ignored_and_written_over(path, cut):
    """A file that a kill has cut anywhere in its last line gives all cells before it, and can be appended to."""
    with Kept.open(path) as kept:
        for n in range(3):
            kept.add("mine", number(str(n), n), {"n": n})
    os.truncate(path, path.stat().st_size - cut)
    for _ in range(2):
        with Kept.open(path) as kept:
            found = compute([experiment(*(number(str(n), n) for n in range(3)))], kept, workers=1)
        assert found == {"mine": {str(n): {"n": n} for n in range(3)}}
    assert len(path.read_bytes().splitlines()) == 4


def test_a_cut_first_line_is_a_file_without_cells(path):
    """A run that was killed while it wrote the first line leaves nothing that stops the next one."""
    Kept.open(path).__exit__()
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with Kept.open(path) as kept:
            assert missing_cells([experiment(number("a", 1))], kept) == (1, 1)
        assert path.read_bytes() == whole


@pytest.mark.parametrize("other", [b"hello\n", b"{}\n", b'{"format":"other"}\n', b"\xff\xfe", b"[1]\n"])
def test_a_file_of_something_else_is_left_alone(path, other):
    """What is no file of ours is refused and stays as it is."""
    path.write_bytes(other)
    with pytest.raises(UsageError, match="holds no cells"):
        Kept.open(path)
    assert path.read_bytes() == other


def test_one_process_at_a_time(path, monkeypatch):
    """A second run in the same folder is refused, and told so."""
    monkeypatch.setattr(kept_cells, "_WAIT_S", 0.1)
    with Kept.open(path), pytest.raises(UsageError, match="another run writes here"):
        Kept.open(path)
    with Kept.open(path):
        pass


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cell_that_raises_is_named(path, workers):
    """The error names experiment, key and what was raised; what was done before it is kept."""
    with Kept.open(path) as kept:
        compute([experiment(number("first", 1))], kept)
        cells = number("first", 1), Cell("bad/one", int, ("x",)), number("c", 3)
        with pytest.raises(CellFailed, match=r"mine: bad/one: ValueError: .*'x'"):
            compute([experiment(*cells)], kept, workers=workers)
    with Kept.open(path) as kept:
        assert kept.get("mine", number("first", 1)) == {"n": 1}


def test_a_result_that_is_no_json_is_named(path):
    """A set, or a float that JSON has no word for, is an error of the cell."""
    with Kept.open(path) as kept, pytest.raises(CellFailed, match="mine: bad: "):
        compute([experiment(Cell("bad", float, ("nan",)))], kept, workers=1)


def test_two_cells_of_one_key_are_refused(path):
    """A key names one cell of an experiment."""
    with Kept.open(path) as kept, pytest.raises(InvariantBroken, match="two cells 'a'"):
        compute([experiment(number("a", 1), number("a", 2))], kept)


def test_timed_cells_run_alone_and_last(path):
    """A timed cell runs in this process after all others, so that nothing else takes its time."""
    cells = [Cell("timed", os.getpid, timed=True), *(Cell(str(n), os.getpid) for n in range(4))]
    with Kept.open(path) as kept:
        found = compute([experiment(*cells)], kept, workers=2)["mine"]
    assert found.pop("timed") == os.getpid()
    assert os.getpid() not in found.values()
    assert b'"timed"' in path.read_bytes().splitlines()[-1]


def test_a_killed_worker_is_said():
    """If the system kills every worker that takes a job, the error says what to do."""
    with pytest.raises(ClawVMError, match="a worker was killed, 3 times") as raised:
        list(as_done(os._exit, [(9,), (9,)], 2))
    assert "fewer workers" in raised.value.hint
