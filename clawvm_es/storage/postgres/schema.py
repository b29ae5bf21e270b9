"""The journal's schema in a database: tables, guards, and the function through which everything is appended.

The guards refuse UPDATE, DELETE and TRUNCATE of events, gaps in their numbers, a body changed in place, and the
deletion of a body that no `content_redacted` names, to everyone. Roles: the owner; a writer, who may read, append
through the function, and change caches; a reader. The owner can drop every guard: against the owner, the evidence
is the hash chain and an anchor kept elsewhere.

LAW-PG-1: `append` takes the advisory lock, checks head and keys, numbers from `max(seq) + 1` and inserts, in one
call. It refuses any isolation but READ COMMITTED, in which each of its statements sees what was committed before the
lock was taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from clawvm_es.storage.postgres.address import Address

FORMAT: Final = 1
"""The format that schemas are made in."""
SERVER_MIN: Final = 13
"""The oldest server that is used, as PostgreSQL numbers its versions."""

TABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "journal": """
    one integer PRIMARY KEY CHECK (one = 1),
    id text NOT NULL,
    created_at_us bigint NOT NULL,
    reproducible boolean NOT NULL,
    format integer NOT NULL""",
        "events": """
    seq bigint PRIMARY KEY,
    session_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    turn bigint NOT NULL,
    kind text NOT NULL,
    type text NOT NULL,
    schema_version bigint NOT NULL,
    at bigint NOT NULL,
    principal text NOT NULL,
    cause bigint,
    idempotency_key text COLLATE "C",
    data text NOT NULL,
    prev_hash bytea NOT NULL,
    hash bytea NOT NULL,
    UNIQUE (session_id, version)""",
        "blobs": """
    blob_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    body bytea NOT NULL""",
        "commitments": """
    commitment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    commitment text COLLATE "C" NOT NULL UNIQUE,
    session_id text COLLATE "C" NOT NULL,
    salt bytea NOT NULL,
    blob_id bigint REFERENCES {s}.blobs,
    binding bytea NOT NULL""",
        "snapshots": """
    snapshot_id bigint PRIMARY KEY,
    session_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    event_hash bytea NOT NULL,
    made_by text NOT NULL,
    base bigint,
    first_node bigint NOT NULL,
    nodes bigint NOT NULL,
    head bytea NOT NULL,
    UNIQUE (session_id, version)""",
        "snapshot_nodes": """
    node_id bigint PRIMARY KEY,
    body bytea NOT NULL""",
        "snapshot_position": """
    one integer PRIMARY KEY CHECK (one = 1),
    seq bigint NOT NULL,
    last_snapshot bigint NOT NULL,
    last_node bigint NOT NULL""",
        "model_positions": """
    edition text PRIMARY KEY,
    generation bigint NOT NULL,
    version bigint NOT NULL,
    seq bigint NOT NULL""",
        "model_rows": """
    generation bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    session_id text COLLATE "C" NOT NULL,
    cells text NOT NULL,
    PRIMARY KEY (generation, name, key)""",
        "body_words": """
    generation bigint NOT NULL,
    blob_id bigint NOT NULL,
    words tsvector,
    PRIMARY KEY (generation, blob_id)""",
    }
)
"""Name of each table → its columns."""
CACHES: Final = ("snapshots", "snapshot_nodes", "snapshot_position", "model_positions", "model_rows", "body_words")
"""The tables that can be made again; writers change them."""

INDEXES: Final = (
    "CREATE UNIQUE INDEX events_keys ON {s}.events (session_id, idempotency_key) WHERE idempotency_key IS NOT NULL",
    "CREATE INDEX events_redactions ON {s}.events (seq) WHERE type = 'content_redacted'",
    "CREATE INDEX commitments_blobs ON {s}.commitments (blob_id, session_id)",
    "CREATE INDEX snapshots_bases ON {s}.snapshots (base)",
    "CREATE INDEX model_rows_sessions ON {s}.model_rows (generation, name, session_id)",
    "CREATE INDEX body_words_words ON {s}.body_words USING gin (words)",
    "ALTER TABLE {s}.blobs ALTER COLUMN body SET STORAGE EXTERNAL",
)

GAPLESS: Final = """CREATE FUNCTION {s}.gapless() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    least bigint; most bigint; many bigint;
BEGIN
    SELECT min(seq), max(seq), count(*) INTO least, most, many FROM fresh;
    IF many > 0 AND (most - least + 1 <> many
        OR least <> 1 + coalesce((SELECT max(seq) FROM {s}.events WHERE seq < least), 0)) THEN
        RAISE EXCEPTION 'events are append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$"""

REFUSE: Final = """CREATE FUNCTION {s}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], ERRCODE = 'restrict_violation';
END $$"""

UNNAMED: Final = """CREATE FUNCTION {s}.unnamed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM {s}.events
        WHERE type = 'content_redacted' AND position(OLD.commitment IN data) > 0) THEN
        RAISE EXCEPTION 'no content_redacted names this commitment' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$"""


def _refused(table: str, verb: str, why: str, when: str = "") -> str:
    each = "STATEMENT" if verb == "TRUNCATE" else "ROW"
    return f"""CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {{s}}.{table} FOR EACH {each} {when}
EXECUTE FUNCTION {{s}}.refuse('{why}')"""


_SEALED: Final = """WHEN (NOT (OLD.blob_id IS NULL AND NEW.blob_id IS NOT NULL
    AND NEW.commitment_id = OLD.commitment_id AND NEW.commitment = OLD.commitment
    AND NEW.session_id = OLD.session_id AND NEW.salt = OLD.salt))"""
_APPEND_ONLY: Final = "events are append-only"

TRIGGERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "events_gapless": """CREATE TRIGGER events_gapless AFTER INSERT ON {s}.events
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION {s}.gapless()""",
        "events_update": _refused("events", "UPDATE", _APPEND_ONLY),
        "events_delete": _refused("events", "DELETE", _APPEND_ONLY),
        "events_truncate": _refused("events", "TRUNCATE", _APPEND_ONLY),
        "blobs_update": _refused("blobs", "UPDATE", "a stored body is never replaced"),
        "blobs_truncate": _refused("blobs", "TRUNCATE", "bodies are erased one by one"),
        "commitments_update": _refused(
            "commitments", "UPDATE", "of a commitment, only a sealed body may be added", _SEALED
        ),
        "commitments_delete": """CREATE TRIGGER commitments_delete BEFORE DELETE ON {s}.commitments FOR EACH ROW
EXECUTE FUNCTION {s}.unnamed()""",
        "commitments_truncate": _refused("commitments", "TRUNCATE", "bodies are erased one by one"),
        "journal_update": _refused("journal", "UPDATE", "a journal keeps its identity"),
        "journal_delete": _refused("journal", "DELETE", "a journal keeps its identity"),
        "journal_truncate": _refused("journal", "TRUNCATE", "a journal keeps its identity"),
    }
)
"""Name of each guard → its statement. A body that a commitment stands for is guarded by its foreign key."""

LOCK: Final = "PERFORM pg_advisory_xact_lock({key})"
"""The statement that makes writers take turns."""

APPEND: Final = (
    """CREATE FUNCTION {s}.append(
    stream text, begins boolean, tip bigint, tip_hash bytea, wait_ms integer, waits boolean,
    turns bigint[], kinds text[], types text[], schemas bigint[], times bigint[], principals text[], causes bigint[],
    keys text[], datas text[], prev_hashes bytea[], hashes bytea[],
    names text[], salts bytea[], digests bytea[], bodies bytea[], bindings bytea[],
    OUT status text, OUT last_seq bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found_version bigint; found_hash bytea;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'append needs READ COMMITTED, not %', current_setting('transaction_isolation')
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM set_config('lock_timeout', wait_ms::text, true);
    IF NOT waits THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    """
    + LOCK
    + """;
    SELECT version, hash INTO found_version, found_hash FROM {s}.events
        WHERE session_id = stream ORDER BY version DESC LIMIT 1;
    IF FOUND = begins OR (FOUND AND (found_version <> tip OR found_hash <> tip_hash)) THEN
        status := 'stale';
        RETURN;
    END IF;
    IF EXISTS (SELECT 1 FROM {s}.events WHERE session_id = stream AND idempotency_key = ANY (keys)) THEN
        status := 'known';
        RETURN;
    END IF;
    SELECT coalesce(max(seq), 0) INTO last_seq FROM {s}.events;
    INSERT INTO {s}.events SELECT last_seq + n, stream, tip + n, turn, kind, type, schema_version, at, principal,
        cause, key, data, prev_hash, hash
        FROM unnest(turns, kinds, types, schemas, times, principals, causes, keys, datas, prev_hashes, hashes)
        WITH ORDINALITY AS fresh (turn, kind, type, schema_version, at, principal, cause, key, data, prev_hash, hash,
        n);
    last_seq := last_seq + cardinality(hashes);
    IF cardinality(names) > 0 THEN
        INSERT INTO {s}.blobs (digest, body) SELECT DISTINCT ON (digest) digest, body
            FROM unnest(digests, bodies) AS fresh (digest, body) WHERE digest <> ''
            ON CONFLICT (digest) DO NOTHING;
        INSERT INTO {s}.commitments (commitment, session_id, salt, blob_id, binding)
            SELECT name, stream, salt, (SELECT blob_id FROM {s}.blobs WHERE blobs.digest = fresh.digest), binding
            FROM unnest(names, salts, digests, bindings) WITH ORDINALITY AS fresh (name, salt, digest, binding, n)
            ORDER BY n
            ON CONFLICT (commitment) DO UPDATE SET blob_id = excluded.blob_id, binding = excluded.binding
            WHERE commitments.blob_id IS NULL AND excluded.blob_id IS NOT NULL;
    END IF;
    PERFORM pg_notify('{channel}', last_seq::text);
    status := 'ok';
END $$"""
)

APPEND_AND_COMMIT: Final = """CREATE PROCEDURE {s}.append_and_commit(
    stream text, begins boolean, tip bigint, tip_hash bytea, wait_ms integer, waits boolean,
    turns bigint[], kinds text[], types text[], schemas bigint[], times bigint[], principals text[], causes bigint[],
    keys text[], datas text[], prev_hashes bytea[], hashes bytea[],
    names text[], salts bytea[], digests bytea[], bodies bytea[], bindings bytea[],
    INOUT status text, INOUT last_seq bigint
) LANGUAGE plpgsql AS $$
BEGIN
    IF pg_catalog.current_setting('transaction_isolation') <> 'read committed' THEN
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    END IF;
    SELECT done.status, done.last_seq INTO append_and_commit.status, append_and_commit.last_seq
        FROM {s}.append(stream, begins, tip, tip_hash, wait_ms, false, turns, kinds, types, schemas, times,
        principals, causes, keys, datas, prev_hashes, hashes, names, salts, digests, bodies, bindings) AS done;
    IF waits AND status = 'ok' THEN
        COMMIT;
        PERFORM pg_catalog.pg_logical_emit_message(true, 'clawvm', '');
    END IF;
END $$"""
"""The call of `append` with its commit and the flush after it, in one statement.

Journals that were made before it lack it until `initialize` is run again. It has no rights of its own: who may not
call `append` gains nothing by it.
"""

FUNCTIONS: Final = (GAPLESS, REFUSE, UNNAMED, APPEND)
READS: Final = "GRANT USAGE ON SCHEMA {s} TO {role}", "GRANT SELECT ON ALL TABLES IN SCHEMA {s} TO {role}"
WRITES: Final = (
    *READS,
    "GRANT EXECUTE ON FUNCTION {s}.append TO {role}",
    *(f"GRANT INSERT, UPDATE, DELETE ON {{s}}.{name} TO {{role}}" for name in CACHES),
)


def statements(address: Address) -> Iterator[str]:
    """All statements that make an empty journal, without its one row."""
    templates = (
        "CREATE SCHEMA IF NOT EXISTS {s}",
        *(f"CREATE TABLE {{s}}.{name} ({columns}\n)" for name, columns in TABLES.items()),
        *INDEXES,
        *FUNCTIONS,
        APPEND_AND_COMMIT,
        "REVOKE ALL ON FUNCTION {s}.append FROM PUBLIC",
        *TRIGGERS.values(),
    )
    for template in templates:
        yield filled(template, address)


@lru_cache(1024)
def filled(template: str, address: Address) -> str:
    """A statement in the schema of a journal."""
    made = template.replace("{s}", address.schema).replace("{key}", str(address.lock_key))
    return made.replace("{channel}", address.channel)
