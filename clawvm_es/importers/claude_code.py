"""Claude Code sessions, in all versions and as `stream-json`: one JSON object a line.

Rows are taken in file order, since parents may come after children and timestamps may run backwards. A file may
hold several runs: subagents (in progress rows, in rows of a sidechain, or under the call that started them), and
sessions with other ids. A session that begins with the rows of another one continues it: it has its own id, and
all rows.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import attrs

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers.claude_session import NO_STATE, Run, parent_of
from clawvm_es.importers.format import Format, Part, Reader
from clawvm_es.importers.identity import content_id
from clawvm_es.importers.recording import Recording, Skip, Skips
from clawvm_es.importers.records import Record
from clawvm_es.importers.streaming import lines_of, read_all
from clawvm_es.observe.fields import Fields

NAME: Final = "claude_code"

_TYPES: Final = frozenset(
    ("user", "assistant", "system", "progress", "summary", "file-history-snapshot", "queue-operation", "attachment")
)


@attrs.define
class _Session:
    """A session being built: the main run, and its subagents' runs by agent id."""

    session_id: str = ""
    resumed_from: str | None = None
    main: Run = attrs.field(factory=Run)
    agents: dict[str, Run] = attrs.field(factory=dict)
    sidechains: dict[str, str] = attrs.field(factory=dict)  # uuid of a sidechain row → agent id
    content: str = ""  # what it is named by where no row tells its id
    placed: bool = False  # a row came that others can hang on

    def parts(self) -> list[Part]:
        """The runs of the session, the main one first; an empty main run is left out if there are others."""
        session_id = self.session_id or self.content
        found = [
            Part(session_id and f"{session_id}/agent-{agent_id}", run.into, session_id, partial=not run.told)
            for agent_id, run in self.agents.items()
        ]
        alone = found and self.main.into.began_us is None
        return found if alone else [Part(session_id, self.main.into, resumed_from=self.resumed_from), *found]

    def recordings(self, name: str) -> list[Recording]:
        """The recordings of the session; whatever else the file holds is counted in the first one."""
        parts = self.parts()
        for run in (self.main, *self.agents.values()):
            run.end()
        if parts[0].into is not self.main.into:
            parts[0].into.skipped.update(self.main.into.skipped)
        return [
            attrs.evolve(
                part.into.recording(part.session_id, NAME, name, part.linked_to, part.resumed_from),
                partial=part.partial,
            )
            for part in parts
        ]


@attrs.define
class _File:
    """The sessions of one file, in the order of their first rows, under every id that they had."""

    sessions: dict[str, _Session] = attrs.field(factory=dict)
    current: _Session = attrs.field(factory=_Session)
    owners: dict[str, _Session] = attrs.field(factory=dict)  # uuid of a row → session

    def session(self, row: Fields) -> _Session:
        """The session of a row: the one with its id, else that of the last row."""
        session_id = row.text("sessionId") or row.text("session_id")
        known = self.sessions.get(session_id)
        if not session_id or known is self.current:
            return self.current
        before = self.owners.get(row.text("parentUuid"))
        if before is not None and before is not known and (known is None or not known.placed):
            self._continue(before, session_id, known)
        elif known is not None:
            self.current = known
        elif not self.current.session_id:
            self.current.session_id = session_id
            self.sessions[session_id] = self.current
        else:
            self.current = self.sessions[session_id] = _Session(session_id)
        return self.current

    def _continue(self, before: _Session, session_id: str, known: _Session | None) -> None:
        """Continue a session under another id, with the rows it has so far."""
        if known is not None:
            before.main.into.skipped.update(known.main.into.skipped)
            before.main.queue = known.main.queue
        before.resumed_from, before.session_id = before.session_id or None, session_id
        self.current = self.sessions[session_id] = before

    def all(self) -> list[_Session]:
        """The sessions, each once."""
        found = {id(each): each for each in self.sessions.values()} or {0: self.current}
        return list(found.values())


def parse(data: bytes, name: str) -> tuple[Recording, ...]:
    """The sessions of a file: each main session, then its subagents in order of appearance.

    Raises `UnreadableInput` if no row names a session and none holds content, as in the mere head of a session file.
    """
    return read_all(READER, lines_of(io.BytesIO(data)), name)


def _end(file: _File, name: str, skipped: Skips) -> tuple[Recording, ...]:
    sessions = file.all()
    sessions[0].main.into.skipped.update(skipped)
    if not (sessions[0].session_id or sessions[0].content or sessions[0].agents):
        raise UnreadableInput(f"{name}: holds no message of a session", hint="is it the head of a session to come?")
    return tuple(recording for session in sessions for recording in session.recordings(name))


def _parts(file: _File) -> Sequence[Part]:
    """The sessions of a file so far."""
    return [part for session in file.all() for part in session.parts()]


def _record(file: _File, record: Record) -> None:
    row = record.data
    session = file.session(row)
    session.main.into.line = record.line
    uuid, kind = row.text("uuid"), row.text("type")
    if uuid:
        file.owners.setdefault(uuid, session)
        session.placed = True
    if kind == "progress":
        _progress(session, record)
        return
    run = _home(session, row)
    run.into.line = record.line
    run.told += 1
    if run.new(row, record.raw):
        if kind in ("user", "assistant") and not (session.session_id or session.content):
            session.content = content_id("claude", row.raw)
        run.take(row, record.line)


def _home(session: _Session, row: Fields) -> Run:
    """The run to which a row belongs: the main one, or a subagent's."""
    started_by = row.text("parent_tool_use_id")
    if started_by:
        return session.agents.setdefault(started_by, Run(cwd=session.main.cwd))
    if not row.flag("isSidechain"):
        named = row.text("agentId") if row.text("type") == "content-replacement" else ""
        return session.agents.get(named, session.main)
    uuid, parent = row.text("uuid"), row.text("parentUuid")
    agent_id = row.text("agentId") or session.sidechains.get(parent) or uuid[:8] or "sidechain"
    session.sidechains[uuid] = agent_id
    return session.agents.setdefault(agent_id, Run())


def _progress(session: _Session, record: Record) -> None:
    """A progress row: a subagent's message, or a notice that may be the parent of later rows."""
    row, data = record.data, record.data.fields("data")
    kind, agent_id = data.text("type"), data.text("agentId")
    if row.text("uuid"):
        session.main.tree.hung(row.text("uuid"), parent_of(row))
        session.main.tree.join(row.text("uuid"), record.line, parent=row.text("parentUuid"))
    if kind != "agent_progress" or not agent_id:
        session.main.into.skip(NO_STATE.get(kind, Skip.PROGRESS))
        return
    run, nested = session.agents.setdefault(agent_id, Run()), data.fields("message")
    run.into.line = record.line
    if not run.new(nested, record.raw):
        return
    if "timestamp" not in nested:
        nested = Fields({**nested.raw, "timestamp": row.raw.get("timestamp")})
    run.take(nested, record.line, row.text("cwd"))


def _is_claude_code(record: Fields) -> bool:
    if record.text("type") not in _TYPES or "parts" in record.fields("message"):
        return False
    if any(key in record for key in ("sessionId", "leafUuid", "snapshot")):
        return True
    if record.text("session_id"):
        return "message" in record or record.text("subtype") != ""
    return "uuid" in record and "message" in record


READER: Final = Reader(_File, _record, _parts, _end)
FORMAT: Final = Format(NAME, parse, tools="claude_code", is_record=_is_claude_code, reader=READER)
