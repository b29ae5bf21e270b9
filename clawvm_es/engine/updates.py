"""Updates of the durable store at the edge: schema, keys, validators, and present values."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from msgspec.structs import replace

from clawvm_es.core.state import State, Update
from clawvm_es.core.writeback import OVERWRITES
from clawvm_es.engine.given import shown
from clawvm_es.engine.scopes import SESSION
from clawvm_es.engine.shell import Shell
from clawvm_es.engine.store import Asked, FieldSchema, Judge, Judged, Validator, fold_values, overwritten, value_bytes
from clawvm_es.errors import UsageError
from clawvm_es.journal.lineage import event_at
from clawvm_es.limits import VALUE_BYTES_MAX
from clawvm_es.model import events as e
from clawvm_es.model.facts import Evidence, Op, SchemaVerdict, UpdateFacts, Verdict
from clawvm_es.model.pages import FULL, Scope
from clawvm_es.observe.edge import decode, encode

UNDECLARED = "undeclared"
"""Name in an event of a field that nobody declared."""


class Updates:
    """Finds the facts of updates for one session, by its harness's declarations.

    `writers` maps `session` and `project` to the principals that may write there; a scope that is not named accepts
    every principal. `validator_s` bounds the seconds that all validators of one update take together.
    """

    def __init__(
        self,
        shell: Shell,
        fields: Mapping[str, FieldSchema],
        validators: Mapping[str, Validator | Judge],
        writers: Mapping[str, Sequence[str]],
        validator_s: float = 1.0,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._shell = shell
        self._clock = clock
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
        state: State,
        field: str,
        op: Op,
        value: Any,
        *,
        scope: Scope,
        evidence: Evidence,
        base_version: int | None,
        principal: str,
        replaces: tuple[str, ...] = (),
    ) -> UpdateFacts:
        """The facts of a new update."""
        body = value_bytes(value)
        value = json.loads(body)  # as it will be read back: keys are strings, tuples are lists
        known, name = self._declared(state, field, scope)
        facts = UpdateFacts(
            field=known,
            field_name=name,
            replaces=replaces,
            op=op,
            value=self._shell.edge.text(body.decode()),
            size_bytes=len(body),
            evidence=evidence,
            scope=self.scope_id(scope),
            allowed=self._allowed(scope, principal),
            base_version=base_version,
        )
        return self._judged(state, facts, field, value)

    def _declared(self, state: State, field: str, scope: Scope) -> tuple[str, str | None]:
        """The name of a field in events, and the commitment to its own name where a pattern declares it."""
        if field in self._fields:
            return field, None
        pattern = self._pattern(field)
        if pattern is None:
            return UNDECLARED, None
        if scope is not Scope.SESSION:
            raise UsageError(
                f"field {field!r} is one of {pattern!r}, which belong to a session's own store",
                hint="declare a field of a shared store by its whole name",
            )
        name = self._shell.edge.text(field)
        known = _of_patterns(state)
        return known.get(name) or f"{pattern}{_ORDINAL}{len(known) + 1}", name

    def _pattern(self, field: str) -> str | None:
        """The longest declared pattern that matches a field's name; None if there is none."""
        fits = (each for each in self._fields if "*" in each and fnmatchcase(field, each))
        return max(fits, key=len, default=None)

    def field(self, state: State, name: str) -> str:
        """The name of a field in events."""
        commitment = self._shell.vault.known(encode(self._shell.edge.clean(name)))
        return _of_patterns(state).get(commitment or "", name)

    def page(self, state: State, page_id: str) -> UpdateFacts:
        """The facts of writing a dirty page back: a field of the session's own store, named by the page's id."""
        page = state.pages[page_id]
        value = page.bodies[FULL] or ""
        text = self._shell.edge.open(value) or ""
        size = len(encode(text))
        return UpdateFacts(
            field=page_id,
            op=Op.SET_WITH_VERSION,
            value=value,
            size_bytes=size,
            evidence=Evidence(page_id=page_id),
            verdict=SchemaVerdict.OK if size <= VALUE_BYTES_MAX else SchemaVerdict.TOO_LARGE,
            allowed=self._allowed(Scope.SESSION, page.author),
            base_version=state.store.get((SESSION, page_id), 0),
            validators=self._verdicts(page.page_type, text, lambda: Asked(page.page_type, text)),
        )

    def renewed(self, state: State, update: Update) -> UpdateFacts:
        """The facts of a pending update, recomputed against the values committed now and pending before it."""
        facts = update.facts
        value = json.loads(self._shell.vault.open(facts.value) or b"null")
        name = self._shell.edge.open(facts.field_name) or facts.field
        return self._judged(state, facts, name, value, below=update.update)

    def value(self, state: State, scope: str, field: str) -> Any:
        """Return the value that a field's committed changes add up to, as this session knows them; None if never set.

        A field named by a page's id holds the text of that page.
        """
        return fold_values(self._committed(state, scope, self.field(state, field)))

    def store(self, state: State, scope: str) -> dict[str, Any]:
        """Field → its committed value, of all fields of a scope that have one, by name."""
        names = field_names(state, self._shell.edge.open)
        fields = [field for owner, field in state.store if owner == scope]
        values = {names.get(field) or field: fold_values(self._committed(state, scope, field)) for field in fields}
        return {field: values[field] for field in sorted(values) if values[field] is not None}

    def _committed(self, state: State, scope: str, field: str) -> list[tuple[Op, bytes | None]]:
        if scope != SESSION:
            vault = self._shell.log.vault(scope)
            seen = state.scopes.get(scope, 0)
            rows = (row.data for row in self._shell.log.read(scope, upto=seen))
            shared = (data for data in rows if isinstance(data, e.ScopeChanged) and data.field == field)
            return [(data.op, vault.open(data.value)) for data in shared]
        found = [u for u in state.updates.values() if u.field_version and _is_of(u, SESSION, field)]
        found.sort(key=lambda update: update.field_version)
        return [(update.facts.op, self._body(update)) for update in found]

    def _body(self, update: Update) -> bytes | None:
        """The value of an update as JSON; for a page that was written back, its text."""
        body = self._shell.vault.open(update.facts.value)
        return body if update.page_id is None or body is None else value_bytes(decode(body))

    def _expected(self, state: State, scope: str, field: str, below: int | None) -> Any:
        """Return the value that a field will have once all pending updates (below a number) are committed."""
        pending = [state.updates[number] for number in state.pending if below is None or number < below]
        ahead = [(u.facts.op, self._body(u)) for u in pending if _is_of(u, scope, field)]
        return fold_values([*self._committed(state, scope, field), *ahead])

    def _allowed(self, scope: Scope, principal: str) -> bool:
        writers = self._writers.get(scope)
        return writers is None or principal in writers

    def _judged(
        self, state: State, facts: UpdateFacts, field: str, value: Any, below: int | None = None
    ) -> UpdateFacts:
        schema = self._fields.get(field) or self._fields.get(self._pattern(field) or "")
        verdict = SchemaVerdict.UNKNOWN_FIELD
        if schema is not None:
            verdict = schema.verdict(facts.op, value, facts.size_bytes)
        added, changed = 0, 0
        if facts.op not in OVERWRITES:
            added, changed = overwritten(facts.op, self._expected(state, facts.scope, facts.field, below), value)
        return replace(
            facts,
            verdict=verdict,
            keys_added=added,
            keys_changed=changed,
            scope_version=state.scopes.get(facts.scope, 0),
            validators=self._verdicts(field, value, lambda: self._asked(state, facts, field, value)),
        )

    def _asked(self, state: State, facts: UpdateFacts, field: str, value: Any) -> Asked:
        """The update, as a judge sees it."""
        evidence, at_us = facts.evidence, 0
        page = state.pages.get(evidence.page_id or "")
        version = page.written_version if page is not None else evidence.version
        text = self._shell.edge.open(page.bodies[FULL]) if page is not None and page.bodies[FULL] else ""
        if version:
            row = event_at(self._shell.log, self._shell.session_id, version)
            at_us = row.at_us
            if isinstance(row.data, e.RecallAnswered):
                text = self._shell.edge.open(row.data.query)
        age_s = max(0, self._clock() - at_us) // 1_000_000 if at_us else 0
        return Asked(field, value, text or "", age_s, self.store(state, facts.scope))

    def _verdicts(self, field: str, value: Any, asked: Callable[[], Asked]) -> tuple[Verdict, ...]:
        """Return the validators' verdicts; one that raises or exceeds the time refuses, with its reason.

        The factors that a judge weighed are facts of their own: `judge.factor=number`. Validators run concurrently in
        daemon threads, so that one that hangs blocks neither the session nor the end of the process.
        """
        said: dict[str, bool | str | Judged] = {}
        judges = [name for name, each in self._validators.items() if hasattr(each, "judge")]
        told = asked() if judges else Asked(field, value)

        def ask(name: str, validator: Validator | Judge) -> None:
            try:
                found = validator.judge(told) if name in judges else validator(field, value)  # type: ignore[union-attr,operator]
                said[name] = found if isinstance(found, Judged) else bool(found)
            except BaseException as error:  # the caller's code: whatever it raises is a "no", and is recorded
                said[name] = f"{type(error).__name__}: {error}"

        names = sorted(self._validators)
        threads = [threading.Thread(target=ask, args=(n, self._validators[n]), daemon=True) for n in names]
        for thread in threads:
            thread.start()
        until = time.monotonic() + self._validator_s
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        late = f"TimeoutError: no answer within {self._validator_s:g} s"
        return tuple(each for name in names for each in self._told(name, said.get(name, late)))

    def _told(self, name: str, said: bool | str | Judged) -> Iterator[Verdict]:
        """Return a validator's answer, or why it gave none; then the factors that it weighed."""
        if isinstance(said, bool):
            yield Verdict(name, said)
        elif isinstance(said, str):
            yield Verdict(name, False, self._shell.edge.text(said))
        else:
            refused = self._shell.edge.text(said.said) if said.said and not said.agrees else None
            yield Verdict(name, said.agrees, refused)
            yield from (Verdict(f"{name}.{factor}={value}", True) for factor, value in said.factors.items())


_ORDINAL: Final = "#"
"""Between a pattern and the ordinal of one of its fields."""


def field_names(state: State, open_: Callable[[str], str | None]) -> dict[str, str]:
    """Name in events → own name, for fields that match a pattern and whose name was not erased."""
    found = ((known, open_(name)) for name, known in _of_patterns(state).items())
    return {known: name for known, name in found if name is not None}


def _of_patterns(state: State) -> dict[str, str]:
    """Commitment to the name of a pattern's field → its name in events, in order of first occurrence."""
    found: dict[str, str] = {}
    for update in state.updates.values():
        if update.facts.field_name is not None:
            found.setdefault(update.facts.field_name, update.facts.field)
    return found


def _is_of(update: Update, scope: str, field: str) -> bool:
    return update.facts.scope == scope and update.facts.field == field


def as_evidence(given: Evidence | str | int | None) -> Evidence:
    """Evidence from a page id, an event version, or nothing."""
    if isinstance(given, Evidence):
        return given
    if isinstance(given, str):
        return Evidence(page_id=given)
    if given is not None and (not isinstance(given, int) or isinstance(given, bool)):
        raise UsageError(f"evidence: expected a page id, an event's version or an Evidence, got {shown(given)}")
    return Evidence(version=given)
