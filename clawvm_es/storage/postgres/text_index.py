"""The full-text index over bodies: the terms of each, in a tsvector, by which candidates are found.

A candidate's own text then says whether it holds the phrases, so the answer is exact. Bodies with more terms than a
tsvector takes, and those that are not indexed yet, are always candidates.

LAW-INDEX-1: the index matches the text of every body that it knows; it is never wrong, at most behind.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from clawvm_es.journal.codec import named_commitments
from clawvm_es.journal.ports import Phrase, Recorded, few
from clawvm_es.limits import INDEX_PIECE_BYTES
from clawvm_es.representations.terms import terms
from clawvm_es.storage.postgres import queries
from clawvm_es.storage.postgres.server import BEGIN_READING, Line

if TYPE_CHECKING:
    from clawvm_es.storage.postgres.log import PostgresLog

_TERM_BYTES: Final = 2_000
"""Longest term that is indexed; a tsvector takes no longer ones than 2,046 bytes."""
_TERMS_BYTES: Final = 600_000
"""Terms that are indexed of a body at most; a tsvector takes a megabyte."""
_REPORTED: Final = 20
_AT_ONCE: Final = 64

_LIVE: Final = "SELECT coalesce(max(generation), 0) FROM {s}.model_positions WHERE edition = 'live'"
_BEHIND: Final = """FROM {s}.blobs WHERE NOT EXISTS (
    SELECT 1 FROM {s}.body_words WHERE generation = %s AND body_words.blob_id = blobs.blob_id)"""
_MISSING: Final = f"SELECT blob_id, body {_BEHIND} AND blob_id > %s ORDER BY blob_id LIMIT {_AT_ONCE}"
_KNOWN: Final = f"""SELECT blob_id, body FROM {{s}}.body_words JOIN {{s}}.blobs USING (blob_id)
    WHERE generation = %s AND (words IS NULL OR words @@ %s::tsquery) AND blob_id > %s
    ORDER BY blob_id LIMIT {_AT_ONCE}"""
_EVERY: Final = f"""SELECT blob_id, body FROM {{s}}.body_words JOIN {{s}}.blobs USING (blob_id)
    WHERE generation = %s AND blob_id > %s ORDER BY blob_id LIMIT {_AT_ONCE}"""
_PUT: Final = """INSERT INTO {s}.body_words VALUES (%s, %s, array_to_tsvector(%s::text[]))
    ON CONFLICT (generation, blob_id) DO UPDATE SET words = excluded.words"""
_NAMES: Final = "SELECT commitment FROM {s}.commitments WHERE blob_id = ANY (%s)"
_STRAY: Final = """SELECT count(*) FROM {s}.body_words WHERE generation = %s
    AND NOT EXISTS (SELECT 1 FROM {s}.blobs WHERE blobs.blob_id = body_words.blob_id)"""
_ALL: Final = f"""SELECT blob_id, body, tsvector_to_array(words) FROM {{s}}.body_words
    LEFT JOIN {{s}}.blobs USING (blob_id) WHERE generation = %s AND blob_id > %s ORDER BY blob_id LIMIT {_AT_ONCE}"""


@attrs.frozen
class PostgresTexts:
    """The `TextIndex` of a journal; each method reads one state of it."""

    log: PostgresLog

    def holding(self, phrases: Iterable[Phrase]) -> frozenset[str]:
        """Return the commitments to bodies that hold all `phrases`; those that are not indexed are scanned."""
        wanted = [f" {' '.join(phrase)} " for phrase in phrases]
        with self.log.server.line() as line:
            line.run(BEGIN_READING)
            generation = _generation(line)
            query = _query(wanted)
            found = list(_holding(line, _MISSING, (generation,), wanted))
            if query:
                found += _holding(line, _KNOWN, (generation, query), wanted)
            else:
                found += _holding(line, _EVERY, (generation,), wanted)
            return frozenset(name for (name,) in line.run(_NAMES, (found,)))

    def naming(
        self, stream: str, held: Container[str], after: int = 0, upto: int | None = None
    ) -> Iterator[Recorded]:
        """The inputs of a stream that name one of some commitments; the server itself looks for a few of them."""
        names = few(held)
        if names is None:
            inputs = (row for row in self.log.read(stream, after, upto) if row.kind == "input")
            return (row for row in inputs if any(name in held for name in named_commitments(row.raw)))
        last = queries.LAST if upto is None else upto
        return self.log.chunks(queries.naming_chunk, (stream, names), after, last, 2) if names else iter(())

    def behind(self) -> int:
        """Count the bodies that are not indexed yet."""
        return self.log.ask(_count, f"SELECT count(*) {_BEHIND}")

    def stray(self) -> int:
        """Count the bodies that the index knows and the log does not keep."""
        return self.log.ask(_count, _STRAY)

    def problems(self) -> list[str]:
        """Name the bodies that the index is wrong about."""
        with self.log.server.line() as line:
            line.run(BEGIN_READING)
            found = list(_differing(line, _generation(line)))
        if len(found) > _REPORTED:
            found = [*found[:_REPORTED], f"body_words: {len(found) - _REPORTED} more bodies differ"]
        return found


def fill(line: Line, generation: int) -> bool:
    """Index the next piece of the bodies that a generation lacks; return whether that was all."""
    size = after = 0
    while rows := line.run(_MISSING, (generation, after)).fetchall():
        for blob_id, body in rows:
            if size and size + len(body) > INDEX_PIECE_BYTES:
                return False
            size += len(body)
            after = blob_id
            line.run(_PUT, (generation, blob_id, _indexed(body)))
    return True


def _text(body: bytes) -> str:
    """The terms of a body, with a blank around each."""
    try:
        text = body.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
    return f" {' '.join(terms(text))} "


def _indexed(body: bytes) -> list[str] | None:
    """The terms of a body that are indexed; None where they are too many."""
    found = {term for term in _text(body).split() if len(term.encode()) <= _TERM_BYTES}
    return sorted(found) if sum(len(term.encode()) + 8 for term in found) <= _TERMS_BYTES else None


def _query(wanted: Iterable[str]) -> str:
    """All indexed terms of some phrases, as a tsquery; empty where none is: it would find nothing."""
    words = [word for phrase in wanted for word in phrase.split() if len(word.encode()) <= _TERM_BYTES]
    return " & ".join("'" + word.replace("\\", "\\\\").replace("'", "''") + "'" for word in words)


def _holding(line: Line, query: str, values: tuple[object, ...], wanted: Sequence[str]) -> Iterable[int]:
    """The bodies among candidates that hold all phrases; the id of the last one seen goes into the query."""
    after = 0
    while rows := line.run(query, (*values, after)).fetchall():
        after = rows[-1][0]
        for blob_id, body in rows:
            text = _text(body)
            if all(phrase in text for phrase in wanted):
                yield blob_id


def _generation(line: Line) -> int:
    return line.value(_LIVE)  # type: ignore[no-any-return]


def _count(line: Line, query: str) -> int:
    return line.value(query, (_generation(line),))  # type: ignore[no-any-return]


def _differing(line: Line, generation: int) -> Iterable[str]:
    after = 0
    while rows := line.run(_ALL, (generation, after)).fetchall():
        after = rows[-1][0]
        for blob_id, body, words in rows:
            if body is None:
                yield f"body_words: knows body {blob_id}, which is not there"
            elif (words and sorted(words)) != _indexed(body):
                yield f"body_words: has other words than body {blob_id}"
