"""Clocks and order: what is compared runs interleaved, so that a noisy machine disturbs both sides alike."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, process_time

ROOT = Path(__file__).resolve().parents[2]
NO_COMPILED_FILES = "PYTHONDONTWRITEBYTECODE"
"""With it each process would compile all of ours again, but nothing of the peers, compiled when installed."""


class ProcessFailed(Exception):
    """A program that was to be timed ended with an error; the message is its last line."""


def seconds(work: Callable[[], object]) -> float:
    """Seconds that one call takes, begun on a collected heap; what it returns is freed off the clock."""
    gc.collect()
    began = perf_counter()
    kept = work()
    took = perf_counter() - began
    del kept
    return took


def cpu_seconds(work: Callable[[], object]) -> float:
    """Seconds of this process's CPU time that one call takes, begun on a collected heap; frees off the clock."""
    gc.collect()
    began = process_time()
    kept = work()
    took = process_time() - began
    del kept
    return took


def iteration_seconds(loops: int = 200_000) -> float:
    """Seconds of CPU time of one `x += i & 7` of a plain `for`: what machines of other speeds have in common."""

    def loop() -> None:
        x = 0
        for i in range(loops):
            x += i & 7

    return min(cpu_seconds(loop) for _ in range(5)) / loops


def interleaved(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Call every side once a round, in turning order; the numbers that they return, by side, in order of rounds."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(sides[name]())
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of each round."""
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def best_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The ratio of the best round of each side: what a busy machine disturbs least."""
    return min(ours) / min(theirs)


def p95(values: Sequence[float]) -> float:
    """The 95th percentile."""
    return quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def process(arguments: Sequence[str], told: bytes = b"") -> float:
    """CPU seconds of a fresh interpreter given `arguments`, with the processes that it waits for.

    It gets `told` on stdin. Its output is thrown away. Raises `ProcessFailed`.
    """
    return _run(arguments, told)[0]


def told_by(arguments: Sequence[str]) -> str:
    """The output of a fresh interpreter given `arguments`; raises `ProcessFailed`."""
    return _run(arguments)[1]


def _run(arguments: Sequence[str], told: bytes = b"") -> tuple[float, str]:
    environment = {name: value for name, value in os.environ.items() if name != NO_COMPILED_FILES}
    environment["PYTHONPATH"] = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    before = _children_seconds()
    done = subprocess.run([sys.executable, *arguments], env=environment, input=told, capture_output=True, check=False)
    took = _children_seconds() - before
    if done.returncode:
        last = (done.stderr.decode().strip() or "no message").splitlines()[-1]
        raise ProcessFailed(f"python {' '.join(arguments[:2])} ended with {done.returncode}: {last}")
    return took, done.stdout.decode()


def _children_seconds() -> float:
    """CPU seconds of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_beyond(work: Callable[[], object]) -> tuple[int, int]:
    """(bytes beyond the result at the peak, bytes of the result) of one call, as Python's allocators see it."""
    gc.collect()
    tracemalloc.start()
    kept = work()
    current, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return peak - current, current
