"""Lineages: which streams hold a session's events, and reading them forwards, backwards and one by one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clawvm_es.errors import JournalDamaged, UsageError
from clawvm_es.journal import lineage as module
from clawvm_es.journal.lineage import Blocks, Line, Segment, event_at, lineage, read_back, read_session, segments
from clawvm_es.journal.ports import NewEvent, Recorded
from clawvm_es.model.events import BudgetChanged, Event, SessionForked
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.testing.logs import budget


def fork(log: MemoryLog, parent: str, version: int, child: str, more: int) -> None:
    """Fork a stream and let it go on."""
    row = next(iter(log.read(parent, version - 1, version)))
    forked = SessionForked(parent, version, row.hash.hex())
    log.append(child, [NewEvent(forked, 0, 0, "t"), *[budget(100 + n) for n in range(more)]])


@pytest.fixture
def log():
    """Stream `a` of ten events, `b` forked from its sixth, `c` from b's eighth, each with three more."""
    with MemoryLog() as found:
        found.append("a", [budget(n) for n in range(1, 11)])
        fork(found, "a", 6, "b", 3)
        fork(found, "b", 8, "c", 3)
        yield found


@pytest.mark.parametrize(
    ("session_id", "upto", "found"),
    [
        ("a", None, [("a", None)]),
        ("a", 4, [("a", 4)]),
        ("b", None, [("a", 6), ("b", None)]),
        ("b", 7, [("a", 6), ("b", 7)]),
        ("b", 6, [("a", 6)]),
        ("b", 2, [("a", 2)]),
        ("c", None, [("a", 6), ("b", 8), ("c", None)]),
        ("c", 9, [("a", 6), ("b", 8), ("c", 9)]),
        ("c", 8, [("a", 6), ("b", 8)]),
        ("c", 6, [("a", 6)]),
        ("missing", None, []),
    ],
)
def test_a_lineage_is_what_holds_the_events(log, session_id, upto, found) -> None:
    """LAW-LINEAGE-1: the oldest stream first, each up to the fork, and none that begins beyond what is asked for."""
    assert lineage(log, session_id, upto) == tuple(Segment(*each) for each in found)


@pytest.mark.parametrize("session_id", ["a", "b", "c"])
def test_a_session_is_read_between_any_versions(log, session_id) -> None:
    """Versions are gapless, from any place to any other, whichever streams hold them; backwards is the reverse."""
    last = log.head(session_id).version
    whole = list(read_session(log, session_id))
    assert [row.version for row in whole] == list(range(1, last + 1))
    for after in range(last + 2):
        for upto in (*range(last + 2), None):
            expected = whole[after : last if upto is None else upto]
            assert list(read_session(log, session_id, after, upto)) == expected, (after, upto)
    for upto in range(last + 1):
        assert list(read_back(log, session_id, upto)) == whole[:upto][::-1]
    for version in range(1, last + 1):
        assert event_at(log, session_id, version) == whole[version - 1]
    for version in (0, -1, last + 1):
        with pytest.raises(UsageError, match=f"session {session_id} has no version {version}"):
            event_at(log, session_id, version)


@pytest.mark.parametrize("kept", [1, 9])
@pytest.mark.parametrize("session_id", ["a", "b", "c"])
def test_blocks_hold_the_events_and_are_read_once(log, session_id, kept, monkeypatch) -> None:
    """From any version back, onwards or alone they are the session's, each block read once while it is kept."""
    monkeypatch.setattr(module, "_PIECE", 3)
    monkeypatch.setattr(module, "_KEPT_MAX", kept)
    whole = list(read_session(log, session_id))
    blocks, reads, read = Blocks(Line(log, session_id)), [], Line.read
    monkeypatch.setattr(Line, "read", lambda self, *place: reads.append(place) or read(self, *place))
    for version in range(len(whole) + 1):
        assert list(blocks.back(version)) == whole[:version][::-1]
        assert list(blocks.onwards(version)) == whole[version:]
    for version in range(1, len(whole) + 1):
        assert blocks.at(version) == whole[version - 1]
    for version in (0, len(whole) + 1):
        with pytest.raises(UsageError, match="has no version"):
            blocks.at(version)
    assert (len(reads) == len(set(reads))) is (kept == 9)


def test_reading_back_takes_growing_pieces(log, monkeypatch) -> None:
    """The first piece is small, each further one twice as long up to a bound, and nothing is read twice."""
    monkeypatch.setattr(module, "_PIECE", 1)
    monkeypatch.setattr(module, "_PIECES_MAX", 3)
    asked = []
    read = module.read_session
    monkeypatch.setattr(module, "read_session", lambda *args: asked.append(args[2:]) or read(*args))
    assert [row.version for row in read_back(log, "a", 10)] == list(range(10, 0, -1))
    assert asked == [(9, 10), (7, 9), (4, 7), (1, 4), (0, 1)]


def first(data: Event, version: int) -> Recorded:
    """A stream's first event."""
    return Recorded(1, "x", version, 0, "input", data.TYPE, 1, 0, "t", None, None, b"", b"", b"", data)


@pytest.mark.parametrize(
    ("firsts", "says"),
    [
        ({"s": first(SessionForked("p", 3, ""), 4)}, "session s was forked from p, which has no events"),
        ({"s": first(SessionForked("p", 3, ""), 5)}, "session s begins at version 5, and says .* version 3 of p"),
        ({"s": first(SessionForked("p", 0, ""), 1)}, "begins at version 1, and says .* version 0 of p"),
        ({"s": first(SessionForked("s", 3, ""), 4)}, "session s descends from itself by way of s"),
        (
            {"s": first(SessionForked("p", 3, ""), 4), "p": first(SessionForked("s", 1, ""), 2)},
            "session s descends from itself by way of s",
        ),
    ],
)
def test_a_lineage_that_cannot_be_is_damage(firsts, says) -> None:
    """A parent that is missing, a fork at another place than it says, and a circle are told."""
    with pytest.raises(JournalDamaged, match=says):
        segments(firsts.get, "s")


def test_a_fork_after_the_first_event_is_sound() -> None:
    """The earliest possible fork is of version 1."""
    firsts = {"s": first(SessionForked("p", 1, ""), 2), "p": first(BudgetChanged(1), 1)}
    assert segments(firsts.get, "s") == (Segment("p", 1), Segment("s"))


class Holed(MemoryLog):
    """A log whose streams lack the versions 3 to 8."""

    def read(self, stream: str, after: int = 0, upto: int | None = None) -> Iterator[Recorded]:
        """The events that are not missing."""
        return (row for row in super().read(stream, after, upto) if not 3 <= row.version <= 8)


def test_reading_back_ends_at_versions_that_are_missing(monkeypatch) -> None:
    """An event of a huge version, far above the one before it, would be looked for in every piece between them."""
    monkeypatch.setattr(module, "_PIECE", 2)
    monkeypatch.setattr(module, "_PIECES_MAX", 2)
    with Holed() as log:
        log.append("a", [budget(n) for n in range(1, 11)])
        for back in (read_back(log, "a", 10), Blocks(Line(log, "a")).back(10)):
            assert [next(back).version, next(back).version] == [10, 9]
            with pytest.raises(JournalDamaged, match="a has no version 8, but later ones"):
                next(back)
