"""Snapshots: a state through them is the state from zero, whatever happens to them, and they cost little."""

from __future__ import annotations

import contextlib
import copy
import pickle
import random
import sqlite3
import tempfile
import threading
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from clawvm_es import limits
from clawvm_es.core.decide import decide
from clawvm_es.core.evolve import apply, fold
from clawvm_es.core.state import State
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import DiskFailed
from clawvm_es.history import prompt_at, state_at
from clawvm_es.history.redact import Target, redact
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal import snapshots
from clawvm_es.journal.lineage import lineage, read_session
from clawvm_es.journal.ports import NewEvent, SnapshotRow, snapshots_of
from clawvm_es.journal.snapshots import parts, restore
from clawvm_es.journal.snapshots.lazy import Lazy
from clawvm_es.journal.snapshots.reader import Reader
from clawvm_es.journal.snapshots.take import take
from clawvm_es.model.commands import Command
from clawvm_es.model.events import ModelResponded, PageUsed, TurnBegan
from clawvm_es.model.facts import Holder, Need, NeedRule
from clawvm_es.storage import open_log, verify
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.storage.sqlite import snapshots as tables
from clawvm_es.testing.core import page
from tests.core.test_fold import Life

UNORDERED = {part.name for part in parts.PARTS} - {"pages"}
"""Mappings that are looked up, and in which nobody asks what came first."""
FIELDS = [field.name for field in attrs.fields(State) if field.name not in ("index", "memo")]


@contextlib.contextmanager
def every(events: int):
    """Snapshots every so many events, for the length of the block."""
    was, limits.SNAPSHOT_EVENTS = limits.SNAPSHOT_EVENTS, events
    try:
        yield
    finally:
        limits.SNAPSHOT_EVENTS = was


def assert_same(found: State, wanted: State) -> None:
    """Equal in every field, from both sides, and in the order of what has an order."""
    for name in FIELDS:
        left, right = getattr(found, name), getattr(wanted, name)
        assert left == right and right == left, name
        assert (left != right) is (right != left) is False, name
        if isinstance(right, dict):
            assert len(left) == len(right), name
            assert list(left) == list(right) or name in UNORDERED, name
    assert found == wanted and wanted == found


def folded(log, session_id, version=None):
    """The state from zero."""
    return fold(row.data for row in read_session(log, session_id, upto=version))


def stored(log) -> list[SnapshotRow]:
    """All snapshots of a log."""
    return log.snapshots().rows()


def change(log, *statements) -> None:
    """Change the file behind the log's back."""
    with contextlib.closing(sqlite3.connect(log.path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(*statement) if isinstance(statement, tuple) else db.execute(statement)


class Kept(Life):
    """The life of a session, written to a file in which snapshots are taken."""

    @staticmethod
    def written(events, path):
        """A log of the events."""
        log, state = open_log(path), State()
        rows = []
        for event in events:
            apply(state, event)
            rows.append(NewEvent(event, state.turn, 0, "harness"))
        log.append("s", rows)
        return log

    def teardown(self):
        """LAW-SNAP-1: at every version, through snapshots at many distances, the state is that from zero."""
        if not hasattr(self, "given"):
            return
        with tempfile.TemporaryDirectory() as folder, self.written(self.given.log, Path(folder) / "j.db") as log:
            for distance in (3, 17):
                with every(distance):
                    snapshots.rebuild(log)
                    assert len(stored(log)) == (len(self.given.log) // distance if len(self.given.log) > 1 else 0)
                    assert list(snapshots.snapshot_problems(log)) == []
                    wanted = State()
                    for version, event in enumerate(self.given.log, 1):
                        apply(wanted, event)
                        assert_same(snapshots.state_at(log, "s", version), wanted)
                        if version % 9 == 0 and not wanted.closed:
                            found = decide(snapshots.state_at(log, "s", version), Command(TurnBegan(idle_s=301), 0))
                            assert found == decide(wanted.copy(), Command(TurnBegan(idle_s=301), 0))


TestKept = Kept.TestCase
TestKept.settings = settings(max_examples=6, stateful_step_count=25, deadline=None)


@pytest.fixture(scope="module")
def real(traces, tmp_path_factory):
    """A journal with a recorded session of megabytes, replayed under a small budget; path and session id."""
    path = tmp_path_factory.mktemp("snapshots") / "real.db"
    (recorded,) = sorted((traces / "claude_code").glob("0442a060*.jsonl"))
    with Journal.open(path, seed=3) as journal:
        found, *_ = replay(journal, recorded, ReplaySettings(budget_tokens=4000, counter="lines4"))
    return path, found.session_id


@pytest.fixture
def copied(real, tmp_path):
    """A copy of that journal, opened as a log, and the session's id."""
    path = tmp_path / "j.db"
    path.write_bytes(real[0].read_bytes())
    with open_log(path) as log:
        yield log, real[1]


def test_a_recorded_session_is_the_same_through_snapshots(copied):
    """LAW-SNAP-1 on a real session: sampled versions, every snapshot's own place and those beside it."""
    log, session_id = copied
    last = log.head(session_id).version
    assert len(stored(log)) >= last // limits.SNAPSHOT_EVENTS - 1 > 5
    places = {row.version + step for row in stored(log)[::4] for step in (-1, 0, 1)}
    places |= set(random.Random(5).sample(range(1, last + 1), 20))
    wanted, events = State(), (row.data for row in log.read(session_id))
    for version in sorted(places):
        while wanted.version < version:
            apply(wanted, next(events))
        assert_same(state_at(log, session_id, version), wanted)
    assert_same(snapshots.from_zero(log, session_id, max(places)), wanted)
    assert list(snapshots.snapshot_problems(log)) == []
    assert verify(log) == ()


def test_a_restored_state_decides_as_the_folded_one(copied):
    """What is decided next, and a copy that is folded on, do not depend on how the state was reached."""
    log, session_id = copied
    version = log.head(session_id).version - 40
    command = Command(TurnBegan(hints=("p1",)), 0)
    found, wanted = state_at(log, session_id, version), folded(log, session_id, version)
    decided = decide(found, command)
    assert decided == decide(wanted, command)
    assert fold(decided, found.copy()) == fold(decided, wanted)
    assert fold(decided, found) == wanted


def test_forks_come_through_their_parents_snapshots(real, tmp_path):
    """A fork's states before and after the fork are those from zero, and its snapshots rest on its parent's."""
    path = tmp_path / "j.db"
    path.write_bytes(real[0].read_bytes())
    with Journal.open(path, seed=3, clock=lambda: 0) as journal:
        last = journal.log.head(real[1]).version
        at = last - 200
        with journal.fork(real[1], "child", at=at) as child:
            for number in range(60):
                child.user_says(f"another way {number}")
                child.assemble()
        journal.catch_up()
        log = journal.log
        mine = [row for row in stored(log) if row.session_id == "child"]
        by_id = {row.snapshot_id: row for row in stored(log)}
        assert mine and by_id[mine[0].base].session_id == real[1] and by_id[mine[0].base].version <= at
        end = log.head("child").version
        nearest = [row.version for row in restore.stored(Reader(log.snapshots(), lineage(log, "child")))]
        assert nearest == sorted(nearest, reverse=True) and nearest[0] == mine[-1].version and nearest[-1] < at
        for version in (1, at - 1, at, at + 1, at + 30, mine[0].version, mine[-1].version + 1, end):
            assert_same(state_at(log, "child", min(version, end)), folded(log, "child", min(version, end)))
        assert_same(state_at(log, real[1], at + 30), folded(log, real[1], at + 30))
        assert list(snapshots.snapshot_problems(log)) == []
        with log.transaction() as transaction:
            assert log.snapshots().within(transaction).forget([real[1]]) == len(by_id)
        assert stored(log) == []  # the child's rested on them
        assert_same(state_at(log, "child"), folded(log, "child"))


def test_an_erasure_forgets_the_snapshots_and_the_state_is_right_before_and_after(real, tmp_path):
    """LAW-SNAP-1 across a redaction: old versions still fold the same, new ones know what is gone."""
    path = tmp_path / "j.db"
    path.write_bytes(real[0].read_bytes())
    with Journal.open(path, seed=3, clock=lambda: 0) as journal:
        log, session_id = journal.log, real[1]
        last = log.head(session_id).version
        kept = state_at(log, session_id, last)
        page_id = next(reversed(kept.resident))
        redact(log, Target(session_id=session_id, page_id=page_id), at_us=0)
        assert not [row for row in stored(log) if row.session_id == session_id]
        assert_same(kept, folded(log, session_id, last))  # it was not read to the end before
        assert_same(state_at(log, session_id), folded(log, session_id))
        assert state_at(log, session_id).pages[page_id].redacted


DAMAGE = {
    "a byte of every head": "UPDATE snapshots"
    " SET head = CAST(substr(head, 1, 20) || x'ff' || substr(head, 22) AS BLOB)",
    "heads cut short": "UPDATE snapshots SET head = substr(head, 1, 30)",
    "heads that are empty": "UPDATE snapshots SET head = x''",
    "heads exchanged": "UPDATE snapshots SET head = (SELECT head FROM snapshots LIMIT 1)",
    "another event's hash": "UPDATE snapshots SET event_hash = zeroblob(32)",
    "a place that moved": "UPDATE snapshots SET version = version + 1000000 WHERE snapshot_id = 1",
    "a byte of every node": "UPDATE snapshot_nodes"
    " SET body = CAST(substr(body, 1, 12) || x'5a5a' || substr(body, 15) AS BLOB)",
    "nodes exchanged": "UPDATE snapshot_nodes SET body = coalesce((SELECT body FROM snapshot_nodes n"
    " WHERE n.node_id = snapshot_nodes.node_id + 1), body) WHERE node_id % 2",
    "nodes missing": "DELETE FROM snapshot_nodes WHERE node_id % 3 = 0",
    "no nodes at all": "DELETE FROM snapshot_nodes",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_is_ignored_said_and_mended(copied, damage):
    """LAW-SNAP-2: damaged snapshots give no wrong state; the log says so, verify finds it, rebuild mends it."""
    log, session_id = copied
    last = log.head(session_id).version
    change(log, damage)
    assert list(snapshots.snapshot_problems(log))
    with capture_logs() as said:
        for version in (last, last - 333):
            assert_same(state_at(log, session_id, version), folded(log, session_id, version))
    warned = [entry for entry in said if entry["log_level"] == "warning" and "snapshot" in entry["event"]]
    assert warned or damage.startswith("UPDATE snapshots SET version"), said
    snapshots.rebuild(log)
    assert list(snapshots.snapshot_problems(log)) == []
    with capture_logs() as said:
        assert_same(state_at(log, session_id), folded(log, session_id))
    assert said == []


def test_damage_that_shows_late_is_ignored_too(copied):
    """A state that is half read when its snapshots are damaged, or forgotten, reads the rest from the events."""
    log, session_id = copied
    version = log.head(session_id).version
    half, wanted = state_at(log, session_id), folded(log, session_id)
    assert half.pages["p3"] == wanted.pages["p3"]
    change(log, "DELETE FROM snapshot_nodes")
    assert_same(half, wanted)
    assert version == half.version


def test_a_flipped_bit_never_gives_a_wrong_state(copied):
    """LAW-SNAP-2, anywhere: bits flipped in heads and nodes, one after the other."""
    log, session_id = copied
    wanted = folded(log, session_id)
    chance = random.Random(11)
    row = stored(log)[-1]
    for _ in range(12):
        table, key, column = chance.choice(
            [("snapshots", "snapshot_id", "head"), ("snapshot_nodes", "node_id", "body")]
        )
        number = row.snapshot_id if table == "snapshots" else row.first_node + chance.randrange(row.nodes)
        with contextlib.closing(sqlite3.connect(log.path)) as db:
            (body,) = db.execute(f"SELECT {column} FROM {table} WHERE {key} = ?", (number,)).fetchone()
        flipped = bytearray(body)
        flipped[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        statement = f"UPDATE {table} SET {column} = ? WHERE {key} = ?"
        change(log, (statement, (bytes(flipped), number)))
        with capture_logs() as said:
            assert_same(state_at(log, session_id), wanted)
        assert said
        change(log, (statement, (body, number)))


def test_snapshots_of_another_program_are_left_alone_until_new_ones_are_taken(copied):
    """A mismatch of reducer, upcasters or layout means ignore: no warning, no problem, and they are replaced."""
    log, session_id = copied
    change(log, "UPDATE snapshots SET made_by = '0.0.0.00000000'", "DELETE FROM snapshot_position")
    with capture_logs() as said:
        assert_same(state_at(log, session_id), folded(log, session_id))
    assert said == [] and list(snapshots.snapshot_problems(log)) == []
    snapshots.catch_up(log)
    assert {row.made_by for row in stored(log) if row.session_id == session_id} == {parts.MADE_BY}
    assert list(snapshots.snapshot_problems(log)) == []


def test_snapshots_of_another_program_are_taken_anew_where_nothing_is_recorded(copied):
    """A catch-up that may write makes them for sessions that do not go on; one that records brings none on."""
    log, session_id = copied
    snapshots.catch_up(log)
    before = [(row.session_id, row.version) for row in stored(log)]
    change(log, "UPDATE snapshots SET made_by = '0.0.0.00000000'")
    assert snapshots.stale(log) == [session_id]
    snapshots.keep_up(log)
    with open_log(log.path, read_only=True) as reader:
        snapshots.catch_up(reader)
    assert snapshots.stale(log) == [session_id]
    snapshots.catch_up(log)
    assert snapshots.stale(log) == [] and [(row.session_id, row.version) for row in stored(log)] == before
    assert_same(state_at(log, session_id), folded(log, session_id))


def test_damaged_snapshots_are_thrown_away_when_the_session_goes_on(copied):
    """Taking the next snapshot needs the last one; if that is damaged all of the session are taken anew."""
    log, _ = copied
    before = len(stored(log))
    change(log, "UPDATE snapshots SET head = x'00'", "DELETE FROM snapshots WHERE snapshot_id > 5")
    change(log, "DELETE FROM snapshot_position")
    with capture_logs() as said:
        snapshots.catch_up(log)
    assert [entry["event"] for entry in said] == ["damaged snapshots were thrown away"]
    assert len(stored(log)) == before and list(snapshots.snapshot_problems(log)) == []


def test_a_crash_in_between_leaves_whole_snapshots_only(copied):
    """LAW-SNAP-3: what was taken in a transaction that did not end is not there."""
    log, session_id = copied
    snapshots_before = stored(log)
    with contextlib.suppress(KeyboardInterrupt), log.transaction() as transaction:
        writer = log.snapshots().within(transaction)
        writer.forget([session_id])
        taken, done = take(log, writer, session_id, 3)
        assert (taken, done) == (3, False)
        raise KeyboardInterrupt
    assert stored(log) == snapshots_before
    assert list(snapshots.snapshot_problems(log)) == []


def test_a_session_that_goes_on_pays_for_its_own_events(real, tmp_path):
    """LAW-SNAP-3: the next snapshot holds what changed; sessions that stood still are not looked at."""
    path = tmp_path / "j.db"
    path.write_bytes(real[0].read_bytes())
    with Journal.open(path, seed=3, clock=lambda: 0) as journal:
        log = journal.log
        before = stored(log)
        change(log, ("UPDATE snapshots SET head = x'00' WHERE session_id = ?", (real[1],)))  # nobody may look
        with journal.session("other", budget_tokens=500, counter="lines4") as session:
            for number in range(120):
                session.user_says(f"message {number}")
                session.assemble()
            with capture_logs() as said:
                session.save()
        assert said == []
        new = [row for row in stored(log) if row.session_id == "other"]
        assert len(stored(log)) == len(before) + len(new) and len(new) >= 2
        assert max(row.nodes for row in new) < 12
        journal.catch_up()
        assert len(stored(log)) == len(before) + len(new)


def test_snapshots_are_small(real):
    """All snapshots of a real session take less than 15 % of its events."""
    with contextlib.closing(sqlite3.connect(real[0])) as db:
        sizes = dict(db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
    log = sum(size for name, size in sizes.items() if name.startswith("events"))
    kept = sum(size for name, size in sizes.items() if name.startswith("snapshot"))
    assert 0 < kept < 0.15 * log


def test_reading_never_writes_and_needs_no_tables(copied):
    """A journal without snapshots, or one that may not be written, gives the same states and stays as it is."""
    log, session_id = copied
    change(log, *(f"DROP TABLE {name}" for name in tables.TABLES))
    wanted = folded(log, session_id)
    assert_same(state_at(log, session_id), wanted)
    assert stored(log) == [] and list(snapshots.snapshot_problems(log)) == []
    with log.transaction() as transaction:
        assert log.snapshots().within(transaction).forget([session_id]) == 0
    with open_log(log.path, read_only=True) as reader:
        snapshots.catch_up(reader)
        assert_same(state_at(reader, session_id), wanted)
    assert stored(log) == []


def test_damage_below_the_tables_is_ignored_too(real, tmp_path):
    """LAW-SNAP-2: where pages of the file that hold snapshots are garbage, states come of the events."""
    path = tmp_path / "j.db"
    content = bytearray(real[0].read_bytes())
    with contextlib.closing(sqlite3.connect(real[0])) as db:
        (size,) = db.execute("PRAGMA page_size").fetchone()
        roots = db.execute("SELECT rootpage FROM sqlite_master WHERE name LIKE 'snapshot%'").fetchall()
    for (root,) in roots:
        content[(root - 1) * size : root * size] = bytes([0xA5]) * size
    path.write_bytes(content)
    with open_log(path) as log:
        with capture_logs() as said:
            assert_same(state_at(log, real[1]), folded(log, real[1]))
            snapshots.catch_up(log)
        assert {entry["log_level"] for entry in said} == {"warning"}
        assert [problem.what for problem in snapshots.snapshot_problems(log)] == ["snapshot"]


def test_what_keeps_a_snapshot_from_being_taken_stops_nobody(copied):
    """An error while snapshots are taken is a warning: they are caches."""
    log, session_id = copied
    trigger = "CREATE TRIGGER mine AFTER INSERT ON snapshot_position BEGIN SELECT 1; END"
    change(log, "DELETE FROM snapshot_position", trigger)
    with capture_logs() as said:
        snapshots.catch_up(log)
    assert [entry["event"] for entry in said] == ["snapshots could not be taken"]
    assert_same(state_at(log, session_id), folded(log, session_id))


def test_who_asks_for_snapshots_is_told_that_the_disk_fails(copied, monkeypatch):
    """It is no warning then: what was asked for was not done, and a later rebuild does it."""
    log, session_id = copied

    def fail(*_, **__):
        raise DiskFailed("the disk failed")

    with monkeypatch.context() as patched:
        patched.setattr("clawvm_es.journal.snapshots.take._store", fail)
        with pytest.raises(DiskFailed):
            snapshots.rebuild(log)
        with capture_logs() as said:
            snapshots.catch_up(log)
        assert [entry["event"] for entry in said] == ["snapshots could not be taken"]
    assert_same(state_at(log, session_id), folded(log, session_id))
    snapshots.rebuild(log)
    assert list(snapshots.snapshot_problems(log)) == [] and log.ask(tables.exist)


def test_a_view_in_the_place_of_a_table_is_never_read(copied):
    """LAW-FOREIGN-2: a table of snapshots that is not as we make it is not used, and is made anew."""
    log, session_id = copied
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
    change(log, "DROP TABLE snapshot_nodes", f"CREATE VIEW snapshot_nodes AS {endless}")
    assert_same(state_at(log, session_id), folded(log, session_id))
    snapshots.catch_up(log)
    assert list(snapshots.snapshot_problems(log)) == []
    assert log.ask(tables.exist)


def test_a_memory_log_folds_from_zero():
    """A log that stores no tables has no snapshots, and the same states."""
    with Journal(MemoryLog(), clock=lambda: 0) as journal:
        with journal.session("s", budget_tokens=300, counter="lines4") as session:
            for number in range(40):
                session.user_says(f"message {number}")
                session.assemble()
        journal.catch_up()
        snapshots.rebuild(journal.log)
        assert snapshots_of(journal.log) is None and list(snapshots.snapshot_problems(journal.log)) == []
        assert_same(state_at(journal.log, "s", 70), folded(journal.log, "s", 70))


def test_states_of_a_journal_that_is_being_written_are_whole(tmp_path):
    """While others append and take snapshots, each state is that of one version."""
    with Journal.open(tmp_path / "j.db", clock=lambda: 0) as journal, every(16):
        ready, failed = threading.Event(), []

        def write():
            try:
                with journal.session("s", budget_tokens=400, counter="lines4") as session:
                    for number in range(60):
                        session.user_says(f"message {number}")
                        session.assemble()
                        session.save()
                        ready.set()
            except BaseException as error:
                failed.append(error)
                raise

        writer = threading.Thread(target=write)
        writer.start()
        ready.wait(30)
        looked = 0
        while writer.is_alive() or not looked:
            found = state_at(journal.log, "s")
            assert_same(found, folded(journal.log, "s", found.version))
            looked += 1
        writer.join()
        assert not failed and len(stored(journal.log)) > 5


def test_prompts_of_the_past_match_their_commitments(copied):
    """Prompts rendered from restored states are, byte for byte, what the model got; none was before its rendering."""
    log, session_id = copied
    last = log.head(session_id).version
    for version in random.Random(2).sample(range(last // 2, last), 8):
        shown = prompt_at(log, session_id, version)
        assert shown.matches is (None if shown.version == version else True)


# ------------------------------------------------------------------------------------------- the lazy dict


@attrs.frozen
class Fixed:
    """A source that is a plain dict."""

    entries: dict[int, int]

    def count(self):
        """How many."""
        return len(self.entries)

    def keys(self):
        """In order."""
        return iter(self.entries)

    def has(self, key):
        """Whether it is there."""
        return key in self.entries

    def find(self, keys):
        """Those that are there."""
        return {key: self.entries[key] for key in keys if key in self.entries}


ENTRIES = st.dictionaries(st.integers(0, 9), st.integers(0, 3), max_size=6)


@given(ENTRIES, st.lists(st.tuples(st.sampled_from("gscl"), st.integers(0, 12), st.integers(0, 3)), max_size=12))
def test_a_lazy_dict_is_the_dict_it_stands_for(entries, steps):
    """LAW-LAZY-1: whatever is looked at or written in between, it equals the plain dict and keeps its order."""
    lazy, plain = Lazy(Fixed(entries)), dict(entries)
    for what, key, value in steps:
        if what == "g":
            assert lazy.get(key) == plain.get(key) and (key in lazy) == (key in plain)
        elif what == "s":
            lazy[key] = plain[key] = value
        elif what == "l":
            lazy.load([key])
        else:
            assert len(lazy) == len(plain) and bool(lazy) == bool(plain)
    assert list(lazy) == list(lazy.keys()) == list(plain)
    assert list(lazy.items()) == list(plain.items()) and list(lazy.values()) == list(plain.values())
    assert lazy == plain and plain == lazy
    assert (lazy != plain) is (plain != lazy) is False
    assert lazy != {**plain, 99: 1} and (not plain or lazy != dict.fromkeys(plain, 4))
    assert {**lazy} == plain and dict(lazy) == plain
    for copied in (copy.copy(lazy), copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy)), lazy.copy()):
        assert type(copied) is dict and copied == plain


@given(ENTRIES, ENTRIES, st.frozensets(st.integers(0, 9)))
def test_a_settled_dict_keeps_in_memory_what_it_was_told_to(entries, written, kept):
    """Once its source holds everything, only the entries to keep stay in memory; all are read as before."""
    source = Fixed(dict(entries))
    lazy = Lazy(source)
    for key, value in written.items():
        lazy[key] = value
    source.entries.update(written)
    lazy.settle(kept.__contains__)
    assert dict(lazy.looked_at()) == {key: value for key, value in written.items() if key in kept}
    assert len(lazy) == len(source.entries) and lazy == source.entries


def test_a_lazy_dict_refuses_what_it_cannot_do():
    """Nothing is deleted, and a missing key is missing."""
    lazy = Lazy(Fixed({1: 2}))
    with pytest.raises(KeyError):
        lazy[5]
    for refused in (lambda: lazy.pop(1), lazy.clear, lambda: lazy.update({3: 4})):
        with pytest.raises(TypeError):
            refused()
    with pytest.raises(TypeError):
        del lazy[1]
    assert lazy == {1: 2} and "looked at" in repr(lazy)


@pytest.mark.sweep
def test_all_recorded_sessions_are_the_same_through_snapshots(traces, tmp_path):
    """LAW-SNAP-1 on every Claude Code session: 200 random versions in all, and every stored snapshot."""
    chance = random.Random(1)
    with Journal.open(tmp_path / "j.db", seed=3) as journal:
        files = sorted((traces / "claude_code").glob("*.jsonl"))
        ids = [
            each.session_id for path in files for each in replay(journal, path, ReplaySettings(budget_tokens=8000))
        ]
        assert len(files) > 10
        for session_id in ids:
            last = journal.log.head(session_id).version
            wanted, events = State(), (row.data for row in journal.log.read(session_id))
            for version in sorted(chance.sample(range(1, last + 1), min(last, 1 + 200 // len(ids)))):
                while wanted.version < version:
                    apply(wanted, next(events))
                assert_same(state_at(journal.log, session_id, version), wanted)
        assert list(snapshots.snapshot_problems(journal.log)) == []


def test_the_pages_that_events_concern_are_those_they_write_use_or_find_needed():
    """A fold from a snapshot reads these in one query: the page of an event, and the holders of its needs."""
    need = [Need((Holder("p2"), Holder("p3")), NeedRule.DATA_FLOW), Need((Holder("p4"),), NeedRule.REPEATED_READ)]
    events = [TurnBegan(), page(1), ModelResponded(needs=tuple(need)), PageUsed("p5", NeedRule.DECLARED)]
    assert list(restore.named_pages(events)) == ["p1", "p2", "p3", "p4", "p5"]
