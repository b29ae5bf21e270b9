"""The laws of caches: snapshots, read models and the text index are never wrong, at most behind."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from itertools import count

from clawvm_es import limits, projections
from clawvm_es.core.evolve import fold
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import JournalError
from clawvm_es.journal import snapshots
from clawvm_es.journal.ports import (
    Capability,
    Cells,
    Edition,
    EventLog,
    Head,
    ModelStore,
    NewEvent,
    SnapshotRow,
    SnapshotStore,
    TextIndex,
    models_of,
    snapshots_of,
    texts_of,
)
from clawvm_es.model.events import RepresentationChanged, SessionForked, ToolCalled
from clawvm_es.model.facts import ChangeReason
from clawvm_es.model.pages import Fidelity
from clawvm_es.projections.rows import SessionRow
from clawvm_es.projections.tables import MODELS, SESSIONS
from clawvm_es.testing.fakes import FakeClock
from clawvm_es.testing.logs.place import Place, budget, need, needs, new

MADE_BY = "contract"


class SnapshotLaws:
    """Contract of a log that keeps snapshots."""

    def test_the_nearest_snapshot_is_given(self, log: EventLog) -> None:
        """`before` gives a maker's last snapshot at or before a version; nodes and rows come back as stored."""
        store = _snapshots(log)
        assert (store.before("s", 9, MADE_BY), list(store.rows()), dict(store.nodes([1]))) == (None, [], {})
        heads = [log.append("s", [budget(n)]) for n in range(1, 4)]
        first, last = _insert(log, heads[0]), _insert(log, heads[2])
        assert [store.before("s", version, MADE_BY) for version in (1, 2, 3, 9)] == [first, first, last, last]
        assert store.before("s", 9, "another") is store.before("t", 9, MADE_BY) is None
        assert (list(store.others(MADE_BY)), list(store.others("another"))) == ([], ["s"])
        assert list(store.rows()) == [first, last]
        assert dict(store.nodes([first.first_node, last.first_node, 99])) == {
            first.first_node: b"node 1",
            last.first_node: b"node 3",
        }
        assert last.snapshot_id > first.snapshot_id and last.first_node >= first.first_node + first.nodes

    def test_a_new_snapshot_is_seen_at_once(self, place: Place) -> None:
        """Every log on the place, and every store that it gave, sees the last snapshot and none that is gone."""
        with ExitStack() as stack:
            log = stack.enter_context(place.open())
            other = stack.enter_context(place.open()) if place.shared else log
            stores = [_snapshots(log), _snapshots(other)]
            for n in range(1, 4):
                row = _insert(log, log.append("s", [budget(n)]))
                for store in stores:
                    assert store.before("s", n, MADE_BY) == row
                    with store.at_once() as now:
                        assert now.before("s", n, MADE_BY) == row
            with log.transaction() as transaction:
                assert stores[0].within(transaction).forget(["s"]) == 3
            assert [store.before("s", 9, MADE_BY) for store in stores] == [None, None]

    def test_events_are_read_beside_snapshots(self, log: EventLog) -> None:
        """Hashes and events at a place, and the next ones after it, are those of the log."""
        store = _snapshots(log)
        log.append("s", [budget(n) for n in range(1, 6)])
        log.append("t", [budget(9)])
        events = {each.version: each for each in log.read("s")}
        assert [store.hash_at("s", version) for version in (1, 5, 6)] == [events[1].hash, events[5].hash, None]
        assert dict(store.events_at("s", [2, 4, 9])) == {version: events[version].data for version in (2, 4)}
        assert list(store.events_after("s", 2, 4)) == [(3, events[3].data), (4, events[4].data)]
        assert list(store.events_after("s", 5, 9)) == []
        assert store.news() == (0, 6)
        assert sorted(store.active(0, 6)) == ["s", "t"] and list(store.active(5, 6)) == ["t"]

    def test_deltas_go_with_what_they_rest_on(self, log: EventLog) -> None:
        """Forgetting a stream's snapshots removes all snapshots based on them; ids are never used again."""
        store = _snapshots(log)
        base = _insert(log, log.append("s", [budget(1)]))
        delta = _insert(log, log.append("t", [budget(1)]), base.snapshot_id)
        alone = _insert(log, log.append("u", [budget(1)]))
        with log.transaction() as transaction:
            writer = store.within(transaction)
            writer.set_position(3)
            assert writer.forget(["s"]) == 2
            assert writer.next_ids()[0] > alone.snapshot_id > delta.snapshot_id
        assert list(store.rows()) == [alone]
        assert store.news()[0] < 3
        with log.transaction() as transaction:
            store.within(transaction).clear()
        assert (list(store.rows()), store.news()[0]) == ([], 0)

    def test_snapshots_change_with_their_transaction(self, log: EventLog) -> None:
        """LAW-SNAP-3: what a transaction stores is seen inside it, by others when it commits, never if it raises."""
        import pytest

        store = _snapshots(log)
        head = log.append("s", [budget(1)])
        with pytest.raises(ZeroDivisionError), log.transaction() as transaction:
            writer = store.within(transaction)
            snapshot_id, node = writer.next_ids()
            row = SnapshotRow(snapshot_id, "s", 1, head.hash, MADE_BY, None, node, 1, b"head")
            writer.insert(row, [(node, b"node")])
            assert writer.before("s", 1, MADE_BY) == row
            assert store.before("s", 1, MADE_BY) is None
            raise ZeroDivisionError
        assert (list(store.rows()), dict(store.nodes([node]))) == ([], {})

    def test_a_state_through_snapshots_is_the_fold(self, log: EventLog) -> None:
        """LAW-SNAP-1: a session's state equals the fold of all its events, with snapshots and without any."""
        _session(log, limits.SNAPSHOT_EVENTS // 2)
        snapshots.catch_up(log)
        store = snapshots_of(log)
        assert store is None or store.rows()
        state = snapshots.state_at(log, "s")
        assert state == fold(each.data for each in log.read("s"))
        assert list(snapshots.snapshot_problems(log)) == []


class ModelLaws:
    """Contract of a log that keeps read models."""

    def test_rows_come_back_and_change(self, log: EventLog) -> None:
        """Rows are found by key and by session, and written over; a rebuild stays apart until it is switched."""
        models = _models(log)
        log.append("s", [budget(1)])
        table = SESSIONS.spec
        with models.reading() as reader:
            assert (reader.position(), reader.position(Edition.NEXT), reader.last_seq()) == (None, None, 1)
        with models.writing() as writer:
            writer.begin()
            writer.write(Edition.NEXT, [(table, [_row("s", 1), _row("t", 2)])], 1)
            assert (writer.position(), writer.position(Edition.NEXT)) == (None, 1)
        with models.writing() as writer:
            writer.switch()
        with models.writing() as writer:
            writer.write(Edition.LIVE, [(table, [_row("s", 3)])], 1)
        with models.reading() as reader:
            assert (reader.position(), reader.position(Edition.NEXT)) == (1, None)
            assert sorted(reader.rows(table)) == [_row("s", 3), _row("t", 2)]
            assert list(reader.rows(table, "t")) == [reader.row(table, ("t",))] == [_row("t", 2)]
            assert reader.row(table, ("u",)) is None
            assert reader.problems() == []

    def test_a_reader_has_the_events(self, log: EventLog) -> None:
        """A reader gives the events that models are folded from, undecoded, and where inputs begin."""
        models = _models(log)
        log.append("s", [budget(1), new(ToolCalled(1, "grep", log.vault("s").commit(b"x")))])
        log.append("t", [budget(2)])
        stored = list(log.read_all())
        with models.reading() as reader:
            found = list(reader.events(0, 3))
            assert [(each[0], each[1], each[2], each[9].encode(), each[10]) for each in found] == [
                (each.seq, each.session_id, each.version, each.raw, each.hash) for each in stored
            ]
            assert [each[0] for each in reader.events(1, 2)] == [2]
            assert [each[2] for each in reader.stream_events("s", 1)] == [1]
            assert (reader.next_input(1), reader.next_input(3)) == (2, None)
            assert (reader.tool("s", 1, 2), reader.tool("s", 1, 1), reader.tool("s", 2, 2)) == ("grep", None, None)

    def test_a_reader_finds_the_last_change_of_a_level(self, log: EventLog) -> None:
        """A reader gives the last event in a range that gave a page its level, of a fork its parent's, too."""
        models = _models(log)

        def moved(page_id: str) -> NewEvent:
            return new(RepresentationChanged(page_id, Fidelity.ABSENT, Fidelity.FULL, ChangeReason.FLOOR))

        at = log.append("s", [budget(1), moved("p1"), moved("p2"), moved("p1")])
        log.append("t", [moved("p1")])
        log.append("fork", [new(SessionForked("s", at.version, at.hash.hex())), moved("p2"), budget(2)])
        with models.reading() as reader:
            ranges = ((0, 9), (0, 3), (2, 3), (4, 9))
            assert [reader.moved("s", "p1", *each) for each in ranges] == [4, 2, None, None]
            assert [reader.moved("fork", "p1", *each) for each in ranges] == [4, 2, None, None]
            assert [reader.moved("fork", "p2", 0, upto) for upto in (9, 5, 2)] == [6, 3, None]
            assert reader.moved("s", 'p"', 0, 9) is None

    def test_rows_and_position_commit_together(self, log: EventLog) -> None:
        """LAW-PROJ-1: a block that raises changes neither rows nor position."""
        import pytest

        models = _models(log)
        log.append("s", [budget(1)])
        projections.catch_up(log)
        assert models.current()
        log.append("s", [budget(2)])
        assert not models.current()
        with models.reading() as reader:
            before = reader.position(), list(reader.rows(SESSIONS.spec))
        with pytest.raises(ZeroDivisionError), models.writing() as writer:
            writer.write(Edition.LIVE, [(SESSIONS.spec, [_row("s", 7)])], 2)
            raise ZeroDivisionError
        with models.reading() as reader:
            assert (reader.position(), list(reader.rows(SESSIONS.spec))) == before

    def test_no_cut_parts_rows_from_their_position(self, place: Place) -> None:
        """LAW-PROJ-1: whichever commit of a catch-up is cut, rows and position are of one place in the log."""
        need(place.cut, "does not cut connections")
        assert place.cut is not None
        with place.open() as log:
            _models(log)
            log.append("s", [budget(1)])
            projections.catch_up(log)
        for at in count(1):
            came = False
            for after in (False, True):
                with place.open() as log:
                    log.append("s", [budget(at)])
                    try:
                        with place.cut(at, after) as cut:
                            projections.catch_up(log)
                    except JournalError:
                        assert cut.came
                came |= cut.came
                with place.open() as log:
                    assert projections.projections_problems(log) == []
            if not came:
                return

    def test_a_reader_sees_one_state(self, place: Place) -> None:
        """A reader keeps the state of events and rows with which it began, even if others write meanwhile."""
        with ExitStack() as stack:
            log = stack.enter_context(place.open())
            models = _models(log)
            other = stack.enter_context(place.open()) if place.shared else log
            log.append("s", [budget(1)])
            projections.catch_up(log)
            with models.reading() as reader:
                before = reader.position(), reader.last_seq(), list(reader.rows(SESSIONS.spec))
                other.append("s", [budget(2)])
                projections.catch_up(other)
                assert (reader.position(), reader.last_seq(), list(reader.rows(SESSIONS.spec))) == before
            with models.reading() as reader:
                assert (reader.position(), reader.last_seq()) == (2, 2)

    def test_stored_rows_are_those_of_a_rebuild(self, log: EventLog) -> None:
        """LAW-PROJ-1: rows caught up in pieces, and rows rebuilt, have no problems, and nothing foreign is there."""
        models = _models(log)
        _session(log, 3)
        projections.catch_up(log, piece_events=2)
        assert projections.projections_problems(log) == []
        projections.rebuild(log, piece_events=3)
        assert projections.projections_problems(log) == []
        assert (models.foreign(), models.copies(), models.altered()) == ((), (), [])


class TextLaws:
    """Contract of a log that keeps a full-text index."""

    def test_bodies_are_found_indexed_or_not(self, place: Place) -> None:
        """LAW-INDEX-1: a body is found by its words as soon as it is committed, from every log on the place."""
        with ExitStack() as stack:
            log = stack.enter_context(place.open())
            other = stack.enter_context(place.open()) if place.shared else log
            indexes = [_texts(log), _texts(other)]
            names = []
            for n, text in enumerate((b"red fox", b"red herring", b"blue fox"), 1):
                names.append(log.vault("s").commit(text))
                log.append("s", [new(ToolCalled(n, "tool", names[-1]))])
                if n == 1:
                    projections.index_texts(log)
                for index in indexes:
                    assert index.holding([("red",)]) == frozenset(names[:2])
                    assert index.holding([("red",), ("fox",)]) == frozenset(names[:1])
                    assert index.holding([("red", "herring")]) == frozenset(names[1:2])
                    assert index.holding([("grey",)]) == frozenset()
            projections.index_texts(log)
            for index in indexes:
                assert index.holding([("fox",)]) == {names[0], names[2]}
                assert (index.behind(), index.stray(), index.problems()) == (0, 0, [])

    def test_events_are_found_by_what_they_name(self, log: EventLog) -> None:
        """The index returns, in order, all inputs of a stream, between two versions, that name one of some bodies."""
        index, vault = _texts(log), log.vault("s")
        names = [vault.commit(text) for text in (b"red", b"blue", b"grey")]
        log.append("s", [new(ToolCalled(n, "tool", names[n % 3])) for n in range(1, 2_001)])
        log.append("t", [new(ToolCalled(1, "tool", log.vault("t").commit(b"red")))])
        every = [row for row in log.read("s") if getattr(row.data, "arguments", "") in names[:2]]
        assert len(every) > 1_024
        assert list(index.naming("s", names[:2])) == every
        assert list(index.naming("s", names[:2], 600, 1_900)) == [row for row in every if 600 < row.version <= 1_900]
        many = frozenset((*names[:2], *(f"{number:064x}" for number in range(30))))
        assert list(index.naming("s", many, 600, 1_900)) == [row for row in every if 600 < row.version <= 1_900]
        assert [list(index.naming(*asked)) for asked in (("t", names), ("s", []), ("none", many))] == [[], [], []]

    def test_a_body_of_many_words_is_found(self, log: EventLog) -> None:
        """A body with more words, or a longer word, than an index takes is found by each of its words."""
        index = _texts(log)
        words = [f"word{number:05}" for number in range(60_000)]
        names = [log.vault("s").commit(text.encode()) for text in (" ".join(words), f"fox {'x' * 3_000}")]
        for n, name in enumerate(names, 1):
            log.append("s", [new(ToolCalled(n, "tool", name))])
        projections.index_texts(log)
        assert index.holding([(words[-1],)]) == index.holding([(words[0], words[1])]) == frozenset(names[:1])
        assert index.holding([("fox",)]) == index.holding([("x" * 3_000,)]) == frozenset(names[1:])
        assert (index.behind(), index.stray(), index.problems()) == (0, 0, [])

    def test_a_phrase_is_found_in_its_order_alone(self, log: EventLog) -> None:
        """A phrase matches adjacent words in their order; several phrases match if one body holds them all."""
        index, words = _texts(log), ("red", "fox", "redfox")
        texts = [" ".join(each) for length in (1, 2, 3) for each in itertools.product(words, repeat=length)]
        names = {}
        for n, text in enumerate(texts, 1):
            names[text] = log.vault("s").commit(text.encode())
            log.append("s", [new(ToolCalled(n, "tool", names[text]))])
            if n == len(texts) // 2:
                projections.index_texts(log)
        phrases = [(each,) for each in words] + list(itertools.product(words[:2], repeat=2))
        for wanted in [[each] for each in phrases] + [[("red",), ("fox",)], [("red", "fox"), ("fox", "red")]]:
            holding = {text for text in texts if all(f" {' '.join(each)} " in f" {text} " for each in wanted)}
            found = index.holding(wanted)
            assert {text for text in texts if names[text] in found} == holding

    def test_all_names_of_a_body_are_found(self, log: EventLog) -> None:
        """A body of two sessions is found under both of its commitments; a sealed body is never found."""
        index = _texts(log)
        names = [log.vault(key).commit(b"red fox") for key in ("s", "t")]
        for key, name in zip(("s", "t"), names, strict=True):
            log.append(key, [new(ToolCalled(1, "tool", name, log.vault(key).seal(b"red wine")))])
        assert index.holding([("red",)]) == frozenset(names)


def _session(log: EventLog, turns: int) -> None:
    """A session of some turns."""
    with Journal(log, clock=FakeClock()).session("s", counter="lines4") as session:
        for turn in range(turns):
            session.user_says(f"turn {turn}")
            session.assemble()


def _row(session_id: str, pages: int) -> Cells:
    """The cells of a session's row."""
    cells = SESSIONS.values(SessionRow(session_id, pages=pages))
    return tuple(int(cell) if isinstance(cell, bool) else cell for cell in cells)


def _snapshots(log: EventLog) -> SnapshotStore:
    needs(log, Capability.SNAPSHOTS)
    store = snapshots_of(log)
    assert store is not None
    return store


def _models(log: EventLog) -> ModelStore:
    needs(log, Capability.MODELS)
    store = models_of(log, MODELS)
    assert store is not None
    return store


def _texts(log: EventLog) -> TextIndex:
    needs(log, Capability.TEXT)
    index = texts_of(log)
    assert index is not None
    return index


def _insert(log: EventLog, head: Head, base: int | None = None) -> SnapshotRow:
    """Store a snapshot of one node at a head."""
    store = _snapshots(log)
    with log.transaction() as transaction:
        writer = store.within(transaction)
        snapshot_id, node = writer.next_ids()
        row = SnapshotRow(snapshot_id, head.session_id, head.version, head.hash, MADE_BY, base, node, 1, b"head")
        writer.insert(row, [(node, b"node %d" % head.version)])
    return row
