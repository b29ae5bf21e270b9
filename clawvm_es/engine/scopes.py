"""Shared scopes: a session learns the commits of others, and publishes its own.

LAW-SCOPE-1: if several sessions write one field concurrently, exactly one wins each version; the others are rejected
with a reason, and no update is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from clawvm_es.core.state import State, Update
from clawvm_es.journal.ports import NewEvent, Transaction, Vault
from clawvm_es.model import events as e
from clawvm_es.model.facts import ScopeChange, UpdateFacts

SESSION: Final = "session"
"""The scope of a session's own durable store."""


def learned(transaction: Transaction, theirs: Vault, ours: Vault, scope: str, seen: int) -> e.ScopeSynced | None:
    """Return the changes of others in `scope` since its version `seen`; None if there are none."""
    changes = []
    last = seen
    for row in transaction.read(scope, after=seen):
        last = row.version
        if isinstance(row.data, e.ScopeChanged):
            body = theirs.open(row.data.value)
            value = ours.commit(body) if body is not None else row.data.value
            changes.append(ScopeChange(row.data.field, row.data.op, row.data.scope_version, value))
    return None if last == seen else e.ScopeSynced(scope, seen, last, tuple(changes))


def renewed(state: State, scope: str, renew: Callable[[State, Update], UpdateFacts]) -> tuple[e.UpdateStaged, ...]:
    """New facts for the pending updates of `scope` that were staged against an older version of the scope."""
    pending = (state.updates[number] for number in state.pending)
    return tuple(
        e.UpdateStaged(update.update, renew(state, update))
        for update in pending
        if update.facts.scope == scope and update.facts.scope_version < state.scopes[scope]
    )


def publish(
    transaction: Transaction, theirs: Vault, ours: Vault, scope: str, state: State, session_id: str, before: int
) -> None:
    """Append what the session committed after its version `before` to the scope's own stream."""
    head = transaction.head(scope)
    version = head.version if head else 0
    for row in tuple(transaction.read(session_id, after=before)):
        if not isinstance(row.data, e.UpdateCommitted) or row.data.scope != scope:
            continue
        facts = state.updates[row.data.update].facts
        changed = e.ScopeChanged(
            field=row.data.field,
            op=row.data.op,
            scope_version=version + 1,
            base_version=version,
            value=theirs.commit(ours.open(facts.value) or b"null"),
            session_id=session_id,
            version=row.version,
            hash=row.hash.hex(),
        )
        transaction.append(scope, [NewEvent(changed, 0, row.at_us, row.principal)], version)
        version += 1
