"""The seam between work and those who do it: `local:N` processes of this machine, or `dask:ADDRESS`.

LAW-FLEET-1: what comes of a job is the same bytes whoever does it; the caller puts results in the order of jobs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import attrs

from clawvm_es.errors import UsageError
from clawvm_es.fleet.processes import as_done, cores

T = TypeVar("T")
_DIGITS_MAX: Final = 9
"""Digits of a number of processes: nobody has more."""


class Executor(Protocol):
    """Runs jobs, each in some order, each at least once; a function is one of a module, and pure."""

    def as_done(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """Yield the place of each job and what `function(*job)` gave, in the order in which they end.

        Raises what a job raises, and `ClawVMError` where workers die on it.
        """


@attrs.frozen
class Local:
    """Processes of this machine; with one, this process."""

    workers: int

    def as_done(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """Run jobs; see `Executor`."""
        return as_done(function, jobs, self.workers)


def executor(text: str | None) -> Executor:
    """The executor that a text names; by default a process for each core. Raises `UsageError`."""
    kind, _, rest = (text or f"local:{cores()}").partition(":")
    if kind == "local" and rest.isdecimal() and len(rest) <= _DIGITS_MAX and int(rest) > 0:
        return Local(int(rest))
    if kind == "dask" and rest:
        try:
            from clawvm_es.fleet.dask import Dask
        except ImportError as error:
            raise UsageError(
                "dask:ADDRESS needs distributed, which is not installed", hint="pip install 'clawvm-es[dask]'"
            ) from error
        return Dask(rest)
    raise UsageError(f"{text!r} is no executor", hint="local:N or dask:ADDRESS, such as dask:tcp://scheduler:8786")


def in_order(
    executor: Executor,
    function: Callable[..., T],
    jobs: Sequence[tuple[Any, ...]],
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[T]:
    """Yield what `function(*job)` gave, in the order of the jobs; what ended before its turn is held.

    `progress` is told after each that was taken how many of them are done.
    """
    held: dict[int, T] = {}
    turn = 0
    for place, result in executor.as_done(function, jobs):
        held[place] = result
        while turn in held:
            yield held.pop(turn)
            turn += 1
            if progress is not None:
                progress(turn, len(jobs))


def batches(weights: Sequence[int], least: int) -> Iterator[range]:
    """The places of neighbouring jobs that weigh `least` together, so that none is too short to be worth its way."""
    first = total = 0
    for place, weight in enumerate(weights, 1):
        total += weight
        if total >= least:
            yield range(first, place)
            first, total = place, 0
    if first < len(weights):
        yield range(first, len(weights))


@cache
def code_digest() -> str:
    """SHA-256 over the modules and data of this package, prices too: workers with another one are refused."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(each for end in ("py", "json", "jsonl") for each in root.rglob(f"*.{end}")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
