"""Shared parts of the families: subjects that an agent reads, forgets and needs again, and a random generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, TypeVar

import attrs

from clawvm_es.evaluation.families.parameters import Parameters
from clawvm_es.evaluation.families.script import Key, Script, Texts
from clawvm_es.model.facts import Boundary, Need, NeedRule, RecallOutcome
from clawvm_es.model.pages import Author, Origin, OriginKind, PageType

NEAR: Final = 3
"""Near needs go to that many subjects, those that were used last."""
FAR_TURNS: Final = 16
"""Far needs go to subjects that were last used so many turns ago, or longer; where there are none, to the last."""
T = TypeVar("T")


@attrs.define(eq=False)
class Subject:
    """Something that can be read, and read again: a file, a source, a day of a calendar, a service.

    Of its three `facts` the first stands in every level above the pointer, the second from compressed up, the third
    and the `tail` in full only.
    """

    name: str
    handle: str
    tool: str
    arguments: Mapping[str, str]
    reads: tuple[Key, ...]
    facts: list[str]
    tail: str
    page_id: str | None = None  # the page of its newest reading
    read: tuple[str, ...] = ()  # its facts as that page holds them
    used: int = 0  # turn

    def texts(self) -> Texts:
        """The page of its reading now."""
        first, second, third = self.facts
        return Texts(
            full="\n".join((self.handle, first, second, third, self.tail)),
            compressed="\n".join((self.handle, first, second)),
            structured=f"{self.handle}\n{first}",
            pointer=self.handle,
        )


@attrs.define
class Story:
    """A script and its random generator, whose integers are drawn in story order."""

    script: Script
    dice: Random
    parameters: Parameters
    rules: Sequence[tuple[str, str]] = ()  # what the model was told at the start, and why
    forgets: bool = False  # the harness destroyed context since the last turn
    subjects: list[Subject] = attrs.field(factory=list)  # that were read, oldest first
    late: list[Subject] = attrs.field(factory=list)  # read first, and needed at the end only
    last: dict[str, int] = attrs.field(factory=dict)  # what comes again and again → the turn of its last time

    # --------------------------------------------------------------------------------------------- dice

    def chance(self, permille: int) -> bool:
        """True `permille` times of a thousand."""
        return self.dice.randrange(1000) < permille

    def one(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.dice.randrange(len(items))]

    def number(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return self.dice.randrange(low, high + 1)

    def due(self, what: str, every: int) -> bool:
        """Tell whether `every` turns have passed since this was last true, or since the session began."""
        if self.script.turn - self.last.get(what, 0) < every:
            return False
        self.last[what] = self.script.turn
        return True

    # ------------------------------------------------------------------------------------------ reading

    def read(self, subject: Subject, needs: Sequence[Need] = ()) -> None:
        """Call the tool that reads a subject; if a page holds the same text, that is a repeated read."""
        script = self.script
        texts = subject.texts()
        again = subject.page_id in script.levels and subject.read == tuple(subject.facts)
        call = script.call(subject.tool, subject.arguments, reads=subject.reads, deterministic=True, needs=needs)
        repeated = (script.need(texts.full, NeedRule.REPEATED_READ),) if again else ()
        script.returned(call, texts.full, needs=repeated)
        if not again:
            subject.page_id = script.evidence(call, texts, subject.handle)
            subject.read = tuple(subject.facts)
        if subject in self.subjects:
            self.subjects.remove(subject)
        self.subjects.append(subject)
        subject.used = script.turn

    def known(self) -> list[Subject]:
        """Subjects that have a page."""
        return [subject for subject in self.subjects if subject.page_id in self.script.levels]

    def keep_back(self, subjects: Sequence[Subject]) -> None:
        """Read these before any others, and need them only at the end."""
        self.late = list(subjects[: self.parameters.late])

    def in_use(self) -> list[Subject]:
        """Known subjects, except those kept for the end."""
        return [subject for subject in self.known() if subject not in self.late]

    def new_one(self, subjects: Sequence[Subject]) -> Subject:
        """A subject that was not read yet; if all were, any of them."""
        for subject in self.late:
            if subject.page_id is None:
                return subject
        others = [subject for subject in subjects if subject not in self.late]
        return self.one([subject for subject in others if subject.page_id is None] or others or subjects)

    def use_late(self) -> list[Need]:
        """The needs of the subjects kept for the end."""
        return [need for subject in self.late if subject.page_id in self.script.levels for need in self.use(subject)]

    def older(self) -> Subject | None:
        """A subject whose text is needed again, near or far; None if nothing was read yet."""
        known = sorted(self.in_use(), key=lambda subject: -subject.used)
        far = [subject for subject in known if self.script.turn - subject.used >= FAR_TURNS]
        wants_far = self.chance(self.parameters.far_permille)
        pool = (far or known[-1:]) if wants_far else known[:NEAR]
        return self.one(pool) if pool else None

    def use(self, subject: Subject | None, rule: NeedRule = NeedRule.DATA_FLOW) -> list[Need]:
        """The need of one fact of a subject; none without a subject."""
        if subject is None:
            return []
        draw = self.dice.randrange(1000)
        full = self.parameters.full_permille
        fact = subject.read[2 if draw < full else 1 if draw < full + self.parameters.compressed_permille else 0]
        subject.used = self.script.turn + 1
        return [self.script.need(fact, rule)]

    def declared(self, text: str) -> Need:
        """The need of a rule, a constraint, a preference or the plan, as the caller told it."""
        return self.script.need(text, NeedRule.DECLARED)

    # -------------------------------------------------------------------------------------------- turns

    def turn(self, data: Sequence[Need] = (), rules: Sequence[Need] = (), text: str = "") -> None:
        """Begin a turn with its hints and let the model answer: `rules` ride on the answer, `data` on what follows.

        The first turn after context was destroyed always needs one of the rules. `text` is the model's answer; it
        becomes a page of the conversation.
        """
        if self.forgets:
            rules = [*rules, self.declared(self.one(self.rules)[0])]
            self.forgets = False
        parameters = self.parameters
        hints = [need.holders[-1].page_id for need in data if self.chance(parameters.hint_permille)]
        known = self.known()
        if known and self.chance(parameters.stray_permille):
            hints.append(self.one(known).page_id or "")
        self.script.begin(hints)
        self.script.respond(rules)
        if text:
            self.script.says(Author.MODEL, text)

    def make_room(self, compact_every: int, prune_every: int, kept: int) -> None:
        """Write a harness's work between turns: compact, or prune all tool results but the `kept` newest, as due."""
        if self.due("compact", compact_every):
            self.script.boundary(Boundary.COMPACT)
            self.forgets = True
        elif self.due("prune", prune_every):
            pages = self.oldest_evidence(kept)
            if pages:
                self.script.boundary(Boundary.PRUNE, pages)

    def recall(self, query: str, answer: Callable[[], Texts], needs: Sequence[Need] = ()) -> str | None:
        """Query the memory backend; returns the page that holds its answer, None if it gave none."""
        if self.chance(self.parameters.recall_fails_permille):
            failures = (
                RecallOutcome.DENIED,
                RecallOutcome.BACKEND_ERROR,
                RecallOutcome.MALFORMED,
                RecallOutcome.NO_MATCH,
            )
            self.script.recalled(query, self.one(failures), needs=needs)
            return None
        origin = Origin(OriginKind.RECORD)
        page_id = self.script.page(PageType.EVIDENCE, answer(), Author.TOOL, origin=origin, source=f"recall {query}")
        self.script.recalled(query, RecallOutcome.OK, (page_id,), needs)
        return page_id

    def oldest_evidence(self, keep: int) -> list[str]:
        """Pages of the subjects that were not used last, all but `keep`: what a harness prunes."""
        known = sorted(self.known(), key=lambda subject: subject.used)
        return [subject.page_id for subject in known[: max(0, len(known) - keep)] if subject.page_id]


def rules_page(script: Script, title: str, rules: Sequence[tuple[str, str]]) -> str:
    """A bootstrap page: each rule as its short form and what follows it in full."""
    short = [rule for rule, _ in rules]
    texts = Texts(
        full="\n".join((title, *(f"- {rule}{more}" for rule, more in rules))),
        compressed="\n".join((title, *(f"- {rule}" for rule in short))),
        structured="\n".join(f"- {rule}" for rule in short),
    )
    return script.page(PageType.BOOTSTRAP, texts, Author.HARNESS, source=title)


def constraint_page(script: Script, rule: str, why: str) -> str:
    """A constraint: the rule alone, and in full with where it came from."""
    return script.page(PageType.CONSTRAINT, Texts(f"{rule}\n{why}", structured=rule), Author.USER)


def plan_page(
    script: Script, goal: str, steps: Sequence[str], current: int, page_id: str | None = None, active: bool = True
) -> str:
    """A plan at step `current` (from 0), in full, with its open steps only, or as goal, progress, now and next."""
    marks = ["x" if place < current else ">" if place == current else " " for place in range(len(steps))]
    lines = [f"[{mark}] {step}" for mark, step in zip(marks, steps, strict=True)]
    now = steps[min(current, len(steps) - 1)]
    after = steps[current + 1] if current + 1 < len(steps) else "finish"
    texts = Texts(
        full="\n".join((f"goal: {goal}", *lines)),
        compressed="\n".join((f"goal: {goal}; {current} done", *lines[current : current + 4])),
        structured=f"goal: {goal}; {current}/{len(steps)} done\nnow {now}; next {after}",
    )
    return script.page(PageType.PLAN, texts, Author.MODEL, page_id=page_id, source="plan", active=active)
