"""Hooks say what they accept before anything is recorded, and reads never invent an answer."""

import inspect
import math
from functools import partial
from pathlib import Path

import pytest

from clawvm_es import importers, replay
from clawvm_es.engine import given
from clawvm_es.engine.hooks import Call, ToolRun
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.errors import UsageError
from clawvm_es.model.commands import Command
from clawvm_es.model.events import SettingsAdopted, TurnBegan
from clawvm_es.model.facts import Boundary, Finish, Holder, Need, NeedRule, ReturnStatus
from clawvm_es.model.pages import Author
from clawvm_es.observe.steps import ContextDropped, Lines, ModelMessage, ToolResult, ToolUse, Usage, UserMessage
from clawvm_es.testing import live_session, memory_journal

WRONG = {
    "page type": (lambda s: s.write_page("rule", "x"), "bootstrap, constraint, plan"),
    "author": (lambda s: s.write_page("plan", "x", author="me"), "user, model"),
    "scope": (lambda s: s.write_page("plan", "x", scope="world"), "session, project"),
    "content blocks": (lambda s: s.user_says([{"type": "text", "text": "x"}]), "a string, got list"),
    "bytes": (lambda s: s.user_says(b"x"), "a string, got bytes"),
    "page id": (lambda s: s.write_page("plan", "x", page_id=1), "page id: expected a string"),
    "key": (lambda s: s.user_says("x", key=7), "key: expected a string"),
    "empty key": (lambda s: s.user_says("x", key=""), "not empty"),
    "pin": (lambda s: s.pin("p1", "steel"), "none, soft, hard"),
    "retire": (lambda s: s.retire("p1", "bored"), "replaced, done"),
    "budget": (lambda s: s.set_budget("600"), "budget in tokens: expected an integer"),
    "no budget": (lambda s: s.set_budget(0), "at least 1"),
    "hints": (lambda s: s.assemble("p1"), "a list of page ids"),
    "fixed tokens": (lambda s: s.assemble(fixed_tokens=1.5), "an integer, got 1.5"),
    "fixed below 0": (lambda s: s.assemble(fixed_tokens=-1), "at least 0"),
    "model text": (lambda s: s.observe_model([{"text": "x"}]), "text: expected a string"),
    "calls": (lambda s: s.observe_model("", ["read"]), "pair"),
    "call arguments": (lambda s: s.observe_model("", [("read", '{"a": 1}')]), "json.loads"),
    "call": (lambda s: s.observe_result("c1", "x"), "call: expected an integer"),
    "dict result": (lambda s: s.observe_result(1, {"a": 1}), "result: expected a string, got dict"),
    "status": (lambda s: s.observe_result(1, "x", "fine"), "ok, error, interrupted"),
    "tool name": (lambda s: s.tool(7, {}), "tool name: expected a string"),
    "tool arguments": (lambda s: s.tool("t", [1]), "a dict with string keys"),
    "query": (lambda s: s.recall(None, []), "query: expected a string"),
    "outcome": (lambda s: s.recall("q", [], outcome="meh"), "no_match"),
    "op": (lambda s: s.stage("notes", "overwrite", 1), "append, merge"),
    "evidence": (lambda s: s.stage("notes", "append", 1, evidence=1.5), "evidence: expected"),
    "base version": (lambda s: s.stage("notes", "append", 1, base_version="1"), "base_version: expected an integer"),
    "prune": (lambda s: s.prune("p1"), '["p1"]'),
    "value": (lambda s: s.value("notes", "world"), "session, project"),
    "no such page": (lambda s: s.read_page("p9"), "p1 to p1"),
    "text of a page": (lambda s: s.write_page("plan", None), "text: expected a string"),
    "source": (lambda s: s.write_page("plan", "x", source=7), "source: expected a string"),
    "slot": (lambda s: s.write_page("plan", "x", slot=7), "slot: expected a string"),
    "form of a prompt": (lambda s: s.user_says("x", native=object()), "native: expected what JSON can say"),
    "page to pin": (lambda s: s.pin(1, "hard"), "page id: expected a string"),
    "page to retire": (lambda s: s.retire(1), "page id: expected a string"),
    "fixed text": (lambda s: s.assemble(fixed=[{"text": "x"}]), "fixed: expected a string"),
    "model of a turn": (lambda s: s.assemble(model=7), "model: expected a string"),
    "model of an answer": (lambda s: s.observe_model("x", model=7), "model: expected a string"),
    "provider": (lambda s: s.observe_model("x", provider=7), "provider: expected a string"),
    "thinking": (lambda s: s.observe_model("x", thinking=[7]), "thinking: expected a string"),
    "finish": (lambda s: s.observe_model("x", finish=7), "finish: expected one of"),
    "usage": (lambda s: s.observe_model("x", usage=7), "usage: expected a Usage"),
    "count": (lambda s: s.observe_model("x", words=7), "words: expected a parameter of observe_model"),
    "needs": (lambda s: s.observe_model("x", needs=["p1"]), "needs: expected a list of Need"),
    "form of an answer": (lambda s: s.observe_model("x", native=object()), "native: expected what JSON can say"),
    "source of a result": (lambda s: s.observe_result(1, "x", source=7), "source: expected a string"),
    "form of a result": (lambda s: s.observe_result(1, "x", native=object()), "native: expected what JSON can say"),
    "id of a call": (lambda s: s.observe_result(call_id=7, text="x"), "call_id: expected a string"),
    "call of a run": (lambda s: s.tool("t", {}, str, call=1.5), "call: expected a call's number"),
    "field": (lambda s: s.stage(7, "append", 1), "field: expected a string"),
    "principal": (lambda s: s.stage("notes", "append", 1, principal=7), "principal: expected a string"),
    "pages to replace": (lambda s: s.stage("notes", "replace", "x", replaces="p1"), "replaces: expected a list"),
    "replaced by nothing": (lambda s: s.stage("notes", "replace", None, replaces=["p1"]), "value: expected a string"),
    "replaced by another op": (lambda s: s.stage("notes", "append", 1, replaces=["p1"]), "got 1 for append"),
    "nothing to replace": (lambda s: s.stage("notes", "replace", "x"), "got 0 for replace"),
    "a deleted value": (lambda s: s.stage("notes", "delete", 1), "value: expected None for op 'delete'"),
    "base below 0": (lambda s: s.stage("notes", "append", 1, base_version=-1), "base_version: expected at least 0"),
    "field of the store": (lambda s: s.value(7), "field: expected a string"),
    "scope of the store": (lambda s: s.store("world"), "session, project"),
    "words": (lambda s: s.search(7), "query: expected a string"),
    "limit": (lambda s: s.search("x", 0), "limit: expected at least 1"),
    "range": (lambda s: s.resolve("p1", lines="all"), "lines: expected a pair"),
    "two ranges": (lambda s: s.resolve("p1", 2, lines="1-2"), "either lines= or first_line"),
    "function of a tool": (lambda s: s.tool([], {}), "tool name: expected a string, got list"),
    "runs": (lambda s: s.begin_tool("t", {}, runs=1.5), "runs: expected True or False, got 1.5"),
    "runs as a number": (lambda s: s.begin_tool("t", {}, runs=1), "runs: expected True or False, got 1"),
    "begun": (lambda s: s.finish_tool("t", "x"), "begun: expected what begin_tool returned, got 't'"),
    "begun and failed": (lambda s: s.fail_tool(1, ValueError()), "begun: expected what begin_tool returned"),
    "failure": (lambda s: s.fail_tool(ToolRun(1, "t", {}, None, None), "x"), "error: expected an exception, got 'x'"),
    "arrives": (lambda s: s.resolve("p1", arrives="no"), "arrives: expected True or False, got 'no'"),
    "active": (lambda s: s.write_page("plan", "x", active="no"), "active: expected True or False, got 'no'"),
    "dirty": (lambda s: s.write_page("plan", "x", dirty=math.nan), "dirty: expected True or False, got nan"),
    "key that is no text": (lambda s: s.user_says("x", key="\ud800"), "is no valid text"),
    "range and its end": (lambda s: s.resolve("p1", last_line=2, lines="1-2"), "either lines= or first_line"),
}
ASKED = {
    "assemble": (),
    "close": (),
    "compact": (),
    "flush": (),
    "observe": (UserMessage("x", Lines(1, 1), 1),),
    "observe_model": ("x",),
    "observe_result": (1, "x"),
    "pin": ("p1", "hard"),
    "prune": (),
    "recall": ("q", []),
    "repage": (),
    "reset": (),
    "resolve": ("p1",),
    "retire": ("p1",),
    "save": (),
    "set_budget": (700,),
    "stage": ("notes", "append", 1),
    "user_says": ("x",),
    "write_page": ("plan", "x"),
}
"""Hook that takes a key → what else it is given."""


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_type_is_refused_in_one_line_that_says_what_is_accepted(session, wrong):
    """Every hook raises `UsageError`, names the parameter and what it takes, and records nothing."""
    session.write_page("evidence", "x")
    head = session.head
    call, told = WRONG[wrong]
    with pytest.raises(UsageError) as caught:
        call(session)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert session.head == head


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"wait_s": "5"}, "wait_s: expected seconds, at least 0, got '5'"),
        ({"wait_s": -1}, "wait_s: expected seconds, at least 0, got -1"),
        ({"wait_s": math.nan}, "wait_s: expected seconds, at least 0, got nan"),
        ({"wait_s": True}, "wait_s: expected seconds, at least 0, got True"),
        ({"seed": 1.5}, "seed: expected an integer, got 1.5"),
        ({"seed": True}, "seed: expected an integer, got True"),
        ({"read_only": "no"}, "read_only: expected True or False, got 'no'"),
        ({"hide_secrets": 1}, "hide_secrets: expected True or False, got 1"),
        ({"group": None}, "group: expected True or False, got NoneType"),
        ({"prices": 5}, "prices: expected a path, got 5"),
        ({"clock": 0}, "clock: expected a function, got 0"),
        ({"connect": "x"}, "connect: expected a function, got 'x'"),
    ],
)
def test_a_journal_is_opened_with_what_it_takes(tmp_path, options, says):
    """Each was taken as something else, or raised from deep inside; nothing is made."""
    with pytest.raises(UsageError) as caught:
        Journal.open(tmp_path / "j.db", **options)
    assert says in str(caught.value) and not list(tmp_path.iterdir())


def test_a_session_is_opened_with_what_it_takes():
    """Also one that is there already; an id that no text can say is that of no session, and a limit has no end."""
    with Journal.open("memory:") as journal, journal.session("s", budget_tokens=500, counter="lines4") as session:
        session.user_says("hello")
        for options in ({"settings": {}}, {"folder": 7}, {"folder": "a\0b"}):
            with pytest.raises(UsageError, match="expected"):
                journal.session("s", **options)
        for read in (journal.opened, partial(journal.fork, session_id="f")):
            with pytest.raises(UsageError, match="session id: expected a string, got 7"):
                read(7)
        assert journal.opened("\ud800") is None
        assert [hit.page_id for hit in session.search("hello", 10**30)] == ["p1"]


@pytest.mark.parametrize("place", [None, 7, True, b"j.db", "a\0b", []])
def test_what_names_no_file_is_refused_where_a_path_is_asked_for(place):
    """A journal, a recording and a followed file are named by text, without a NUL."""
    for ask in (Journal.open, importers.read, partial(replay, None), partial(importers.follow, None)):
        with pytest.raises(UsageError, match="expected a path"):
            ask(place)


def test_a_fork_begins_at_a_number():
    """A version that is no integer is refused as one that does not exist is."""
    with Journal.open("memory:") as journal:
        journal.session("run", budget_tokens=800).user_says("x")
        with pytest.raises(UsageError, match="at: expected an integer"):
            journal.fork("run", "other", at="2")


@pytest.mark.parametrize(
    ("first", "last"), [(201, None), (900, None), (900, 901), (-3, None), (0, 5), (5, 4), (5, -1), (5, 0), (1.5, 2)]
)
def test_a_range_that_a_page_does_not_have_is_an_error_that_names_the_one_it_has(session, first, last):
    """No page-in answers with nothing, or with other lines than it was asked for."""
    page = session.write_page("evidence", "".join(f"line {n}\n" for n in range(1, 201)))
    head = session.head
    with pytest.raises(UsageError, match="lines 1 to 200" if isinstance(first, int) else "integer"):
        session.resolve(page, first, last)
    assert session.head == head


def test_a_range_may_end_past_the_end_and_a_page_may_be_empty(session):
    """What is there of a range that begins in the page is given."""
    page = session.write_page("evidence", "one\ntwo\nthree")
    assert session.resolve(page, 2, 500) == "two\nthree"
    assert session.resolve(page, 3, 3) == "three"
    empty = session.write_page("evidence", "")
    assert session.resolve(empty) == ""
    with pytest.raises(UsageError, match="no lines"):
        session.resolve(empty, 2)


def test_every_hook_with_a_key_is_asked_below():
    """A hook that is new is asked too."""
    assert set(ASKED) == {
        name
        for name, hook in inspect.getmembers(Session, callable)
        if name[0] != "_" and "key" in inspect.signature(hook).parameters
    }


@pytest.mark.parametrize("key", [7, "", b"k"])
@pytest.mark.parametrize("name", ASKED)
def test_a_key_is_a_text_or_none(session, name, key):
    """Whatever the hook, another key is refused before anything is recorded."""
    session.write_page("evidence", "x")
    session.observe_model("", [("read", {})])
    head = session.head
    with pytest.raises(UsageError, match="key: expected a string that is not empty, or None"):
        getattr(session, name)(*ASKED[name], key=key)
    assert session.head == head


NEED = Need((Holder("p1"),), NeedRule.DECLARED, 1)
TAKEN = [
    (given.path, ("x", Path("a/b")), "a/b"),
    (given.path, ("x", "a/b"), "a/b"),
    (given.integer, ("x", 3), 3),
    (given.integer, ("x", 0, 0), 0),
    (given.choice, ("x", Author, "user"), Author.USER),
    (given.ids, ("x", (each for each in ["p1", "p2"])), ("p1", "p2")),
    (given.arguments, ("x", {"a": 1}), {"a": 1}),
    (given.calls, ([("a", {}), ["b", {"c": 1}]],), (Call("", "a", {}), Call("", "b", {"c": 1}))),
    (given.calls, ([Call("1", "a", "not JSON"), Call("", "b", {}), Call("", "c", {})],), None),
    (given.call, (1,), 1),
    (given.call, ("toolu_1",), "toolu_1"),
    (given.needs, ([NEED],), (NEED,)),
    (given.thoughts, ("one",), "one"),
    (given.thoughts, (["one", "two"],), "one\n\ntwo"),
    (given.finish, (None,), None),
    (given.finish, ("tool_calls",), Finish.TOOL_CALLS),
    (given.finish, ("end_turn",), Finish.STOP),
    (given.finish, (Finish.OTHER,), Finish.OTHER),
    (given.usage, (None, {"input_tokens": 3}), Usage(3)),
    (given.usage, (Usage(3), {"input_tokens": 0}), Usage(3)),
    (given.usage, ({"prompt_tokens": 3}, {}), Usage(3)),
    (given.native, (None,), ""),
    (given.native, ({"b": [1, "é"], "a": None},), '{"b":[1,"é"],"a":null}'),
    (given.lines, ("p1", 9, 2, None), (2, 9)),
    (given.lines, ("p1", 9, 2, 99), (2, 9)),
    (given.lines, ("p1", 9, 9, 9), (9, 9)),
    (given.lines, ("p1", 0, 1, None), (1, 0)),
    (given.line_range, ("120-180",), (120, 180)),
    (given.line_range, ("120-",), (120, None)),
    (given.line_range, ("120",), (120, 120)),
    (given.line_range, ((1, None),), (1, None)),
    (given.line_range, ([1, 2],), (1, 2)),
    (given.shown, ("short",), "'short'"),
    (given.shown, (1.5,), "1.5"),
    (given.shown, ("x" * 38,), repr("x" * 38)),
    (given.shown, ("x" * 39,), "str"),
    (given.shown, ([1],), "list"),
]
REFUSED = [
    (given.path, ("x", b"a"), "x: expected a path, got bytes"),
    (given.path, ("x", 7), "x: expected a path, got 7"),
    (given.integer, ("x", True), "x: expected an integer, got True"),
    (given.integer, ("x", 0, 1), "x: expected at least 1, got 0"),
    (given.choice, ("x", Author, []), "x: expected one of harness, user, model, tool, got list"),
    (given.ids, ("x", b"p1"), "x: expected a list of page ids, got bytes"),
    (given.ids, ("x", 7), "x: expected a list of page ids, got 7"),
    (given.ids, ("x", ["p1", 2]), "x: expected a list of page ids, got list"),
    (given.arguments, ("x", {1: 2}), "x: expected a dict with string keys, got dict"),
    (given.calls, ({"a": {}},), "calls: expected a list of"),
    (given.calls, (b"ab",), "calls: expected a list of"),
    (given.calls, (Call("1", "a", {}),), "calls: expected a list of"),
    (given.calls, (7,), "calls: expected a list of"),
    (given.calls, ([("a", {}), ("b",)],), "calls[1]: expected a (tool name, arguments) pair"),
    (given.calls, ([("a", {}), (7, {})],), "calls[1] name: expected a string"),
    (given.calls, ([("a", "{}")],), "calls[0] arguments: expected a dict"),
    (given.calls, ([Call(None, "a", {})],), "calls[0] id: expected a string"),
    (given.calls, ([Call("1", 7, {})],), "calls[0] name: expected a string"),
    (given.calls, ([Call("1", "a", [1])],), "calls[0] args: expected a dict"),
    (given.calls, ([Call("1", "a", {}), Call("1", "b", {})],), "calls[1] id: '1' is that of calls[0]"),
    (given.call, (0,), "call: expected at least 1, got 0"),
    (given.call, (True,), "call: expected a call's number or the harness's id of it, got True"),
    (given.call, (Call("c1", "a", {}),), "pass its id 'c1'"),
    (given.needs, ("p1",), "needs: expected a list of Need, got 'p1'"),
    (given.needs, (7,), "needs: expected a list of Need, got 7"),
    (given.thoughts, ({"a": 1},), "thinking: expected a string"),
    (given.thoughts, (b"x",), "thinking: expected a string"),
    (given.usage, (None, {"input_tokens": "3"}), "tokens: expected an integer"),
    (given.usage, (None, {"input_tokens": -1}), "tokens: expected at least 0"),
    (given.usage, (Usage(), {"input_tokens": 3}), "usage: expected no counts beside it, got input_tokens"),
    (given.usage, (Usage(1.5), {}), "usage input_tokens: expected an integer"),
    (given.usage, ("3", {}), "usage: expected a Usage"),
    (given.native, (math.nan,), "native: expected what JSON can say"),
    (given.native, ({1, 2},), "native: expected what JSON can say"),
    (given.lines, ("p1", 9, 0, None), "page p1: there are no lines 0 on (it has lines 1 to 9)"),
    (given.lines, ("p1", 9, 10, None), "page p1: there are no lines 10 on"),
    (given.lines, ("p1", 9, 3, 2), "page p1: there are no lines 3 to 2"),
    (given.lines, ("p1", 0, 2, None), "it has no lines"),
    (given.line_range, ("1234567890",), "lines: expected a pair"),
    (given.line_range, ("-3",), "lines: expected a pair"),
    (given.line_range, ((1, 2, 3),), "lines: expected a pair"),
    (given.line_range, (("1", 2),), "lines: expected an integer"),
    (given.line_range, ((1, "2"),), "lines: expected an integer"),
]


@pytest.mark.parametrize(("check", "values", "wanted"), TAKEN)
def test_values_that_are_taken(check, values, wanted):
    """As a hook goes on with them; calls come as they were given."""
    assert check(*values) == (tuple(values[0]) if wanted is None and check is given.calls else wanted)


@pytest.mark.parametrize(("check", "values", "says"), REFUSED)
def test_values_that_are_refused(check, values, says):
    """The error names the parameter, what it takes and what it got."""
    with pytest.raises(UsageError) as caught:
        check(*values)
    assert says in str(caught.value)


HANDED = [
    ("observe", (7,), "step: expected a step, such as UserMessage(text), got 7"),
    ("observe", (UserMessage(7),), "UserMessage.text: Expected `str`, got `int`"),
    ("observe", (UserMessage("x", harness=1),), "UserMessage.harness: Expected `bool`, got `int`"),
    ("observe", (UserMessage("x", at_us=1.5),), "UserMessage.at_us: Expected `int`, got `float`"),
    ("observe", (ToolResult("1", "x"),), "ToolResult.call: Expected `int`, got `str`"),
    ("observe", (ToolResult(1, "x", "odd"),), "ToolResult.status: Invalid enum value 'odd'"),
    ("observe", (ModelMessage("text"),), "ModelMessage.texts: Expected `array`, got `str`"),
    ("observe", (ModelMessage(calls=(("look", {}),)),), "ModelMessage.calls[0]: Expected `object`, got `array`"),
    ("observe", (ModelMessage(usage=Usage("3")),), "ModelMessage.usage.input_tokens: Expected `int`, got `str`"),
    ("observe", (ContextDropped("sleep"),), "ContextDropped.boundary: Invalid enum value 'sleep'"),
    ("open", (None,), "opened: expected a SessionOpened, got NoneType"),
    ("adopt", ("lru",), "wanted: expected a SettingsAdopted, got 'lru'"),
    ("adopt", (SettingsAdopted(), "never"), "how: expected one of raise, adopt, keep, got 'never'"),
    ("execute", (7,), "commands[0]: expected a Command, got 7"),
    ("execute", (Command(TurnBegan("x"), 5), Command("x", 5)), "commands[1] data: expected an input, such as"),
]


@pytest.mark.parametrize(("hook", "values", "says"), HANDED, ids=range(len(HANDED)))
def test_what_importers_hand_over_is_refused(hook, values, says):
    """Ready-made steps, commands and openings are looked at where they are given, and nothing is recorded."""
    with live_session() as session:
        before = session.head
        with pytest.raises(UsageError) as caught:
            getattr(session, hook)(*values)
        assert says in str(caught.value) and session.head == before


@pytest.mark.parametrize("options", [{"durability": "half"}, {"after": 1.5}, {"after": True}, {"after": -1}])
def test_commands_with_odd_options_are_refused(options):
    """The error names the option."""
    with live_session() as session, pytest.raises(UsageError, match=f"^{next(iter(options))}: expected"):
        session.execute(Command(TurnBegan("x"), 5), **options)


def test_a_step_may_name_its_kinds_by_text():
    """As other hooks take them."""
    written = []
    for status, boundary in (("ok", "compact"), (ReturnStatus.OK, Boundary.COMPACT)):
        with memory_journal() as journal, live_session(journal=journal) as session:
            session.observe(ModelMessage(["x"], (ToolUse(1, "look", {"at": [1]}),), at_us=1))
            session.observe(ToolResult(1, "x", status, at_us=2))
            session.observe(ContextDropped(boundary, at_us=3))
            written.append([row.data for row in journal.log.read(session.session_id)])
    assert len(written[0]) > 5 and [type(each) for each in written[0]] == [type(each) for each in written[1]]
