"""Stored form of heads and nodes: compressed, behind a check that covers the name of what it stands for.

The check of a node covers its id, so that a pointer never leads to a wrong node.

LAW-SNAP-2: everything read is checked first; data that fails its check is never used.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Final

import attrs

from clawvm_es.journal.ports import SnapshotRow

_CHECK_BYTES: Final = 8


class Damaged(Exception):
    """A snapshot, or a part of one, that differs from what was stored; it must not be used."""


def seal_head(row: SnapshotRow, payload: bytes) -> SnapshotRow:
    """The row with a head."""
    return attrs.evolve(row, head=_with_check(_name(row), payload))


def open_head(row: SnapshotRow) -> bytes:
    """The payload of a row's head; raises `Damaged` unless it fits its check."""
    return _checked(_name(row), row.head)


def seal_node(node_id: int, part: int, number: int, payload: bytes) -> bytes:
    """A node as it is stored."""
    return _with_check(b"%d.%d.%d" % (node_id, part, number), payload)


def open_node(node_id: int, part: int, number: int, body: bytes | None) -> bytes:
    """The payload of a stored node; raises `Damaged` unless it is the expected one."""
    if body is None:
        raise Damaged(f"its node {node_id} is missing")
    return _checked(b"%d.%d.%d" % (node_id, part, number), body)


def _name(row: SnapshotRow) -> bytes:
    fields = (row.session_id, row.version, row.event_hash.hex(), row.made_by, row.base, row.first_node)
    return repr((*fields, row.nodes)).encode("utf-8", "surrogatepass")


def _with_check(name: bytes, payload: bytes) -> bytes:
    packed = zlib.compress(payload, 1)
    return _check(name, packed) + packed


def _checked(name: bytes, body: bytes) -> bytes:
    if not isinstance(body, bytes) or _check(name, body[_CHECK_BYTES:]) != body[:_CHECK_BYTES]:
        raise Damaged("a part of it does not fit its check")
    return zlib.decompress(body[_CHECK_BYTES:])


def _check(name: bytes, packed: bytes) -> bytes:
    return hashlib.blake2b(b"%d:%b%b" % (len(name), name, packed), digest_size=_CHECK_BYTES).digest()
