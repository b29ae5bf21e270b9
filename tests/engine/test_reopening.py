"""Sessions that ended and go on: reopened by an event, under settings that are adopted by an event."""

import shutil
from pathlib import Path

import pytest

from clawvm_es.core.profiles import profile
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import JournalReadOnly, UsageError
from clawvm_es.history import redecide
from clawvm_es.history.whatif import Setting, whatif
from clawvm_es.importers.export import export_trace
from clawvm_es.importers.replay import replay
from clawvm_es.journal import snapshots
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.projections import projections_problems, snapshot
from clawvm_es.projections.digest import decision_digest
from clawvm_es.projections.tables import SESSIONS
from clawvm_es.storage import verify
from tests.engine.conftest import FIELDS, ticking
from tests.golden.make import declared

GOLDEN = Path(__file__).parents[1] / "golden"
RULE = "Never push to main."


def ended(journal, **options):
    """A session that was closed."""
    with journal.session("s", budget_tokens=600, counter="lines4", **options) as session:
        session.write_page("constraint", RULE)
        session.user_says("hello", key="hello")
        session.assemble()
        session.close(key="end")


def types(journal, session_id="s"):
    """The types of a session's inputs."""
    return [row.type for row in journal.log.read(session_id) if row.kind == "input"]


def test_a_closed_session_goes_on_under_its_id(journal):
    """The first hook after the opening reopens it; what it knew is still there, and it can be closed again."""
    ended(journal)
    with journal.session("s") as session:
        assert session.state.closed, "looking reopens nothing"
        assert session.user_says("hello", key="hello") == "p2"
        assert types(journal)[-1] == "session_closed", "a delivery again reopens nothing"
        session.user_says("again")
        assert RULE in session.assemble().text
        session.close()
    assert types(journal)[-6:] == [
        *("session_reopened", "page_written", "turn_began", "prompt_rendered"),
        *("boundary_reached", "session_closed"),
    ]
    assert verify(journal.log) == ()
    assert redecide(read_session(journal.log, "s")) > 0


def test_a_handle_on_a_stream_as_it_is_reopens_nothing(journal):
    """Importers resume a closed session to look at it; only those that ask for it may go on with it."""
    ended(journal)
    with pytest.raises(UsageError, match="closed session"):
        journal.resume("s", "lines4").user_says("anyone?")
    journal.resume("s", "lines4", reopens=True).user_says("again")
    assert "session_reopened" in types(journal)


def test_the_handle_that_closed_it_takes_nothing_more(journal):
    """Reopening is the harness's own step: an old handle does not undo an end, whoever ended it."""
    other = journal.session("s", counter="lines4")
    other.user_says("x")
    with journal.session("s") as session:
        session.close()
        for handle in (session, other):
            with pytest.raises(UsageError, match=r"closed session.*open the session again"):
                handle.user_says("anyone?")


def test_an_end_that_is_delivered_late_ends_nothing_twice(journal):
    """The same end under its key, delivered after the session was reopened, gives its first report."""
    ended(journal)
    with journal.session("s") as session:
        session.user_says("again")
        assert session.close(key="end").ok
        assert not session.state.closed


def test_a_read_only_journal_shows_a_closed_session(tmp_path):
    """Looking at a session that has ended needs no right to write, and going on with it says what is missing."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal:
        ended(journal)
    with Journal.open(path, read_only=True) as journal, journal.session("s") as session:
        assert session.read_page("p2") == "hello"
        with pytest.raises(JournalReadOnly):
            session.user_says("again")


def test_a_resumed_session_adopts_the_settings_that_it_is_given(journal):
    """After an end, other settings are adopted by an event that all folds know; the same ones are none."""
    ended(journal)
    with journal.session("s", budget_tokens=700, policy="lru", on_pressure="raise") as session:
        assert (session.state.budget_tokens, session.state.profile.name) == (700, "lru")
        session.assemble()
        session.close()
    with journal.session("s", budget_tokens=700, policy="lru", on_pressure="raise") as session:
        assert session.state.closed
    adopted = [row.data for row in journal.log.read("s") if isinstance(row.data, e.SettingsAdopted)]
    assert [(found.profile.name, found.budget_tokens, str(found.on_pressure)) for found in adopted] == [
        ("lru", 700, "raise")
    ]
    with snapshot(journal.log) as read:
        (row,) = read.rows(SESSIONS)
    assert (row.policy, row.budget_tokens, row.status) == ("lru", 700, "ended")
    assert list(projections_problems(journal.log)) == []
    assert redecide(read_session(journal.log, "s")) > 0


@pytest.mark.parametrize("named", [{"budget_tokens": 700}, {"policy": "lru"}, {"on_pressure": "degrade"}])
def test_a_session_that_is_open_keeps_its_settings_unless_told(journal, named):
    """Another handle may be at work: a `UsageError` names the way out, `adopt` adopts, `keep` goes on as it was."""
    with journal.session("s", budget_tokens=600, counter="lines4") as session:
        session.user_says("x")
    for how in (None, "raise"):
        with pytest.raises(UsageError, match="on_other_settings"):
            journal.session("s", on_other_settings=how, **named)
    before = journal.session("s", on_other_settings="keep", **named).state
    assert "settings_adopted" not in types(journal)
    after = journal.session("s", on_other_settings="adopt", **named).state
    assert types(journal)[-1] == "settings_adopted"
    has = lambda state: (state.budget_tokens, state.profile.name, str(state.on_pressure))  # noqa: E731
    assert len(set(has(before)) - set(has(after))) == 1


def test_what_is_recorded_under_a_counter_or_in_a_project_stays_so(journal):
    """Counts and scopes are in the log already: no option adopts another one."""
    ended(journal)
    for named in ({"counter": "chars4"}, {"project": "team"}):
        with pytest.raises(UsageError, match="another name"):
            journal.session("s", on_other_settings="adopt", **named)
    with pytest.raises(UsageError, match="raise, adopt, keep"):
        journal.session("s", on_other_settings="maybe")


def test_a_budget_that_was_changed_on_the_way_is_no_other_setting(journal):
    """A process that starts again with its own settings does not undo or refuse what `set_budget` did."""
    with journal.session("s", budget_tokens=600, counter="lines4") as session:
        session.set_budget(900)
    with journal.session("s", budget_tokens=600) as session:
        assert session.state.budget_tokens == 900


def test_a_resumed_session_of_a_project_learns_what_others_committed(journal):
    """Its first boundary after the end syncs, in the transaction that reopens it."""
    options = {"counter": "lines4", "project": "team", "settings": Settings(fields=FIELDS)}
    with journal.session("a", **options) as a, journal.session("b", **options) as b:
        page = b.user_says("x")
        b.close(key="end")
        a.stage("notes", "append", 1, scope="project", evidence=a.user_says("x"))
        assert a.save().ok
        with journal.session("b", **options) as again:
            assert again.close(key="end").ok
            assert again.value("notes", "project") is None
            again.save()
            assert again.value("notes", "project") == [1]
            assert again.read_page(page) == "x"
    assert types(journal, "b")[-3:] == ["session_reopened", "scope_synced", "boundary_reached"]


def test_forks_snapshots_what_if_and_traces_know_sessions_that_went_on(tmp_path):
    """A session with an end in its middle is what it is through every way of looking at it again."""
    with Journal.open(tmp_path / "j.db", clock=ticking()) as journal:
        ended(journal)
        with journal.session("s", budget_tokens=60, policy="lru", on_pressure="degrade") as session:
            for number in range(60):
                session.user_says(f"{number} " + "words " * 30)
                session.assemble()
            state = session.state
            session.close()
        found = snapshots.state_at(journal.log, "s", state.version)
        assert (found.budget_tokens, found.declared_budget, found.on_pressure) == (60, 60, state.on_pressure)
        assert found == state
        same, wide = whatif(journal.log, "s", [Setting(), Setting(budget_tokens=5_000)]).runs
        assert (same.parted is None, wide.parted is None) == (True, False)
        with journal.fork("s", "child", at=state.version) as child:
            assert (child.state.budget_tokens, child.state.profile.name) == (60, "lru")
            assert child.user_says("on") == f"p{len(state.pages) + 1}"
        told = {}
        for name in ("s", "child"):
            (tmp_path / f"{name}.jsonl").write_text("".join(export_trace(journal.log, name)))
            told[name] = digest(journal, name)
    with Journal.open(tmp_path / "again.db", seed=1) as again:
        for name in ("s", "child"):
            replay(again, tmp_path / f"{name}.jsonl")
            assert digest(again, name) == told[name]
        assert verify(again.log) == ()


def digest(journal, session_id):
    """The digest of a session's decisions."""
    return decision_digest(read_session(journal.log, session_id))


@pytest.mark.parametrize(
    ("journal_of", "name", "epochs"),
    [("v6", "fork of it", False), ("v11", "first", True), ("v11", "fork of it", True)],
)
def test_a_session_keeps_the_version_of_its_policy(tmp_path, journal_of, name, epochs):
    """Opened again by the name of its policy, a session of an older release goes on; another name is refused."""
    shutil.copy(GOLDEN / f"{journal_of}.journal", tmp_path / "j.db")
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        stored = journal.opened(name).profile
        assert stored.version < profile(stored.name).version
        with journal.session(name, policy=stored.name, settings=declared()) as session:
            session.user_says("and on")
            session.assemble()
            assert session.state.profile == stored and stored != profile(stored.name)
            assert session.state.in_epochs == epochs
        with pytest.raises(UsageError):
            journal.session(name, policy="clawvm_paper", settings=declared())
        rows = list(read_session(journal.log, name))
        assert redecide(rows) == sum(row.kind == "decision" for row in rows)
