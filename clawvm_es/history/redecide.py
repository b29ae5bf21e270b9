"""Re-decide: feed the stored inputs to today's code and compare every decision, field by field.

LAW-REDECIDE-1: re-deciding needs only the inputs of a session: no bodies, and none of the validators, tools and
memories of the machine that recorded it. A difference names the event, the field and both values.
"""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, zip_longest
from typing import Any, cast

import attrs
import msgspec

from clawvm_es.core.decide import decide
from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.engine.values import NOTHING, changed_values
from clawvm_es.errors import ClawVMError, NondeterminismError
from clawvm_es.journal.codec import encode
from clawvm_es.journal.ports import Recorded
from clawvm_es.model.commands import Command
from clawvm_es.model.events import Event, Input, SessionForked


@attrs.frozen
class Difference:
    """First difference of today's decisions: the event, the path of the field, its recorded value and its value now.

    `before` are the two events before it, as (version, type). `now` is None if today's code takes no such decision.
    `recorded_data` and `now_data` are the whole data of both decisions, None if there is none.
    """

    session_id: str
    version: int
    turn: int
    type: str
    path: str
    recorded: Any
    now: Any
    before: tuple[tuple[int, str], ...]
    recorded_data: Mapping[str, Any] | None = None
    now_data: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        return (
            f"session {self.session_id} version {self.version} (turn {self.turn}, {self.type}): "
            f"{self.path}: recorded {self.recorded!r}, today {self.now!r}"
        )


def redecide(recorded: Iterable[Recorded]) -> int:
    """Decide a session's inputs again and return how many decisions were the same.

    `recorded` are all its events from the first on, including a fork's parents (`read_session`). Raises
    `NondeterminismError`, whose `difference` is the first difference.
    """
    same = 0
    for difference in differences(recorded):
        if difference is None:
            same += 1
            continue
        session = shlex.quote(difference.session_id)
        error = NondeterminismError(
            str(difference), hint=f"clawvm log JOURNAL --session {session} --at {difference.version}"
        )
        error.difference = difference
        raise error
    return same


def differences(recorded: Iterable[Recorded]) -> Iterator[Difference | None]:
    """Yield None for each decision that is the same, then the first difference."""
    state = State()
    before: deque[tuple[int, str]] = deque(maxlen=2)
    for group, forked in groups(recorded):
        given, decisions = group[0], group[1:]
        now = _decided(state, given)
        if forked:  # a fork may cut a parent's decisions off; those that it kept are compared
            now = now[: len(decisions)]
        apply(state, given.data)
        before.append((given.version, given.type))
        for row, data in zip_longest(decisions, now):
            found = _compare(given, row, data, state.turn, tuple(before))
            yield found
            if found is not None:
                return
            apply(state, row.data)
            before.append((row.version, row.type))


def _decided(state: State, given: Recorded) -> tuple[Event, ...]:
    """Today's decisions on a stored input; an input that today's code refuses is a difference of its own."""
    try:
        return decide(state, Command(cast(Input, given.data), given.at_us))[1:]
    except ClawVMError as error:
        raise NondeterminismError(f"{_name(given)}: refused today: {error.message}", hint=error.hint) from error
    except Exception as error:  # a bug in the core; whoever looks for it wants to know where
        error.add_note(f"deciding {_name(given)} again")
        raise


def _name(row: Recorded) -> str:
    return f"session {row.session_id} version {row.version} ({row.type})"


def groups(recorded: Iterable[Recorded]) -> Iterator[tuple[list[Recorded], bool]]:
    """Each input with the decisions that follow it, and whether a fork comes next."""
    group: list[Recorded] = []
    for row in recorded:
        if row.kind == "input" and group:
            yield group, isinstance(row.data, SessionForked)
            group = []
        group.append(row)
    if group:
        yield group, False


def _compare(
    given: Recorded, row: Recorded | None, data: Event | None, turn: int, before: tuple[tuple[int, str], ...]
) -> Difference | None:
    """The first difference between a recorded decision and today's, in this order: type, turn, cause, data."""
    kind = row.type if row else data.TYPE if data else ""
    pairs: list[tuple[str, Any, Any]] = [("$type", row.type if row else None, data.TYPE if data else None)]
    if row is not None and data is not None:
        pairs += [("$turn", row.turn, turn), ("$cause", row.cause, given.version)]
    stored, decided = encode(row.data) if row else b"null", encode(data) if data else b"null"
    if stored == decided and all(was == now for _, was, now in pairs):
        return None
    then, today = msgspec.json.decode(stored), msgspec.json.decode(decided)
    differing = chain((pair for pair in pairs if pair[1] != pair[2]), changed_fields(then, today))
    version = row.version if row else before[-1][0] + 1
    return Difference(
        given.session_id, version, row.turn if row else turn, kind, *next(differing), before, then, today
    )


def changed_fields(was: Any, now: Any, path: str = "$") -> Iterator[tuple[str, Any, Any]]:
    """Path, recorded and new value of each difference between two JSON values; None for a missing value."""
    for change in changed_values(was, now, path):
        before, after = (None if value is NOTHING else value for value in (change.was, change.now))
        yield change.path, before, after
