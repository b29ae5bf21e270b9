"""The tape of a fork: results that its parent recorded after the fork, served instead of running a tool again.

LAW-TAPE-1: the k-th call of a tool with the same arguments after the fork gets the k-th result that the parent's
lineage recorded for it after the fork. The calls made since are counted from the log, so the count survives a
crash.
LAW-TAPE-2: nothing else is served from the tape: an erased result leaves a gap, and no later one moves up.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

import attrs

from clawvm_es.engine.nearest import MadeCall, Nearest, nearest
from clawvm_es.errors import JournalDamaged, NotCanonical
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model.events import UNKNOWN_TOOL, SessionForked, ToolCalled, ToolReturned
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.observe.signatures import signature_key

Open = Callable[[str | None], str | None]
"""From a commitment to its text; None if there is none, or it was erased."""
Ignores = Callable[[str], Iterable[str]]
"""From a tool's name to the arguments that do not change its result."""


@attrs.frozen
class Taped:
    """One result on the tape: the `tool_returned` that holds it, and whether the parent itself only served it."""

    stream: str
    version: int
    status: ReturnStatus
    result: str | None
    again: bool = False


@attrs.define
class _Reader:
    """Reads the calls and results of a lineage in order, as the lineage grows."""

    session_id: str
    seen: int


class Tape:
    """The results that a fork's parent recorded after the fork, and how many of each key were used since."""

    def __init__(self, log: EventLog, session_id: str, fork: SessionForked, open_: Open, ignores: Ignores) -> None:
        self._log = log
        self._fork = fork
        self._open = open_
        self._ignores = ignores
        self._parent = _Reader(fork.parent, fork.parent_version)
        self._child = _Reader(session_id, fork.parent_version)
        self._keys: dict[int, bytes] = {}  # call of the parent → its key
        self._early: dict[int, Taped] = {}  # results that came before their call
        self._results: dict[bytes, list[Taped]] = {}
        self._taken: dict[bytes, list[int]] = {}  # versions at which this session took a result of a key

    @property
    def allows_new_calls(self) -> bool:
        """Tell whether calls that are not on the tape may run."""
        return self._fork.allow_new_calls

    def next(self, tool: str, arguments: str, upto: int, made: int | None = None) -> Taped | None:
        """Return the tape of a call in a session at version `upto`; None if nothing is left.

        `arguments` is their JSON text as stored, `made` the version of the call if it is already recorded.
        """
        self._grow()
        self._count(upto)
        key = self.key(tool, arguments)
        results, taken = self._results.get(key, ()), self._taken.get(key, [])
        is_own = made is not None and made > self._fork.parent_version
        place = bisect_left(taken, made) if is_own and made is not None else len(taken)
        return results[place] if place < len(results) else None

    def recorded(self, tool: str, arguments: str) -> int:
        """Return how many results of a call are on the tape, served ones included."""
        return len(self._results.get(self.key(tool, arguments), ()))

    def nearest(self, tool: str, arguments: str) -> Nearest | None:
        """The most similar call that the parent recorded after the fork; None if it made none."""
        return nearest(tool, arguments, self._made(), frozenset(self._ignores(tool)))

    def _made(self) -> Iterator[MadeCall]:
        """The calls of the parent after the fork whose texts still exist."""
        for row in read_session(self._log, self._fork.parent, self._fork.parent_version):
            if isinstance(row.data, ToolCalled) and (texts := self._texts_of(row.data)) is not None:
                yield MadeCall(row.session_id, row.version, *texts)

    def _grow(self) -> None:
        """Read what the parent recorded since the last look."""
        for row in _calls(self._log, self._parent):
            if isinstance(row.data, ToolCalled):
                self._take_call(row.data)
            elif isinstance(row.data, ToolReturned):
                found = Taped(row.session_id, row.version, row.data.status, row.data.result)
                key = self._keys.get(row.data.call) or self._earlier_key(row)
                if key is not None:
                    self._add(key, found)
                elif row.data.unmatched:
                    self._early[row.data.call] = found

    def _take_call(self, called: ToolCalled) -> None:
        key = self.key_of(called)
        if key is None:
            return
        self._keys[called.call] = key
        if called.served_from is not None:
            self._add(key, self._served(called, called.served_from))
        elif (early := self._early.pop(called.call, None)) is not None:
            self._add(key, early)

    def _add(self, key: bytes, found: Taped) -> None:
        self._results.setdefault(key, []).append(found)

    def _count(self, upto: int) -> None:
        """Count the results that this session used since the last look, on any handle.

        A call uses its result when it is made; a call in flight at the fork uses its result when that arrives.
        """
        for row in _calls(self._log, self._child, upto):
            key = None
            if isinstance(row.data, ToolCalled):
                key = self.key_of(row.data)
            elif isinstance(row.data, ToolReturned):
                key = self._earlier_key(row)
            if key is not None:
                self._taken.setdefault(key, []).append(row.version)

    def _earlier_key(self, returned: Recorded) -> bytes | None:
        """The key of the call behind a result, if the call was in flight at the fork."""
        if returned.cause is None or returned.cause > self._fork.parent_version:
            return None
        (called,) = read_session(self._log, self._fork.parent, returned.cause - 1, returned.cause)
        return self.key_of(called.data) if isinstance(called.data, ToolCalled) else None

    def _served(self, called: ToolCalled, version: int) -> Taped:
        """The result that was served to a call of the parent: its own, or one that another stream recorded."""
        stream = called.served_by or self._fork.parent
        if self._log.head(stream) is None:  # the parent came from another journal, by its trace
            return Taped(stream, version, called.served_status, None)
        for row in read_session(self._log, stream, version - 1, version):
            again = called.served_by is None
            if isinstance(row.data, ToolReturned):
                return Taped(row.session_id, row.version, row.data.status, row.data.result, again)
            if isinstance(row.data, ToolCalled) and row.data.served_from is not None:
                return attrs.evolve(self._served(row.data, row.data.served_from), again=again)
        raise JournalDamaged(f"session {stream} version {version} is served as a result, and is none")

    def key_of(self, called: ToolCalled) -> bytes | None:
        """The key of a recorded call; None where its name or arguments were erased."""
        texts = self._texts_of(called)
        return None if texts is None else self.key(*texts)

    def _texts_of(self, called: ToolCalled) -> tuple[str, str] | None:
        """Name and arguments of a recorded call; None if either was erased."""
        name = called.tool if called.tool != UNKNOWN_TOOL else self._open(called.name)
        arguments = self._open(called.arguments)
        return None if name is None or arguments is None else (name, arguments)

    def key(self, tool: str, arguments: str) -> bytes:
        """Return the identity of a call: the tool and its arguments, without the ignored ones."""
        try:
            given = json.loads(arguments)
            ignored = set(self._ignores(tool)) if isinstance(given, dict) else set()
            kept = {name: given[name] for name in given if name not in ignored} if ignored else given
            text = signature_key(tool, kept)
        except (ValueError, RecursionError, NotCanonical):  # text that is no JSON is compared as it is
            text = f"{tool} {arguments}"
        return sha256(text.encode("utf-8", "surrogatepass")).digest()


def tape_of(log: EventLog, session_id: str, open_: Open, ignores: Ignores) -> Tape | None:
    """The tape of a session; None if it is no fork."""
    first = log.first(session_id)
    if first is None or not isinstance(first.data, SessionForked):
        return None
    return Tape(log, session_id, first.data, open_, ignores)


def _calls(log: EventLog, reader: _Reader, upto: int | None = None) -> Iterator[Recorded]:
    """The rows of a session that its reader has not read yet."""
    for row in read_session(log, reader.session_id, reader.seen, upto):
        reader.seen = row.version
        yield row
