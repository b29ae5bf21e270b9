"""Questions that take long: one at a time, each as long as somebody waits for its answer.

The same question asked again tells how far it came, and at last the answer, which is kept while the session does not
grow. Another question ends the one before, and so does silence: who stopped asking waits no more.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import attrs

from clawvm_es.errors import ClawVMError
from clawvm_es.web.answers import Asked, head_of, reading

PATIENCE_S: Final = 10.0
"""Seconds after which a question that nobody asked again is ended."""
WAIT_S: Final = 0.3
"""Seconds that an asker is told to wait, and that one request waits itself."""
KEPT: Final = 16
"""Answers that are kept."""


class Ended(ClawVMError):
    """A question that was ended: nobody waits for it, or another took its place."""


Progress: TypeAlias = Callable[[int, int], None]
Long: TypeAlias = Callable[[Any, str, Asked, Progress], dict[str, Any]]
"""A question: of a log, a session, what was asked, and how to tell how far it came (which raises `Ended`)."""
Key: TypeAlias = tuple[Any, ...]


@attrs.define(eq=False)
class _Job:
    """A question that is being worked on."""

    key: Key
    asked_at: float
    done: int = 0
    of: int = 0
    ended: bool = False
    finished: threading.Event = attrs.field(factory=threading.Event)
    answer: dict[str, Any] | None = None
    error: Exception | None = None


class Jobs:
    """The long questions about one journal. Thread-safe."""

    def __init__(self, journal: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._clock = clock
        self._lock = threading.Lock()
        self._job: _Job | None = None
        self._answers: OrderedDict[Key, dict[str, Any]] = OrderedDict()

    def ask(self, question: Long, asked: Asked) -> Mapping[str, Any]:
        """The answer, or how far it came. Raises what the question raises."""
        with reading(self._journal) as log:
            session_id = asked.session(log)
            head = head_of(log, session_id)
        opening = {"journal": self._journal, "head": head}
        key = (question, session_id, head["version"], head["hash"], tuple(sorted(asked.every.items())))
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return opening | self._answers[key]
            job = self._going_on(key) or self._begin(key, question, session_id, asked)
        job.finished.wait(WAIT_S)
        if job.error is not None:
            self._drop(job)
            raise job.error
        if job.answer is not None:
            return opening | job.answer
        return opening | {"progress": [job.done, job.of], "wait_ms": int(WAIT_S * 1000)}

    def _going_on(self, key: Key) -> _Job | None:
        """The question that is worked on, if it is this one; any other is ended."""
        job = self._job
        if job is not None and job.key == key and not job.ended:
            job.asked_at = self._clock()
            return job
        if job is not None:
            job.ended = True
        return None

    def _begin(self, key: Key, question: Long, session_id: str, asked: Asked) -> _Job:
        job = self._job = _Job(key, self._clock())
        threading.Thread(target=self._run, args=(job, question, session_id, asked), daemon=True).start()
        return job

    def _drop(self, job: _Job) -> None:
        with self._lock:
            if self._job is job:
                self._job = None

    def _run(self, job: _Job, question: Long, session_id: str, asked: Asked) -> None:
        def progress(done: int, of: int) -> None:
            job.done, job.of = done, of
            if self._clock() - job.asked_at > PATIENCE_S:
                job.ended = True
            if job.ended:
                raise Ended("the question was ended", hint="ask again")

        try:
            with reading(self._journal) as log:
                job.answer = question(log, session_id, asked, progress)
            with self._lock:
                self._answers[job.key] = job.answer
                while len(self._answers) > KEPT:
                    self._answers.popitem(last=False)
        except Exception as error:  # told to whoever asks
            job.error = error
        job.finished.set()


QUESTIONS: Final[Mapping[str, Long]] = {}
"""Address below `/api/s/{session}/` → its question."""
