"""Bodies in the column `blobs.body`: as they are, or packed.

A packed body is a zlib stream (RFC 1950), then the length of the body and a CRC-32 of all before it, four bytes each,
big-endian. Programs that know zlib read the stream and skip the rest: `zlib.decompress` in Python, `sqlar_uncompress`
in the shell of SQLite. Digests, commitments and bundles know the body only, never how it is stored.

LAW-PACK-1: a stored value is packed if it begins with `MARK` and its own SHA-256 is not the row's digest;
otherwise it is the body itself. So every body is read back unchanged, whatever its first bytes, and a file may
hold both kinds.
LAW-PACK-2: unpacking makes at most `PACKED_BODY_BYTES` bytes, for any file.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Final

from clawvm_es.errors import JournalDamaged
from clawvm_es.limits import PACKED_BODY_BYTES, PACKED_BODY_BYTES_MIN

MARK: Final = b"x\1"
"""First bytes of a packed body: zlib's header for the window and the level that we use."""
_LEVEL: Final = 1
_WINDOW_BITS: Final = 15
_MEMORY_LEVEL: Final = 7
"""Half of zlib's default: nothing larger, and what a small body costs is mostly clearing that memory."""
_LENGTH: Final = struct.Struct(">I")
_TRAILER_BYTES: Final = 2 * _LENGTH.size


def can_be_packed(body: bytes) -> bool:
    """Tell whether a body has a length for which packing is tried."""
    return PACKED_BODY_BYTES_MIN <= len(body) <= PACKED_BODY_BYTES


def pack(body: bytes) -> bytes:
    """Return the stored form of a body: packed if that saves an eighth, else the body itself."""
    if not can_be_packed(body):
        return body
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
    packed = packer.compress(body) + packer.flush() + _LENGTH.pack(len(body))
    packed += _LENGTH.pack(zlib.crc32(packed))
    return packed if len(packed) <= len(body) - len(body) // 8 else body


def is_packed(stored: bytes, digest: bytes) -> bool:
    """Tell whether a stored value is a packed body."""
    return stored.startswith(MARK) and hashlib.sha256(stored).digest() != digest


def unpack(stored: bytes, digest: bytes) -> bytes:
    """The body of a stored value, given the body's digest, which is not checked. Raises `JournalDamaged`."""
    if not is_packed(stored, digest):
        return stored
    length = _length(stored)
    unpacker = zlib.decompressobj(_WINDOW_BITS)
    try:
        body = unpacker.decompress(stored, length + 1)
    except zlib.error as error:
        raise JournalDamaged(f"a packed body cannot be read: {error}") from error
    if len(body) != length or not unpacker.eof or len(unpacker.unused_data) != _TRAILER_BYTES:
        raise JournalDamaged(f"a packed body cannot be read: it is not one stream of {length} bytes")
    return body


def readable(stored: bytes, digest: bytes) -> bytes:
    """The body, or empty bytes if it is damaged, for callers that must continue; `verify` names the damage."""
    try:
        return unpack(stored, digest)
    except JournalDamaged:
        return b""


def body_bytes(stored: bytes, digest: bytes) -> int:
    """The length of a body, without unpacking it; if it is damaged, the length of the stored value."""
    try:
        return _length(stored) if is_packed(stored, digest) else len(stored)
    except JournalDamaged:
        return len(stored)


def _length(packed: bytes) -> int:
    """The length that a packed body states."""
    if len(packed) < len(MARK) + _TRAILER_BYTES:
        raise JournalDamaged("a packed body cannot be read: it was cut")
    (length,) = _LENGTH.unpack_from(packed, len(packed) - _TRAILER_BYTES)
    (checksum,) = _LENGTH.unpack_from(packed, len(packed) - _LENGTH.size)
    if zlib.crc32(memoryview(packed)[: -_LENGTH.size]) != checksum:
        raise JournalDamaged("a packed body cannot be read: it was changed")
    if length > PACKED_BODY_BYTES:
        raise JournalDamaged(f"a packed body cannot be read: {length} bytes are more than {PACKED_BODY_BYTES}")
    return int(length)
