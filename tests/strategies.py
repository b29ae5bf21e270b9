"""Hypothesis strategies for events: every value that a class of the vocabulary can hold."""

from __future__ import annotations

import enum
import types
import typing

import attrs
from hypothesis import strategies as st

from clawvm_es.limits import INTEGER_MAX

TEXT = st.text(alphabet="abcxyz019_.-", max_size=8)
INTEGERS = st.integers(-INTEGER_MAX, INTEGER_MAX)


def values(hint, integers: st.SearchStrategy[int] = INTEGERS, **named: st.SearchStrategy) -> st.SearchStrategy:
    """All values of a type that occurs in an event class; text fields called as in `named` come from there."""
    scalars = {bool: st.booleans(), int: integers, str: TEXT, type(None): st.none()}
    if hint in scalars:
        return scalars[hint]
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return st.one_of(*(values(a, integers, **named) for a in arguments))
    if typing.get_origin(hint) is tuple:
        return st.lists(values(arguments[0], integers, **named), max_size=2).map(tuple)
    if issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    hints = typing.get_type_hints(hint)
    fields = {field.name: values(hints[field.name], integers, **named) for field in attrs.fields(hint)}
    for name in fields.keys() & named.keys():
        if hints[name] == str | None:
            fields[name] = st.none() | named[name]
        elif hints[name] is str:
            fields[name] = named[name]
    return st.builds(hint, **fields)
