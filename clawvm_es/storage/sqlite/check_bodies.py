"""Checks of bodies, salts and commitments, and of the names that events give them."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from clawvm_es.errors import JournalDamaged
from clawvm_es.journal.check_events import RawRow, place, text
from clawvm_es.journal.codec import named_commitments
from clawvm_es.journal.problems import Problem
from clawvm_es.journal.vault import SALT_BYTES, binding, commitment_to
from clawvm_es.model.events import KINDS, ContentRedacted
from clawvm_es.storage.sqlite.packing import unpack
from clawvm_es.storage.sqlite.schema import name_is, stored_bindings

_INPUTS: Final = frozenset(name.encode() for name, kind in KINDS.items() if kind == "input")
_REDACTED: Final = ContentRedacted.TYPE.encode()
_ROWS: Final = """SELECT c.commitment_id, c.commitment, c.session_id, c.salt, c.blob_id, c.binding, b.digest, b.body
    FROM commitments c LEFT JOIN blobs b ON b.blob_id = c.blob_id ORDER BY c.commitment_id"""
_IDS: Final = f"""SELECT commitment, commitment_id
    FROM json_each(?1) AS wanted CROSS JOIN commitments ON {name_is("wanted.value")}"""
_AT_ONCE: Final = 500
"""Commitments that are looked for by one statement."""
_LONELY: Final = """SELECT blob_id, digest, body FROM blobs
    WHERE blob_id NOT IN (SELECT blob_id FROM commitments WHERE blob_id IS NOT NULL)"""


class BodyChecker:
    """Collects what inputs name while rows go by, then compares it with what is stored.

    Memory: a few bytes a commitment, whatever its id, and those that were not found.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._named: dict[int, int] = {}  # ids by 64 → a bit for each that is named
        self._waiting: dict[str, RawRow] = {}  # commitment → the row that names it first, to be looked for
        self._missing: dict[str, str] = {}  # commitment → where it is named first
        self._redacted: set[str] = set()
        self._damaged: set[int] = set()  # bodies that cannot be unpacked

    def note(self, row: RawRow) -> None:
        """Remember the commitments that a row names."""
        if row[5] == _REDACTED:
            self._redacted.update(part for part in text(row[11]).split('"') if len(part) == 64)
        elif row[5] in _INPUTS:
            for commitment in named_commitments(row[11]):
                self._waiting.setdefault(commitment, row)
            if len(self._waiting) >= _AT_ONCE:
                self._look_for()

    def _look_for(self) -> None:
        """Look for the commitments that were named since the last time."""
        waiting, self._waiting = self._waiting, {}
        for name, commitment_id in self._db.execute(_IDS, (msgspec.json.encode(list(waiting)).decode(),)):
            waiting.pop(text(name), None)
            group, place_in = divmod(commitment_id, 64)
            self._named[group] = self._named.get(group, 0) | 1 << place_in
        for commitment, row in waiting.items():
            self._missing.setdefault(commitment, place(row))

    def check(self) -> Iterator[Problem]:
        """All problems of bodies and commitments, after the last row."""
        self._look_for()
        for commitment, where in self._missing.items():
            if commitment not in self._redacted:
                yield Problem("commitment", where, f"{commitment} has no row, and no content_redacted names it")
        for row in self._db.execute(_ROWS):
            yield from self._check_row(row)
        for blob_id, digest, stored in self._db.execute(_LONELY):
            changed = "" if _is_whole(stored, digest) else ", and digest or body was changed"
            yield Problem("blob_id", f"blobs {blob_id}", f"no commitment stands for this body{changed}")

    def _check_row(self, row: tuple[Any, ...]) -> Iterator[Problem]:
        commitment_id, name, session_id, salt, blob_id, bound, digest, stored = row
        commitment = text(name)
        where = f"commitments {commitment_id} ({commitment[:12]}…, session {text(session_id)})"
        if not self._named.get(commitment_id // 64, 0) >> commitment_id % 64 & 1:
            yield Problem("commitment", where, "no input of the log names it")
        if len(salt) != SALT_BYTES:
            yield Problem("salt", where, f"has {len(salt)} bytes, not {SALT_BYTES}")
        expected = binding(commitment, text(session_id), salt, sealed=blob_id is None)
        bound_right = bound in stored_bindings(expected)
        if blob_id is not None and stored is None:
            yield Problem("blob_id", where, f"there is no body {blob_id}")
        elif stored is not None and blob_id not in self._damaged:
            try:
                body = unpack(stored, digest)
            except JournalDamaged as error:
                self._damaged.add(blob_id)
                yield Problem("body", f"blobs {blob_id}", error.message)
            else:
                opens = commitment_to(salt, body) == commitment
                yield from _check_body(where, blob_id, digest, body, opens, bound_right)
        if not bound_right:
            what = "salt" if blob_id is None else "binding"
            yield Problem(what, where, "salt, commitment, session_id or binding was changed, or the body unlinked")


def _is_whole(stored: bytes, digest: bytes) -> bool:
    try:
        return hashlib.sha256(unpack(stored, digest)).digest() == digest
    except JournalDamaged:
        return False


def _check_body(
    where: str, blob_id: int, digest: bytes, body: bytes, opens: bool, bound_right: bool
) -> Iterator[Problem]:
    digest_right = hashlib.sha256(body).digest() == digest
    if not digest_right and opens:
        yield Problem("digest", f"blobs {blob_id}", "is not the SHA-256 of its body")
    elif not digest_right:
        yield Problem("body", f"blobs {blob_id}", "was changed: neither its digest nor its commitment fits")
    elif not opens and bound_right:
        yield Problem("blob_id", where, f"body {blob_id} is not what was committed to")
    elif not opens:
        yield Problem("salt", where, "salt or commitment was changed: the body does not open it")
