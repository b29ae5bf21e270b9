"""The index of an archive: the names of its bundles, so that one that left the folder is told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

import msgspec

from clawvm_es import files
from clawvm_es.errors import UnreadableInput

NAME: Final = "archive.json"


class Index(msgspec.Struct, frozen=True):
    """The names of the bundles that must be in the folder."""

    bundles: list[str]


def write(folder: str, paths: Iterable[str]) -> None:
    """List these bundles, unless they are what is listed. Raises `OSError`."""
    raw = msgspec.json.encode(Index(sorted(map(os.path.basename, paths)))) + b"\n"
    path = os.path.join(folder, NAME)
    if not os.path.isfile(path) or files.read_regular(path) != raw:
        files.write_whole(path, [raw])


def missing(folder: str) -> tuple[str, ...]:
    """The paths of bundles that are listed and gone; without an index, none. Raises `UnreadableInput`."""
    path = os.path.join(folder, NAME)
    if not os.path.lexists(path):
        return ()
    try:
        listed = msgspec.json.decode(files.read_regular(path), type=Index).bundles
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"{path}: no index: cut, or changed since it was made", hint="move it away") from error
    return tuple(each for name in listed if not os.path.exists(each := os.path.join(folder, name)))
