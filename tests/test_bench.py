"""The benchmark runs: every bar is measured and reported. No time is asserted here; `tools/bench.py` judges those."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BARS = ("P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10", "redecide", "steps", "PROXY", "SERVERS")
FIELDS = {
    "bar", "what", "value", "unit", "peer", "peer_value", "ratio", "limit", "at_least", "note", "holds",
}  # fmt: skip


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the tool with the smallest sizes in a fresh process."""
    command = [sys.executable, "tools/bench.py", "--quick", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """One run over all bars, without recorded sessions: what it printed, and its JSON."""
    folder = tmp_path_factory.mktemp("bench")
    done = run("--json", str(folder / "bench.json"), "--folder", str(folder))
    return done.stdout, json.loads((folder / "bench.json").read_text(encoding="utf-8"))


def test_every_bar_is_printed(quick):
    """The table has at least one line for each bar."""
    printed, _ = quick
    assert {line.split()[0] for line in printed.splitlines()[2:]} == set(BARS)


def test_the_json_says_what_was_measured_and_on_what(quick):
    """Each measure has all fields, a number unless its note says why not, and the run says what it ran on."""
    _, report = quick
    assert report["machine"].keys() >= {"python", "sqlite", "peers", "processors", "loop_ns"}
    assert {each["bar"] for each in report["bars"]} == set(BARS)
    for each in report["bars"]:
        assert each.keys() == FIELDS
        assert each["value"] is not None or each["note"].startswith("skipped"), each
        assert (each["holds"] is None) == (each["limit"] is None or each["value"] is None), each


def test_each_peer_is_measured_or_said_to_be_missing(quick):
    """What an extra installs is a side of some measure; what is not installed is skipped aloud."""
    _, report = quick
    assert len(report["machine"]["peers"]) == 6
    for peer, version in report["machine"]["peers"].items():
        said = [f"{peer} is not installed" in each["note"] for each in report["bars"]]
        beside = [each["peer"] == peer for each in report["bars"]]
        without_traces = peer == "claude-code-log"
        assert without_traces or any(beside if version else said), peer


def test_nothing_is_lost_at_any_size(quick):
    """What is no matter of time holds in the smallest run too: no lost event, no body stored twice."""
    _, report = quick
    counted = {each["what"]: each["value"] for each in report["bars"] if each["limit"] == 0}
    assert counted == {"bodies stored twice, or not at all": 0, "errors and lost events": 0}


def test_without_recorded_sessions_the_replay_says_so(quick):
    """P7 is skipped by name, not left out."""
    _, report = quick
    (replayed,) = [each for each in report["bars"] if each["bar"] == "P7"]
    assert replayed["note"].startswith("skipped: no traces")
    assert replayed["holds"] is None


def test_a_recorded_session_is_replayed(traces):
    """With recorded sessions P7 measures one in a fresh process."""
    done = run("P7", "--folder", str(traces))
    assert "no traces" not in done.stdout and "failed" not in done.stdout, done.stdout
    assert "the first of a process" in done.stdout


def test_an_unknown_bar_is_refused():
    """A bar that does not exist is wrong usage: exit code 2 and one line that names it."""
    done = run("P12")
    assert done.returncode == 2
    assert "unknown bar P12" in done.stderr


def test_a_timed_process_keeps_what_it_compiled():
    """Where the caller keeps no compiled files, each process would compile ours again, and none of the peers'."""
    asked = "from bench.timing import told_by; print(told_by(['-c', 'import sys; print(sys.dont_write_bytecode)']))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tools"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
