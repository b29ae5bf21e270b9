"""Jobs on the workers of a Dask cluster.

Few jobs run at a time, and each is released when it has ended, so that memory does not grow with their number.
Short jobs are sent in chunks of about half a second. A file that a job names is sent by content, and stored on the
worker under its digest, so workers need no access to our folders. If a worker dies, another does its chunk, up to
the scheduler's `allowed-failures` times.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
from distributed import CancelledError, Client, Future, KilledWorker, wait

from clawvm_es.errors import ClawVMError, UsageError
from clawvm_es.fleet.executor import code_digest

T = TypeVar("T")

CHUNK_S: Final = 0.5
"""Seconds that a chunk of jobs takes at least: one costs the scheduler some milliseconds."""
WINDOW: Final = 8
"""Chunks under way at least; two for each thread of the workers where that is more."""
_CHUNK_MAX: Final = 1_000
_CONNECT_S: Final = 10.0
_LOOK_S: Final = 5.0
_ALONE_S: Final = 60.0
"""Seconds without a worker after which none is waited for; one that was killed begins again within some."""
_AGAIN: Final = "the same command does it again"
_OTHER: Final = "another version of clawvm-es"
_NONE: Final = "no clawvm-es, or one that cannot be imported"
_SAME: Final = "install the same one"


@attrs.frozen
class Dask:
    """The workers of the scheduler at an address."""

    address: str

    def as_done(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """Run jobs; see `Executor`. Raises `UsageError` for no scheduler, no workers, or workers of other code."""
        if not jobs:
            return
        try:
            client = Client(self.address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            said = next(iter(str(error).splitlines()), type(error).__name__)
            raise UsageError(f"dask:{self.address}: {said}", hint="is the scheduler there?") from error
        with _quiet(), client:
            threads = _check(client, self.address)
            yield from _windowed(client, function, jobs, max(WINDOW, 2 * threads))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the client's own log from the terminal: what is lost is said in a line."""
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _check(client: Client, address: str) -> int:
    """The threads of all workers; raises `UsageError` unless there are some, all with our code."""
    digests: Mapping[str, Any] = client.run(code_digest, on_error="return")
    if not digests:
        raise UsageError(f"dask:{address} has no workers", hint="dask worker ADDRESS")
    for worker, digest in sorted(digests.items()):
        if digest != code_digest():
            found = _OTHER if isinstance(digest, str) else _NONE
            raise UsageError(f"dask:{address}: {worker} has {found}", hint=_SAME)
    return sum(client.nthreads().values())


def _windowed(
    client: Client, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]], window: int
) -> Iterator[tuple[int, T]]:
    begins: dict[Future, int] = {}
    at, size = 0, 1
    try:
        while at < len(jobs) or begins:
            while at < len(jobs) and len(begins) < window:
                chunk = jobs[at : at + size]
                future = client.submit(_done, function, chunk, _files(client, chunk), code_digest(), pure=False)
                begins[future] = at
                at += len(chunk)
            future, (results, seconds) = _ended(client, list(begins))
            first = begins.pop(future)
            future.release()
            size = max(1, min(_CHUNK_MAX, int(CHUNK_S * len(results) / max(seconds, 1e-6))))
            yield from enumerate(results, first)
    except KilledWorker as error:
        raise ClawVMError(
            "a job ended one worker after another", hint="if memory ran out, give workers more; see their logs"
        ) from error
    except CancelledError as error:
        raise ClawVMError("the connection to the cluster's scheduler is lost", hint=_AGAIN) from error
    finally:
        with suppress(CancelledError, OSError, TimeoutError):
            client.cancel(list(begins), force=True)


def _ended(client: Client, futures: Sequence[Future]) -> tuple[Future, tuple[list[Any], float]]:
    """Return one that ended, and its results; raises `ClawVMError` where there have been no workers for a while.

    A worker that goes takes along results that were not fetched yet: they are waited for no longer than jobs are.
    """
    seen, patience_s = time.monotonic(), _LOOK_S
    while True:
        ended = None
        with suppress(TimeoutError), client.as_current():
            ended = next(iter(wait(futures, timeout=_LOOK_S, return_when="FIRST_COMPLETED").done))
            if ended.status == "finished":
                return ended, ended.result(patience_s)
        if ended is not None:
            if ended.status in ("error", "cancelled"):
                return ended, ended.result()  # raises what the job did, which may be a `TimeoutError`
            patience_s *= 2
        if client.nthreads():
            seen = time.monotonic()
        elif time.monotonic() - seen > _ALONE_S:
            raise ClawVMError(f"the cluster has had no workers for {_ALONE_S:g} s", hint=_AGAIN)


def _files(client: Client, chunk: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """The contents of the files that jobs name by absolute paths, each sent once."""
    names = {each for job in chunk for each in job if isinstance(each, str) and os.path.isabs(each)}
    found = {name: Path(name).read_bytes() for name in sorted(names) if os.path.isfile(name)}
    return {name: client.scatter([data], hash=True)[0] for name, data in found.items()}


def _done(
    function: Callable[..., T], jobs: Sequence[tuple[Any, ...]], files: Mapping[str, bytes], digest: str
) -> tuple[list[T], float]:
    """Run a chunk on a worker; returns its results and the seconds that they took.

    Raises `UsageError` where this worker, which may have come late, has another code than the digest's.
    """
    if code_digest() != digest:
        raise UsageError(f"a worker on {socket.gethostname()} has {_OTHER}", hint=_SAME)
    places = {name: _placed(data) for name, data in files.items()}
    began = time.monotonic()
    done = [function(*(places.get(each, each) if isinstance(each, str) else each for each in job)) for job in jobs]
    return done, time.monotonic() - began


def _placed(data: bytes) -> str:
    """The path of a file on this worker with this content."""
    folder = Path(tempfile.gettempdir()) / f"clawvm-inputs-{os.getuid() if hasattr(os, 'getuid') else 0}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / hashlib.sha256(data).hexdigest()
    if not path.exists():
        aside = path.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}")
        aside.write_bytes(data)
        aside.replace(path)
    return str(path)
