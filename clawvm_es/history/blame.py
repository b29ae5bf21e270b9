"""`blame`: every version of a page or of a field of the durable store, with who wrote it, when and on what evidence.

LAW-BLAME-1: the versions told of a field are those of the durable store, of one scope gapless from 1, each with the
event that committed it; those of a page are its contents, gapless from 1, each with the event that wrote it.
"""

from __future__ import annotations

import attrs

from clawvm_es.core.evolve import apply
from clawvm_es.core.state import Page, State, Update
from clawvm_es.engine.updates import field_names
from clawvm_es.errors import UsageError
from clawvm_es.history.origins import Origins, Place, Provenance, require_session
from clawvm_es.journal.lineage import event_at, read_session
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model import events as e
from clawvm_es.model.facts import FaultType, Op, RejectReason, UpdateFacts
from clawvm_es.model.pages import Fidelity, PageType
from clawvm_es.observe.edge import decode


@attrs.frozen
class Basis:
    """Evidence of an update, resolved: a page's content, an event, or a version of a shared scope.

    All are None where it did not resolve, or the session that staged it is not in this log.
    """

    page: Provenance | None = None
    event: Place | None = None
    scope_version: int | None = None


@attrs.frozen
class Value:
    """One proposed change of a field, and what became of it: committed as `field_version`, or why it was rejected.

    `session_id` is whose update it was, and `settled` the event of that session that committed or rejected it. A
    change of a shared scope has its `scope_version` too. `validators` are those that were asked, and whether they
    agreed; what a judge weighed is named `judge.factor=number`. `text` is the value as given (None: erased).
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
    """One content of a page: where it came from, its kept levels in tokens, and its full text (None: erased)."""

    provenance: Provenance
    page_type: PageType
    levels: dict[Fidelity, int]
    text: str | None


@attrs.frozen
class Mark:
    """Other change of a page: it was pinned, retired, redacted or destroyed; `what` says how."""

    event: Place
    what: str


@attrs.frozen
class Blame:
    """All versions of a page (`contents`) or of a field (`values`); a page that is written back has both."""

    session_id: str
    subject: str
    contents: tuple[Content, ...]
    marks: tuple[Mark, ...]
    values: tuple[Value, ...]
    rejected: tuple[Value, ...]


@attrs.define
class _Staged:
    """An update as it was staged, with the page that it names as evidence as that page was then."""

    row: Recorded
    page: Page | None
    settled: Recorded | None = None


@attrs.define
class _Story:
    """One pass over a session: its pages' contents, what happened to them, and its updates."""

    log: EventLog
    session_id: str
    state: State = attrs.field(factory=State)
    contents: list[tuple[Recorded, int]] = attrs.field(factory=list)  # of the page asked about, content version
    marks: list[tuple[Recorded, str]] = attrs.field(factory=list)
    staged: dict[int, _Staged] = attrs.field(factory=dict)

    def read(self, subject: str, upto: int | None) -> _Story:
        """Fold the session up to a version; return self."""
        for row in read_session(self.log, self.session_id, upto=upto):
            apply(self.state, row.data)
            self._note(subject, row)
        return self

    def _note(self, subject: str, row: Recorded) -> None:
        data = row.data
        if isinstance(data, e.PageWritten) and data.page_id == subject:
            self.contents.append((row, self.state.pages[subject].content_version))
        elif (what := _mark(subject, data)) is not None:
            self.marks.append((row, what))
        elif isinstance(data, e.UpdateStaged):
            self._stage(row, data.update, data.facts)
        elif isinstance(data, e.BoundaryReached):
            first = len(self.state.updates) - len(data.staged) + 1
            for number, staged in enumerate(data.staged, first):
                self._stage(row, number, staged.update)
        elif isinstance(data, e.UpdateCommitted | e.UpdateRejected):
            self.staged[data.update].settled = row

    def _stage(self, row: Recorded, number: int, facts: UpdateFacts) -> None:
        self.staged[number] = _Staged(row, self.state.pages.get(facts.evidence.page_id or ""))


def _mark(subject: str, data: e.Event) -> str | None:
    """Return what an event did to a page beside writing it."""
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

    `session_id` may be the stream of a shared scope. Raises `UsageError` where nothing is called so.
    """
    if session_id.startswith(e.SCOPE_PREFIX) and log.head(session_id) is not None:
        changes = _shared(log, session_id, subject, version)
        return _found(Blame(session_id, subject, (), (), changes, ()), _scope_fields(log, session_id))
    last = require_session(log, session_id)
    story = _Story(log, session_id).read(subject, last if version is None else version)
    own = _values(story, subject)
    shared = [
        value
        for scope, seen in story.state.scopes.items()
        for value in _shared(log, scope, subject, None if version is None else seen)
    ]
    found = Blame(
        session_id,
        subject,
        _contents(story),
        tuple(Mark(Place.of(row), what) for row, what in story.marks),
        (*(value for value in own if value.reason is None and value.scope not in story.state.scopes), *shared),
        tuple(value for value in own if value.reason is not None),
    )
    names = _names(story)
    return _found(found, sorted({names.get(u.facts.field, u.facts.field) for u in story.state.updates.values()}))


def _names(story: _Story) -> dict[str, str]:
    """Names of fields of a pattern, by their names in events."""
    return field_names(story.state, Origins(story.log, story.session_id, story.state).text)


def _found(found: Blame, fields: list[str]) -> Blame:
    if found.contents or found.values or found.rejected:
        return found
    known = f"its fields: {', '.join(fields[:8])}{', …' if len(fields) > 8 else ''}" if fields else "it has no fields"
    raise UsageError(f"session {found.session_id} has no page or field {found.subject!r} there", hint=known)


def _contents(story: _Story) -> tuple[Content, ...]:
    origins = Origins(story.log, story.session_id, story.state)
    found = []
    for row, number in story.contents:
        data = row.data
        assert isinstance(data, e.PageWritten)
        where = origins.content(data.page_id, number, data.author, data.origin, data.source, Place.of(row))
        levels = {level.level: level.tokens for level in data.levels}
        found.append(Content(where, data.page_type, levels, origins.text(data.levels[0].body)))
    return tuple(found)


def _values(story: _Story, field: str) -> list[Value]:
    """Return what the session proposed for a field and what became of it, in order."""
    field = next((known for known, name in _names(story).items() if name == field), field)
    settled = [
        _value(story, update, staged, staged.settled)
        for update, staged in ((story.state.updates[number], staged) for number, staged in story.staged.items())
        if staged.settled is not None and update.facts.field == field
    ]
    return sorted(settled, key=lambda value: value.settled.version)


def _value(story: _Story, update: Update, staged: _Staged, settled: Recorded) -> Value:
    facts, origins = update.facts, Origins(story.log, story.session_id, story.state)
    evidence = Basis(
        page=None if staged.page is None else origins.page(staged.page),
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
        staged=Place.of(staged.row),
        settled=Place.of(settled),
        size_bytes=facts.size_bytes,
        evidence=evidence,
        reason=update.reason if rejected else None,
        text=origins.text(facts.value),
        validators={verdict.validator: verdict.agrees for verdict in facts.validators},
    )


def _event(story: _Story, version: int) -> Place | None:
    if not 1 <= version <= story.state.version:
        return None
    return Place.of(event_at(story.log, story.session_id, version))


# --------------------------------------------------------------------------------------- shared scopes


def _shared(log: EventLog, scope: str, field: str, seen: int | None) -> tuple[Value, ...]:
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
        writer: {value.settled.version: value for value in _values(_Story(log, writer).read(field, upto), field)}
        for writer, upto in last.items()
        if log.head(writer) is not None
    }
    return tuple(
        _published(log, row, data, number, stories.get(data.session_id, {}).get(data.version))
        for number, (row, data) in enumerate(changes, 1)
    )


def _published(log: EventLog, row: Recorded, data: e.ScopeChanged, number: int, told: Value | None) -> Value:
    """One change of a shared scope, with what its writer's own stream says of it where the log has it."""
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
