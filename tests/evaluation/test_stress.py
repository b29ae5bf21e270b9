"""Stress tests: no fault under the contract, and pressure told apart."""

from __future__ import annotations

import pytest

from clawvm_es.evaluation.stress import TESTS, stress


@pytest.fixture(scope="module")
def results():
    """All cells."""
    return {cell.key: cell.function(*cell.arguments) for cell in stress().cells}


@pytest.mark.parametrize("name", sorted(TESTS))
@pytest.mark.parametrize("policy", ["clawvm", "lru", "oracle"])
def test_the_contract_never_faults(results, name, policy):
    """LAW-DECIDE-3 under the hardest sessions: each need is a hit or a page-in."""
    result = results[f"{name}/{policy}"]
    assert result["faults"] == 0
    assert result["hits"] + result["page_ins"] == result["needs"] > 40 - 20 * (name == "starvation")


def test_what_cannot_fit_is_pressure(results):
    """Starvation shows pressure in every turn, and needs that had to be paged in."""
    starved = results["starvation/clawvm"]
    assert starved["pressure"] >= starved["turns"]
    assert starved["page_ins"]
    assert results["cascade/clawvm"]["pressure"] == 0


@pytest.mark.parametrize("name", sorted(TESTS))
def test_they_are_no_walk_for_a_policy_without_contract(results, name):
    """Retrieval faults in each of them."""
    assert results[f"{name}/retrieval"]["faults"]


def test_each_cell_is_one_row(results):
    """The table holds every test under every policy."""
    section = stress().section(results)
    assert len(section.tables[0].rows) == len(results)
    assert section.holds
