"""Open a journal in a database, or make one."""

from __future__ import annotations

import secrets
import time
from typing import Final

import attrs
import psycopg

from clawvm_es.errors import JournalTooNew, NotAJournal, UnreadableInput, UsageError
from clawvm_es.journal.identity import journal_id
from clawvm_es.storage.postgres import appending, schema
from clawvm_es.storage.postgres.server import BEGIN, Line, translate

_TABLES: Final = """SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = '{s}' AND relname ="""
_FOUND: Final = f"""SELECT ({_TABLES} 'journal') > 0, ({_TABLES} 'events') > 0,
    current_setting('server_encoding'),
    pg_is_in_recovery(),
    current_setting('default_transaction_read_only')::boolean,
    current_user::text"""
_JOURNAL: Final = """SELECT id, created_at_us, reproducible, format,
    coalesce(has_function_privilege(to_regproc('{s}.append'), 'EXECUTE'), false),
    has_table_privilege('{s}.blobs', 'DELETE'), to_regproc('{s}.append_and_commit') IS NOT NULL FROM {s}.journal"""
_USABLE: Final = "SELECT has_schema_privilege('{s}', 'USAGE') AND has_table_privilege('{s}.journal', 'SELECT')"
_INSERT: Final = "INSERT INTO {s}.journal VALUES (1, %s, %s, %s, %s)"


@attrs.frozen
class Found:
    """The journal that is there, and what the role that asks may do with it."""

    journal_id: str
    created_at_us: int
    reproducible: bool
    appends: bool
    erases: bool
    one_trip: bool
    """True where it has the procedure that appends and commits."""
    refused: str
    """The reason for which nothing can be appended; empty where it can."""


def find(line: Line) -> Found | None:
    """The journal at an address; None if there is none. Raises for one that cannot be used."""
    address = line.address
    ((exists, events, encoding, standby, reads_only, role),) = line.run(_FOUND)
    if encoding != "UTF8":
        raise UsageError(
            f"{address.place}: the database has the encoding {encoding}", hint="make one with ENCODING 'UTF8'"
        )
    if not exists:
        if events:
            raise NotAJournal(f"{address.place}: the schema {address.schema} has tables of another program")
        return None
    if not line.value(_USABLE):
        hint = f"its owner grants them: clawvm pg init URL --reader {role}"
        raise UsageError(f"{address.place}: the role {role} has no rights in the schema {address.schema}", hint=hint)
    row = line.run(_JOURNAL).fetchone()
    if row is None:
        raise NotAJournal(f"{address.place}: the table journal of the schema {address.schema} is empty")
    id_, created_at_us, reproducible, made_in, appends, erases, one_trip = row
    if made_in > schema.FORMAT:
        raise JournalTooNew(f"{address.place} has format {made_in}", hint="install a newer clawvm-es")
    refused = (
        "the server is a standby" if standby
        else "the server is set to take no writes" if reads_only
        else "" if appends else f"the role {role} may not append"
    )  # fmt: skip
    return Found(id_, created_at_us, reproducible, not refused, erases and not refused, one_trip, refused)


def make(line: Line, reproducible: bool) -> None:
    """Make an empty journal, unless another writer was faster."""
    address = line.address
    try:
        line.run(BEGIN)
        line.run(appending.LOCK, ("0",))
        ((exists, *_),) = line.run(_FOUND)
        if not exists:
            for statement in schema.statements(address):
                line.run(statement)
            now_us = time.time_ns() // 1000
            id_ = journal_id(secrets.token_hex(16), now_us, reproducible)
            line.run(_INSERT, (id_, now_us, reproducible, schema.FORMAT))
        line.run("COMMIT")
    except psycopg.errors.InsufficientPrivilege as error:
        raise UsageError(
            f"{address.place}: there is no journal here, and this role may not make one",
            hint="let the database's owner run: clawvm pg init URL",
        ) from error
    except psycopg.errors.SyntaxError as error:
        raise UsageError(f"schema={address.schema} is a word of SQL", hint="take another name") from error
    except psycopg.Error as error:
        raise translate(error, address) from error


def opened(line: Line, read_only: bool, reproducible: bool) -> Found:
    """The journal at an address; made if there is none, unless it is opened read-only."""
    found = find(line)
    if found is None and read_only:
        raise UnreadableInput(f"{line.address.place}: there is no journal here")
    if found is None:
        make(line, reproducible)
        found = find(line)
    if found is None:
        raise NotAJournal(f"{line.address.place}: the journal that was made is not there")
    return found
