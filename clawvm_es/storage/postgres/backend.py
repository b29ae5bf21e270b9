"""The face of the PostgreSQL storage: what `clawvm_es.storage` asks of a package of its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from clawvm_es.errors import UnreadableInput, UsageError
from clawvm_es.journal.problems import Note, Problem, silent
from clawvm_es.limits import LOCK_WAIT_S
from clawvm_es.urls import shown

if TYPE_CHECKING:
    from clawvm_es.storage.postgres.administration import Finding
    from clawvm_es.storage.postgres.log import PostgresLog
    from clawvm_es.storage.postgres.server import Server

__all__ = ["doctor", "exists", "initialize", "open_log", "verify"]

INSTEAD: Final = {"backup": "the server's own program copies it: pg_dump --schema=SCHEMA"}
"""Verb that is not there → what does its work."""
_EXTRA: Final = "pip install 'clawvm-es[postgres]'"


def server_of(url: str, wait_s: float = LOCK_WAIT_S, connect: Any = None) -> Server:
    """The server that a URL names, not connected yet; raises `UsageError` where the extra is not installed."""
    try:
        import psycopg
    except ImportError as error:
        raise UsageError(f"{shown(url)} needs psycopg, which is not installed", hint=_EXTRA) from error
    from clawvm_es.storage.postgres.address import parse
    from clawvm_es.storage.postgres.server import Server

    return Server(parse(url), wait_s, connect or psycopg.connect)


def open_log(
    url: str,
    *,
    wait_s: float,
    read_only: bool,
    reproducible: bool,
    group: bool = False,
    connect: Any = None,
) -> PostgresLog:
    """Open the journal at `url`, or make one; roles, not groups of files, say who may do what."""
    server = server_of(url, wait_s, connect)
    from clawvm_es.storage.postgres.log import PostgresLog
    from clawvm_es.storage.postgres.opening import opened

    with server.line() as line:
        found = opened(line, read_only, reproducible)
    return PostgresLog(server, found, read_only)


def verify(url: str, *, fast: bool = False, note: Note = silent, connect: Any = None) -> tuple[Problem, ...]:
    """All problems of the journal at `url`. Raises `UnreadableInput` where there is none."""
    server = server_of(url, connect=connect)
    from clawvm_es.storage.postgres.opening import find
    from clawvm_es.storage.postgres.verify import problems

    try:
        with server.line() as line:
            if find(line) is None:
                raise UnreadableInput(f"{server.address.place}: there is no journal here")
        return problems(server, fast, note)
    finally:
        server.close()


def initialize(url: str, *, writer: str | None, reader: str | None, reproducible: bool = False) -> list[str]:
    """Make the journal at `url`, and give its roles their rights; see `administration`."""
    server = server_of(url)
    from clawvm_es.storage.postgres import administration

    try:
        return administration.initialize(server, writer, reader, reproducible)
    finally:
        server.close()


def doctor(url: str) -> list[Finding]:
    """Look at the server at `url` for what a journal needs."""
    server = server_of(url)
    from clawvm_es.storage.postgres import administration

    try:
        return administration.doctor(server)
    finally:
        server.close()


def exists(url: str) -> bool:
    """Find out whether there is a journal at `url`."""
    server = server_of(url)
    from clawvm_es.storage.postgres.opening import find

    try:
        with server.line() as line:
            return find(line) is not None
    finally:
        server.close()
