"""The one call that appends, its commit, and an outcome that is not known.

LAW-PG-2: the lock is never held over a flush. A commit that waits for the disk is one that does not, then an empty
transaction that does, in the same trip: its flush covers all of the log before it, other writers' commits too. An
append of its own does both inside the server, as one statement.
LAW-PG-3: an outcome that is not known is settled under the lock, by the hash of our last event at its place. Where it
is not there, the server's other end of our connection is ended first, so that nothing of it can come later.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import psycopg

from clawvm_es.errors import JournalBusy, JournalError, OutcomeUnknown
from clawvm_es.journal import planning
from clawvm_es.journal.vault import Body
from clawvm_es.storage.postgres import queries
from clawvm_es.storage.postgres.packed import packed
from clawvm_es.storage.postgres.server import BARRIER, BEGIN, Line, Server

_TYPES: Final = (
    "text", "boolean", "bigint", "bytea", "integer", "boolean",
    "bigint[]", "text[]", "text[]", "bigint[]", "bigint[]", "text[]", "bigint[]", "text[]", "text[]", "bytea[]",
    "bytea[]", "text[]", "bytea[]", "bytea[]", "bytea[]", "bytea[]",
)  # fmt: skip
CALL: Final = f"SELECT status, last_seq FROM {{s}}.append({', '.join(f'%s::{kind}' for kind in _TYPES)})"
LOCK: Final = "SELECT set_config('lock_timeout', %s, true), pg_advisory_xact_lock({key})"
_ALONE: Final = f"CALL {{s}}.append_and_commit({', '.join(['%s'] * len(_TYPES))}, NULL, NULL)"
_ASYNC: Final = "SELECT set_config('synchronous_commit', 'off', true)"
_END: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
_COLUMNS: Final = (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
_PAUSE_S: Final = 0.05


class Mark(NamedTuple):
    """The last event of a transaction, by which its outcome is found out."""

    session_id: str
    version: int
    hash: bytes


def arguments(
    rows: Sequence[planning.Row], bodies: Sequence[Body], begins: bool, wait_ms: int, waits: bool = False
) -> list[Any]:
    """The values of `CALL` for rows of one stream; their `seq` is the server's to give.

    With `waits`, the commit that follows is to be on the server's disk.
    """
    _, session_id, version = rows[0][:3]
    columns = [[row[place] for row in rows] for place in _COLUMNS]
    texts = [
        [body.commitment for body in bodies],
        [body.salt for body in bodies],
        [body.digest for body in bodies],
        [b"" if body.sealed else body.body for body in bodies],
        [body.binding for body in bodies],
    ]
    values = [session_id, begins, version - 1, rows[0][12], wait_ms, waits, *columns, *texts]
    return [packed(kind, value) for kind, value in zip(_TYPES, values, strict=True)]


def milliseconds(wait_s: float) -> int:
    """A time to wait for a lock, as the server takes it: 0 would be for ever."""
    return max(1, min(int(wait_s * 1000), 2**31 - 1))


def one_trip(line: Line, values: Sequence[Any]) -> int | None:
    """Append in a transaction of its own, which is one statement: the call, its commit and the barrier.

    Returns the last `seq`; None where nothing was appended, since the head was stale or a key known.
    """
    ((status, seq),) = line.run(_ALONE, values)
    return seq if status == "ok" else None


def begin(line: Line, wait_s: float) -> None:
    """Begin a transaction that holds the lock; raises `JournalBusy`. The commit is to be `commit`."""
    with line.db.pipeline():
        line.run(BEGIN)
        line.run(_ASYNC)
        line.run(LOCK, (str(milliseconds(wait_s)),))


def commit(line: Line, waits: bool) -> None:
    """Commit a transaction that `begin` began."""
    with line.db.pipeline() as pipeline:
        line.run("COMMIT")
        pipeline.sync()
        if waits:
            line.run(BARRIER)
        pipeline.sync()


def barrier(server: Server) -> None:
    """Return when all that can be read is on the server's disk."""
    with server.line(patient=True) as line:
        line.run(BARRIER)


def landed(server: Server, mark: Mark, token: str, cause: BaseException) -> int | None:
    """The `seq` of an event whose commit was cut off; None where it was not committed, and never will be.

    `token` names the connection that was cut. Raises `JournalUnreachable` where that cannot be found out.
    """
    try:
        with server.line(patient=True) as line:
            begin(line, server.wait_s)
            found = queries.placed(line, mark.session_id, mark.version)
            if found is None or found[1] != mark.hash:
                _end(server, token)
                found = queries.placed(line, mark.session_id, mark.version)
            commit(line, waits=False)
    except JournalError as error:
        raise OutcomeUnknown(
            f"{server.address.place}: the connection was cut, and whether version {mark.version} of "
            f"{mark.session_id} was appended is not known: {error.message}",
            hint="append it again under the same idempotency key",
        ) from cause
    return found[0] if found is not None and found[1] == mark.hash else None


def _end(server: Server, token: str) -> None:
    """End the server's end of a connection, and wait until it is gone."""
    until = time.monotonic() + server.wait_s
    with server.line() as line:
        while line.run(_END, (token,)).fetchall():
            if time.monotonic() > until:
                raise JournalBusy("the server does not end the connection that was cut")
            time.sleep(_PAUSE_S)


def cut_off(line: Line, error: BaseException) -> bool:
    """Tell whether an error is that of a connection that is gone, so that an outcome is not known."""
    return isinstance(error, psycopg.Error) and line.broken
