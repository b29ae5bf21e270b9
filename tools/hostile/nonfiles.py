"""What stands where a journal is expected and is none: other programs' files, and things that are no files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

from hostile.specimens import Specimens, Write


def _content(raw: bytes) -> Write:
    def write(good: Specimens, place: Path, random: Random) -> None:
        place.write_bytes(raw)

    return write


def _noise(good: Specimens, place: Path, random: Random) -> None:
    place.write_bytes(random.randbytes(20_000))


def _other_database(*statements: str) -> Write:
    def write(good: Specimens, place: Path, random: Random) -> None:
        with closing(sqlite3.connect(place)) as db:
            for statement in statements:
                db.execute(statement)
            db.commit()

    return write


def _with_wal(good: Specimens, place: Path, random: Random) -> None:
    """A database of another program that was not closed: its rows stand in the WAL only."""
    made = place.with_suffix(".made")
    with closing(sqlite3.connect(made)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE theirs (x)")
        db.execute("INSERT INTO theirs VALUES (1)")
        db.commit()
        for ending in ("", "-wal"):
            Path(str(place) + ending).write_bytes(Path(str(made) + ending).read_bytes())
    made.unlink()


def _linked(target: str) -> Write:
    def write(good: Specimens, place: Path, random: Random) -> None:
        place.symlink_to(target.format(name=place.name))

    return write


def _cases() -> Iterator[tuple[str, str, str, Write]]:
    yield "stranger noise", "stranger", ".db", _noise
    yield "stranger text", "stranger", ".db", _content(b"Dear journal,\n" * 100)
    yield "stranger zeros", "stranger", ".db", _content(bytes(8_192))
    yield "stranger magic only", "stranger", ".db", _content(b"SQLite format 3\0")
    yield "stranger database", "stranger", ".db", _other_database("CREATE TABLE events (x)")
    yield (
        "stranger database with our names",
        "stranger",
        ".db",
        _other_database(
            "CREATE TABLE journal (id)",
            "CREATE TABLE events (seq)",
            "CREATE TABLE blobs (x)",
            "PRAGMA user_version=1",
        ),
    )
    yield (
        "marked database",
        "damaged",
        ".db",
        _other_database("CREATE TABLE theirs (x)", "PRAGMA application_id=1129076301", "PRAGMA user_version=1"),
    )
    yield "stranger wal", "stranger", ".db", _with_wal
    yield "folder", "stranger", ".db", lambda good, place, random: place.mkdir()
    yield "pipe", "stranger", ".db", lambda good, place, random: os.mkfifo(place)
    yield "link to itself", "stranger", ".db", _linked("{name}")
    yield "link to zeros", "stranger", ".db", _linked("/dev/zero")
    yield "link to nothing", "absent", ".db", _linked("nowhere")
    yield "empty", "absent", ".db", _content(b"")


CASES = tuple(_cases())
