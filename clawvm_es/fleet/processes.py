"""Work spread over processes that leave nothing behind: not at an error, not at Ctrl-C, not when we are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, parent_process
from threading import Thread
from typing import Any, TypeVar

from clawvm_es.errors import ClawVMError

T = TypeVar("T")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def as_done(function: Callable[..., T], jobs: Sequence[tuple[Any, ...]], workers: int) -> Iterator[tuple[int, T]]:
    """`function(*job)` for every job: its place among them and what came of it, in the order in which they end.

    Jobs are begun in their order; with one worker in this process. What a job raises is raised here, and ends the
    others; `ClawVMError` if a worker was killed.
    """
    if min(workers, len(jobs)) <= 1:
        for place, job in enumerate(jobs):
            yield place, function(*job)
        return
    others = active_children()
    pool = ProcessPoolExecutor(min(workers, len(jobs)), initializer=_begin)
    try:
        waiting = {pool.submit(function, *job): place for place, job in enumerate(jobs)}
        for future in as_completed(waiting):
            yield waiting[future], future.result()
    except BrokenProcessPool as error:
        raise ClawVMError(
            "a worker was killed", hint="if memory ran out, take fewer --workers; the same command goes on from here"
        ) from error
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
