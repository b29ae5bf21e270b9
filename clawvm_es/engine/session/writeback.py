"""The durable store: updates are staged, and committed at a boundary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from clawvm_es.core.state import State
from clawvm_es.core.writeback import check
from clawvm_es.engine import given, reports
from clawvm_es.engine.hooks import Report, StageResult
from clawvm_es.engine.session.handle import MODEL, Handle, first_of, next_page_id
from clawvm_es.engine.updates import as_evidence
from clawvm_es.errors import UsageError
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Boundary, Evidence, Op, RetireReason, UpdateFacts
from clawvm_es.model.pages import Author, Origin, OriginKind, PageType, Scope


class Writeback(Handle):
    """The hooks that stage updates, and those of boundaries."""

    def stage(
        self,
        field: str,
        op: Op | str,
        value: Any,
        *,
        scope: Scope | str = Scope.SESSION,
        evidence: Evidence | str | int | None = None,
        base_version: int | None = None,
        replaces: Iterable[str] = (),
        principal: str = MODEL,
        key: str | None = None,
    ) -> StageResult:
        """Propose a change of the durable store; it is committed at the next commit point if it passes.

        `append` adds an item to a list, `merge` adds keys to an object; neither needs a version. `set_with_version`,
        `delete` (value None) and `replace` need the field's committed version as `base_version` (0: never set).
        `replace` sets the field to a text in place of the pages `replaces`: if it passes, the text becomes a page and
        those pages are retired.

        `evidence` is a page id, an event version, or an `Evidence`. A refused update stays in the log with its
        reason; stage it again once the reason is gone.
        """
        given.text("field", field), given.text("principal", principal), given.key(key)
        how, where = given.choice("op", Op, op), given.choice("scope", Scope, scope)
        instead = given.ids("replaces", replaces)
        if how is Op.REPLACE:
            given.text("value", value)
        if (how is Op.REPLACE) != bool(instead):
            raise UsageError(
                f"replaces: expected the pages of a 'replace', and none else, got {len(instead)} for {how}"
            )
        if how is Op.DELETE and value is not None:
            raise UsageError(f"value: expected None for op 'delete', got {given.shown(value)}")
        rests_on = as_evidence(instead[0] if instead and evidence is None else evidence)
        base = None if base_version is None else given.integer("base_version", base_version, 0)

        def build(state: State) -> Sequence[Command]:
            facts = self._updates.facts(
                state,
                field,
                how,
                value,
                scope=where,
                evidence=rests_on,
                base_version=base,
                principal=principal,
                replaces=instead,
            )
            at = self._clock()
            staged = Command(e.UpdateStaged(len(state.updates) + 1, facts), at, principal, key)
            rest = self._replacing(state, facts, value, key) if instead else []
            keys = [key and f"{key}:{place}" for place in range(len(rest))]
            return (staged, *(Command(data, at, principal, own) for data, own in zip(rest, keys, strict=True)))

        with self._shell.lock:
            found = self._run(build).events
            number = first_of(found, e.UpdateStaged).update
            rejected = next((event for event in found if isinstance(event, e.UpdateRejected)), None)
            said = reports.objections(self.state.updates[number], self._shell.edge.open)
            return StageResult(number, str(rejected.reason) if rejected else None, said)

    def _replacing(self, state: State, facts: UpdateFacts, text: str, key: str | None) -> list[e.Input]:
        """The page of a text that replaces others, and their retirement; nothing if the update is refused."""
        if check(state, facts) is not None:
            return []
        dirty = [page_id for page_id in facts.replaces if page_id in state.dirty]
        if dirty and self._is_new(key):
            raise UsageError(f"page {dirty[0]} is not written back yet", hint="save() first, then replace it")
        edge, origin = self._shell.edge, Origin(OriginKind.RECORD)
        source = f"stands for {', '.join(facts.replaces)}"
        written = edge.page(
            next_page_id(state), PageType.EVIDENCE, text, author=Author.MODEL, origin=origin, source=source
        ).event
        retired = (e.PageRetired(page_id, RetireReason.REPLACED) for page_id in facts.replaces)
        return [replace(written, replaces=facts.replaces), *retired]

    def compact(self, *, key: str | None = None) -> Report:
        """Record that the harness compacts: write back, then lower pages to their floors."""
        return self._boundary(Boundary.COMPACT, key=key)

    def reset(self, *, key: str | None = None) -> Report:
        """Record that the harness resets the context: write back, then lower pages to their floors."""
        return self._boundary(Boundary.RESET, key=key)

    def prune(self, page_ids: Iterable[str] = (), *, key: str | None = None) -> Report:
        """Record that the harness drops tool results: the named pages, or all evidence if none is named."""
        return self._boundary(Boundary.PRUNE, pages=given.ids("page ids", page_ids), key=key)

    def flush(self, *, key: str | None = None) -> Report:
        """Write back all dirty pages and pending updates."""
        return self._boundary(Boundary.FLUSH, key=key)

    def save(self, *, key: str | None = None) -> Report:
        """Write back all dirty pages and pending updates, and bring the read models up to date."""
        return self._boundary(Boundary.SAVE, key=key)
