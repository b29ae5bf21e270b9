"""The place where the contract runs on PostgreSQL: a schema of its own, behind a proxy that cuts connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

from clawvm_es import storage
from clawvm_es.testing.logs import Place
from tests.storage.postgres.proxy import Cutter, Proxy, commits, committed
from tests.storage.postgres.servers import Running

ATTACKS = (
    "UPDATE events SET turn = 9",
    "DELETE FROM events WHERE seq = 4",
    "TRUNCATE events",
    "INSERT INTO events SELECT * FROM events WHERE seq = 1 ON CONFLICT (seq) DO UPDATE SET turn = 9",
    "INSERT INTO events SELECT seq + 9, session_id, version + 9, turn, kind, type, schema_version, at, principal,"
    " cause, NULL, data, prev_hash, hash FROM events WHERE seq = 1",
    "UPDATE blobs SET body = ''",
    "DELETE FROM blobs",
    "UPDATE commitments SET salt = ''",
    "DELETE FROM commitments",
    "UPDATE journal SET id = 'x'",
)


def through(proxy: Proxy, url: str) -> str:
    """The same journal behind a proxy."""
    place, _, rest = url.partition("?")
    return f"{place.rpartition(':')[0]}:{proxy.port}/postgres?sslmode=disable&gssencmode=disable&{rest}"


def postgres_place(
    server: Running, proxy: Proxy, connect: Callable[..., psycopg.Connection] = psycopg.connect, made=lambda log: log
) -> Place:
    """A schema that is not there yet, with everything that a test can do to it; `made` changes each log."""
    url = server.url()
    schema = url.rpartition("=")[2]

    def attack(statement):
        return lambda: server.run(f"SET search_path = {schema}", statement)

    def damage():
        server.run(
            "SET session_replication_role = replica",
            f"UPDATE {schema}.events SET turn = turn + 1 WHERE seq = 2",
        )

    @contextmanager
    def cut(at: int, after: bool) -> Iterator[Cutter]:
        with proxy.cut(at, committed if after else commits) as cutter:
            yield cutter

    return Place(
        lambda **options: made(storage.open_log(through(proxy, url), connect=connect, **{"wait_s": 60, **options})),
        shared=True,
        kept=True,
        attacks=lambda: ((statement, attack(statement)) for statement in ATTACKS),
        damage=damage,
        syncs=lambda: int(server.run("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn")[0][0]),
        cut=cut,
        settles=True,
    )
