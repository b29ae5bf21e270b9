"""An observer's knowledge of a session, learned only from the events of its log, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, Mapping
from functools import cache
from itertools import islice
from typing import Final

import attrs

from clawvm_es.limits import SOURCE_CHARS
from clawvm_es.model.events import (
    BoundaryReached,
    ContentRedacted,
    Event,
    ModelResponded,
    PageRetired,
    PageWritten,
    RecallAnswered,
    ToolCalled,
    ToolReturned,
    TurnBegan,
)
from clawvm_es.model.facts import Boundary, Cut, Resource, ResourceClass, ReturnStatus, ToldBy, Trigger
from clawvm_es.model.pages import Author, Fidelity, OriginKind, PageType
from clawvm_es.observe.edge import Edge
from clawvm_es.observe.fields import Fields, parse_json
from clawvm_es.observe.hints import Hints
from clawvm_es.observe.needs import Context, Held
from clawvm_es.observe.plans import Plans
from clawvm_es.observe.signatures import canonical
from clawvm_es.observe.steps import ToolUse
from clawvm_es.observe.texts import cleaned
from clawvm_es.observe.tools import Effects, Kind, Role, Tool, effects, named, path_of, read_by

SYSTEM: Final = "system message"
SUMMARY: Final = "summary"
IMAGE: Final = "image"
"""Sources of pages that no tool gave."""
EVENTS_AT_ONCE: Final = 256
"""Events whose texts are read at once."""


@attrs.frozen
class MadeCall:
    """A call that may still get a result."""

    use: ToolUse
    tool: Tool
    path: str
    effects: Effects
    signature: int | None
    resource: int | None  # the one file or record that it is about
    group: int | None = None  # the exchange that it belongs to

    @property
    def source(self) -> str:
        """The source line of its result."""
        return source_line(self.tool, self.use)

    @property
    def searches(self) -> bool:
        """True for a search, whose lines have a gutter."""
        return self.tool.name in ("Grep", "grep")


@attrs.frozen
class Done:
    """The line about its call on the page of a result."""

    tool: str
    path: str
    searches: bool


class Learned:
    """The pages and calls of a session, the harness's own context, plans and hints.

    `tools` are the tools of its calls.
    """

    def __init__(self, tools: Mapping[str, Tool], edge: Edge) -> None:
        self.tools = tools
        self.edge = edge
        self.context = Context(edge.count, self.text)
        self.plans = Plans()
        self.hints = Hints()
        self.recalls = 0
        self.groups = 0  # exchanges: answers of the model
        self.models: dict[str, int] = {}  # names of models → their ordinals
        self.asked = ""  # the name of the model that was asked last
        self.replaced: tuple[str, ...] = ()  # pages that the last compaction or rewind took out of the context
        self.told = False  # a hook told of a compaction whose summary no transcript has shown yet
        self.slots: dict[str, str] = {}  # what is rewritten in place: a file of rules, a plan → page id
        self.slot_names: dict[str, int] = {}  # names that a caller gave such pages → their ordinals
        self.calls: dict[int, MadeCall] = {}  # without a result
        self.call_ids: dict[str, tuple[int, ...]] = {}  # commitment to the harness's id → calls that have it
        self.looked: dict[int, MadeCall] = {}  # of the step that is looked at: they need not be read back
        self._resources: list[Resource] = []  # that calls named so far, by ordinal from 1
        self._done: dict[int, Done] = {}
        self._same: dict[Done, Done] = {}  # each value once
        self._bodies: dict[str, tuple[str, ...]] = {}  # page id → the bodies of all levels that it has or had
        self._opened: Mapping[str, str] = {}  # texts of the events that are learned from

    @property
    def pages(self) -> KeysView[str]:
        """The ids of all pages that were written."""
        return self._bodies.keys()

    def learn_all(self, recorded: Iterable[Event]) -> None:
        """Learn from events of the session, in log order; their texts are read in batches."""
        self.looked.clear()
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
        elif isinstance(data, TurnBegan | ModelResponded):
            self._learn_answer(data)

    def _learn_answer(self, data: TurnBegan | ModelResponded) -> None:
        if isinstance(data, ModelResponded):  # one of the newest group goes on with it; old logs name none
            self.groups = self.groups + 1 if data.group is None else data.group
        if data.model is not None and data.model_name is not None:
            self.models[self.text(data.model_name)] = data.model
        if data.model is not None or isinstance(data, TurnBegan):
            self.asked = next((name for name, number in self.models.items() if number == data.model), "")

    def _learn_boundary(self, data: BoundaryReached) -> None:
        pruned = data.boundary is Boundary.PRUNE
        left, returned = data.left or (data.pages if pruned else ()), data.returned
        if data.cut is None and not (pruned or left or returned):  # older logs name none where nothing was kept
            left, returned = self.context.moved(frozenset())
        self.context.move(left, returned, compaction=not pruned, rewind=data.cut is Cut.REWIND)
        if data.cut is not Cut.MICRO and not (self.told and not left):
            self.replaced = left
        self.told = self.told or data.told_by is ToldBy.HOOK

    def _learn_call(self, data: ToolCalled) -> None:
        self._resources.extend(data.resources)
        call = self.looked.pop(data.call, None) or self._recalled(data)
        self.calls[data.call] = call
        if data.call_id is not None:
            self.call_ids[data.call_id] = (*self.call_ids.get(data.call_id, ()), data.call)
        self.context.used((), (call.use,))
        if data.served_by is not None:
            self._finish(data.call, call, data.served_status)

    def _recalled(self, data: ToolCalled) -> MadeCall:
        """A call from its event, with its path made absolute by the folder of that time."""
        name = self.text(data.name) if data.name else data.tool
        try:
            given = parse_json(self.text(data.arguments))
        except ValueError:
            given = None
        tool, arguments = named(self.tools, name), dict(Fields.of(given).raw)
        touched = (self._resources[ordinal - 1] for ordinal in (*data.reads, *data.writes))
        files = (self.text(each.key) for each in touched if each.kind is ResourceClass.FILE)
        path = next(files, "").removeprefix("tree:")
        if tool.path and path:
            arguments[tool.path] = path
        use = ToolUse(data.call, name, arguments)
        ordinal = data.signature if data.deterministic else None
        return self.call(use, tool, effects(tool, use), ordinal, data.group)

    def _learn_result(self, data: ToolReturned) -> None:
        call = None if data.unmatched else self.calls.pop(data.call, None)
        if call is None:
            return
        self._finish(data.call, call, data.status)
        if data.status is ReturnStatus.OK and call.tool.kind is Kind.PLANNING:
            text = self.text(data.result)
            self.plans, plan = self.plans.after(call.use.name, call.use.arguments, text)
            if plan is not None:
                self.hints.say(f"plan:{plan.slot}", plan.current if plan.active else "")

    def _finish(self, number: int, call: MadeCall, status: ReturnStatus) -> None:
        path = call.path if status is ReturnStatus.OK else ""
        done = Done(call.tool.name, path, call.searches)
        self._done[number] = self._same.setdefault(done, done)

    def _learn_page(self, page: PageWritten) -> None:
        if page.page_type is PageType.SUMMARY:
            self.told = False
        bodies, earlier = tuple(level.body for level in page.levels), self._bodies.get(page.page_id)
        self._bodies[page.page_id] = bodies if earlier is None else tuple(dict.fromkeys((*earlier, *bodies)))
        of_file = page.origin.kind is OriginKind.FILE
        source = self.text(page.source) if of_file or page.author in (Author.HARNESS, Author.MODEL) else ""
        full = next((level.body for level in page.levels if level.level is Fidelity.FULL), None)
        text = self.text(full)
        if page.page_type is PageType.CONVERSATION:
            if page.author is Author.MODEL and source == SUMMARY:
                return
            self._learn_words(page.author, text)
        call = page.origin.call if page.page_type is not PageType.PLAN else None
        done = self._done.get(call) if call is not None else None
        path = done.path if done else source if of_file else ""
        held = Held(
            page_id=page.page_id,
            text=text if page.page_type is PageType.PLAN else cleaned(text, done.searches if done else False),
            levels=_shared(tuple(level.level for level in page.levels)),
            bodies=bodies,
            line=page.origin.first,
            cleaned=page.page_type is not PageType.PLAN,
            search=done.searches if done else False,
            tool=done.tool if done else "",
            path=path,
            call=call,
            signature=page.signature,
            permanent=page.author is Author.HARNESS and (source == SYSTEM or (of_file and not page.origin.first)),
            summary=page.page_type is PageType.SUMMARY,
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
        if page.slot is not None and page.slot_name is not None and (name := self.text(page.slot_name)):
            self.slot_names[name] = page.slot
            self.slots[name] = page.page_id

    def _learn_erasure(self, data: ContentRedacted) -> None:
        gone = set(data.commitments)
        for held in list(self.context.pages.values()):
            if held.page_id in data.pages or not gone.isdisjoint(held.bodies):
                self.context.forget(held.page_id)

    def renders(self, page_id: str, text: str) -> bool:
        """Tell whether a text occurs in a level that its page has or had."""
        return any(text in self.text(body) for body in reversed(self._bodies.get(page_id, ())))

    def call(
        self, use: ToolUse, tool: Tool, done: Effects, ordinal: int | None, group: int | None = None
    ) -> MadeCall:
        """A call by its tool, its effects, its signature and its exchange."""
        about = self.edge.resource(done.about) if done.about else None
        repeatable = ordinal if done.deterministic else None
        return MadeCall(use, tool, _file(tool, use), done, repeatable, about, group)

    def text(self, commitment: str | None) -> str:
        """The text behind a commitment; empty if there is none or it was erased."""
        if commitment is None:
            return ""
        at_hand = self.edge.texts.get(commitment) or self._opened.get(commitment)
        return at_hand if at_hand is not None else self.edge.open(commitment) or ""


@cache
def _shared(levels: tuple[Fidelity, ...]) -> tuple[Fidelity, ...]:
    """One shared tuple per distinct value, to save memory."""
    return levels


def _texts(data: Event) -> Iterator[str | None]:
    """The commitments to the texts that an observer learns from an event."""
    if isinstance(data, PageWritten):
        yield data.source
        yield from (level.body for level in data.levels if level.level is Fidelity.FULL)
    elif isinstance(data, ToolCalled):
        yield from (data.name, data.arguments, *(each.key for each in data.resources))
    elif isinstance(data, TurnBegan | ModelResponded):
        yield data.model_name


def _file(tool: Tool, use: ToolUse) -> str:
    """The file whose content a call returns; else the empty string."""
    return path_of(tool, use) if any(key.startswith("file:") for key in read_by(tool, use)) else ""


def source_line(tool: Tool, use: ToolUse) -> str:
    """The source line of a call's result: the tool, its path, and its other arguments except written text."""
    path = path_of(tool, use)
    kept = {
        name: value
        for name, value in use.arguments.items()
        if name not in (tool.path, *tool.ignores) and tool.roles.get(name) not in (Role.REPLACED, Role.WRITTEN)
    }
    parts = [use.name, path, canonical(kept) if kept else ""]
    return " ".join(part for part in parts if part)[:SOURCE_CHARS]
