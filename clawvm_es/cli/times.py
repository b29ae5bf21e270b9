"""Times and durations for people, from the ISO times of documents: `2026-11-22 10:11`, `3 h ago`, `42 min`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_COUNTED: Final = 1970
"""Steps of a recording without times get times of this year, one after the other."""
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def parsed(time: str | None) -> datetime | None:
    """A time of a document; None if there is none, or if it is outside the calendar."""
    try:
        return None if time is None else datetime.fromisoformat(time)
    except ValueError:
        return None


def told(time: str | None) -> str | None:
    """A recorded time; None for one of 1970, which only counts the steps of a recording without times."""
    found = parsed(time)
    return None if found is not None and found.year <= _COUNTED else time


def shown_time(time: str | None) -> str:
    """A time to the minute, in UTC: `2026-11-22 10:11`; unchanged if it is outside the calendar."""
    found = parsed(time)
    return time or "" if found is None else found.strftime("%Y-%m-%d %H:%M")


def shown_day(time: str | None) -> str:
    """The date of a time, in UTC: `2026-11-22`."""
    return shown_time(time).partition(" ")[0]


def shown_second(time: str | None) -> str:
    """A time of day to the second: `10:11:02`."""
    found = parsed(time)
    return time or "" if found is None else found.strftime("%H:%M:%S")


def length(start: str | None, end: str | None) -> str:
    """The duration between two moments in its largest unit: `42 min`; empty if unknown."""
    first, last = parsed(start), parsed(end)
    return "" if first is None or last is None or last < first else _span((last - first).total_seconds())


def joined(*parts: str) -> str:
    """The known parts, as a list."""
    return ", ".join(filter(None, parts))


def ago(time: str | None, now: datetime | None = None) -> str:
    """The distance of a time from now: `3 h ago`; its date if that is over 30 days, or in the future."""
    found = parsed(time)
    if found is None:
        return time or ""
    seconds = ((now or datetime.now(UTC)) - found).total_seconds()
    if not 0 <= seconds < 30 * 86_400:
        return found.strftime("%Y-%m-%d")
    return f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    size, unit = next((each for each in _UNITS if abs(seconds) >= each[0]), _UNITS[-1])
    return f"{int(seconds / size)} {unit}"
