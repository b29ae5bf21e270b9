"""Another SQLite under a log: every connection comes from the factory, and faults lose no acknowledged commit."""

import os
import sqlite3
import sys

import pytest

from clawvm_es import projections, storage
from clawvm_es.errors import JournalError
from clawvm_es.journal.ports import Durability
from clawvm_es.testing.logs import budget

APPENDS = 2
NAMES = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC")


class Faults:
    """A connection factory whose statement number `at` of all fails, `before` it runs or after, by SQLite's name."""

    def __init__(self, at: int, name: str, before: bool) -> None:
        self.at, self.name, self.before = at, name, before
        self.statements, self.opened = 0, set()

    def __call__(self, database, *args, factory=sqlite3.Connection, **options):
        """Connect, as `sqlite3.connect` does."""
        faults = self

        class Failing(factory):
            """A connection that counts its statements with all others of the factory."""

            def execute(self, *args):
                return faults.run(super().execute, *args)

            def executemany(self, *args):
                return faults.run(super().executemany, *args)

        self.opened.add(database)
        return sqlite3.connect(database, *args, factory=Failing, **options)

    def run(self, statement, *args):
        """Run a statement, or fail in its place, or after it."""
        self.statements += 1
        due = self.statements == self.at
        if due and self.before:
            raise self.error()
        result = statement(*args)
        if due:
            raise self.error()
        return result

    def error(self):
        """The error as SQLite's own module raises it."""
        error = sqlite3.OperationalError("injected")
        error.sqlite_errorname = self.name
        return error

    @property
    def came(self) -> bool:
        """Whether the fault was met."""
        return self.statements >= self.at


def work(path, faults) -> int:
    """Append events one by one, each FULL, and return how many were acknowledged before a fault, which is the end."""
    done = 0
    try:
        with storage.open_log(path, connect=faults) as log:
            for number in range(1, APPENDS + 1):
                log.append("s", [budget(number)], durability=Durability.FULL)
                done = number
    except JournalError:
        assert faults.came
    return done


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_no_fault_loses_an_acknowledged_commit(tmp_path, before):
    """LAW-LOG-2: whichever statement fails, what FULL acknowledged is there, whole and verified, and work goes on."""
    at = 0
    while True:
        at += 1
        path, faults = tmp_path / f"{at}.db", Faults(at, NAMES[at % len(NAMES)], before)
        done = work(path, faults)
        if not faults.came:
            break
        with storage.open_log(path) as log:
            kept = [row.data.budget_tokens for row in log.read("s")]
            assert kept in (list(range(1, done + 1)), list(range(1, done + 2))), f"statement {at}"
            log.append("s", [budget(9)], durability=Durability.FULL)
        assert storage.verify(path) == ()
        assert sorted(each.name for each in tmp_path.glob(f"{at}.db*")) == [f"{at}.db", f"{at}.db.lock"]
    assert done == APPENDS and at > 20 * APPENDS


_audited: list[str] | None = None


def _hear(event: str, arguments: tuple) -> None:
    if event == "sqlite3.connect" and _audited is not None:
        _audited.append(os.fspath(arguments[0]))


def test_the_factory_makes_every_connection_to_a_file(tmp_path, monkeypatch):
    """Opening, reading, read models, texts, checks and copies connect through the factory; only memory does not."""
    sys.addaudithook(_hear)
    path, faults = tmp_path / "j.db", Faults(-1, "", before=True)
    monkeypatch.setattr(sys.modules[__name__], "_audited", [])
    with storage.open_log(path, connect=faults) as log:
        log.append("s", [budget(1)])
        projections.catch_up(log)
        assert projections.projections_problems(log) == [] and log.texts().stray() == 0
        assert storage.verify(log) == () == storage.verify(path, connect=faults)
        storage.backup(path, tmp_path / "copy.db", connect=faults)
    files = {each for each in _audited if each not in ("", ":memory:")}
    assert files and files <= faults.opened
