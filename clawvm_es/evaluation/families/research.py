"""Research with evidence churn: questions on one topic, sources that are revised while the work goes on.

The agent searches, fetches sources, notes findings in the durable store and writes sections. Between its turns
sources are revised: the page is written anew in place, or a newer one replaces it, and what was read before is
withdrawn. Searches are repeated; most of the time nothing has changed since. Sections draw on sources that were
fetched long ago. Rules of citation are needed with every section and after each compaction.
"""

from __future__ import annotations

from random import Random

import attrs

from clawvm_es.evaluation.families.parameters import common, count, fixed, permille
from clawvm_es.evaluation.families.script import Key, Script, Texts
from clawvm_es.evaluation.families.story import Story, Subject, constraint_page, plan_page, rules_page
from clawvm_es.model.facts import Boundary, Op, ResourceClass
from clawvm_es.model.pages import Author


@attrs.frozen
class Research:
    """Parameters of research with evidence churn; counts, and shares in permille."""

    questions: int = count(9, "questions of the user, one section each")
    turns: int = fixed(10, "turns that the agent works on one question")
    sources: int = count(24, "sources that can be fetched")
    churn_permille: int = permille(350, "turns before which a source that was read is revised")
    replaced_permille: int = permille(400, "revisions that come as a new page and withdraw the old one")
    cited: int = count(2, "facts of sources that a section needs")
    compact_every: int = count(22, "turns from one compaction to the next")
    prune_every: int = count(15, "turns from one pruning of old sources to the next")
    kept: int = count(8, "sources that a pruning keeps")
    recall_every: int = count(6, "turns from one question to the memory backend to the next")
    late: int = common("late", 2)
    far_permille: int = common("far_permille", 550)
    compressed_permille: int = common("compressed_permille", 350)
    full_permille: int = common("full_permille", 300)
    hint_permille: int = common("hint_permille", 250)
    stray_permille: int = common("stray_permille", 150)
    repeat_permille: int = common("repeat_permille", 250)
    recall_fails_permille: int = common("recall_fails_permille", 350)


PLACES = (
    "Bremen",
    "Ghent",
    "Malmo",
    "Porto",
    "Brno",
    "Turku",
    "Leeds",
    "Lyon",
    "Graz",
    "Bergen",
    "Trieste",
    "Gdansk",
)
MEASURES = ("heat pumps", "tram lines", "flood gates", "green roofs", "bus lanes", "sponge parks", "solar roofs")
ORGANS = ("council", "water board", "university", "grid operator", "audit office", "chamber")
RULES = (
    ("cite each figure with its source", ": place, organ and year in brackets behind the sentence"),
    ("figures in euro and tonnes", "; convert others with the rate of the year they were paid in"),
)
CONSTRAINTS = (
    ("use no source from before 2019", "the law of that year changed what was counted"),
    ("leave out national totals", "the client compares cities only"),
)


def write(script: Script, dice: Random, parameters: Research) -> None:
    """Write one session."""
    _Research(Story(script, dice, parameters, RULES), parameters).run()


@attrs.define
class _Research:
    story: Story
    parameters: Research
    sources: list[Subject] = attrs.field(factory=list)
    steps: list[str] = attrs.field(factory=list)
    plan: str | None = None
    notes: list[str] = attrs.field(factory=list)  # what sections already say

    def run(self) -> None:
        story, parameters = self.story, self.parameters
        rules_page(story.script, "house style of reports", RULES)
        self.sources = [self._source(number) for number in range(parameters.sources)]
        story.keep_back(self.sources)
        self.steps = [f"section on {MEASURES[number % len(MEASURES)]}" for number in range(parameters.questions)]
        for number in range(parameters.questions):
            self._question(number)
        story.script.close()

    def _source(self, number: int) -> Subject:
        place, organ = PLACES[number % len(PLACES)], ORGANS[number % len(ORGANS)]
        name = f"{place} {organ} report {number + 1}"
        key: Key = (ResourceClass.NETWORK, name)
        return Subject(name, name, "fetch", {"source": name}, (key,), self._facts(place), self._tail())

    def _facts(self, place: str) -> list[str]:
        story = self.story
        measure = story.one(MEASURES)
        return [
            f"{place} paid {story.number(1, 999)} million for {measure}",
            f"saved {story.number(1, 90)},{story.number(100, 999)} t in year {story.number(1, 9)} ({measure})",
            f"cost per household {story.number(100, 9999)} euro after grants of {story.number(5, 70)} percent",
        ]

    def _tail(self) -> str:
        story = self.story
        return f"{story.number(4, 90)} pages; table {story.number(1, 30)}; reviewed by the {story.one(ORGANS)}"

    # --------------------------------------------------------------------------------------- questions

    def _question(self, number: int) -> None:
        story, parameters = self.story, self.parameters
        known = story.known()
        like = f" Compare with the {story.one(known).name}." if known and story.chance(600) else ""
        story.script.says(Author.USER, f"Now {MEASURES[number % len(MEASURES)]}: cost and effect.{like}")
        if number < len(CONSTRAINTS):
            rule, why = CONSTRAINTS[number]
            constraint_page(story.script, rule, why)
        for turn in range(parameters.turns):
            self._between_turns()
            if turn == 0:
                self._plan(number)
            elif turn < 3:
                self._fetch_new()
            elif turn == parameters.turns - 1:
                self._section(number)
            else:
                self._work()

    def _between_turns(self) -> None:
        """Write what happens while the agent does nothing: sources are revised, the harness makes room."""
        story, parameters = self.story, self.parameters
        known = story.in_use()
        if known and story.chance(parameters.churn_permille):
            self._revise(story.one(known))
        story.make_room(parameters.compact_every, parameters.prune_every, parameters.kept)

    def _revise(self, source: Subject) -> None:
        """A source has new figures: its page is written anew, or replaced by a new one."""
        story, script = self.story, self.story.script
        source.facts = self._facts(source.name.split(" ", maxsplit=1)[0])
        source.tail = self._tail()
        kept = None if story.chance(self.parameters.replaced_permille) else source.page_id
        if kept is None and source.page_id:
            script.retire(source.page_id)
        call = script.call("watch", {"source": source.name}, writes=source.reads, principal="harness")
        script.returned(call, f"{source.name} was revised")
        source.page_id = script.evidence(call, source.texts(), source.handle, kept)
        source.read = tuple(source.facts)

    def _plan(self, number: int) -> None:
        script = self.story.script
        rules = [self.story.declared(self.steps[number - 1])] if self.plan else []
        self.story.turn([], rules)
        call = script.call("update_plan", {"step": str(number + 1)})
        script.returned(call, "plan updated")
        self.plan = plan_page(script, "report on city measures", self.steps, number, self.plan)

    def _work(self) -> None:
        story, parameters = self.story, self.parameters
        if story.due("recall", parameters.recall_every):
            self._recall()
        elif story.chance(parameters.repeat_permille):
            self._fetch_again()
        else:
            story.one((self._fetch_new, self._search, self._note))()

    def _fetch_new(self) -> None:
        story = self.story
        data = story.use(story.older())
        self.story.turn(data)
        story.read(story.new_one(self.sources), data)

    def _fetch_again(self) -> None:
        source = self.story.older()
        if source is None:
            self._fetch_new()
            return
        self.story.turn([])
        self.story.read(source)

    def _search(self) -> None:
        """A search names sources and repeats a figure of one; few queries, so that they come again."""
        story, script = self.story, self.story.script
        data = story.use(story.older())
        self.story.turn(data)
        query = story.one(MEASURES)
        found = [self.sources[MEASURES.index(query) % len(self.sources)], self.sources[-1]]
        keys = [key for source in found for key in source.reads]
        call = script.call("search", {"query": query}, reads=keys, deterministic=True, needs=data)
        head = f"search {query}"
        lines = [f"{source.name}: {source.facts[0]}" for source in found]
        texts = Texts("\n".join((head, *lines)), "", f"{head}\n{lines[0]}", head)
        script.returned(call, texts.full)
        script.evidence(call, texts, head)

    def _note(self) -> None:
        """A finding is proposed for the durable store, with the page that it rests on."""
        story, script = self.story, self.story.script
        source = story.older()
        data = story.use(source)
        self.story.turn(data, data)
        if source is not None and source.page_id:
            script.stage("findings", Op.APPEND, f'"{source.read[0]}"', source.page_id)

    def _recall(self) -> None:
        story = self.story
        place = story.one(PLACES)
        data = story.use(story.older())
        self.story.turn(data)
        line = f"{place}: the {story.one(ORGANS)} corrected {story.number(2, 60)} figures"
        texts = Texts(
            f"{line}\nnoted in an earlier report, page {story.number(1, 80)}", "", line, f"memory of {place}"
        )
        story.recall(f"what is known of {place}", lambda: texts, data)

    def _section(self, number: int) -> None:
        """A section needs figures of several sources, old and new, the rules of citation and the constraints."""
        story, script = self.story, self.story.script
        data = [need for _ in range(self.parameters.cited) for need in story.use(story.older())]
        if number + 1 == self.parameters.questions:
            data += story.use_late()
        rules = [story.declared(rule) for rule, _ in RULES]
        rules += [story.declared(rule) for rule, _ in CONSTRAINTS[: number + 1]]
        if self.notes and story.chance(500):
            rules.append(story.declared(story.one(self.notes)))
        said = f"finding {number + 1}: {story.one(MEASURES)} pay off after {story.number(3, 40)} years"
        self.story.turn(data, rules + data, f"Section done. {said}; see {story.one(PLACES)} and {story.one(PLACES)}.")
        self.notes.append(said)
        if number % 2:
            script.boundary(Boundary.SAVE)
