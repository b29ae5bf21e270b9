"""The tree of forks: of many sessions it gives what the lineage of each gives."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.core.evolve import fold
from clawvm_es.errors import JournalDamaged
from clawvm_es.journal import forks as module
from clawvm_es.journal.forks import Forks
from clawvm_es.journal.lineage import Fork, lineage, read_session
from clawvm_es.journal.ports import NewEvent
from clawvm_es.model.events import SessionForked
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.testing.logs import budget

shapes = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 40), st.integers(0, 4)), max_size=12)


def family(log: MemoryLog, shape: list[tuple[int, int, int]]) -> list[str]:
    """A stream of five events, and for each (parent, version, events) of a shape a fork of an earlier stream."""
    log.append("s0", [budget(n) for n in range(1, 6)])
    names = ["s0"]
    for number, (of, at, more) in enumerate(shape, 1):
        parent = names[of % len(names)]
        rows = list(read_session(log, parent))
        row = rows[at % len(rows)]
        forked = SessionForked(row.session_id, row.version, row.hash.hex())
        names.append(f"s{number * 7 % 13}-{number}")  # not in the order of ids
        log.append(names[-1], [NewEvent(forked, 0, 0, "t"), *[budget(100 * number + n) for n in range(more)]])
    return names


@given(shape=shapes, kept=st.sampled_from((1, 2, 64)))
def test_every_stream_is_folded_as_its_lineage_is(shape, kept):
    """LAW-LINEAGE-1: folding the tree gives the state and the own events of each session, however few are kept."""
    with MemoryLog() as log, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_KEPT", kept)
        names = family(log, shape)
        tree, seen = Forks(log), []
        for stream, state, rows in tree.folded(tree.streams(names)):
            own = list(rows) if len(seen) % 2 else []  # rows that nobody takes are folded, too
            assert own in ([], list(log.read(stream)))
            seen.append((stream, state))
        assert sorted(stream for stream, _ in seen) == sorted(names)
        for stream, state in seen:
            assert state == fold(row.data for row in read_session(log, stream))


@given(shape=shapes)
def test_a_fork_is_the_last_step_of_its_lineage(shape):
    """The parent is the stream before a session's own in its lineage, up to the same version; parents come first."""
    with MemoryLog() as log:
        names = family(log, shape)
        tree = Forks(log)
        for name in names:
            line = lineage(log, name)
            fork = tree.fork(name)
            assert fork == (None if len(line) == 1 else Fork(line[-2].stream, line[-2].upto))
            order = tree.streams([name])
            assert order == tuple(segment.stream for segment in line)
        order = tree.streams(names)
        assert all(
            fork is None or order.index(fork.parent) < order.index(name)
            for name in order
            for fork in [tree.fork(name)]
        )


class Firsts:
    """A log of which only the first events of its streams are known."""

    def __init__(self, forked: Mapping[str, tuple[str, int, int]]) -> None:
        self.log = MemoryLog()
        self.log.append("row", [budget(1)])
        self.row = next(iter(self.log.read("row")))
        self.forked = forked

    def first(self, stream):
        """The first event of a stream: a fork of a parent at a version, which itself has a version."""
        if stream not in self.forked:
            return None
        parent, at, version = self.forked[stream]
        return self.row._replace(session_id=stream, version=version, data=SessionForked(parent, at, ""))


@pytest.mark.parametrize(
    ("forked", "said"),
    [
        ({"s": ("p", 3, 4)}, "session s was forked from p, which has no events"),
        ({"s": ("p", 3, 5)}, "session s begins at version 5, and says .* version 3 of p"),
        ({"s": ("p", 0, 1)}, "session s begins at version 1, and says .* version 0 of p"),
        ({"s": ("s", 3, 4)}, "session s descends from itself by way of s"),
        ({"s": ("p", 3, 4), "p": ("s", 1, 2)}, "descends from itself by way of"),
        ({"s": ("p", 5, 6), "p": ("q", 6, 7), "q": ("p", 8, 9)}, "descends from itself by way of"),
    ],
)
def test_a_damaged_tree_is_refused(forked, said):
    """What is no tree of forks is damage, named with its sessions, and never an endless walk."""
    with pytest.raises(JournalDamaged, match=said):
        Forks(Firsts(forked)).streams(["s"])


def test_a_fork_of_an_event_that_is_not_there_is_refused():
    """A parent that ends before the fork is damage, named with the version."""
    with MemoryLog() as log:
        log.append("p", [budget(1), budget(2)])
        forked = SessionForked("p", 2, next(iter(log.read("p", 1, 2))).hash.hex())
        log.append("s", [NewEvent(forked, 0, 0, "t")])
        tree = Forks(log)
        tree._firsts["s"] = module._First(4, Fork("p", 3))
        with pytest.raises(JournalDamaged, match="p has no version 3, from which s was forked"):
            list(tree.folded(tree.streams(["s"])))
