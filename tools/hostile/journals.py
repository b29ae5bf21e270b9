"""Journals that were damaged: bytes, pages, header, schema, and rows that no program of ours would write."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

from clawvm_es.journal.chain import GENESIS, event_hash
from hostile.specimens import Specimens, Write

PAGE = 4_096
_COLUMNS = "session_id, version, turn, kind, type, schema_version, at, principal, cause, idempotency_key, data"


def _bytes(change: Callable[[bytearray, Random], bytearray]) -> Write:
    """A case that changes the file's bytes."""

    def write(good: Specimens, place: Path, random: Random) -> None:
        place.write_bytes(change(bytearray(good.journal.read_bytes()), random))

    return write


def _flipped(count: int, first: int = 0, last: int | None = None) -> Write:
    def change(raw: bytearray, random: Random) -> bytearray:
        for _ in range(count):
            raw[random.randrange(first, last or len(raw))] ^= 1 << random.randrange(8)
        return raw

    return _bytes(change)


def _put(at: int, raw_bytes: bytes) -> Write:
    def change(raw: bytearray, random: Random) -> bytearray:
        raw[at : at + len(raw_bytes)] = raw_bytes
        return raw

    return _bytes(change)


def _torn(raw: bytearray, random: Random) -> bytearray:
    page = random.randrange(1, len(raw) // PAGE)
    raw[page * PAGE + PAGE // 2 : (page + 1) * PAGE] = bytes(PAGE // 2)
    return raw


def _swapped(raw: bytearray, random: Random) -> bytearray:
    one, other = random.sample(range(1, len(raw) // PAGE), 2)
    a, b = slice(one * PAGE, (one + 1) * PAGE), slice(other * PAGE, (other + 1) * PAGE)
    raw[a], raw[b] = raw[b], raw[a]
    return raw


def _beside(ending: str, size: int) -> Write:
    """A file beside the journal that holds random bytes."""

    def write(good: Specimens, place: Path, random: Random) -> None:
        good.copied(place)
        Path(str(place) + ending).write_bytes(random.randbytes(size))

    return write


def edited(*statements: str, chained: bool = False) -> Write:
    """A case that runs statements without our triggers; `chained` works all hashes out again after them."""

    def write(good: Specimens, place: Path, random: Random) -> None:
        with closing(sqlite3.connect(good.copied(place), isolation_level=None)) as db:
            db.execute("PRAGMA synchronous=OFF")
            triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for name, _ in triggers:
                db.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                db.execute(statement)
            if chained:
                _chain(db)
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            for name, sql in triggers:
                if name.partition("_")[0] in tables:
                    db.execute(sql)

    return write


def _chain(db: sqlite3.Connection) -> None:
    """Hashes as a forger would work them out, forks from their parents included."""
    db.text_factory = bytes
    heads: dict[bytes, bytes] = {}
    hashes: dict[tuple[bytes, int], bytes] = {}
    rows = db.execute(f"SELECT seq, {_COLUMNS} FROM events ORDER BY seq").fetchall()
    for seq, session_id, version, turn, kind, type_, schema_version, at, principal, cause, key, data in rows:
        before = heads.get(session_id, GENESIS)
        if type_ == b"session_forked" and session_id not in heads:
            before = next((h for (_, v), h in reversed(hashes.items()) if v == version - 1), GENESIS)
            told = _with_parent_hash(data, before)
        else:
            told = data
        args = (session_id, version, turn, kind, type_, schema_version, at, principal, cause, key, told, before)
        heads[session_id] = hashes[session_id, version] = event_hash(*args)
        cells = (told.decode("utf-8", "replace"), before, heads[session_id], seq)
        db.execute("UPDATE events SET data = ?, prev_hash = ?, hash = ? WHERE seq = ?", cells)


def _with_parent_hash(data: bytes, hash_: bytes) -> bytes:
    name = b'"parent_hash":"'
    at = data.find(name)
    return data if at < 0 else data[: at + len(name)] + hash_.hex().encode() + data[at + len(name) + 64 :]


def _deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def _data(type_: str, data: str, number: int = 1) -> str:
    """Give the last event of a type other data."""
    which = f"SELECT seq FROM events WHERE type = '{type_}' ORDER BY seq DESC LIMIT 1 OFFSET {number - 1}"
    return f"UPDATE events SET data = {data} WHERE seq = ({which})"


def _set(type_: str, path: str, value: str) -> str:
    return _data(type_, f"json_set(data, '$.{path}', {value})")


def _poisoned() -> Iterator[tuple[str, Sequence[str]]]:
    """Events that say what none of ours would."""
    types = (
        "session_opened", "session_forked", "turn_began", "page_written", "tool_called", "tool_returned",
        "model_responded", "representation_changed", "prompt_assembled", "prompt_rendered", "update_staged",
        "update_committed", "scope_changed", "page_used",
    )  # fmt: skip
    for type_ in types:
        yield f"deep {type_}", [_data(type_, f"'{_deep(1_100)}'")]
        yield f"empty {type_}", [_data(type_, "'{}'")]
        yield f"list {type_}", [_data(type_, "'[1,2]'")]
    yield "very deep", [_data("tool_called", f"'{_deep(100_000)}'")]
    yield "no json", [_data("page_written", "'{{{'")]
    yield "no utf-8", [_data("page_written", "CAST(x'7b22ff227d' AS TEXT)")]
    yield "nul in data", [_data("page_written", "'{}' || char(0)")]
    yield "wide data", [_data("page_written", "'{\"a\":[' || replace(hex(zeroblob(500000)), '0', '1,') || '1]}'")]
    yield "infinite number", [_data("turn_began", "'{\"fixed_tokens\":1e999}'")]
    yield "long number", [_data("turn_began", f"'{{\"fixed_tokens\":{'9' * 6_000}}}'")]
    yield "negative tokens", [_data("turn_began", "'{\"fixed_tokens\":-9007199254740991}'")]
    for number, page in enumerate(("p999", "p0", "p", "p-1", "p.1.2", "p1e9", "p" + "9" * 30, "", "\\u0000", "pé")):
        yield f"page used {number}", [_set("page_used", "page_id", f"json_quote('{page}')->>'$'")]
        yield f"page changed {number}", [_set("representation_changed", "page_id", f"'{page}'")]
        yield f"page written {number}", [_set("page_written", "page_id", f"'{page}'")]
    for name, parent, version in (
        ("ghost parent", "nobody", "3"),
        ("own parent", "fork", "3"),
        ("negative parent version", "a", "-1"),
        ("parent version zero", "a", "0"),
        ("huge parent version", "a", "9007199254740991"),
        ("parent version beyond 64 bits", "a", "9223372036854775808"),
        ("scope as parent", "scope:team", "1"),
    ):
        fork = "UPDATE events SET data = json_set(data, '$.parent', '{}', '$.parent_version', json('{}'))"
        yield name, [f"{fork.format(parent, version)} WHERE type = 'session_forked'"]
    forked = "json_object('parent', '{}', 'parent_hash', hex(zeroblob(32)), 'parent_version', 2)"
    cycle = "UPDATE events SET type = 'session_forked', schema_version = 3, data = {}, version = {} WHERE {}"
    yield (
        "two that fork each other",
        [
            cycle.format(forked.format("b"), "version", "session_id = 'a' AND version = 1"),
            cycle.format(forked.format("a"), "version", "session_id = 'b' AND version = 1"),
        ],
    )
    yield "a long line of forks", [
        f"""WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
        INSERT INTO events SELECT (SELECT max(seq) FROM events) + i, 'f' || i, i + 2, 1, 'input', 'session_forked', 3,
        1, 'x', NULL, NULL, json_object('parent', iif(i > 1, 'f' || (i - 1), 'a'), 'parent_hash', '{"0" * 64}',
        'parent_version', i + 1), zeroblob(32), zeroblob(32) FROM n""",
    ]  # fmt: skip
    yield "no opening", ["DELETE FROM events WHERE session_id = 'a' AND version = 1"]
    yield (
        "two openings",
        [
            "UPDATE events SET (type, schema_version, data) = (SELECT type, schema_version, data FROM events WHERE"
            " type = 'session_opened' LIMIT 1) WHERE session_id = 'a' AND version = 5"
        ],
    )
    yield "unknown counter", [_set("session_opened", "counter", "'nothing'")]
    yield "unknown rule", [_set("session_opened", "profile.rule", "'nothing'")]
    yield "weights beyond bounds", [_set("session_opened", "profile.weights", "json('{\"boot\":9007199254740991}')")]
    yield "negative budget", [_set("session_opened", "budget_tokens", "-5")]
    yield "huge budget", [_set("session_opened", "budget_tokens", "9007199254740991")]
    yield "misfits", [_set("session_opened", "misfits", "-9007199254740991")]
    yield "huge update", [_set("update_staged", "update", "9007199254740991")]
    yield "own project", [_set("session_opened", "project", "'a'")]
    yield "levels missing", [_set("page_written", "levels", "json('[]')")]
    yield "tokens of a level", [_set("page_written", "levels[0].tokens", "9007199254740991")]
    yield "negative tokens of a level", [_set("page_written", "levels[0].tokens", "-9007199254740991")]
    yield "body that is none", [_set("page_written", "levels[0].body", "'zz'")]


_SAME = ("empty turn_began", "empty model_responded")
"""Events whose data is empty anyway."""

_ROWS = {
    "unknown type": "UPDATE events SET type = 'no_such_event' WHERE seq = 20",
    "unknown schema version": "UPDATE events SET schema_version = 99 WHERE seq = 20",
    "negative schema version": "UPDATE events SET schema_version = -1 WHERE seq = 20",
    "kind": "UPDATE events SET kind = 'nothing' WHERE seq = 20",
    "version gap": "UPDATE events SET version = version + 1000 WHERE session_id = 'a' AND version > 5",
    "huge version": f"UPDATE events SET version = {2**63 - 1} WHERE seq = (SELECT max(seq) FROM events)",
    "negative version": "UPDATE events SET version = -version WHERE session_id = 'a'",
    "huge seq": f"UPDATE events SET seq = {2**63 - 1} WHERE seq = (SELECT max(seq) FROM events)",
    "negative seq": "UPDATE events SET seq = -seq",
    "huge turn": f"UPDATE events SET turn = {2**63 - 1} WHERE session_id = 'a' AND version > 5",
    "negative turn": "UPDATE events SET turn = -1 WHERE session_id = 'a'",
    "time before all": f"UPDATE events SET at = {-(2**63)} WHERE seq = 20",
    "time after all": f"UPDATE events SET at = {2**63 - 1} WHERE session_id = 'a'",
    "huge cause": f"UPDATE events SET cause = {2**63 - 1} WHERE seq = 20",
    "empty session id": "UPDATE events SET session_id = '' WHERE session_id = 'a'",
    "session id that a terminal obeys": "UPDATE events SET session_id = char(27) || '[31mred' WHERE session_id = 'a'",
    "session id with nul": "UPDATE events SET session_id = 'a' || char(0) || 'b' WHERE session_id = 'a'",
    "session id that turns text around": "UPDATE events SET session_id = char(8238) || 'a' WHERE session_id = 'a'",
    "long session id": "UPDATE events SET session_id = hex(zeroblob(20000)) WHERE session_id = 'a'",
    "session id no utf-8": "UPDATE events SET session_id = CAST(x'61ff' AS TEXT) WHERE session_id = 'a'",
    "session id of a scope": "UPDATE events SET session_id = 'scope:a' WHERE session_id = 'a'",
    "principal no utf-8": "UPDATE events SET principal = CAST(x'61ff' AS TEXT) WHERE seq = 20",
    "type no utf-8": "UPDATE events SET type = CAST(x'61ff' AS TEXT) WHERE seq = 20",
    "short hash": "UPDATE events SET hash = x'00' WHERE seq > 10",
    "long hash": "UPDATE events SET hash = zeroblob(1000000) WHERE seq = 10",
    "no events": "DELETE FROM events",
    "no commitments": "DELETE FROM commitments",
    "no bodies": "DELETE FROM blobs",
    "salts": "UPDATE commitments SET salt = x''",
    "body no utf-8": "UPDATE blobs SET body = x'ff00fe'",
    "body of one byte many times": "UPDATE blobs SET body = zeroblob(3000000) WHERE blob_id = 3",
    "digests": "UPDATE blobs SET digest = CAST(blob_id AS BLOB)",
    "negative blob": "UPDATE blobs SET blob_id = -blob_id",
    "huge commitment id": f"UPDATE commitments SET commitment_id = {2**62} WHERE commitment_id = 3",
    "commitments no utf-8": "UPDATE commitments SET commitment = CAST(x'ff' || commitment_id AS TEXT)",
    "no identity": "DELETE FROM journal",
    "identity": "UPDATE journal SET id = '', created_at_us = -1",
    "identity no utf-8": "UPDATE journal SET id = CAST(x'ff' AS TEXT)",
    "read models cycle": "UPDATE sessions SET parent = session_id, parent_version = 5",
    "read models ahead": f"UPDATE projections SET seq = {2**63 - 1}",
    "read models before all": f"UPDATE projections SET seq = {-(2**63)}",
    "read models of a newer version": "UPDATE projections SET version = 99",
    "read models say otherwise": "UPDATE sessions SET turns = -1, needs = -5, seq = 0, parent = 'nobody'",
    "read models huge": f"UPDATE page_table SET full_tokens = {2**63 - 1}, written_version = {2**63 - 1}",
    "read models no enum": "UPDATE page_table SET page_type = 'nothing', level = 'nothing'",
    "read models no utf-8": "UPDATE sessions SET session_id = CAST(x'ff' AS TEXT) WHERE session_id = 'a'",
    "store of nobody": "UPDATE durable_store SET field = '', op = 'nothing', session_id = 'nobody' || session_id",
    "digest no hex": "UPDATE sessions SET decision_digest = 'zz'",
    "index forgets": "DELETE FROM body_index_docsize",
    "index broken": "UPDATE body_index_data SET block = x'ff00ff00ff'",
    "index empty": "DELETE FROM body_index_data",
    "snapshots broken": "UPDATE snapshot_nodes SET body = x'ff00'",
    "snapshots rest on themselves": "UPDATE snapshots SET base = snapshot_id",
    "snapshots of nobody": "UPDATE snapshots SET session_id = 'no' || session_id, version = -version, nodes = 99999",
    "snapshot heads": "UPDATE snapshots SET head = zeroblob(100)",
    "snapshot nodes gone": "DELETE FROM snapshot_nodes",
    "snapshots ahead": f"INSERT OR REPLACE INTO snapshot_position VALUES (1, {2**63 - 1})",
    "snapshot ids used up": f"UPDATE sqlite_sequence SET seq = {2**63 - 1}",
    "erasure that never was": "CREATE TABLE pending_erasures (seq INTEGER PRIMARY KEY) STRICT",
}
_HARMLESS = frozenset(
    ("huge commitment id", "index forgets", "snapshots of nobody", "snapshots ahead", "snapshot ids used up",
     "erasure that never was", "no events", "store of nobody", "read models of a newer version", "negative blob",
     "session id of a scope")
)  # fmt: skip
"""Rows whose change `verify` need not name: caches that are made again, or nothing that it could know."""

_OBJECTS = (
    "journal", "events", "blobs", "commitments", "sessions", "turns", "page_table", "faults", "durable_store",
    "updates", "projections", "body_index", "body_index_data", "snapshots", "snapshot_nodes", "snapshot_position",
)  # fmt: skip
_LOOSE = (
    "PRAGMA writable_schema=ON",
    "UPDATE sqlite_master SET sql = replace(sql, ') STRICT', ')') WHERE type = 'table'",
    "PRAGMA writable_schema=RESET",
)
_TYPES = {
    "numbers as texts": "UPDATE events SET version = 'x' || version, seq = seq WHERE session_id = 'a'",
    "texts as numbers": "UPDATE events SET session_id = 5, type = 7, data = 9 WHERE seq = 20",
    "texts as blobs": "UPDATE events SET data = CAST(data AS BLOB), type = CAST(type AS BLOB) WHERE seq = 20",
    "hashes as texts": "UPDATE events SET hash = 'hash', prev_hash = 3 WHERE seq = 20",
    "floats": "UPDATE events SET turn = 1.5, at = 1e300 WHERE seq = 20",
    "salts as numbers": "UPDATE commitments SET salt = 5, binding = 'x'",
    "bodies as texts": "UPDATE blobs SET body = 'text'",
    "ids as blobs": "UPDATE journal SET id = x'00ff', created_at_us = 'never'",
    "read models of other types": "UPDATE sessions SET turns = 'many', needs = x'00', parent_version = 'x'",
    "positions of other types": "UPDATE projections SET seq = 'x', version = 'y'",
    "snapshots of other types": "UPDATE snapshots SET version = 'x' || version, head = 5, base = 'y', nodes = 'z'",
}


def _cases() -> Iterator[tuple[str, str, str, Write]]:
    for number in range(6):
        yield f"flip {number}", "odd", ".db", _flipped(1)
        yield f"flips {number}", "odd", ".db", _flipped(16)
        yield f"flip in the schema {number}", "odd", ".db", _flipped(2, 100, PAGE)
        yield f"torn {number}", "odd", ".db", _bytes(_torn)
        yield f"swapped pages {number}", "odd", ".db", _bytes(_swapped)
        yield f"cut {number}", "odd", ".db", _bytes(lambda raw, random: raw[: random.randrange(512, len(raw))])
    yield "cut in the header", "stranger", ".db", _bytes(lambda raw, _: raw[:60])
    yield "cut after the header", "damaged", ".db", _bytes(lambda raw, _: raw[:100])
    yield "first page zero", "stranger", ".db", _put(0, bytes(PAGE))
    yield "first page zero behind the header", "damaged", ".db", _put(100, bytes(PAGE - 100))
    headers = {"page size": (16, b"\0\1"), "reserved bytes": (20, b"\xff"), "formats": (18, b"\7\7"),
               "encoding": (56, b"\0\0\0\2"), "schema format": (44, b"\0\0\0\x63"), "free list": (32, b"\x7f" * 8),
               "size in pages": (28, b"\x7f" * 4)}  # fmt: skip
    for name, (at, raw) in headers.items():
        yield f"header {name}", "odd", ".db", _put(at, raw)
    yield "user version negative", "damaged", ".db", _put(60, b"\xff" * 4)
    yield "user version newer", "damaged", ".db", _put(60, b"\0\0\0\x63")
    yield "wal of noise", "odd", ".db", _beside("-wal", 50_000)
    yield "shm of noise", "odd", ".db", _beside("-shm", 32_768)
    yield "lock of noise", "odd", ".db", _beside(".lock", 100)
    yield "new one of noise", "odd", ".db", _beside(".new", 5_000)
    for name, statements in _poisoned():
        if name.startswith(("empty", "list")) and name not in _SAME:
            yield f"event {name}", "damaged", ".db", edited(*statements)
        else:
            yield f"chained {name}", "odd", ".db", edited(*statements, chained=True)
    for name, statement in _ROWS.items():
        yield f"rows {name}", "odd" if name in _HARMLESS else "damaged", ".db", edited(statement)
    for name in _OBJECTS:
        yield f"without {name}", "damaged" if name in _OBJECTS[:4] else "odd", ".db", edited(f"DROP TABLE {name}")
    for name, statement in _TYPES.items():
        yield f"types {name}", "damaged", ".db", edited(*_LOOSE, statement)
    yield (
        "schema of noise",
        "odd",
        ".db",
        edited(
            "PRAGMA writable_schema=ON", "UPDATE sqlite_master SET sql = 'CREATE NOTHING' WHERE name = 'sessions'"
        ),
    )
    yield (
        "schema root pages",
        "odd",
        ".db",
        edited(
            "PRAGMA writable_schema=ON", "UPDATE sqlite_master SET rootpage = 2 WHERE type = 'table' AND rootpage > 0"
        ),
    )


CASES = tuple(_cases())
