"""A bound for durable steps: a journal's rows written again by plain sqlite3, commit by commit or step by step."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from time import process_time
from typing import Any, TypeAlias

import attrs

from bench import raw
from clawvm_es.journal.codec import named_commitments
from clawvm_es.storage.sqlite.queries import COLUMNS, INSERT

Rows: TypeAlias = list[tuple[Any, ...]]

_COMMITMENTS = "commitment_id, commitment, session_id, salt, blob_id, binding"
_INSERT_BLOB = "INSERT INTO blobs (blob_id, digest, body) VALUES (?, ?, ?)"
_INSERT_COMMITMENT = f"INSERT INTO commitments ({_COMMITMENTS}) VALUES (?, ?, ?, ?, ?, ?)"


@attrs.define
class Commit:
    """The rows of one transaction."""

    events: Rows = attrs.field(factory=list)
    blobs: Rows = attrs.field(factory=list)
    commitments: Rows = attrs.field(factory=list)


def commits(path: Path, ends: Sequence[int]) -> Iterator[Commit]:
    """The transactions of a journal of one session, which ended at these versions."""
    with closing(sqlite3.connect(path)) as db:
        events = db.execute(f"SELECT {COLUMNS} FROM events ORDER BY seq").fetchall()
        names = {row[1]: row for row in db.execute(f"SELECT {_COMMITMENTS} FROM commitments")}
        blobs = {row[0]: row for row in db.execute("SELECT blob_id, digest, body FROM blobs")}
    start = 0
    for end in ends:
        found = Commit(events[start:end])
        for row in found.events:
            for name in named_commitments(row[11].encode()):
                if (commitment := names.pop(name, None)) is not None:
                    found.commitments.append(commitment)
                    if (blob := blobs.pop(commitment[4], None)) is not None:
                        found.blobs.append(blob)
        yield found
        start = end


def seconds(path: Path, steps: Sequence[Sequence[Commit]], together: bool) -> list[float]:
    """CPU seconds of each step on a fresh file: as it was committed, or all of it `together` in one transaction."""
    raw.create(path)
    found = []
    with closing(raw.connect(path)) as db:
        for step in steps:
            began = process_time()
            for place, commit in enumerate(step):
                if not (together and place):
                    db.execute("BEGIN IMMEDIATE")
                db.executemany(INSERT, commit.events)
                db.executemany(_INSERT_BLOB, commit.blobs)
                db.executemany(_INSERT_COMMITMENT, commit.commitments)
                if not together or commit is step[-1]:
                    db.execute("COMMIT")
            found.append(process_time() - began)
    return found
