"""Bytes of a growing file: whole lines from a place on, and the digest of the bytes before it."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

import attrs

from clawvm_es.importers.packed import GZIP, ZSTD, unpacked
from clawvm_es.importers.records import BOM, utf8

if TYPE_CHECKING:
    from hashlib import _Hash

_PIECE: Final = 1 << 20
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff")


@attrs.frozen
class Stamp:
    """The identity of a file's present content, from one `stat`."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, there: os.stat_result) -> Stamp:
        """The stamp of a file by its `stat`."""
        return cls(there.st_size, there.st_mtime_ns, there.st_ino)


@attrs.frozen
class Line:
    """A line without its end, its number from 1, and the offset of the next line; `whole` if it has an end."""

    number: int
    raw: bytes
    end: int
    whole: bool


def open_text(path: str) -> BinaryIO:
    """A file's bytes in UTF-8; packed files and those in wide encodings are held in memory.

    Raises `OSError`, and `UnreadableInput` if a packed file is damaged.
    """
    file = open(path, "rb")  # noqa: SIM115  the caller closes it
    head = file.read(4)
    file.seek(0)
    if not head.startswith((GZIP, ZSTD, *_WIDE)):
        return file
    with file:
        return io.BytesIO(utf8(unpacked(file.read(), path)))


def digest_upto(file: BinaryIO, end: int) -> _Hash:
    """The SHA-256 of the bytes before `end`, or of all if there are fewer; the file is left at that place."""
    file.seek(0)
    digest, left = hashlib.sha256(), end
    while left and (piece := file.read(min(left, _PIECE))):
        digest.update(piece)
        left -= len(piece)
    return digest


def lines(file: BinaryIO, number: int, end: int, digest: _Hash) -> Iterator[Line]:
    """The lines after line `number`, which ends at `end`, from the file's place on; whole lines enter the digest."""
    for given in file:
        number, end = number + 1, end + len(given)
        whole = given.endswith(b"\n")
        if whole:
            digest.update(given)
        raw = given.removesuffix(b"\n")
        yield Line(number, raw.removeprefix(BOM) if number == 1 else raw, end, whole)
