"""Canonical JSON of event data: attrs classes to bytes and back.

LAW-CODEC-1: keys are sorted, there are no blanks, fields at their default are omitted; equal events have equal
bytes, which on this subset are those of RFC 8785.
LAW-CODEC-2: a well-typed event decodes to an equal event. Floats, None and integers beyond ±(2**53 - 1) are
refused with their path; other wrong types are the type checker's to find.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, get_args, get_origin, get_type_hints

import attrs
import cattrs
import msgspec
from cattrs.fns import identity
from cattrs.gen import make_dict_unstructure_fn

from clawvm_es.errors import JournalDamaged, NotCanonical, UnknownEvent
from clawvm_es.journal.upcasters import UPCASTERS, Upcasters, reads_as_it_is, upcast
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import EVENT_TYPES, Event

COMMITMENT_FIELDS: Final = frozenset(
    ("arguments", "body", "key", "name", "prompt", "query", "result", "signature_key", "source", "validator", "value")
)
"""The fields of inputs that hold a commitment (some also hold declared names, which are never 64 hex digits)."""

_NAMED = re.compile(rb'"(?:' + "|".join(sorted(COMMITMENT_FIELDS)).encode() + rb')":"([0-9a-f]{64})"')
_SUSPECT = re.compile(rb":(?:[-0-9](?:[0-9]{15}|[0-9]*[.eE])|null|\[[-0-9n])")
"""What may be a None, a float or a large integer, found fast; lists that begin with a number need the next."""
_LIKELY = re.compile(rb"[:\[,](?:null|-?[0-9]+[.eE]|-?[0-9]{16})")


def _make_converter() -> cattrs.Converter:
    """A converter that leaves enums and strings to msgspec and omits fields at their default, at every depth."""
    converter = cattrs.Converter()
    converter.register_unstructure_hook_func(lambda t: isinstance(t, type) and issubclass(t, Enum), identity)
    converter.register_unstructure_hook_factory(_is_tuple, lambda t: _unstructure_items(converter, t))
    converter.register_unstructure_hook_factory(
        attrs.has, lambda cls: make_dict_unstructure_fn(cls, converter, _cattrs_omit_if_default=True)
    )
    return converter


def _is_tuple(type_: Any) -> bool:
    return get_origin(type_) is tuple and get_args(type_)[1:] == (Ellipsis,)


def _unstructure_items(converter: cattrs.Converter, type_: Any) -> Callable[[Any], Any]:
    """How `tuple[T, ...]` is written: as it is, unless its items are attrs classes."""
    item = get_args(type_)[0]
    if not attrs.has(item):
        return identity
    unstructure = converter.get_unstructure_hook(item)
    return lambda items: [unstructure(item) for item in items]


_converter = _make_converter()
_suspect = _SUSPECT.search
_to_json = msgspec.json.Encoder(order="sorted").encode
_writers: dict[type, tuple[Callable[[Any], Any], bool]] = {}
_decoders: dict[tuple[str, int], Callable[[bytes], Any]] = {
    (name, version): msgspec.json.Decoder(cls).decode
    for name, cls in EVENT_TYPES.items()
    for version in range(1, cls.SCHEMA_VERSION + 1)
    if reads_as_it_is(name, version, cls.SCHEMA_VERSION)
}
"""(event type, schema version) → the decoder of all versions that need no upcasting."""


def to_plain(event: Event) -> dict[str, Any]:
    """The event's data as a dict of JSON values (enums stay enums, which are strings), without defaults."""
    plain: dict[str, Any] = _converter.unstructure(event)
    return plain


def encode(event: Event) -> bytes:
    """Canonical bytes of an event's data; raises `NotCanonical` for floats, None, and integers beyond 2**53 - 1."""
    cls = event.__class__
    unstructure, has_numbers = _writers.get(cls) or _learn(cls)
    try:
        raw = _to_json(unstructure(event))
    except (TypeError, AttributeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise NotCanonical(f"{event.TYPE} cannot be written as canonical JSON: {error}") from error
    if has_numbers and _suspect(raw) and _LIKELY.search(raw):
        _check(msgspec.json.decode(raw), event.TYPE)
    return raw


def _learn(cls: type[Event]) -> tuple[Callable[[Any], Any], bool]:
    """How events of a class become what msgspec writes, and whether numbers may stand in them.

    Classes of plain fields, none of which may be omitted, are written by msgspec as they are.
    """
    fields = [(field.default, get_type_hints(cls)[field.name]) for field in attrs.fields(cls)]
    required = all(default is attrs.NOTHING for default, _ in fields)
    as_it_is = required and all(_converter.get_unstructure_hook(hint) is identity for _, hint in fields)
    has_numbers = not all(isinstance(hint, type) and issubclass(hint, str) for _, hint in fields)
    _writers[cls] = (identity if as_it_is else _converter.get_unstructure_hook(cls), has_numbers)
    return _writers[cls]


def decode(
    type_: str, schema_version: int, raw: bytes, *, where: str = "", upcasters: Upcasters = UPCASTERS
) -> Event:
    """The event behind stored bytes, at its current schema version.

    Raises `UnknownEvent` for a type or version that we do not know, and `JournalDamaged` where the bytes are not
    data of that type; `where` is put before their messages.
    """
    decoder = _decoders.get((type_, schema_version))
    try:
        if decoder is not None:
            return decoder(raw)  # type: ignore[no-any-return]
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
    """Raise `NotCanonical` unless `raw` is byte for byte how `event` (at its current version) is written."""
    expected = encode(event)
    if raw != expected:
        at = next(
            (i for i, (a, b) in enumerate(zip(raw, expected, strict=False)) if a != b), min(len(raw), len(expected))
        )
        raise NotCanonical(f"data of {event.TYPE} is not canonical from byte {at} on: {raw[at : at + 40]!r}")


def _check(value: Any, path: str) -> None:
    """Walk decoded JSON and refuse, with its path, whatever canonical data cannot hold."""
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
