"""A manifest names the files of one journal's export, so that one that is missing or damaged is told by its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from clawvm_es import files
from clawvm_es.errors import UnreadableInput

FOLDER: Final = "manifests"
"""Folder of the manifests; each is `<journal_id>.json`."""
AGAIN: Final = "export the journal again: clawvm export J --as parquet -o DIR"


class Part(msgspec.Struct, frozen=True):
    """A file of one table: its size and its SHA-256 in hex."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """The files of one journal's export, by table."""

    tables: dict[str, Part]


def part_of(path: Path) -> Part:
    """Size and digest of a regular file. Raises `OSError`, also for a pipe or a folder."""
    with files.open_regular(path) as file:
        return Part(bytes=os.fstat(file.fileno()).st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def encoded(tables: Mapping[str, Part]) -> bytes:
    """The bytes of a manifest."""
    return msgspec.json.encode(Manifest(tables=dict(tables)), order="sorted") + b"\n"


def check(place: Path, tables: Iterable[str], everywhere: bool) -> None:
    """Check the files of these tables that the lake's manifests name, and with `everywhere` that one names each file.

    Raises `UnreadableInput` for the first file that is missing or is not as it was exported.
    """
    wanted, found = sorted(tables), sorted((place / FOLDER).glob("*.json"))
    if everywhere:
        _check_named(place, wanted, {path.stem for path in found})
    for path in found:
        parts = _read(path).tables
        for name in wanted:
            if name in parts:
                _check_part(place / name / f"{path.stem}.parquet", parts[name])


def _check_named(place: Path, tables: Iterable[str], journals: set[str]) -> None:
    for name in tables:
        for path in sorted((place / name).glob("*.parquet")):
            if path.stem not in journals:
                raise UnreadableInput(f"{place / FOLDER / path.stem}.json: missing, beside {path}", hint=AGAIN)


def _read(path: Path) -> Manifest:
    try:
        return msgspec.json.decode(files.read_regular(path), type=Manifest)
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror}", hint=AGAIN) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreadableInput(f"{path}: no manifest: cut, or changed since it was made", hint=AGAIN) from error


def _check_part(path: Path, part: Part) -> None:
    try:
        found = part_of(path)
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror}", hint=AGAIN) from error
    if found != part:
        raise UnreadableInput(f"{path}: cut, or changed since it was exported", hint=AGAIN)
