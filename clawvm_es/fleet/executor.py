"""The seam between work and those who do it: `local:N` processes of this machine, or `dask:ADDRESS`.

LAW-FLEET-1: the result of a job is the same bytes on every worker; the caller puts results in the order of jobs.
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
    """Runs jobs, each at least once, in any order; the function is pure and belongs to a module."""

    def as_done(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """Yield the place of each job and the result of `function(*job)`, in order of completion.

        Raises what a job raises, and `ClawVMError` if workers die on it.
        """


@attrs.frozen
class Local:
    """Processes of this machine; with one, this process."""

    workers: int

    def as_done(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """Run jobs; see `Executor`."""
        return as_done(function, jobs, self.workers)


def executor(text: str | None) -> Executor:
    """The executor that a text names; by default one process per core. Raises `UsageError`."""
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
    """Yield the results of `function(*job)` in the order of the jobs; early results are held.

    `progress` is called after each result with the number done.
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
    """The places of neighbouring jobs with a total weight of at least `least`, so that none is too short to send."""
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
    """SHA-256 over the modules and data of this package, prices included; workers with another digest are refused."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(each for end in ("py", "json", "jsonl") for each in root.rglob(f"*.{end}")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
