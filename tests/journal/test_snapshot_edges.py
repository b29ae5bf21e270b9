"""Edges of snapshots: what has none, what one that says too little is worth, and when the next one is due."""

from __future__ import annotations

import attrs
import pytest
from structlog.testing import capture_logs

from clawvm_es import limits
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema
from clawvm_es.errors import JournalDamaged
from clawvm_es.history import state_at
from clawvm_es.journal import snapshots
from clawvm_es.journal.ports import NewEvent
from clawvm_es.journal.snapshots import take as taking
from clawvm_es.journal.snapshots.parts import OPENING, PARTS, decode_head, encode_head
from clawvm_es.journal.snapshots.reader import Reader
from clawvm_es.journal.snapshots.seal import Damaged, open_head, seal_head
from clawvm_es.journal.snapshots.take import take
from clawvm_es.model import events as e
from clawvm_es.model.facts import NeedRule
from clawvm_es.model.pages import PageType
from clawvm_es.storage import open_log
from clawvm_es.testing.core import opened, page
from tests.journal.test_snapshots import assert_same, change, every, folded, stored

LAST = 20
PAGES = PARTS[0]


@pytest.fixture
def log(tmp_path):
    """A log of one session of twenty events, with no snapshot yet."""
    with open_log(tmp_path / "j.db") as found:
        budgets = (e.BudgetChanged(tokens) for tokens in range(1, LAST))
        found.append("s", [NewEvent(data, 0, 0, "t") for data in (opened(), *budgets)])
        yield found


@pytest.mark.parametrize("distance", [1, 3, 10, LAST, LAST + 1])
def test_a_snapshot_is_due_at_every_so_many_events_exactly(log, distance):
    """None before the distance is reached, one at each multiple of it, the last one included."""
    with every(distance):
        snapshots.catch_up(log)
        assert [row.version for row in stored(log)] == list(range(distance, LAST + 1, distance))
        assert list(snapshots.snapshot_problems(log)) == []


class Torn:
    """A store whose nodes cannot be read."""

    def nodes(self, ids):
        """Raise what a damaged table does."""
        raise JournalDamaged(f"nodes {ids} are torn")


def test_a_snapshot_whose_nodes_cannot_be_read_is_damaged():
    """Its state is then folded from further back, as for a node with a wrong seal."""
    with pytest.raises(Damaged, match="its nodes cannot be read: nodes \\[7\\] are torn"):
        Reader(Torn(), ()).nodes(1, {0: 7})


def test_so_many_snapshots_are_taken_at_most(log):
    """`take` says how many it took and whether none is due; asked again it goes on behind the last."""
    with every(3), log.transaction() as transaction:
        writer = log.snapshots().within(transaction)
        assert [take(log, writer, "s", 4), take(log, writer, "s", 4), take(log, writer, "s", 4)] == [
            (4, False),
            (2, True),
            (0, True),
        ]


def test_sessions_that_went_on_too_little_are_not_looked_at(log):
    """Half a distance of new events in the whole log is the least for which `catch_up` begins a transaction."""
    with every(4):
        snapshots.catch_up(log)
        looked = log.snapshots().news()
        log.append("t", [NewEvent(opened(), 0, 0, "t")])
        snapshots.catch_up(log)
        assert log.snapshots().news() == (looked[0], looked[1] + 1)
        log.append("t", [NewEvent(e.BudgetChanged(5), 0, 0, "t")])
        snapshots.catch_up(log)
        assert log.snapshots().news() == (looked[1] + 2, looked[1] + 2)


def test_a_shared_scope_has_no_snapshots(tmp_path):
    """A project's stream has no session's state; however long it is, none is taken of it, and none is due."""
    settings = Settings(fields={"notes": FieldSchema()})
    with Journal.open(tmp_path / "j.db") as journal:
        with journal.session("s", counter="lines4", project="team", settings=settings) as session:
            session.user_says("x")
            for number in range(9):
                session.stage("notes", "append", number, scope="project", evidence="p1")
            session.save()
        log = journal.log
        assert log.head("scope:team").version == 9
        with every(2):
            snapshots.rebuild(log)
            with log.transaction() as transaction:
                assert take(log, log.snapshots().within(transaction), "scope:team", 5) == (0, True)
                assert take(log, log.snapshots().within(transaction), "nobody", 5) == (0, True)
        assert {row.session_id for row in stored(log)} == {"s"}


def test_a_snapshot_that_does_not_say_how_its_session_was_opened_is_damaged(log):
    """Sealed and whole, but without the opening: it is said, the state is folded without it, and it is taken anew."""
    with every(10):
        snapshots.catch_up(log)
        row = stored(log)[-1]
        head = decode_head(open_head(row))
        head._roots[OPENING] = {}
        sealed = seal_head(attrs.evolve(row, head=b""), encode_head(head))
        change(log, ("UPDATE snapshots SET head = ? WHERE snapshot_id = ?", (sealed.head, row.snapshot_id)))
        with capture_logs() as said:
            assert_same(state_at(log, "s"), folded(log, "s"))
        assert [entry["damage"] for entry in said] == ["it does not say how the session was opened"]
        (problem,) = snapshots.snapshot_problems(log)
        assert problem.what == "snapshot" and problem.where == f"session s version {row.version}"
        snapshots.rebuild(log)
        assert list(snapshots.snapshot_problems(log)) == []


def test_a_piece_of_the_work_is_bounded_and_the_rest_is_left(log, monkeypatch):
    """`keep_up` takes as many snapshots as two pieces of events hold; `catch_up` takes what is left."""
    monkeypatch.setattr(limits, "KEEP_UP_EVENTS", 3)
    with every(2):
        for taken in (3, 6):
            snapshots.keep_up(log)
            assert [row.version for row in stored(log)] == list(range(2, 2 * taken + 1, 2))
            assert log.snapshots().news()[0] == 0, "a session that is not done keeps the position back"
        snapshots.catch_up(log)
        assert len(stored(log)) == LAST // 2
        assert log.snapshots().news() == (LAST, LAST)


def test_what_was_stored_leaves_memory(tmp_path, monkeypatch):
    """LAW-SNAP-3: each further snapshot looks at what changed since the last one, however many there were before."""
    looked: list[dict[str, int]] = []
    changes = taking.changes

    def noted(state, base):
        looked.append({part.name: len(getattr(state, part.name).looked_at()) for part in PARTS})
        return changes(state, base)

    monkeypatch.setattr(taking, "changes", noted)
    with every(20), Journal.open(tmp_path / "j.db", seed=3, clock=lambda: 0) as journal:
        with journal.session("s", budget_tokens=300, counter="lines4") as session:
            for number in range(60):
                session.tool("read", {"path": f"{number}"}, lambda path: f"text of {path}")
                session.assemble()
        looked.clear()
        snapshots.rebuild(journal.log)
    assert len(looked) > 10
    for part in PARTS:
        first, rest = looked[0][part.name], [each[part.name] for each in looked[1:]]
        assert max(rest) <= first + 20, (part.name, first, rest)


class Counted:
    """The readings of nodes of a snapshot's pages, leaves and branches, and the number of events read after it."""

    def __init__(self, monkeypatch):
        self.read: list[tuple[int, int]] = []
        self.events = 0
        nodes, events_after = Reader.nodes, Reader.events_after

        def noted(reader, part, node_ids):
            if part // 2 == PAGES.number:
                self.read.append((part % 2, len(node_ids)))
            return nodes(reader, part, node_ids)

        def counting(reader, version, upto=None):
            for event in events_after(reader, version, upto):
                self.events += 1
                yield event

        monkeypatch.setattr(Reader, "nodes", noted)
        monkeypatch.setattr(Reader, "events_after", counting)

    def taken(self):
        """The readings since the last question."""
        read, self.read = self.read, []
        return read

    def again(self):
        """Begin to count anew."""
        self.read, self.events = [], 0


@pytest.fixture
def paged(tmp_path):
    """A log whose snapshot holds many leaves of pages, and whose last events concern some of them."""
    used = [e.PageUsed(f"p{number}", NeedRule.DECLARED) for number in (3, 50, 90, 130)]
    data = [
        opened(),
        *(page(number, PageType.BOOTSTRAP if number % 40 else PageType.PLAN) for number in range(1, 200)),
    ]
    with every(200), open_log(tmp_path / "j.db") as found:
        found.append("s", [NewEvent(each, 0, 0, "t") for each in data])
        snapshots.catch_up(found)
        found.append("s", [NewEvent(each, 0, 0, "t") for each in used])
        assert [row.version for row in stored(found)] == [200]
        yield found


def test_the_pages_that_are_needed_are_read_at_once(paged, monkeypatch):
    """One question for the branches and one for all leaves: those that events name, or all that are weighed.

    They are weighed by an assembly, and at the end of a session by the next one.
    """
    counted = Counted(monkeypatch)
    state = state_at(paged, "s")
    assert (counted.taken(), counted.events) == ([(1, 1), (0, 7)], 4)
    for page_id in (*state.resident, *state.required, *state.arrivals):
        assert state.pages[page_id].page_id == page_id
    assert counted.taken() == []
    assert_same(state, folded(paged, "s"))
    more = [e.PromptAssembled(1_000, 0, 0, 0, "0"), e.PageUsed("p170", NeedRule.DECLARED)]
    paged.append("s", [NewEvent(each, 0, 0, "t") for each in more])
    for version, leaves in ((201, 1), (203, 3), (204, 4), (205, 7), (206, 7)):
        counted.again()
        state = state_at(paged, "s", version)
        assert (counted.taken(), counted.events) == ([(1, 1), (0, leaves)], version - 200), version
        assert_same(state, folded(paged, "s", version))
