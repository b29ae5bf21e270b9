"""Hooks say what they accept before anything is recorded, and reads never invent an answer."""

import pytest

from clawvm_es.errors import UsageError

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
}


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
