"""Erasure on a server: rows go with their transaction; copies that the server keeps elsewhere are named.

LAW-PG-ERASE-1: an erasure is never called `erased` here. Dead rows stand in the tables' files until they are written
over, the write-ahead log keeps what was written, and archives, standbys and backups keep what was shipped to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from clawvm_es.errors import JournalError
from clawvm_es.journal.ports import Erasure
from clawvm_es.storage.postgres.server import Line

if TYPE_CHECKING:
    from clawvm_es.storage.postgres.log import PostgresLog

PLACES: Final = (("live tables", "rows are deleted, and the server is asked to give their room free (VACUUM)"),)
_TABLES: Final = ("blobs", "commitments", "snapshots", "snapshot_nodes", "model_rows", "body_words")
_SHIPPED: Final = """SELECT current_setting('archive_mode'), (SELECT count(*) FROM pg_stat_replication),
    (SELECT count(*) FROM pg_replication_slots), (SELECT count(*) FROM pg_publication)"""


def scrub(log: PostgresLog, bodies: Sequence[bytes] | None) -> Erasure:
    """Let the room of dead rows be reused; `removed` where there was something to erase."""
    if bodies is None:
        return Erasure.NOTHING
    with suppress(JournalError):  # rows are gone all the same; the copies are named
        log.ask(_vacuum)
    return Erasure.REMOVED


def _vacuum(line: Line) -> None:
    for name in _TABLES:
        line.run(f"VACUUM {{s}}.{name}")


def known_copies(line: Line) -> tuple[str, ...]:
    """The places that may hold copies of what was erased, as far as the server tells."""
    ((archive, standbys, slots, publications),) = line.run(_SHIPPED)
    found = ["dead rows in the server's files", "the server's write-ahead log"]
    if archive != "off":
        found.append(f"the archive of that log (archive_mode={archive})")
    if standbys or slots:
        found.append(f"{standbys} standbys and {slots} replication slots")
    if publications:
        found.append(f"{publications} logical publications")
    return (*found, "backups and dumps, if there are any")
