"""Operations runbook with policies and resets: incidents worked off step by step, shifts ended by a reset.

Policies are bootstrap pages; a change freeze is a constraint, stated in one shift and needed in later ones. The
runbook is the plan and advances every few turns; it is often dirty when a shift ends. The state of services is
checked again and again: such a call repeats the one before, unless a restart came between. Findings of an incident
are needed shifts later; the memory of past incidents fails as often as it helps.
"""

from __future__ import annotations

from random import Random

import attrs

from clawvm_es.evaluation.families.parameters import common, count, fixed, permille
from clawvm_es.evaluation.families.script import Key, Script, Texts
from clawvm_es.evaluation.families.story import Story, Subject, constraint_page, plan_page, rules_page
from clawvm_es.model.facts import Boundary, Need, Op, ResourceClass, ReturnStatus
from clawvm_es.model.pages import Author


@attrs.frozen
class Runbook:
    """Parameters of the operations runbook; counts, and shares in permille."""

    shifts: int = count(7, "shifts, each ended by a reset of the context")
    steps: int = fixed(4, "steps of the runbook in one shift")
    turns: int = fixed(3, "turns for one step, the last of which advances the plan")
    services: int = count(10, "services that are watched")
    restart_permille: int = permille(300, "steps that restart a service, so that its state must be read again")
    policy_permille: int = permille(600, "restarts and hand-overs that quote a policy")
    freeze_permille: int = permille(500, "restarts and hand-overs that need a constraint")
    fail_permille: int = permille(100, "checks that end with an error")
    prune_every: int = count(10, "turns from one pruning of old checks to the next")
    kept: int = count(4, "checks that a pruning keeps")
    recall_every: int = count(5, "turns from one question to the memory of past incidents to the next")
    double_reset_permille: int = permille(250, "ends of shifts at which the harness resets twice in a row")
    late: int = common("late", 2)
    far_permille: int = common("far_permille", 350)
    compressed_permille: int = common("compressed_permille", 250)
    full_permille: int = common("full_permille", 350)
    hint_permille: int = common("hint_permille", 400)
    stray_permille: int = common("stray_permille", 200)
    repeat_permille: int = common("repeat_permille", 450)
    recall_fails_permille: int = common("recall_fails_permille", 600)


SERVICES = ("gateway", "ledger", "mailer", "indexer", "resizer", "payments", "auth", "reports", "queue", "archive")
SIGNS = ("disk", "heap", "lag", "sockets", "threads", "handles")
STATES = ("degraded", "healthy", "draining", "restarting", "read-only")
DEEDS = ("drain", "scale", "rotate keys of", "fail over", "compact", "patch")
POLICIES = (
    ("two persons for each restart", "; the second reads the command aloud before it is sent"),
    ("page the owner after 15 minutes", ", by phone, not by mail, also at night"),
    ("never delete logs", ": move them to the archive, with the ticket in the name"),
)
FREEZES = (
    ("payments is frozen until the audit", "told by the head of finance; exceptions in writing only"),
    ("no failover to the south site", "its cooling is being repaired; the contractor calls when done"),
)


def write(script: Script, dice: Random, parameters: Runbook) -> None:
    """Write one session."""
    _Runbook(Story(script, dice, parameters, POLICIES), parameters).run()


@attrs.define
class _Runbook:
    story: Story
    parameters: Runbook
    services: list[Subject] = attrs.field(factory=list)
    frozen: list[str] = attrs.field(factory=list)
    steps: list[str] = attrs.field(factory=list)
    plan: str | None = None
    step: int = 0

    def run(self) -> None:
        parameters, script = self.parameters, self.story.script
        rules_page(script, "policies of operations", POLICIES)
        self.services = [self._service(number) for number in range(parameters.services)]
        self.story.keep_back(self.services)
        for shift in range(parameters.shifts):
            self._shift(shift)
            if shift + 1 < parameters.shifts:
                self._hand_over(shift)
        self.story.turn([], self.story.use_late(), "The week in short: all alarms are settled.")
        script.close()

    def _service(self, number: int) -> Subject:
        name = SERVICES[number % len(SERVICES)] + ("" if number < len(SERVICES) else f"-{number}")
        key: Key = (ResourceClass.PROCESS, name)
        return Subject(name, f"status of {name}", "status", {"service": name}, (key,), self._signs(), self._more())

    def _signs(self) -> list[str]:
        story = self.story
        return [
            f"{story.one(STATES)} since {story.number(10, 23)}:{story.number(10, 59)} build {story.number(100, 999)}",
            f"{story.one(SIGNS)} at {story.number(10, 99)} percent on node {story.number(10, 99)}",
            f"error E{story.number(1000, 9999)} from {story.one(SERVICES)}: {story.number(2, 900)} times",
        ]

    def _more(self) -> str:
        story = self.story
        return f"owner team {story.number(1, 9)}; last deploy by ticket {story.number(1000, 9999)}; quorum 3 of 5"

    # ------------------------------------------------------------------------------------------ shifts

    def _shift(self, shift: int) -> None:
        story, parameters, script = self.story, self.parameters, self.story.script
        place = story.one(self.services[parameters.late :] or self.services)
        script.says(Author.USER, f"Shift {shift + 1}: {place.name} raises alarms. Work off the runbook.")
        if shift < len(FREEZES):
            constraint_page(script, *FREEZES[shift])
            self.frozen.append(FREEZES[shift][0])
        self.steps = [f"{story.one(DEEDS)} {story.one(self.services).name}" for _ in range(parameters.steps)]
        for step in range(parameters.steps):
            self.step = step
            self._advance(shift)
            for _ in range(parameters.turns - 1):
                self._prune()
                self._work(place)
            if story.chance(parameters.restart_permille):
                self._restart(place)
                self._check(place)

    def _prune(self) -> None:
        story, script = self.story, self.story.script
        if story.due("prune", self.parameters.prune_every):
            pages = story.oldest_evidence(self.parameters.kept)
            if pages:
                script.boundary(Boundary.PRUNE, pages)

    def _advance(self, shift: int) -> None:
        """The plan moves on; the step before it is what the model goes by."""
        script = self.story.script
        before = [self.story.declared(self.steps[self.step - 1])] if self.plan and self.step else []
        self.story.turn([], before)
        call = script.call("update_plan", {"shift": str(shift), "step": str(self.step)})
        script.returned(call, "plan updated")
        self.plan = plan_page(script, f"calm shift {shift + 1}", self.steps, self.step, self.plan)

    def _work(self, place: Subject) -> None:
        story, parameters = self.story, self.parameters
        if story.due("recall", parameters.recall_every):
            self._recall(place)
        elif story.chance(parameters.repeat_permille):
            self._check(story.older() or place)
        else:
            story.one((self._check_new, self._logs))()

    def _check_new(self) -> None:
        self._check(self.story.new_one(self.services))

    def _check(self, service: Subject) -> None:
        story, script = self.story, self.story.script
        rules = [story.declared(self.steps[self.step])] if story.chance(300) else []
        data = story.use(story.older()) if story.chance(500) else []
        self.story.turn(data, rules)
        if story.chance(self.parameters.fail_permille):
            call = script.call(service.tool, service.arguments, reads=service.reads, deterministic=True, needs=data)
            text = f"error: {service.name} did not answer within {story.number(2, 60)} s"
            script.returned(call, text, status=ReturnStatus.ERROR)
            script.evidence(call, Texts(text, pointer=f"no answer {service.name}"), service.handle)
        else:
            story.read(service, data)

    def _logs(self) -> None:
        """A look into logs: never the same twice, and long."""
        story, script = self.story, self.story.script
        about = story.older()
        data = story.use(about)
        self.story.turn(data)
        name = about.name if about else story.one(self.services).name
        call = script.call("logs", {"service": name, "n": str(script.calls)}, needs=data)
        head = f"logs of {name} {story.number(100, 999)}"
        lines = [f"{story.one(SIGNS)} {story.number(1, 99)}: E{story.number(1000, 9999)} retried" for _ in range(4)]
        texts = Texts("\n".join((head, *lines)), "\n".join((head, *lines[:2])), f"{head}\n{lines[0]}", head)
        script.returned(call, texts.full)
        script.evidence(call, texts, head)

    def _asked(self) -> list[Need]:
        """The policy and the constraint that a restart or a hand-over needs."""
        story, parameters = self.story, self.parameters
        rules = [story.declared(POLICIES[0][0])] if story.chance(parameters.policy_permille) else []
        if story.chance(parameters.freeze_permille):
            rules.append(story.declared(story.one(self.frozen)))
        return rules

    def _restart(self, service: Subject) -> None:
        """A restart goes by what was seen of the service, and makes it stale."""
        story, script = self.story, self.story.script
        seen = service.page_id in script.levels
        data = story.use(service if seen else story.older())
        self.story.turn(data, self._asked())
        call = script.call(
            "restart", {"service": service.name, "n": str(script.calls)}, writes=service.reads, needs=data
        )
        service.facts = self._signs()
        script.returned(call, "restarted")
        text = f"restarted {service.name}\nticket {story.number(1000, 9999)}"
        script.evidence(call, Texts(text, pointer=f"restart {service.name}"[:18]), "restart")

    def _recall(self, place: Subject) -> None:
        story = self.story
        data = story.use(story.older())
        self.story.turn(data)
        line = f"{place.name}: incident {story.number(100, 999)} was a full {story.one(SIGNS)}"
        texts = Texts(
            f"{line}\nsolved in {story.number(5, 300)} minutes by team {story.number(1, 9)}", "", line, "past"
        )
        story.recall(f"past incidents of {place.name}", lambda: texts, data)

    def _hand_over(self, shift: int) -> None:
        """The end of a shift: a report that needs findings and policies, a dirty plan, and one or two resets."""
        story, script = self.story, self.story.script
        data = [need for _ in range(2) for need in story.use(story.older())]
        said = f"Shift {shift + 1} ends with {story.number(0, 9)} open alarms. Next: {story.one(self.services).name}."
        self.story.turn(data, self._asked() + data, said)
        self.plan = plan_page(script, f"calm shift {shift + 2}", self.steps, len(self.steps) - 1, self.plan)
        script.stage("incidents", Op.APPEND, f'"shift {shift + 1}"', f"p{script.pages}")
        script.boundary(Boundary.RESET)
        if story.chance(self.parameters.double_reset_permille):
            script.boundary(Boundary.RESET)
        self.story.forgets = True
