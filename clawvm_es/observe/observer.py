"""Steps → commands with their facts, in the order of §3: pages, needs, hints, plans, effects of tools.

The observer looks at a step and gives its commands; it learns from what was recorded. So a handle that reads the log
knows what the one knew that wrote it, and a step that could not be recorded leaves nothing behind.

LAW-OBSERVE-1: a step gives the same commands whatever follows it.
LAW-OBSERVE-2: an observer that learned a session from its log gives what the one that observed it gives.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

import attrs
from msgspec.structs import replace

from clawvm_es.limits import SOURCE_CHARS
from clawvm_es.model.commands import Command
from clawvm_es.model.events import (
    UNKNOWN_TOOL,
    BoundaryReached,
    ContentRedacted,
    Event,
    Input,
    ModelResponded,
    PageRetired,
    PageWritten,
    RecallAnswered,
    ToolCalled,
    ToolReturned,
    TurnBegan,
)
from clawvm_es.model.facts import (
    Boundary,
    Need,
    RecallOutcome,
    Resource,
    ResourceClass,
    RetireReason,
    ReturnStatus,
    ToldBy,
    Trigger,
)
from clawvm_es.model.pages import Author, Fidelity, Origin, OriginKind, PageType
from clawvm_es.observe.edge import Edge
from clawvm_es.observe.fields import Fields, parse_json
from clawvm_es.observe.hints import Hints
from clawvm_es.observe.marks import Mark, parted
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
from clawvm_es.observe.tools import Effects, Kind, Role, Tool, effects, named, normalised, path_of

SYSTEM: Final = "system message"
SUMMARY: Final = "summary"
"""Sources of pages that no tool gave."""
RULE_FILES: Final = frozenset(("CLAUDE.md", "AGENTS.md", "GEMINI.md"))
"""Files whose newest read is a bootstrap page."""
CHANGED_REREAD: Final = "changed_reread"
"""Tally of repeated reads whose text differs from all earlier ones."""
EVENTS_AT_ONCE: Final = 256
"""Events whose texts are read at once."""
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
    effects: Effects
    signature: int | None
    resource: int | None  # the one file or record that it is about

    @property
    def source(self) -> str:
        """The line that names its result."""
        return source_line(self.tool, self.use)

    @property
    def searches(self) -> bool:
        """True for a search, whose lines have a gutter."""
        return self.tool.name in ("Grep", "grep")


@attrs.frozen
class _Done:
    """What the page of a result says about its call."""

    tool: str
    path: str
    searches: bool


class Observer:
    """Observes one session: its pages and calls so far, the harness's own context, plans and hints.

    `tools` are those that its calls name. `tally` counts what is worth knowing and in no command
    (`CHANGED_REREAD`, `EMPTY_PRUNE`).
    """

    def __init__(self, tools: Mapping[str, Tool], edge: Edge, tally: Counter[str] | None = None) -> None:
        self.tools = tools
        self.edge = edge
        self.tally: Counter[str] = Counter() if tally is None else tally
        self.context = Context(edge.count, self._text)
        self.plans = Plans()
        self.hints = Hints()
        self.pages: set[str] = set()
        self.recalls = 0
        self.slots: dict[str, str] = {}  # what is rewritten in place: a file of rules, a plan → page id
        self._resources: list[Resource] = []  # that calls named so far, by ordinal from 1
        self._calls: dict[int, _Call] = {}
        self._done: dict[int, _Done] = {}
        self._bodies: dict[str, dict[str, None]] = {}  # page id → the bodies of all levels that it has or had
        self._made: dict[int, _Call] = {}  # calls of the step that is looked at
        self._new = 0  # pages of the step that is looked at
        self._opened: Mapping[str, str] = {}  # texts of the events that are learned from

    def step(self, step: Step) -> tuple[Command, ...]:
        """The commands of a step, which are recorded as they are: the observer learns from them at once."""
        found = self.look(step)
        for command in found:
            self.learn(command.data)
        return found

    # ------------------------------------------------------------------------------------------- looking

    def look(self, step: Step) -> tuple[Command, ...]:
        """The commands of a step. Nothing is learned from it; bodies and ordinals go to the edge."""
        self.forget_look()
        if isinstance(step, ModelMessage):
            return tuple(self._answer(step))
        return tuple(Command(data, step.at_us) for data in self._inputs(step))

    def forget_look(self) -> None:
        """Forget the step that was looked at last: it was recorded by now, or never will be as it was."""
        self._new = 0
        self._made.clear()

    def _inputs(
        self, step: SystemMessage | UserMessage | SkillLoaded | RulesLoaded | ToolResult | ContextDropped | Summary
    ) -> Iterator[Input]:
        if isinstance(step, ToolResult):
            yield from self._returned(step)
        elif isinstance(step, ContextDropped):
            yield from self._boundary(step)
        elif isinstance(step, Summary):
            yield from self._summary(step)
        elif isinstance(step, RulesLoaded):
            yield from self._rules(step)
        else:
            text, marks = parted(step.text, self._renders)
            if not marks or cleaned(text).strip():
                yield from self._said(attrs.evolve(step, text=text))
            yield from self._shown(marks)

    def _said(self, step: SystemMessage | UserMessage | SkillLoaded) -> Iterator[Input]:
        """A text that entered the context."""
        if isinstance(step, SystemMessage):
            yield self._page(PageType.BOOTSTRAP, step.text, Author.HARNESS, _origin(step), SYSTEM)
            for rule in rules(step.text):
                yield self._page(PageType.CONSTRAINT, rule, Author.HARNESS, _origin(step), SYSTEM)
        elif isinstance(step, SkillLoaded):
            yield self._page(PageType.BOOTSTRAP, step.text, Author.HARNESS, _origin(step), step.name)
        else:
            author = Author.HARNESS if step.harness else Author.USER
            yield self._page(PageType.CONVERSATION, step.text, author, _origin(step))

    def _shown(self, marks: tuple[Mark, ...]) -> Iterator[Input]:
        """Pages that we put into the harness's context: it shows them again, nobody needed them."""
        if marks:
            pages = tuple(dict.fromkeys(mark.page_id for mark in marks))
            query = self.edge.text(" ".join(f"{mark.page_id}:{mark.lines}" for mark in marks))
            yield RecallAnswered(self.recalls + 1, RecallOutcome.OK, query, pages)

    def _renders(self, mark: Mark) -> bool:
        """True if a marked text stands in a level that its page has or had."""
        return any(mark.text in self._text(body) for body in reversed(self._bodies.get(mark.page_id, {})))

    def _rules(self, step: RulesLoaded) -> Iterator[Input]:
        """A file of rules is one page, rewritten in place where the file has changed."""
        slot = f"file:{step.path}"
        known = self.context.pages.get(self.slots.get(slot, ""))
        if known is None or known.text != cleaned(step.text):
            origin = Origin(OriginKind.FILE, step.lines.first, step.lines.last)
            page_id = self._slot(slot)
            page = self._page(PageType.BOOTSTRAP, step.text, Author.HARNESS, origin, step.path, page_id=page_id)
            yield page if step.lines.first else replace(page, told_by=ToldBy.FILE)

    def _summary(self, step: Summary) -> Iterator[Input]:
        """A summary is kept, and withdrawn before the next prompt."""
        if step.text.strip():
            written = self._page(PageType.CONVERSATION, step.text, Author.MODEL, _origin(step), SUMMARY)
            yield written
            yield PageRetired(written.page_id, RetireReason.WITHDRAWN)

    def _answer(self, step: ModelMessage) -> Iterator[Command]:
        if not step.continued:
            usage = step.usage
            responded = ModelResponded(
                input_tokens=usage.input_tokens, cached_tokens=usage.cached_tokens, output_tokens=usage.output_tokens
            )
            yield Command(TurnBegan(hints=self.hints.now()), step.began_us)
            yield Command(responded, step.at_us)
        for use in step.calls:
            yield Command(self._called(use), step.at_us)
        if step.texts:
            text = "\n\n".join(step.texts)
            yield Command(self._page(PageType.CONVERSATION, text, Author.MODEL, _origin(step)), step.at_us)

    def calls(self, uses: Iterable[ToolUse]) -> tuple[ToolCalled, ...]:
        """The facts of the calls of one answer."""
        self.forget_look()
        return tuple(self._called(use) for use in uses)

    def _called(self, use: ToolUse) -> ToolCalled:
        tool = named(self.tools, use.name)
        done = effects(tool, use)
        ordinal, key = None, None
        if not tool.silent:
            ordinal, key = self.edge.signature(signature_key(use.name, normalised(tool, use)))
        reads, read_new = self.edge.resources(done.reads)
        targets = [each for each in done.writes if not each[1].startswith("tree:") or self.edge.resource(each)]
        writes, written_new = self.edge.resources(targets)
        self._made[use.call] = self._call(use, tool, done, ordinal)
        return ToolCalled(
            call=use.call,
            tool=tool.name,
            arguments=self.edge.text(canonical(use.arguments) if use.text is None else use.text),
            name=self.edge.text(use.name) if tool.name == UNKNOWN_TOOL else None,
            signature=ordinal,
            signature_key=key,
            deterministic=done.deterministic,
            resources=(*read_new, *written_new),
            reads=reads,
            writes=writes,
            invalidates=done.invalidates,
            needs=self.context.data_flow(tool, use),
        )

    def _call(self, use: ToolUse, tool: Tool, done: Effects, ordinal: int | None) -> _Call:
        about = self.edge.resource(done.about) if done.about else None
        repeatable = ordinal if done.deterministic else None
        return _Call(use, tool, _file(tool, use), done, repeatable, about)

    def result(self, step: ToolResult) -> list[Input]:
        """The facts of a result and its page, which is written where it is empty, too."""
        self.forget_look()
        found = list(self._returned(step))
        if not any(isinstance(data, PageWritten | RecallAnswered) for data in found):
            found.append(self.evidence(step))
        return found

    def evidence(self, step: ToolResult, called: ToolCalled | None = None) -> PageWritten:
        """The page of a result alone; `called` is its call where that is new."""
        call = self._made.get(step.call) if called is not None else self._calls.get(step.call)
        return self._evidence(step, call)

    def _returned(self, step: ToolResult) -> Iterator[Input]:
        call = None if step.unmatched else self._calls.get(step.call)
        good = step.status is ReturnStatus.OK
        plan = None
        if call and good and call.tool.kind is Kind.PLANNING:
            plan = self.plans.after(call.use.name, call.use.arguments, step.text)[1]
        text, marks = parted(step.text, self._renders)
        seen = plan is None and bool((cleaned(text) if marks else text).strip())
        reread: tuple[Need, ...] = ()
        if seen and good and call and call.effects.deterministic:
            held = Held("", cleaned(text, call.searches), {}, path=call.path, signature=call.signature)
            reread = self.context.repeated_read(held)
        yield ToolReturned(
            call=step.call,
            status=step.status,
            size_bytes=len(step.text.encode("utf-8", "surrogatepass")),
            result=self.edge.text(step.text),
            validator=None if step.validator is None else self.edge.text(step.validator),
            needs=reread,
            unmatched=step.unmatched,
        )
        if plan is not None:
            yield self._plan(plan, _result_origin(step, call))
        elif seen:
            yield self._evidence(attrs.evolve(step, text=text), call)
        yield from self._shown(marks)

    def _evidence(self, step: ToolResult, call: _Call | None) -> PageWritten:
        good = call if step.status is ReturnStatus.OK else None
        path = good.path if good else ""
        is_rules = posixpath.basename(path) in RULE_FILES
        source = step.source if step.source is not None else call.source if call else ""
        return self._page(
            PageType.BOOTSTRAP if is_rules else PageType.EVIDENCE,
            step.text,
            Author.TOOL,
            _result_origin(step, call),
            source,
            page_id=self._slot(f"file:{path}") if is_rules else None,
            signature=good.signature if good else None,
        )

    def _plan(self, plan: Plan, origin: Origin) -> PageWritten:
        slot = self._slot(f"plan:{plan.slot}")
        source = f"plan {plan.slot}"
        return self._page(PageType.PLAN, plan.text, Author.MODEL, origin, source, page_id=slot, active=plan.active)

    def _boundary(self, step: ContextDropped) -> Iterator[Input]:
        """A boundary and the pages that it moved; none are named where it kept nothing."""
        left, returned = self.context.moved(step.kept_lines)
        if step.dropped_calls:
            left, returned = self.context.results(step.dropped_calls), ()
        if step.boundary is not Boundary.PRUNE:
            told = (left, returned) if step.kept_lines else ((), ())
            yield BoundaryReached(step.boundary, Trigger.RECORDED, left=told[0], returned=told[1])
            return
        rewritten = set(self.slots.values())
        pages = tuple(page_id for page_id in left if page_id not in rewritten)
        if pages:
            yield BoundaryReached(Boundary.PRUNE, Trigger.RECORDED, pages=pages, returned=returned)
        else:
            self.tally[EMPTY_PRUNE] += 1

    def _page(
        self,
        page_type: PageType,
        text: str,
        author: Author,
        origin: Origin,
        source: str = "",
        *,
        page_id: str | None = None,
        active: bool = True,
        signature: int | None = None,
    ) -> PageWritten:
        return self.edge.page(
            page_id or self._next(),
            page_type,
            text,
            author=author,
            origin=origin,
            source=source,
            active=active,
            signature=signature,
        ).event

    def _next(self) -> str:
        self._new += 1
        return f"p{len(self.pages) + self._new}"

    def _slot(self, key: str) -> str:
        """The page that is rewritten in place for `key`."""
        return self.slots.get(key) or self._next()

    # ------------------------------------------------------------------------------------------ learning

    def learn_all(self, recorded: Iterable[Event]) -> None:
        """Learn from events of the session, in the order of its log; their texts are read many at once."""
        events = iter(recorded)
        while some := list(islice(events, EVENTS_AT_ONCE)):
            self._opened = self.edge.open_all(name for data in some for name in _texts(data) if name)
            for data in some:
                self.learn(data)
        self._opened = {}

    def learn(self, data: Event) -> None:
        """Learn from an event of the session, in the order of its log."""
        if isinstance(data, PageWritten):
            self._learn_page(data)
        elif isinstance(data, ToolCalled):
            self._learn_call(data)
        elif isinstance(data, ToolReturned):
            self._learn_result(data)
        elif isinstance(data, PageRetired):
            self.context.forget(data.page_id)
        elif isinstance(data, BoundaryReached) and data.trigger is Trigger.RECORDED:
            self._learn_boundary(data)
        elif isinstance(data, RecallAnswered):
            self.recalls += 1
            for page_id in (*data.pages, *(holder.page_id for need in data.needs for holder in need.holders)):
                self.context.show(page_id)
        elif isinstance(data, ContentRedacted):
            self._learn_erasure(data)

    def _learn_boundary(self, data: BoundaryReached) -> None:
        if data.boundary is Boundary.PRUNE:
            self.context.move(data.pages, data.returned, compaction=False)
        elif data.left or data.returned:
            self.context.move(data.left, data.returned, compaction=True)
        else:
            self.context.move(*self.context.moved(frozenset()), compaction=True)

    def _learn_call(self, data: ToolCalled) -> None:
        self._resources.extend(data.resources)
        call = self._made.pop(data.call, None) or self._recalled(data)
        self._calls[data.call] = call
        self.context.used((), (call.use,))
        if data.served_by is not None:
            self._finish(data.call, call, data.served_status)

    def _recalled(self, data: ToolCalled) -> _Call:
        """A call as its event tells it, its path made absolute as it was then."""
        name = self._text(data.name) if data.name else data.tool
        try:
            given = parse_json(self._text(data.arguments))
        except ValueError:
            given = None
        tool, arguments = named(self.tools, name), dict(Fields.of(given).raw)
        touched = (self._resources[ordinal - 1] for ordinal in (*data.reads, *data.writes))
        files = (self._text(each.key) for each in touched if each.kind is ResourceClass.FILE)
        path = next(files, "").removeprefix("tree:")
        if tool.path and path:
            arguments[tool.path] = path
        use = ToolUse(data.call, name, arguments)
        return self._call(use, tool, effects(tool, use), data.signature if data.deterministic else None)

    def _learn_result(self, data: ToolReturned) -> None:
        call = None if data.unmatched else self._calls.pop(data.call, None)
        if call is None:
            return
        self._finish(data.call, call, data.status)
        if data.status is ReturnStatus.OK and call.tool.kind is Kind.PLANNING:
            text = self._text(data.result)
            self.plans, plan = self.plans.after(call.use.name, call.use.arguments, text)
            if plan is not None:
                self.hints.say(f"plan:{plan.slot}", plan.current if plan.active else "")

    def _finish(self, number: int, call: _Call, status: ReturnStatus) -> None:
        path = call.path if status is ReturnStatus.OK else ""
        self._done[number] = _Done(call.tool.name, path, call.searches)

    def _learn_page(self, page: PageWritten) -> None:
        self.pages.add(page.page_id)
        self._bodies.setdefault(page.page_id, {}).update((level.body, None) for level in page.levels)
        source = self._text(page.source) if page.author in (Author.HARNESS, Author.MODEL) else ""
        full = next((level.body for level in page.levels if level.level is Fidelity.FULL), None)
        text = self._text(full)
        if page.page_type is PageType.CONVERSATION:
            if page.author is Author.MODEL and source == SUMMARY:
                return
            self._learn_words(page.author, text)
        call = page.origin.call if page.page_type is not PageType.PLAN else None
        done = self._done.get(call) if call is not None else None
        path = done.path if done else ""
        held = Held(
            page_id=page.page_id,
            text=text if page.page_type is PageType.PLAN else cleaned(text, done.searches if done else False),
            levels={level.level: level.body for level in page.levels},
            line=page.origin.first,
            search=done.searches if done else False,
            tool=done.tool if done else "",
            path=path,
            call=call,
            signature=page.signature,
            permanent=page.author is Author.HARNESS and (source == SYSTEM or page.origin.kind is OriginKind.FILE),
        )
        self.context.write(held)
        self._learn_slot(page, path or source)
        if path:
            self.hints.read(path, page.page_id)

    def _learn_words(self, author: Author, text: str) -> None:
        if author is Author.MODEL:
            self.context.used((text,), ())
        elif author is Author.USER:
            self.hints.say("user", text)

    def _learn_slot(self, page: PageWritten, named_by: str) -> None:
        """Note a page that is rewritten in place."""
        by_call = page.origin.kind is OriginKind.TOOL_CALL
        if page.page_type is PageType.PLAN and by_call and named_by.startswith("plan "):
            self.slots[f"plan:{named_by.removeprefix('plan ')}"] = page.page_id
        elif page.page_type is PageType.BOOTSTRAP and (by_call or page.origin.kind is OriginKind.FILE):
            self.slots[f"file:{named_by}"] = page.page_id

    def _learn_erasure(self, data: ContentRedacted) -> None:
        gone = set(data.commitments)
        for held in list(self.context.pages.values()):
            if held.page_id in data.pages or not gone.isdisjoint(held.levels.values()):
                self.context.forget(held.page_id)

    def _text(self, commitment: str | None) -> str:
        """The text behind a commitment; empty where there is none or it was erased."""
        if commitment is None:
            return ""
        at_hand = self.edge.texts.get(commitment) or self._opened.get(commitment)
        return at_hand if at_hand is not None else self.edge.open(commitment) or ""


def _texts(data: Event) -> Iterator[str | None]:
    """The commitments to the texts that an observer learns from an event."""
    if isinstance(data, PageWritten):
        yield data.source
        yield from (level.body for level in data.levels if level.level is Fidelity.FULL)
    elif isinstance(data, ToolCalled):
        yield from (data.name, data.arguments, *(each.key for each in data.resources))


def _result_origin(step: ToolResult, call: _Call | None) -> Origin:
    about = call.resource if call and step.status is ReturnStatus.OK else None
    return Origin(OriginKind.TOOL_CALL, step.lines.first, step.lines.last, call=step.call, resource=about)


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
        if name not in (tool.path, *tool.ignores) and tool.roles.get(name) not in (Role.REPLACED, Role.WRITTEN)
    }
    parts = [use.name, path, canonical(kept) if kept else ""]
    return " ".join(part for part in parts if part)[:SOURCE_CHARS]
