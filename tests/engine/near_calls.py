"""Calls of hooks that nearly are good ones, and what comes of each, in a few words.

`python -m tests.engine.near_calls` writes `near_calls.txt` anew.

Each hook is called as it should be, with each of its arguments otherwise, and with values in its arguments that are
of another type or say nothing known; with a key, then again under that key, with the same and with another content.
The words are what was said against it, or the number of events, and a digest of the events and of what was returned.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from clawvm_es import Call, Usage
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.engine.store import FieldSchema
from clawvm_es.errors import ClawVMError
from clawvm_es.model.facts import Evidence, Holder, Need, NeedRule
from clawvm_es.observe.tools import Tool
from tests.golden.transcripts import lines
from tests.importers.near_misses import told

HERE = Path(__file__).with_name("near_calls.txt")
FIELDS = {"timezone": FieldSchema("string", 100), "facts": FieldSchema("object"), "notes": FieldSchema()}
TOOLS = [
    Tool(
        "look",
        lambda **given: f"at {sorted(given)}",
        True,
        reads=("file:{at}",),
        validator=lambda given: "v",
        path="at",
    ),
    Tool("touch", lambda **given: "done", writes=("file:{at}",), path="at"),
]
Arguments = Mapping[str, Any]
_NEED = Need((Holder("p2"),), NeedRule.DECLARED, 5)

HOOKS: Mapping[str, tuple[Arguments, Arguments]] = MappingProxyType(
    {
        "assemble": (
            {},
            {"hints": [["p1"], ["p9"], "p1"], "fixed_tokens": [9, 10**6], "fixed": ["You are."], "model": ["m"]},
        ),
        "begin_tool": ({"name": "look", "arguments": {"at": "a"}}, {"runs": [False], "call": [1, "c1", 2, "c9"]}),
        "close": ({}, {}),
        "compact": ({}, {}),
        "emit": ({"page_id": "p1"}, {"first_line": [2, 3, 9], "last_line": [1, 2, 9]}),
        "field_version": ({"field": "notes"}, {"scope": ["project"], "field": ["timezone", "p2"]}),
        "flush": ({}, {}),
        "observe_model": (
            {"text": "I look"},
            {
                "calls": [[("look", {"at": "b"})], [Call("c2", "touch", {"at": "b"}), Call("", "odd", "text")]],
                "model": ["m", "m-1"],
                "provider": ["p"],
                "finish": ["stop", "tool_use", "max_tokens", "of tomorrow"],
                "usage": [Usage(9, 3, 2), {"input_tokens": 3, "output_tokens": 2}, {"odd": 1}],
                "thinking": ["hm", ["hm", "well"]],
                "native": [[{"type": "text", "text": "x"}]],
                "needs": [[_NEED]],
            },
        ),
        "observe_result": (
            {"call": 2, "text": "found"},
            {
                "status": ["error", "interrupted", "ok", "odd"],
                "call_id": ["c1"],
                "source": ["s"],
                "native": [[{"type": "image"}]],
                "call": [1, 9],
            },
        ),
        "pin": (
            {"page_id": "p1", "pin": "hard"},
            {"pin": ["none", "soft", "half"], "page_id": ["p2", "p9"]},
        ),
        "prune": ({}, {"page_ids": [["p3"], ["p3", "p1"], ["p9"]]}),
        "read_page": ({"page_id": "p1"}, {"page_id": ["p2", "p3", "p9"]}),
        "recall": (
            {"query": "snow", "answer": ["deep", "white"]},
            {
                "answer": [lambda query: [query], [], "text", lambda query: 1 / 0, {"a": 1}],
                "outcome": ["ok", "no_match", "denied", "backend_error", "malformed", "odd"],
            },
        ),
        "repage": ({}, {}),
        "reset": ({}, {}),
        "resolve": (
            {"page_id": "p3"},
            {
                "first_line": [2, 40],
                "last_line": [2, 99],
                "lines": ["1-2", "2-", (2, 3), (2, None), "3", "x-y", "9-2"],
                "arrives": [False],
                "page_id": ["p1", "p2", "p9"],
            },
        ),
        "retire": ({"page_id": "p1"}, {"reason": ["done", "replaced", "odd"], "page_id": ["p2", "p9"]}),
        "save": ({}, {}),
        "search": ({"query": "Oslo"}, {"limit": [1, 2], "query": ["line 3", "nothing known", "plan", '"']}),
        "set_budget": ({"tokens": 900}, {"tokens": [1, 20]}),
        "stage": (
            {"field": "notes", "op": "append", "value": 1, "evidence": "p1"},
            {
                "field": ["timezone", "facts", "odd", "p2"],
                "op": ["merge", "set_with_version", "delete", "replace", "odd"],
                "value": [{"a": 1}, "x" * 200, float("nan")],
                "scope": ["project", "odd"],
                "evidence": [None, 2, 999, Evidence(page_id="p2"), "p9"],
                "base_version": [0, 3],
                "replaces": [["p3"]],
                "principal": ["tool", "user"],
            },
        ),
        "store": ({}, {"scope": ["project"]}),
        "tool": (
            {"name": "look", "arguments": {"at": "a"}},
            {
                "name": ["touch", "mystery"],
                "arguments": [{"at": "b"}, {}],
                "run": [lambda **given: "ran", lambda **given: 1 / 0, lambda **given: 7],
                "call": [1, "c1", 2, "c9"],
            },
        ),
        "user_says": ({"text": "hello"}, {"native": [[{"type": "text", "text": "hello"}], {"a": 1}]}),
        "value": ({"field": "notes"}, {"scope": ["project"], "field": ["timezone", "p2"]}),
        "write_page": (
            {"page_type": "evidence", "text": "a text\nof two lines"},
            {
                "page_type": ["plan", "constraint", "bootstrap", "preference", "conversation", "odd"],
                "page_id": ["p2", "p9"],
                "slot": ["file:/w/AGENTS.md", "file:AGENTS.md", "mine", "file:"],
                "author": ["user", "model", "tool", "odd"],
                "source": ["a file"],
                "active": [False],
                "dirty": [True, False],
                "scope": ["project", "odd"],
            },
        ),
    }
)
"""Hook → arguments of a good call, and other values of each."""
_INSTEAD = {"op": "replace", "value": "in short", "evidence": None, "replaces": ["p3"], "base_version": 1}
SERIES: Mapping[str, tuple[tuple[Arguments, ...], ...]] = MappingProxyType(
    {
        "assemble": (
            ({"key": "k"}, {"key": "l"}, {"key": "k"}),
            ({"fixed": "x", "fixed_tokens": 2, "hints": ["p3"]},),
        ),
        "observe_model": (
            ({"calls": [("look", {"at": 1})], "key": "k"}, {"calls": [("look", {"at": 2})], "key": "k"}),
            ({"key": "k"}, {"text": "I look well", "usage": Usage(9, 1, 2), "finish": "stop", "key": "k"}),
            ({"key": "k"}, {"text": "next"}, {"text": "I look well", "key": "k"}),
        ),
        "observe_result": (({"call": None, "call_id": "c1"}, {"call": None, "call_id": "c1"}),),
        "recall": (
            (
                {"answer": lambda query: [query], "key": "k"},
                {"query": "rain", "answer": lambda query: "x", "key": "k"},
            ),
            ({"answer": lambda query: [query], "key": "k"}, {"answer": lambda query: 1 / 0, "key": "k"}),
        ),
        "resolve": (({"page_id": "p1", "key": "k"}, {"page_id": "p1", "first_line": 2, "key": "k"}),),
        "stage": (
            (_INSTEAD,),
            ({**_INSTEAD, "key": "k"}, {**_INSTEAD, "key": "k"}),
            ({**_INSTEAD, "replaces": ["p3", "p1"]}, _INSTEAD),
            ({**_INSTEAD, "replaces": ["p2"]},),
            ({"field": "x"}, {**_INSTEAD, "replaces": ["p1"], "key": "k"}),
            ({**_INSTEAD, "base_version": 4},),
            ({"op": "delete", "value": None, "base_version": 1}, {}),
            (
                {"field": "timezone", "op": "set_with_version", "value": "CET", "base_version": 0},
                {"field": "timezone"},
            ),
            (
                {"field": "facts", "op": "merge", "value": {"city": "Rome"}},
                {"field": "facts", "op": "merge", "value": {}},
            ),
        ),
        "tool": (({}, {}), ({"name": "touch"}, {}), ({"arguments": {"at": "b"}}, {"arguments": {"at": "b"}})),
        "write_page": (
            ({"slot": "mine"}, {"slot": "mine"}, {"slot": "mine", "text": "other"}, {"slot": "mine", "source": "s"}),
            ({"slot": "mine", "key": "k"}, {"slot": "mine", "key": "k"}),
            ({"page_id": "p2", "page_type": "plan"}, {"page_id": "p2", "page_type": "plan", "text": "3. [x] ship"}),
        ),
    }
)
"""Calls of a hook one after the other."""
ODD: tuple[Any, ...] = (None, 7, 0, -1, 2**60, True, 1.5, "", "x", "\ud800", b"x", [], [1], {}, {"a": 1}, (2, 1))


def prepared() -> tuple[Journal, Session]:
    """A session with a message, a plan, a result, a call in flight, a prompt and committed values."""
    ticks = itertools.count(1)
    journal = Journal.open(":memory:", seed=1, clock=lambda: next(ticks))
    settings = Settings(fields=FIELDS, tools=TOOLS, writers={"session": ["model", "harness"]})
    session = journal.session("s", budget_tokens=700, counter="lines4", settings=settings)
    session.user_says("I live in Oslo\nin a house", key="said")
    session.write_page("plan", "1. [ ] build\n2. [ ] test", author="model")
    session.observe_result(
        session.observe_model("", [("fetch", {"n": 1})])[0], "".join(f"line {n}\n" for n in range(30))
    )
    session.stage("notes", "append", "snow", evidence="p1")
    session.save()
    session.stage("facts", "merge", {"city": "Oslo"}, evidence="p1")
    session.assemble()
    session.observe_model("first I look", [Call("c1", "look", {"at": "a"})], key="a1")
    return journal, session


@attrs.define
class Trial:
    """A session to call hooks of: another one after each call that recorded something."""

    made: tuple[Journal, Session] | None = None
    events: int = 0

    def of(self, hook: str, *calls: Arguments) -> str:
        """Words for calls of a hook, one after the other."""
        if self.made is None:
            self.made = prepared()
            self.events = self._count()
        journal, session = self.made
        words = [self._word(lambda given=given: getattr(session, hook)(**given)) for given in calls]
        if self._count() != self.events or session.state.closed:
            journal.close(catch_up=False)
            self.made = None
        return "; ".join(words)

    def _count(self) -> int:
        assert self.made is not None
        return self.made[1].state.version

    def _word(self, call: Callable[[], object]) -> str:
        assert self.made is not None
        before = self._count()
        try:
            found = json.dumps(told(call()))
        except ClawVMError as error:
            found = f"{type(error).__name__}: {error}".encode("ascii", "backslashreplace").decode()
        except Exception as error:  # of Python itself, whose words are not ours
            found = type(error).__name__
        new = [line for line in lines(self.made[0], ("s",)) if line[:1].isdigit() and int(line.split()[0]) > before]
        digest = hashlib.sha256("\n".join([*new, found]).encode()).hexdigest()[:8]
        said = found.split("\n")[0] if found[:1].isupper() else ""
        return " ".join(filter(None, [f"{len(new)} events" if new else "", said, digest if new or not said else ""]))


def words() -> Iterator[str]:
    """A line for each call."""
    trial = Trial()
    for hook, (good, other) in HOOKS.items():
        names = [
            name for name in inspect.signature(getattr(Session, hook)).parameters if name not in ("self", "counts")
        ]
        yield f"== {hook}({', '.join(names)})"
        yield f"as it should be: {trial.of(hook, good)}"
        for name in names:
            for value in (*other.get(name, ()), *ODD):
                yield f"{name}={_shown(value)}: {trial.of(hook, {**good, name: value})}"
        yield f"twice: {trial.of(hook, good, good)}"
        for calls in SERIES.get(hook, ()):
            yield f"{_shown(calls)}: {trial.of(hook, *({**good, **given} for given in calls))}"
        if "key" in names:
            keyed = {**good, "key": "k"}
            yield f"key twice: {trial.of(hook, keyed, keyed)}"
            for name, values in other.items():
                for value in values[:2]:
                    yield f"key, then {name}={_shown(value)}: {trial.of(hook, keyed, {**keyed, name: value})}"
            yield f"key of a message: {trial.of(hook, {**good, 'key': 'said'})}"


def _shown(value: object) -> str:
    return re.sub(r"<function .*? at 0x\w+>", "a function", ascii(value))[:160]


def main() -> None:
    """Write the words."""
    with chdir("/"):
        HERE.write_text("\n".join(words()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
