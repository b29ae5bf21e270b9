"""Idle time of a session before a turn, by which the age of a provider's cache is known; measured at the edge."""

from __future__ import annotations

from typing import Final, TypeVar

import attrs
from msgspec.structs import replace

from clawvm_es.core.state import State
from clawvm_es.journal.lineage import event_at, read_back
from clawvm_es.journal.ports import EventLog
from clawvm_es.model import events as e

D = TypeVar("D", bound=e.Event | None)
_SECOND_US: Final = 1_000_000
_COUNTED_US: Final = 365 * 86_400 * _SECOND_US
"""Times before 1971 are counted by a reader of records that tell none."""


@attrs.define
class Idle:
    """Times of a session's last answer and of its newest input, in UTC microseconds.

    0 means none yet, or no clock; None means not yet read from the log.
    """

    answered_us: int | None = None
    newest_us: int | None = None

    def saw(self, data: e.Event, at_us: int) -> None:
        """Take note of an event."""
        if isinstance(data, e.INPUTS):
            self.newest_us = at_us
        if isinstance(data, e.ModelResponded):
            self.answered_us = at_us

    def read(self, log: EventLog, session_id: str, state: State) -> None:
        """Read missing times from the log of a session that is at `state`."""
        if self.newest_us is None:
            rows = read_back(log, session_id, state.version)
            self.newest_us = next(row.at_us for row in rows if row.kind == "input")
        if self.answered_us is None:
            version = state.responded_version
            self.answered_us = version and event_at(log, session_id, version).at_us

    def timed(self, data: D) -> D:
        """Give a turn its idle time, unless it already has one; return other events as they are."""
        if isinstance(data, e.TurnBegan) and data.idle_s is None:
            return replace(data, idle_s=self.seconds())
        return data

    def seconds(self) -> int | None:
        """Whole seconds from the last answer to the newest input, at least 0; None if a time is unknown.

        Also None if one of the two times is real and the other merely counted.
        """
        answered, newest = (us or 0 for us in (self.answered_us, self.newest_us))
        if min(answered, newest) <= 0 or (answered < _COUNTED_US) != (newest < _COUNTED_US):
            return None
        return max(0, newest - answered) // _SECOND_US
