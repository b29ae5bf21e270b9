"""`blame`: every version of a page or of a field of the durable store, with its writer, time and evidence.

LAW-BLAME-1: the versions of a field are those of the durable store, in each scope gapless from 1, each with the event
that committed it. The versions of a page are its contents, gapless from 1, each with the event that wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from clawvm_es.core.state import State, Update
from clawvm_es.engine.updates import field_names
from clawvm_es.errors import UsageError
from clawvm_es.history.origins import Origins, Place, Provenance, require_session
from clawvm_es.history.places import state_at
from clawvm_es.history.spans import Spans
from clawvm_es.journal.lineage import Line
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model import events as e
from clawvm_es.model.facts import FaultType, Op, RejectReason
from clawvm_es.model.pages import Fidelity, PageType
from clawvm_es.observe.edge import decode
from clawvm_es.projections import Snapshot, snapshot


@attrs.frozen
class Basis:
    """Evidence of an update, resolved: a page's content, an event, or a version of a shared scope.

    All are None if it did not resolve, or if this log does not hold the session that staged it.
    """

    page: Provenance | None = None
    event: Place | None = None
    scope_version: int | None = None


@attrs.frozen
class Value:
    """One proposed change of a field, and its outcome: committed as `field_version`, or rejected with a reason.

    `session_id` is the session that proposed it, and `settled` the event of that session that committed or rejected
    it. A change of a shared scope also has its `scope_version`. `validators` lists the validators and whether each
    agreed; a judge's factors are named `judge.factor=number`. `text` is the value as given (None: erased).
    """

    session_id: str
    scope: str
    field: str
    field_version: int | None
    op: Op
    update: int | None
    staged: Place | None
    settled: Place
    size_bytes: int | None
    evidence: Basis
    reason: RejectReason | None
    text: str | None
    scope_version: int | None = None
    validators: dict[str, bool] = attrs.field(factory=dict)


@attrs.frozen
class Content:
    """One content of a page: its origin, its kept levels in tokens, and its full text (None: erased)."""

    provenance: Provenance
    page_type: PageType
    levels: dict[Fidelity, int]
    text: str | None


@attrs.frozen
class Mark:
    """Another change of a page: pinned, retired, redacted or destroyed; `what` says which."""

    event: Place
    what: str


@attrs.frozen
class Blame:
    """All versions of a page (`contents`) or of a field (`values`); a page that was written back has both."""

    session_id: str
    subject: str
    contents: tuple[Content, ...]
    marks: tuple[Mark, ...]
    values: tuple[Value, ...]
    rejected: tuple[Value, ...]


@attrs.define
class _Story:
    """The events about one page, or about the updates of one field, up to the version of `state`."""

    log: EventLog
    session_id: str
    state: State
    spans: Spans
    line: Line
    _pages: dict[str, list[Recorded]] = attrs.field(factory=dict)

    @classmethod
    def upto(cls, log: EventLog, view: Snapshot, session_id: str, version: int) -> _Story:
        """The story of a session up to a version that the read models are ahead of."""
        state, spans = state_at(log, session_id, version), Spans.of(view, log, session_id)
        return cls(log, session_id, state, spans, Line(log, session_id))

    def page(self, page_id: str) -> Iterator[Recorded]:
        """The events that wrote or marked a page."""
        span = self.spans.page(page_id)
        if span is not None:
            last = min(max(span.written, span.marked), self.state.version)
            yield from self.line.read(span.first - 1, last)

    def page_then(self, page_id: str, version: int) -> tuple[Recorded, int] | None:
        """The event that wrote a page's content of a version, and the number of that content."""
        if page_id not in self._pages:
            span = self.spans.page(page_id)
            rows = self.line.read(span.first - 1, span.first if span.contents == 1 else span.written) if span else ()
            self._pages[page_id] = [row for row in rows if _writes(row, page_id)]
        then = [row for row in self._pages[page_id] if row.version <= version]
        return (then[-1], len(then)) if then else None

    def settled(self, field: str) -> Iterator[tuple[Update, Recorded]]:
        """The updates of a field that were committed or rejected, each with the event that did so last."""
        found = {number: each for number, each in self.state.updates.items() if each.facts.field == field}
        settled: dict[int, Recorded] = {}
        for first, upto in _joined((each.version, self.spans.update(number)) for number, each in found.items()):
            for row in self.line.read(first, min(upto, self.state.version)):
                if isinstance(row.data, e.UpdateCommitted | e.UpdateRejected):
                    settled[row.data.update] = row
        yield from ((each, settled[number]) for number, each in found.items() if number in settled)


def _writes(row: Recorded, page_id: str) -> bool:
    return isinstance(row.data, e.PageWritten) and row.data.page_id == page_id


def _joined(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges in order, overlapping ones merged."""
    first = last = -1
    for begin, end in sorted(ranges):
        if begin > last:
            if last > first:
                yield first, last
            first = begin
        last = max(last, end)
    if last > first:
        yield first, last


def _mark(subject: str, data: e.Event) -> str | None:
    """Return what an event did to a page other than writing it."""
    match data:
        case e.PagePinned(page_id=page_id) if page_id == subject:
            return f"pinned {data.pin}"
        case e.PageRetired(page_id=page_id) if page_id == subject:
            return f"retired, {data.reason}"
        case e.ContentRedacted(pages=pages) if subject in pages:
            return f"redacted, {data.reason}"
        case e.FaultObserved(fault=FaultType.FLUSH_MISS, page_id=page_id) if page_id == subject:
            return "destroyed before it was committed"
        case _:
            return None


def blame(log: EventLog, session_id: str, subject: str, version: int | None = None) -> Blame:
    """Every version of the page or field `subject`, as of a version of the session (by default the end).

    `session_id` may be the stream of a shared scope. Raises `UsageError` if no page or field has this name.
    """
    if session_id.startswith(e.SCOPE_PREFIX) and log.head(session_id) is not None:
        with snapshot(log) as view:
            changes = _shared(log, view, session_id, subject, version)
        return _found(Blame(session_id, subject, (), (), changes, ()), _scope_fields(log, session_id))
    last = require_session(log, session_id)
    with snapshot(log) as view:
        return _of_session(log, view, session_id, subject, version, last)


def _of_session(
    log: EventLog, view: Snapshot, session_id: str, subject: str, version: int | None, last: int
) -> Blame:
    story = _Story.upto(log, view, session_id, last if version is None else version)
    names = _names(story)
    contents, marks = _life(story, subject)
    own = _values(story, subject, names)
    shared = [
        value
        for scope, seen in story.state.scopes.items()
        for value in _shared(log, view, scope, subject, None if version is None else seen)
    ]
    found = Blame(
        session_id,
        subject,
        contents,
        marks,
        (*(value for value in own if value.reason is None and value.scope not in story.state.scopes), *shared),
        tuple(value for value in own if value.reason is not None),
    )
    return _found(found, sorted({names.get(u.facts.field, u.facts.field) for u in story.state.updates.values()}))


def _names(story: _Story) -> dict[str, str]:
    """Own names of the fields that match a pattern, by their names in events."""
    return field_names(story.state, Origins(story.log, story.session_id, story.state).text)


def _found(found: Blame, fields: list[str]) -> Blame:
    if found.contents or found.values or found.rejected:
        return found
    known = f"its fields: {', '.join(fields[:8])}{', …' if len(fields) > 8 else ''}" if fields else "it has no fields"
    raise UsageError(f"session {found.session_id} has no page or field {found.subject!r} there", hint=known)


def _life(story: _Story, page_id: str) -> tuple[tuple[Content, ...], tuple[Mark, ...]]:
    """The contents of a page, and all its other changes."""
    origins = Origins(story.log, story.session_id, story.state)
    contents: list[Content] = []
    marks: list[Mark] = []
    for row in story.page(page_id):
        data = row.data
        if isinstance(data, e.PageWritten) and data.page_id == page_id:
            number, at = len(contents) + 1, Place.of(row)
            where = origins.content(page_id, number, data.author, data.origin, data.source, at)
            levels = {level.level: level.tokens for level in data.levels}
            contents.append(Content(where, data.page_type, levels, origins.text(data.levels[0].body)))
        elif (what := _mark(page_id, data)) is not None:
            marks.append(Mark(Place.of(row), what))
    return tuple(contents), tuple(marks)


def _values(story: _Story, field: str, names: Mapping[str, str]) -> list[Value]:
    """Return the session's proposals for a field and their outcomes, in order."""
    known = next((known for known, name in names.items() if name == field), field)
    settled = [_value(story, update, row) for update, row in story.settled(known)]
    return sorted(settled, key=lambda value: value.settled.version)


def _value(story: _Story, update: Update, settled: Recorded) -> Value:
    facts, origins = update.facts, Origins(story.log, story.session_id, story.state)
    page_id = facts.evidence.page_id
    evidence = Basis(
        page=None if page_id is None else _page(story, origins, page_id, update.version),
        event=None if facts.evidence.version is None else _event(story, facts.evidence.version),
        scope_version=facts.evidence.scope_version,
    )
    rejected = isinstance(settled.data, e.UpdateRejected)
    return Value(
        session_id=story.session_id,
        scope=facts.scope,
        field=facts.field,
        field_version=None if rejected else update.field_version,
        op=facts.op,
        update=update.update,
        staged=Place.of(story.line.at(update.version)),
        settled=Place.of(settled),
        size_bytes=facts.size_bytes,
        evidence=evidence,
        reason=update.reason if rejected else None,
        text=origins.text(facts.value),
        validators={verdict.validator: verdict.agrees for verdict in facts.validators},
    )


def _page(story: _Story, origins: Origins, page_id: str, version: int) -> Provenance | None:
    """The origin of a page's content at a version; None if it had none."""
    found = story.page_then(page_id, version)
    if found is None:
        return None
    row, number = found
    data = row.data
    assert isinstance(data, e.PageWritten)
    return origins.content(page_id, number, data.author, data.origin, data.source, Place.of(row))


def _event(story: _Story, version: int) -> Place | None:
    if not 1 <= version <= story.state.version:
        return None
    return Place.of(story.line.at(version))


# --------------------------------------------------------------------------------------- shared scopes


def _shared(log: EventLog, view: Snapshot, scope: str, field: str, seen: int | None) -> tuple[Value, ...]:
    """The versions of a field in a shared scope up to version `seen` of it (None: all)."""
    head = log.head(scope)
    if head is None:
        return ()
    changes = [
        (row, row.data)
        for row in log.read(scope, upto=head.version if seen is None else seen)
        if isinstance(row.data, e.ScopeChanged) and row.data.field == field
    ]
    last: dict[str, int] = {}
    for _, data in changes:
        last[data.session_id] = max(data.version, last.get(data.session_id, 0))
    stories = {
        writer: {
            value.settled.version: value for value in _of_writer(log, view, writer, field, min(upto, head.version))
        }
        for writer, upto in last.items()
        if (head := log.head(writer)) is not None
    }
    return tuple(
        _published(log, row, data, number, stories.get(data.session_id, {}).get(data.version))
        for number, (row, data) in enumerate(changes, 1)
    )


def _of_writer(log: EventLog, view: Snapshot, session_id: str, field: str, upto: int) -> list[Value]:
    """The updates of a field by one writer of a shared scope."""
    story = _Story.upto(log, view, session_id, upto)
    return _values(story, field, _names(story))


def _published(log: EventLog, row: Recorded, data: e.ScopeChanged, number: int, told: Value | None) -> Value:
    """One change of a shared scope, with details from its writer's own stream if the log has it."""
    body = log.vault(row.session_id).open(data.value)
    text = None if body is None else decode(body)
    if told is None:
        place = attrs.evolve(Place.of(row), version=data.version)
        told = Value(
            data.session_id, row.session_id, data.field, number, data.op, None, None, place, None, Basis(), None, text
        )
    return attrs.evolve(told, field_version=number, scope_version=data.scope_version, text=text)


def _scope_fields(log: EventLog, scope: str) -> list[str]:
    return sorted({row.data.field for row in log.read(scope) if isinstance(row.data, e.ScopeChanged)})
