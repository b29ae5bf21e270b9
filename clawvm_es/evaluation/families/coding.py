"""Long-horizon coding: requests one after the other in one repository.

Each request names a file; the agent sets its plan, reads, searches, runs tests, edits and answers. Early requests
state constraints that later edits must keep. Edits change files, so that what was read before is stale and reading
again is no repetition; other files are read again although they are still known. The house rules are needed at each
commit and after each compaction; what was read for one request is wanted again many requests later.
"""

from __future__ import annotations

from random import Random

import attrs

from clawvm_es.evaluation.families.parameters import common, count, fixed, permille
from clawvm_es.evaluation.families.script import Key, Script, Texts
from clawvm_es.evaluation.families.story import Story, Subject, constraint_page, plan_page, rules_page
from clawvm_es.model.facts import Boundary, Op, ResourceClass, ReturnStatus
from clawvm_es.model.pages import Author


@attrs.frozen
class Coding:
    """Parameters of long-horizon coding; counts, and shares in permille."""

    requests: int = count(11, "requests of the user")
    turns: int = fixed(9, "turns that the agent works on one request")
    files: int = count(14, "files of the repository")
    constraints: int = count(2, "constraints, stated once with the first requests")
    compact_every: int = count(17, "turns from one compaction to the next")
    prune_every: int = count(12, "turns from one pruning of old tool results to the next")
    kept: int = count(6, "tool results that a pruning keeps")
    recall_every: int = count(7, "turns from one question to the memory backend to the next")
    edit_permille: int = permille(200, "turns of a request that edit a file (the last but one always does)")
    constraint_permille: int = permille(400, "edits that must keep a constraint, the one not needed for longest")
    fail_permille: int = permille(80, "tool calls that end with an error")
    late: int = common("late", 2)
    far_permille: int = common("far_permille", 400)
    compressed_permille: int = common("compressed_permille", 300)
    full_permille: int = common("full_permille", 400)
    hint_permille: int = common("hint_permille", 300)
    stray_permille: int = common("stray_permille", 100)
    repeat_permille: int = common("repeat_permille", 350)
    recall_fails_permille: int = common("recall_fails_permille", 400)


AREAS = ("billing", "search", "auth", "export", "mail", "cache", "upload", "report")
PARTS = ("model", "views", "client", "tasks", "rules", "store", "parser")
NOUNS = ("invoice", "session", "token", "query", "ticket", "label", "shard", "draft", "quota", "ledger")
VERBS = ("close", "merge", "verify", "expire", "render", "split", "reindex", "settle")
ERRORS = ("Closed", "TooLarge", "Stale", "Unknown", "Locked", "Refused")
RULES = (
    ("run make check before each commit", "; a red suite is never committed, not even on a branch"),
    ("no network in tests", ": use the recorded answers under tests/data"),
    ("commit as area: summary", ", at most 60 characters, in the imperative"),
)
CONSTRAINTS = (
    ("never rename public functions of {area}", "two partners call them; they read the changelog once a year"),
    ("keep {area} free of new dependencies", "the security review of the last release was about those only"),
    ("{area} must stay below 50 ms a call", "measured at the gateway, 99 of 100 calls"),
    ("do not log customer data in {area}", "the data protection officer checks the logs each month"),
)


def write(script: Script, dice: Random, parameters: Coding) -> None:
    """Write one session."""
    _Coding(Story(script, dice, parameters, RULES), parameters).run()


@attrs.define
class _Coding:
    story: Story
    parameters: Coding
    files: list[Subject] = attrs.field(factory=list)
    areas: list[str] = attrs.field(factory=list)
    constraints: list[str] = attrs.field(factory=list)
    steps: list[str] = attrs.field(factory=list)
    plan: str | None = None

    def run(self) -> None:
        story, parameters = self.story, self.parameters
        rules_page(story.script, "AGENTS.md", RULES)
        self.files = [self._file(number) for number in range(parameters.files)]
        story.keep_back(self.files[1:])
        open_files = [file for file in self.files if file not in story.late]
        targets = [open_files[number % len(open_files)] for number in range(parameters.requests)]
        self.steps = [f"{story.one(VERBS)} in {target.name}" for target in targets]
        for number, target in enumerate(targets):
            self._request(number, target)
        story.script.close()

    def _file(self, number: int) -> Subject:
        area, part = AREAS[number % len(AREAS)], PARTS[number % len(PARTS)]
        path = f"{area}/{part}{number}.py"
        key: Key = (ResourceClass.FILE, path)
        return Subject(path, f"read {path}", "read_file", {"path": path}, (key,), self._facts(), self._tail())

    def _facts(self) -> list[str]:
        story = self.story
        noun, verb, n = story.one(NOUNS), story.one(VERBS), story.number(2, 9999)
        return [
            f"def {verb}_{noun}(limit={n})",
            f"{noun.upper()}_MAX = {story.number(10, 9999)}  # per {story.one(NOUNS)}",
            f"raise {noun.title()}{story.one(ERRORS)}({story.number(100, 999)}) if retries > {story.number(2, 40)}",
        ]

    def _tail(self) -> str:
        story = self.story
        names = ", ".join(f"{story.one(VERBS)}_{story.one(NOUNS)}" for _ in range(3))
        return f"# {story.number(60, 400)} lines; also {names}; last changed for issue {story.number(100, 999)}"

    # ---------------------------------------------------------------------------------------- requests

    def _request(self, number: int, target: Subject) -> None:
        story, parameters = self.story, self.parameters
        self.areas.append(target.name.split("/")[0])
        known = story.known()
        like = f" Do it as in {story.one(known).name}." if known and story.chance(500) else ""
        story.script.says(Author.USER, f"Please look at {target.name}: raise the limit and cover it.{like}")
        if number < parameters.constraints:
            rule, why = CONSTRAINTS[number % len(CONSTRAINTS)]
            rule = rule.format(area=self.areas[number])
            constraint_page(story.script, rule, f"{why}; said with request {number + 1}")
            self.constraints.append(rule)
        for turn in range(parameters.turns):
            story.make_room(parameters.compact_every, parameters.prune_every, parameters.kept)
            if turn == 0:
                self._plan(number)
            elif turn == 1:
                self._read(target)
            elif number == 0 and turn < 2 + parameters.late:
                self._read_other()
            elif turn == parameters.turns - 2:
                self._edit(number, target)
            elif turn == parameters.turns - 1:
                self._answer(number, target)
            else:
                self._work(number, target)

    def _plan(self, number: int) -> None:
        story, script = self.story, self.story.script
        rules = [story.declared(self.steps[number - 1])] if self.plan else []
        self.story.turn([], rules)
        call = script.call("update_plan", {"step": str(number + 1)})
        script.returned(call, "plan updated")
        self.plan = plan_page(script, "new limits in all areas", self.steps, number, self.plan)

    def _work(self, number: int, target: Subject) -> None:
        story, parameters = self.story, self.parameters
        if story.due("recall", parameters.recall_every):
            self._recall(target)
        elif story.chance(parameters.edit_permille):
            self._edit(number, story.older() or target)
        elif story.chance(parameters.repeat_permille):
            self._read(story.older() or target)
        else:
            story.one((self._read_other, self._search, self._test))()

    def _read(self, subject: Subject) -> None:
        self.story.turn([])
        if self.story.chance(self.parameters.fail_permille):
            self._fail(subject)
        else:
            self.story.read(subject)

    def _fail(self, subject: Subject) -> None:
        script = self.story.script
        call = script.call(subject.tool, subject.arguments, reads=subject.reads, deterministic=True)
        text = f"error: {subject.name} is locked by another process"
        script.returned(call, text, status=ReturnStatus.ERROR)
        script.evidence(call, Texts(text, pointer=f"failed {subject.name}"), subject.handle)

    def _read_other(self) -> None:
        story = self.story
        subject = story.new_one(self.files)
        data = story.use(story.older())
        self.story.turn(data)
        story.read(subject, data)

    def _search(self) -> None:
        """Searches repeat a fact of a file and point at others: needs may then be met by either page."""
        story, script = self.story, self.story.script
        about = story.older()
        data = story.use(about)
        self.story.turn(data)
        noun = story.one(NOUNS)
        keys: list[Key] = [(ResourceClass.FILE, subject.name) for subject in self.files[:3]]
        call = script.call("search", {"pattern": noun}, reads=keys, deterministic=True, needs=data)
        hits = [f"{subject.name}: {subject.facts[0]}" for subject in (self.files[0], story.one(self.files))]
        head = f"search {noun}: {story.number(2, 40)} hits"
        texts = Texts("\n".join((head, *hits, f"and in {story.one(AREAS)}/tests")), "", f"{head}\n{hits[0]}", head)
        script.returned(call, texts.full)
        script.evidence(call, texts, head)

    def _test(self) -> None:
        story, script = self.story, self.story.script
        data = story.use(story.older())
        self.story.turn(data)
        area = story.one(AREAS)
        keys: list[Key] = [(ResourceClass.FILE, subject.name) for subject in self.files]
        call = script.call("run_tests", {"area": area}, reads=keys, needs=data)
        failed = story.number(0, 3)
        head = f"tests {area}: {failed} of {story.number(20, 90)} failed"
        line = f"test_{story.one(VERBS)}_{story.one(NOUNS)}: got {story.number(1, 999)}"
        texts = Texts(
            f"{head}\n{line}\nslowest {story.number(100, 900)} ms; seed {story.number(1, 9999)}", head, "", ""
        )
        script.returned(call, texts.full)
        script.evidence(call, texts, head)

    def _edit(self, number: int, subject: Subject) -> None:
        """An edit quotes what it replaces, keeps a constraint, and makes what was read of the file stale."""
        story, script = self.story, self.story.script
        if subject.page_id not in script.levels or subject.read != tuple(subject.facts):
            self._read(subject)
            return
        data = story.use(subject)
        rules = [story.declared(self.steps[number])] if story.chance(300) else []
        if self.constraints and story.chance(self.parameters.constraint_permille):
            self.constraints.append(self.constraints.pop(0))
            rules.append(story.declared(self.constraints[-1]))
        self.story.turn(data, rules)
        call = script.call("edit_file", {"path": subject.name}, writes=subject.reads, needs=data)
        subject.facts = self._facts()
        script.returned(call, f"edited {subject.name}: now {subject.facts[0]}")
        text = f"edited {subject.name}\nnow {subject.facts[0]}"
        script.evidence(call, Texts(text, pointer=f"edited {subject.name}"), f"edit {subject.name}")

    def _recall(self, target: Subject) -> None:
        story = self.story
        area = story.one(AREAS)
        data = story.use(story.older())
        self.story.turn(data)
        decision = f"{area}: limits were set to {story.number(10, 999)} by the review of week {story.number(1, 52)}"
        texts = Texts(f"{decision}\nagreed with operations; to be looked at again", "", decision, f"memory of {area}")
        story.recall(f"earlier decisions on {area}", lambda: texts, data)

    def _answer(self, number: int, target: Subject) -> None:
        """The commit that ends a request needs the house rules; what was decided is proposed for the store."""
        story, script = self.story, self.story.script
        rules = [story.declared(rule) for rule, _ in RULES[:1]] + [story.declared("commit as area: summary")]
        data = story.use(story.older())
        if number + 1 == self.parameters.requests:
            data += story.use_late()
        self.story.turn(data, rules + data, f"Done with {target.name}. The limit is {story.number(10, 999)} now.")
        last = f"p{script.pages}"
        script.stage("decisions", Op.APPEND, f'"{self.steps[number]}"', last)
        if number % 3 == 2:
            script.boundary(Boundary.SAVE)
