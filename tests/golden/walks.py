"""Random sessions, what each hook gave and recorded: `python -m tests.golden.walks` writes `walks.txt` anew.

A walk calls hooks as a seed chooses, with good arguments and with wrong ones, under each policy and renderer in turn;
calls that name no folder are made in `/`.
A line holds the hook, what it returned or said was wrong, and a digest of what it recorded.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from random import Random
from typing import Any

import attrs

from clawvm_es.core.profiles import PROFILES
from clawvm_es.engine.hooks import Call, Prompt, Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.engine.store import FieldSchema
from clawvm_es.errors import ClawVMError
from clawvm_es.journal.codec import encode
from clawvm_es.model.facts import Holder, Need, NeedRule
from clawvm_es.observe.tables import CLAUDE_CODE_TOOLS
from clawvm_es.observe.tools import Tool

HERE = Path(__file__).resolve().parent / "walks.txt"
WALKS, STEPS, SHOWN_CHARS = 36, 50, 70
RENDERERS = (None, "messages/1:anthropic", "messages/1:openai", "messages/1:responses")
POLICIES = (*(name for name in PROFILES if name != "recorded"), "clawvm")
TEXTS = (
    "",
    "ok",
    "- You must test.\n- Never guess.",
    "look at src/a.py and order 4711\n" * 6,
    "é\n" * 40,
    "word " * 150,
)
PATHS = ("src/a.py", "src/b.py", "/etc/hosts", "CLAUDE.md")
FIELDS = {"notes": FieldSchema(), "facts": FieldSchema("object"), "name": FieldSchema("string", 20)}


@attrs.define
class Walk:
    """A session and the choices of a seed."""

    session: Session
    random: Random
    waiting: list[int] = attrs.field(factory=list)

    def page(self) -> str:
        """The id of a page, now and then of none."""
        return f"p{self.random.randrange(1, len(self.session.state.pages) + 3)}"

    def text(self) -> str:
        """A text."""
        return self.random.choice(TEXTS)

    def writes(self) -> Any:
        """Write a page, a new one, a slot, or a known one anew."""
        kind = self.random.choice(("bootstrap", "constraint", "plan", "preference", "evidence", "conversation", "no"))
        how: dict[str, Any] = self.random.choice(({}, {}, {"slot": "s"}, {"page_id": self.page()}, {"active": False}))
        author = self.random.choice(("harness", "model", "user"))
        return self.session.write_page(kind, self.text(), author=author, source=self.random.choice(PATHS), **how)

    def says(self) -> Any:
        """The user says something."""
        return self.session.user_says(self.text())

    def assembles(self) -> Any:
        """A turn begins."""
        hints = self.random.choice((None, [self.page()], [self.page(), "p1"]))
        return self.session.assemble(hints, self.random.choice((0, 0, 30)), model=self.random.choice(("", "m", "n")))

    def answers(self) -> Any:
        """The model answers, with calls of known and unknown tools, and needs."""
        edit = {"file_path": self.random.choice(PATHS), "old_string": "a", "new_string": "b" * 30}
        known = [
            Call("", "Read", {"file_path": self.random.choice(PATHS)}),
            Call("", "Edit", edit),
            Call("x", "Bash", {"command": self.random.choice(("ls src", "cat src/a.py", "rm src/b.py", "make"))}),
            Call("", "mystery", {"n": self.random.randrange(3)}),
            Call("", "TodoWrite", {"todos": [{"content": "mend it", "status": "pending"}]}),
        ]
        calls = self.random.sample(known, self.random.randrange(4))
        needs = [Need((Holder(self.page()),), NeedRule.DECLARED, 3)] if self.random.randrange(3) == 0 else []
        usage = (
            {"input_tokens": 90, "output_tokens": 5, "cache_read_tokens": 40} if self.random.randrange(2) else None
        )
        found = self.session.observe_model(self.text(), calls, needs=needs, usage=usage)
        self.waiting += found
        return found

    def returns(self) -> Any:
        """A call ends, one that waits or any."""
        some = self.waiting or [self.random.randrange(9)]
        call = self.random.choice(some)
        self.waiting = [each for each in self.waiting if each != call]
        return self.session.observe_result(call, self.text(), self.random.choice(("ok", "ok", "error", "no")))

    def runs(self) -> Any:
        """A declared tool runs, or fails."""
        return self.session.tool("look", {"path": self.random.choice((*PATHS, "gone"))})

    def stages(self) -> Any:
        """An update is staged, with evidence or without."""
        field = self.random.choice((*FIELDS, "unknown"))
        op = self.random.choice(("append", "merge", "set_with_version", "delete", "replace", "no"))
        value = None if op == "delete" else self.random.choice(("x", {"a": 1}, ["y"], 7, "long " * 9, None))
        base = self.random.choice((None, 0, 1, 2))
        return self.session.stage(field, op, value, evidence=self.page(), base_version=base)

    def recalls(self) -> Any:
        """Something is asked of the memory."""
        return self.session.recall("what of 4711?", self.random.choice((["a memory"], [], None, [self.text(), "b"])))

    def pages_in(self) -> Any:
        """A page, or lines of it, come back."""
        first = self.random.randrange(3)
        return self.session.resolve(self.page(), first, self.random.choice((None, 1, 4)))

    def looks(self) -> Any:
        """Something is read that records nothing."""
        page = self.page()
        return self.random.choice(
            (
                lambda: self.session.read_page(page),
                lambda: self.session.emit(page, self.random.randrange(3), 2),
                lambda: [hit.page_id for hit in self.session.search("order src", 3)],
                lambda: (self.session.store(), self.session.field_version("name"), self.session.fill_permille),
                lambda: self.session.in_flight,
            )
        )()

    def bounds(self) -> Any:
        """A boundary is reached."""
        ask = self.session
        return self.random.choice((ask.compact, ask.prune, ask.flush, ask.save, lambda: ask.prune([self.page()])))()

    def changes(self) -> Any:
        """A page is pinned or retired, the budget changes, pages are selected anew."""
        page = self.page()
        return self.random.choice(
            (
                lambda: self.session.pin(page, self.random.choice(("none", "soft", "hard", "no"))),
                lambda: self.session.retire(page, self.random.choice(("withdrawn", "done", "no"))),
                lambda: self.session.set_budget(self.random.choice((0, 120, 400, 900))),
                self.session.repage,
            )
        )()


MOVES: tuple[tuple[Callable[[Walk], Any], int], ...] = (
    *((Walk.assembles, 5), (Walk.answers, 5), (Walk.returns, 6), (Walk.says, 2), (Walk.writes, 3), (Walk.runs, 1)),
    *((Walk.stages, 3), (Walk.recalls, 1), (Walk.pages_in, 2), (Walk.looks, 2), (Walk.bounds, 2), (Walk.changes, 2)),
)


def look(path: str) -> str:
    """A tool that some paths make fail."""
    if path == "gone":
        raise FileNotFoundError(path)
    return f"text of {path}\n" * 5


def walk(seed: int, handles: int = 0) -> Iterator[str]:
    """The lines of one walk, on one handle or on so many by turns; with 1 each step has a new one."""
    policy, renderer = POLICIES[seed % len(POLICIES)], RENDERERS[seed % len(RENDERERS)]
    tools = [*CLAUDE_CODE_TOOLS.values(), Tool("look", look, True, path="path", reads=("file:{path}",))]
    settings = Settings(tools=tools, fields=FIELDS)
    ticks = itertools.count(1, 40_000_000)
    yield f"== {seed}, {policy}, {renderer}"
    with chdir("/"), Journal.open(":memory:", seed=seed, clock=lambda: next(ticks)) as journal:
        session = journal.session(
            f"walk {seed}",
            policy=policy,
            budget_tokens=(250, 500, 900)[seed % 3],
            counter="lines4",
            project="team" if seed % 2 and not PROFILES[policy].flush_permille else None,
            folder="/w",
            renderer=renderer,
            on_pressure=("degrade", "protect")[seed // 2 % 2],
            settings=settings,
        )
        session.write_page("bootstrap", "- You must be careful.")
        session.user_says("Fix the parser.")
        going, version = Walk(session, Random(seed)), 0
        others = [session, *(journal.resume(session.session_id, "lines4", settings) for _ in range(handles - 1))]
        for step in range(STEPS):
            if handles:
                resumed = journal.resume(session.session_id, "lines4", settings) if handles == 1 else None
                going.session = resumed or others[step % handles]
                going.session._shell.catch_up()
            (move,) = going.random.choices([move for move, _ in MOVES], [weight for _, weight in MOVES])
            try:
                said = told(move(going))
            except ClawVMError as error:
                said = f"{type(error).__name__}: {error}"
            rows = list(journal.log.read(session.session_id, version))
            version = rows[-1].version if rows else version
            recorded = json.dumps([[row.type, encode(row.data).decode(), row.cause, row.turn] for row in rows])
            yield f"{move.__name__} {_short(said)} {len(rows)}:{_digest(recorded)}"


def told(found: Any) -> str:
    """What a hook returned, in one line."""
    if isinstance(found, Prompt):
        return f"{found.tokens} of {found.budget_tokens} {_digest(found.text)} {len(found.pressure)}"
    return " ".join(str(found).split())


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}… {_digest(text)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def walks() -> Iterator[str]:
    """The lines of all walks."""
    for seed in range(WALKS):
        yield from walk(seed)


if __name__ == "__main__":
    HERE.write_text("\n".join(walks()) + "\n", encoding="utf-8")
