"""Strict twins of the event classes: the same fields, with what their annotations say enforced.

The event classes themselves are lenient, since every recorded event must stay readable. A twin refuses unknown
fields and other types, and bounds integers to ±(2**53 - 1), or, if `bounded`, to the field's bounds in
`model.bounds`.
"""

from __future__ import annotations

import functools
import operator
import types
from collections.abc import Hashable
from typing import Annotated, Any, Final, Union, cast, get_args, get_origin, get_type_hints

import attrs
import msgspec

from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.bounds import Within

_ANY: Final = Within(-INTEGER_MAX, INTEGER_MAX)


@functools.cache
def twin(cls: Hashable, bounded: bool) -> type[msgspec.Struct]:
    """The strict twin of an event class, or of a class that its fields hold."""
    assert isinstance(cls, type)
    hints = get_type_hints(cls, include_extras=True)
    fields: list[Any]
    if issubclass(cls, msgspec.Struct):
        fields = [
            (its.name, _strict(hints[its.name], bounded), *(() if its.required else (its.default,)))
            for its in msgspec.structs.fields(cls)
        ]
    else:
        fields = [(its.name, _strict(hints[its.name], bounded)) for its in attrs.fields(cast(Any, cls))]
    return msgspec.defstruct(cls.__name__, fields, frozen=True, forbid_unknown_fields=True)


def _strict(hint: Any, bounded: bool) -> Any:
    """The type of a field of a twin."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        within = next((each for each in arguments if isinstance(each, Within)), _ANY)
        return _integer(within if bounded else _ANY)
    if hint is int:
        return _integer(_ANY)
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, (_strict(each, bounded) for each in arguments))
    if origin is tuple:
        return tuple[_strict(arguments[0], bounded), ...]  # type: ignore[misc]
    is_class = isinstance(hint, type) and (issubclass(hint, msgspec.Struct) or attrs.has(hint))
    return twin(hint, bounded) if is_class else hint


def _integer(within: Within) -> Any:
    return Annotated[int, msgspec.Meta(ge=within.least, le=within.most)]
