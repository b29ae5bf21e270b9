"""Check stored snapshots: each is compared with a fold from the one on which it is based.

The first of a chain is compared with a fold from zero, so by induction all are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clawvm_es.errors import JournalError
from clawvm_es.journal.lineage import lineage
from clawvm_es.journal.ports import EventLog, SnapshotRow, SnapshotStore, snapshots_of
from clawvm_es.journal.problems import DAMAGE, Problem
from clawvm_es.journal.snapshots.parts import HEAD_FIELDS, MADE_BY, OPENING, PARTS
from clawvm_es.journal.snapshots.reader import Reader
from clawvm_es.journal.snapshots.restore import empty, restore
from clawvm_es.journal.snapshots.seal import Damaged
from clawvm_es.journal.snapshots.sources import Base
from clawvm_es.journal.snapshots.take import advance, changes, give_up


def snapshot_problems(log: EventLog) -> Iterator[Problem]:
    """Yield stored snapshots that differ from a fold from zero.

    None at all, and those that another version of this program made, are no problem.
    """
    store = snapshots_of(log)
    if store is None:
        return
    known: dict[int, SnapshotRow] = {}
    try:
        for row in store.rows():
            known[row.snapshot_id] = row
            if row.made_by == MADE_BY and (wrong := _wrong(log, store, row, known)):
                yield Problem("snapshot", f"session {row.session_id} version {row.version}", wrong)
    except (JournalError, *DAMAGE) as error:
        yield Problem("snapshot", "snapshots", f"cannot be read: {error}")


def _wrong(log: EventLog, store: SnapshotStore, row: SnapshotRow, known: dict[int, SnapshotRow]) -> str:
    """Describe the first fault of one snapshot; empty if there is none."""
    reader = Reader(store, lineage(log, row.session_id, row.version))
    below = None if row.base is None else known.get(row.base)
    if row.base is not None and below is None:
        return f"it rests on snapshot {row.base}, which is missing"
    try:
        state, base = empty(reader, give_up) if below is None else restore(reader, below, give_up)
        stored, its = restore(reader, row, give_up)
        advance(reader, state, row.version)
        for name in (*HEAD_FIELDS, "opened", "profile"):
            if getattr(state, name) != getattr(stored, name):
                return f"{name} is {getattr(stored, name)!r}, a fold gives {getattr(state, name)!r}"
        return _wrong_part(state, base, its)
    except Damaged as damage:
        return str(damage)
    except DAMAGE as error:  # an event that verify names was changed, so that it cannot be folded
        return f"a fold of its events fails: {error!r}"


def _wrong_part(state: Any, base: Base, its: Base) -> str:
    """The first tree that is not the one below with the changes of the fold laid over it."""
    for number, leaves in changes(state, base).items():
        name = "opening" if number == OPENING else PARTS[number].name
        was, now = base.trees[number].pointers(), its.trees[number].pointers()
        if number != OPENING and its.counts[number] != len(getattr(state, name)):
            return f"{name} has {its.counts[number]} entries, a fold gives {len(getattr(state, name))}"
        for leaf, content in leaves.items():
            if its.trees[number].leaf(leaf) != content:
                return f"{name} differs in leaf {leaf}"
        if {k: v for k, v in was.items() if k not in leaves} != {k: v for k, v in now.items() if k not in leaves}:
            return f"{name} leads to other nodes than the snapshot it rests on"
    return ""
