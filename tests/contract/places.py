"""The places where the contract runs: memory, and a journal file whose connections are watched."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import attrs

from clawvm_es import storage
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.testing.logs import Place

ATTACKS = (
    "UPDATE events SET turn = 9",
    "DELETE FROM events WHERE seq = 4",
    "REPLACE INTO events SELECT * FROM events WHERE seq = 1",
    "INSERT INTO events SELECT seq + 9, session_id, version + 9, turn, kind, type, schema_version, at, principal,"
    " cause, NULL, data, prev_hash, hash FROM events WHERE seq = 1",
    "UPDATE blobs SET body = x'00'",
    "DELETE FROM blobs",
    "UPDATE commitments SET salt = x'00'",
    "DELETE FROM commitments",
    "UPDATE journal SET id = 'x'",
)


@attrs.define
class Watch:
    """Makes connections to one file, counts the commits that SQLite syncs, and cuts one off around its commit."""

    synced: int = 0
    left: int = 0  # commits until the cut
    after: bool = False
    came: bool = False

    def __call__(self, database, *args, factory=sqlite3.Connection, **options):
        """Connect, as `sqlite3.connect` does."""
        watch = self

        class Watched(factory):
            """A connection that tells of its commits."""

            def execute(self, statement, *values):
                statement = watch.statement(statement)
                if statement != "COMMIT":
                    return super().execute(statement, *values)
                full = super().execute("PRAGMA synchronous").fetchone()[0] >= 2
                return watch.commit(lambda: super(Watched, self).execute(statement), full)

        return sqlite3.connect(database, *args, factory=Watched, **options)

    def statement(self, text):
        """The statement that runs in the place of another."""
        return text

    def commit(self, commit, full):
        """Commit, unless this is the one to be cut; then raise as SQLite does when the disk fails."""
        self.left -= 1
        cut = self.left == 0
        if cut:
            self.came = True
        if cut and not self.after:
            raise self.error()
        done = commit()
        self.synced += full
        if cut:
            raise self.error()
        return done

    @contextmanager
    def cut(self, at: int, after: bool) -> Iterator[Watch]:
        """Cut the `at`-th commit from now."""
        self.left, self.after, self.came = at, after, False
        try:
            yield self
        finally:
            self.left = 0

    def error(self):
        """The error of a disk that failed."""
        error = sqlite3.OperationalError("cut off")
        error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
        return error


def memory_place(make=MemoryLog) -> Place:
    """A log in memory: one at a time, and gone with its object."""
    return Place(lambda **options: make())


def sqlite_place(path: Path, made=lambda log: log, watch: Watch | None = None) -> Place:
    """A journal file, with everything that a test can do to it; `made` changes each log that is opened there."""
    watch = watch or Watch()

    def open_log(**options):
        return made(storage.open_log(path, connect=watch, **{"wait_s": 60, **options}))

    def run(*statements):
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for statement in statements:
                db.execute(statement)

    def damage():
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            trigger = db.execute("SELECT name, sql FROM sqlite_master WHERE name = 'events_update'").fetchone()
        run("DROP TRIGGER events_update", "UPDATE events SET turn = turn + 1 WHERE seq = 2", trigger[1])

    return Place(
        open_log,
        shared=True,
        kept=True,
        attacks=lambda: [(statement, lambda s=statement: run(s)) for statement in ATTACKS],
        damage=damage,
        syncs=lambda: watch.synced,
        cut=watch.cut,
        holds=lambda needle: any(needle in each.read_bytes() for each in path.parent.glob(path.name + "*")),
    )
