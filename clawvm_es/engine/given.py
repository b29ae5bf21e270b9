"""Values that a caller passes to a hook, checked before anything is recorded: `UsageError` says what is accepted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from clawvm_es.errors import UsageError

_Choice = TypeVar("_Choice", bound=StrEnum)


def text(what: str, value: object) -> str:
    """A text; `json.dumps` makes one of anything else."""
    if not isinstance(value, str):
        raise _refused(what, "a string", value, "for blocks, bytes or dicts, pass the text that they stand for")
    return value


def key(value: object) -> str | None:
    """An idempotency key, or None."""
    if value is not None and (not isinstance(value, str) or not value):
        raise _refused("key", "a string that is not empty, or None", value)
    return value


def integer(what: str, value: object, least: int | None = None) -> int:
    """An integer (a bool is none), not below `least`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise _refused(what, "an integer", value)
    if least is not None and value < least:
        raise UsageError(f"{what}: expected at least {least}, got {value}")
    return value


def choice(what: str, kind: type[_Choice], value: object) -> _Choice:
    """A member of `kind`, from itself or its name."""
    try:
        return kind(value)  # type: ignore[arg-type]
    except ValueError:
        raise UsageError(f"{what}: expected one of {', '.join(kind)}, got {shown(value)}") from None


def ids(what: str, values: object) -> tuple[str, ...]:
    """A series of ids; a single string is none."""
    found = () if isinstance(values, (str, bytes)) or not isinstance(values, Iterable) else tuple(values)
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable) or _other(found):
        raise _refused(what, "a list of page ids", values, 'for one page, pass ["p1"]')
    return found


def _other(values: Sequence[object]) -> bool:
    return not all(isinstance(value, str) for value in values)


def arguments(what: str, value: object) -> Mapping[str, Any]:
    """The arguments of a call: a mapping with string keys."""
    if not isinstance(value, Mapping) or _other(tuple(value)):
        raise _refused(what, "a dict with string keys", value, "parse a JSON string with json.loads first")
    return value


def calls(values: object) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    """The calls of an answer: pairs of a tool's name and its arguments."""
    wanted = "a list of (tool name, arguments) pairs"
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise _refused("calls", wanted, values)
    found = []
    for place, call in enumerate(values):
        if not isinstance(call, (tuple, list)) or len(call) != 2:
            raise _refused(f"calls[{place}]", "a (tool name, arguments) pair", call)
        found.append((text(f"calls[{place}] name", call[0]), arguments(f"calls[{place}] arguments", call[1])))
    return tuple(found)


def lines(page_id: str, count: int, first: object, last: object) -> tuple[int, int]:
    """The range of lines `first` to `last` (None, or past the end: to the end) of a page that has `count`."""
    start = integer("first_line", first)
    end = count if last is None else integer("last_line", last)
    if not 1 <= start <= max(count, 1) or (last is not None and end < start):
        asked = f"{start} on" if last is None else f"{start} to {end}"
        has = f"it has lines 1 to {count}" if count else "it has no lines"
        raise UsageError(f"page {page_id}: there are no lines {asked}", hint=has)
    return start, min(end, count)


def shown(value: object) -> str:
    """A value as an error shows it: its type where it is no short text or number."""
    short = isinstance(value, (str, int, float)) and len(repr(value)) <= 40
    return repr(value) if short else type(value).__name__


def _refused(what: str, wanted: str, value: object, hint: str = "") -> UsageError:
    return UsageError(f"{what}: expected {wanted}, got {shown(value)}", hint=hint)
