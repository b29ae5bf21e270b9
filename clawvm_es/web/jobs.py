"""Slow questions: one at a time, each only as long as a client polls for its answer.

Polling the same question returns its progress, and finally the answer, which is cached while the session does not
grow. Another question cancels the one before; so does the end of polling. The result of a question is computed apart
from its display, so that showing another part of it computes nothing again.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

import attrs

from clawvm_es.errors import ClawVMError
from clawvm_es.journal.ports import EventLog
from clawvm_es.web.answers import Asked, head_of, reading

PATIENCE_S: Final = 10.0
"""Seconds after which a question that nobody asked again is ended."""
WAIT_S: Final = 0.3
"""Seconds that an asker is told to wait, and that one request waits itself."""
KEPT: Final = 4
"""Findings that are kept; those of a long session take tens of megabytes."""


class Ended(ClawVMError):
    """A question that was cancelled: nobody polls for it, or another took its place."""


Progress: TypeAlias = Callable[[int, int], None]
"""Told how far a question came (done, of); raises `Ended`."""
Key: TypeAlias = tuple[Any, ...]


class Long(NamedTuple):
    """A question: its settings, its computation, and its display.

    `settings` parses the request, and raises `UsageError`; `find` computes on the settings; `show` makes the answer.
    """

    settings: Callable[[EventLog, str, Asked], Hashable]
    find: Callable[[EventLog, str, Any, Progress], Any]
    show: Callable[[EventLog, str, Asked, Any], dict[str, Any]]


@attrs.define(eq=False)
class _Job:
    """A question that is being worked on."""

    key: Key
    find: Callable[[EventLog, Progress], Any]
    asked_at: float
    done: int = 0
    of: int = 0
    ended: bool = False
    finished: threading.Event = attrs.field(factory=threading.Event)
    found: Any = None
    error: Exception | None = None


class Jobs:
    """The slow questions about one journal. Thread-safe."""

    def __init__(self, journal: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._clock = clock
        self._lock = threading.Lock()
        self._job: _Job | None = None
        self._found: OrderedDict[Key, Any] = OrderedDict()

    def ask(self, question: Long, asked: Asked) -> Mapping[str, Any]:
        """The answer, or the progress. Raises what the question raises."""
        with reading(self._journal) as log:
            session_id = asked.session(log)
            head = head_of(log, session_id)
            settings = question.settings(log, session_id, asked)
            opening = {"journal": self._journal, "head": head}
            key = (question, session_id, head["version"], head["hash"], settings)
            if (found := self._known(key)) is not None:
                return opening | question.show(log, session_id, asked, found)
        job = self._job_of(key, partial(_find, question, session_id, settings))
        job.finished.wait(WAIT_S)
        if job.error is not None:
            self._drop(job)
            raise job.error
        if not job.finished.is_set():
            return opening | {"progress": [job.done, job.of], "wait_ms": int(WAIT_S * 1000)}
        with reading(self._journal) as log:
            return opening | question.show(log, session_id, asked, job.found)

    def _known(self, key: Key) -> Any:
        """The answer that was found before, if it is kept."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def _job_of(self, key: Key, find: Callable[[EventLog, Progress], Any]) -> _Job:
        """The question that is worked on, if it is this one; any other is ended, and this one begun."""
        with self._lock:
            job = self._job
            if job is not None and job.key == key and not job.ended:
                job.asked_at = self._clock()
                return job
            if job is not None:
                job.ended = True
            job = self._job = _Job(key, find, self._clock())
        threading.Thread(target=self._run, args=(job,), daemon=True).start()
        return job

    def _drop(self, job: _Job) -> None:
        with self._lock:
            if self._job is job:
                self._job = None

    def _run(self, job: _Job) -> None:
        def progress(done: int, of: int) -> None:
            job.done, job.of = done, of
            if self._clock() - job.asked_at > PATIENCE_S:
                job.ended = True
            if job.ended:
                raise Ended("the question was ended", hint="ask again")

        try:
            with reading(self._journal) as log:
                job.found = job.find(log, progress)
            with self._lock:
                self._found[job.key] = job.found
                while len(self._found) > KEPT:
                    self._found.popitem(last=False)
        except Exception as error:  # told to whoever asks
            job.error = error
        job.finished.set()


def _find(question: Long, session_id: str, settings: Hashable, log: EventLog, progress: Progress) -> Any:
    return question.find(log, session_id, settings, progress)
