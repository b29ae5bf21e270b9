"""Journals whose schema holds objects that are not ours: triggers, views, tables, indexes, altered tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

from hostile.specimens import Specimens, Write

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT"
"""A query without end."""


def _with(*statements: str) -> Write:
    def write(good: Specimens, place: Path, random: Random) -> None:
        with closing(sqlite3.connect(good.copied(place), isolation_level=None)) as db:
            db.execute("PRAGMA synchronous=OFF")
            for statement in statements:
                db.execute(statement)

    return write


def _in_place_of(name: str) -> str:
    return f"DROP TABLE {name}"


_COPIES = (
    "CREATE TABLE mine (text)",
    "INSERT INTO mine SELECT CAST(body AS TEXT) FROM blobs",
)
_TRIGGERS = {
    "copies": ("CREATE TABLE mine (x)", "CREATE TRIGGER copies AFTER UPDATE ON sessions BEGIN INSERT INTO mine"
               " SELECT body FROM blobs; END"),
    "endless": (f"CREATE TRIGGER endless AFTER INSERT ON events BEGIN {ENDLESS} count(*) FROM n; END",),
    "before": (f"CREATE TRIGGER before_ BEFORE INSERT ON blobs BEGIN {ENDLESS} count(*) FROM n; END",),
    "on a snapshot": (f"CREATE TRIGGER s AFTER INSERT ON snapshots BEGIN {ENDLESS} count(*) FROM n; END",),
    "on the place": (f"CREATE TRIGGER p AFTER INSERT ON projections BEGIN {ENDLESS} count(*) FROM n; END",),
    "on a view": ("CREATE VIEW v AS SELECT 1 AS x",
                  f"CREATE TRIGGER t INSTEAD OF INSERT ON v BEGIN {ENDLESS} count(*) FROM n; END"),
    "instead of ours": ("DROP TRIGGER events_update",
                        "CREATE TRIGGER events_update BEFORE UPDATE ON events BEGIN SELECT 1; END"),
    "on the index": ("CREATE TRIGGER w AFTER INSERT ON body_index_docsize BEGIN SELECT 1; END",),
}  # fmt: skip
_BESIDE = {
    "view": ("CREATE VIEW mine AS SELECT count(*) AS pages FROM page_table",),
    "endless view": (f"CREATE VIEW mine AS {ENDLESS} i FROM n",),
    "table": ("CREATE TABLE mine (x)", "CREATE INDEX mine_x ON mine (x)"),
    "copied texts": _COPIES,
    "full-text table": ("CREATE VIRTUAL TABLE mine USING fts5(x)", "INSERT INTO mine VALUES ('some words')"),
    "index on a read model": ("CREATE INDEX mine ON page_table (page_type)",),
}
_IN_PLACE = (
    {
        "statistics": ("ANALYZE",),
    }
    | {
        f"endless view as {name}": (_in_place_of(name), f"CREATE VIEW {name} AS {ENDLESS} i FROM n")
        for name in ("sessions", "turns", "projections", "snapshots", "snapshot_position", "body_index", "page_table")
    }
    | {
        "pending erasures": (f"CREATE VIEW pending_erasures AS {ENDLESS} i AS seq FROM n",),
        "full-text table over an endless view": (
            f"CREATE VIEW evil AS {ENDLESS} i AS session_id, i AS seq FROM n",
            _in_place_of("sessions"),
            "CREATE VIRTUAL TABLE sessions USING fts5(session_id, seq, content=evil)",
        ),
        "column more": ("ALTER TABLE page_table ADD COLUMN mine TEXT DEFAULT 'x'",),
        "generated column": ("ALTER TABLE sessions ADD COLUMN heavy TEXT AS (hex(zeroblob(100000000)))",),
        "next place": ("CREATE TABLE next_sessions (x)",),
        "next place as a view": (f"CREATE VIEW next_sessions AS {ENDLESS} i FROM n",),
        "index named as ours": (_in_place_of("sessions"), "CREATE INDEX sessions ON events (seq, turn)"),
    }
)
_CORE = {
    "core index": ("CREATE INDEX mine ON blobs (body)",),
    "heavy index": ("CREATE INDEX mine ON events (hex(zeroblob(1000)))",),
    "core column": ("ALTER TABLE events ADD COLUMN heavy TEXT AS (hex(zeroblob(1000000)))",),
    "core view": ("ALTER TABLE blobs RENAME TO other", "CREATE VIEW blobs AS SELECT * FROM other"),
    "core view without end": (
        "DROP TABLE commitments",
        f"CREATE VIEW commitments AS {ENDLESS} i AS commitment, i AS blob_id, i AS session_id FROM n",
    ),
    "core index missing": ("DROP INDEX blobs_digests",),
    "core trigger missing": ("DROP TRIGGER events_delete",),
}


def _cases() -> Iterator[tuple[str, str, str, Write]]:
    for name, statements in _TRIGGERS.items():
        yield f"trigger {name}", "trigger", ".db", _with(*statements)
    for name, statements in _BESIDE.items():
        yield f"foreign {name}", "foreign", ".db", _with(*statements)
    for name, statements in _IN_PLACE.items():
        yield f"altered {name}", "odd", ".db", _with(*statements)
    for name, statements in _CORE.items():
        yield f"altered {name}", "damaged", ".db", _with(*statements)


CASES = tuple(_cases())
