"""What an append comes to: which events are new, where they go, what causes them, and what is refused."""

from __future__ import annotations

import pytest

from clawvm_es.errors import IdempotencyConflict, JournalDamaged, UsageError, VersionConflict
from clawvm_es.journal.chain import GENESIS
from clawvm_es.journal.codec import encode
from clawvm_es.journal.planning import COLUMNS, Tip, check_expected, id_bytes, keys_of, new_events, stamp, tip_of
from clawvm_es.journal.ports import Expected, NewEvent, Recorded
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import KINDS, BudgetChanged, Event, SessionForked
from clawvm_es.testing.logs import budget, used

DECISION = type(used().data)
HASH = bytes(range(32))


def keyed(tokens: int, key: str | None) -> NewEvent:
    """An input under a key."""
    return NewEvent(BudgetChanged(tokens), 0, 0, "t", None, key)


def caused(cause: int | None) -> NewEvent:
    """A decision with a cause."""
    event = used()
    return NewEvent(event.data, event.turn, event.at_us, event.principal, cause)


def recorded(data: Event, key: str) -> dict[str, Recorded]:
    """An input that is recorded under a key."""
    kind, raw = KINDS[data.TYPE], encode(data)
    return {key: Recorded(1, "s", 1, 0, kind, data.TYPE, 1, 0, "t", None, key, raw, GENESIS, HASH, data)}


def kept(*events: NewEvent, known: dict[str, Recorded] | None = None) -> list[int]:
    """The indexes of the events that are new."""
    return new_events("s", events, known or {}, lambda one, other: one == other)


def test_kinds_of_the_events_used_here() -> None:
    """The rest of this file needs an input and a decision."""
    assert KINDS[BudgetChanged.TYPE] == "input" and KINDS[DECISION.TYPE] == "decision"


def test_keys_are_those_of_inputs() -> None:
    """Keys come in order; a key on a decision is refused, and so is one that is no text."""
    assert keys_of([keyed(1, "a"), keyed(1, None), caused(None), keyed(2, "b")]) == ["a", "b"]
    with pytest.raises(UsageError, match="only inputs may have one"):
        keys_of([NewEvent(used().data, 0, 0, "t", None, "k")])
    with pytest.raises(UsageError, match="no valid text"):
        keys_of([keyed(1, "\ud800")])


def test_a_recorded_input_takes_its_decisions_with_it() -> None:
    """An input whose key is known is left out with the decisions behind it, up to the next new input."""
    known = recorded(BudgetChanged(1), "a")
    events = [keyed(1, "a"), caused(None), keyed(2, None), caused(None), keyed(1, "a"), caused(None), keyed(3, "c")]
    assert kept(*events, known=known) == [2, 3, 6]
    assert kept(*events) == [0, 1, 2, 3, 6]
    assert kept(caused(None), keyed(1, "a"), known=known) == [0]


def test_a_key_means_one_input() -> None:
    """Another type or other data under a known key is refused, also within a batch."""
    for events, known in (
        ((keyed(2, "a"),), recorded(BudgetChanged(1), "a")),
        ((keyed(1, "a"),), recorded(used().data, "a")),
        ((keyed(1, "a"), keyed(2, "a")), None),
    ):
        with pytest.raises(IdempotencyConflict, match=r"session s: key 'a' came with a .* before"):
            kept(*events, known=known)
    assert kept(keyed(1, "a"), keyed(1, "b"), keyed(1, "a")) == [0, 1]


@pytest.mark.parametrize(
    ("expected", "with_none", "with_two"),
    [
        (Expected.ANY, True, True),
        (Expected.NO_STREAM, True, False),
        (Expected.STREAM_EXISTS, False, True),
        (0, True, False),
        (1, False, False),
        (2, False, True),
    ],
)
def test_a_stream_is_where_it_is_expected(expected, with_none, with_two) -> None:
    """Each expectation meets a stream of two events and no stream; the error says both sides."""
    for head, good in ((None, with_none), ((2, 5, HASH), with_two)):
        if good:
            check_expected("s", head, expected)
        else:
            found = "no stream" if head is None else "version 2"
            with pytest.raises(VersionConflict, match=rf"session s: expected .*, found {found}"):
                check_expected("s", head, expected)


def test_the_next_event_follows_the_head_the_fork_or_nothing() -> None:
    """A head comes first, then the fork's parent, then the beginning; what is expected to be before must be."""
    fork = SessionForked("p", 3, HASH.hex())
    nothing = lambda *_: None  # noqa: E731
    assert tip_of("s", (7, 9, HASH), fork, None, nothing) == Tip(7, HASH)
    assert tip_of("s", None, budget(1).data, None, nothing) == Tip(0, GENESIS)
    assert tip_of("s", None, budget(1).data, GENESIS, nothing) == Tip(0, GENESIS)
    asked = []
    assert tip_of("s", None, fork, HASH, lambda *place: asked.append(place) or HASH) == Tip(3, HASH)
    assert asked == [("p", 3)]
    for found in (None, GENESIS):
        with pytest.raises(VersionConflict, match="session s: its parent p has no event 3 with hash 0001"):
            tip_of("s", None, fork, None, lambda *_, found=found: found)
    with pytest.raises(VersionConflict, match=r"expected to follow 00.*, found 0001"):
        tip_of("s", (7, 9, HASH), fork, GENESIS, nothing)
    with pytest.raises(UsageError):
        tip_of("s\n", None, budget(1).data, None, nothing)
    assert tip_of("s\n", (7, 9, HASH), fork, None, nothing) == Tip(7, HASH), "an old stream keeps its id"


def causes(*events: NewEvent, kept: list[int] | None = None) -> list[int | None]:
    """The causes of the rows, after a tip at version 10."""
    rows = stamp("s", Tip(10, HASH), 20, events, list(range(len(events))) if kept is None else kept)
    return [row[COLUMNS.index("cause")] for row in rows]


def test_rows_are_numbered_and_chained() -> None:
    """Sequence numbers and versions go on without a gap, and each row names the hash before it."""
    rows = [
        dict(zip(COLUMNS, row, strict=True)) for row in stamp("s", Tip(10, HASH), 20, [budget(1), used()], [0, 1])
    ]
    assert [(row["seq"], row["version"], row["kind"]) for row in rows] == [(21, 11, "input"), (22, 12, "decision")]
    assert rows[0]["prev_hash"] == HASH and rows[1]["prev_hash"] == rows[0]["hash"]
    assert stamp("s", Tip(10, HASH), 20, [budget(1), budget(2)], [1])[0][:3] == (21, "s", 11)


def test_a_decision_is_caused_by_the_input_before_it() -> None:
    """Without a cause of its own a decision gets the last input of the batch, and none where there is none."""
    assert causes(caused(None), budget(1), caused(None), budget(2), caused(None), caused(None)) == [
        None, None, 12, None, 14, 14,
    ]  # fmt: skip
    assert causes(budget(1), budget(2), caused(4), caused(12), caused(11)) == [None, None, 4, 12, 11]


def test_causes_move_with_what_was_left_out() -> None:
    """A cause above the tip goes where its event went; one at or below the tip, or of the whole batch, stays."""
    events = [keyed(1, "a"), caused(11), budget(2), caused(13)]
    assert causes(*events, kept=[2, 3]) == [None, 11]
    assert causes(*events) == [None, 11, None, 13]
    assert causes(keyed(1, "a"), budget(2), caused(10), caused(12), kept=[1, 2, 3]) == [None, 10, 11]


@pytest.mark.parametrize("cause", [0, -1, 11, 12])
def test_a_cause_is_before_its_event(cause) -> None:
    """The event itself, a later one and what is no version are refused with the cause that was given."""
    with pytest.raises(UsageError, match=f"would be version 11, caused by {cause}"):
        causes(caused(cause))
    with pytest.raises(UsageError):
        causes(keyed(1, "a"), caused(11), kept=[1])


def test_numbers_end_somewhere() -> None:
    """The last number of all can be given, and none after it."""
    assert stamp("s", Tip(0, GENESIS), INTEGER_MAX - 1, [budget(1)], [0])[0][0] == INTEGER_MAX
    with pytest.raises(JournalDamaged, match="no number is left"):
        stamp("s", Tip(0, GENESIS), INTEGER_MAX, [budget(1)], [0])
    assert stamp("s", Tip(0, GENESIS), INTEGER_MAX, [budget(1)], []) == []


@pytest.mark.parametrize(
    "event",
    [
        NewEvent(BudgetChanged(1), 0, -(2**62), "t"),
        NewEvent(BudgetChanged(1), 0, 0, "t\n"),
        NewEvent(BudgetChanged(1), 0, 0, ["t"]),
        NewEvent(BudgetChanged(1), 0, 0, "t", None, "k\n"),
        NewEvent(BudgetChanged(1), 2**63, 0, "t"),
    ],
)
def test_columns_that_no_event_can_have_are_refused(event) -> None:
    """Time, principal, key and turn are checked, also behind an event that is sound."""
    for before in ([], [budget(1)]):
        with pytest.raises(UsageError):
            stamp("s", Tip(0, GENESIS), 0, [*before, event], list(range(len(before) + 1)))


def test_a_session_id_is_text() -> None:
    """Its bytes are UTF-8; an empty one and one that is no text are refused."""
    assert id_bytes("é") == b"\xc3\xa9"
    for odd in ("", "\ud800"):
        with pytest.raises(UsageError, match="session id"):
            id_bytes(odd)
