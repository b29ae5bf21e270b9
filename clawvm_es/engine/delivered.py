"""Inputs that are delivered again: recognised by their idempotency keys, and compared by content."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from clawvm_es.engine.keys import Keys
from clawvm_es.errors import IdempotencyConflict
from clawvm_es.journal.codec import decode, encode, named_commitments
from clawvm_es.journal.ports import EventLog, NewEvent, Recorded, Vault
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.pages import OriginKind


class Delivered:
    """The inputs of one session by their keys, up to the version that its shell has read."""

    def __init__(self, log: EventLog, session_id: str, vault: Vault, loaded: int) -> None:
        self._log = log
        self._session_id = session_id
        self._vault = vault
        self._loaded = loaded  # the version up to which the log has to be asked for keys
        self._keys = Keys()  # of inputs that the shell decided or found
        self._found: tuple[str | None, tuple[Recorded, ...]] = (None, ())  # what the log held under the last key
        self._absent: str | None = None  # the last key under which it held nothing

    def took(self, key: str | None, version: int) -> None:
        """Note an input and the key under which it came, if any."""
        if key is not None:
            self._keys.put(key, version)

    def result(self, command: Command, fresh: Sequence[NewEvent]) -> tuple[e.Event, ...] | None:
        """Return the first result of a command with a known key; None if the key is new."""
        key = command.idempotency_key
        if key is None or not self.knows(key):
            return None
        found = self._found[1] if self._found[0] == key else self._log.find(self._session_id, key)
        known = tuple(row.data for row in found) or _group(fresh, key)
        if not same_content(self._unerased(known[0], command.data), command.data):
            raise IdempotencyConflict(
                f"session {self._session_id}: key {key!r} was used before, at version {self._keys.get(key)}, "
                f"for other content ({known[0].TYPE})",
                hint="send the same content again, or use another key",
            )
        return known

    def recorded(self, key: str) -> tuple[Recorded, ...]:
        """Rows that the log holds under a key, from any writer."""
        found = self._log.find(self._session_id, key)
        if not found:
            self._absent = key
        return found

    def knows(self, key: str | None) -> bool:
        """Tell whether an input was recorded under `key`, up to the version that the shell has read.

        An input that another writer recorded later is left to the append, which finds the conflict.
        """
        if key is None or self._keys.get(key) is not None:
            return key is not None
        recorded = self._log.find(self._session_id, key) if self._loaded and key != self._absent else ()
        if recorded:
            self._found = (key, recorded)
        if recorded and recorded[0].version <= self._loaded:
            self._keys.put(key, recorded[0].version)
            return True
        return False

    def _unerased(self, recorded: e.Event, sent: e.Input) -> e.Event:
        """A recorded input whose erased bodies are replaced by the commitments sent now.

        So importing a file again after an erasure is no conflict, and does not bring the text back.
        """
        if recorded == sent or recorded.TYPE != sent.TYPE:
            return recorded
        raw = encode(recorded)
        names = zip(named_commitments(raw), named_commitments(encode(sent)), strict=False)
        for old, new in names:
            if old != new and self._vault.open(old) is None:
                raw = raw.replace(old.encode(), new.encode())
        return decode(recorded.TYPE, recorded.SCHEMA_VERSION, raw)


def _group(fresh: Sequence[NewEvent], key: str) -> tuple[e.Event, ...]:
    """The input under `key` among events that are about to be appended, and its decisions."""
    start = next(place for place, new in enumerate(fresh) if new.idempotency_key == key)
    rest = takewhile(lambda new: new.data.TYPE in _DECISION_TYPES, fresh[start + 1 :])
    return (fresh[start].data, *(new.data for new in rest))


_DECISION_TYPES = frozenset(name for name, kind in e.KINDS.items() if kind == "decision")


def same_content(recorded: e.Event, sent: e.Input) -> bool:
    """Tell whether two inputs have the same content, ignoring minted ids, ordinals, and facts that the edge adds."""
    content = _CONTENT.get(type(sent))
    if content is None or type(recorded) is not type(sent):
        return recorded == sent
    return content(recorded) == content(sent)


def _page_content(page: e.PageWritten) -> tuple[object, ...]:
    named = page.source if page.origin.kind is not OriginKind.TOOL_CALL else None  # else after its call
    return page.page_type, page.author, page.scope, page.active, named, page.levels[0].body


def _update_content(staged: e.UpdateStaged) -> tuple[object, ...]:
    facts = staged.facts
    return facts.field, facts.op, facts.value, facts.scope, facts.evidence, facts.base_version, facts.replaces


_CONTENT: Final[Mapping[type[e.Event], Callable[[Any], tuple[object, ...]]]] = {
    e.PageWritten: _page_content,
    e.ToolCalled: lambda called: (called.tool, called.name, called.arguments),
    e.ToolReturned: lambda ended: (ended.call, ended.status, ended.size_bytes, ended.result, ended.validator),
    e.ModelResponded: lambda said: (said.needs, said.input_tokens, said.cached_tokens, said.output_tokens),
    e.TurnBegan: lambda turn: (turn.hints, turn.fixed_tokens),
    e.BoundaryReached: lambda reached: (reached.boundary, reached.trigger, reached.pages),
    e.UpdateStaged: _update_content,
    e.RecallAnswered: lambda answer: (answer.outcome, answer.query, len(answer.pages), answer.needs),
}
"""Input class → what its sender said; inputs of other classes are compared whole."""
