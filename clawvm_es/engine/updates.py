"""Updates of the durable store at the edge: schema, keys, validators, and what the store holds now."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs

from clawvm_es.core.state import State
from clawvm_es.engine.shell import SESSION, Shell
from clawvm_es.engine.store import FieldSchema, Validator, fold_values, merge_facts, value_bytes
from clawvm_es.errors import UsageError
from clawvm_es.model import events as e
from clawvm_es.model.facts import Evidence, Op, SchemaVerdict, UpdateFacts, Verdict
from clawvm_es.model.pages import Scope

UNDECLARED = "undeclared"
"""What stands in an event for the name of a field that nobody declared."""


class Updates:
    """Finds out the facts of updates for one session, under what its harness declared.

    `writers` maps `session` and `project` to the principals that may write there; a scope that is not named
    takes all. `validator_s` are the seconds that one validator may take; a slower one does not agree.
    """

    def __init__(
        self,
        shell: Shell,
        fields: Mapping[str, FieldSchema],
        validators: Mapping[str, Validator],
        writers: Mapping[str, Sequence[str]],
        validator_s: float = 1.0,
    ) -> None:
        self._shell = shell
        self._fields = fields
        self._validators = validators
        self._writers = writers
        self._validator_s = validator_s

    def scope_id(self, scope: Scope) -> str:
        """The scope's name in events: `session`, or the stream of the session's project."""
        if scope is Scope.SESSION:
            return SESSION
        opened = self._shell.state.opened
        if opened is None or opened.project is None:
            raise UsageError(f"session {self._shell.session_id} belongs to no project", hint="open it with project=")
        return opened.project

    def facts(
        self,
        field: str,
        op: Op,
        value: Any,
        *,
        scope: Scope,
        evidence: Evidence,
        base_version: int | None,
        principal: str,
    ) -> UpdateFacts:
        """The facts of a new update."""
        body = value_bytes(value)
        writers = self._writers.get(scope)
        facts = UpdateFacts(
            field=field if field in self._fields else UNDECLARED,
            op=op,
            value=self._shell.vault.commit(body),
            size_bytes=len(body),
            evidence=evidence,
            scope=self.scope_id(scope),
            allowed=writers is None or principal in writers,
            base_version=base_version,
        )
        return self._judged(self._shell.state, facts, field, value)

    def renewed(self, state: State, facts: UpdateFacts) -> UpdateFacts:
        """The facts of a pending update, worked out again against what is committed now."""
        value = json.loads(self._shell.vault.open(facts.value) or b"null")
        return self._judged(state, facts, facts.field, value)

    def value(self, state: State, scope: str, field: str) -> Any:
        """What the committed changes of a field add up to; None if it was never set."""
        if scope != SESSION:
            vault = self._shell.log.vault(scope)
            rows = (row.data for row in self._shell.log.read(scope))
            shared = (data for data in rows if isinstance(data, e.ScopeChanged) and data.field == field)
            return fold_values((data.op, vault.open(data.value)) for data in shared)
        found = [
            update
            for update in state.updates.values()
            if update.field_version and update.facts.scope == SESSION and update.facts.field == field
        ]
        found.sort(key=lambda update: update.field_version)
        return fold_values((update.facts.op, self._shell.vault.open(update.facts.value)) for update in found)

    def _judged(self, state: State, facts: UpdateFacts, field: str, value: Any) -> UpdateFacts:
        schema = self._fields.get(field)
        verdict = schema.verdict(value, facts.size_bytes) if schema else SchemaVerdict.UNKNOWN_FIELD
        added, changed = 0, 0
        if facts.op is Op.MERGE:
            if verdict is SchemaVerdict.OK and not isinstance(value, dict):
                verdict = SchemaVerdict.WRONG_TYPE
            added, changed = merge_facts(self.value(state, facts.scope, field), value)
        return attrs.evolve(
            facts,
            verdict=verdict,
            keys_added=added,
            keys_changed=changed,
            scope_version=state.scopes.get(facts.scope, 0),
            validators=self._verdicts(field, value),
        )

    def _verdicts(self, field: str, value: Any) -> tuple[Verdict, ...]:
        """What each registered validator says; one that raises or is too slow does not agree."""
        if not self._validators:
            return ()
        found = []
        pool = ThreadPoolExecutor(max_workers=len(self._validators))
        try:
            asked = {name: pool.submit(ask, field, value) for name, ask in sorted(self._validators.items())}
            for name, future in asked.items():
                try:
                    agrees = bool(future.result(self._validator_s))
                except Exception:  # a validator is the caller's code: whatever it raises is a "no"
                    agrees = False
                found.append(Verdict(name, agrees))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return tuple(found)


def as_evidence(given: Evidence | str | int | None) -> Evidence:
    """Evidence from a page id, an event version, or nothing."""
    if isinstance(given, Evidence):
        return given
    if isinstance(given, str):
        return Evidence(page_id=given)
    return Evidence(version=given)
