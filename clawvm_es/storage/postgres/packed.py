"""Values in the server's binary form: for long lists of a known type, this is much faster than the driver.

A list goes out as one array of its type (PostgreSQL's `array_recv`): dimensions, a flag for NULLs, the type of the
elements, their number, the first index; then each element with its length, -1 for NULL.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs
from psycopg.abc import PyFormat
from psycopg.adapt import Dumper
from psycopg.pq import Format

_HEAD: Final = struct.Struct("!iiIii")
_EMPTY: Final = struct.Struct("!iiI")
_LENGTH: Final = struct.Struct("!i")
_NULL: Final = _LENGTH.pack(-1)
_BIGINT: Final = struct.Struct("!q").pack


@attrs.frozen
class Packed:
    """A value in the binary form of a type, by the type's number."""

    oid: int
    raw: bytes


class PackedDumper(Dumper):
    """Hands a `Packed` on as it is."""

    format = Format.BINARY

    def dump(self, obj: Packed) -> bytes:
        """The bytes of the value."""
        return obj.raw

    def get_key(self, obj: Packed, format: PyFormat) -> tuple[type, Any]:
        """One dumper for each type of the server."""
        return (self.cls, obj.oid)

    def upgrade(self, obj: Packed, format: PyFormat) -> PackedDumper:
        """A dumper that names the type of a value."""
        dumper = PackedDumper(self.cls, None)
        dumper.oid = obj.oid
        return dumper


_ARRAYS: Final[Mapping[str, tuple[int, int, Callable[[Any], bytes]]]] = MappingProxyType(
    {"bigint[]": (1016, 20, _BIGINT), "text[]": (1009, 25, str.encode), "bytea[]": (1001, 17, bytes)}
)
"""Type of a list → its number, that of its elements, and the form of one."""


def packed(kind: str, value: Any) -> Any:
    """A value of a type in the form to send: a list packed, any other value as the driver encodes it."""
    if kind not in _ARRAYS:
        return value
    array, element, form = _ARRAYS[kind]
    parts = [_HEAD.pack(1, None in value, element, len(value), 1)] if value else [_EMPTY.pack(0, 0, element)]
    for item in value:
        if item is None:
            parts.append(_NULL)
        else:
            raw = form(item)
            parts += (_LENGTH.pack(len(raw)), raw)
    return Packed(array, b"".join(parts))
