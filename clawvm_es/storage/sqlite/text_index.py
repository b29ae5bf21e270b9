"""The full-text index over bodies: an FTS5 table of their terms, whose rows are the ids of `blobs`.

LAW-INDEX-1: the index matches the text of every body that it knows, and a body that it does not know is newer than
all that it knows. So it is a cache that is never wrong, at most behind, and needs no position of its own.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Container, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs

from clawvm_es.journal.codec import named_commitments
from clawvm_es.journal.ports import Erased, Phrase, Recorded, few
from clawvm_es.limits import INDEX_PIECE_BYTES
from clawvm_es.representations.terms import indexed
from clawvm_es.storage.sqlite import opening, queries
from clawvm_es.storage.sqlite.asking import value, value_or_none
from clawvm_es.storage.sqlite.editions import LIVE, PREFIXES
from clawvm_es.storage.sqlite.packing import readable

if TYPE_CHECKING:
    from clawvm_es.storage.sqlite.log import SQLiteLog

NAME: Final = "body_index"

_FORMAT: Final = "content='', tokenize='ascii'"
"""Texts are indexed as their terms (`representations.terms`), and none of them is kept."""
_REPORTED: Final = 20
_NAMES_OF: Final = "SELECT commitment FROM json_each(?1) AS found CROSS JOIN commitments ON blob_id = found.value"
_NAMES_AT_ONCE: Final = 1_000
"""Bodies up to which it pays to read all their names."""
_PIECE: Final = 128
"""Events that are looked through first; each further piece is twice as long, up to a chunk."""


@attrs.frozen
class SQLiteTexts:
    """The `TextIndex` of a journal file; each method reads one state of the file."""

    log: SQLiteLog

    def holding(self, phrases: Iterable[Phrase]) -> Container[str]:
        """Return the commitments to bodies that hold all `phrases`; index what is missing for the call only."""
        query = " AND ".join(map(quoted, phrases))
        with self.log.reading() as db:
            if exists(db) and not _behind(db):
                return self._held(db, search(db, query))
        with opening.reading(self.log.path, self.log.read_only, self.log.connect) as connection:
            known = exists(connection)
            found = search(connection, query) if known else []
            for piece in missing(connection, last_indexed(connection) if known else 0):
                with temporary(piece) as fresh:
                    found += search(fresh, query)
            return self._held(connection, found)

    def _held(self, connection: sqlite3.Connection, found: list[int]) -> Container[str]:
        return _names(connection, found) if len(found) <= _NAMES_AT_ONCE else Names(self.log, frozenset(found))

    def naming(
        self, stream: str, held: Container[str], after: int = 0, upto: int | None = None
    ) -> Iterator[Recorded]:
        """The inputs of a stream that name one of some commitments; the file itself looks for a few of them."""
        names = few(held)
        if names is None:
            return (held if isinstance(held, Names) else Names(self.log, all=held)).naming(stream, after, upto)
        last = queries.LAST if upto is None else upto
        return self.log.chunks(queries.naming_chunk, (stream, names), after, last, 2) if names else iter(())

    def behind(self) -> int:
        """Count the bodies that are not indexed yet."""
        with self.log.reading() as db:
            return _behind(db)

    def stray(self) -> int:
        """Count the bodies that the index knows and the log does not keep."""
        with opening.reading(self.log.path, self.log.read_only, self.log.connect) as connection:
            return stray(connection)

    def problems(self) -> list[str]:
        """Name the bodies that the index is wrong about."""
        with opening.reading(self.log.path, self.log.read_only, self.log.connect) as connection:
            return problems(connection) if exists(connection) else []


def _behind(connection: sqlite3.Connection) -> int:
    newest = last_indexed(connection) if exists(connection) else 0
    return value(connection, "SELECT count(*) FROM blobs WHERE blob_id > ?", (newest,))  # type: ignore[no-any-return]


@attrs.define
class Names(Container[str]):
    """The commitments to many bodies: looked up while fewer are asked about than there are, then all read at once."""

    log: SQLiteLog
    bodies: frozenset[int] = frozenset()
    known: dict[str, bool] = attrs.field(factory=dict)
    all: Container[str] | None = None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._among([name])(name)

    def naming(self, stream: str, after: int = 0, upto: int | None = None) -> Iterator[Recorded]:
        """The inputs of a stream that name one of them; no other event is decoded."""
        head = self.log.head(stream)
        end = 0 if head is None else head.version
        last, piece = end if upto is None else min(upto, end), _PIECE
        while after < last and (rows := self.log.ask(queries.stream_chunk, stream, after, last, piece)):
            after, piece = rows[-1][2], min(2 * piece, queries.CHUNK)
            named = [(row, _named(row)) for row in rows if row[4] == "input"]
            held = self._among([name for _, names in named for name in names or ()])
            yield from queries.recordeds(row for row, names in named if names is None or any(map(held, names)))

    def _among(self, names: Collection[str]) -> Callable[[str], bool]:
        """Look several commitments up at once; returns what tells whether one of them is held."""
        new = [name for name in dict.fromkeys(names) if name not in self.known]
        if new and self.all is None and len(self.known) + len(new) > len(self.bodies):
            self.all = self.log.ask(_names, self.bodies)
        if self.all is not None:
            return self.all.__contains__
        if new:
            found = dict(self.log.ask(queries.blobs_of, new))
            self.known.update((name, found.get(name) in self.bodies) for name in new)
        return self.known.__getitem__


def _names(connection: sqlite3.Connection, bodies: Iterable[int]) -> frozenset[str]:
    return frozenset(name for (name,) in connection.execute(_NAMES_OF, (json.dumps([*bodies]),)))


def _named(row: tuple[Any, ...]) -> list[str] | None:
    """The commitments that a row of an input names; None where it holds no text."""
    return named_commitments(row[11].encode()) if isinstance(row[11], str) else None


class Ranked:
    """An FTS5 table in memory: the `RankedTexts` of this storage."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute("CREATE VIRTUAL TABLE pages USING fts5(text, tokenize='ascii')")

    def put(self, number: int, text: str) -> None:
        """Index the text of `number`, in place of what it held before."""
        self._db.execute("DELETE FROM pages WHERE rowid = ?", (number,))
        self._db.execute("INSERT INTO pages(rowid, text) VALUES (?, ?)", (number, indexed(text)))

    def best(self, phrases: Iterable[Phrase], top_k: int) -> tuple[int, ...]:
        """Return the numbers of the `top_k` texts that match any of `phrases` best, best first."""
        match = " OR ".join(map(quoted, phrases))
        if not match or top_k < 1:
            return ()
        rows = self._db.execute(
            "SELECT rowid FROM pages WHERE pages MATCH ? ORDER BY bm25(pages), rowid LIMIT ?", (match, top_k)
        )
        return tuple(number for (number,) in rows)

    def close(self) -> None:
        """Release the index."""
        self._db.close()


def quoted(phrase: Phrase) -> str:
    """Write a phrase as FTS5 reads it."""
    return '"' + " ".join(phrase) + '"'


def create(connection: sqlite3.Connection, prefix: str = LIVE) -> None:
    """Make the empty index."""
    connection.execute(f"CREATE VIRTUAL TABLE {prefix}{NAME} USING fts5(body, {_FORMAT})")


def exists(connection: sqlite3.Connection, prefix: str = LIVE) -> bool:
    """Tell whether there is an index of this edition, and of this version."""
    return _FORMAT in _definition(connection, prefix)


def _definition(connection: sqlite3.Connection, prefix: str) -> str:
    return value_or_none(connection, "SELECT sql FROM sqlite_master WHERE name = ?", (prefix + NAME,)) or ""


def _terms(body: bytes) -> str:
    """A body as it is indexed."""
    try:
        return indexed(body.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        return indexed(body.decode("utf-8", "replace"))


def last_indexed(connection: sqlite3.Connection, prefix: str = LIVE) -> int:
    """The id of the newest body that the index knows; 0 if it knows none."""
    return value(connection, f"SELECT coalesce(max(id), 0) FROM {prefix}{NAME}_docsize")  # type: ignore[no-any-return]


def missing(
    connection: sqlite3.Connection, after: int, most_bytes: int = INDEX_PIECE_BYTES
) -> Generator[list[tuple[int, bytes]], None, None]:
    """The bodies above `after`, with their ids, in pieces of about `most_bytes`; a damaged one counts as empty."""
    size, piece = 0, list[tuple[int, bytes]]()
    query = "SELECT blob_id, digest, body FROM blobs WHERE blob_id > ? ORDER BY blob_id"
    for blob_id, digest, stored in connection.execute(query, (after,)):
        body = readable(stored, digest)
        if size and size + len(body) > most_bytes:
            yield piece
            size, piece = 0, []
        size += len(body)
        piece.append((blob_id, body))
    if piece:
        yield piece


def fill(connection: sqlite3.Connection, prefix: str = LIVE) -> bool:
    """Index the next part of the missing texts; returns True if none is left."""
    with closing(missing(connection, last_indexed(connection, prefix))) as rest:
        piece = next(rest, [])
    _put(connection, prefix, piece)
    newest = value(connection, "SELECT max(blob_id) FROM blobs")
    return not piece or piece[-1][0] == newest


def _put(connection: sqlite3.Connection, prefix: str, bodies: Iterable[tuple[int, bytes]]) -> None:
    rows = ((blob_id, _terms(body)) for blob_id, body in bodies)
    connection.executemany(f"INSERT INTO {prefix}{NAME} (rowid, body) VALUES (?, ?)", rows)


def forget(connection: sqlite3.Connection, gone: Sequence[Erased]) -> None:
    """Take erased bodies out of the index and merge it, so that none of their words is left in its tables."""
    forget_bodies(connection, [(erased.blob_id, erased.body) for erased in gone])
    optimize(connection)


def forget_bodies(connection: sqlite3.Connection, bodies: Iterable[tuple[int, bytes]]) -> None:
    """Take bodies out of the index, by their ids and by what they were; those that it does not know stay unknown.

    An index of an older version forgets them, too. Their words may stay in the file until `optimize`.
    """
    gone = list(bodies)
    for prefix in PREFIXES.values():
        if not (definition := _definition(connection, prefix)):
            continue
        of_now = _FORMAT in definition
        cells = [(blob_id, _terms(body) if of_now else body, blob_id) for blob_id, body in gone]
        connection.executemany(
            f"INSERT INTO {prefix}{NAME} ({prefix}{NAME}, rowid, body) SELECT 'delete', ?, CAST(? AS TEXT)"
            f" WHERE EXISTS (SELECT 1 FROM {prefix}{NAME}_docsize WHERE id = ?)", cells,
        )  # fmt: skip


def optimize(connection: sqlite3.Connection) -> None:
    """Merge the index into one piece; no word of a body that it forgot is left in its tables then."""
    for prefix in PREFIXES.values():
        if _definition(connection, prefix):
            connection.execute(f"INSERT INTO {prefix}{NAME} ({prefix}{NAME}) VALUES ('optimize')")


def stray(connection: sqlite3.Connection) -> int:
    """Return how many bodies the index knows that are not there."""
    if not exists(connection):
        return 0
    query = f"SELECT count(*) FROM {NAME}_docsize WHERE id NOT IN (SELECT blob_id FROM blobs)"
    return value(connection, query)  # type: ignore[no-any-return]


def search(connection: sqlite3.Connection, query: str, prefix: str = LIVE) -> list[int]:
    """The ids of the bodies that match a query in the syntax of FTS5."""
    name = prefix + NAME
    found = value(connection, f"SELECT json_group_array(rowid) FROM {name} WHERE {name} MATCH ?", (query,))
    return json.loads(found)  # type: ignore[no-any-return]  # one cell takes a third of the time of many rows


@contextmanager
def temporary(bodies: Iterable[tuple[int, bytes]]) -> Iterator[sqlite3.Connection]:
    """An index of some bodies, of the same name, that is gone after the block."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        create(connection)
        connection.execute("BEGIN")
        _put(connection, LIVE, bodies)
        connection.execute("COMMIT")
        yield connection


def problems(connection: sqlite3.Connection) -> list[str]:
    """Return the differences of the index from one made anew, piece by piece."""
    newest = last_indexed(connection)
    known = {found for (found,) in connection.execute(f"SELECT id FROM {NAME}_docsize")}
    query = "SELECT blob_id FROM blobs WHERE blob_id <= ?"
    bodies = {found for (found,) in connection.execute(query, (newest,))}
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
    reads_only = value(connection, "PRAGMA query_only")
    connection.execute("PRAGMA query_only=OFF")  # a table of the connection's own is no write to the file
    connection.execute(f"CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, {NAME}, instance)")
    try:
        for doc, word, offset in connection.execute("SELECT doc, CAST(term AS BLOB), offset FROM temp.words"):
            sums[doc] = sums.get(doc, 0) ^ hash((word, offset))
    finally:
        connection.execute("DROP TABLE temp.words")
        connection.execute(f"PRAGMA query_only={reads_only}")
    return sums
