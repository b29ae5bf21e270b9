"""Tier 1: every gate passes, and would not if what it guards were broken."""

from __future__ import annotations

import attrs
import pytest

from clawvm_es.core.profiles import CLAWVM, LRU, without
from clawvm_es.evaluation.gates import GATES, gate_cell, gates
from clawvm_es.model.profile import Capability


@pytest.fixture(scope="module")
def results():
    """All cells of tier 1."""
    return {cell.key: cell.function(*cell.arguments) for cell in gates().cells}


def test_all_six_gates_pass(results):
    """Each weak policy faults, clawvm does not: the section holds."""
    section = gates().section(results)
    assert section.holds is True
    assert section.data["passed"] == section.data["gates"] == 6
    assert len(section.tables[0].rows) == len(results)


@pytest.mark.parametrize("name", sorted(GATES))
def test_a_weak_policy_faults_and_clawvm_does_not(results, name):
    """The faults that a gate names show under each policy that it names, and no fault under clawvm."""
    gate = GATES[name]
    for profile in gate.weak:
        faults = results[f"{name}/{profile.name}"]["faults"]
        assert any(faults.get(fault) for fault in gate.faults), profile.name
    assert results[f"{name}/clawvm"]["faults"] == {}


def test_each_unsafe_update_is_refused_with_its_code(results):
    """One update for each reason code, in the order of the table; the page that is refused is refused again."""
    assert results["persistence/clawvm"]["rejected"] == [
        "SCHEMA_INVALID",
        "PROVENANCE_UNRESOLVED",
        "SCOPE_DENIED",
        "DESTRUCTIVE_OP",
        "POLICY_VIOLATION",
        "POLICY_VIOLATION",
    ]


def test_each_failure_of_a_memory_is_a_fault_of_its_own(results):
    """Denied, backend error and malformed are three faults; an honest "no match" is none."""
    assert results["recall/clawvm-without-recall_outcome"]["faults"] == {"silent_recall": 3}


def test_it_is_the_jump_that_the_hybrid_loses_by(results):
    """One huge result: what is dirty is destroyed. The same in parts: flushed in time, nothing is lost."""
    assert results["race/compaction_hybrid"]["faults"]["flush_miss"] == 1
    assert "flush_miss" not in results["race/control"]["faults"]
    assert not gate_cell("race", without(CLAWVM, Capability.STAGING), True)["as_it_must"]


@pytest.mark.parametrize("name", sorted(GATES))
def test_a_gate_is_shut_where_a_weak_policy_shows_nothing(name):
    """A policy with the whole contract in the place of the weak one: the cell is not as it must be."""
    assert not gate_cell(name, LRU)["as_it_must"]


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("bootstrap", Capability.BOUNDARY_FLOORS),
        ("reset", Capability.STAGING),
        ("race", Capability.STAGING),
        ("recall", Capability.RECALL_OUTCOME),
        ("persistence", Capability.STAGING),
        ("churn", Capability.VALIDITY),
        ("churn", Capability.RESOLUTION),
    ],
)
def test_a_gate_is_shut_where_clawvm_is_broken(monkeypatch, name, missing):
    """With a mechanism taken from the policy that must be clean, its own gate no longer holds."""
    broken = attrs.evolve(without(CLAWVM, missing), name="clawvm")
    monkeypatch.setattr("clawvm_es.evaluation.gates.CLAWVM", broken)
    assert not gate_cell(name, broken)["as_it_must"]
