"""One process that runs tests on a copy of the tree, each time in a fork that has imported what does not change.

    python -m mutate.worker COPY        (with `tools` on the path of modules)

Requests come as JSON lines on stdin, answers go as JSON lines to stdout. A fork imports the package from the copy,
so what the copy's sources say at that moment counts, in the processes that the tests start too.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from mutate.plugins import Chooser, Gatherer

MEMORY, FILE_BYTES = 8 << 30, 1 << 30
"""Limits of a fork: a mutant that allocates or writes without end fails, and takes nothing with it."""
PROFILE = "mutate"
"""Examples of hypothesis as in CI, but neither shrunk nor explained: a mutant only has to be noticed."""


_NEEDED = (
    *("_pytest.pytester", "asyncio", "attrs", "cattrs", "click.testing", "hypothesis.stateful", "jsonschema"),
    *("cryptography.hazmat.primitives.asymmetric.ed25519", "msgspec.json", "multiprocessing", "sqlite3"),
    *("sqlite_utils", "structlog", "tiktoken", "tree_sitter"),
)


def main(copy: str) -> None:
    """Answer requests until stdin ends."""
    os.chdir(copy)
    tools = str(Path(__file__).resolve().parent.parent)
    sys.path[:] = [copy, *(place for place in sys.path if place not in ("", copy, tools))]
    _warm()
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_serve(Path(copy), request)), flush=True)


def _warm() -> None:
    """Import what the tests need and no mutation changes."""
    for name in _NEEDED:
        with contextlib.suppress(ImportError):
            __import__(name)
    assert "clawvm_es" not in sys.modules


def _serve(copy: Path, request: dict[str, Any]) -> dict[str, Any]:
    with _mutated(copy, request.get("mutant")):
        return _forked(copy, request)


@contextlib.contextmanager
def _mutated(copy: Path, mutant: dict[str, Any] | None) -> Iterator[None]:
    """Put a mutant's source into the copy, with a time that no compiled file was made from."""
    if mutant is None:
        yield
        return
    path = copy / mutant["path"]
    before, stat = path.read_bytes(), path.stat()
    path.write_bytes(before[: mutant["start"]] + mutant["text"].encode() + before[mutant["end"] :])
    os.utime(path, (stat.st_atime, stat.st_mtime + 1_000_000))
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, (stat.st_atime, stat.st_mtime))


def _forked(copy: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Run the tests in a fork of its own process group; one that takes longer than the limit is ended."""
    report = copy.parent / "report.json"
    report.unlink(missing_ok=True)
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = _run(copy, request, report)
        finally:
            os._exit(code)
    ended = _wait(pid, began + request["limit"])
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)  # the group of this fork: what its tests have left behind
    if not ended:
        os.waitpid(pid, 0)
    found = json.loads(report.read_text()) if report.exists() else {}
    return {"timeout": not ended, "seconds": time.monotonic() - began, **found}


def _wait(pid: int, until: float) -> bool:
    while True:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.005)


# ---------------------------------------------------------------------------------------- in the fork


def _run(copy: Path, request: dict[str, Any], report: Path) -> int:
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    log = os.open(copy.parent / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for fd, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(fd, target)
    main = sys.modules["__main__"]  # processes that a test spawns must not take this one for their main module
    main.__spec__, main.__file__ = None, None
    _environment(copy, writes_bytecode=request.get("mutant") is None)
    plugin = Gatherer(copy) if request.get("gather") else Chooser(request["tests"])
    base = copy.parent / "basetemp"
    quick = ["-q", "-x", "--tb=no", "--no-header"] if not request.get("gather") else ["-q", "--tb=short"]
    arguments = [*quick, "-p", "no:cacheprovider", f"--basetemp={base}", f"--rootdir={copy}", *request["files"]]
    code = pytest.main(arguments, plugins=[plugin])
    report.write_text(json.dumps({"code": int(code), **plugin.found()}))
    return 0


def _environment(copy: Path, writes_bytecode: bool) -> None:
    os.environ.update(PYTHONPATH=str(copy), HYPOTHESIS_PROFILE=PROFILE, PYTHONHASHSEED="0", NO_COLOR="1")
    sys.dont_write_bytecode = not writes_bytecode
    if not writes_bytecode:
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    settings.register_profile(
        PROFILE,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile(PROFILE)


def _ended(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _ended)
    main(sys.argv[1])
