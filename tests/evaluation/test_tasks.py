"""Task replays: thirty short sessions, the same every time, and a success that means what it says."""

from __future__ import annotations

import pytest

from clawvm_es.evaluation import families
from clawvm_es.evaluation.statistics import percent
from clawvm_es.evaluation.tasks import SHORT, TASKS, task, tasks


@pytest.fixture(scope="module")
def results():
    """All cells."""
    return {cell.key: cell.function(*cell.arguments) for cell in tasks().cells}


def test_thirty_tasks_are_drawn_from_all_families():
    """Families in turn, no seed twice."""
    drawn = [task(number) for number in range(1, TASKS + 1)]
    assert len(set(drawn)) == TASKS == 30
    assert {name for name, _ in drawn} == set(families.FAMILIES) == set(SHORT)


@pytest.mark.parametrize("number", range(1, TASKS + 1))
def test_a_task_is_short_and_has_needs_and_a_boundary(number):
    """One request, or two days: at most 20 turns, some needs, and context that is destroyed on the way."""
    name, seed = task(number)
    workload = families.workload(name, seed, SHORT[name])
    assert 5 <= workload.turns <= 20
    assert sum(1 for _ in workload.all_needs()) >= 5
    boundaries = [data.boundary for data in workload.inputs if data.TYPE == "boundary_reached"]
    assert {"compact", "reset"} & set(boundaries)


def test_success_is_that_no_declared_need_is_missed(results):
    """Hits, page-ins and misses are all declared needs of a task; one miss fails it, and is a fault."""
    expected = [declared(number) for number in range(1, TASKS + 1)]
    for name, result in results.items():
        for goal, done in zip(expected, result["tasks"], strict=True):
            assert done["hits"] + done["page_ins"] + done["missed"] == done["declared"] == goal, name
            assert done["succeeded"] is (done["missed"] == 0)
            assert done["faults"] >= done["missed"]


def declared(number: int) -> int:
    """The declared needs of a task, counted over its inputs: once per turn and set of holders."""
    name, seed = task(number)
    found, turn = {}, 0
    for data in families.workload(name, seed, SHORT[name]).inputs:
        turn += data.TYPE == "turn_began"
        for need in getattr(data, "needs", ()):
            found.setdefault((turn, frozenset(holder.page_id for holder in need.holders)), need.rule)
    return sum(rule == "declared" for rule in found.values())


def test_the_contract_completes_all_tasks(results):
    """By construction: under the whole contract every need is a hit or a page-in, and nothing is a fault."""
    for name in ("clawvm", "lru", "oracle"):
        assert all(done["succeeded"] and not done["faults"] for done in results[name]["tasks"])


def test_the_section_counts_what_the_cells_say(results):
    """Totals and shares by family are sums over the tasks; the paper's figures stand apart."""
    section = tasks().section(results)
    total, by_family = section.tables
    row = next(row for row in total.rows if row[0] == "retrieval")
    good = sum(done["succeeded"] for done in results["retrieval"]["tasks"])
    assert row[1:3] == (good, percent(good * 1000 // TASKS))
    assert by_family.columns[1:] == tuple(SHORT)
    assert section.paper and section.holds
