"""Makes the golden journal of the current version; run by hand, once a version: `python -m tests.golden.make`.

The journal holds every event type. It is a file as this version wrote it, so that later versions prove that they
still open, verify and rebuild it. What is new since the version before: version 2 has forks, and calls that the tape
of a fork answered; version 3 has policies without scoring, with a cache, and with thresholds of their own; version 4
has sessions that were closed and resumed under other settings, and validators that raise; version 5 has the fields of
layouts, exchanges, models and cuts, at their defaults; version 6 has a session as its harness had it, which was
compacted and rewound; version 7 has sessions that page in epochs, with every trigger and a clock that jumps;
version 8 has policies that rank for an epoch; version 9 has a cut that is inferred from what a provider counted;
version 10 has policies that pay no rent for the open exchange; version 11 has policies that know copies; version 12
has thoughts that leave as the user speaks.
"""

import itertools
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import attrs

from clawvm_es.core.decide import DECIDER_VERSION
from clawvm_es.core.profiles import CLAWVM, RECORDED, without
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema
from clawvm_es.history import end_of_turn
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Boundary, Cut, Holder, Need, NeedRule, RedactReason, ToldBy, Trigger
from clawvm_es.model.pages import Author, Origin, OriginKind, PageType, Pin
from clawvm_es.model.profile import Capability
from clawvm_es.observe.tools import Tool
from clawvm_es.projections import snapshot
from clawvm_es.projections.tables import TABLES, Table

VERSION = "v12"
TYPES_OF_VERSION_4 = ("bootstrap", "constraint", "plan", "preference", "evidence", "conversation")
NEW_COLUMNS = {
    "sessions": (
        *("unmet", "input_tokens", "cached_tokens", "output_tokens", "largest_tokens"),
        *("written_tokens", "usage_by_model", "epochs", "held_5m_tokens", "held_1h_tokens", "timed_turns"),
        *("again_tokens", "boundary_version"),
    ),
    "turns": ("idle_s", "written_tokens"),
    "page_table": ("first_version", "marked_version", "left_version"),
    "updates": ("first_version", "changed_version"),
}
"""Columns that no recorded expectation has."""
NEW_TABLES = ("losses", "boundaries")
"""Tables that none has."""
HERE = Path(__file__).resolve().parent
FIELDS = {"timezone": FieldSchema("string"), "facts": FieldSchema("object"), "notes": FieldSchema()}


def declared() -> Settings:
    """What the harness of all sessions declares."""
    key = ("file:{path}",)
    read = Tool("read", lambda path: f"text of {path}\n" * 30, True, reads=key, validator=lambda arguments: "v1")
    return Settings(tools=[read], fields=FIELDS)


def live(journal: Journal) -> None:
    """Sessions that use every hook, three of one project, under a clock and a seed of their own."""
    settings = declared()
    for name, policy, project in (
        ("first", "clawvm", "team"),
        ("second", "lru", "team"),
        ("third", "retrieval", "team"),
        ("fourth", "retrieval_cache+fixed", None),
        ("fifth", "compaction_hybrid", None),
        ("sixth", without(CLAWVM, Capability.SCORING), None),
    ):
        with journal.session(
            name,
            policy=policy,
            budget_tokens=900 if name == "fifth" else 500,
            counter="lines4",
            project=project,
            settings=settings,
            on_pressure="degrade",
        ) as session:
            scope = "project" if project else "session"
            session.write_page("bootstrap", "- You must be careful.\n- Never guess.\n" * 4)
            session.write_page("constraint", "- Never push to main.")
            session.write_page("preference", "timezone: UTC", author="user")
            plan = session.write_page("plan", "Goal: ship\n1. [ ] build\n2. [ ] test", author="model")
            for number in range(6):
                page = session.user_says(f"question {number} " + "words " * 40, key=f"say{number}")
                session.assemble(hints=[plan])
                session.tool("read", {"path": f"f{number % 2}"})
                need = Need((Holder(page), Holder("p1")), NeedRule.DECLARED, 7)
                calls = [("mystery", {"n": number})]
                (call,) = session.observe_model(f"answer {number}", calls, needs=[need], input_tokens=number)
                session.observe_result(call, f"result {number} " + "data " * 60)
                session.recall(f"q{number}", None if number == 3 else [f"memory {number}"])
                session.stage("notes", "append", f"{name} {number}", scope=scope, evidence=page)
                session.stage("timezone", "set_with_version", name, evidence=page, base_version=number)
                if number % 2:
                    session.compact()
            session.observe_model(needs=[Need((Holder("p6"),), NeedRule.DECLARED, 7)])
            for _ in range(2):
                (call,) = session.observe_model("", [("read", {"path": "again"})])
                session.observe_result(call, "the same text")
            session.pin(page, "hard")
            session.set_budget(80)
            session.assemble()
            session.retire(page, "done")
            session.execute(Command(e.ContentRedacted(RedactReason.REQUEST, pages=("p2",)), 99, "auditor"))
            session.prune()
            session.reset()
            session.close()


def resumed(journal: Journal) -> None:
    """A session that protects its rules, whose validator fails, and that is resumed twice after its end."""
    settings = Settings(fields=FIELDS, validators={"broken": lambda field, value: {}[field]})
    with journal.session("resumed", budget_tokens=300, counter="lines4", settings=settings) as session:
        page = session.user_says("hello")
        session.stage("notes", "append", 1, evidence=page)
        session.write_page("preference", "likes tea", author="user")
        session.close()
    with journal.session("resumed") as session:
        session.user_says("again")
        session.close()
    with journal.session("resumed", policy="lru", budget_tokens=200, on_pressure="raise") as session:
        session.assemble()
        session.close()


def as_recorded(journal: Journal) -> None:
    """A session under the harness's own residency: a compaction that lost what was needed again, and a rewind."""
    with journal.resume("recorded", "lines4") as session:
        vault = session._shell.vault
        folder = vault.commit(b"/home/someone/project")
        opened = e.SessionOpened(RECORDED, 0, "lines4", DECIDER_VERSION, reproducible=True, importer=1, folder=folder)
        session.execute(Command(opened, 1))

        def write(number: int, page_type: PageType, author: Author = Author.TOOL) -> Command:
            text, origin = f"text {number} " * 40, Origin(OriginKind.TRANSCRIPT, number, number)
            written = session._shell.edge.page(f"p{number}", page_type, text, author=author, origin=origin)
            return Command(written.event, number)

        def cut(kind: Cut, boundary: Boundary, told_by: ToldBy | None = None, **moved: tuple[str, ...]) -> Command:
            return Command(e.BoundaryReached(boundary, Trigger.RECORDED, cut=kind, told_by=told_by, **moved), 9)

        needs = tuple(Need((Holder("p2"),), rule, 7) for rule in (NeedRule.DATA_FLOW, NeedRule.REPEATED_READ))
        session.execute(write(1, PageType.BOOTSTRAP), write(2, PageType.EVIDENCE), Command(e.TurnBegan(), 3))
        session.execute(write(3, PageType.PLAN, Author.MODEL), Command(e.TurnBegan(), 4))
        session.execute(cut(Cut.COMPACT, Boundary.COMPACT, left=("p1", "p2")))
        session.execute(write(4, PageType.SUMMARY, Author.HARNESS), Command(e.TurnBegan(), 5))
        session.execute(Command(e.ModelResponded(needs[:1]), 6), Command(e.TurnBegan(), 7))
        session.execute(Command(e.ModelResponded(needs[1:]), 8))
        session.execute(cut(Cut.REWIND, Boundary.PRUNE, left=("p3", "p4")), Command(e.TurnBegan(), 10))
        session.execute(cut(Cut.REWIND, Boundary.PRUNE, returned=("p3",)), Command(e.TurnBegan(), 11))
        inferred = cut(Cut.MICRO, Boundary.PRUNE, ToldBy.COUNTS, left=("p3",), pages=("p3",))
        session.execute(inferred, Command(e.TurnBegan(), 12))
        thought = {"thinking_tokens": 30, "thinking": vault.commit(b"an idea"), "thinking_passes": True}
        session.execute(Command(e.ModelResponded(**thought), 13), Command(e.TurnBegan(), 14))
        session.execute(write(5, PageType.CONVERSATION, Author.USER), Command(e.TurnBegan(), 15))


def in_epochs(journal: Journal) -> None:
    """A session that begins epochs for every reason, and in between holds copies that are out of date."""
    policy = attrs.evolve(CLAWVM, name="clawvm,rent_permille=400", rent_permille=400)
    options = {"policy": policy, "budget_tokens": 900, "counter": "lines4", "settings": declared()}
    with journal.session("epochs", on_pressure="degrade", **options) as session:
        plan = session.write_page("plan", "Goal: ship\n1. [ ] build\n2. [ ] test", author="model")
        session.write_page("constraint", "- Never push to main.")
        for number in range(4):
            session.user_says(f"question {number} " + "words " * 40)
            session.assemble(fixed_tokens=20, fixed="You are careful.", model="one")
            session.observe_model("answer " * 30)
        session.write_page("plan", "Goal: ship\n1. [x] build\n2. [ ] test", author="model", page_id=plan)
        session.assemble(fixed_tokens=20, fixed="You are careful.", model="one")
        session.execute(Command(e.ModelResponded(), 100_000_000))
        session.user_says("a question after a while", key="late")
        session.execute(Command(e.PagePinned("p4", Pin.SOFT), 401_000_000), Command(e.TurnBegan(fixed_tokens=20), 1))
        session.execute(Command(e.ModelResponded(), 0), Command(e.TurnBegan(fixed_tokens=20), 2))
        session.prune(["p4"])
        session.assemble(fixed_tokens=20)
        for number in range(4):
            session.user_says(f"then {number} " + "words " * 60)
            session.assemble(fixed_tokens=20)
        session.prune([f"p{number}" for number in range(4, 15)])
        session.assemble(fixed_tokens=20, fixed="You are bold.", model="two")
        page = session.user_says("read on " + "much " * 90)
        session.assemble(hints=["p3"], fixed_tokens=20, fixed="You are bold.")
        session.pin("p3", "hard")
        for _ in range(9):
            session.assemble(fixed_tokens=20)
        session.execute(Command(e.ContentRedacted(RedactReason.REQUEST, pages=(page,)), 3, "auditor"))
        session.assemble(fixed_tokens=20)
        session.retire(plan, "done")
        session.assemble(fixed_tokens=20)
        for number in range(5):
            session.user_says(f"more {number} " + "words " * 60)
            session.assemble(fixed_tokens=20)
        session.set_budget(60)
        session.assemble(fixed_tokens=20)
        session.assemble(fixed_tokens=70)
        session.set_budget(900)
        session.assemble(fixed_tokens=20)
        session.compact()
        session.assemble(fixed_tokens=20)
        session.close()


def forked(journal: Journal) -> None:
    """Forks: one under other settings, served from the tape; one of that, which runs a call that is on no tape."""
    at = end_of_turn(journal.log, "first", 2)
    options = {"policy": "lru", "budget_tokens": 400, "settings": declared()}
    with journal.fork("first", "fork", at=at, **options) as session:
        session.user_says("another way")
        session.assemble()
        session.tool("read", {"path": "f0"})
        session.tool("read", {"path": "f0"})
        session.tool("mystery", {"n": 3})
        session.compact()
        session.assemble()
        at = session.state.version
        session.tool("read", {"path": "f1"})
        session.close()
    with journal.fork("fork", "fork of it", at=at, allow_new_calls=True, settings=declared()) as session:
        session.tool("read", {"path": "f1"})
        session.tool("read", {"path": "elsewhere"})
        session.assemble()


def columns(table: Table[Any], row: Any) -> list[object]:
    """The cells of a row, counts of page types in columns of their own as all versions up to 4 had them."""
    cells: list[object] = []
    for name, cell in zip(table.columns, table.values(row), strict=True):
        if name == "pages_by_type":
            counts = json.loads(str(cell))
            cells += [counts.get(each, 0) for each in TYPES_OF_VERSION_4]
        elif name not in NEW_COLUMNS.get(table.name, ()):
            cells.append(cell)
    return cells


def expectation(journal: Journal) -> dict[str, object]:
    """What later versions must find: heads, and every row of every read model."""
    with snapshot(journal.log) as read:
        rows = {
            table.name: [columns(table, row) for row in read.rows(table)]
            for table in TABLES
            if table.name not in NEW_TABLES
        }
    heads = {head.session_id: [head.version, head.hash.hex()] for head in journal.log.heads()}
    return {"heads": heads, "rows": rows}


def main() -> None:
    """Write the journal and its expectation; refuses to overwrite, since published files never change."""
    target, told = HERE / f"{VERSION}.journal", HERE / f"{VERSION}.json"
    if target.exists():
        sys.exit(f"{target.name} exists; golden journals never change")
    ticks = itertools.count(1)
    with Journal.open(target, seed=1, clock=lambda: next(ticks)) as journal:
        live(journal)
        forked(journal)
        resumed(journal)
        as_recorded(journal)
        in_epochs(journal)
        told.write_text(json.dumps(expectation(journal), indent=1, sort_keys=True) + "\n")
    with sqlite3.connect(target) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    for rest in HERE.glob(f"{target.name}?*"):
        rest.unlink()


if __name__ == "__main__":
    main()
