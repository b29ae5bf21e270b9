"""Admission: checks of events before they enter the log.

LAW-ADMIT-1: every admitted event folds, projects, verifies, rebuilds and decides again.
LAW-ADMIT-2: events that an older program admitted beyond these bounds are still read; `verify` reports them as odd.

Bounds of integers are annotated on the event classes (`model.bounds`). No id, key, principal or name holds a control
or bidirectional character, a line separator or a lone surrogate, or is longer than `limits.ID_CHARS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar, cast

import msgspec

from clawvm_es.errors import UsageError
from clawvm_es.journal.codec import WhenAsked, encode, written
from clawvm_es.journal.twins import twin
from clawvm_es.limits import ID_CHARS, TIME_MAX_US, TIME_MIN_US
from clawvm_es.model.events import Event

E = TypeVar("E", bound=Event)
_ODD: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # bidirectional marks, embeddings, overrides and isolates
    "\u2028\u2029\ud800-\udfff]"  # line separators, lone surrogates
)
_BACKSLASH: Final = 0x5C
_DELETE: Final = 0x7F


def _bounded(cls: type[Event]) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(twin(cls, True)).decode


_BOUNDED: Final = WhenAsked(_bounded)


def admit(event: Event) -> bytes:
    """Canonical bytes of an input.

    Raises `NotCanonical` for data that could not be read back, `UsageError` for a value beyond its field's bounds;
    both name the path.
    """
    raw = written(event)
    odd = _oddity(event, raw)
    if odd is not None:
        encode(event)
        raise UsageError(f"{event.TYPE}{odd[0].removeprefix('$')}: {odd[1]}")
    return raw


def oddity(event: Event) -> tuple[str, str] | None:
    """The path and reason of the first value in an input that is beyond its bounds; None if there is none."""
    return _oddity(event, written(event))


def is_admitted(raw: bytes, event: Event) -> bool:
    """Tell whether stored data is, byte for byte, the result of `admit` for an input.

    Data within its fields' bounds is canonical if writing it again gives the same bytes.
    """
    return written(event) == raw and _oddity(event, raw) is None


def _oddity(event: Event, raw: bytes) -> tuple[str, str] | None:
    try:
        _BOUNDED[event.__class__](raw)
    except (ValueError, msgspec.MsgspecError) as error:
        detail, _, path = str(error).partition(" - at ")
        return path.strip("`") or "$", detail[:1].lower() + detail[1:]
    if raw.isascii() and _BACKSLASH not in raw and _DELETE not in raw and len(raw) <= ID_CHARS:
        return None
    return next(_odd_texts(msgspec.json.decode(raw), "$"), None)


def _odd_texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _odd_texts(item, f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _odd_texts(item, f"{path}[{number}]")
    elif isinstance(value, str) and (odd := odd_text(value)):
        yield path, odd


def structure(data: dict[str, Any], cls: type[E]) -> E:
    """The input of a class with these JSON values; raises `msgspec.ValidationError`, which names the path."""
    msgspec.convert(data, twin(cast(Any, cls), True))
    return msgspec.convert(data, cls)


def odd_text(value: str) -> str | None:
    """The reason why a text cannot be an id, key or name; None if it can."""
    found = _ODD.search(value)
    if found is not None:
        return f"{value!r:.80} holds U+{ord(found[0]):04X}, and no control, bidirectional or surrogate character may"
    return f"{len(value)} characters are more than {ID_CHARS}" if len(value) > ID_CHARS else None


def check_text(what: str, value: object) -> None:
    """Raise `UsageError` unless `value` can be an id, a key or a name."""
    if not isinstance(value, str):
        raise UsageError(f"{what}: expected text, got {type(value).__name__}")
    odd = odd_text(value)
    if odd is not None:
        raise UsageError(f"{what} {odd}")


def odd_time(at_us: int) -> str | None:
    """The reason why a number cannot be the time of an event; None if it can."""
    if type(at_us) is not int:
        return f"expected UTC microseconds, got {type(at_us).__name__}"
    return None if TIME_MIN_US <= at_us <= TIME_MAX_US else f"{at_us} µs is no time in the years 1 to 9999"
