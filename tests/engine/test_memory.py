"""A memory in the durable store: fields by pattern, deletions, and texts that stand for pages."""

from __future__ import annotations

import pytest

from clawvm_es import FieldSchema, Journal, Settings, views
from clawvm_es.errors import UsageError
from clawvm_es.history import redecide
from clawvm_es.history.blame import blame
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from tests.engine.conftest import ticking

FIELDS = {
    "memory.*": FieldSchema("string"),
    "memory.list.*": FieldSchema("array"),
    "memory.own": FieldSchema("number"),
}
SETTINGS = Settings(fields=FIELDS)


@pytest.fixture
def memory(journal):
    """A session with fields by pattern, and one page to rest on."""
    with journal.session("s", budget_tokens=2_000, counter="lines4", settings=SETTINGS) as session:
        session.user_says("remember this")
        yield session


def put(session, field, value, base=0, op="set_with_version"):
    """Stage an update that rests on the first page."""
    return session.stage(field, op, value, evidence="p1", base_version=base).reason


def test_fields_of_a_pattern_are_told_apart_and_found_by_their_names(journal, memory):
    """Each has versions of its own; events hold an ordinal, and the name is a body."""
    assert [put(memory, name, name.upper()) for name in ("memory.colour", "memory.city")] == [None, None]
    assert memory.save().ok
    assert put(memory, "memory.colour", "red", 1) is None
    report = memory.save()
    assert [(each.field, each.version) for each in report.committed] == [("memory.colour", 2)]
    for session in (memory, journal.session("s", settings=SETTINGS)):
        assert session.value("memory.colour") == "red"
        assert session.store() == {"memory.city": "MEMORY.CITY", "memory.colour": "red"}
        assert session.value("memory.none") is None
    staged = [row.data for row in journal.log.read("s") if isinstance(row.data, e.UpdateStaged)]
    assert [each.facts.field for each in staged] == ["memory.*#1", "memory.*#2", "memory.*#1"]
    assert b"colour" not in b"".join(row.raw for row in journal.log.read("s"))
    redecide(read_session(journal.log, "s"))


def test_the_whole_name_comes_first_then_the_longest_pattern(memory):
    """A field has the schema of what names it most closely; what nothing names is unknown."""
    assert put(memory, "memory.own", 5) is None
    assert put(memory, "memory.own", "five") == "SCHEMA_INVALID"
    assert put(memory, "memory.list.todo", 1, None, "append") is None
    assert put(memory, "memory.list.todo", "x") == "SCHEMA_INVALID"
    assert put(memory, "memory.colour", 5) == "SCHEMA_INVALID"
    assert put(memory, "memories.colour", "red") == "SCHEMA_INVALID"
    memory.save()
    assert memory.store() == {"memory.list.todo": [1], "memory.own": 5}


def test_a_field_of_a_pattern_belongs_to_its_session(journal):
    """In a shared store its ordinal would be another one for each session: it is refused, and says what to do."""
    with journal.session("s", project="team", counter="lines4", settings=SETTINGS) as session:
        page = session.user_says("x")
        with pytest.raises(UsageError, match="by its whole name"):
            session.stage("memory.colour", "set_with_version", "red", evidence=page, base_version=0, scope="project")
        assert session.stage("memory.own", "set_with_version", 1, evidence=page, base_version=0, scope="project")


def test_a_deleted_field_has_no_value_and_can_be_set_again(memory):
    """A deletion is a version like any other: it needs the one that it deletes, and the next one needs it."""
    put(memory, "memory.colour", "red")
    memory.save()
    assert put(memory, "memory.colour", None, 0, "delete") == "DESTRUCTIVE_OP"
    assert put(memory, "memory.colour", None, 1, "delete") is None
    assert memory.value("memory.colour") == "red"
    memory.save()
    assert memory.value("memory.colour") is None and memory.store() == {}
    assert put(memory, "memory.colour", "blue", 2) is None
    memory.save()
    assert memory.store() == {"memory.colour": "blue"}


def test_a_list_begins_anew_after_a_deletion(memory):
    """What was appended before is not there any more."""
    for value in (1, 2):
        put(memory, "memory.list.todo", value, None, "append")
    memory.save()
    put(memory, "memory.list.todo", None, 2, "delete")
    put(memory, "memory.list.todo", 3, None, "append")
    memory.save()
    assert memory.value("memory.list.todo") == [3]


def test_a_text_takes_the_place_of_the_pages_that_it_stands_for(journal, memory):
    """It becomes a page of the next prompt and a value of the store; the pages leave, and their content stays."""
    calls = memory.observe_model("", [("look", {"n": n}) for n in range(3)])
    pages = [memory.observe_result(call, f"result {call} " * 40) for call in calls]
    memory.assemble()
    staged = memory.stage("memory.results", "replace", "three results, all good", replaces=pages, base_version=0)
    assert staged.reason is None
    prompt = memory.assemble()
    assert "three results, all good" in prompt.text and not set(pages) & set(prompt.pages)
    written = [row.data for row in journal.log.read("s") if isinstance(row.data, e.PageWritten)][-1]
    assert written.replaces == tuple(pages) and written.page_id in prompt.pages
    assert memory.save().ok
    assert memory.value("memory.results") == "three results, all good"
    assert memory.read_page(pages[0]).startswith("result 1")
    redecide(read_session(journal.log, "s"))


def test_what_does_not_pass_replaces_nothing(memory):
    """A rule that is pinned hard, an erased page, another base: a reason, and every page stands as it stood."""
    rule = memory.write_page("constraint", "Never push to main.")
    memory.save()
    page = memory.write_page("evidence", "found " * 30, author="tool")
    before = set(memory.assemble().pages)
    for pages, base, reason in (
        ([page, rule], 0, "POLICY_VIOLATION"),
        ([page], 3, "DESTRUCTIVE_OP"),
        (["p99"], 0, "PROVENANCE_UNRESOLVED"),
    ):
        found = memory.stage("memory.x", "replace", "short", replaces=pages, evidence="p1", base_version=base)
        assert found.reason == reason
    assert set(memory.assemble().pages) == before


@pytest.mark.parametrize(
    ("staged", "told"),
    [
        (lambda s: s.stage("memory.x", "replace", "short", base_version=0), "got 0 for replace"),
        (lambda s: s.stage("memory.x", "append", "short", replaces=["p1"]), "got 1 for append"),
        (lambda s: s.stage("memory.x", "replace", ["short"], replaces=["p1"]), "value: expected a string, got list"),
        (lambda s: s.stage("memory.x", "replace", "short", replaces="p1"), 'pass ["p1"]'),
        (lambda s: s.stage("memory.x", "delete", "red", base_version=1), "expected None for op 'delete', got 'red'"),
        (lambda s: s.stage("memory.x", "replace", "short", replaces=["p2"], base_version=0), "save() first"),
    ],
)
def test_what_makes_no_sense_is_refused(memory, staged, told):
    """A `UsageError` says what is accepted, and nothing is recorded."""
    memory.write_page("preference", "likes tea", author="user")
    head = memory.head
    with pytest.raises(UsageError) as caught:
        staged(memory)
    assert told in str(caught.value)
    assert memory.head == head


def test_a_replacement_is_delivered_once_under_its_key(memory):
    """Delivered again it gives its number and records nothing."""
    page = memory.write_page("evidence", "found " * 30, author="tool")
    staged = [
        memory.stage("memory.x", "replace", "short", replaces=[page], base_version=0, key="k").update
        for _ in range(2)
    ]
    assert staged[0] == staged[1] and len(memory.state.pages) == 3


def test_the_name_of_a_field_can_be_erased(tmp_path):
    """Its values stay under the ordinal, and the same name begins anew."""
    with Journal.open(tmp_path / "j.db", clock=ticking()) as journal:
        session = journal.session("s", counter="lines4", settings=SETTINGS)
        session.user_says("x")
        put(session, "memory.secret", "1")
        session.save()
        name = next(
            row.data.facts.field_name for row in journal.log.read("s") if isinstance(row.data, e.UpdateStaged)
        )
        redact(journal.log, Target("s", body=name), at_us=1)
        session = journal.session("s", settings=SETTINGS)
        assert session.store() == {"memory.*#1": "1"}
        assert put(session, "memory.secret", "2") is None
        session.save()
        assert session.store() == {"memory.*#1": "1", "memory.secret": "2"}


def test_views_call_a_field_of_a_pattern_by_its_name(tmp_path):
    """The store as the command line shows it, one field of it, and who wrote it."""
    with Journal.open(tmp_path / "j.db", clock=ticking()) as journal:
        session = journal.session("s", counter="lines4", settings=SETTINGS)
        session.user_says("x")
        put(session, "memory.colour", "red")
        put(session, "memory.own", 5)
        session.save()
        shown = views.store(journal.log, "s")["fields"]
        assert [(row["field"], row["text"]) for row in shown] == [("memory.colour", '"red"'), ("memory.own", "5")]
        for field in ("memory.colour", "memory.*#1"):
            assert len(views.store(journal.log, "s", field=field)["fields"]) == 1
            assert [value.field for value in blame(journal.log, "s", field).values] == ["memory.*#1"]
        assert len(views.store(journal.log, "s", updates=True)["updates"]) == 2
