"""The full-text index over bodies: an FTS5 table of their terms, whose rows are the ids of `blobs`.

LAW-INDEX-1: what the index says of a body is what the body says; a body that it does not know is newer than all
that it knows. So it is a cache that is never wrong, at most behind, and needs no position of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Final

from clawvm_es.limits import INDEX_PIECE_BYTES
from clawvm_es.projections.places import LIVE, PLACES
from clawvm_es.representations.terms import indexed

NAME: Final = "body_index"

_FORMAT: Final = "content='', tokenize='ascii'"
"""Texts are indexed as their terms (`representations.terms`), and none of them is kept."""
_REPORTED: Final = 20


def create(connection: sqlite3.Connection, place: str = LIVE) -> None:
    """Make the empty index."""
    connection.execute(f"CREATE VIRTUAL TABLE {place}{NAME} USING fts5(body, {_FORMAT})")


def exists(connection: sqlite3.Connection, place: str = LIVE) -> bool:
    """Whether there is an index in this place, and of this version."""
    return _FORMAT in _definition(connection, place)


def _definition(connection: sqlite3.Connection, place: str) -> str:
    found = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (place + NAME,)).fetchone()
    return found[0] or "" if found else ""


def _terms(body: bytes) -> str:
    """A body as it is indexed."""
    try:
        return indexed(body.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        return indexed(body.decode("utf-8", "replace"))


def last_indexed(connection: sqlite3.Connection, place: str = LIVE) -> int:
    """The id of the newest body that the index knows; 0 if it knows none."""
    return connection.execute(f"SELECT coalesce(max(id), 0) FROM {place}{NAME}_docsize").fetchone()[0]  # type: ignore[no-any-return]


def pieces(
    connection: sqlite3.Connection, after: int, most_bytes: int = INDEX_PIECE_BYTES
) -> Iterator[tuple[int, int]]:
    """The ids of bodies above `after`, cut into ranges (above one, up to another) of about `most_bytes`."""
    size, last = 0, after
    for blob_id, length in connection.execute(
        "SELECT blob_id, length(body) FROM blobs WHERE blob_id > ? ORDER BY blob_id", (after,)
    ):
        if size and size + length > most_bytes:
            yield after, last
            size, after = 0, last
        size, last = size + length, blob_id
    if last > after:
        yield after, last


def fill(connection: sqlite3.Connection, place: str = LIVE) -> bool:
    """Index the next piece of what is missing; whether that was all."""
    missing = pieces(connection, last_indexed(connection, place))
    piece = next(missing, None)
    if piece is None:
        return True
    done = next(missing, None) is None
    _put(connection, place, _bodies(connection, piece))
    return done


def _bodies(connection: sqlite3.Connection, piece: tuple[int, int]) -> list[tuple[int, bytes]]:
    return connection.execute("SELECT blob_id, body FROM blobs WHERE blob_id > ? AND blob_id <= ?", piece).fetchall()


def _put(connection: sqlite3.Connection, place: str, bodies: Iterable[tuple[int, bytes]]) -> None:
    rows = ((blob_id, _terms(body)) for blob_id, body in bodies)
    connection.executemany(f"INSERT INTO {place}{NAME} (rowid, body) VALUES (?, ?)", rows)


def forget_bodies(connection: sqlite3.Connection, bodies: Iterable[tuple[int, bytes]]) -> None:
    """Take bodies out of the index, by their ids and by what they were; those that it does not know stay unknown.

    An index of an older version forgets them, too. Their words may stay in the file until `optimize`.
    """
    gone = list(bodies)
    for place in PLACES:
        if not (definition := _definition(connection, place)):
            continue
        of_now = _FORMAT in definition
        cells = [(blob_id, _terms(body) if of_now else body, blob_id) for blob_id, body in gone]
        connection.executemany(
            f"INSERT INTO {place}{NAME} ({place}{NAME}, rowid, body) SELECT 'delete', ?, CAST(? AS TEXT)"
            f" WHERE EXISTS (SELECT 1 FROM {place}{NAME}_docsize WHERE id = ?)", cells,
        )  # fmt: skip


def optimize(connection: sqlite3.Connection) -> None:
    """Merge the index into one piece; no word of a body that it forgot is left in its tables then."""
    for place in PLACES:
        if _definition(connection, place):
            connection.execute(f"INSERT INTO {place}{NAME} ({place}{NAME}) VALUES ('optimize')")


def stray(connection: sqlite3.Connection) -> int:
    """How many bodies the index knows that are not there."""
    if not exists(connection):
        return 0
    query = f"SELECT count(*) FROM {NAME}_docsize WHERE id NOT IN (SELECT blob_id FROM blobs)"
    return connection.execute(query).fetchone()[0]  # type: ignore[no-any-return]


def search(connection: sqlite3.Connection, query: str, place: str = LIVE) -> list[int]:
    """The ids of the bodies that match a query in the syntax of FTS5."""
    name = place + NAME
    return [row[0] for row in connection.execute(f"SELECT rowid FROM {name} WHERE {name} MATCH ?", (query,))]


@contextmanager
def temporary(bodies: Iterable[tuple[int, bytes]]) -> Iterator[sqlite3.Connection]:
    """An index of some bodies, of the same name, that is gone after the block."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        create(connection)
        connection.execute("BEGIN")
        _put(connection, LIVE, bodies)
        connection.execute("COMMIT")
        yield connection


def missing(connection: sqlite3.Connection, after: int) -> Iterator[list[tuple[int, bytes]]]:
    """The bodies above `after`, with their ids, piece by piece."""
    for piece in pieces(connection, after):
        yield _bodies(connection, piece)


def problems(connection: sqlite3.Connection) -> list[str]:
    """Where the index does not say what the bodies say, compared with one made anew, piece by piece."""
    newest = last_indexed(connection)
    known = {row[0] for row in connection.execute(f"SELECT id FROM {NAME}_docsize")}
    bodies = {row[0] for row in connection.execute("SELECT blob_id FROM blobs WHERE blob_id <= ?", (newest,))}
    found = [f"{NAME}: knows body {blob_id}, which is not there" for blob_id in sorted(known - bodies)]
    found += [f"{NAME}: does not know body {blob_id}" for blob_id in sorted(bodies - known)]
    says = _sums(connection)
    for piece in missing(connection, 0):
        with temporary(row for row in piece if row[0] in known) as anew:
            should = _sums(anew)
        differing = (blob_id for blob_id, _ in piece if says.pop(blob_id, 0) != should.get(blob_id, 0))
        found += [f"{NAME}: has other words than body {blob_id}" for blob_id in differing if blob_id in known]
    found += [f"{NAME}: has words of body {blob_id}, which is not there" for blob_id in says if blob_id not in known]
    if len(found) > _REPORTED:
        found = [*found[:_REPORTED], f"{NAME}: {len(found) - _REPORTED} more bodies differ"]
    return found


def _sums(connection: sqlite3.Connection) -> dict[int, int]:
    """Body → one number for all its words and their places, whatever pieces the index consists of."""
    sums: dict[int, int] = {}
    reads_only = connection.execute("PRAGMA query_only").fetchone()[0]
    connection.execute("PRAGMA query_only=OFF")  # a table of the connection's own is no write to the file
    connection.execute(f"CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, {NAME}, instance)")
    try:
        for doc, word, offset in connection.execute("SELECT doc, CAST(term AS BLOB), offset FROM temp.words"):
            sums[doc] = sums.get(doc, 0) ^ hash((word, offset))
    finally:
        connection.execute("DROP TABLE temp.words")
        connection.execute(f"PRAGMA query_only={reads_only}")
    return sums
