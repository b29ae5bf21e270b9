"""Shared scopes (§3): a session learns of others' commits, and publishes its own, inside one transaction.

LAW-SCOPE-1: of concurrent sessions that write one field, exactly one wins per version; the others are rejected
with a reason, and nothing that anyone wrote is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from clawvm_es.core.state import State, Update
from clawvm_es.engine.shell import Shell
from clawvm_es.journal.protocol import Durability, NewEvent, Transaction
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import ScopeChange, UpdateFacts

Renew = Callable[[State, UpdateFacts], UpdateFacts]
"""Works out the facts of an update again, against a newer version of its scope."""


def execute_in_scope(shell: Shell, scope: str, command: Command, renew: Renew) -> tuple[e.Event, ...]:
    """Sync with `scope`, decide `command`, and append both streams in one transaction.

    For boundaries, pending updates of the scope get their facts anew first, and what is committed is appended
    to the scope's own stream.
    """
    with shell.lock:
        try:
            with shell.log.transaction(Durability.FULL) as transaction:
                return _run(shell, transaction, scope, command, renew)
        except BaseException:
            shell.refresh()
            raise


def _run(shell: Shell, transaction: Transaction, scope: str, command: Command, renew: Renew) -> tuple[e.Event, ...]:
    state = shell.caught_up(transaction)
    before = state.version
    fresh: list[NewEvent] = []
    sync = synced(shell, transaction, scope)
    if sync is not None:
        fresh.extend(shell.decide(Command(sync, command.at_us, command.principal)))
    if isinstance(command.data, e.BoundaryReached):
        again = tuple(_renewed(state, scope, renew))
        command = attrs.evolve(command, data=attrs.evolve(command.data, restaged=again))
    decided = shell.decide(command)
    fresh.extend(decided)
    shell.append_in(transaction, fresh, before)
    _publish(shell, transaction, scope, before, state)
    return tuple(new.data for new in decided)


def sync_scope(shell: Shell, scope: str, at_us: int) -> None:
    """Learn of what others committed to `scope`, in a transaction of its own."""
    with shell.lock:
        try:
            with shell.log.transaction() as transaction:
                before = shell.caught_up(transaction).version
                sync = synced(shell, transaction, scope)
                if sync is not None:
                    shell.append_in(transaction, shell.decide(Command(sync, at_us)), before)
        except BaseException:
            shell.refresh()
            raise


def synced(shell: Shell, transaction: Transaction, scope: str) -> e.ScopeSynced | None:
    """What others changed since this session last looked; None if nothing."""
    seen = shell.state.scopes.get(scope, 0)
    theirs = shell.log.vault(scope)
    changes = []
    for row in transaction.read(scope, after=seen):
        if isinstance(row.data, e.ScopeChanged):
            body = theirs.open(row.data.value)
            value = shell.vault.commit(body) if body is not None else row.data.value
            changes.append(ScopeChange(row.data.field, row.data.op, row.data.scope_version, value))
    if not changes:
        return None
    return e.ScopeSynced(scope, seen, changes[-1].scope_version, tuple(changes))


def _renewed(state: State, scope: str, renew: Renew) -> Sequence[e.UpdateStaged]:
    """Pending updates of the scope whose facts were worked out against an older version of it."""
    stale: list[Update] = [
        update
        for update in (state.updates[number] for number in state.pending)
        if update.facts.scope == scope and update.facts.scope_version < state.scopes[scope]
    ]
    return [e.UpdateStaged(update.update, renew(state, update.facts)) for update in stale]


def _publish(shell: Shell, transaction: Transaction, scope: str, before: int, state: State) -> None:
    """Append what this commit point committed to the scope's own stream."""
    vault = shell.log.vault(scope)
    head = transaction.head(scope)
    version = head.version if head else 0
    for row in transaction.read(shell.session_id, after=before):
        if not isinstance(row.data, e.UpdateCommitted) or row.data.scope != scope:
            continue
        facts = state.updates[row.data.update].facts
        changed = e.ScopeChanged(
            field=row.data.field,
            op=row.data.op,
            scope_version=version + 1,
            base_version=version,
            value=vault.commit(shell.vault.open(facts.value) or b"null"),
            session_id=shell.session_id,
            version=row.version,
            hash=row.hash.hex(),
        )
        new = NewEvent(changed, 0, row.at_us, row.principal)
        transaction.append(scope, [new], version)
        version += 1
