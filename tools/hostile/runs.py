"""Every verb over every case, each case in a process of its own: exit codes, lines, tracebacks, peak memory."""

from __future__ import annotations

import faulthandler
import io
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import attrs

from hostile import homes, verbs
from hostile.corpus import Case
from hostile.specimens import Specimens

CPU_S = 60
"""Seconds of computing for each call, after which it counts as hanging; waiting for a slow machine does not."""
WALL_S = 300
"""Seconds for each call, whatever it does, after which its process ends."""
BATCH = 64
"""Cases to a process: to start one takes longer than most cases."""
SCRATCH = "/dev/shm" if os.path.isdir("/dev/shm") else None
BASE_BYTES = 100 * 2**20
TIMES = 4
"""Peak memory of a case: at most `BASE_BYTES` and `TIMES` the size of its files."""


@attrs.frozen
class Outcome:
    """What came of one case: how many calls, what was wrong with them, and the process's peak memory."""

    case: Case
    calls: int
    complaints: tuple[str, ...]
    peak_bytes: int = 0


def run(folder: Path, cases: Sequence[Case], workers: int) -> Iterator[Outcome]:
    """Run every verb over these cases of a corpus, some cases to a process, in order."""
    batches = [cases[start : start + BATCH] for start in range(0, len(cases), BATCH)]
    with ThreadPoolExecutor(workers) as pool:
        for found in pool.map(lambda batch: _batch(folder, batch), batches):
            yield from found


def _batch(folder: Path, cases: Sequence[Case]) -> list[Outcome]:
    """Run some cases in one process; those whose fault it may be that it ended, or grew, each in one of its own."""
    found = _process(folder, cases)
    done = [outcome for outcome in found if outcome.calls and not any(too_large(folder, outcome))]
    again = [case for case in cases if case not in [outcome.case for outcome in done]]
    if len(cases) == 1:
        return found if done else _process(folder, cases, "--apart")
    return [*done, *(outcome for case in again for outcome in _batch(folder, [case]))]


def _process(folder: Path, cases: Sequence[Case], *options: str) -> list[Outcome]:
    """What a process says of these cases; the one that it did not survive is a fault."""
    names = [argument for case in cases for argument in ("--case", case.name)]
    command = [sys.executable, str(Path(__file__).parent.parent / "hostile.py"), str(folder), *names, *options]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = subprocess.run(command, stdout=out, stderr=err, check=False).returncode
        for stream in (out, err):
            stream.seek(0)
        rows = [json.loads(line) for line in out.read().splitlines()]
        said = [line for line in err.read().decode("utf-8", "replace").splitlines() if line.startswith("running")]
    found = [
        Outcome(Case(**row.pop("case")), row.pop("calls"), tuple(row["complaints"]), row["peak_bytes"])
        for row in rows
    ]
    if code != 0 and len(found) < len(cases):
        wrong = f"its process ends with {code}: {' '.join(said[-1:])}"
        found.append(Outcome(cases[len(found)], 0, (wrong,)))
    return found


def here(folder: Path, case: Case, tell: bool = False, apart: bool = False) -> Outcome:
    """Run a case in this process; `tell` names each call on stderr before it is made.

    With `apart` each call has a process of its own, in which only its own modules and texts take memory.
    """
    ask = _apart if apart else _asked
    good = Specimens(folder / "good")
    found: list[str] = []
    count = peak = 0
    with tempfile.TemporaryDirectory(prefix="clawvm-hostile-", dir=SCRATCH) as scratch:
        for line in verbs.calls(case.kind, Path(scratch) / "x" / Path(case.path).name, good, Path(scratch) / "out"):
            count += 1
            _renewed(folder / case.path, Path(scratch))
            if tell:
                print("running", *line, file=sys.stderr, flush=True)
            code, out, err, took = ask(line)
            wrong = list(verbs.complaints(case.kind, line, code, out, err))
            if line[0] not in verbs.VOCABULARY:
                peak = max(peak, took)
            found += [f"{' '.join(line)}: {each}: {_end(err or out)}" for each in wrong]
    return Outcome(case, count, tuple(found), peak)


def _asked(line: Sequence[str]) -> tuple[object, str, str, int]:
    """What `called` returns, and the most memory that this process took until now."""
    return *called(line), _peak_bytes()


def _apart(line: Sequence[str]) -> tuple[object, str, str, int]:
    """The same in a process of its own, which begins as this one is."""
    forking = multiprocessing.get_context("fork")
    reader, writer = forking.Pipe(duplex=False)
    child = forking.Process(target=lambda: writer.send(_asked(line)))
    child.start()
    writer.close()
    try:
        found: tuple[object, str, str, int] = reader.recv()
        return found
    except EOFError:
        return "no code: its process ends", "", "", 0
    finally:
        child.join()


def _peak_bytes() -> int:
    """The most memory that this program took; `ru_maxrss` would count what began it, too (getrusage(2))."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _renewed(source: Path, scratch: Path) -> None:
    """A fresh copy of a case, with the files beside it, and an empty folder for what verbs write."""
    for name in ("x", "out"):
        shutil.rmtree(scratch / name, ignore_errors=True)
        (scratch / name).mkdir()
    for file in source.parent.glob(source.name + "*"):
        target = scratch / "x" / file.name
        if file.is_symlink():
            target.symlink_to(os.readlink(file))
        elif file.is_fifo():
            os.mkfifo(target)
        elif file.is_dir():
            target.mkdir()
        else:
            shutil.copyfile(file, target)


def called(line: Sequence[str]) -> tuple[object, str, str]:
    """Exit code, output and errors of one call of the program, or of what stands beside it."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    code: object = None
    with redirect_stdout(out), redirect_stderr(err), _limited():
        try:
            code = _PROGRAMS.get(line[0], _clawvm)(line)
        except SystemExit as left:
            code = left.code
        except Hanging:
            code = f"none within {CPU_S} s"
        except BaseException:
            traceback.print_exc()
            code = "a traceback"
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode("utf-8", "replace"))  # type: ignore[attr-defined]
    return code, texts[0], texts[1]


def _clawvm(line: Sequence[str]) -> object:
    from clawvm_es.cli.main import main

    return main(list(line))


def _pytest(line: Sequence[str]) -> object:
    import pytest

    folder = str(Path(line[1]).parent)
    alone = ("-p", "clawvm_es.pytest_plugin", "-p", "no:cacheprovider", "-s", "-c", os.devnull)
    before = dict(os.environ)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # the memory that others' plugins take is not ours
    try:
        return int(pytest.main([line[1], "--rootdir", folder, *alone]))
    finally:
        os.environ.clear()
        os.environ.update(before)


def _verify_bundle(line: Sequence[str]) -> object:
    from clawvm_es import verify_bundle

    before, sys.argv = sys.argv, list(line)
    try:
        return verify_bundle.main()
    finally:
        sys.argv = before


def _doctor(line: Sequence[str]) -> object:
    """With a home of its own, in which harnesses record into the journal."""
    journal = Path(line[2])
    place = journal.parent.parent / "out" / "home"
    found = next((journal.parent.parent / "x").iterdir(), place)
    with mock.patch.dict(os.environ, homes.furnished(place, journal, found)):
        return _clawvm(line)


_PROGRAMS = {"doctor": _doctor, "pytest": _pytest, "verify_bundle": _verify_bundle}


class Hanging(BaseException):
    """A call computes for longer than `CPU_S`."""


@contextmanager
def _limited() -> Iterator[None]:
    """Limits for one call: `Hanging` after `CPU_S` of computing; the process ends after `WALL_S`."""

    def over(*_: object) -> None:
        raise Hanging

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    faulthandler.dump_traceback_later(WALL_S, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        faulthandler.cancel_dump_traceback_later()


def _end(text: str) -> str:
    lines = text.strip().splitlines()
    places = [each.strip() for each in lines if each.strip().startswith("File ")]
    return " | ".join((*places[-2:], *lines[-1:]))[-500:]


def too_large(folder: Path, outcome: Outcome) -> Iterator[str]:
    """Says so where a case took more memory than its files allow."""
    place = folder / outcome.case.path
    files = sum(f.stat().st_size for f in place.parent.glob(place.name + "*") if f.is_file() and f.stat().st_size)
    most = BASE_BYTES + TIMES * files
    if outcome.peak_bytes > most:
        yield f"peak memory of {outcome.peak_bytes / 2**20:.0f} MB, {most / 2**20:.0f} allowed"
