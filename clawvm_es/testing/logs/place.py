"""Places where the contract opens logs, and the small events that its tests append."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NoReturn, Protocol

import attrs

from clawvm_es.journal.ports import Capability, EventLog, NewEvent, Recorded, declares, verifying
from clawvm_es.model.events import BudgetChanged, Event, PageUsed
from clawvm_es.model.facts import NeedRule

AT_US = 1_700_000_000_000_000


class Cut(Protocol):
    """A connection that is cut around one commit."""

    @property
    def came(self) -> bool:
        """Tell whether that commit was tried."""


@attrs.frozen
class Place:
    """One place of a storage, and the helpers of a test there beyond the ports.

    `open` opens a log there; it takes `wait_s` and `read_only` as `storage.open_log` does. All other helpers are
    optional: the contract skips tests whose helper is missing, and says so.
    """

    open: Callable[..., EventLog]
    shared: bool = False
    """Several logs may be open there at once, in any thread or process, and see each other's commits."""
    kept: bool = False
    """The events are there when a log is opened again, also by another process."""
    attacks: Callable[[], Iterable[tuple[str, Callable[[], object]]]] | None = None
    """Attempts to change what is stored behind the log's back, by name; each must raise."""
    damage: Callable[[], object] | None = None
    """Changes one stored event in a way that nothing prevents."""
    syncs: Callable[[], int] | None = None
    """Counts how often the storage made a commit durable."""
    cut: Callable[[int, bool], AbstractContextManager[Cut]] | None = None
    """Cuts every log there off at its n-th commit from now, before or (True) after that commit is done."""
    settles: bool = False
    """Logs find out themselves what became of a commit that was cut: an append over it comes to its right end."""
    holds: Callable[[bytes], bool] | None = None
    """Tells whether any file of the place holds some bytes."""


def new(data: Event, key: str | None = None, cause: int | None = None) -> NewEvent:
    """An event to append, at a fixed time and by a fixed principal."""
    return NewEvent(data, turn=1, at_us=AT_US, principal="harness", cause=cause, idempotency_key=key)


def budget(tokens: int, key: str | None = None) -> NewEvent:
    """A small input."""
    return new(BudgetChanged(tokens), key)


def used(page_id: str = "p1", cause: int | None = None) -> NewEvent:
    """A small decision."""
    return new(PageUsed(page_id, NeedRule.DECLARED), cause=cause)


def payloads(events: Sequence[Recorded]) -> list[Event]:
    """The data of stored events."""
    return [recorded.data for recorded in events]


@contextmanager
def opened(place: Place) -> Iterator[EventLog]:
    """Open a log for the length of the block; afterwards it must verify, if it can."""
    with place.open() as log:
        yield log
        try:
            log.heads()
        except Exception:  # the block closed it
            return
        check_whole(log)


def check_whole(log: EventLog) -> None:
    """Check that the log is gapless, in order, chained, and without problems where it can tell."""
    events = list(log.read_all())
    assert [each.seq for each in events] == list(range(1, len(events) + 1)), "LAW-LOG-1: seq is gapless"
    last: dict[str, Recorded] = {}
    for each in events:
        before = last.get(each.session_id)
        if before is not None:
            assert (each.version, each.prev_hash) == (before.version + 1, before.hash), "LAW-CHAIN-1: one chain"
        last[each.session_id] = each
    assert {head.session_id: head.hash for head in log.heads()} == {key: each.hash for key, each in last.items()}
    if declares(log, Capability.VERIFY):
        assert verifying(log, "verify").verify() == ()


def fixture(function: Any) -> Any:
    """Turn a function into a pytest fixture; without pytest, return it unchanged."""
    try:
        import pytest
    except ImportError:
        return function
    return pytest.fixture(function)


def skip(reason: str) -> NoReturn:
    """Skip the running test."""
    import pytest

    pytest.skip(reason)


def needs(log: EventLog, capability: Capability) -> None:
    """Skip a test of a capability that the log does not declare."""
    if not declares(log, capability):
        skip(f"the storage {log.kind} does not declare {capability}")


def need(given: object, what: str) -> None:
    """Skip a test whose helper the place lacks."""
    if not given:
        skip(f"the place {what}")
