"""Signature keys: one text per distinct call, so that a repeated call is recognised as one.

LAW-SIGNATURE-1: equal keys mean the same tool and the same JSON arguments, whatever the order of their keys;
numbers are compared as they were written (`1`, `1.0` and `1e0` differ), so no float is ever involved.
"""

from __future__ import annotations

from collections.abc import Mapping
from json.encoder import encode_basestring_ascii
from typing import Final

from clawvm_es.errors import NotCanonical


class Lexeme(str):
    """A JSON number in its source form, if an `int` would not preserve that."""

    __slots__ = ()


_ATOMS: Final = {None: "null", True: "true", False: "false"}


def canonical(value: object) -> str:
    """`value` as JSON text: ASCII, keys sorted, no blanks, numbers by their lexeme.

    Accepts parsed JSON (with `Lexeme` for numbers that are not small integers), tuples and floats.
    Raises `NotCanonical` for anything else, and for nesting beyond the interpreter's recursion limit.
    """
    out: list[str] = []
    try:
        _write(value, out)
    except RecursionError:
        raise NotCanonical("arguments are nested too deep to be written as JSON", hint="flatten them") from None
    return "".join(out)


def signature_key(tool: str, arguments: Mapping[str, object]) -> str:
    """The key of a call of `tool` with already normalised `arguments`."""
    return f"{tool} {canonical(arguments)}"


def _write(value: object, out: list[str]) -> None:
    if isinstance(value, Lexeme):
        out.append(str(value))
    elif isinstance(value, str):
        out.append(encode_basestring_ascii(value))
    elif value is None or isinstance(value, bool):
        out.append(_ATOMS[value])
    elif isinstance(value, (int, float)):
        out.append(repr(value))
    elif isinstance(value, Mapping):
        _write_object(value, out)
    elif isinstance(value, (list, tuple)):
        out.append("[")
        for place, item in enumerate(value):
            if place:
                out.append(",")
            _write(item, out)
        out.append("]")
    else:
        raise NotCanonical(f"a call's arguments hold a {type(value).__name__}, which JSON cannot express")


def _write_object(value: Mapping[object, object], out: list[str]) -> None:
    names = [name for name in value if isinstance(name, str)]
    if len(names) != len(value):
        raise NotCanonical("a call's arguments hold an object with a key that is no string")
    out.append("{")
    for place, name in enumerate(sorted(names)):
        if place:
            out.append(",")
        out.append(f"{encode_basestring_ascii(name)}:")
        _write(value[name], out)
    out.append("}")
