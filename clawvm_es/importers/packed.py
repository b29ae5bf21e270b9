"""Packed recordings: gzip and zstd, detected by their first bytes, unpacked within bounds.

LAW-UNPACK-1: unpacking produces at most `limits.UNPACKED_BYTES_MAX` bytes, and at most `limits.UNPACKED_RATIO_MAX`
times the packed size; a file beyond either bound is refused before it is in memory.
"""

from __future__ import annotations

import importlib
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Final

from clawvm_es import limits
from clawvm_es.errors import UnreadableInput

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_IN_ZIP: Final = 93
_ZIP_HEAD_BYTES: Final = 30
_PIECE: Final = 1 << 20
_WINDOW_LOG_MAX: Final = 27
"""Zstd files may ask for up to so much memory, as a power of two: what its command line takes without an option."""


def unpacked(data: bytes, name: str) -> bytes:
    """The bytes of a file, unpacked if gzip or zstd packed them; errors show `name`.

    Raises `UnreadableInput` if the file is damaged, unpacks beyond the bounds, or needs a package that is not
    installed.
    """
    if data.startswith(GZIP):
        return bounded(_Members(data, lambda: zlib.decompressobj(31)).read, len(data), name, (zlib.error,), "gzip")
    if data.startswith(ZSTD):
        read, error = _frames(data, name)
        return bounded(read, len(data), name, (error,), "zstd")
    return data


def archived(data: bytes, name: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The entries of a zip archive whose names are `wanted`, unpacked; the bounds hold for all together.

    Raises `UnreadableInput` as `unpacked` does.
    """
    held = 0
    errors = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError, OSError)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except errors as error:
        raise UnreadableInput(f"{name}: is a damaged zip file: {error}", hint="is it cut off?") from error
    for entry in archive.infolist():
        if wanted(entry.filename):
            read = (
                _zstd_entry(data, entry, name) if entry.compress_type == _ZSTD_IN_ZIP else _Entry(archive, entry).read
            )
            content = bounded(read, len(data), name, errors, "zip", held)
            held += len(content)
            yield entry.filename, content


class _Entry:
    """Reads an entry of an archive; damage shows when it is read."""

    def __init__(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
        self.archive, self.entry = archive, entry
        self.stream: IO[bytes] | None = None

    def read(self, size: int) -> bytes:
        """At most `size` more bytes; none at the end."""
        self.stream = self.stream or self.archive.open(self.entry)
        return self.stream.read(size)


def _zstd_entry(data: bytes, entry: zipfile.ZipInfo, name: str) -> Callable[[int], bytes]:
    """A reader of an entry packed with zstd, which `zipfile` cannot read before Python 3.14."""
    head = entry.header_offset + _ZIP_HEAD_BYTES
    sizes = struct.unpack_from("<HH", data, head - 4) if head <= len(data) else (0, 0)
    begins = head + sum(sizes)
    return _frames(data[begins : begins + entry.compress_size], name)[0]


def _frames(data: bytes, name: str) -> tuple[Callable[[int], bytes], type[Exception]]:
    """A reader of zstd frames, and the error that it raises."""
    zstd = _zstd(name)
    options = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX}
    return _Members(data, lambda: zstd.ZstdDecompressor(options=options)).read, zstd.ZstdError


def bounded(
    read: Callable[[int], bytes],
    packed: int,
    name: str,
    errors: tuple[type[Exception], ...],
    kind: str,
    held: int = 0,
) -> bytes:
    """Everything that `read` returns, piece by piece, from `packed` bytes; `held` bytes were unpacked before.

    Raises `UnreadableInput` beyond the bounds, and if `read` raises one of `errors`: the file of this `kind` is
    damaged.
    """
    errors = (EOFError, *errors)
    most = min(limits.UNPACKED_BYTES_MAX, limits.UNPACKED_RATIO_MAX * packed)
    pieces: list[bytes] = []
    try:
        while piece := read(min(_PIECE, most - held + 1)):
            pieces.append(piece)
            held += len(piece)
            if held > most:
                break
    except errors as error:
        raise UnreadableInput(f"{name}: is a damaged {kind} file: {error}", hint="is it cut off?") from error
    if held <= most:
        return b"".join(pieces)
    if most == limits.UNPACKED_BYTES_MAX:
        what = f"unpacks to more than {limits.UNPACKED_BYTES_MAX >> 20} MiB"
    else:
        what = f"unpacks to more than {limits.UNPACKED_RATIO_MAX} times its size"
    raise UnreadableInput(f"{name}: {what}", hint="a recording does not; unpack the file yourself if it is one")


class _Members:
    """Reads the parts of a packed file one after another, each with its own decompressor."""

    def __init__(self, data: bytes, make: Callable[[], Any]) -> None:
        self.make = make
        self.rest = data
        self.member = make()

    def read(self, size: int) -> bytes:
        """At most `size` more bytes; none at the end."""
        while True:
            if not self.member.eof:
                piece: bytes = self.member.decompress(self.rest, size)
                self.rest = getattr(self.member, "unconsumed_tail", b"")
                if piece:
                    return piece
            if not self.member.eof:
                raise EOFError("it ends early")
            self.rest = self.member.unused_data.lstrip(b"\0")
            if not self.rest:
                return b""
            self.member = self.make()


def _zstd(name: str) -> Any:
    """The module that reads zstd: the standard library's, else a package's. Raises `UnreadableInput` without one."""
    for module in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    raise UnreadableInput(f"{name}: is packed by zstd, which needs a package", hint="pip install 'clawvm-es[zstd]'")
