"""Workload families: the same bytes from the same seed, in our format, and hard in the ways they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UsageError
from clawvm_es.evaluation import families
from clawvm_es.evaluation.families.coding import Coding
from clawvm_es.evaluation.families.distribution import GROUPS, bucket, distribution, distribution_table
from clawvm_es.evaluation.families.script import Script, Texts
from clawvm_es.history.redecide import redecide
from clawvm_es.importers import export_trace, trace
from clawvm_es.importers.replay import replay
from clawvm_es.model import events as e
from clawvm_es.model.facts import NeedRule
from clawvm_es.model.pages import Author, Fidelity, PageType

made = cache(families.workload)
"""A session of a family, made once for all tests that look at it."""
ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = Path(__file__).parent / "golden" / "families.json"
NAMES = sorted(families.FAMILIES)


def told(name: str) -> Mapping[str, Any]:
    """What the golden file says of a family: parameters, distribution, a digest of the inputs after the opening."""
    found = families.family(name)
    _, _, *inputs = families.trace(name)
    return {
        "parameters": {key: value for key, value, _ in families.described(found.parameters)},
        "inputs_sha256": sha256("".join(inputs).encode()).hexdigest(),
        "distribution": distribution(made(name)),
    }


def branches() -> Mapping[str, jsonschema.Draft202012Validator]:
    """The published schema of a trace, one validator for each kind of line ("": the header)."""
    schema = json.loads((ROOT / "schemas" / f"clawvm_trace.v{trace.VERSION}.json").read_text(encoding="utf-8"))
    kinds = {branch["properties"].get("type", {}).get("const", ""): branch for branch in schema["oneOf"]}
    return {
        kind: jsonschema.Draft202012Validator({**branch, "$defs": schema["$defs"]}) for kind, branch in kinds.items()
    }


SCHEMA = branches()


@pytest.mark.parametrize("name", NAMES)
def test_the_golden_file_holds_what_was_committed_before_any_policy_ran(name):
    """Parameters, distribution and bytes of seed 1 are those of the golden file; it is changed by hand only."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert sorted(golden) == NAMES
    assert told(name) == golden[name]


def test_any_process_writes_the_same_bytes():
    """Two hash seeds, two processes: one digest."""
    code = (
        "from hashlib import sha256; from clawvm_es.evaluation import families as f;"
        "print(sha256(''.join(''.join(f.trace(n, 7)) for n in f.FAMILIES).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    here = "".join("".join(families.trace(name, 7)) for name in families.FAMILIES)
    assert digests == {sha256(here.encode()).hexdigest() + "\n"}


@settings(max_examples=5, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    seed=st.integers(0, 10**6),
    factor=st.sampled_from([Fraction(1, 2), Fraction(1), Fraction(2)]),
)
def test_every_trace_is_a_session(tmp_path_factory, name, seed, factor):
    """LAW-TRACE-1: it satisfies the schema, replays, re-decides, and is what the session exports again."""
    parameters = families.scaled(families.family(name).parameters, factor)
    lines = list(families.trace(name, seed, parameters))
    for line in lines:
        row = json.loads(line)
        SCHEMA[row.get("type", "")].validate(row)
    path = tmp_path_factory.mktemp("family") / "trace.jsonl"
    families.write(path, name, seed, parameters)
    with Journal.open(":memory:", seed=1) as journal:
        (replayed,) = replay(journal, path)
        rows = list(journal.log.read(replayed.session_id))
        assert not replayed.skipped
        assert redecide(rows) == sum(row.kind == "decision" for row in rows)
        exported = list(export_trace(journal.log, replayed.session_id))
    assert exported[2:] == lines[2:]
    assert json.loads(exported[0]) == json.loads(lines[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_turn_goes_in_the_order_of_the_specification(name):
    """No need stands between the end of a turn's inputs and the next assembly, and results follow their calls."""
    responded, open_calls = True, set()
    for data in made(name).inputs:
        if isinstance(data, e.TurnBegan):
            assert responded
            assert not open_calls
            responded = False
        elif isinstance(data, e.ModelResponded):
            responded = True
        elif isinstance(data, e.ToolCalled):
            assert responded
            open_calls.add(data.call)
        elif isinstance(data, e.ToolReturned):
            open_calls.remove(data.call)
        elif isinstance(data, e.PageWritten | e.BoundaryReached):
            assert responded


@pytest.mark.parametrize("name", NAMES)
def test_it_is_hard_in_the_ways_it_says(name):
    """Each family has repeats, stale ones, far needs, failed recalls, dirty boundaries, and needs of each level."""
    found = distribution(made(name))
    assert found["calls"]["repeats"] and found["calls"]["repeats_after_write"]
    assert found["needs_by_distance"]["17-64"] and found["needs_by_distance"]["65+"]
    assert sum(found["recalls"].values()) > found["recalls"]["ok"] > 0
    assert found["staged"]["dirty_pages"]
    assert all(found["needs_by_type"][kind] for kind in ("bootstrap", "constraint", "plan", "evidence"))
    assert all(found["needs_by_cheapest_level"][level] for level in ("structured", "compressed", "full"))
    assert 0 < found["size"]["hints_used"] < found["size"]["hints"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [Fraction(1, 2), 2])
def test_budgets_mean_something(name, factor):
    """What is required always fits the smallest budget with the directory, and all pages never fit the largest."""
    parameters = families.scaled(families.family(name).parameters, factor)
    size = distribution(families.workload(name, 1, parameters))["size"]
    assert size["floor_tokens_max"] <= 90
    assert size["page_tokens"] > 500


@pytest.mark.parametrize("name", NAMES)
def test_counts_of_a_distribution_add_up(name):
    """Each need stands once in each of its groups."""
    workload = families.workload(name, 3)
    found = distribution(workload)
    needs = sum(1 for _ in workload.all_needs())
    for group in ("needs_by_type", "needs_by_rule", "needs_by_distance", "needs_by_cheapest_level"):
        assert sum(found[group].values()) == needs
    calls = found["calls"]
    assert calls["all"] == sum(calls[key] for key in ("first", "repeats", "repeats_after_write", "undeclared"))
    assert {group: tuple(counts) for group, counts in found.items()} == {
        group: tuple(map(str, names)) for group, names in GROUPS.items()
    }


def test_distances_fall_in_their_buckets():
    """The last distance of a bucket is in it, the next one is not."""
    assert [bucket(distance) for distance in (0, 1, 2, 4, 5, 16, 17, 64, 65)] == [
        "0-1", "0-1", "2-4", "2-4", "5-16", "5-16", "17-64", "17-64", "65+",
    ]  # fmt: skip


def test_distributions_stand_side_by_side():
    """One column each, one row for each count."""
    table = distribution_table([made("coding"), made("runbook")])
    assert table.columns == ("what", "", "coding", "runbook")
    assert len(table.rows) == sum(map(len, GROUPS.values()))
    turns = next(row for row in table.rows if row[1] == "turns")
    assert turns[2:] == (made("coding").turns, made("runbook").turns)


# ------------------------------------------------------------------------------------------ parameters


@pytest.mark.parametrize("name", NAMES)
def test_each_parameter_has_a_meaning_and_is_swept(name):
    """Half and double change every parameter but the fixed ones; shares stay shares."""
    parameters = families.family(name).parameters
    kinds = {field.name: field.metadata["kind"] for field in attrs.fields(type(parameters))}
    assert all(meaning for _, _, meaning in families.described(parameters))
    for factor in families.SWEEP:
        other = families.scaled(parameters, factor)
        for key, value, _ in families.described(other):
            was = getattr(parameters, key)
            assert (value == was) is (kinds[key] == "fixed")
            assert 0 <= value <= 1000
        assert other.compressed_permille + other.full_permille <= 1000


def test_one_parameter_can_be_swept_alone():
    """Only what is named is scaled; a count never falls to nothing."""
    assert families.scaled(Coding(), 2, "files") == Coding(files=2 * Coding().files)
    assert families.scaled(Coding(), Fraction(1, 1000), "files").files == 1


def test_sessions_under_other_parameters_have_other_names():
    """A sweep can stand in one journal."""
    names = {
        json.loads(next(families.trace("coding", seed, parameters)))["session_id"]
        for seed in (1, 2)
        for parameters in (None, Coding(), Coding(files=5), Coding(files=6))
    }
    assert len(names) == 6
    assert "coding/1" in names


def test_what_is_not_known_is_said():
    """An unknown family, and parameters of another one."""
    with pytest.raises(UsageError, match="unknown family 'cooking'") as error:
        families.family("cooking")
    assert "runbook" in error.value.hint
    with pytest.raises(UsageError, match="takes Research, not Coding"):
        next(families.trace("research", 1, Coding()))


# ----------------------------------------------------------------------------------------------- script


def test_a_need_names_the_levels_that_contain_its_text():
    """Holders are all pages with the text, oldest first, at exactly the levels whose text contains it."""
    script = Script("s")
    texts = Texts("head\nalpha\nbeta and gamma", "head\nalpha", "head", "h")
    script.page(PageType.EVIDENCE, texts, Author.TOOL)
    script.page(PageType.CONVERSATION, Texts("who said alpha, and when?"), Author.USER)
    need = script.need("alpha", NeedRule.DECLARED)
    assert [(holder.page_id, holder.levels) for holder in need.holders] == [
        ("p1", (Fidelity.FULL, Fidelity.COMPRESSED)),
        ("p2", (Fidelity.FULL,)),
    ]
    with pytest.raises(AssertionError, match="no page holds 'delta'"):
        script.need("delta")
    script.retire("p2")
    assert [holder.page_id for holder in script.need("alpha").holders] == ["p1"]


def test_a_level_that_saves_nothing_is_not_kept():
    """Levels below full have strictly fewer tokens than the one above."""
    script = Script("s")
    script.page(PageType.EVIDENCE, Texts("one two three", "one two thre!", "one two", "one two"), Author.TOOL)
    written = script.inputs[-1].data
    assert isinstance(written, e.PageWritten)
    assert [(level.level, level.tokens) for level in written.levels] == [("full", 4), ("structured", 2)]
