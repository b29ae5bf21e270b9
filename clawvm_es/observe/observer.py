"""Steps → commands with their facts, in the order of §3: pages, needs, hints, plans, effects of tools.

LAW-OBSERVE-1: a step gives the same commands whatever follows it.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

import attrs

from clawvm_es.limits import SOURCE_CHARS
from clawvm_es.model.commands import Command
from clawvm_es.model.events import (
    BoundaryReached,
    Input,
    ModelResponded,
    PageRetired,
    PageWritten,
    ToolCalled,
    ToolReturned,
    TurnBegan,
)
from clawvm_es.model.facts import Boundary, Need, RetireReason, ReturnStatus, Trigger
from clawvm_es.model.pages import Author, Origin, OriginKind, PageType
from clawvm_es.observe.edge import Edge
from clawvm_es.observe.hints import Hints
from clawvm_es.observe.needs import Context, Held
from clawvm_es.observe.plans import Plan, Plans
from clawvm_es.observe.signatures import canonical, signature_key
from clawvm_es.observe.steps import (
    ContextDropped,
    ModelMessage,
    RulesLoaded,
    SkillLoaded,
    Step,
    Summary,
    SystemMessage,
    ToolResult,
    ToolUse,
    UserMessage,
)
from clawvm_es.observe.texts import cleaned
from clawvm_es.observe.tools import (
    UNKNOWN_TOOL,
    Effects,
    Key,
    Kind,
    Role,
    Tool,
    effects,
    normalised,
    path_of,
    tool_of,
)

RULE_FILES: Final = frozenset(("CLAUDE.md", "AGENTS.md", "GEMINI.md"))
"""Files whose newest read is a bootstrap page."""
CHANGED_REREAD: Final = "changed_reread"
"""Tally of repeated reads whose text differs from all earlier ones."""
EMPTY_PRUNE: Final = "empty_prune"
"""Tally of recorded prunes that took no page from the context."""

_RULE = re.compile(r"\b(?:must|should|never|only|do\s+not)\b", re.IGNORECASE)
_ITEM = re.compile(r"^([ \t]*)(?:[-*•+]|\d+[.)])[ \t]+(.*)$")


def rules(text: str) -> list[str]:
    """The list items of a system message that say must, should, never, only or do not, with their further lines."""
    items: list[list[str]] = []
    open_item: tuple[list[str], int] | None = None
    for line in text.splitlines():
        found = _ITEM.match(line)
        if found:
            open_item = ([found[2].strip()], len(found[1].expandtabs()))
            items.append(open_item[0])
        elif open_item and line.strip() and len(line.expandtabs()) - len(line.expandtabs().lstrip()) > open_item[1]:
            open_item[0].append(line.strip())
        else:
            open_item = None
    joined = ["\n".join(item) for item in items]
    return [item for item in joined if _RULE.search(item)]


@attrs.frozen
class _Call:
    """A call that may still get its result."""

    use: ToolUse
    tool: Tool
    path: str
    source: str
    effects: Effects
    signature: int | None
    resource: int | None  # the one file or record that it is about


class Observer:
    """Observes one session: its pages and calls so far, the harness's own context, plans and hints.

    `harness` names the table of tools. `tally` counts what is worth knowing and in no command
    (`CHANGED_REREAD`, `EMPTY_PRUNE`).
    """

    def __init__(self, harness: str, edge: Edge, tally: Counter[str]) -> None:
        self.harness = harness
        self.edge = edge
        self.tally = tally
        self.context = Context(edge.count)
        self.plans = Plans()
        self.hints = Hints()
        self.calls: dict[int, _Call] = {}
        self.read_keys: set[Key] = set()  # what some call has read so far
        self.pages = 0
        self.slots: dict[str, str] = {}  # what is rewritten in place: a rule file's path, a plan → page id

    def step(self, step: Step) -> Iterator[Command]:
        """The commands of one step."""
        for data, at_us in self._inputs(step):
            yield Command(data, at_us)

    def _inputs(self, step: Step) -> Iterator[tuple[Input, int]]:
        if isinstance(step, ModelMessage):
            yield from self._answer(step)
        else:
            for data in self._event(step):
                yield data, step.at_us

    def _event(
        self, step: SystemMessage | UserMessage | SkillLoaded | RulesLoaded | ToolResult | ContextDropped | Summary
    ) -> Iterator[Input]:
        if isinstance(step, ToolResult):
            yield from self._returned(step)
        elif isinstance(step, ContextDropped):
            yield from self._boundary(step)
        elif isinstance(step, Summary):
            yield from self._summary(step)
        elif isinstance(step, SystemMessage):
            yield self._said(step, PageType.BOOTSTRAP, Author.HARNESS, "system message", permanent=True)
            for rule in rules(step.text):
                part = attrs.evolve(step, text=rule)
                yield self._said(part, PageType.CONSTRAINT, Author.HARNESS, "system message", permanent=True)
        elif isinstance(step, RulesLoaded):
            yield from self._rules(step)
        elif isinstance(step, SkillLoaded):
            yield self._said(step, PageType.BOOTSTRAP, Author.HARNESS, step.name)
        else:
            author = Author.HARNESS if step.harness else Author.USER
            if not step.harness:
                self.hints.say("user", step.text)
            yield self._said(step, PageType.CONVERSATION, author)

    def _rules(self, step: RulesLoaded) -> Iterator[Input]:
        """A file of rules is one page, rewritten in place where the file has changed."""
        slot, text = f"file:{step.path}", cleaned(step.text)
        known = self.context.pages.get(self.slots.get(slot, ""))
        if known is None or known.text != text:
            origin = _origin(step)
            held = Held(self._slot(slot), text, {}, origin.first, permanent=True)
            yield self._page(PageType.BOOTSTRAP, step.text, Author.HARNESS, origin, source=step.path, held=held)

    # ------------------------------------------------------------------------------------------- answers

    def _answer(self, step: ModelMessage) -> Iterator[tuple[Input, int]]:
        if not step.continued:
            yield TurnBegan(hints=self.hints.now()), step.began_us
            usage = step.usage
            responded = ModelResponded(
                input_tokens=usage.input_tokens, cached_tokens=usage.cached_tokens, output_tokens=usage.output_tokens
            )
            yield responded, step.at_us
        for use in step.calls:
            yield self._called(use), step.at_us
        self.context.used(step.texts, step.calls)
        if step.texts:
            text = "\n\n".join(step.texts)
            origin = _origin(step)
            yield self._page(PageType.CONVERSATION, text, Author.MODEL, origin), step.at_us

    def _called(self, use: ToolUse) -> ToolCalled:
        tool = tool_of(self.harness, use.name)
        unknown = tool is UNKNOWN_TOOL
        done = effects(tool, use)
        ordinal, key = None, None
        if not tool.silent:
            ordinal, key = self.edge.signature(signature_key(use.name, normalised(tool, use)))
        self.read_keys.update(done.reads)
        reads, read_new = self.edge.resources(done.reads)
        targets = [key for key in done.writes if key in self.read_keys or not key[1].startswith("tree:")]
        writes, written_new = self.edge.resources(targets)
        repeatable = ordinal if done.deterministic else None
        about = self.edge.resource(done.about) if done.about else None
        self.calls[use.call] = _Call(use, tool, _file(tool, use), source_line(tool, use), done, repeatable, about)
        return ToolCalled(
            call=use.call,
            tool=tool.name,
            arguments=self.edge.text(canonical(use.arguments)),
            name=self.edge.text(use.name) if unknown else None,
            signature=ordinal,
            signature_key=key,
            deterministic=done.deterministic,
            resources=(*read_new, *written_new),
            reads=reads,
            writes=writes,
            invalidates=done.invalidates,
            needs=self.context.data_flow(tool, use),
        )

    # ------------------------------------------------------------------------------------------- results

    def _returned(self, step: ToolResult) -> Iterator[Input]:
        call = None if step.unmatched else self.calls.pop(step.call, None)
        plan = None
        if call and step.status is ReturnStatus.OK and call.tool.kind is Kind.PLANNING:
            plan = self.plans.returned(call.use.name, call.use.arguments, step.text)
        held = self._held(step, call) if step.text.strip() and plan is None else None
        yield ToolReturned(
            call=step.call,
            status=step.status,
            size_bytes=len(step.text.encode("utf-8", "surrogatepass")),
            result=self.edge.text(step.text),
            needs=self._rereads(held, call) if step.status is ReturnStatus.OK else (),
            unmatched=step.unmatched,
        )
        about = call.resource if call and step.status is ReturnStatus.OK else None
        origin = Origin(OriginKind.TOOL_CALL, step.lines.first, step.lines.last, call=step.call, resource=about)
        if plan is not None:
            yield self._plan(plan, origin)
        elif held is not None:
            yield self._evidence(step, call, held, origin)

    def _held(self, step: ToolResult, call: _Call | None) -> Held:
        search = call is not None and call.tool.name in ("Grep", "grep")
        good = step.status is ReturnStatus.OK
        return Held(
            page_id="",
            text=cleaned(step.text, search),
            levels={},
            line=step.lines.first,
            search=search,
            tool=call.tool.name if call else "",
            path=call.path if call and good else "",
            call=step.call,
            signature=call.signature if call and good else None,
        )

    def _rereads(self, held: Held | None, call: _Call | None) -> tuple[Need, ...]:
        if held is None or call is None or not call.effects.deterministic:
            return ()
        return self.context.repeated_read(held)

    def _evidence(self, step: ToolResult, call: _Call | None, held: Held, origin: Origin) -> PageWritten:
        path = held.path
        is_rules = posixpath.basename(path) in RULE_FILES
        page_id = self._slot(f"file:{path}") if is_rules else self._next()
        if path:
            self.hints.read(path, page_id)
        return self._page(
            PageType.BOOTSTRAP if is_rules else PageType.EVIDENCE,
            step.text,
            Author.TOOL,
            origin,
            source=call.source if call else "",
            held=attrs.evolve(held, page_id=page_id),
        )

    def _plan(self, plan: Plan, origin: Origin) -> PageWritten:
        self.hints.say(f"plan:{plan.slot}", plan.current if plan.active else "")
        held = Held(self._slot(f"plan:{plan.slot}"), plan.text, {}, origin.first)
        active, source = plan.active, f"plan {plan.slot}"
        return self._page(PageType.PLAN, plan.text, Author.MODEL, origin, source=source, active=active, held=held)

    # --------------------------------------------------------------------------------------- boundaries

    def _boundary(self, step: ContextDropped) -> Iterator[Input]:
        if step.boundary is not Boundary.PRUNE:
            self.context.keep_lines(step.kept_lines, compaction=True)
            yield BoundaryReached(step.boundary, Trigger.RECORDED)
            return
        if step.dropped_calls:
            left = self.context.drop_calls(step.dropped_calls)
        else:
            left = self.context.keep_lines(step.kept_lines, compaction=False)
        rewritten = set(self.slots.values())
        pages = tuple(page_id for page_id in left if page_id not in rewritten)
        if pages:
            yield BoundaryReached(Boundary.PRUNE, Trigger.RECORDED, pages=pages)
        else:
            self.tally[EMPTY_PRUNE] += 1

    def _summary(self, step: Summary) -> Iterator[Input]:
        """A summary is kept, and withdrawn before the next prompt."""
        if not step.text.strip():
            return
        origin = _origin(step)
        written = self.edge.page(
            self._next(), PageType.CONVERSATION, step.text, author=Author.MODEL, origin=origin, source="summary"
        )
        yield written.event
        yield PageRetired(written.event.page_id, RetireReason.WITHDRAWN)

    # -------------------------------------------------------------------------------------------- pages

    def _said(
        self,
        step: SystemMessage | UserMessage | SkillLoaded,
        page_type: PageType,
        author: Author,
        source: str = "",
        permanent: bool = False,
    ) -> PageWritten:
        origin = _origin(step)
        held = Held(self._next(), cleaned(step.text), {}, origin.first, permanent=permanent)
        return self._page(page_type, step.text, author, origin, source=source, held=held)

    def _page(
        self,
        page_type: PageType,
        text: str,
        author: Author,
        origin: Origin,
        *,
        source: str = "",
        active: bool = True,
        held: Held | None = None,
    ) -> PageWritten:
        if held is None:
            held = Held(self._next(), cleaned(text), {}, origin.first)
        written = self.edge.page(
            held.page_id,
            page_type,
            text,
            author=author,
            origin=origin,
            source=source,
            active=active,
            signature=held.signature,
        )
        held.levels = written.levels
        self.context.write(held)
        return written.event

    def _next(self) -> str:
        self.pages += 1
        return f"p{self.pages}"

    def _slot(self, key: str) -> str:
        """The page that is rewritten in place for `key`."""
        if key not in self.slots:
            self.slots[key] = self._next()
        return self.slots[key]


def _origin(step: Step) -> Origin:
    """The place of a step's text: lines of a file, or none where a live harness told it."""
    kind = OriginKind.TRANSCRIPT if step.lines.first else OriginKind.RECORD
    return Origin(kind, step.lines.first, step.lines.last)


def _file(tool: Tool, use: ToolUse) -> str:
    """The file whose content a call returns, or the empty string."""
    return path_of(tool, use) if any(key.startswith("file:") for key in tool.reads) else ""


def source_line(tool: Tool, use: ToolUse) -> str:
    """The line that names a call's result: the tool, its path, and its other arguments but the text it writes."""
    path = path_of(tool, use)
    kept = {
        name: value
        for name, value in use.arguments.items()
        if name not in (tool.path, *tool.dropped) and tool.roles.get(name) not in (Role.REPLACED, Role.WRITTEN)
    }
    parts = [use.name, path, canonical(kept) if kept else ""]
    return " ".join(part for part in parts if part)[:SOURCE_CHARS]
