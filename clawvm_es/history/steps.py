"""The steps of a run: texts, calls and results, each with the events that follow it.

A step is identified by its content, not by its place: by texts in place of commitments, without the numbers that a
session gives its pages, calls and updates. So the same step of two runs has the same `key`.

| kind | events | compared |
|---|---|---|
| said | `page_written` that holds no result | type, author, text, source |
| called | `tool_called` | tool, arguments, whether a stored result was served |
| returned | `tool_returned`, or the served result; `recall_answered` and its pages | status, text |
| decided | decisions, `prompt_rendered` | all fields but versions of events |
| harness | the other inputs: turns, boundaries, pins, updates of the store | all fields, texts included |

LAW-STEPS-1: a call served from a fork's tape makes the same two steps as the call that its parent ran.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

import attrs

from clawvm_es.engine.values import ERASED, Mark, parsed
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model import events as e
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.model.pages import Author
from clawvm_es.observe.edge import decode
from clawvm_es.observe.signatures import canonical

KINDS: Final = ("said", "called", "returned", "decided", "harness")
"""Names under which events are counted, in the order in which they are told."""
COMMITMENT_CHARS: Final = 64


@attrs.frozen
class Step:
    """One step: its first event, its kind, its owner (an author, a tool), and the digest of its content."""

    row: Recorded
    kind: str
    who: str
    key: bytes
    erased: bool
    called: e.ToolCalled | None = None  # what a result is the result of


@attrs.define
class Group:
    """A step and the events up to the next one; the first group of a run may have no step."""

    step: Step | None = None
    rest: list[Recorded] = attrs.field(factory=list)

    @property
    def key(self) -> bytes:
        """The digest of its step's content."""
        return b"" if self.step is None else self.step.key


@attrs.define
class Steps:
    """Reads the steps of one session after event `after` up to event `upto` (None: its end)."""

    log: EventLog
    session_id: str
    after: int = 0
    upto: int | None = None
    times: bool = False
    _calls: dict[int, e.ToolCalled] = attrs.field(factory=dict)
    _results: dict[int, tuple[ReturnStatus, str | None]] = attrs.field(factory=dict)  # by version
    _taped: dict[int, e.ToolCalled] = attrs.field(factory=dict)  # served from a tape, and not yet seen to return

    def groups(self) -> Iterator[Group]:
        """The groups of the session, in order."""
        group = Group()
        for row in read_session(self.log, self.session_id, self.after, self.upto):
            for step in self._steps(row):
                yield group
                group = Group(step)
            if row.type not in _STEPS_ALONE and row.type not in _LEFT_OUT:
                group.rest.append(row)
        yield group

    def content(self, step: Step) -> dict[str, Any]:
        """Text of a step."""
        data = step.row.data
        found: dict[str, Any]
        if step.kind == "said":
            assert isinstance(data, e.PageWritten)
            found = {"type": str(data.page_type), "author": str(data.author), "text": self.text(data.levels[0].body)}
            found |= {} if data.source is None else {"source": self.text(data.source)}
        elif step.kind == "called":
            assert isinstance(data, e.ToolCalled)
            found = {"tool": self.tool(data), "arguments": _value(self.text(data.arguments))}
            if data.served_from is not None and data.served_by is None:
                found["served"] = True
        else:
            found = self._returned(step)
        return found | ({"at": step.row.at_us} if self.times else {})

    def _returned(self, step: Step) -> dict[str, Any]:
        data = step.row.data
        if isinstance(data, e.RecallAnswered):
            return {"outcome": str(data.outcome), "query": self.text(data.query)}
        if isinstance(data, e.ToolReturned):
            return {"status": str(data.status), "result": _value(self.text(data.result))}
        if isinstance(data, e.ToolCalled):
            status, result = self._served(data)
            return {"status": str(status), "result": _value(self.text(result))}
        assert isinstance(data, e.PageWritten)
        status = step.called.served_status if step.called is not None else ReturnStatus.OK
        return {"status": str(status), "result": _value(self.text(data.levels[0].body))}

    def tool(self, called: e.ToolCalled) -> str | Mark:
        """The name of the tool that was called."""
        return called.tool if called.tool != e.UNKNOWN_TOOL or called.name is None else self.text(called.name)

    def text(self, commitment: str | None) -> str | Mark:
        """The text behind a commitment, or a mark that it was erased; empty for no commitment."""
        if commitment is None:
            return ""
        body = self.log.vault(self.session_id).open(commitment)
        return ERASED if body is None else decode(body)

    # --------------------------------------------------------------------------------- from events

    def _steps(self, row: Recorded) -> Iterator[Step]:
        """The steps that an event begins: none, one, or a call and the result that was served for it."""
        data = row.data
        if isinstance(data, e.ToolCalled):
            self._calls[data.call] = data
            yield self._step(row, "called", self.tool(data))
            if data.served_by is not None:
                self._taped[data.call] = data
            elif data.served_from is not None:
                self._results[row.version] = self._served(data)
                yield self._step(row, "returned", self.tool(data))
        elif isinstance(data, e.ToolReturned):
            self._results[row.version] = (data.status, data.result)
            yield self._step(row, "returned", self._tool_of(data.call))
        elif isinstance(data, e.RecallAnswered):
            yield self._step(row, "returned", "recall")
        elif isinstance(data, e.PageWritten):
            yield from self._page(row, data)

    def _page(self, row: Recorded, data: e.PageWritten) -> Iterator[Step]:
        call = data.origin.call
        if call is not None and (called := self._taped.pop(call, None)) is not None:
            yield self._step(row, "returned", self.tool(called), called)
        elif call is None and data.author is Author.TOOL:
            yield self._step(row, "returned", "page")
        elif call is None or data.author is not Author.TOOL:
            yield self._step(row, "said", f"{data.author} {data.page_type}")

    def _step(self, row: Recorded, kind: str, who: str | Mark, called: e.ToolCalled | None = None) -> Step:
        step = Step(row, kind, str(who), b"", False, called)
        content = self.content(step)
        erased = [name for name, value in content.items() if value is ERASED]
        told = content | {name: {"erased": True} for name in erased}
        key = sha256(canonical([kind, step.who, told]).encode()).digest()
        return attrs.evolve(step, key=key, erased=bool(erased))

    def _tool_of(self, call: int) -> str | Mark:
        called = self._calls.get(call)
        return "tool" if called is None else self.tool(called)

    def _served(self, called: e.ToolCalled) -> tuple[ReturnStatus, str | None]:
        """Status and commitment of the recorded result that a call was served."""
        stream, version = called.served_by or self.session_id, called.served_from or 0
        if called.served_by is None and (known := self._results.get(version)) is not None:
            return known
        if version < 1 or self.log.head(stream) is None:
            return called.served_status, None
        row = next(read_session(self.log, stream, version - 1, version), None)
        if row is not None and isinstance(row.data, e.ToolReturned):
            return row.data.status, row.data.result
        if row is not None and isinstance(row.data, e.ToolCalled) and row.data.served_from is not None:
            return self._served(row.data)
        return called.served_status, None


def _value(text: str | Mark) -> Any:
    """A text that is a JSON object or array as that value; any other text as it is."""
    return parsed(text) if isinstance(text, str) else text


_STEPS_ALONE: Final = frozenset(("tool_called", "tool_returned", "recall_answered"))
"""Events that are told by their step alone; of a page its number and type are told beside it."""
_LEFT_OUT: Final = frozenset(("session_opened", "session_forked"))
"""Events that say how a session was set up, which is compared as its settings."""
