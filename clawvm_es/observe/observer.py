"""Turn steps into commands with their facts: pages, needs, hints, plans, effects of tools.

The observer turns a step into commands, and learns only from recorded events. So a handle that reads the log knows as
much as the handle that wrote it, and a step that was not recorded leaves no trace.

LAW-OBSERVE-1: the commands of a step do not depend on later steps.
LAW-OBSERVE-2: an observer that learned a session from its log gives the same commands as the one that observed it.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs
from msgspec.structs import replace

from clawvm_es.model.commands import Command
from clawvm_es.model.events import (
    UNKNOWN_TOOL,
    BoundaryReached,
    Input,
    ModelResponded,
    PageWritten,
    RecallAnswered,
    ToolCalled,
    ToolReturned,
    TurnBegan,
)
from clawvm_es.model.facts import (
    Boundary,
    Cut,
    Need,
    RecallOutcome,
    ResourceClass,
    ReturnStatus,
    ToldBy,
    Trigger,
)
from clawvm_es.model.pages import Author, Origin, OriginKind, PageType
from clawvm_es.observe.arguments import stub_of
from clawvm_es.observe.edge import Edge
from clawvm_es.observe.learned import IMAGE, SUMMARY, SYSTEM, Learned, MadeCall
from clawvm_es.observe.marks import Mark, parted
from clawvm_es.observe.needs import Held
from clawvm_es.observe.plans import Plan
from clawvm_es.observe.signatures import canonical, signature_key
from clawvm_es.observe.steps import (
    ContextDropped,
    FileShown,
    Image,
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
from clawvm_es.observe.thoughts import pass_away
from clawvm_es.observe.tools import Kind, Tool, absolute, effects, named, normalised

RULE_FILES: Final = frozenset(("CLAUDE.md", "AGENTS.md", "GEMINI.md"))
"""Files whose newest read is a bootstrap page."""
CHANGED_REREAD: Final = "changed_reread"
"""Tally of repeated reads whose text differs from all earlier ones."""
EMPTY_PRUNE: Final = "empty_prune"
"""Tally of recorded prunes that took no page from the context."""

_RULE = re.compile(r"\b(?:must|should|never|only|do\s+not)\b", re.IGNORECASE)
_ITEM = re.compile(r"^([ \t]*)(?:[-*•+]|\d+[.)])[ \t]+(.*)$")


def rules(text: str) -> list[str]:
    """The list items of a system message that say must, should, never, only or do not, with continuation lines."""
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


class Observer:
    """Turns steps into commands, using the knowledge (`known`) about their session.

    `tools` are the tools of its calls. `tally` counts facts that no command holds (`CHANGED_REREAD`, `EMPTY_PRUNE`).
    """

    def __init__(self, tools: Mapping[str, Tool], edge: Edge, tally: Counter[str] | None = None) -> None:
        self.known = Learned(tools, edge)
        self.tally: Counter[str] = Counter() if tally is None else tally
        self._new = 0  # pages of the step that is looked at

    @property
    def edge(self) -> Edge:
        """The store for bodies and ordinals."""
        return self.known.edge

    @edge.setter
    def edge(self, edge: Edge) -> None:
        self.known.edge = edge

    def step(self, step: Step) -> tuple[Command, ...]:
        """The commands of a step that will be recorded unchanged; the observer learns from them at once."""
        found = self.look(step)
        for command in found:
            self.known.learn(command.data)
        return found

    # ------------------------------------------------------------------------------------------- looking

    def look(self, step: Step) -> tuple[Command, ...]:
        """The commands of a step. Nothing is learned from it; bodies and ordinals go to the edge."""
        self._begin()
        if isinstance(step, ModelMessage):
            return tuple(self._answer(step))
        return tuple(Command(data, step.at_us) for data in self._inputs(step))

    def _begin(self) -> None:
        self._new = 0
        self.known.looked.clear()

    def _inputs(
        self,
        step: SystemMessage
        | UserMessage
        | SkillLoaded
        | RulesLoaded
        | FileShown
        | ToolResult
        | ContextDropped
        | Summary,
    ) -> Iterator[Input]:
        if isinstance(step, ToolResult):
            yield from self._returned(step)
        elif isinstance(step, ContextDropped):
            yield from self._boundary(step)
        elif isinstance(step, Summary):
            yield from self._summary(step)
        elif isinstance(step, RulesLoaded):
            yield from self._rules(step)
        elif isinstance(step, FileShown):
            yield from self._file(step)
        else:
            yield from self._spoken(step)

    def _spoken(self, step: SystemMessage | UserMessage | SkillLoaded) -> Iterator[Input]:
        """A text that entered the context, and its images; texts that we put there are only shown again."""
        text, marks = parted(step.text, self._renders)
        images = step.images if isinstance(step, UserMessage) else ()
        if (text == step.text and not images) or cleaned(text).strip():
            yield from self._said(attrs.evolve(step, text=text))
        for image in images:
            yield self._page(PageType.CONVERSATION, image.text, Author.USER, _origin(step), IMAGE)
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
            yield self._page(PageType.CONVERSATION, step.text, author, _origin(step), step.source)

    def _shown(self, marks: tuple[Mark, ...]) -> Iterator[Input]:
        """Pages that we put into the harness's context and that it shows again, without a need."""
        if marks:
            pages = tuple(dict.fromkeys(mark.page_id for mark in marks))
            query = self.edge.text(" ".join(f"{mark.page_id}:{mark.lines}" for mark in marks))
            yield RecallAnswered(self.known.recalls + 1, RecallOutcome.OK, query, pages)

    def _renders(self, mark: Mark) -> bool:
        return self.known.renders(mark.page_id, mark.text)

    def _rules(self, step: RulesLoaded) -> Iterator[Input]:
        """A rules file is one page, rewritten in place when the file changes."""
        step = attrs.evolve(step, path=absolute(step.path, ""))
        slot = f"file:{step.path}"
        known = self.known.context.resident.get(self.known.slots.get(slot, ""))
        if known is None or self.known.context.texts.of(known) != cleaned(step.text):
            yield self._of_file(PageType.BOOTSTRAP, step.text, Author.HARNESS, step, self._slot(slot))

    def _file(self, step: FileShown) -> Iterator[Input]:
        """A file that the harness showed is data, like a tool's result; a rules file is rules."""
        step = attrs.evolve(step, path=absolute(step.path, ""))
        if _is_rules(step.path):
            yield from self._rules(RulesLoaded(step.text, step.path, step.lines, step.at_us))
        elif step.text.strip():
            yield self._of_file(PageType.EVIDENCE, step.text, Author.TOOL, step)
        for image in step.images:
            yield self._of_file(PageType.EVIDENCE, image.text, Author.TOOL, step)

    def _of_file(
        self,
        page_type: PageType,
        text: str,
        author: Author,
        step: RulesLoaded | FileShown,
        page_id: str | None = None,
    ) -> PageWritten:
        about = self.edge.resource((ResourceClass.FILE, step.path)) if page_type is PageType.EVIDENCE else None
        origin = Origin(OriginKind.FILE, step.lines.first, step.lines.last, resource=about)
        page = self._page(page_type, text, author, origin, step.path, page_id=page_id)
        told_by = step.told_by if isinstance(step, FileShown) else None
        return replace(page, told_by=told_by if step.lines.first else ToldBy.FILE)

    def _summary(self, step: Summary) -> Iterator[Input]:
        """A summary names the pages that it replaces; prompts that we select never show it."""
        if step.text.strip():
            replaced = tuple(page for page in self.known.replaced if page not in self.known.context.resident)
            page = self._page(PageType.SUMMARY, step.text, Author.HARNESS, _origin(step), SUMMARY)
            yield replace(page, replaces=replaced)

    def _answer(self, step: ModelMessage) -> Iterator[Command]:
        """A turn, its answer, its calls, and its text; with the results of the calls they form one group."""
        group = self.known.groups if step.continued else self.known.groups + 1
        if not step.continued:
            model, name = self.model(step.model)
            fixed = self.edge.text(step.fixed) if step.fixed else None
            began = TurnBegan(self.known.hints.now(), (), step.fixed_tokens, fixed, model, name)
            yield Command(began, step.began_us)
        for data in self._answered(step, group, tells=not step.continued):
            yield Command(data, step.at_us)

    def answer(
        self, step: ModelMessage, group: int | None = None, page_id: str | None = None, *, tells: bool = True
    ) -> list[Input]:
        """The facts of an answer whose turn has begun; `group` and `page_id` are given for a later part of one.

        With `tells` False, no `model_responded` is made.
        """
        self._begin()
        return list(self._answered(step, group or self.known.groups + 1, page_id, tells=tells))

    def _answered(
        self, step: ModelMessage, group: int, page_id: str | None = None, *, tells: bool
    ) -> Iterator[Input]:
        if tells:
            yield self._responded(step, group)
        for use in step.calls:
            yield self._called(use, group)
        if step.texts:
            text = "\n\n".join(step.texts)
            origin, native = _origin(step), step.native
            yield self._page(
                PageType.CONVERSATION, text, Author.MODEL, origin, page_id=page_id, group=group, native=native
            )

    def _responded(self, step: ModelMessage, group: int) -> ModelResponded:
        """The answer as its provider reported it; thoughts are counted by us if it reports no count.

        The model's name is given at its first occurrence.
        """
        usage = step.usage
        model, name = self.model(step.model)
        thoughts = "\n\n".join(step.thinking)
        counted = usage.thinking_tokens or (self.edge.counter.count(thoughts) if thoughts else 0)
        sizes = self.edge.sizes
        made = {use.call_id: sizes.call(use.call_id, use.name, _arguments(use)) for use in step.calls if step.native}
        sent_back = sizes.thoughts(step.native, made)
        return ModelResponded(
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            written_tokens=usage.written_tokens,
            thinking_tokens=counted if sent_back is None else sent_back,
            model=model,
            model_name=name,
            provider=self.edge.text(step.provider) if step.provider else None,
            finish=step.finish,
            group=group,
            thinking=self.edge.text(thoughts) if thoughts else None,
            native=self.edge.text(step.native) if step.native else None,
            thinking_passes=bool(thoughts) and pass_away(self.edge.clean(step.model) or self.known.asked),
        )

    def model(self, name: str) -> tuple[int | None, str | None]:
        """The ordinal of a model, and the commitment to its name if it is new; neither for a model without a name."""
        name = self.edge.clean(name)
        if not name:
            return None, None
        known = self.known.models
        return known.get(name, len(known) + 1), None if name in known else self.edge.text(name)

    def calls(self, uses: Iterable[ToolUse]) -> tuple[ToolCalled, ...]:
        """The facts of the calls of one answer."""
        self._begin()
        return tuple(self._called(use) for use in uses)

    def _called(self, use: ToolUse, group: int | None = None) -> ToolCalled:
        """The facts of a call; an unsent call belongs to no exchange, and its arguments do not count."""
        tool = named(self.known.tools, use.name)
        group = None if use.unsent else group
        done = effects(tool, use)
        ordinal, key = None, None
        if not tool.silent:
            ordinal, key = self.edge.signature(signature_key(use.name, normalised(tool, use)))
        reads, read_new = self.edge.resources(done.reads)
        targets = [each for each in done.writes if not each[1].startswith("tree:") or self.edge.resource(each)]
        writes, written_new = self.edge.resources(targets)
        self.known.looked[use.call] = self.known.call(use, tool, done, ordinal, group)
        text = _arguments(use)
        stub = stub_of(use.arguments, self.edge.clean)
        arguments, levels = self.edge.arguments(text, stub, use.name, use.call_id)
        return ToolCalled(
            call=use.call,
            tool=tool.name,
            arguments=arguments,
            name=self.edge.text(use.name) if tool.name == UNKNOWN_TOOL else None,
            signature=ordinal,
            signature_key=key,
            deterministic=done.deterministic,
            resources=(*read_new, *written_new),
            reads=reads,
            writes=writes,
            invalidates=done.invalidates,
            needs=self.known.context.data_flow(tool, use),
            levels=() if use.unsent else levels,
            call_id=self.edge.text(use.call_id) if use.call_id else None,
            group=group,
        )

    def result(self, step: ToolResult) -> list[Input]:
        """The facts of a result, and its page, which is written even if it is empty."""
        self._begin()
        found = list(self._returned(step))
        if not any(isinstance(data, PageWritten | RecallAnswered) for data in found):
            found.append(self.evidence(step))
        return found

    def evidence(self, step: ToolResult, called: ToolCalled | None = None) -> PageWritten:
        """The page of a result; `called` is its call if that is new."""
        call = self.known.looked.get(step.call) if called is not None else self.known.calls.get(step.call)
        return self._evidence(step, step.text, call)

    def _returned(self, step: ToolResult) -> Iterator[Input]:
        call = None if step.unmatched else self.known.calls.get(step.call)
        good = step.status is ReturnStatus.OK
        plan = None
        if call and good and call.tool.kind is Kind.PLANNING:
            plan = self.known.plans.after(call.use.name, call.use.arguments, step.text)[1]
        text, marks = parted(step.text, self._renders)
        seen = plan is None and bool((cleaned(text) if marks else text).strip())
        reread: tuple[Need, ...] = ()
        if seen and good and call and call.effects.deterministic:
            held = Held("", cleaned(text, call.searches), path=call.path, signature=call.signature)
            reread = self.known.context.repeated_read(held)
        yield ToolReturned(
            call=step.call,
            status=step.status,
            size_bytes=len(step.text.encode("utf-8", "surrogatepass")),
            result=self.edge.text(step.text),
            validator=None if step.validator is None else self.edge.text(step.validator),
            needs=reread,
            unmatched=step.unmatched,
            native=self.edge.text(step.native) if step.native else None,
        )
        if plan is not None:
            yield self._plan(plan, _result_origin(step, call))
        elif seen:
            yield self._evidence(step, text, call)
        native = "" if seen else step.native
        for image in step.images if plan is None else ():
            yield self._image(image, step, call, native)
            native = ""
        yield from self._shown(marks)

    def _image(self, image: Image, step: ToolResult, call: MadeCall | None, native: str) -> PageWritten:
        source = step.source if step.source is not None else call.source if call else IMAGE
        origin, group = _result_origin(step, call), call.group if call else None
        return self._page(PageType.EVIDENCE, image.text, Author.TOOL, origin, source, group=group, native=native)

    def _evidence(self, step: ToolResult, text: str, call: MadeCall | None) -> PageWritten:
        good = call if step.status is ReturnStatus.OK else None
        path = good.path if good else ""
        is_rules = _is_rules(path)
        source = step.source if step.source is not None else call.source if call else ""
        return self._page(
            PageType.BOOTSTRAP if is_rules else PageType.EVIDENCE,
            text,
            Author.TOOL,
            _result_origin(step, call),
            source,
            page_id=self._slot(f"file:{path}") if is_rules else None,
            signature=good.signature if good else None,
            group=call.group if call else None,
            native=step.native,
        )

    def _plan(self, plan: Plan, origin: Origin) -> PageWritten:
        slot = self._slot(f"plan:{plan.slot}")
        source = f"plan {plan.slot}"
        return self._page(PageType.PLAN, plan.text, Author.MODEL, origin, source, page_id=slot, active=plan.active)

    def _boundary(self, step: ContextDropped) -> Iterator[Input]:
        """A boundary and the pages that it moved; a prune that moves none is only counted in the tally.

        Pages that are rewritten in place leave the harness's context with the others, but not our prompts. If a hook
        already reported a compaction, the transcript adds the lines that it kept, unless more had come since.
        """
        left, returned = self.known.context.moved(step.kept_lines)
        if self.known.told and step.boundary is Boundary.COMPACT and step.told_by is None and not left:
            if returned:
                yield BoundaryReached(Boundary.PRUNE, Trigger.RECORDED, cut=Cut.REWIND, returned=returned)
            return
        if step.dropped_calls or step.returned_calls:
            left = self.known.context.results(step.dropped_calls)
            returned = self.known.context.results(step.returned_calls, standing=False)
        cut = step.cut or _cut(step)
        pages: tuple[str, ...] = ()
        if step.boundary is Boundary.PRUNE:
            rewritten = set(self.known.slots.values())
            pages = tuple(page_id for page_id in left if page_id not in rewritten)
            if not (left or returned):
                self.tally[EMPTY_PRUNE] += 1
                return
        yield BoundaryReached(
            step.boundary, Trigger.RECORDED, pages=pages, cut=cut, left=left, returned=returned, told_by=step.told_by
        )

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
        group: int | None = None,
        native: str = "",
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
            group=group,
            native=native,
        ).event

    def _next(self) -> str:
        self._new += 1
        return f"p{len(self.known.pages) + self._new}"

    def _slot(self, key: str) -> str:
        """The page that is rewritten in place under `key`."""
        return self.known.slots.get(key) or self._next()


def _arguments(use: ToolUse) -> str:
    """The arguments of a call in their stored form."""
    return canonical(use.arguments) if use.text is None else use.text


def _is_rules(path: str) -> bool:
    return posixpath.basename(path) in RULE_FILES


def _cut(step: ContextDropped) -> Cut:
    """The kind of cut of a boundary whose step does not name it."""
    if step.boundary is Boundary.PRUNE:
        return Cut.MICRO if step.dropped_calls else Cut.REWIND
    return Cut.CLEAR if step.boundary is Boundary.RESET else Cut.COMPACT


def _result_origin(step: ToolResult, call: MadeCall | None) -> Origin:
    about = call.resource if call and step.status is ReturnStatus.OK else None
    return Origin(OriginKind.TOOL_CALL, step.lines.first, step.lines.last, call=step.call, resource=about)


def _origin(step: Step) -> Origin:
    """The place of a step's text: lines of a file, or none for a live harness."""
    kind = OriginKind.TRANSCRIPT if step.lines.first else OriginKind.RECORD
    return Origin(kind, step.lines.first, step.lines.last)
