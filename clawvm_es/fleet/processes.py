"""Spread work over processes that always end: after an error, after Ctrl-C, and when this process is killed."""

from __future__ import annotations

import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, parent_process
from threading import Thread
from typing import Any, Final, TypeVar

from clawvm_es.errors import ClawVMError

T = TypeVar("T")

DEATHS_MAX: Final = 3
"""Deaths of workers while a job is under way, after which it is given up."""
_UNDER_WAY: Final = 2
"""Jobs under way for each worker, so that none waits for its next one."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def as_done(function: Callable[..., T], jobs: Sequence[tuple[Any, ...]], workers: int) -> Iterator[tuple[int, T]]:
    """Yield for every job its index and the result of `function(*job)`, in order of completion.

    Jobs are begun in order; with one worker, in this process. An exception in a job is raised here, and ends the
    others. If a worker is killed, the jobs that were running are done again, after the others; `ClawVMError` is
    raised if that happens `DEATHS_MAX` times to one job.
    """
    if min(workers, len(jobs)) <= 1:
        for place, job in enumerate(jobs):
            yield place, function(*job)
        return
    waiting, deaths = deque(range(len(jobs))), Counter[int]()
    while waiting:
        under_way: dict[Future[T], int] = {}
        try:
            yield from _pooled(function, jobs, min(workers, len(waiting)), waiting, under_way)
        except BrokenProcessPool as error:
            deaths.update(under_way.values())
            if max(deaths.values(), default=DEATHS_MAX) >= DEATHS_MAX:
                raise ClawVMError(
                    f"a worker was killed, {DEATHS_MAX} times on the same work",
                    hint="if memory ran out, take fewer workers; the same command does it again",
                ) from error
            waiting.extend(sorted(under_way.values()))


def _pooled(
    function: Callable[..., T],
    jobs: Sequence[tuple[Any, ...]],
    workers: int,
    waiting: deque[int],
    under_way: dict[Future[T], int],
) -> Iterator[tuple[int, T]]:
    """Do the jobs that wait in a pool of processes; `under_way` holds those that it has not told of."""
    others = active_children()
    pool = ProcessPoolExecutor(workers, initializer=_begin)
    try:
        while waiting or under_way:
            while waiting and len(under_way) < _UNDER_WAY * workers:
                place = waiting.popleft()
                try:
                    under_way[pool.submit(function, *jobs[place])] = place
                except BrokenProcessPool:
                    waiting.appendleft(place)
                    raise
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                result = future.result()
                yield under_way.pop(future), result
    except BrokenProcessPool:
        raise
    except BaseException:  # also when nobody asks for more: running jobs are not waited for
        for child in active_children():
            if child not in others:
                child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """A worker leaves Ctrl-C to its parent, which ends it, and ends by itself when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
