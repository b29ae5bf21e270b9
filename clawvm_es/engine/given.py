"""Check values that a caller passes to a hook, before anything is recorded; `UsageError` names what is accepted."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

import attrs
import msgspec

from clawvm_es.engine.hooks import Call
from clawvm_es.errors import UsageError
from clawvm_es.model.commands import Command
from clawvm_es.model.events import INPUTS
from clawvm_es.model.facts import Finish, Need
from clawvm_es.observe.steps import Step, Usage
from clawvm_es.observe.told import finish_of, usage_of
from clawvm_es.representations.sayable import is_sayable

_Choice = TypeVar("_Choice", bound=StrEnum)
_Kind = TypeVar("_Kind")


_AS_TEXT = "for blocks, bytes or dicts, pass the text that they stand for"


def text(what: str, value: object, hint: str = _AS_TEXT) -> str:
    """A text; any other value is refused with the hint to use `json.dumps`."""
    if not isinstance(value, str):
        raise _refused(what, "a string", value, hint)
    return value


def key(value: object) -> str | None:
    """An idempotency key, or None."""
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise _refused("key", "a string that is not empty, or None", value)
    if not is_sayable(value):
        raise UsageError(f"idempotency key {value!r:.80} is no valid text")
    return value


def path(what: str, value: object) -> str:
    """A path, as text."""
    place = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(place, str) or "\0" in place:
        raise _refused(what, "a path", value)
    return place


def integer(what: str, value: object, least: int | None = None) -> int:
    """An integer (not a bool), at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise _refused(what, "an integer", value)
    if least is not None and value < least:
        raise UsageError(f"{what}: expected at least {least}, got {value}")
    return value


def boolean(what: str, value: object) -> bool:
    """True or False; other values that count as true or false are refused."""
    if not isinstance(value, bool):
        raise _refused(what, "True or False", value)
    return value


def seconds(what: str, value: object) -> float:
    """A time in seconds, at least 0."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
        raise _refused(what, "seconds, at least 0", value)
    return value


def instance(what: str, kind: type[_Kind], value: object, wanted: str) -> _Kind:
    """A value of a type."""
    if not isinstance(value, kind):
        raise _refused(what, wanted, value)
    return value


def function(what: str, value: object) -> None:
    """Something that can be called."""
    if not callable(value):
        raise _refused(what, "a function", value)


def choice(what: str, kind: type[_Choice], value: object) -> _Choice:
    """A member of the enum `kind`, given as itself or by name."""
    try:
        return kind(value)  # type: ignore[arg-type]
    except ValueError:
        raise UsageError(f"{what}: expected one of {', '.join(kind)}, got {shown(value)}") from None


def ids(what: str, values: object) -> tuple[str, ...]:
    """A series of ids; a single string is refused."""
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


def calls(values: object) -> tuple[Call, ...]:
    """The calls of an answer: `Call`s, or pairs of a tool's name and its arguments. No two have the same id."""
    wanted = "a list of (tool name, arguments) pairs, or of Call(id, name, args)"
    if isinstance(values, (str, bytes, Mapping, Call)) or not isinstance(values, Iterable):
        raise _refused("calls", wanted, values)
    found: list[Call] = []
    places: dict[str, int] = {}
    for place, value in enumerate(values):
        call = _call(f"calls[{place}]", value)
        if call.id and (first := places.setdefault(call.id, place)) != place:
            raise UsageError(f"calls[{place}] id: {shown(call.id)} is that of calls[{first}], expected another one")
        found.append(call)
    return tuple(found)


def _call(what: str, value: object) -> Call:
    if isinstance(value, Call):
        ident = text(f"{what} id", value.id, "for none, pass the empty string")
        given = value.args if isinstance(value.args, str) else arguments(f"{what} args", value.args)
        return Call(ident, text(f"{what} name", value.name), given)
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise _refused(what, "a (tool name, arguments) pair, or a Call(id, name, args)", value)
    return Call("", text(f"{what} name", value[0]), arguments(f"{what} arguments", value[1]))


def step(value: object) -> Step:
    """A step of a harness, whose values have their types."""
    if not isinstance(value, Step):
        raise _refused("step", "a step, such as UserMessage(text)", value)
    found: Step = value
    try:
        return msgspec.convert(attrs.asdict(found), type(found))
    except msgspec.ValidationError as error:
        said, _, where = str(error).partition(" - at ")
        raise UsageError(f"{type(found).__name__}{where.strip('`').removeprefix('$')}: {said}") from error
    except RecursionError as error:
        raise UsageError(f"{type(found).__name__}: nested too deeply") from error


def commands(values: Iterable[object]) -> None:
    """Commands, each of an input."""
    for place, value in enumerate(values):
        command = instance(f"commands[{place}]", Command, value, "a Command")
        instance(f"commands[{place}] data", INPUTS, command.data, "an input, such as TurnBegan")  # type: ignore[arg-type]


def call(value: object) -> int | str:
    """A recorded call: its number, or the harness's id of it."""
    if isinstance(value, str):
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        hint = f"pass its id {shown(value.id)}" if isinstance(value, Call) else ""
        raise _refused("call", "a call's number or the harness's id of it", value, hint)
    return integer("call", value, 1)


def needs(values: object) -> tuple[Need, ...]:
    """Needs of an answer."""
    found = tuple(values) if isinstance(values, Iterable) and not isinstance(values, (str, bytes)) else (values,)
    for value in found:
        if not isinstance(value, Need):
            raise _refused("needs", "a list of Need", value)
    return found


def thoughts(value: object) -> str:
    """The model's thoughts: a text, or a list of texts, which are joined by blank lines."""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        return "\n\n".join(text("thinking", each) for each in value)
    return text("thinking", value)


def finish(value: object) -> Finish | None:
    """The reason why an answer ended, as our name or the provider's; or None."""
    if value is None or isinstance(value, Finish):
        return value
    if not isinstance(value, str):
        raise _refused("finish", f"one of {', '.join(Finish)}, the provider's own reason, or None", value)
    return Finish(value) if value in list(Finish) else finish_of(value)


def usage(value: object, counts: Mapping[str, object]) -> Usage:
    """Token counts: either a `Usage` or the provider's own dict, or counts by name, but not both."""
    known = tuple(attrs.fields_dict(Usage))
    for name in counts:
        if name not in known:
            raise UsageError(f"{name}: expected a parameter of observe_model, or one of {', '.join(known)}")
    told = {name: integer("tokens", count, 0) for name, count in counts.items()}
    if value is None:
        return Usage(**told)
    if any(told.values()):
        raise UsageError(f"usage: expected no counts beside it, got {', '.join(n for n, c in told.items() if c)}")
    if isinstance(value, Mapping):
        return usage_of(value)
    if not isinstance(value, Usage):
        raise _refused("usage", "a Usage, or a dict of the provider's counts", value)
    for name, count in attrs.asdict(value).items():
        integer(f"usage {name}", count, 0)
    return value


def native(value: object) -> str:
    """A provider's own form of something, as JSON text in its own key order; empty for None."""
    try:
        return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        hint = "pass plain lists and dicts, such as model_dump() gives"
        raise UsageError(f"native: expected what JSON can say: {error}", hint=hint) from error


def lines(page_id: str, count: int, first: object, last: object) -> tuple[int, int]:
    """The range of lines `first` to `last` (None, or past the end: to the end) of a page that has `count`."""
    start = integer("first_line", first)
    end = count if last is None else integer("last_line", last)
    if not 1 <= start <= max(count, 1) or (last is not None and end < start):
        asked = f"{start} on" if last is None else f"{start} to {end}"
        has = f"it has lines 1 to {count}" if count else "it has no lines"
        raise UsageError(f"page {page_id}: there are no lines {asked}", hint=has)
    return start, min(end, count)


def line_range(value: object) -> tuple[int, int | None]:
    """A range of lines: a pair (first, last or None), or text such as "120-180", "120-" or "120"."""
    if isinstance(value, str) and (found := _RANGE.fullmatch(value)) is not None:
        first = int(found[1])
        return first, first if found[2] is None else int(found[3]) if found[3] else None
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return integer("lines", value[0]), None if value[1] is None else integer("lines", value[1])
    raise _refused("lines", 'a pair such as (120, 180), or text such as "120-180"', value)


_RANGE = re.compile(r"([0-9]{1,9})(-([0-9]{1,9})?)?")


def shown(value: object) -> str:
    """A value as error messages show it: short texts and numbers as they are, anything else by its type."""
    short = isinstance(value, (str, int, float)) and len(repr(value)) <= 40
    return repr(value) if short else type(value).__name__


def _refused(what: str, wanted: str, value: object, hint: str = "") -> UsageError:
    return UsageError(f"{what}: expected {wanted}, got {shown(value)}", hint=hint)
