"""A session written as a script: the inputs that a harness's edge would record, one after another.

A level costs the `lines4` tokens of its own text (for each line a quarter of its bytes with the newline, rounded up).
The frame around it is not counted, so that pages fit the small budgets of the paper. Needs are found as an edge finds
them: the holders are all pages with a level that contains the text, at exactly those levels. No policy runs here:
pages count as written back at the boundary that stages them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

import attrs

from clawvm_es import limits
from clawvm_es.core.decide import DECIDER_VERSION
from clawvm_es.core.profiles import CLAWVM
from clawvm_es.importers import write_inputs
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import (
    Boundary,
    CloseReason,
    Evidence,
    Holder,
    Need,
    NeedRule,
    OnPressure,
    Op,
    RecallOutcome,
    Resource,
    ResourceClass,
    RetireReason,
    ReturnStatus,
    StagedPage,
    Trigger,
    UpdateFacts,
    Verdict,
)
from clawvm_es.model.pages import PAGE_TYPES, Author, Fidelity, Level, Origin, OriginKind, PageType
from clawvm_es.observe.edge import Ordinals, encode
from clawvm_es.representations.counter import Lines4Counter

BUDGET_TOKENS: Final = 300
"""Budget that a trace records; every run of the evaluation names its own."""
DIRECTORY_TOKENS: Final = 10
"""Reserve for the directory line, small as the pages are."""
BUILDER: Final = "script/1"
"""Builder recorded for the levels of a script."""
SECOND_US: Final = 1_000_000
_COUNTER: Final = Lines4Counter()

Key = tuple[ResourceClass, str]
"""A resource: what kind of thing it is, and its name."""


@attrs.frozen
class Texts:
    """The text of a page at each level; empty texts, and those no shorter than the level above, are dropped."""

    full: str
    compressed: str = ""
    structured: str = ""
    pointer: str = ""


@attrs.define
class Script:
    """Records one session; each method is one event of the story, in order."""

    session_id: str
    turn: int = 0
    inputs: list[Command] = attrs.field(factory=list)
    levels: dict[str, dict[Fidelity, str]] = attrs.field(factory=dict)  # of pages that were not withdrawn
    pages: int = 0
    calls: int = 0
    recalls: int = 0
    updates: int = 0
    dirty: dict[str, None] = attrs.field(factory=dict)
    committed: dict[str, int] = attrs.field(factory=dict)  # page id → versions written back
    verdicts: dict[str, tuple[Verdict, ...]] = attrs.field(factory=dict)  # what validators say of a page's writeback
    signatures: Ordinals = attrs.field(factory=Ordinals)
    resources: Ordinals = attrs.field(factory=Ordinals)
    bodies: dict[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Open the session."""
        self._add(
            e.SessionOpened(
                profile=CLAWVM,
                budget_tokens=BUDGET_TOKENS,
                counter=_COUNTER.name,
                decider_version=DECIDER_VERSION,
                format="clawvm-trace",
                on_pressure=OnPressure.DEGRADE,
                misfits=limits.MISFITS,
                directory_tokens=DIRECTORY_TOKENS,
            )
        )

    def lines(self) -> Iterator[str]:
        """The lines of the trace, each with its newline."""
        return write_inputs(self.session_id, self.inputs, lambda commitment: encode(self.bodies[commitment]))

    def _add(self, data: e.Input, principal: str = "harness") -> None:
        self.inputs.append(Command(data, len(self.inputs) * SECOND_US, principal))

    def _body(self, text: str) -> str:
        """Placeholder of a text until the trace is written."""
        commitment = sha256(encode(text)).hexdigest()
        self.bodies[commitment] = text
        return commitment

    # -------------------------------------------------------------------------------------------- pages

    def page(
        self,
        page_type: PageType,
        texts: Texts,
        author: Author,
        *,
        page_id: str | None = None,
        origin: Origin | None = None,
        source: str = "",
        active: bool = True,
        signature: int | None = None,
    ) -> str:
        """Write a page, a new one or `page_id` anew, and return its id."""
        if page_id is None:
            self.pages += 1
            page_id = f"p{self.pages}"
        line = len(self.inputs) + 1
        self.levels[page_id] = _kept(page_type, texts)
        levels = [
            Level(level, _COUNTER.count(text), self._body(text), BUILDER)
            for level, text in self.levels[page_id].items()
        ]
        self._add(
            e.PageWritten(
                page_id=page_id,
                page_type=page_type,
                author=author,
                origin=origin or Origin(OriginKind.TRANSCRIPT, line, line),
                levels=tuple(levels),
                active=active,
                signature=signature,
                source=self._body(source) if source else None,
            ),
            author,
        )
        self.dirty.pop(page_id, None)
        if PAGE_TYPES[page_type].writeback:
            self.dirty[page_id] = None
        return page_id

    def retire(self, page_id: str, reason: RetireReason = RetireReason.REPLACED) -> None:
        """Take a page out of the working set."""
        del self.levels[page_id]
        self.dirty.pop(page_id, None)
        self._add(e.PageRetired(page_id, reason))

    def says(self, author: Author, text: str) -> str:
        """A message of the conversation."""
        first = text.partition(". ")[0].partition(": ")[0]
        pointer = f"{author}: {first[:32]}"
        return self.page(PageType.CONVERSATION, Texts(text, pointer=pointer), author)

    def need(self, text: str, rule: NeedRule = NeedRule.DATA_FLOW) -> Need:
        """The need of a text; its holders are the pages that contain it now, oldest first."""
        holders = []
        for page_id in sorted(self.levels, key=lambda page_id: int(page_id[1:])):
            held = tuple(level for level, body in self.levels[page_id].items() if text in body)
            if held:
                holders.append(Holder(page_id, held))
        assert holders, f"no page holds {text!r}"
        return Need(tuple(holders[-limits.NEED_HOLDERS_MAX :]), rule, _COUNTER.count(text))

    # -------------------------------------------------------------------------------------------- turns

    def begin(self, hints: Iterable[str] = ()) -> None:
        """A model call is about to be made."""
        self.turn += 1
        self._add(e.TurnBegan(hints=tuple(dict.fromkeys(hints))))

    def respond(self, needs: Sequence[Need] = ()) -> None:
        """The model answered."""
        self._add(e.ModelResponded(needs=tuple(needs)), "model")

    def call(
        self,
        tool: str,
        arguments: Mapping[str, str],
        *,
        reads: Sequence[Key] = (),
        writes: Sequence[Key] = (),
        invalidates: Sequence[ResourceClass] = (),
        deterministic: bool = False,
        needs: Sequence[Need] = (),
        principal: str = "model",
    ) -> int:
        """The model (or the harness on its own) called a tool; returns the call's ordinal."""
        self.calls += 1
        told = json.dumps(arguments, sort_keys=True)
        signature, new = self.signatures.intern(f"{tool} {told}")
        keys: list[Resource] = []
        ordinals: dict[Key, int] = {}
        for key in (*reads, *writes):
            ordinals[key], unknown = self.resources.intern(f"{key[0]}:{key[1]}")
            if unknown:
                keys.append(Resource(key[0], self._body(key[1])))
        self._add(
            e.ToolCalled(
                call=self.calls,
                tool=tool,
                arguments=self._body(told),
                signature=signature,
                signature_key=self._body(f"{tool} {told}") if new else None,
                deterministic=deterministic,
                resources=tuple(keys),
                reads=tuple(ordinals[key] for key in reads),
                writes=tuple(ordinals[key] for key in writes),
                invalidates=tuple(invalidates),
                needs=tuple(needs),
            ),
            principal,
        )
        return self.calls

    def returned(
        self, call: int, result: str, *, status: ReturnStatus = ReturnStatus.OK, needs: Sequence[Need] = ()
    ) -> None:
        """A call ended."""
        size = len(encode(result))
        self._add(e.ToolReturned(call, status, size, self._body(result), needs=tuple(needs)), "tool")

    def evidence(self, call: int, texts: Texts, source: str, page_id: str | None = None) -> str:
        """The page of a call's result: a new one, or `page_id` anew."""
        line = len(self.inputs) + 1
        origin = Origin(OriginKind.TOOL_CALL, line, line, call=call)
        return self.page(PageType.EVIDENCE, texts, Author.TOOL, page_id=page_id, origin=origin, source=source)

    def recalled(
        self, query: str, outcome: RecallOutcome, pages: Sequence[str] = (), needs: Sequence[Need] = ()
    ) -> None:
        """A memory backend answered."""
        self.recalls += 1
        self._add(e.RecallAnswered(self.recalls, outcome, self._body(query), tuple(pages), tuple(needs)))

    # -------------------------------------------------------------------------------- store and boundaries

    def stage(self, field: str, op: Op, value: str, evidence: str, *, allowed: bool = True) -> None:
        """A change of the durable store was proposed."""
        self.propose(self.update(field, op, value, evidence, allowed=allowed))

    def update(self, field: str, op: Op, value: str, evidence: str, *, allowed: bool = True) -> UpdateFacts:
        """The facts of a change that rests on a page."""
        size = len(encode(value))
        return UpdateFacts(
            field, op, self._body(value), size, Evidence(page_id=evidence), allowed=allowed, keys_added=1
        )

    def propose(self, facts: UpdateFacts) -> None:
        """Propose a change with any facts."""
        self.updates += 1
        self._add(e.UpdateStaged(self.updates, facts), "model")

    def boundary(self, kind: Boundary, pages: Sequence[str] = ()) -> None:
        """The harness is about to destroy context; what is dirty is staged."""
        staged = tuple(self._staged(page_id) for page_id in self.dirty)
        self.updates += len(staged)
        for page in staged:
            if all(verdict.agrees for verdict in page.update.validators):
                self.committed[page.page_id] = self.committed.get(page.page_id, 0) + 1
                del self.dirty[page.page_id]
        self._add(e.BoundaryReached(kind, Trigger.RECORDED, staged, tuple(pages)))

    def _staged(self, page_id: str) -> StagedPage:
        full = self.levels[page_id][Fidelity.FULL]
        facts = UpdateFacts(
            field=page_id,
            op=Op.SET_WITH_VERSION,
            value=self._body(full),
            size_bytes=len(encode(full)),
            evidence=Evidence(page_id=page_id),
            base_version=self.committed.get(page_id, 0),
            validators=self.verdicts.get(page_id, ()),
        )
        return StagedPage(page_id, facts)

    def close(self) -> None:
        """The session ends."""
        self.boundary(Boundary.END)
        self._add(e.SessionClosed(CloseReason.ENDED))


def _kept(page_type: PageType, texts: Texts) -> dict[Fidelity, str]:
    """The levels that are kept, highest first: each has fewer tokens than the one above."""
    kept = {Fidelity.FULL: texts.full}
    last = _COUNTER.count(texts.full)
    for level in PAGE_TYPES[page_type].levels[1:]:
        text: str = getattr(texts, level)
        if text and _COUNTER.count(text) < last:
            kept[level], last = text, _COUNTER.count(text)
    return kept
