"""Verbs whose work is shared out say the same bytes whoever does it, also where a worker is killed."""

from __future__ import annotations

import json
import os
import re
import signal
from importlib.resources import files
from multiprocessing import get_start_method

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.cli.main import main
from clawvm_es.core import utility
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import ClawVMError
from clawvm_es.fleet.executor import Local, batches, in_order
from clawvm_es.views import proved
from tests.engine.test_tape import World
from tests.fleet.test_executor import JOBS, cluster, dies_once, told  # noqa: F401 (a fixture)
from tests.history.test_rerun import live

REDECIDE = ("verify", "--redecide")
VERIFY = ("verify",)
WHATIF = ("whatif", "--session", "one", "--policy", "lru", "--policy", "clawvm", "--budget", "150", "--budget", "90")
ALL = ("whatif", "--all", "--policy", "lru", "--budget", "120")
VERBS = {"verify": VERIFY, "re-decide": REDECIDE, "what-if": WHATIF, "what-if of all": ALL}


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A journal of two sessions and a fork, each of them a job of its own."""
    monkeypatch.setattr(proved, "EVENTS_A_JOB", 1)
    place = tmp_path / "j.db"
    with Journal.open(place) as journal:
        for name in ("one", "two"):
            live(journal, World(), name, policy="clawvm_paper")
        journal.fork("one", "child", at=9)
    return place


@pytest.fixture
def say(capsys, path):
    """Run a verb on the journal; its exit code and what it printed."""

    def run(verb, *arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([verb[0], str(path), *verb[1:], *arguments])
        found = capsys.readouterr()
        return left.value.code, found.out, found.err

    return run


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_any_executor_says_the_same(say, verb):
    """LAW-FLEET-1: with one process, with two and with none named, text and JSON are the same bytes."""
    for shape in ((), ("--json",)):
        here = say(verb, *shape)
        assert here[0] == 0 and here[1]
        for name in ("local:1", "local:2"):
            assert say(verb, *shape, "--executor", name) == here, name


@pytest.mark.sweep(sample=0)
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_cluster_says_the_same(say, verb, cluster):  # noqa: F811
    """LAW-FLEET-1: workers of Dask open the journal where it is, and say what this process says."""
    assert say(verb, "--json", "--executor", cluster) == say(verb, "--json")


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_without_dask_each_verb_says_so(say, verb, monkeypatch):
    """Without distributed, one line names the extra, and nothing is done."""
    monkeypatch.setitem(__import__("sys").modules, "clawvm_es.fleet.dask", None)
    code, out, err = say(verb, "--executor", "dask:tcp://x:1")
    assert code == 2 and not out and "needs distributed" in err and "clawvm-es[dask]" in err


@pytest.mark.skipif(get_start_method() != "fork", reason="workers begin anew here, and do not see the changed weight")
def test_a_difference_is_told_once_in_the_order_of_sessions(say, monkeypatch):
    """A parent's difference, which its fork has too, comes once, the same from one process and from two."""
    monkeypatch.setattr(utility, "QUALITY", (0, 900, 910, 920, 1000))
    here = say(REDECIDE, "--json")
    found = json.loads(here[1])["differences"]
    assert here[0] == 1 and [each["session_id"] for each in found] == ["one", "two"]
    assert say(REDECIDE, "--json", "--executor", "local:2") == here


def test_an_import_says_the_same(tmp_path, capsys):
    """LAW-FLEET-1: what `import` compares after reading is the same bytes from two processes and from this one."""
    demo = (files("clawvm_es.cli") / "demo_session.jsonl").read_text()
    (name,) = set(re.findall(r'"sessionId": ?"([^"]+)"', demo))
    for each in ("one", "two"):
        (tmp_path / f"{each}.jsonl").write_text(demo.replace(name, each))
    found = []
    for number, executor in enumerate(((), ("--executor", "local:2"))):
        place = tmp_path / str(number) / "j.db"
        place.parent.mkdir()
        with pytest.raises(SystemExit) as left:
            main(
                [
                    "import",
                    str(tmp_path / "one.jsonl"),
                    str(tmp_path / "two.jsonl"),
                    "--journal",
                    str(place),
                    "--seed",
                    "1",
                    "--json",
                    *executor,
                ]
            )
        assert left.value.code == 0
        found.append(json.loads(capsys.readouterr().out) | {"journal": ""})
    assert found[0] == found[1] and [len(each["policies"]) for each in found[0]["sessions"]] == [2, 2]


def test_all_adds_up(say):
    """The sums of `--all` are those of the sessions, each of which is what it is asked about alone."""
    whole = json.loads(say(ALL, "--json")[1])
    assert [each["session_id"] for each in whole["sessions"]] == ["child", "one", "two"]
    for name in ("needs", "misses", "tokens"):
        assert whole["runs"][0][name] == sum(each["runs"][0][name] for each in whole["sessions"]) > 0
        assert whole["recorded"][name] == sum(each["recorded"][name] for each in whole["sessions"])
    costs = [each["runs"][0]["cost"] for each in whole["sessions"]]
    assert whole["runs"][0]["cost"]["cost"] == sum(each["cost"] for each in costs)
    assert "parted" not in whole["runs"][0] and whole["runs"][0]["policy"] == "lru"
    alone = json.loads(say(("whatif", "--session", "two", *ALL[2:]), "--json")[1])
    assert alone["runs"] == whole["sessions"][2]["runs"]
    assert "leave out --session" in say(ALL, "--session", "two")[2]


def test_a_killed_worker_has_its_work_done_again(tmp_path):
    """A worker that is killed costs time only; work that kills every worker is given up, after the rest is done."""
    jobs = [(f"at {tmp_path / 'marker'}", number) for number in range(20)]
    assert list(in_order(Local(2), dies_once, jobs)) == list(range(20))
    done = []
    with pytest.raises(ClawVMError, match="3 times on the same work"):
        for each in Local(2).as_done(kills_at, [(number,) for number in range(30)]):
            done.append(each)
    assert {(number, number) for number in range(30)} - set(done) <= {(number, number) for number in range(3, 12)}
    assert (7, 7) not in done and (29, 29) in done


def kills_at(number: int) -> int:
    """Kill every worker that does job 7."""
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_in_the_order_of_jobs():
    """Whoever ends first, results are in the order of the jobs."""
    for workers in (1, 3):
        assert list(in_order(Local(workers), told, JOBS)) == [told(*job) for job in JOBS]


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 60))
def test_batches_share_out_every_job_once(weights, least):
    """Batches are neighbours, in order, without gaps; each but the last weighs enough, and no more than it must."""
    found = list(batches(weights, least))
    assert [place for part in found for place in part] == list(range(len(weights)))
    for part in found[:-1]:
        heavy = [weights[place] for place in part]
        assert sum(heavy) >= least > sum(heavy[:-1])
