"""Accept today's decisions: rewrite a recorded session with the decisions that today's code takes.

LAW-ACCEPT-1: the inputs stay unchanged, and re-deciding the result with the same code gives no difference.

If today's code takes more or fewer decisions, later versions move. Inputs that name an event by its version
(evidence, a served result, the place of a fork) follow it. An input that names a decision no longer taken is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import Any, cast

import attrs
import msgspec
from msgspec.structs import replace

from clawvm_es.core.decide import decide
from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.errors import ClawVMError, NondeterminismError
from clawvm_es.history.redecide import groups
from clawvm_es.journal.chain import GENESIS, row_hash
from clawvm_es.journal.codec import encode
from clawvm_es.journal.ports import Recorded
from clawvm_es.model.commands import Command
from clawvm_es.model.events import Event, Input, SessionForked, ToolCalled
from clawvm_es.model.facts import Evidence


@attrs.frozen
class Accepted:
    """The session as decided today, and the number of decisions that differ, are new or are gone."""

    rows: tuple[Recorded, ...] = attrs.field(repr=False)
    changed: int


@attrs.define
class _Rewriting:
    """Progress of rewriting: the state, the end of the chain, and the new version of each recorded event."""

    state: State = attrs.field(factory=State)
    rows: list[Recorded] = attrs.field(factory=list)
    moved: dict[int, int] = attrs.field(factory=dict)
    hash: bytes = GENESIS
    changed: int = 0

    def put(self, row: Recorded, data: Event, cause: int | None) -> None:
        """Write one event at the next version; stored bytes are kept if they mean the same."""
        raw, schema_version = row.raw, row.schema_version
        if data != row.data:
            raw, schema_version = encode(data), data.SCHEMA_VERSION
        new = row._replace(
            seq=0,
            version=len(self.rows) + 1,
            turn=self.state.turn,
            type=data.TYPE,
            schema_version=schema_version,
            cause=cause,
            raw=raw,
            prev_hash=self.hash,
            data=data,
        )
        self.hash = row_hash(new)
        self.rows.append(new._replace(hash=self.hash))


def accept(recorded: Iterable[Recorded]) -> Accepted:
    """Decide all inputs of a session again; `recorded` as for `redecide`.

    Raises `NondeterminismError` for an input that today's code refuses, or that names a decision no longer taken.
    """
    into = _Rewriting()
    for group, forked in groups(recorded):
        _take(into, group[0], group[1:], forked)
    return Accepted(tuple(into.rows), into.changed)


def _take(into: _Rewriting, given: Recorded, recorded: list[Recorded], forked: bool) -> None:
    """One input and today's decisions on it; before a fork, only as many decisions as the fork kept."""
    data = _followed(into, given, given.data)
    try:
        decisions = decide(into.state, Command(cast(Input, data), given.at_us))[1:]
    except ClawVMError as error:
        raise NondeterminismError(f"{_name(given)}: refused today: {error.message}", hint=error.hint) from error
    if forked:
        decisions = decisions[: len(recorded)]
    cause = given.cause and into.moved.get(given.cause)
    apply(into.state, data)
    into.put(given, data, cause)
    at = into.moved[given.version] = len(into.rows)
    stamp = given._replace(kind="decision", idempotency_key=None)
    places: dict[str, list[int]] = {}
    for row, decision in zip_longest(recorded, decisions):
        into.changed += row is None or row.data != decision
        if decision is not None:
            apply(into.state, decision)
            into.put(row or stamp, decision, at)
            places.setdefault(decision.TYPE, []).append(len(into.rows))
    for row in recorded:  # the first of a type stands where the first of that type stands now, and so on
        if places.get(row.type):
            into.moved[row.version] = places[row.type].pop(0)


def _name(row: Recorded) -> str:
    return f"session {row.session_id} version {row.version} ({row.type})"


def _followed(into: _Rewriting, given: Recorded, value: Any) -> Any:
    """A value of an input in which every event version is replaced by that event's new version."""
    if isinstance(value, tuple):
        return tuple(_followed(into, given, item) for item in value)
    if not isinstance(value, msgspec.Struct):
        return value
    changes = {name: _followed(into, given, getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, SessionForked):
        changes |= {"parent_version": len(into.rows), "parent_hash": into.hash.hex()}
    elif isinstance(value, Evidence) and value.version is not None:
        changes["version"] = _moved(into, given, value.version)
    elif isinstance(value, ToolCalled) and value.served_from is not None and value.served_by is None:
        changes["served_from"] = _moved(into, given, value.served_from)
    return replace(value, **changes)


def _moved(into: _Rewriting, given: Recorded, version: int) -> int:
    """Return the new version of an event; a version beyond the past keeps its distance from the end."""
    if not 1 <= version < given.version:
        return version + len(into.rows) + 1 - given.version
    if version not in into.moved:
        raise NondeterminismError(
            f"{_name(given)}: rests on event {version}, which is a decision that is not taken today",
            hint="record the session again",
        )
    return into.moved[version]
