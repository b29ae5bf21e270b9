"""The fold of events into rows: what each event changes, and that pieces give what the whole gives."""

from __future__ import annotations

import functools

import attrs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from clawvm_es.engine.journal import Journal
from clawvm_es.errors import JournalDamaged, UnknownEvent
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import NewEvent
from clawvm_es.model import events as e
from clawvm_es.model import facts as f
from clawvm_es.model.facts import ChangeReason, FaultReason, FaultType, NeedRule, Op
from clawvm_es.model.pages import Author, Fidelity, Level, Origin, OriginKind, PageType
from clawvm_es.projections import catch_up, projections_problems, rebuild, snapshot, snapshot_at
from clawvm_es.projections.digest import decision_digest
from clawvm_es.projections.fold import Fold, renamed
from clawvm_es.projections.handlers import HANDLERS, LEAN
from clawvm_es.projections.lean import LeanLevel, LeanOrigin
from clawvm_es.projections.store import raws
from clawvm_es.projections.tables import DURABLE_STORE, FAULTS, PAGE_TABLE, SESSIONS, TABLES, TURNS, UPDATES
from clawvm_es.storage import open_log
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.storage.sqlite import queries
from clawvm_es.testing.strategies import values

SMALL = st.integers(1, 6)
PAGES = st.sampled_from(["p1", "p2", "p3", "p4"])
NAMED = {"page_id": PAGES, "scope": st.sampled_from(["session", "shared"])}
STREAM_STARTS = (e.SessionForked, e.ScopeChanged)


@functools.cache
def events_of(kind: str) -> st.SearchStrategy:
    """Any event of one kind that may stand anywhere in a session."""
    classes = e.INPUTS if kind == "input" else e.DECISIONS
    return st.one_of(
        *(
            values(c, SMALL, **{k: v for k, v in NAMED.items() if not (k == "scope" and c is e.PageWritten)})
            for c in classes
            if c not in STREAM_STARTS
        )
    )


@st.composite
def forks(draw) -> tuple[int, int]:
    """A fork: of which of the sessions there are, and about where, in permille of its length."""
    return draw(st.integers(0, 5)), draw(st.sampled_from([1000, 1000, 900, 600, 300, 1]))


@st.composite
def commands(draw) -> tuple[str, int, list]:
    """One transaction: its session, how many turns go by before it, and an input with its decisions."""
    session_id = draw(st.sampled_from(["one", "two", "fork1", "fork2", "fork3"]))
    group = [draw(events_of("input")), *draw(st.lists(events_of("decision"), max_size=4))]
    return session_id, draw(st.integers(0, 1)), group


def append(log, turns: dict[str, int], command: tuple[str, int, list]) -> None:
    """Append one transaction."""
    session_id, later, group = command
    turns[session_id] = turns.get(session_id, 0) + later
    cells = [NewEvent(data, turns[session_id], 1_000_000 * turns[session_id], "tester") for data in group]
    log.append(session_id, cells)


def fork(log, turns: dict[str, int], which: int, permille: int) -> None:
    """Fork a session, if there is one, at any of its events, those of its parents included."""
    if turns:
        of = list(turns)[which % len(turns)]
        at = max(1, log.head(of).version * permille // 1000)
        (row,) = read_session(log, of, at - 1, at)
        of = row.session_id  # a parent's, where the event is inherited
        name = f"fork{1 + sum(head.session_id.startswith('fork') for head in log.heads())}"
        turns[name] = row.turn
        forked = e.SessionForked(of, at, row.hash.hex(), budget_tokens=9)
        log.append(name, [NewEvent(forked, row.turn, 1_000_000, "tester")])


def play(log, turns: dict[str, int], happening) -> None:
    """Append a transaction, or fork."""
    if len(happening) == 2:
        fork(log, turns, *happening)
    else:
        session_id, *rest = happening
        append(log, turns, (session_id if session_id in turns or session_id == "two" else "one", *rest))


def dump(log) -> dict[str, list[tuple]]:
    """The stored rows of all tables, in order, as SQLite gives them."""
    with log.transaction() as transaction:
        db = transaction.connection
        return {
            t.name: db.execute(f"SELECT * FROM {t.name} ORDER BY {', '.join(t.order)}").fetchall() for t in TABLES
        }


def shown(log) -> dict[str, list[tuple]]:
    """The rows that a reader sees, those that forks inherit included."""
    with snapshot(log) as view:
        return {t.name: [t.values(row) for row in view.rows(t)] for t in TABLES}


def owned(log) -> dict[str, list[tuple]]:
    """The rows that a reader sees as a catch-up would store them."""
    with snapshot(log) as view:
        rows = {t: sorted(view.folded.latest_rows(t), key=t.sort_key) for t in TABLES}
        return {t.name: list(map(t.values, rows[t])) for t in TABLES}


def check_views(log) -> None:
    """The views `all_…` have the rows that a reader sees, but for those that a parent changed after a fork."""
    with snapshot(log) as view, log.transaction() as transaction:
        for table in TABLES[1:]:
            sessions = [row.session_id for row in view.rows(SESSIONS)]
            rows = [view.fields(each) if table is DURABLE_STORE else view.rows(table, each) for each in sessions]
            seen = {table.key_of(row): table.values(row) for each in rows for row in each}
            viewed = transaction.connection.execute(f"SELECT * FROM all_{table.name}").fetchall()
            assert len(viewed) == len(seen)
            for *cells, changed_since in viewed:
                expected = seen[table.key_of(table.parse(cells))]
                assert changed_since or tuple(cells) == expected


@settings(max_examples=20, deadline=None)
@given(
    history=st.lists(st.tuples(st.one_of(commands(), commands(), forks()), st.booleans()), max_size=12),
    piece_events=st.integers(1, 9),
)
def test_rebuilt_equals_live(tmp_path_factory, history, piece_events):
    """LAW-PROJ-1: caught up at any places, rebuilt, or folded by a reader: the same rows, byte for byte."""
    turns: dict[str, int] = {}
    memory, twin = MemoryLog(), {}
    with open_log(tmp_path_factory.mktemp("law") / "j.db") as log:
        for happening, stop in history:
            play(log, turns, happening)
            play(memory, twin, happening)
            if stop:
                catch_up(log, piece_events=piece_events)
        seen, own = shown(log), owned(log)
        catch_up(log)
        live = dump(log)
        assert shown(log) == seen
        assert owned(log) == own == live
        check_views(log)
        assert projections_problems(log) == []
        rebuild(log)
        assert dump(log) == live
        rebuild(log, piece_events=piece_events)
        assert dump(log) == live
        unhashed = shown(memory)
        for rows in (unhashed, seen):
            rows["sessions"] = [row[:-3] + row[-2:] for row in rows["sessions"]]
        assert unhashed == seen


@settings(max_examples=30, deadline=None)
@given(history=st.lists(st.one_of(commands(), forks()), max_size=12))
def test_a_fork_has_the_rows_of_one_session(history):
    """LAW-PROJ-2 and 3: the rows of a fork, and of any place in it, are those of its parents' events and its own."""
    log, turns = MemoryLog(), {}
    for happening in history:
        play(log, turns, happening)
    with snapshot(log) as view:
        for head in log.heads():
            there = snapshot_at(log, head.session_id, head.version)
            assert view.fields(head.session_id) == there.fields(head.session_id)
            for table in TABLES:
                if table is not DURABLE_STORE:
                    assert view.rows(table, head.session_id) == there.rows(table), table.name
            for version in range(1, head.version, 5):
                then = snapshot_at(log, head.session_id, version)
                for now, rows in (
                    (view.rows(FAULTS, head.session_id), then.rows(FAULTS)),
                    (view.fields(head.session_id), then.fields(head.session_id)),
                ):
                    assert [row for row in now if row.version <= version] == rows
            first = log.first(head.session_id).data
            if isinstance(first, e.SessionForked):
                parent = snapshot_at(log, first.parent, first.parent_version)
                child = snapshot_at(log, head.session_id, first.parent_version)
                for table in TABLES:
                    renamed = [attrs.evolve(row, session_id=head.session_id) for row in parent.rows(table)]
                    assert child.rows(table) == renamed
        shared = [(row.scope, row.seq) for row in view.rows(DURABLE_STORE) if row.scope != "session"]
        assert len(shared) == len(set(shared)), "what was committed to a shared scope stands once"


def test_the_rows_of_a_place_are_folded_from_events_as_a_file_stores_them(tmp_path, monkeypatch):
    """Of a session and of a fork of it they are those of all events read, and only the first of a stream is."""
    with Journal.open(tmp_path / "j.db", seed=1) as journal:
        with journal.session("s", budget_tokens=300, counter="lines4") as session:
            for number in range(30):
                session.user_says(f"message {number}")
                session.assemble()
        with journal.fork("s", "f", at=60) as fork:
            fork.user_says("another way")
        log, plain, read = journal.log, queries.recordeds, []
        places = [(each.session_id, version) for each in log.heads() for version in (1, 40, each.version)]
        asked = {place: renamed(raws(read_session(log, place[0], upto=place[1])), place[0]) for place in places}
        expected = {place: Fold().run(rows) for place, rows in asked.items()}
        monkeypatch.setattr(queries, "recordeds", lambda rows: (read.append(row) or row for row in plain(rows)))
        for place in places:
            there = snapshot_at(log, *place)
            for table in TABLES:
                assert there.rows(table) == sorted(expected[place].rows(table), key=table.sort_key), (place, table)
    assert len(read) <= 2 * len(places)


def test_every_event_type_has_a_handler():
    """No event type is forgotten, and none is handled that is not there."""
    assert HANDLERS.keys() == e.EVENT_TYPES.keys()


@pytest.mark.parametrize("event", LEAN, ids=lambda c: c.TYPE)
def test_lean_structs_agree_with_their_events(event):
    """A struct that decodes part of an event has its names and its defaults."""

    def compare(struct, cls):
        fields = {f.name: f for f in msgspec.structs.fields(cls)}
        for field in msgspec.structs.fields(struct):
            assert fields[field.name].required == field.required
            assert field.required or field.default == fields[field.name].default

    compare(LEAN[event], event)
    if event is e.PageWritten:
        compare(LeanLevel, Level)
        compare(LeanOrigin, Origin)


def raw(version: int, data: str, type_: str, *, seq: int = 0, schema_version: int = 1, at: int = 0) -> tuple:
    """One row as the fold takes it."""
    kind = e.KINDS.get(type_, "input")
    return (seq or version, "one", version, 1, kind, type_, schema_version, at, "tester", data, bytes(32))


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (raw(1, "{}", "no_such_event"), UnknownEvent),
        (raw(1, "{}", "page_used", schema_version=99), UnknownEvent),
        (raw(1, "{", "page_used"), JournalDamaged),
        (raw(1, '{"page_id":7}', "page_used"), JournalDamaged),
        (raw(1, '{"page_id":"p1","before":"full","after":"fuller"}', "representation_changed"), JournalDamaged),
        (raw(1, '{"budget_tokens":1,"counter":"c","decider_version":1,"profile":{"name":"x"}}', "session_opened",
             at=2**62), JournalDamaged),
    ],
)  # fmt: skip
def test_what_cannot_be_folded_is_named(row, error):
    """Unknown types and damaged data raise, with the event's place."""
    with pytest.raises(error, match="session one version 1"):
        Fold().run([row])


def session(*groups: list) -> MemoryLog:
    """A log with one session, each group in the turn of its place, from 1."""
    log = MemoryLog()
    for turn, group in enumerate(groups, 1):
        log.append("one", [NewEvent(data, turn, 1_000_000, "tester") for data in group])
    return log


def level(name: str, tokens: int):
    """A kept level."""
    return Level(Fidelity(name), tokens, "0" * 64, "prose-1")


def written(page_id: str, *levels) -> e.PageWritten:
    """A page of evidence."""
    return e.PageWritten(
        page_id, PageType.EVIDENCE, Author.TOOL, Origin(OriginKind.TOOL_CALL, 3, 5, call=7), tuple(levels)
    )


def test_a_page_row_follows_its_page():
    """Levels, tokens, use and content version stand in the page's row."""
    log = session(
        [
            written("p1", level("full", 90), level("pointer", 9)),
            e.RepresentationChanged("p1", Fidelity.ABSENT, Fidelity.FULL, ChangeReason.ARRIVAL),
        ],
        [e.TurnBegan(), e.PageUsed("p1", NeedRule.DATA_FLOW)],
        [
            written("p1", level("full", 80), level("pointer", 8)),
            e.RepresentationChanged("p1", Fidelity.FULL, Fidelity.POINTER, ChangeReason.LOWERED),
        ],
        [e.TurnBegan(), e.PageResolved("p1", NeedRule.DECLARED, 80)],
    )
    with snapshot(log) as view:
        (page,) = view.rows(PAGE_TABLE)
        turns = view.rows(TURNS)
    assert (page.level, page.tokens, page.full_tokens, page.content_version) == ("pointer", 8, 80, 2)
    assert (page.hits, page.page_ins, page.last_used_turn, page.written_turn) == (1, 1, 4, 3)
    assert page.origin == "call 7, lines 3-5"
    assert [(t.turn, t.raised, t.lowered, t.hits, t.misses) for t in turns] == [
        (1, 1, 0, 0, 0),
        (2, 0, 0, 1, 0),
        (3, 0, 1, 0, 0),
        (4, 0, 0, 0, 1),
    ]
    assert [(t.first_version, t.last_version) for t in turns] == [(1, 2), (3, 4), (5, 6), (7, 8)]


def test_needs_are_hits_page_ins_and_need_faults():
    """`needs = hits + misses`; faults of an assembly, a recall or a boundary are no misses."""
    log = session(
        [e.ToolCalled(1, "Read", "0" * 64), e.PageUsed("p1", NeedRule.DECLARED)],
        [
            e.ToolCalled(2, "Grep", "0" * 64),
            e.PageResolved("p1", NeedRule.DECLARED),
            *(e.FaultObserved(fault, FaultReason.RERUN, "p1", 2, (1, 3)) for fault in FaultType),
        ],
    )
    with snapshot(log) as view:
        (row,) = view.rows(SESSIONS)
        faults = view.rows(FAULTS)
    assert (row.needs, row.hits, row.page_ins, row.misses, row.faults) == (4, 1, 1, 3, 6)
    assert all(getattr(row, fault.value) == 1 for fault in FaultType)
    assert [fault.fault for fault in faults] == [fault.value for fault in FaultType]
    assert {(fault.tool, fault.evidence, fault.page_type) for fault in faults} == {("Grep", "[1,3]", "")}
    head = log.head("one")
    assert (row.head_version, row.head_hash) == (head.version, head.hash.hex())
    assert row.decision_digest == decision_digest(log.read("one"))


def test_a_committed_page_is_clean_and_its_value_is_kept():
    """A boundary's staged page becomes an update, a version of its field, and a clean page."""
    page = replace(written("p1", level("full", 9)), dirty=True)
    update = f.UpdateFacts("p1", f.Op.SET_WITH_VERSION, "a" * 64, 12, f.Evidence(page_id="p1"), base_version=0)
    log = session(
        [page],
        [
            e.BoundaryReached(f.Boundary.COMPACT, f.Trigger.CALLER, (f.StagedPage("p1", update),)),
            e.DirtyPageStaged("p1", 1),
            e.UpdateValidated(1),
            e.UpdateCommitted(1, "p1", f.Op.SET_WITH_VERSION, 1),
            e.CommitPointReached(committed=1),
            e.BoundaryCompleted(f.Boundary.COMPACT),
        ],
    )
    with snapshot(log) as view:
        assert [p.dirty for p in view.rows(PAGE_TABLE)] == [False]
        (row,) = view.rows(DURABLE_STORE)
        assert (row.field, row.field_version, row.value, row.evidence) == ("p1", 1, "a" * 64, "page p1")
        assert [(u.status, u.page_id, u.base_version) for u in view.rows(UPDATES)] == [("committed", "p1", 0)]
        assert [(s.compactions, s.committed) for s in view.rows(SESSIONS)] == [(1, 1)]


def test_a_shared_scope_is_no_session():
    """The stream of a scope has no row among the sessions."""
    log = MemoryLog()
    change = e.ScopeChanged("goal", Op.APPEND, 1, 0, "a" * 64, "one", 1, "b" * 64)
    log.append("scope:x", [NewEvent(change, 0, 0, "tester")])
    with snapshot(log) as view:
        assert view.rows(SESSIONS) == []
        assert view.seq == 1
