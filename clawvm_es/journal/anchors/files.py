"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable


def write_whole(path: str, chunks: Iterable[bytes]) -> int:
    """Write a file aside, sync it and rename it to `path`; returns its bytes. An error leaves `path` as it was."""
    folder = os.path.dirname(os.path.abspath(path))
    fd, aside = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=folder)
    written = 0
    try:
        with open(fd, "wb") as file:
            for chunk in chunks:
                written += file.write(chunk)
            file.flush()
            os.fchmod(fd, 0o644)
            os.fsync(fd)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise
    folder_fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)
    return written
