"""Canonical JSON of event data: Structs to bytes and back.

LAW-CODEC-1: keys are sorted, there are no blanks, fields at their default are omitted; equal events have equal
bytes, equal to those of RFC 8785 on this subset.
LAW-CODEC-2: data decodes to an equal event. Values of another type than their field's, None, floats, and integers
beyond ±(2**53 - 1) are refused with their path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, get_args

import msgspec

from clawvm_es.errors import JournalDamaged, NotCanonical, UnknownEvent
from clawvm_es.journal.twins import twin
from clawvm_es.journal.upcasters import UPCASTERS, Upcasters, reads_as_it_is, upcast
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import EVENT_TYPES, KINDS, Event

K = TypeVar("K")
V = TypeVar("V")
COMMITMENT_FIELDS: Final = frozenset(
    (
        *(
            "arguments",
            "body",
            "call_id",
            "error",
            "field_name",
            "fixed",
            "folder",
            "key",
            "model_name",
            "name",
            "native",
        ),
        *("prompt", "provider", "query", "result", "signature_key", "slot_name", "source", "thinking"),
        *("validator", "value"),
    )
)
"""The fields of inputs that hold a commitment (some also hold declared names, which are never 64 hex digits)."""

_IS_NAMED = "|".join([f'(?<="{name}":".{{64}}")' for name in sorted(COMMITMENT_FIELDS)])
_NAMED = re.compile(f'":"([0-9a-f]{{64}})"(?:{_IS_NAMED})'.encode())
"""Looks at the field last, so that the search skips to the quotes around a colon: a third of the time."""

_to_json = msgspec.json.Encoder(order="sorted").encode
_in_order = msgspec.json.Encoder().encode


def _written_defaults(cls: type, known: dict[str, bytes]) -> dict[str, bytes]:
    """Return the values that msgspec may write although they equal the default, at any depth, by field name.

    msgspec omits a value that *is* the default object. That covers None, empty tuples and small integers, but not an
    equal string, nor an equal tuple with items.
    """
    if issubclass(cls, msgspec.Struct):
        for field in msgspec.structs.fields(cls):
            for part in (field.type, *get_args(field.type)):
                if isinstance(part, type):
                    _written_defaults(part, known)
            if isinstance(field.default, (str, tuple)) and field.default:
                written = _to_json({field.name: field.default})[1:-1]
                assert known.setdefault(field.name, written) == written, f"{cls.__name__}.{field.name}: two defaults"
    return known


def _without(member: bytes, raw: bytes) -> bytes:
    """JSON without one member; quotes in strings are escaped, so no string can look like the member."""
    return raw.replace(member + b",", b"").replace(b"," + member, b"").replace(member, b"")


def _is_text(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, str)


class WhenAsked(dict[K, V]):
    """Values that are each made when first asked for, since a program meets few of the classes."""

    def __init__(self, make: Callable[[K], V]) -> None:
        self._make = make

    def __missing__(self, key: K) -> V:
        found = self[key] = self._make(key)
        return found


def _check_of(cls: type[Event]) -> Callable[[bytes], Any] | None:
    """The reader of a class's written data; decisions without numbers need none."""
    if KINDS[cls.TYPE] == "decision" and all(_is_text(its.type) for its in msgspec.structs.fields(cls)):
        return None
    return msgspec.json.Decoder(twin(cls, False)).decode


def _omitted_of(cls: type[Event]) -> tuple[bytes, ...]:
    return tuple(_written_defaults(cls, {}).values())


def _decoder_of(type_: str) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(EVENT_TYPES[type_]).decode


_OMITTED: Final = WhenAsked(_omitted_of)
_CHECKS: Final = WhenAsked(_check_of)
_DECODERS: Final = WhenAsked(_decoder_of)
_READ_AS_THEY_ARE: Final = frozenset(
    (name, version)
    for name, cls in EVENT_TYPES.items()
    for version in range(1, cls.SCHEMA_VERSION + 1)
    if reads_as_it_is(name, version, cls.SCHEMA_VERSION)
)
"""The event types and schema versions that need no upcasting."""


def to_plain(event: Event) -> dict[str, Any]:
    """The event's data as a dict of JSON values, in the order of its fields, without defaults."""
    plain: dict[str, Any] = msgspec.json.decode(written(event, _in_order))
    return plain


def encode(event: Event) -> bytes:
    """Canonical bytes of an event's data, which decode to an equal event.

    Raises `NotCanonical` with the path of a value that has another type than its field, or is None, a float, or an
    integer beyond ±(2**53 - 1).
    """
    raw = written(event)
    check = _CHECKS[event.__class__]
    try:
        if check is not None:
            check(raw)
    except (ValueError, msgspec.MsgspecError) as error:
        _check(msgspec.json.decode(raw), event.TYPE)
        raise NotCanonical(f"{event.TYPE} cannot be written as canonical JSON: {error}") from error
    return raw


def written(event: Event, to_json: Callable[[Event], bytes] = _to_json) -> bytes:
    """An event as JSON without the fields at their default, not yet checked to be readable."""
    try:
        raw = to_json(event)
    except (TypeError, AttributeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise NotCanonical(f"{event.TYPE} cannot be written as canonical JSON: {error}") from error
    for member in _OMITTED[event.__class__]:
        if raw.find(member) >= 0:  # half the time of `in`, which first takes bytes for a number
            raw = _without(member, raw)
    return raw


def decode(
    type_: str, schema_version: int, raw: bytes, *, where: str = "", upcasters: Upcasters = UPCASTERS
) -> Event:
    """The event behind stored bytes, at its current schema version.

    Raises `UnknownEvent` for an unknown type or version, and `JournalDamaged` if the bytes are not data of that
    type; `where` is put before their messages.
    """
    try:
        if (type_, schema_version) in _READ_AS_THEY_ARE:
            return _DECODERS[type_](raw)  # type: ignore[no-any-return]
        cls = _class_of(type_, schema_version, where, upcasters)
        data = upcast(type_, schema_version, msgspec.json.decode(raw, type=dict), cls.SCHEMA_VERSION, upcasters)
        return msgspec.convert(data, cls)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise JournalDamaged(f"{_at(where)}data is no {type_} version {schema_version}: {error}") from error


def _class_of(type_: str, schema_version: int, where: str, upcasters: Upcasters) -> type[Event]:
    """The current class of a type, if `upcasters` lead there from `schema_version`."""
    cls = EVENT_TYPES.get(type_)
    if cls is None:
        raise UnknownEvent(f"{_at(where)}unknown event type {type_!r}", hint="a newer version may have written it")
    steps = range(schema_version, cls.SCHEMA_VERSION)
    if schema_version > cls.SCHEMA_VERSION or any((type_, step) not in upcasters for step in steps):
        raise UnknownEvent(
            f"{_at(where)}unknown schema version {schema_version} of {type_} (known: {cls.SCHEMA_VERSION})",
            hint="a newer version may have written it",
        )
    return cls


def _at(where: str) -> str:
    return f"{where}: " if where else ""


def named_commitments(raw: bytes) -> list[str]:
    """All commitments that canonical data of an *input* names, in order, with repetitions."""
    return [found.decode() for found in _NAMED.findall(raw)]


def check_canonical(raw: bytes, event: Event) -> None:
    """Raise `NotCanonical` unless `raw` is byte for byte the encoding of `event` (at its current version)."""
    expected = encode(event)
    if raw != expected:
        at = next(
            (i for i, (a, b) in enumerate(zip(raw, expected, strict=False)) if a != b), min(len(raw), len(expected))
        )
        raise NotCanonical(f"data of {event.TYPE} is not canonical from byte {at} on: {raw[at : at + 40]!r}")


def _check(value: Any, path: str) -> None:
    """Refuse, with its path, any value in decoded JSON that canonical data cannot hold."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]")
    elif value is None or isinstance(value, float):
        raise NotCanonical(f"{path}: canonical data holds no {value!r}")
    elif isinstance(value, int) and abs(value) > INTEGER_MAX:
        raise NotCanonical(f"{path}: {value} is beyond ±(2**53 - 1)")
