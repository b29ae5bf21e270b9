"""Connections to the server of a journal, and its errors in our words.

No state is kept in a server's session, so that a pool in transaction mode works: isolation, timeouts and
durability are set inside each transaction, and nothing is prepared.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import attrs
import psycopg

from clawvm_es.errors import (
    DiskFailed,
    JournalBusy,
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalReadOnly,
    JournalUnreachable,
    NotAJournal,
    UsageError,
)
from clawvm_es.storage.postgres.address import Address
from clawvm_es.storage.postgres.packed import Packed, PackedDumper
from clawvm_es.storage.postgres.schema import SERVER_MIN, filled

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]
Cursor: TypeAlias = psycopg.Cursor[tuple[Any, ...]]
Connect: TypeAlias = Callable[..., Connection]

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
BEGIN_READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
BARRIER: Final = "SELECT pg_logical_emit_message(true, 'clawvm', '')"
"""A transaction of nothing: its commit waits until all of the log before it is on the server's disk."""
_PAUSE_S: Final = 0.1
_IDLE_MAX: Final = 4
_CLASSES: Final[dict[str, tuple[type[JournalError], str]]] = {
    "55P03": (JournalBusy, "another writer holds the journal; try again when it is done"),
    "57014": (JournalBusy, "the server's statement_timeout, or somebody, ended it"),
    "40P01": (JournalBusy, "try again"),
    "25006": (JournalReadOnly, "the server or this role takes no writes"),
    "0A000": (JournalReadOnly, "the server may be a standby"),
    "42501": (JournalReadOnly, "clawvm pg doctor URL says which rights are missing"),
    "53100": (JournalFull, "make room on the server's disk"),
    "53200": (JournalFull, "the server is out of memory"),
    "58030": (DiskFailed, "see the server's log"),
    "3F000": (NotAJournal, "clawvm pg init URL makes one"),
    "42P01": (NotAJournal, "clawvm pg init URL makes one"),
    "42883": (NotAJournal, "clawvm pg doctor URL says what is missing"),
    "XX001": (JournalDamaged, "see the server's log"),
    "XX002": (JournalDamaged, "see the server's log"),
}
"""SQLSTATE → our error and what to do."""
_LEFT: Final[list[Line]] = []
"""Connections of the parent process of a fork; to close one here would end the parent's."""


@attrs.define(eq=False)
class Line:
    """One connection; statements name the journal's schema as `{s}`."""

    db: Connection
    address: Address
    token: str
    """The name of this connection, by which the server's other end can be found and ended."""
    pid: int = attrs.field(factory=os.getpid)

    def run(self, template: str, values: Sequence[object] = ()) -> Cursor:
        """Run a statement; results come in binary."""
        return self.db.execute(filled(template, self.address).encode(), values or None, binary=True)

    def value(self, template: str, values: Sequence[object] = ()) -> Any:
        """The value of a statement that gives one row of one cell."""
        ((found,),) = self.run(template, values)
        return found

    def value_or_none(self, template: str, values: Sequence[object] = ()) -> Any:
        """The first value of a statement that gives rows of one cell; None where it gives no row."""
        return next((found for (found,) in self.run(template, values)), None)

    @property
    def broken(self) -> bool:
        """Tell whether the connection is gone."""
        return self.db.closed or self.db.broken

    @property
    def idle(self) -> bool:
        """Tell whether the connection can be used for the next statement."""
        return not self.broken and self.db.info.transaction_status == psycopg.pq.TransactionStatus.IDLE

    def rollback(self) -> None:
        """End an open transaction, if there is one and a server to end it."""
        try:
            if not self.broken and not self.idle:
                self.db.execute(b"ROLLBACK")
        except psycopg.Error:
            self.db.close()


@attrs.define(eq=False)
class Server:
    """The connections of one log. Thread-safe: each is used by one thread at a time."""

    address: Address
    wait_s: float
    connect: Connect
    _idle: list[Line] = attrs.field(factory=list, init=False)

    @contextmanager
    def line(self, patient: bool = False) -> Iterator[Line]:
        """A connection for the length of the block; kept for the next one if it is whole.

        With `patient`, wait for a server that is restarting or briefly unreachable.
        """
        line = self._take() or self._new(patient)
        try:
            yield line
        except psycopg.Error as error:
            raise translate(error, self.address) from error
        finally:
            line.rollback()
            if line.idle and len(self._idle) < _IDLE_MAX:
                self._idle.append(line)
            else:
                line.db.close()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while (line := self._take()) is not None:
            line.db.close()

    def fresh(self, patient: bool = False) -> Line:
        """A connection of the caller's own, which he closes."""
        return self._new(patient)

    def _take(self) -> Line | None:
        while self._idle:
            line = self._idle.pop()
            if line.pid != os.getpid():
                _LEFT.append(line)
            elif line.idle:
                return line
        return None

    def _new(self, patient: bool) -> Line:
        until = time.monotonic() + self.wait_s
        while True:
            token = f"clawvm-es {secrets.token_hex(8)}"
            try:
                db = self.connect(self.address.conninfo, autocommit=True, prepare_threshold=None,
                                  application_name=token, client_encoding="utf8")  # fmt: skip
            except psycopg.ProgrammingError:
                hint = "postgresql://USER@HOST:PORT/DATABASE"
                said = f"{self.address.place} is no URL that libpq reads"
                raise UsageError(said, hint=hint) from None
            except psycopg.OperationalError as error:
                if not patient or _refused(error) or time.monotonic() >= until:
                    raise translate(error, self.address) from error
                time.sleep(_PAUSE_S)
                continue
            version = db.info.server_version // 10_000
            if version < SERVER_MIN:
                db.close()
                raise UsageError(
                    f"{self.address.place}: the server is PostgreSQL {version}",
                    hint=f"a journal needs {SERVER_MIN} or newer",
                )
            db.adapters.register_dumper(Packed, PackedDumper)
            return Line(db, self.address, token)


def _refused(error: psycopg.OperationalError) -> bool:
    """Tell whether the server is there and says no: waiting does not help."""
    return "FATAL" in str(error) and "starting up" not in str(error) and "recovery" not in str(error)


def translate(error: psycopg.Error, address: Address) -> Exception:
    """Return our error for an error of the driver, in one line."""
    state = error.sqlstate or ""
    said = error.diag.message_primary or next(iter(str(error).splitlines()), "") or type(error).__name__
    message = f"{address.place}: {said.strip()}"
    if state in _CLASSES:
        kind, hint = _CLASSES[state]
        return kind(message, hint=hint)
    if isinstance(error, psycopg.DataError):
        return UsageError(message)
    if state[:2] in ("08", "28", "57", "") and isinstance(error, psycopg.OperationalError):
        return JournalUnreachable(message, hint="is the server there, and does it let this role in?")
    if state[:2] in ("53", "54"):
        return JournalFull(message)
    return JournalError(message)
