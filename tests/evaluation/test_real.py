"""The experiment on recorded sessions: what a cell measures, and what the section says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from msgspec.structs import replace

from clawvm_es.errors import UsageError
from clawvm_es.evaluation import real
from clawvm_es.evaluation.cells import Experiment, Results, Section
from clawvm_es.evaluation.choice import Choice
from clawvm_es.evaluation.harness import LISTS, measure_harness, without_thoughts
from clawvm_es.evaluation.policies import POLICIES
from clawvm_es.evaluation.real import BUDGETS, charged, experiment, full_only, measure
from clawvm_es.evaluation.run import run
from clawvm_es.evaluation.sessions import CODING, Found, Sessions, load, workload
from clawvm_es.evaluation.workload import FRAMES, MESSAGES, Workload
from clawvm_es.model import events as e
from clawvm_es.model.pages import Fidelity, PageType

NAME = "61cb3ba8-484b-4a21-bf99-34f7dc361170"


@pytest.fixture(scope="module")
def sessions(traces: Path, tmp_path_factory: pytest.TempPathFactory) -> Sessions:
    """A recorded coding session with a subagent, and a file that is none."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "a.jsonl").write_bytes((traces / "claude_code" / f"{NAME}.jsonl").read_bytes())
    (folder / "notes.txt").write_text("no session")
    return load(folder, tmp_path_factory.mktemp("kept"))


def results_of(its: Experiment) -> Results:
    """Every cell, computed and passed through JSON as a runner does."""
    found = {cell.key: cell.function(*cell.arguments) for cell in its.cells}
    return json.loads(json.dumps(found, sort_keys=True))


@contextmanager
def small_sessions_count() -> Iterator[None]:
    """Sessions of ten turns count, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real, "TURNS_LEAST", 10)
        patch.setattr(real, "PAGE_TOKENS_LEAST", 3_000)
        yield


@pytest.fixture
def counted() -> Iterator[None]:
    """Sessions of ten turns count in this test."""
    with small_sessions_count():
        yield


@pytest.fixture(scope="module")
def section(sessions: Sessions) -> Section:
    """What the recorded session comes to in frames."""
    with small_sessions_count():
        its = experiment(sessions, renderers=(FRAMES,))
        return its.section(results_of(its))


@pytest.mark.usefixtures("counted")
def test_the_harness_is_an_arm_that_runs_once_a_session(sessions, section):
    """One cell a session and renderer, whatever the budgets; its figures stand beside the policies'."""
    cells = [cell for cell in experiment(sessions).cells if cell.function is measure_harness]
    assert len(cells) == len(sessions.found) == len({cell.key for cell in cells})
    found = measure_harness(sessions.found[0].kept)
    assert (found["misses"], found["rules"]) == (0, 0) and found["answers"] > 10
    rows = [row for table in section.tables for row in table.rows if row[0] == "the harness"]
    assert len(rows) >= 4


def test_a_fixed_region_costs_the_harness_too(sessions):
    """Each of its prompts is longer by it; what it missed stays."""
    free, charged = (measure_harness(sessions.found[0].kept, fixed) for fixed in (0, 1_000))
    assert charged["tokens"] == free["tokens"] + 1_000 * free["turns"]
    assert charged["misses"] == free["misses"]
    assert all(charged["costs"][name] > free["costs"][name] for name in LISTS)


def test_prompts_without_arguments_cost_the_harness_less(sessions):
    """In frames both are told: by pages alone, and with the arguments of its calls; as messages these alone."""
    framed, sent = (measure_harness(found.kept) for found in sessions.found[:2])
    assert all(0 < framed["costs"][name] < framed["costs_with_arguments"][name] for name in LISTS)
    assert sent["costs"] == sent["costs_with_arguments"]
    assert all(framed["costs"][name] < sent["costs"][name] for name in LISTS)
    assert (framed["misses"], framed["needs"], framed["epochs"]) == (sent["misses"], sent["needs"], sent["epochs"])


@pytest.mark.usefixtures("counted")
def test_messages_and_frames_stand_apart_on_the_same_sessions(sessions):
    """A kind for each renderer, about as many sessions and needs; arguments are counted on both sides of messages."""
    choice = Choice(policy_names=("clawvm",), budgets=(16_000,))
    its = experiment(sessions, choice=choice)
    found = its.section(results_of(its))
    assert list(found.data["kinds"]) == ["coding/messages", "coding/frames"] and found.data["sessions"] == 2
    sent, framed = (table for table in found.tables if "beside the harness at 16,000 tokens" in table.title)
    assert sent.title == framed.title.replace("(frames)", "(messages)")
    assert "arguments of calls are counted" in sent.note and "Prompts hold pages alone" in framed.note
    assert [row[0] for row in sent.rows] == ["the harness", "lru", "clawvm"]
    told = [text for text in found.paragraphs if text.startswith("Unrecorded context")]
    assert told == [text for text in only(sessions, FRAMES, choice).paragraphs if text in told]


def only(sessions: Sessions, renderer: str, choice: Choice) -> Section:
    """The section under one renderer."""
    its = experiment(sessions, choice=choice, renderers=(renderer,))
    return its.section(results_of(its))


@pytest.mark.usefixtures("counted")
def test_messages_are_more_work_than_frames(sessions):
    """Progress is told by it, and the longest cells are begun first."""
    work = {cell.key.split("/")[1]: cell.cost for cell in experiment(sessions).cells if cell.function is measure}
    assert work[MESSAGES] > 3 * work[FRAMES]


def test_small_budgets_are_not_measured_as_messages(sessions):
    """An open exchange would take all of them."""
    framed, sent = (real.budgets_of(found) for found in sessions.found[:2])
    assert framed == BUDGETS[CODING] and sent == (16_000, 32_000, 64_000, 128_000)


def test_thoughts_are_on_no_side_of_messages(sessions):
    """A cell is the same for a session whose answers hold thoughts."""
    its = workload(sessions.found[1].kept)
    assert its.renderer == MESSAGES
    thinking = [data for data in without_thoughts(its).inputs if isinstance(data, e.ModelResponded)]
    assert {data.thinking_tokens for data in thinking} == {0}


@pytest.mark.parametrize(
    ("turns", "tokens", "said"), [(25, 16_000, True), (24, 900_000, False), (900, 15_999, False)]
)
def test_a_coding_session_counts_by_its_size_alone(turns, tokens, said):
    """25 turns and 16,000 tokens of pages, whatever the budget."""
    found = Found("a", "claude_code", "", "", "", "", turns, 0, 1, tokens, 0)
    assert {real.counts(found, budget) for budget in BUDGETS[CODING]} == {said}


@pytest.mark.parametrize(("budget", "said"), [(899, True), (900, False)])
def test_a_chat_counts_at_budgets_that_its_pages_exceed(budget, said):
    """Where everything fits no policy has anything to decide."""
    assert real.counts(Found("a", "openai_chat", "", "", "", "", 3, 0, 1, 900, 0), budget) == said


def test_a_cell_is_the_same_wherever_it_runs_and_holds_integers(sessions):
    """Twice the same session at the same budget, with every policy below or at the number of needs."""
    kept = sessions.found[0].kept
    found = measure(kept, 2_000, 0)
    assert found == measure(kept, 2_000, 0)
    assert found["fit"] <= found["demand"] <= found["needs"]
    assert {type(value) for value in leaves(found)} == {int}
    for figures in found["policies"].values():
        assert found["large"] == figures["large"] <= figures["misses"] <= found["needs"]
        assert figures["near"] <= found["near"]
    assert list(found["policies"]) == list(POLICIES)
    assert all(set(its["costs"]) == set(LISTS) for its in found["policies"].values())


def test_policies_that_differ_in_instructions_alone_run_once_where_there_are_none(sessions, monkeypatch):
    """Their figures are those of the runs that are saved; where there are instructions each runs."""
    kept, names = sessions.found[0].kept, ("retrieval", "retrieval+fixed", "clawvm")
    each = {name: measure(kept, 2_000, 0, (name,))["policies"][name] for name in names}
    runs: list[str] = []
    monkeypatch.setattr(real, "run", lambda *given: runs.append(given[1].name) or run(*given))
    assert measure(kept, 2_000, 0, names)["policies"] == each
    saved = len(runs)
    monkeypatch.setattr(real, "without_thoughts", instructed)
    measure(kept, 2_000, 0, names)
    assert len(runs) == 2 * saved + 1


def instructed(its: Workload) -> Workload:
    """The session with what its user said first as instructions."""
    place = next(place for place, data in enumerate(its.inputs) if isinstance(data, e.PageWritten))
    first = replace(its.inputs[place], page_type=PageType.BOOTSTRAP)
    return attrs.evolve(its, inputs=(*its.inputs[:place], first, *its.inputs[place + 1 :]))


def leaves(value: Any) -> list[Any]:
    """The values of nested mappings."""
    return [leaf for item in value.values() for leaf in leaves(item)] if isinstance(value, Mapping) else [value]


@pytest.mark.usefixtures("counted")
def test_a_fixed_region_is_charged_in_every_turn(sessions):
    """It takes room from every policy and from the bounds, and such cells have keys of their own."""
    its = workload(sessions.found[0].kept)
    turns = [data for data in charged(its, 1_500).inputs if isinstance(data, e.TurnBegan)]
    assert {turn.fixed_tokens for turn in turns} == {1_500}
    assert charged(its, 0) is its
    free, tight = (measure(sessions.found[0].kept, 2_000, fixed) for fixed in (0, 1_500))
    assert free["fit"] < tight["fit"]
    assert all(free["policies"][name]["misses"] <= tight["policies"][name]["misses"] for name in ("lru", "clawvm"))
    keys = [{cell.key for cell in experiment(sessions, fixed).cells} for fixed in (0, 1_500)]
    assert not keys[0] & keys[1]


def test_a_negative_fixed_region_is_refused(sessions):
    """Nothing is given back to a budget."""
    with pytest.raises(UsageError, match="must not be negative"):
        experiment(sessions, -1)


def test_full_only_leaves_every_page_one_level(sessions):
    """The needs stay as many; no level below full is there to meet them."""
    its = workload(sessions.found[0].kept)
    bare = full_only(its)
    written = [data for data in bare.inputs if isinstance(data, e.PageWritten)]
    assert {tuple(level.level for level in data.levels) for data in written} == {(Fidelity.FULL,)}
    assert len(list(bare.all_needs())) == len(list(its.all_needs()))
    assert {option.rank for need in bare.all_needs() for option in need.options} == {4}


def test_the_section_names_what_it_did_not_read(section):
    """Reason and number are told."""
    (table,) = [table for table in section.tables if table.title == "Files that were not read"]
    assert table.rows == (("notes.txt", "is a session of no known format"),)
    assert "is a session of no known format: 1" in table.note


def test_the_section_tells_what_was_never_recorded(section, sessions):
    """The provider counted more in the first call than the recording holds."""
    (told,) = [text for text in section.paragraphs if text.startswith("Unrecorded context")]
    main = next(found for found in sessions.found if found.name == NAME)
    assert f"claude_code {main.first_call_tokens:,} to {main.first_call_tokens:,}" in told
    assert "it is not charged" in told


def test_the_goal_is_not_told_where_nothing_is_held_out(section):
    """This session is one that policies are tuned on."""
    assert any("no held-out session counts" in text for text in section.paragraphs)
    assert section.data["kinds"]["coding/frames"]["goal"] is None
    assert section.holds is None


@pytest.mark.usefixtures("counted")
def test_the_goal_is_worked_out_from_the_part_held_out(sessions):
    """The same session under a name that the split does not know is held out."""
    renamed = attrs.evolve(
        sessions, found=tuple(attrs.evolve(found, name=f"new-{found.name}", origin="") for found in sessions.found)
    )
    its = experiment(renamed, renderers=(FRAMES,))
    found = its.section(results_of(its))
    goal = found.data["kinds"]["coding/frames"]["goal"]
    assert set(goal) == {"at_or_below", "below_pooled", "uncached", "holds"}
    word = "holds" if goal["holds"] else "does not hold"
    assert any(f"Coding sessions (frames), goal on the part held out: {word}." in text for text in found.paragraphs)
    assert found.data["kinds"]["coding/frames"]["parts"]["tune"]["budgets"] == {}


def test_tables_have_a_value_a_column_and_the_data_is_json(section):
    """Rows are as wide as their heads; what `report.json` holds has integers and strings only."""
    for table in section.tables:
        assert {len(row) for row in table.rows} <= {len(table.columns)}, table.title
    assert not any(isinstance(leaf, float) for leaf in leaves(json.loads(json.dumps(section.data))))
    for chart in section.charts:
        assert {len(values) for values in chart.series.values()} == {len(chart.x)}


def test_charts_show_policies_beside_bounds(section):
    """Misses by budget with both bounds, and uncached tokens by budget."""
    misses, uncached = section.charts
    assert {"lru", "clawvm", "bound fit", "bound demand"} <= set(misses.series)
    assert set(uncached.series) == set(POLICIES)


def test_the_picture_shows_every_policy_and_the_harness(section):
    """A point for each larger budget of each policy, one for the harness at 100 %, and whom it is about."""
    (picture,) = section.pictures
    assert picture.points["the harness"] == (("its own context", 100.0, 0),)
    assert {len(told) for name, told in picture.points.items() if name != "the harness"} == {4}
    assert "16,000, 32,000, 64,000, 128,000 tokens" in picture.note
    assert "2 sessions (1 of a subagent)" in picture.note


def test_the_comparison_with_the_harness_names_whom_it_is_about(section):
    """The verdict has population, price list and interval; sessions that were never compacted are told apart."""
    assert "2 sessions (1 of a subagent)" in section.verdict and "anthropic-5m" in section.verdict
    whole = [text for text in section.paragraphs if "sessions were never compacted" in text]
    assert whole and all(text.startswith("Coding sessions (frames): ") for text in whole)
    (beside,) = [table for table in section.tables if "beside the harness at" in table.title]
    epochs = {row[0]: row[6] for row in beside.rows}
    assert (epochs["clawvm_turn"], epochs["retrieval"]) == ("–", "–") and float(epochs["clawvm"]) >= 1
    (windows,) = [table for table in section.tables if "default budget fits" in table.title]
    assert len(windows.rows) == 2
