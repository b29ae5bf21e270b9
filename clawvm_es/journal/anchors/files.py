"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable


def write_whole(path: str, chunks: Iterable[bytes]) -> int:
    """Write a file aside, sync it and rename it to `path`; returns its bytes. An error leaves `path` as it was.

    What is there and is no regular file (a terminal, a pipe) is written into.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as there:
            return sum(there.write(chunk) for chunk in chunks)
    folder = os.path.dirname(os.path.abspath(path))
    aside = os.path.join(folder, f".{os.path.basename(path)}.{secrets.token_hex(8)}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)  # less what the umask takes
    written = 0
    try:
        with open(fd, "wb") as file:
            for chunk in chunks:
                written += file.write(chunk)
            file.flush()
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
