"""`clawvm eval` from end to end: the same bytes from any run, resumed where it was interrupted, honest exit codes."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clawvm_es.cli import output
from clawvm_es.evaluation import experiments, families, overhead
from clawvm_es.evaluation.cells import Experiment, Section
from clawvm_es.evaluation.evaluate import Choice, Settings, evaluate
from clawvm_es.evaluation.folder import CELLS
from clawvm_es.evaluation.report import FILES, TIMINGS
from tests.waiting import CEILING_S, until

QUICK = ("tier1", "stress")


def program(*arguments: object, seed: int = 0, **more) -> subprocess.Popen:
    """The program in a process group of its own, under a hash seed."""
    return subprocess.Popen(
        [sys.executable, "-m", "clawvm_es", "eval", *map(str, arguments)],
        env=os.environ | {"PYTHONHASHSEED": str(seed)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **more,
    )


def files(folder: Path) -> dict[str, bytes]:
    """The report's files."""
    return {name: (folder / name).read_bytes() for name in FILES}


def wait_for_cells(folder: Path, count: int) -> None:
    """Wait until a run has kept so many cells."""
    cells = folder / CELLS
    until(lambda: cells.exists() and cells.read_bytes().count(b"\n") > count, f"{count} cells")


def wait_until_gone(group: int) -> None:
    """Wait until no process of the group is left."""

    def gone() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    until(gone, "the end of all workers")


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A folder with a whole evaluation of the quick parts; tests leave it as it is."""
    out = tmp_path_factory.mktemp("eval") / "out"
    assert evaluate(out, Settings(QUICK), workers=1).holds
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """The report on tasks of a run that nobody interrupted."""
    out = tmp_path_factory.mktemp("whole") / "out"
    evaluate(out, Settings(("tasks",)), workers=1)
    return files(out)


def test_any_run_gives_the_same_bytes(done, tmp_path):
    """LAW-POOL-1, LAW-REPORT-1: one worker or two, another hash seed, from Python or the shell."""
    run = program(*QUICK, "--out", tmp_path / "out", "--workers", 2, seed=2)
    assert run.communicate()[1] == ""
    assert run.returncode == 0
    assert files(tmp_path / "out") == files(done)


def test_a_killed_run_is_resumed(tmp_path, run, whole):
    """A run that was killed leaves no process behind; the same command goes on, and ends as if nothing had been."""
    out = tmp_path / "out"
    for more, by in enumerate((signal.SIGTERM, signal.SIGKILL), 1):
        killed = program("tasks", "--out", out, "--workers", 2)
        wait_for_cells(out, 2 * more - 1)
        killed.send_signal(by)
        killed.communicate()
        wait_until_gone(killed.pid)
        assert killed.returncode == -by
        assert not (out / "report.json").exists()
    code, _, err = run("eval", "tasks", "--out", out)
    assert code == 0
    assert "resumes" in err and "cells are there" in err
    assert files(out) == whole


def test_a_full_disk_is_said_and_the_run_goes_on_later(tmp_path, run, whole):
    """What fits is kept; the error names the file and says that the same command goes on."""

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))

    out = tmp_path / "out"
    full = program("tasks", "--out", out, "--workers", 2, preexec_fn=little_room)
    _, err = full.communicate(timeout=CEILING_S)
    assert full.returncode == 2
    assert f"{out / CELLS}: File too large (make room; the same command goes on from here)" in err
    wait_until_gone(full.pid)
    code, _, err = run("eval", "tasks", "--out", out)
    assert code == 0
    assert "cells are there" in err
    assert files(out) == whole


@pytest.mark.parametrize("group", [True, False], ids=["the terminal's Ctrl-C", "the program only"])
def test_an_interrupted_run_says_how_to_go_on(tmp_path, group):
    """Ctrl-C ends all workers, exits with 130, shows no traceback, and says that the same command goes on."""
    out = tmp_path / "out"
    run = program("tasks", "--out", out, "--workers", 2)
    wait_for_cells(out, 1)
    (os.killpg if group else os.kill)(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=CEILING_S)
    assert run.returncode == 130
    assert "Traceback" not in err and "run the same command again to continue" in err
    wait_until_gone(run.pid)


def test_a_second_run_computes_nothing(done, run, tmp_path, monkeypatch):
    """What is there is told again, the same bytes, and it is said that it was there."""
    before = files(done)
    code, _, err = run("eval", *QUICK, "--out", done)
    assert code == 0
    cells = len((done / CELLS).read_bytes().splitlines()) - 1
    assert f"{cells} of {cells} cells are there" in err
    assert files(done) == before


def test_cells_of_other_code_are_computed_anew(run, tmp_path):
    """LAW-KEPT-1: a folder that another version filled is said to be stale, and none of its cells is used."""
    out = tmp_path / "out"
    evaluate(out, Settings(("tier1",)), workers=1)
    before = files(out)
    head, *cells = (out / CELLS).read_text().splitlines()
    head = json.dumps(json.loads(head) | {"code": "other"})
    cells = [line.replace('"as_it_must":true', '"as_it_must":false') for line in cells]
    (out / CELLS).write_text("\n".join([head, *cells, ""]))
    code, _, err = run("eval", "tier1", "--out", out)
    assert code == 0
    assert f"{len(cells)} cells were computed by other code" in err
    assert files(out) == before


def test_fresh_begins_anew(run, tmp_path):
    """`--fresh` takes nothing that is there, not even what the same code computed; other files in it stay."""
    out = tmp_path / "out"
    evaluate(out, Settings(("tier1",)), workers=1)
    before = files(out)
    spoilt = (out / CELLS).read_text().replace('"as_it_must":true', '"as_it_must":false')
    (out / CELLS).write_text(spoilt)
    (out / "mine.txt").write_text("mine")
    assert run("eval", "tier1", "--out", out)[0] == 1
    assert run("eval", "tier1", "--out", out, "--fresh")[0] == 0
    assert files(out) == before
    assert (out / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("fresh", [[], ["--fresh"]])
def test_a_folder_of_something_else_is_refused(run, tmp_path, fresh):
    """A folder that holds something, but no evaluation, is left as it is; an empty one is taken."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    code, _, err = run("eval", "tier1", "--out", tmp_path / "out", *fresh)
    assert code == 2
    assert "holds something that is no evaluation" in err and "--out" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]
    assert run("eval", "tier1", "--out", tmp_path / "out" / "thesis.txt")[0] == 2
    (tmp_path / "empty").mkdir()
    assert run("eval", "tier1", "--out", tmp_path / "empty")[0] == 0


def test_json_is_the_report(done, run):
    """`--json` prints what report.json holds: no figure of it is a float."""
    code, out, _ = run("eval", *QUICK, "--out", done, "--json")
    assert code == 0
    floats: list[str] = []
    assert json.loads(out) == json.loads((done / "report.json").read_bytes(), parse_float=floats.append)
    assert not floats


def test_a_failed_gate_is_exit_code_1(run, tmp_path, monkeypatch):
    """The report is written all the same, and says what does not hold."""
    failed = Experiment("tier1", (), lambda results: Section("tier1", "Gates", {}, (), holds=False))
    parts = dict(experiments.PARTS) | {"tier1": experiments.Part("Gates.", lambda *_: failed)}
    monkeypatch.setattr(experiments, "PARTS", parts)
    code, out, _ = run("eval", "tier1", "--out", tmp_path / "out")
    assert code == 1
    assert "DOES NOT HOLD" in out
    assert "DOES NOT HOLD" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tier9"], "unknown part 'tier9' (one of tier1, tier2, "),
        (["real"], "the real part needs recorded sessions (name their folder with --traces DIR)"),
        (["real", "--traces", "nowhere"], "nowhere: is no folder"),
        (["tier1", "--workers", "0"], "workers"),
        (["real", "--fixed", "-1"], "fixed"),
        (["all", "--family", "poetry"], "unknown family 'poetry' (one of coding, research, "),
        (["all", "--policy", "magic"], "unknown policy 'magic' (one of retrieval, "),
        (["all", "--renderer", "runes"], "unknown renderer 'runes' (one of messages, frames)"),
        (["tier1", "--renderer", "frames"], "renderers cannot be chosen for tier1 (they can for real)"),
        (["all", "--budget", "7"], "unknown budget 7 (one of 120, 180, "),
        (
            ["tier1", "--family", "coding"],
            "families cannot be chosen for tier1 (they can for tier2, ablation, weights)",
        ),
        (["weights", "--budget", "180"], "budgets cannot be chosen for weights (they can for tier2, real)"),
    ],
)
def test_wrong_usage_is_exit_code_2(run, tmp_path, monkeypatch, arguments, says):
    """One line names what is wrong and what would be right."""
    monkeypatch.delenv("CLAWVM_TRACES", raising=False)
    monkeypatch.chdir(tmp_path)
    code, out, err = run("eval", *arguments, "--out", "out")
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert not Path("out").exists()


def test_without_recorded_sessions_the_real_part_is_left_out(tmp_path, monkeypatch):
    """`all` without a folder of traces says so, to the user and in the report."""
    monkeypatch.setattr(experiments, "PARTS", {name: experiments.PARTS[name] for name in ("tier1", "real")})
    said: list[str] = []
    report = evaluate(tmp_path / "out", Settings(), workers=1, say=said.append)
    assert [part.name for part in report.parts] == ["tier1"]
    assert said == ["real is left out: no folder of recorded sessions was named (--traces DIR)"]
    assert "left out: no folder" in (tmp_path / "out" / "report.md").read_text()


def test_a_choice_narrows_the_tables(run, tmp_path):
    """Only the families, policies and budgets that are asked for stand in the report, in its own order, each once."""
    arguments = [
        *("--policy", "oracle", "--policy", "lru"),
        *("--budget", "500", "--budget", "180", "--budget", "180"),
    ]
    code, out, err = run("eval", "tier2", "--family", "runbook", *arguments, "--out", tmp_path / "out", "--json")
    assert code == 0, err
    document = json.loads(out)
    settings = document["settings"]
    assert (settings["families"], settings["policies"]) == (["runbook"], ["lru", "oracle"])
    assert settings["budgets"] == [180, 500]
    tables = {table["title"]: table for table in document["experiments"]["tier2"]["tables"]}
    grid = tables["Misses by budget, runbook"]
    assert grid["columns"] == ["policy", "180", "500"]
    assert [row[0] for row in grid["rows"]] == ["lru", "oracle"]


def test_another_seed_gives_other_sessions(tmp_path):
    """Two seeds give two reports, and neither is taken for the other in one folder."""
    reports = []
    for seed in (1, 2, 1):
        choice = Choice(("lru",), ("coding",), (180,), seed)
        reports.append(evaluate(tmp_path / "out", Settings(("tier2",), choice=choice), workers=1).document())
    assert reports[0] == reports[2]
    assert reports[0]["experiments"] != reports[1]["experiments"]


def test_a_part_without_the_budget_is_left_out(tmp_path, monkeypatch):
    """A budget that only another part has leaves this one out, with the reason."""
    monkeypatch.setattr(experiments, "PARTS", {name: experiments.PARTS[name] for name in ("tier1", "tier2", "real")})
    report = evaluate(tmp_path / "out", Settings(choice=Choice(budgets=(2_000,))), workers=1)
    assert [part.name for part in report.parts] == ["tier1"]
    assert report.left_out["tier2"] == "its budgets are 120, 180, 240, 300, 400, 500"


def test_recorded_sessions_under_a_choice(run, tmp_path):
    """Lru stands beside what is chosen: the others are compared with it."""
    (tmp_path / "traces").mkdir()
    families.write(tmp_path / "traces" / "s.jsonl", "assistant")
    arguments = ["--traces", tmp_path / "traces", "--policy", "retrieval", "--fixed", "100"]
    code, out, err = run("eval", "real", *arguments, "--out", tmp_path / "out", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["settings"]["fixed tokens"] == 100
    assert document["settings"]["renderers"] == ["messages", "frames"]
    told = [table for table in document["experiments"]["real"]["tables"] if table["title"].startswith("Policies and")]
    assert [[row[0] for row in table["rows"]] for table in told] == [["retrieval", "lru"]]


def test_a_folder_of_traces_with_bad_files(run, tmp_path, monkeypatch):
    """Files that cannot be read, or violate their schema, are skipped, and the report says which, where and why."""
    traces = tmp_path / "traces"
    traces.mkdir()
    families.write(traces / "good.jsonl", "coding")
    lines = (traces / "good.jsonl").read_text().splitlines()
    lines[2] = lines[2].replace('"page_type":"bootstrap"', '"page_type":"nonsense"')
    (traces / "broken.jsonl").write_text("\n".join(lines))
    (traces / "notes.txt").write_text("hello\n")
    monkeypatch.setenv("CLAWVM_TRACES", str(traces))
    code, out, err = run("eval", "real", "--out", tmp_path / "out", "--json")
    assert code == 0, err
    (unread,) = [t for t in json.loads(out)["experiments"]["real"]["tables"] if t["title"].startswith("Files that")]
    assert [row[0] for row in unread["rows"]] == ["broken.jsonl", "notes.txt"]
    assert unread["rows"][0][1].startswith("line 3: ")
    assert "$.data.page_type" in unread["rows"][0][1]
    assert f"{traces}: 2 files were not read" in err


def test_no_place_of_this_machine_is_in_the_report(run, tmp_path, monkeypatch):
    """Another folder for traces and output gives the same bytes."""
    reports = []
    for name in ("one", "two"):
        traces = tmp_path / name / "traces"
        traces.mkdir(parents=True)
        families.write(traces / "good.jsonl", "coding")
        assert run("eval", "real", "--out", tmp_path / name / "out", "--traces", traces)[0] == 0
        reports.append(files(tmp_path / name / "out"))
    assert reports[0] == reports[1]


def test_timings_do_not_stand_in_the_report(tmp_path, monkeypatch):
    """Two measurements of the overhead: the report is the same, the timings are not."""
    monkeypatch.setattr(overhead, "SIZES", overhead.SIZES[:1])
    monkeypatch.setattr(overhead, "RUNS", 1)
    for name in ("one", "two"):
        evaluate(tmp_path / name, Settings(("overhead",)), workers=1)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert all((tmp_path / "one" / name).exists() for name in TIMINGS)


def test_on_a_terminal_there_are_bars_and_colours(tmp_path):
    """A bar with an estimate on stderr, a green mark on stdout, and no escape that the terminal would print."""
    code = "import pty, sys; sys.exit(pty.spawn([sys.executable, *sys.argv[1:]]))"
    shown = subprocess.run(
        [sys.executable, "-c", code, "-m", "clawvm_es", "eval", "tier1", "--out", "out"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "NO_COLOR"},
        capture_output=True,
        check=True,
        stdin=subprocess.DEVNULL,
    ).stdout.decode()
    assert "cells  [" in shown and "100%" in shown
    assert "\x1b[32m✓\x1b[0m Tier 1: lifecycle gates: gate holds: 6 of 6 gates pass" in shown
    assert "\\x1b" not in shown


def test_verdicts_are_as_wide_as_the_terminal(tmp_path, run, monkeypatch):
    """A line is broken once, where the terminal ends, its next lines under its first."""
    monkeypatch.setattr(output, "terminal_width", lambda: 40)
    _, out, _ = run("eval", "tier1", "--out", tmp_path / "out")
    told = out.splitlines()
    verdict = told[: told.index("")]
    assert len(verdict) > 1 and max(map(len, verdict)) <= 40
    assert all(line.startswith("    ") for line in verdict[1:])
