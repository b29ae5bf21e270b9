"""The simulator: its seeds hold on every storage, a stored seed finds each planted fault, and a seed replays."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

MEMORY, SQLITE = range(0, 200, 50), range(0, 50, 10)
"""The first of each fifty seeds in memory and of each ten in a file, in each run of the tests; sweeps have more."""


@pytest.fixture(scope="module")
def tool():
    """The tool's modules, as it imports them itself."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        yield {name: importlib.import_module(f"simulate.{name}") for name in ("run", "faults", "laws", "worlds")}
    finally:
        sys.path.remove(str(ROOT / "tools"))


def failing(tool, seeds, storage: str) -> dict[int, str]:
    """Seed → the law that it breaks."""
    found = ((seed, tool["run"].once(seed, storage)) for seed in seeds)
    return {seed: what for seed, what in found if what is not None}


@pytest.mark.parametrize("first", MEMORY)
def test_the_laws_hold_in_memory(tool, first):
    """Lost answers, late deliveries, killed processes, cut power: the laws hold over a log in memory."""
    assert failing(tool, range(first, first + 50), "memory") == {}


@pytest.mark.parametrize("first", SQLITE)
def test_the_laws_hold_in_a_file(tool, first):
    """The same over a journal file on a disk that is full, has errors, and loses and tears what was not synced."""
    assert failing(tool, range(first, first + 10), "sqlite") == {}


@pytest.mark.sweep(sample=0)
@pytest.mark.parametrize("first", range(0, 2000, 100))
def test_more_seeds_hold(tool, first):
    """Two thousand seeds in memory, two hundred in a file."""
    assert failing(tool, range(first, first + 100), "memory") == {}
    assert failing(tool, range(first // 10, first // 10 + 10), "sqlite") == {}


def _planted():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        known = importlib.import_module("simulate.faults").FAULTS
    finally:
        sys.path.remove(str(ROOT / "tools"))
    return [(name, storage, seed) for name, fault in known.items() for storage, seed in fault.seeds.items()]


@pytest.mark.parametrize(("fault", "storage", "seed"), _planted())
def test_a_planted_fault_is_found(tool, fault, storage, seed):
    """Each planted fault, a skipped sync or a lock not taken among them, breaks a law at the seed stored with it."""
    assert tool["run"].once(seed, storage, fault) is not None
    assert tool["run"].once(seed, storage) is None


def test_a_seed_that_found_a_fault_of_ours_holds(tool):
    """Seeds that broke a law once: results taken for durable without a sync, an end kept over a failed read."""
    assert failing(tool, (97, 135, 354, 1850), "sqlite") == {}


def test_a_seed_replays(tool, monkeypatch):
    """A seed makes the same journal each time, hash for hash."""
    hashes: list[list[bytes]] = []

    def noted(log):
        hashes.append([each.hash for each in log.read_all()])

    monkeypatch.setattr(tool["laws"], "folds", noted)
    for _ in range(2):
        assert tool["run"].once(11, "memory") is None and tool["run"].once(11, "sqlite") is None
    assert hashes[0] == hashes[2] and hashes[1] == hashes[3] and len(hashes[0]) > 20


def test_a_failing_seed_is_printed_with_its_command_and_a_run_goes_on(tmp_path):
    """The command line: a failure shrinks and names its command; a state file is gone on from."""
    state = tmp_path / "state.json"

    def simulate(*arguments):
        command = [sys.executable, "tools/simulate.py", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    done = simulate("--seed", "3", "--fault", "skipped-fsync")
    assert done.returncode == 1, done.stderr
    assert "seed 3 fails after" in done.stdout and "--seed 3 --storage memory --fault skipped-fsync" in done.stdout
    state.write_text(json.dumps({"next": 3}))
    done = simulate("--seeds", "0:5", "--state", str(state))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5 of 5 seeds hold, ") and json.loads(state.read_text()) == {"next": 5}
