"""The experiments on the families: their cells, what their sections say, and when their gates hold.

Figures of the paper are printed, never asserted.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.core.profiles import CLAWVM, PAPER_WEIGHTS
from clawvm_es.evaluation import ablation, overhead, tier2, weights
from clawvm_es.evaluation.families import FAMILIES
from clawvm_es.evaluation.measures import by_type, family_cell, mean, session
from clawvm_es.evaluation.policies import POLICIES
from clawvm_es.model import events as e
from clawvm_es.model.facts import FaultType
from clawvm_es.model.profile import Capability

EXPERIMENTS = [tier2.tier2(), ablation.ablation(), weights.weights(), overhead.overhead()]


def quiet(**figures):
    """A result without faults, but for what is named."""
    found = dict.fromkeys(("faults", "hits", "page_ins", "misses", "alerts", "pressure", "turns", "tokens"), 0)
    kinds = dict.fromkeys(map(str, FaultType), 0)
    return {**found, "uncached_tokens": 0, "thrash_permille": 0, "faults_by_type": kinds, **figures}


def faulting(*faults):
    """A result with these faults."""
    kinds = {str(fault): faults.count(fault) for fault in FaultType}
    return quiet(faults=len(faults), faults_by_type=kinds)


def shaped(section):
    """Every table's rows are as wide as its head, and hold integers and strings only."""
    for table in (*section.tables, *section.paper):
        assert table.rows
        for row in table.rows:
            assert len(row) == len(table.columns)
            assert all(type(value) in (int, str) for value in row)
    for chart in section.charts:
        assert all(len(values) == len(chart.x) for values in chart.series.values())
    json.dumps(section.data, allow_nan=False)
    return section


# ------------------------------------------------------------------------------------------ all of them


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda found: found.name)
def test_cells_are_independent_and_can_go_to_another_process(experiment):
    """Keys are unique, and each cell with what it computes can be pickled."""
    assert len({cell.key for cell in experiment.cells}) == len(experiment.cells) > 0
    for cell in experiment.cells:
        assert pickle.loads(pickle.dumps(cell)) == cell
        assert cell.timed is (experiment.name == "overhead")


def test_cells_give_the_same_bytes_under_any_hash_seed():
    """A few cells of each experiment, in two processes."""
    code = (
        "import json; from clawvm_es.evaluation import ablation, tier2, weights;"
        "cells = [c for x in (tier2.tier2(), ablation.ablation(), weights.weights())"
        " for c in x.cells[::41] if c.key[:5] != 'times'];"
        "print(json.dumps([[c.key, c.function(*c.arguments)] for c in cells]))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "7")
    }
    assert len(said) == 1


@given(st.integers(0, 10**6), st.integers(1, 1000), st.integers(1, 3))
def test_means_are_rounded_half_up_in_integers(value, count, places):
    """As exact fractions would be."""
    exact = Fraction(value, count) * 10**places
    rounded = int(exact + Fraction(1, 2))
    assert Fraction(mean(value, count, places)) * 10**places == rounded


# ---------------------------------------------------------------------------------------------- tier 2


def tier2_results(**changed):
    """Results of all cells: none has faults but the mutations, each its own, and what is changed."""
    broken = {tier2.BROKEN[missing].name: faulting(fault) for missing, fault in tier2.SHOWS.items()}
    results = {cell.key: broken.get(cell.key.split("/")[-2], quiet()) for cell in tier2.tier2().cells}
    return results | changed


def test_tier_2_has_every_configuration():
    """Four families, six budgets, nine policies, at one and at the swept parameters; six mutations beside."""
    keys = {cell.key for cell in tier2.tier2().cells}
    assert len(keys) == 3 * 4 * 6 * len(POLICIES) + 4 * 6 * 6
    assert {
        f"{family}/{name}/{budget}" for family in FAMILIES for name in POLICIES for budget in tier2.BUDGETS
    } < keys


def test_tier_2_marks_zeros_that_are_by_construction():
    """Zero faults of the contract say why they are zero; those of a baseline would not."""
    section = shaped(tier2.section(tier2_results()))
    told = {row[0]: row[2] for row in section.tables[0].rows}
    assert section.holds
    assert {name for name, value in told.items() if "by construction" in value} == {
        "lru",
        "clawvm_paper",
        "clawvm_turn",
        "clawvm",
        "oracle",
    }


@pytest.mark.parametrize("key", ["coding/clawvm/180", "runbook/oracle/500", "times 2/research/lru/120"])
def test_tier_2_does_not_hold_where_the_contract_faults(key):
    """One fault in one configuration is enough, the swept ones included."""
    section = shaped(tier2.section(tier2_results(**{key: faulting(FaultType.REFETCH)})))
    assert not section.holds
    assert "SHOW FAULTS" in section.paragraphs[0]


def test_tier_2_does_not_hold_where_a_mutation_shows_nothing():
    """A mechanism whose absence nobody notices proves nothing by its presence."""
    name = tier2.BROKEN[Capability.STAGING].name
    blind = {key: quiet() for key in tier2_results() if f"/{name}/" in key}
    section = tier2.section(tier2_results(**blind))
    assert not section.holds
    assert "DOES NOT" in section.paragraphs[1]


def test_tier_2_says_what_differs_from_the_paper_only_where_it_does():
    """More faults under retrieval, and another order of the two weak policies, are explained with their figures."""

    def said(**faults):
        often = {name: faulting(*[FaultType.REFETCH] * count) for name, count in faults.items()}
        named = {key: often[name] for key in tier2_results() if (name := key.split("/")[-2]) in often}
        return [text for text in tier2.section(tier2_results(**named)).paragraphs if "differs from the paper" in text]

    assert said() == said(retrieval=67) == []
    (one,) = said(retrieval=68, compaction_hybrid=67)
    assert "the other way round" not in one
    (other,) = said(retrieval=68, compaction_hybrid=69)
    assert "it has 1,656 and retrieval 1,632" in other


def test_at_180_tokens_the_contract_holds_and_the_baselines_and_mutations_fault():
    """The gates on real runs, at one budget."""
    cells = [cell for cell in tier2.tier2().cells if cell.key.endswith("/180") and not cell.key.startswith("times")]
    results = {cell.key: cell.function(*cell.arguments) for cell in cells}
    for family in FAMILIES:
        for name, policy in POLICIES.items():
            assert (results[f"{family}/{name}/180"]["faults"] == 0) is policy.contract
    for missing, fault in tier2.SHOWS.items():
        found = [results[f"{family}/{tier2.BROKEN[missing].name}/180"] for family in FAMILIES]
        assert by_type(found)[fault] > 0


def test_a_cell_s_figures_are_those_of_one_run():
    """Hits, page-ins and faults of needs add up to the needs of the session."""
    result = family_cell("runbook", POLICIES["retrieval_cache"], 240)
    needs = len(list(session("runbook").all_needs()))
    assert result["hits"] + result["misses"] == needs
    assert result["faults"] == sum(result["faults_by_type"].values())
    assert session("runbook", Fraction(2)).turns > session("runbook").turns


# --------------------------------------------------------------------------------------------- ablations


def test_ablations_take_one_away_and_add_one_after_the_other():
    """Five rows with one less, five alone, and the whole at the end; mechanisms of different rows never mix up."""
    rows = list(ablation.variants())
    assert rows[0] == ("subtractive", "all", ablation.ALL)
    assert sum(table == "subtractive" for table, _, _ in rows) == 6
    names = {ablation.with_only(kept).name: frozenset(kept) for _, _, kept in rows}
    assert len(names) == len({frozenset(kept) for _, _, kept in rows})
    assert ablation.with_only(ablation.ALL) == CLAWVM
    assert rows[-1][2] == ablation.ALL
    none = ablation.with_only(()).capabilities
    assert set(none) == {Capability.VALIDITY, Capability.RECALL_OUTCOME}


def test_the_ablations_hold_and_say_what_faults_rest_on():
    """On real runs: the whole has no fault, and without resolution, pinning or writeback there are some."""
    experiment = ablation.ablation()
    section = shaped(experiment.section({cell.key: cell.function(*cell.arguments) for cell in experiment.cells}))
    assert section.holds
    for table in (section.tables[0], section.tables[2]):
        faults = {row[0]: row[1] for row in table.rows}
        assert faults["all"] == 0
        assert all(faults[f"without {name}"] for name in ("automatic pinning", "resolution", "lifecycle writeback"))
        assert not faults["without scoring"] and not faults["without prefetch"]


# ----------------------------------------------------------------------------------------------- weights


def test_the_sweep_has_84_points_and_the_paper_s_is_one():
    """7 × 4 × 3 points, each with a profile of its own."""
    points = list(weights.points())
    assert len({point.key for point in points}) == len({point.profile.weights for point in points}) == 84
    assert [point.profile.weights for point in points if point.is_the_paper_s] == [PAPER_WEIGHTS]


def test_the_sweep_holds_while_no_point_faults():
    """One fault count, which is zero; a fault at one point makes two."""
    results = {point.key: {"faults": 0, "misses": 3, "hits": 1, "uncached_tokens": 9} for point in weights.points()}
    section = shaped(weights.section(results))
    assert section.holds and "1 fault count:" in section.paragraphs[0]
    key = next(iter(results))
    worse = shaped(weights.section({**results, key: {**results[key], "faults": 2}}))
    assert not worse.holds and "2 fault counts: 0, 2" in worse.paragraphs[0]


def test_weights_move_misses_but_make_no_faults():
    """At the corners of the grid, on all families."""
    points = list(weights.points())
    found = [weights.weights_cell(point) for point in (points[0], points[-1])]
    assert [result["faults"] for result in found] == [0, 0]
    assert found[0]["misses"] != found[1]["misses"]


# ---------------------------------------------------------------------------------------------- overhead


def test_the_workload_of_the_paper_s_size_has_24_pages():
    """Of all types, over 200 turns, always the same."""
    its = overhead.of_pages()
    written = {data.page_id for data in its.inputs if isinstance(data, e.PageWritten)}
    assert (len(written), its.turns) == (24, 200)
    assert its == overhead.of_pages()


def test_overhead_measures_every_turn():
    """Times and memory of each turn, a median below its maximum, and a table in microseconds."""
    result = overhead.overhead_cell("runbook", "clawvm")
    assert result["turns"] == session("runbook").turns
    for part in ("assembly", "turn", "memory"):
        assert 0 < result[part]["p50"] <= result[part]["p95"] <= result[part]["max"]
    assert result["assembly"]["p50"] <= result["turn"]["p50"]
    assert result["assembly"]["max"] <= result["assembly_max_of_all"]
    section = shaped(overhead.section({cell.key: result for cell in overhead.overhead().cells}))
    assert section.holds is None
