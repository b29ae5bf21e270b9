"""LAW-SHELL-2, the other half: a key that was used for something else is refused, by every hook that takes one."""

import pytest

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import IdempotencyConflict
from clawvm_es.model import events as e
from tests.engine.conftest import FIELDS

OTHERS = {
    "write_page": (
        lambda s: s.write_page("constraint", "one", source="a", key="k"),
        [
            lambda s: s.write_page("constraint", "two", source="a", key="k"),
            lambda s: s.write_page("plan", "one", source="a", key="k"),
            lambda s: s.write_page("constraint", "one", source="b", key="k"),
            lambda s: s.write_page("constraint", "one", source="a", author="user", key="k"),
            lambda s: s.write_page("constraint", "one", source="a", scope="project", key="k"),
            lambda s: s.write_page("constraint", "one", source="a", active=False, key="k"),
        ],
    ),
    "user_says": (lambda s: s.user_says("one", key="k"), [lambda s: s.user_says("two", key="k")]),
    "pin": (
        lambda s: s.pin("p1", "hard", key="k"),
        [lambda s: s.pin("p1", "soft", key="k"), lambda s: s.pin("p2", "hard", key="k")],
    ),
    "retire": (
        lambda s: s.retire("p1", key="k"),
        [lambda s: s.retire("p2", key="k"), lambda s: s.retire("p1", "replaced", key="k")],
    ),
    "set_budget": (lambda s: s.set_budget(700, key="k"), [lambda s: s.set_budget(701, key="k")]),
    "assemble": (
        lambda s: s.assemble(["p1"], 10, key="k"),
        [
            lambda s: s.assemble(["p2"], 10, key="k"),
            lambda s: s.assemble(["p1"], 11, key="k"),
            lambda s: s.assemble([], 10, key="k"),
        ],
    ),
    "observe_model": (
        lambda s: s.observe_model("hi", [("read", {"x": 1})], input_tokens=5, key="k"),
        [
            lambda s: s.observe_model("ho", [("read", {"x": 1})], input_tokens=5, key="k"),
            lambda s: s.observe_model("hi", [("read", {"x": 2})], input_tokens=5, key="k"),
            lambda s: s.observe_model("hi", [("list", {"x": 1})], input_tokens=5, key="k"),
            lambda s: s.observe_model("hi", [("read", {"x": 1})], input_tokens=6, key="k"),
        ],
    ),
    "observe_result": (
        lambda s: s.observe_result(1, "result", key="k"),
        [
            lambda s: s.observe_result(1, "other", key="k"),
            lambda s: s.observe_result(2, "result", key="k"),
            lambda s: s.observe_result(1, "result", "error", key="k"),
        ],
    ),
    "recall": (
        lambda s: s.recall("q", ["one", "two"], key="k"),
        [
            lambda s: s.recall("other", ["one", "two"], key="k"),
            lambda s: s.recall("q", ["one"], key="k"),
            lambda s: s.recall("q", ["one", "three"], key="k"),
            lambda s: s.recall("q", [], key="k"),
            lambda s: s.recall("other", lambda query: ["one", "two"], key="k"),
        ],
    ),
    "resolve": (
        lambda s: s.resolve("p1", 1, 1, key="k"),
        [
            lambda s: s.resolve("p2", 1, 1, key="k"),
            lambda s: s.resolve("p1", 1, 2, key="k"),
            lambda s: s.resolve("p1", key="k"),
        ],
    ),
    "stage": (
        lambda s: s.stage("notes", "append", 1, evidence="p1", key="k"),
        [
            lambda s: s.stage("notes", "append", 2, evidence="p1", key="k"),
            lambda s: s.stage("facts", "append", 1, evidence="p1", key="k"),
            lambda s: s.stage("notes", "set_with_version", 1, evidence="p1", key="k"),
            lambda s: s.stage("notes", "append", 1, evidence="p2", key="k"),
            lambda s: s.stage("notes", "append", 1, evidence="p1", base_version=1, key="k"),
            lambda s: s.stage("notes", "append", 1, evidence="p1", scope="project", key="k"),
        ],
    ),
    "prune": (
        lambda s: s.prune(["p1"], key="k"),
        [lambda s: s.prune(["p2"], key="k"), lambda s: s.prune(key="k"), lambda s: s.compact(key="k")],
    ),
    "flush": (
        lambda s: s.flush(key="k"),
        [lambda s: s.save(key="k"), lambda s: s.reset(key="k"), lambda s: s.user_says("x", key="k")],
    ),
    "close": (lambda s: s.close(key="k"), [lambda s: s.save(key="k")]),
}
"""Hook → its first delivery under the key `k`, and deliveries of something else under the same key."""
CASES = [(name, place) for name, (_, others) in OTHERS.items() for place in range(len(others))]


@pytest.mark.parametrize("again", [False, True], ids=["same handle", "another handle"])
@pytest.mark.parametrize(("name", "place"), CASES, ids=[f"{name}-{place}" for name, place in CASES])
def test_other_content_under_a_used_key_is_refused_and_records_nothing(tmp_path, name, place, again):
    """The error names the key; the log is as it was, and the first content is still answered."""
    first, others = OTHERS[name]
    settings = Settings(fields=FIELDS)
    with Journal.open(tmp_path / "j.db") as journal:
        session = journal.session("s", budget_tokens=600, counter="lines4", project="team", settings=settings)
        for text in ("one\ntwo\nthree", "four\nfive"):
            session.write_page("evidence", text)
        session.observe_model("", [("read", {"x": 0}), ("read", {"x": 1})])
        told = first(session)
        if again:
            session = journal.session("s", settings=settings)
        version = session.state.version
        with pytest.raises(IdempotencyConflict, match=r"'k[:\w]*' was used before"):
            others[place](session)
        assert session.state.version == version == len(list(journal.log.read("s")))
        assert first(session) == told
        assert session.state.version == version


def test_a_backend_is_asked_once_for_each_query(session):
    """Delivered again, a recall asks nobody; under the same key another query asks, and is refused."""
    asked = []

    def backend(query):
        asked.append(query)
        return ["memory"]

    for _ in range(2):
        assert session.recall("q", backend, key="k") == ("p1",)
    assert asked == ["q"]
    with pytest.raises(IdempotencyConflict):
        session.recall("other", backend, key="k")
    with pytest.raises(IdempotencyConflict):
        session.user_says("hello", key="k")
    assert [row.data.query for row in session._shell.log.read("s") if isinstance(row.data, e.RecallAnswered)] != []
    assert len(session.state.pages) == 1
