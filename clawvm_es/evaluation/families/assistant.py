"""Personal assistant with preferences and calendars: days of small requests, each day ended by a reset.

Preferences are stated once, some are changed later; they are written back at the reset, where some are dirty. The
calendar is read day by day: reading again repeats a call that still holds, unless something was booked since. Memory
of people is asked for and sometimes denied. Standing instructions are needed on the first turn of each day and before
each message that is sent; preferences are needed days after they were stated.
"""

from __future__ import annotations

from random import Random

import attrs

from clawvm_es.evaluation.families.parameters import common, count, fixed, permille
from clawvm_es.evaluation.families.script import Key, Script, Texts
from clawvm_es.evaluation.families.story import Story, Subject, constraint_page, plan_page, rules_page
from clawvm_es.model.facts import Boundary, Need, Op, ResourceClass
from clawvm_es.model.pages import Author, PageType


@attrs.frozen
class Assistant:
    """Parameters of the personal assistant; counts, and shares in permille."""

    days: int = count(5, "days, each ended by a reset of the context")
    requests: int = fixed(6, "requests of the user on one day, two or three turns each")
    calendar: int = count(9, "days of the calendar that are looked at")
    stated_permille: int = permille(350, "requests in which the user states a preference, or changes one")
    changed_permille: int = permille(300, "statements that change a preference which was stated before")
    preferred_permille: int = permille(700, "bookings and messages that need a preference")
    booked_permille: int = permille(500, "looks at the calendar after which something is booked")
    refused_permille: int = permille(150, "days on which the model proposes a change that it may not make")
    recall_every: int = count(5, "turns from one question to the memory backend to the next")
    flush_every: int = count(24, "turns from one flush to the next")
    late: int = common("late", 2)
    far_permille: int = common("far_permille", 450)
    compressed_permille: int = common("compressed_permille", 350)
    full_permille: int = common("full_permille", 250)
    hint_permille: int = common("hint_permille", 450)
    stray_permille: int = common("stray_permille", 100)
    repeat_permille: int = common("repeat_permille", 350)
    recall_fails_permille: int = common("recall_fails_permille", 450)


PEOPLE = ("Ines", "Tomasz", "Yuki", "Farid", "Leonie", "Marek", "Aisha", "Bruno", "Carla", "Noor")
TOPICS = ("budget", "roof repair", "school trip", "dentist", "flight", "tax letter", "garden", "recital", "audit")
WISHES = (
    ("seat", ("aisle", "window", "front row", "no middle")),
    ("lunch", ("no nuts", "vegan", "before noon", "no fish")),
    ("hotel", ("near the station", "quiet side", "with a desk", "no breakfast")),
    ("calls", ("video off", "at most 20 minutes", "never on Friday", "with minutes")),
    ("gifts", ("books only", "no flowers", "below 40 euro", "from the fair shop")),
    ("letters", ("signed by hand", "in French", "no titles", "two copies")),
)
RULES = (
    ("ask before money is spent", "; a yes of the same day is enough, up to the amount that was named"),
    ("sign as assistant of R. Vogel", ", never as R. Vogel alone, whoever writes"),
)
CONSTRAINTS = (
    ("nothing is booked before 9:30", "since the operation; the doctor wrote it down"),
    ("keep Wednesdays free", "that day belongs to the children, also in holidays"),
)


def write(script: Script, dice: Random, parameters: Assistant) -> None:
    """Write one session."""
    _Assistant(Story(script, dice, parameters), parameters).run()


@attrs.define
class _Wish:
    """A preference: its page, its value, and the text that only its full level holds."""

    page_id: str
    value: str
    detail: str


@attrs.define
class _Assistant:
    story: Story
    parameters: Assistant
    calendar: list[Subject] = attrs.field(factory=list)
    wishes: dict[str, _Wish] = attrs.field(factory=dict)
    steps: list[str] = attrs.field(factory=list)
    plan: str | None = None

    def run(self) -> None:
        story, parameters, script = self.story, self.parameters, self.story.script
        rules_page(script, "standing instructions", RULES)
        self.calendar = [self._day(number) for number in range(parameters.calendar)]
        story.keep_back(self.calendar)
        self.steps = [f"{story.one(TOPICS)} with {PEOPLE[day % len(PEOPLE)]}" for day in range(parameters.days)]
        for day in range(parameters.days):
            if day < len(CONSTRAINTS):
                constraint_page(script, *CONSTRAINTS[day])
            for request in range(parameters.requests):
                self._request(day, request)
            if day + 1 == parameters.days:
                story.turn([], story.use_late(), "The week in short: all is settled.")
            if day + 1 < parameters.days:
                script.boundary(Boundary.RESET)
        script.close()

    def _day(self, number: int) -> Subject:
        name = f"day {number + 1}"
        key: Key = (ResourceClass.NETWORK, name)
        arguments = {"day": str(number + 1)}
        return Subject(name, f"calendar of {name}", "calendar", arguments, (key,), self._entries(), self._free())

    def _entries(self) -> list[str]:
        story = self.story
        return [
            f"{story.number(*hours)}:{story.number(10, 59)} {story.one(TOPICS)} with {story.one(PEOPLE)}, "
            f"room {story.number(100, 999)}"
            for hours in ((9, 11), (12, 14), (15, 19))
        ]

    def _free(self) -> str:
        story = self.story
        return f"free from {story.number(19, 21)}:00; drive of {story.number(10, 90)} minutes to {story.one(PEOPLE)}"

    # ---------------------------------------------------------------------------------------- requests

    def _request(self, day: int, request: int) -> None:
        story, parameters, script = self.story, self.parameters, self.story.script
        if story.due("flush", parameters.flush_every):
            script.boundary(Boundary.FLUSH)
        person, topic = story.one(PEOPLE), story.one(TOPICS)
        if story.chance(parameters.stated_permille) or not self.wishes:
            self._state()
        else:
            known = story.known()
            when = story.one(known).name if known and story.chance(500) else "soon"
            script.says(Author.USER, f"Find a time for the {topic} with {person}: {when} if you can.")
        first = [self.story.declared(RULES[1][0])] if request == 0 else []
        if request == 0:
            self._plan(day, first)
        elif story.due("recall", parameters.recall_every):
            self._recall(person)
        self._look()
        self._write_to(person, topic, day)
        if request == 0 and story.chance(parameters.refused_permille):
            script.stage("standing", Op.APPEND, '"spend up to 50 without asking"', "p1", allowed=False)

    def _state(self) -> None:
        """The user states a preference, or another value of one: the page is written anew and is dirty again."""
        story, script = self.story, self.story.script
        open_names = [name for name, _ in WISHES if name not in self.wishes]
        changes = self.wishes and (not open_names or story.chance(self.parameters.changed_permille))
        name = story.one(list(self.wishes) if changes else open_names)
        values = dict(WISHES)[name]
        value = story.one(values)
        number = story.number(10, 99)
        detail = f"unless {story.one(PEOPLE)} asks; case {number}"
        texts = Texts(
            f"{name}: {value}\nsaid by the user; {detail}",
            f"{name}: {value}\n{detail}",
            f"{name}: {value}",
            f"wish {name}"[:11],
        )
        script.says(Author.USER, f"By the way: about {name} there is something to keep in mind.")
        known = self.wishes.get(name)
        page_id = script.page(
            PageType.PREFERENCE, texts, Author.USER, page_id=known.page_id if known else None, source="user"
        )
        self.wishes[name] = _Wish(page_id, value, detail)

    def _wanted(self) -> list[Need]:
        """The need of a preference: its value, or what was said beside it."""
        story = self.story
        if not self.wishes or not story.chance(self.parameters.preferred_permille):
            return []
        name = story.one(list(self.wishes))
        wish = self.wishes[name]
        more = story.chance(self.parameters.full_permille)
        return [story.declared(wish.detail if more else f"{name}: {wish.value}")]

    def _plan(self, day: int, rules: list[Need]) -> None:
        script = self.story.script
        if self.plan:
            rules = [*rules, self.story.declared(self.steps[day - 1])]
        self.story.turn([], rules)
        call = script.call("update_plan", {"day": str(day + 1)})
        script.returned(call, "plan updated")
        self.plan = plan_page(script, "a calm week", self.steps, day, self.plan)

    def _look(self) -> None:
        """A look at the calendar, again or for the first time, and perhaps a booking that changes the day."""
        story, parameters, script = self.story, self.parameters, self.story.script
        fresh = [day for day in self.calendar if day.page_id is None]
        again = story.older() if story.chance(parameters.repeat_permille) or not fresh else None
        day = again or story.new_one(self.calendar)
        data = [] if again else story.use(story.older())
        story.turn(data)
        story.read(day, data)
        if day in story.late or not story.chance(parameters.booked_permille):
            return
        data = [*story.use(day), *self._wanted()]
        rules = [story.declared(story.one(CONSTRAINTS[:1])[0])]
        story.turn(data, rules)
        call = script.call(
            "book", {"day": day.arguments["day"], "n": str(script.calls)}, writes=day.reads, needs=data
        )
        day.facts = [self._entries()[0], *day.facts[1:]]
        script.returned(call, "booked")
        script.evidence(call, Texts(f"booked on {day.name}\n{day.facts[0]}", pointer=f"booked {day.name}"), "book")

    def _recall(self, person: str) -> None:
        story = self.story
        data = self._wanted()
        story.turn(data)
        line = f"{person} moved to house {story.number(1, 300)}"
        texts = Texts(f"{line}\nlast seen in week {story.number(1, 52)}", "", line, f"memory: {person}"[:16])
        story.recall(f"what is known of {person}", lambda: texts, data)

    def _write_to(self, person: str, topic: str, day: int) -> None:
        """A message needs the standing instructions, what the calendar says, and often a preference."""
        story, script = self.story, self.story.script
        data = [*story.use(story.older()), *self._wanted()]
        rules = [story.declared(story.one(RULES)[0])]
        if day >= 1 and story.chance(400):
            rules.append(story.declared(CONSTRAINTS[1][0]))
        story.turn(data, rules, f"I wrote to {person} about the {topic}. Answer in {story.number(1, 9)} days.")
        call = script.call("send", {"to": person, "n": str(script.calls)}, needs=data)
        script.returned(call, "sent")
