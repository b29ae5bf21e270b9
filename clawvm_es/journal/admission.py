"""Admission: what may enter the log, as strict twins of the event classes.

The classes themselves are read loosely, since what was once recorded is read for ever. Their twins have the same
fields, refuse unknown ones, and hold every integer within ±(2**53 - 1).
"""

from __future__ import annotations

import functools
import operator
import types
from collections.abc import Hashable
from typing import Annotated, Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs
import msgspec

from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import Event

E = TypeVar("E", bound=Event)
INTEGER: Final = Annotated[int, msgspec.Meta(ge=-INTEGER_MAX, le=INTEGER_MAX)]


def structure(data: dict[str, Any], cls: type[E]) -> E:
    """The event of a class that JSON values say; raises `msgspec.ValidationError` with the path of what is wrong."""
    msgspec.convert(data, strict(cast(Any, cls)))
    return msgspec.convert(data, cls)


@functools.cache
def strict(cls: Hashable) -> type[msgspec.Struct]:
    """The strict twin of an event class, or of a class that its fields hold."""
    assert isinstance(cls, type)
    hints = get_type_hints(cls, include_extras=True)
    fields: list[Any]
    if issubclass(cls, msgspec.Struct):
        fields = [
            (its.name, _strict(hints[its.name]), *(() if its.required else (its.default,)))
            for its in msgspec.structs.fields(cls)
        ]
    else:
        fields = [(its.name, _strict(hints[its.name])) for its in attrs.fields(cast(Any, cls))]
    return msgspec.defstruct(cls.__name__, fields, frozen=True, forbid_unknown_fields=True)


def _strict(hint: Any) -> Any:
    """The type of a field of a twin."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is int:
        return INTEGER
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, map(_strict, arguments))
    if origin is tuple:
        return tuple[_strict(arguments[0]), ...]  # type: ignore[misc]
    return strict(hint) if isinstance(hint, type) and (issubclass(hint, msgspec.Struct) or attrs.has(hint)) else hint
