"""Questions that take long: one at a time, each as long as somebody waits for its answer.

The same question asked again tells how far it came, and at last the answer, which is kept while the session does not
grow. Another question ends the one before, and so does silence: who stopped asking waits no more. What a question
comes to and what is shown of it are two things, so that a look at another part of it works nothing out again.
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
    """A question that was ended: nobody waits for it, or another took its place."""


Progress: TypeAlias = Callable[[int, int], None]
"""Told how far a question came (done, of); raises `Ended`."""
Key: TypeAlias = tuple[Any, ...]


class Long(NamedTuple):
    """A question: what it depends on, how it is worked out, and what is shown of what was found.

    `settings` reads them from what was asked, and raises `UsageError`; `find` works on them; `show` makes the answer.
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
    """The long questions about one journal. Thread-safe."""

    def __init__(self, journal: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._clock = clock
        self._lock = threading.Lock()
        self._job: _Job | None = None
        self._found: OrderedDict[Key, Any] = OrderedDict()

    def ask(self, question: Long, asked: Asked) -> Mapping[str, Any]:
        """The answer, or how far it came. Raises what the question raises."""
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
