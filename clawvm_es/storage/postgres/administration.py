"""Making a journal with its roles, and a look at a server for what a journal needs.

| role | rights |
|---|---|
| owner, who runs `initialize` | all; erases; no guard binds him that he does not leave in place |
| writer | reads, appends through the function, changes caches |
| reader | reads |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import attrs
import psycopg

from clawvm_es.errors import ClawVMError, UsageError
from clawvm_es.storage.postgres import opening, schema
from clawvm_es.storage.postgres.server import BEGIN, Line, Server, translate
from clawvm_es.storage.postgres.verify import guards

_ROLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}")
_THERE: Final = "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = %s)"
_SETTINGS: Final = """SELECT name, setting FROM pg_settings WHERE name IN ('default_transaction_isolation',
    'default_transaction_read_only', 'synchronous_commit', 'fsync', 'full_page_writes', 'archive_mode',
    'server_encoding')"""
_ME: Final = """SELECT current_user::text, pg_is_in_recovery(), pg_backend_pid(),
    (SELECT count(*) FROM pg_stat_replication)"""


@attrs.frozen
class Finding:
    """One thing that was looked at: `good`, or else what to do, in `detail`."""

    what: str
    good: bool
    detail: str


def initialize(server: Server, writer: str | None, reader: str | None, reproducible: bool = False) -> list[str]:
    """Make the journal where there is none, and give two roles their rights; return what was done, a sentence each.

    A role that is not there is made, without a login: grant it to those who may. Running it again adds what lacks.
    Raises `UsageError` where the caller may not do that.
    """
    done = []
    with server.line() as line:
        if opening.find(line) is None:
            opening.make(line, reproducible)
            done.append(f"made the journal in the schema {line.address.schema}")
        done += _procedure(line)
        for role, statements in ((writer, schema.WRITES), (reader, schema.READS)):
            if role:
                done += _grant(line, role, statements)
    return done


def _procedure(line: Line) -> Iterator[str]:
    """Add the procedure of one-trip appends to a journal that was made before there was one."""
    found = opening.find(line)
    if found is None or found.one_trip:
        return
    try:
        line.run(schema.APPEND_AND_COMMIT)
    except psycopg.errors.InsufficientPrivilege as error:
        raise UsageError(str(translate(error, line.address)), hint="run it as the journal's owner") from error
    yield "added the procedure of one-trip appends"


def _grant(line: Line, role: str, statements: tuple[str, ...]) -> Iterator[str]:
    if not _ROLE.fullmatch(role):
        raise UsageError(f"{role!r} is no name of a role here", hint="letters, digits and _ . -")
    quoted = f'"{role}"'
    try:
        line.run(BEGIN)
        if not line.value(_THERE, (role,)):
            line.run(f"CREATE ROLE {quoted} NOLOGIN")
            yield f"made the role {role}: GRANT {role} TO those who may"
        for statement in statements:
            line.run(statement.replace("{role}", quoted))
        line.run("COMMIT")
    except psycopg.errors.InsufficientPrivilege as error:
        told = translate(error, line.address)
        raise UsageError(str(told), hint="run it as the owner of the database, who may make roles") from error
    rights = "read and append" if statements is schema.WRITES else "read"
    yield f"the role {role} may {rights}"


def doctor(server: Server) -> list[Finding]:
    """Look at server, role and schema; every finding that is not good says what to do."""
    try:
        with server.line() as line:
            return list(_findings(line))
    except ClawVMError as error:
        return [Finding("connection", False, str(error))]


def _findings(line: Line) -> Iterator[Finding]:
    version = divmod(line.db.info.server_version, 10_000)
    yield Finding("server", True, f"PostgreSQL {version[0]}.{version[1]}")
    settings: dict[str, str] = dict(line.run(_SETTINGS).fetchall())
    ((role, standby, pid, standbys),) = line.run(_ME)
    yield _encoding(settings["server_encoding"])
    yield _pool(pid == line.db.info.backend_pid)
    yield from _writes(standby, settings)
    yield from _disk(settings, standbys)
    yield from _journal(line, role)


def _encoding(encoding: str) -> Finding:
    good = encoding == "UTF8"
    return Finding("encoding", good, encoding if good else f"{encoding}: make a database with ENCODING 'UTF8'")


def _pool(direct: bool) -> Finding:
    detail = "direct" if direct else "a pool stands between; in transaction mode no notice wakes a reader"
    return Finding("connection", True, detail)


def _writes(standby: bool, settings: dict[str, str]) -> Iterator[Finding]:
    if standby:
        yield Finding("writes", False, "the server is a standby: name the primary to write")
    elif settings["default_transaction_read_only"] == "on":
        yield Finding("writes", False, "default_transaction_read_only is on for this role, database or server")
    else:
        yield Finding("writes", True, "the server takes them")
    isolation = settings["default_transaction_isolation"]
    yield Finding(
        "isolation", True, "read committed" + ("" if isolation == "read committed" else f", not {isolation}")
    )


def _disk(settings: dict[str, str], standbys: int) -> Iterator[Finding]:
    off = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if settings[name] == "off"]
    good = "a full commit is on the server's disk"
    lost = f"{', '.join(off)} off: a power cut may take back what was acknowledged"
    yield Finding("durability", not off, lost if off else good)
    copies = f"archive_mode={settings['archive_mode']}, {standbys} standbys: they keep texts that redact removes"
    yield Finding("copies", True, copies if settings["archive_mode"] != "off" or standbys else "none known")


def _journal(line: Line, role: str) -> Iterator[Finding]:
    try:
        found = opening.find(line)
    except ClawVMError as error:
        yield Finding("journal", False, str(error))
        return
    if found is None:
        yield Finding("journal", False, f"there is none in the schema {line.address.schema}: clawvm pg init URL")
        return
    yield Finding("journal", True, f"schema {line.address.schema}, id {found.journal_id}")
    may = "erase, append, read" if found.erases else "append, read" if found.appends else f"read ({found.refused})"
    yield Finding("role", True, f"{role} may {may}")
    slow = "each takes several trips: clawvm pg init URL adds append_and_commit"
    yield Finding("appends", found.one_trip, "one trip" if found.one_trip else slow)
    problems = list(guards(line))
    wrong = "; ".join(f"{each.where} {each.detail}" for each in problems)
    yield Finding("guards", not problems, wrong or "all in place")
