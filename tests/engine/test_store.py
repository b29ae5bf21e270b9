"""Writeback: staged updates, their checks, and shared scopes that several sessions write."""

import hashlib
import multiprocessing
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema, fold_values, overwritten, value_bytes
from clawvm_es.errors import UsageError
from clawvm_es.model import events as e
from clawvm_es.model.facts import Op
from clawvm_es.model.pages import Scope
from tests.engine.conftest import FIELDS


def test_committed_values_are_what_the_operations_add_up_to(session):
    """Set replaces, merge adds keys, append lengthens, each at the next commit point."""
    page = session.user_says("I live in Oslo")
    assert session.stage("timezone", "set_with_version", "CET", evidence=page, base_version=0).reason is None
    assert session.value("timezone") is None
    session.save()
    session.stage("timezone", "set_with_version", "UTC", evidence=page, base_version=1)
    session.stage("facts", "merge", {"city": "Oslo"}, evidence=page)
    session.stage("facts", "merge", {"country": "Norway"}, evidence=page)
    session.stage("notes", "append", "likes snow", evidence=page)
    session.stage("notes", "append", 2.5, evidence=page)
    session.save()
    assert session.value("timezone") == "UTC"
    assert session.value("facts") == {"city": "Oslo", "country": "Norway"}
    assert session.value("notes") == ["likes snow", 2.5]


def test_every_refusal_is_an_event_with_its_reason(journal):
    """Each check of the table refuses with its own code, and nothing refused is committed."""
    settings = Settings(
        fields=FIELDS,
        validators={"no-secrets": lambda field, value: "secret" not in str(value)},
        writers={"session": ["model"]},
    )
    with journal.session("s", counter="lines4", settings=settings) as session:
        page = session.user_says("hello")
        stage = session.stage
        assert stage("unheard", "append", 1, evidence=page).reason == "SCHEMA_INVALID"
        assert stage("timezone", "append", 5, evidence=page).reason == "SCHEMA_INVALID"
        assert stage("timezone", "append", "x" * 200, evidence=page).reason == "SCHEMA_INVALID"
        assert stage("notes", "append", 1, evidence="p99").reason == "PROVENANCE_UNRESOLVED"
        assert stage("notes", "append", 1).reason == "PROVENANCE_UNRESOLVED"
        assert stage("notes", "append", 1, evidence=page, principal="tool").reason == "SCOPE_DENIED"
        assert stage("timezone", "set_with_version", "UTC", evidence=page, base_version=3).reason == "DESTRUCTIVE_OP"
        assert stage("notes", "append", "a secret", evidence=page).reason == "POLICY_VIOLATION"
        assert stage("facts", "merge", {"a": 1}, evidence=page).reason is None
        session.save()
        assert stage("facts", "merge", {"a": 2}, evidence=page).reason == "DESTRUCTIVE_OP"
        assert session.value("notes") is None


def test_of_two_pending_updates_of_one_version_the_first_wins(journal, session):
    """Both pass when staged; at the commit point the second finds its base overtaken."""
    page = session.user_says("hello")
    session.stage("timezone", "set_with_version", "A", evidence=page, base_version=0)
    session.stage("timezone", "set_with_version", "B", evidence=page, base_version=0)
    session.save()
    assert session.value("timezone") == "A"
    rejected = [row.data for row in journal.log.read("s") if isinstance(row.data, e.UpdateRejected)]
    assert [str(found.reason) for found in rejected] == ["DESTRUCTIVE_OP"]


def test_a_slow_or_raising_validator_does_not_agree(journal):
    """A validator has a second; one that raises is a no."""
    never = threading.Event()
    settings = Settings(fields=FIELDS, validators={"slow": lambda field, value: never.wait() or True})
    with journal.session("s", counter="lines4", settings=settings) as session:
        page = session.user_says("x")
        assert session.stage("notes", "append", 1, evidence=page).reason == "POLICY_VIOLATION"
    never.set()
    settings = Settings(fields=FIELDS, validators={"bad": lambda field, value: 1 / 0})
    with journal.session("t", counter="lines4", settings=settings) as session:
        page = session.user_says("x")
        assert session.stage("notes", "append", 1, evidence=page).reason == "POLICY_VIOLATION"


def test_validators_that_take_their_time_are_waited_for(journal):
    """They run side by side: one may wait for what another does, which has to hash for a while first."""
    done = threading.Event()

    def hashes(field, value):
        hashlib.pbkdf2_hmac("sha256", b"", b"", 20_000)
        done.set()
        return True

    settings = Settings(fields=FIELDS, validators={"first": lambda field, value: done.wait(), "second": hashes})
    with journal.session("s", counter="lines4", settings=settings) as session:
        assert session.stage("notes", "append", 1, evidence=session.user_says("x")).reason is None


def project(journal, session_id):
    """A session of project `team`."""
    settings = Settings(fields=FIELDS)
    return journal.session(session_id, counter="lines4", project="team", settings=settings)


def test_a_session_learns_of_a_scope_at_its_start_and_at_commit_points(journal):
    """What one session commits, another sees: at once when it opens later, else from its next commit point."""
    with project(journal, "a") as a, project(journal, "b") as b:
        page = a.user_says("we use UTC")
        a.stage("timezone", "set_with_version", "UTC", scope="project", evidence=page, base_version=0)
        a.save()
        assert b.state.scopes == {"scope:team": 0}
        b.save()
        assert b.state.scopes == {"scope:team": 1}
        assert b.value("timezone", Scope.PROJECT) == "UTC"
        with project(journal, "c") as c:
            assert c.state.scopes == {"scope:team": 1}


def test_of_concurrent_sessions_exactly_one_wins_and_merges_are_judged_anew(journal):
    """The loser of a version is rejected with a reason; a merge staged on old facts is checked against new ones."""
    with project(journal, "a") as a, project(journal, "b") as b:
        for session in (a, b):
            page = session.user_says("x")
            name = session.session_id
            session.stage("timezone", "set_with_version", name, scope="project", evidence=page, base_version=0)
            session.stage("facts", "merge", {"owner": name}, scope="project", evidence=page)
            session.stage("notes", "append", name, scope="project", evidence=page)
        a.save()
        b.save()
        assert b.value("timezone", Scope.PROJECT) == "a"
        assert b.value("facts", Scope.PROJECT) == {"owner": "a"}
        assert b.value("notes", Scope.PROJECT) == ["a", "b"]
    reasons = [str(row.data.reason) for row in journal.log.read("b") if isinstance(row.data, e.UpdateRejected)]
    assert reasons == ["DESTRUCTIVE_OP", "DESTRUCTIVE_OP"]


def test_a_session_without_a_project_cannot_write_one(session):
    """Staging to a project that the session does not belong to is a usage error with a hint."""
    with pytest.raises(UsageError, match="no project"):
        session.stage("notes", "append", 1, scope="project", evidence=1)


def _race(path, name, rounds):
    with Journal.open(path) as journal, project(journal, name) as session:
        page = session.user_says("x")
        for number in range(rounds):
            base = session.state.store.get(("scope:team", "timezone"), 0)
            session.stage(
                "timezone", "set_with_version", f"{name}{number}", scope="project", evidence=page, base_version=base
            )
            session.stage("notes", "append", f"{name}{number}", scope="project", evidence=page)
            session.save()


def test_two_processes_race_for_one_field_and_nothing_is_lost(tmp_path):
    """LAW-SCOPE-1: every version has one writer, losers are rejected, and every append is there once."""
    path = tmp_path / "race.db"
    Journal.open(path).close()
    context = multiprocessing.get_context("spawn")
    racers = [context.Process(target=_race, args=(path, name, 8)) for name in ("left", "right")]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
        assert racer.exitcode == 0
    with Journal.open(path) as journal:
        scope = [row.data for row in journal.log.read("scope:team")]
        assert [data.scope_version for data in scope] == list(range(1, len(scope) + 1))
        assert sum(data.field == "notes" for data in scope) == 16
        won = sum(data.field == "timezone" for data in scope)
        lost = 0
        for name in ("left", "right"):
            rows = [row.data for row in journal.log.read(name)]
            lost += sum(isinstance(data, e.UpdateRejected) for data in rows)
        assert won + lost == 16
        assert won >= 8


def json_text(value):
    """A model of what makes two JSON values the same, written apart from the code under test."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key!r}:{json_text(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    return f"{type(value).__name__} {value!r}"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 1)
    | st.integers()
    | st.sampled_from([0.0, -0.0, 1.0, 0.5])
    | st.sampled_from(["\u00e9", "e\u0301"])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.text(max_size=2), JSON, max_size=3), max_size=5))
def test_a_merge_that_only_adds_changes_no_value(objects):
    """The facts of a merge tell exactly what it would do to the committed object."""
    current = None
    for value in objects:
        added, changed = overwritten(Op.MERGE, current, value)
        merged = fold_values([(Op.MERGE, value_bytes(current or {})), (Op.MERGE, value_bytes(value))])
        assert len(merged) == len(current or {}) + added
        assert changed == sum(json_text(merged[key]) != json_text(old) for key, old in (current or {}).items())
        current = merged


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ({"admin": 0}, {"admin": False}),
        ({"n": 1}, {"n": 1.0}),
        ({"n": 1}, {"n": True}),
        ({"n": [1, {"x": 0}]}, {"n": [1, {"x": False}]}),
        ({"who": "\u00e9"}, {"who": "e\u0301"}),
        ({"1": "a"}, {1: "b"}),
    ],
)
def test_a_merge_never_changes_a_value_into_one_that_python_calls_equal(session, was, now):
    """Values are compared as the bytes that the store keeps, so that 0 never becomes false."""
    page = session.user_says("x")
    assert session.stage("facts", "merge", was, evidence=page).reason is None
    session.save()
    assert session.stage("facts", "merge", was, evidence=page).reason is None
    assert session.stage("facts", "merge", now, evidence=page).reason == "DESTRUCTIVE_OP"
    session.save()
    assert repr(session.value("facts")) == repr(was)


def test_every_committed_field_can_be_read(session):
    """A page that a boundary wrote back is a field whose value is the page's text, in each of its versions."""
    page = session.write_page("preference", "likes \ud800 tea", author="user")
    session.save()
    assert session.value(page) == "likes \ud800 tea"
    session.write_page("preference", '{"likes": "coffee"}', page_id=page, author="user")
    session.save()
    assert session.value(page) == '{"likes": "coffee"}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 1, "a": 2}, {"x": b"raw"}])
def test_what_json_cannot_say_is_no_value(session, value):
    """A value that could not be read back as it was given is refused before anything is recorded."""
    page = session.user_says("x")
    head = session.head
    with pytest.raises(UsageError, match="must be JSON"):
        session.stage("notes", "append", value, evidence=page)
    assert session.head == head


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [("string", "x", 1), ("number", 1.5, True), ("object", {}, []), ("array", [], {}), ("boolean", False, 0)],
)
def test_a_declared_field_takes_its_kind_only(kind, good, bad):
    """A value of another JSON kind has the wrong type."""
    schema = FieldSchema(kind)
    assert str(schema.verdict(Op.SET_WITH_VERSION, good, 1)) == "ok"
    assert str(schema.verdict(Op.SET_WITH_VERSION, bad, 1)) == "wrong_type"


def test_a_scope_that_a_session_has_not_synced_with_holds_nothing_for_it(journal):
    """What another session wrote into the scope is seen from the next boundary on, and no change of it before."""
    settings = Settings(fields=FIELDS)
    with (
        journal.session("a", project="app", counter="lines4", settings=settings) as first,
        journal.session("b", project="app", counter="lines4", settings=settings) as second,
    ):
        page = first.user_says("I live in Oslo")
        first.stage("notes", "append", "snow", evidence=page, scope="project")
        first.save()
        second.user_says("hello")
        assert first.value("notes", "project") == ["snow"]
        assert second.value("notes", "project") is None
        second.save()
        assert second.value("notes", "project") == ["snow"]
