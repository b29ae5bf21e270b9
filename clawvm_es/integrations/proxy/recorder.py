"""The only writer of a proxy's journal: a thread that records requests and answers.

Nobody waits for it: a request is recorded with its answer, after that has ended. Exchanges that could not be recorded
wait here, in order, and are tried again with the next request of any conversation, and at the end.

LAW-PROXY-3: a session holds what reached the model: the system prompt, the digest of the tools, messages as sent, and
a pruning of the results that stubs replaced.
"""

from __future__ import annotations

import queue
import threading
import weakref
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from clawvm_es import limits
from clawvm_es.core.decide import DECIDER_VERSION
from clawvm_es.core.profiles import RECORDED
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.engine.shell import Outcome
from clawvm_es.errors import ClawVMError, JournalError
from clawvm_es.importers.prompts import Conversation, Message, Told
from clawvm_es.integrations.proxy.histories import COUNTER, HISTORIES, History, Prepared
from clawvm_es.integrations.proxy.remembered import names
from clawvm_es.integrations.proxy.wire import Answer, answer_of, joined, result_key
from clawvm_es.model import events as e
from clawvm_es.model.facts import Finish, OnPressure
from clawvm_es.model.pages import PageType
from clawvm_es.observe.steps import ModelMessage, Step, ToolResult
from clawvm_es.observe.tables import TABLES
from clawvm_es.observe.tools import Tool

WAITING: Final = 256
"""Requests that may wait, with their answers, to be recorded."""
STEPS: Final = 20_000
"""Steps of one conversation that may wait while the journal takes none."""
UNPACKED_MAX: Final = 64 * 2**20
"""Bytes of an answer that came compressed."""
WAIT_S: Final = 5.0
"""Time that the journal's lock is waited for."""


@attrs.frozen
class Came:
    """An answer as received: its bytes, and whether it is complete; `left` if its client went away before."""

    parts: tuple[bytes, ...]
    encoding: str
    is_stream: bool
    whole: bool
    at_us: int
    refused: bool = False
    left: bool = False

    @property
    def data(self) -> bytes:
        """The bytes, unpacked as far as they came."""
        data = b"".join(self.parts)
        if self.encoding in ("", "identity"):
            return data
        try:
            return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(data, UNPACKED_MAX)
        except zlib.error:
            return b""


@attrs.define
class Recording:
    """One conversation being recorded: its steps, those that wait, and its session."""

    talk: Conversation = attrs.field(factory=Conversation)
    waiting: deque[Step] = attrs.field(factory=deque)
    calls: dict[int, str] = attrs.field(factory=dict)
    place: str = ""
    tools: Mapping[str, Tool] = attrs.field(factory=dict)
    session: Session | None = None

    def asked(self, prepared: Prepared) -> None:
        """A request was sent."""
        self.talk.prompted(prepared.pieces, prepared.at_us)
        self.talk.take_out(prepared.out, prepared.at_us)
        self._take()

    def answered(self, prepared: Prepared, answer: Answer, at_us: int) -> None:
        """An answer came, as far as it came."""
        model, provider = answer.model or prepared.asked.model, prepared.asked.shape.provider
        said = next((piece for piece in joined(answer.pieces) if piece.role == "assistant"), Message("assistant"))
        if said.text.strip() or said.uses:
            told = Told(answer.usage, model, provider, answer.finish, prepared.at_us, at_us)
            self.talk.answered(said, told)
            self.talk.into.flush()
        else:
            self.talk.into.say(_without_words(prepared, answer, at_us, said.thinking))
            self.talk.into.calls.answers += 1
        self._take()
        if self.waiting and isinstance(last := self.waiting[-1], ModelMessage):
            digest, tokens = prepared.tools_digest, prepared.tools_tokens
            self.waiting[-1] = attrs.evolve(last, fixed=digest, fixed_tokens=tokens)

    def _take(self) -> None:
        for step in self.talk.into.take():
            if isinstance(step, ModelMessage):
                self.calls.update((use.call, use.call_id) for use in step.calls)
            self.waiting.append(step)


def _without_words(prepared: Prepared, answer: Answer, at_us: int, thinking: tuple[str, ...]) -> ModelMessage:
    """An answer that says nothing: it was refused, or cut before its first word."""
    return ModelMessage(
        usage=answer.usage,
        began_us=prepared.at_us,
        at_us=at_us,
        thinking=thinking,
        model=answer.model or prepared.asked.model,
        provider=prepared.asked.shape.provider,
        finish=answer.finish,
    )


@attrs.define
class Recorder:
    """Records into the journal at a path; `failed` is called with the kind of a failure and a line about it.

    `worked` is called after each recorded request.
    """

    journal: str
    failed: Callable[[str, str], None] = lambda kind, line: None
    worked: Callable[[], None] = lambda: None
    wait_s: float = WAIT_S
    _jobs: queue.SimpleQueue[Callable[[], None] | None] = attrs.field(factory=queue.SimpleQueue)
    _open: Journal | None = None
    _recordings: weakref.WeakKeyDictionary[History, Recording] = attrs.field(factory=weakref.WeakKeyDictionary)
    _behind: dict[History, Recording] = attrs.field(factory=dict)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to record."""
        self._thread = threading.Thread(target=self._work, name="clawvm-proxy-recorder", daemon=True)
        self._thread.start()

    def stop(self, wait_s: float = 10.0) -> None:
        """Record what waits, and end; whatever takes longer than `wait_s` seconds is left."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(wait_s)
            self._thread = None

    def flush(self, wait_s: float | None = None) -> None:
        """Wait until everything given so far is recorded."""
        done = threading.Event()
        self._jobs.put(done.set)
        done.wait(wait_s)

    def exchanged(self, prepared: Prepared, came: Came, note: Callable[[Answer], None]) -> None:
        """Record a request and its answer, and pass the answer's content to `note`.

        If too many wait they are dropped: the next request of the conversation holds their contents.
        """
        if self._jobs.qsize() < WAITING:
            self._jobs.put(lambda: self._exchanged(prepared, came, note))
        else:
            self.failed("full", f"the recorder is {WAITING} answers behind: some are not recorded")

    # ----------------------------------------------------------------------------------- the thread's own

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._try(job)
        self._try(self._catch_up)
        self._close()

    def _try(self, job: Callable[[], None]) -> None:
        try:
            job()
            self.worked()
        except JournalError as error:
            self._close()
            self.failed(type(error).__name__, error.message)
        except Exception as error:  # the proxy goes on, whatever is wrong with what it records
            self.failed(type(error).__name__, f"not recorded: {type(error).__name__}: {error}")

    def _close(self) -> None:
        journal, self._open = self._open, None
        for recording in self._recordings.values():
            recording.session = None
        if journal is not None:
            try:
                journal.close()
            except (ClawVMError, OSError) as error:
                self.failed(type(error).__name__, str(error))

    def _exchanged(self, prepared: Prepared, came: Came, note: Callable[[Answer], None]) -> None:
        answer = answer_of(prepared.asked.shape, came.data, whole=came.whole, is_stream=came.is_stream)
        if came.refused:
            answer = Answer(finish=Finish.ERROR)
        elif came.left:
            answer = attrs.evolve(answer, finish=Finish.OTHER)
        note(answer)
        recording = self._recordings.setdefault(prepared.history, Recording())
        if len(recording.waiting) > STEPS:
            self._recordings[prepared.history] = recording = Recording()
            self.failed("waiting", f"{prepared.history.session}: too much waits; it begins anew")
        recording.tools = recording.tools or _tools(prepared.asked.tools)
        recording.asked(prepared)
        if not answer.awaited:
            recording.answered(prepared, answer, came.at_us)
        self._behind[prepared.history] = recording
        while len(self._behind) > HISTORIES:
            behind = self._behind.pop(next(iter(self._behind)))
            self.failed("waiting", f"{behind.place or 'a conversation'}: too much waits; some of it is not recorded")
        self._catch_up()

    def _catch_up(self) -> None:
        """Record what waits of all conversations, the one that waits longest first."""
        for history, recording in [*self._behind.items()]:
            try:
                self._record(history, recording)
            except JournalError:
                raise
            except Exception as error:  # the others are recorded
                self.failed(type(error).__name__, f"{history.session}: not recorded: {type(error).__name__}: {error}")
            del self._behind[history]

    def _record(self, history: History, recording: Recording) -> None:
        """Record the steps that wait; one that cannot be recorded at all is told and left out."""
        while recording.waiting:
            step, session = recording.waiting[0], self._session(history, recording)
            try:
                outcome = session.observe(step)
            except JournalError:
                raise
            except Exception as error:
                self.failed(
                    type(error).__name__, f"{recording.place}: a {type(step).__name__} is not recorded: {error}"
                )
            else:
                _note_page(history, recording, step, outcome)
            recording.waiting.popleft()

    def _session(self, history: History, recording: Recording) -> Session:
        if self._open is None:
            self._open = Journal.open(self.journal, wait_s=self.wait_s, hide_secrets=True)
        if recording.session is None:
            settings = Settings(tools=tuple(recording.tools.values()))
            place = recording.place or _free_name(self._open, history.session)
            session = self._open.resume(place, COUNTER, settings)
            if not recording.place:
                session.open(_opening(history, place))
            recording.place, recording.session = place, session
        return recording.session


def _note_page(history: History, recording: Recording, step: Step, outcome: Outcome) -> None:
    """Tell the conversation where the result of a call is kept, if it may be taken out: rules and plans stay."""
    if not isinstance(step, ToolResult) or step.unmatched or not (call_id := recording.calls.get(step.call, "")):
        return
    key = result_key(call_id, step.text)
    for event in outcome.events:
        if isinstance(event, e.PageWritten):
            if event.page_type is PageType.EVIDENCE:
                history.pages.setdefault(key, f"{recording.place}/{event.page_id}")
            return
        if isinstance(event, e.RecallAnswered) and event.pages:
            history.pages.setdefault(key, f"{recording.place}/{event.pages[0]}")
            return


def _free_name(journal: Journal, name: str) -> str:
    """A name that no session has yet; sessions that a proxy recorded before are left alone."""
    return next(each for each in names(name) if journal.opened(each) is None)


def _opening(history: History, place: str) -> e.SessionOpened:
    linked = history.client if history.session != history.client else history.session
    return e.SessionOpened(
        profile=RECORDED,
        budget_tokens=0,
        counter=COUNTER,
        decider_version=DECIDER_VERSION,
        on_pressure=OnPressure.DEGRADE,
        linked_to=linked if linked != place else None,
        misfits=limits.MISFITS,
        directory_tokens=limits.DIRECTORY_TOKENS,
        hides_secrets=True,
    )


def _tools(offered: bytes) -> Mapping[str, Tool]:
    """The declared tools of the harness whose tools are offered: the one that has most of their names."""

    def known(table: Mapping[str, Tool]) -> int:
        return sum(f'"{name}"'.encode() in offered for name in table)

    best = max(TABLES.values(), key=known)
    return best if known(best) else {}
