"""Executors: the same results from this process, from processes and from a Dask cluster, also where workers die."""

from __future__ import annotations

import json
import os
import pickle
import signal
import tracemalloc
from pathlib import Path

import pytest

from clawvm_es.cli.main import main
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import ClawVMError, UsageError
from clawvm_es.fleet import executor as executors
from clawvm_es.fleet.executor import Local, code_digest, executor
from tests.waiting import until

JOBS = [(n, f"text {n}") for n in range(40)]


def told(number: int, text: str) -> str:
    """The result of a job."""
    return f"{number}: {text.upper()}"


def read(path: str) -> tuple[str, bytes]:
    """The name of a file and what it holds."""
    return Path(path).name, Path(path).read_bytes()


def dies_once(marker: str, number: int) -> int:
    """Kill the worker that does it first."""
    try:
        os.close(os.open(marker.removeprefix("at "), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return number
    os.kill(os.getpid(), signal.SIGKILL)
    return -1


def dies(number: int) -> None:
    """Kill every worker that does it."""
    os.kill(os.getpid(), signal.SIGKILL)


def slow(number: int) -> int:
    """Take a while."""
    return number + 0 * sum(range(5_000_000))


def late(number: int) -> None:
    """A job that gives up."""
    raise TimeoutError(f"{number}: of its own")


def fails(number: int) -> None:
    """Raise an error of ours."""
    raise UsageError(f"job {number} cannot be done", hint="leave it out")


@pytest.fixture(scope="module")
def cluster():
    """The name of an executor with two workers."""
    distributed = pytest.importorskip("distributed", reason="there is no dask here (pip install 'clawvm-es[dask]')")
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 2, "distributed.worker.daemon": False}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as found,
    ):
        yield f"dask:{found.scheduler_address}"


def test_local_executors_give_the_same():
    """LAW-FLEET-1: one process or three, the results are those of the jobs."""
    wanted = {place: told(*job) for place, job in enumerate(JOBS)}
    for workers in (1, 3):
        assert dict(Local(workers).as_done(told, JOBS)) == wanted
    assert executor("local:3") == Local(3) and dict(executor(None).as_done(told, [])) == {}


def test_memory_does_not_grow_with_the_number_of_jobs():
    """Of thousands of small jobs only those under way are held, and no result that was taken."""
    jobs = [(n, "x" * 500) for n in range(4_000)]
    tracemalloc.start()
    try:
        held = [tracemalloc.get_traced_memory()[0] for _ in executors.in_order(Local(2), told, jobs)]
    finally:
        tracemalloc.stop()
    assert max(held[1_000:]) - max(held[:1_000]) < 100_000 < sum(len(text) for _, text in jobs[1_000:])


@pytest.mark.parametrize("name", ["local:0", "local:", "dask:", "ray:x", "local:x", "local:" + "9" * 5000, ""])
def test_what_is_no_executor_is_refused(name):
    """An unknown executor is wrong usage; an empty text is none named."""
    if name:
        with pytest.raises(UsageError, match="is no executor"):
            executor(name)
    else:
        assert isinstance(executor(name), Local)


@pytest.mark.sweep(sample=0)
def test_dask_gives_the_same(cluster, tmp_path):
    """LAW-FLEET-1: a cluster's results are those of this process; files go along by content, and errors come back."""
    found = executor(cluster)
    assert dict(found.as_done(told, JOBS)) == {place: told(*job) for place, job in enumerate(JOBS)}
    path = tmp_path / "input"
    path.write_bytes(b"content")
    ((_, (name, data)),) = found.as_done(read, [(str(path),)])
    assert data == b"content" and len(name) == 64  # it stands there under its digest
    with pytest.raises(UsageError, match="job 1 cannot be done") as caught:
        list(found.as_done(fails, [(1,)]))
    assert caught.value.hint == "leave it out" and pickle.loads(pickle.dumps(found)) == found


@pytest.mark.sweep(sample=0)
def test_a_killed_worker_changes_nothing(cluster, tmp_path):
    """A worker that is killed has its jobs done by another; a job that kills each is given up with one line."""
    found = executor(cluster)
    jobs = [(f"at {tmp_path / 'marker'}", n) for n in range(30)]
    assert dict(found.as_done(dies_once, jobs)) == dict(enumerate(range(30)))
    with pytest.raises(ClawVMError, match="one worker after another"):
        list(found.as_done(dies, [(1,)]))


@pytest.mark.sweep(sample=0)
def test_an_evaluation_is_the_same_on_dask(cluster, tmp_path, capsys):
    """`clawvm eval` writes the same bytes on a cluster as here; workers of other code are refused."""
    reports = []
    for name in ("local:1", cluster):
        out = tmp_path / name.partition(":")[0]
        with pytest.raises(SystemExit) as left:
            main(["eval", "tier1", "--out", str(out), "--executor", name])
        assert left.value.code == 0, capsys.readouterr().err
        reports.append((out / "report.json").read_bytes())
    assert reports[0] == reports[1]


@pytest.mark.sweep(sample=0)
def test_workers_of_other_code_are_refused(cluster, monkeypatch):
    """A cluster whose package has another digest does nothing."""
    from clawvm_es.fleet import dask

    monkeypatch.setattr(dask, "code_digest", _Other())
    with pytest.raises(UsageError, match="another version"):
        list(executor(cluster).as_done(told, JOBS))


@pytest.mark.sweep(sample=0)
def test_workers_without_the_package_are_refused(cluster, monkeypatch):
    """A worker that cannot import the package is named in one line: it is no fault of ours."""
    from clawvm_es.fleet import dask

    monkeypatch.setattr(dask, "code_digest", _Missing())
    with pytest.raises(UsageError, match="has no clawvm-es") as caught:
        list(executor(cluster).as_done(told, JOBS))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.sweep(sample=0)
def test_a_cluster_that_goes_away_is_told_in_a_line(monkeypatch):
    """Workers that do not come back are waited for a while, a scheduler that ends not at all."""
    distributed = pytest.importorskip("distributed", reason="there is no dask here (pip install 'clawvm-es[dask]')")
    from clawvm_es.fleet import dask

    monkeypatch.setattr(dask, "_LOOK_S", 0.1)
    monkeypatch.setattr(dask, "_ALONE_S", 0.5)
    for goes, said in (("worker", "has had no workers for 0.5 s"), ("scheduler", "scheduler is lost")):
        with distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=50
        ) as own:
            found = executor(f"dask:{own.scheduler_address}").as_done(slow, [(n,) for n in range(40)])
            next(found)
            if goes == "worker":
                own.scale(0)
            else:
                own.sync(own.scheduler.close)
            with pytest.raises(ClawVMError, match=said):
                list(found)


@pytest.mark.sweep(sample=0)
def test_a_result_that_is_lost_with_its_worker_is_not_waited_for(monkeypatch):
    """A worker that goes between the end of its job and the fetch of the result leaves nobody who will have it."""
    distributed = pytest.importorskip("distributed", reason="there is no dask here (pip install 'clawvm-es[dask]')")
    from clawvm_es.fleet import dask

    monkeypatch.setattr(dask, "_LOOK_S", 0.1)
    monkeypatch.setattr(dask, "_ALONE_S", 0.5)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=50
    ) as own:

        def lost(futures, **options):
            ended = distributed.wait(futures, **options)
            own.scale(0)
            until(lambda: not own.scheduler.workers, "a cluster without workers")
            return ended

        monkeypatch.setattr(dask, "wait", lost)
        with pytest.raises(ClawVMError, match=r"has had no workers for 0\.5 s"):
            list(executor(f"dask:{own.scheduler_address}").as_done(told, JOBS))


@pytest.mark.sweep(sample=0)
def test_a_job_that_runs_out_of_its_time_is_told(cluster):
    """A job may raise `TimeoutError`, which is not the one of a wait."""
    with pytest.raises(TimeoutError, match="of its own"):
        list(executor(cluster).as_done(late, [(1,)]))


def test_a_worker_that_came_late_is_looked_at_too():
    """A chunk is not done by a worker of other code, which may have joined after all were asked."""
    pytest.importorskip("distributed", reason="there is no dask here (pip install 'clawvm-es[dask]')")
    from clawvm_es.fleet.dask import _done

    assert _done(told, JOBS[:2], {}, code_digest())[0] == [told(*job) for job in JOBS[:2]]
    with pytest.raises(UsageError, match="another version"):
        _done(told, JOBS[:2], {}, "other")


def test_the_digest_covers_data(tmp_path, monkeypatch):
    """Workers whose prices are others would compute other costs: the digest is another one."""
    (tmp_path / "fleet").mkdir()
    monkeypatch.setattr(executors, "__file__", str(tmp_path / "fleet" / "executor.py"))
    found = set()
    for name, text in (("a.py", "1"), ("prices.json", "{}"), ("prices.json", '{"in": 1}'), ("notes.md", "x")):
        (tmp_path / name).write_text(text)
        found.add(code_digest.__wrapped__())
    assert len(found) == 3


class _Missing:
    """A digest that cannot be read on a worker."""

    def __call__(self) -> str:
        return "here"

    def __reduce__(self):
        return (_not_there, ())


def _not_there():
    raise ModuleNotFoundError("No module named 'clawvm_es'")


class _Other:
    """A digest that is another one here than on a worker."""

    def __init__(self):
        self.here = True

    def __call__(self) -> str:
        return "other" if self.here else code_digest()

    def __reduce__(self):
        return (_on_worker, ())


def _on_worker():
    return code_digest


def test_no_scheduler_is_one_line():
    """An address where nobody listens is wrong usage."""
    pytest.importorskip("distributed", reason="there is no dask here (pip install 'clawvm-es[dask]')")
    with pytest.raises(UsageError, match="dask:") as caught:
        list(executor("dask:notcp://x").as_done(told, JOBS))
    assert len(str(caught.value).splitlines()) == 1


def test_without_dask_the_name_is_refused(monkeypatch):
    """Where distributed is not installed, one line names the extra."""
    monkeypatch.setitem(__import__("sys").modules, "clawvm_es.fleet.dask", None)
    with pytest.raises(UsageError, match=r"needs distributed") as caught:
        executors.executor("dask:tcp://x:1")
    assert "clawvm-es[dask]" in caught.value.hint


def test_many_journals_are_verified(tmp_path, capsys):
    """`verify --also` takes journals and folders, says a line for each, and exits 1 where one is none."""
    for name in ("a.db", "b.db"):
        with Journal.open(tmp_path / name) as journal, journal.session("s", counter="lines4") as session:
            session.user_says("hello")

    def verify(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(["verify", str(tmp_path / "a.db"), *map(str, arguments)])
        return left.value.code, capsys.readouterr().out

    code, out = verify("--also", tmp_path, "--executor", "local:2")
    assert code == 0 and out.splitlines()[-1] == "2 journals, 0 not consistent" and out.count("✓") == 2
    (tmp_path / "empty").mkdir()
    assert verify("--also", tmp_path / "empty")[0] == 0
    with pytest.raises(SystemExit) as left:
        main(["verify", str(tmp_path / "empty"), "--executor", "local:2"])
    assert left.value.code == 2 and "there is no *.db" in capsys.readouterr().err  # nothing is not consistent
    (tmp_path / "c.db").write_bytes(b"no journal, but long enough to be looked at" * 9)
    code, out = verify("--also", tmp_path, "--json")
    found = json.loads(out)
    assert code == 1 and not found["ok"]
    assert [each["state"] for each in found["journals"]] == ["consistent, unanchored"] * 2 + ["unreadable"]
