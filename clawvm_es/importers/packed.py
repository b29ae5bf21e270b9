"""Packed recordings: gzip and zstd, told by their first bytes, unpacked within bounds.

LAW-UNPACK-1: unpacking holds at most `limits.UNPACKED_BYTES_MAX` bytes, and at most `limits.UNPACKED_RATIO_MAX` times
the packed ones; a file beyond either is refused before it is held.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from typing import Any, Final

from clawvm_es import limits
from clawvm_es.errors import UnreadableInput

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
_PIECE: Final = 1 << 20
_WINDOW_LOG_MAX: Final = 27
"""Zstd files may ask for up to so much memory, as a power of two: what its command line takes without an option."""


def unpacked(data: bytes, name: str) -> bytes:
    """The bytes of a file, unpacked where gzip or zstd packed them; `name` stands in errors.

    Raises `UnreadableInput` for a file that is damaged, that unpacks beyond the bounds, or that needs a package.
    """
    if data.startswith(GZIP):
        return bounded(_Members(data, lambda: zlib.decompressobj(31)).read, len(data), name, (zlib.error,), "gzip")
    if data.startswith(ZSTD):
        zstd = _zstd(name)
        options = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX}
        frames = _Members(data, lambda: zstd.ZstdDecompressor(options=options))
        return bounded(frames.read, len(data), name, (zstd.ZstdError,), "zstd")
    return data


def bounded(
    read: Callable[[int], bytes], packed: int, name: str, errors: tuple[type[Exception], ...], kind: str
) -> bytes:
    """All that `read` gives, piece by piece, of `packed` bytes.

    Raises `UnreadableInput` beyond the bounds, and where `read` raises one of `errors`: the file of this `kind` is
    damaged.
    """
    errors = (EOFError, *errors)
    most = min(limits.UNPACKED_BYTES_MAX, limits.UNPACKED_RATIO_MAX * packed)
    pieces: list[bytes] = []
    held = 0
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
    """Reads the parts of a packed file, one after another, each by a decompressor of its own."""

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
