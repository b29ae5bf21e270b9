"""Writing a journal's tables to a lake, and asking the lake in SQL."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from clawvm_es.errors import UnreadableInput, UsageError
from clawvm_es.journal.ports import Column

MARK: Final = "lake.json"
FORMAT: Final = 1
_TYPES: Final[dict[type, str]] = {str: "VARCHAR", int: "BIGINT", bool: "BOOLEAN"}
_GROUP: Final = 2_048
"""DuckDB's vectors: a row group is a multiple of them."""
GROUP_MAX: Final = 10 * _GROUP
"""Rows of a group at most: one is in memory as a whole."""
_LINE: Final = 1 << 20
"""Bytes for which the reader has room in each line at least; it takes many times as many."""
Tables = Mapping[str, Sequence[Column]]
"""Name of each table → its columns, beside `journal_id`, which comes first."""


def write(
    folder: str, journal_id: str, tables: Tables, rows: Mapping[str, Iterable[Sequence[Any]]]
) -> dict[str, int]:
    """Write all tables of a journal, replacing an earlier export; returns the number of rows of each.

    Raises `UsageError` for a folder with other contents.
    """
    duckdb = _duckdb()
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    if not (place / MARK).exists():
        if any(place.iterdir()):
            raise UsageError(f"{folder} holds other files", hint="name a new or an empty folder")
        (place / MARK).write_bytes(msgspec.json.encode({"format": FORMAT}) + b"\n")
    _check(place)
    return {
        name: _write(duckdb, place / name, journal_id, columns, rows.get(name, ()))
        for name, columns in tables.items()
    }


def _write(
    duckdb: Any, folder: Path, journal_id: str, columns: Sequence[Column], rows: Iterable[Sequence[Any]]
) -> int:
    """Write one table, whole or not at all."""
    folder.mkdir(exist_ok=True)
    names = ["journal_id", *(column.name for column in columns)]
    types = {"journal_id": "VARCHAR"} | {column.name: _TYPES[column.type] for column in columns}
    target = folder / f"{journal_id}.parquet"
    aside = folder / f".{journal_id}.{os.getpid()}"
    count, longest = 0, _LINE
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as lines, duckdb.connect(config={"threads": 1}) as db:
        for row in rows:
            line = msgspec.json.encode(dict(zip(names, (journal_id, *row), strict=True))) + b"\n"
            lines.write(line)
            count, longest = count + 1, max(longest, len(line))
        lines.flush()
        read = f"read_json(?, columns = {types!r}, format = 'newline_delimited', maximum_object_size = {longest})"
        made = f"SELECT {', '.join(map(_quoted, names))} FROM {read}"
        group = min(GROUP_MAX, max(_GROUP, -(-count // _GROUP) * _GROUP))
        db.execute(f"COPY ({made}) TO '{_text(str(aside))}' (FORMAT parquet, ROW_GROUP_SIZE {group})", [lines.name])
    aside.replace(target)
    return count


def ask(folder: str, query: str, tables: Tables) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows of a query over all journals of a lake.

    The query sees only the tables, and no other file. Columns that older exports lack are NULL. Raises
    `UnreadableInput` if there is no lake, `UsageError` for a query that DuckDB refuses.
    """
    duckdb = _duckdb()
    place = Path(folder).absolute()
    _check(place)
    with duckdb.connect() as db:
        for name, columns in tables.items():
            db.execute(_view(place, name, columns))
        db.execute(f"SET allowed_directories = ['{_text(str(place))}']")
        db.execute("SET enable_external_access = false")
        db.execute("SET lock_configuration = true")
        try:
            found = db.execute(query)
            return [each[0] for each in found.description or ()], found.fetchall()
        except duckdb.Error as error:
            said = next(iter(str(error).splitlines()), "")
            raise UsageError(f"{folder}: {said}", hint=f"tables: {', '.join(tables)}") from error


def _view(place: Path, name: str, columns: Sequence[Column]) -> str:
    """The statement that makes a table of all its files; without any, one of no rows."""
    if any((place / name).glob("*.parquet")):
        files = f"read_parquet('{_text(str(place / name))}/*.parquet', union_by_name = true)"
        return f'CREATE VIEW "{name}" AS SELECT * FROM {files}'
    typed = ", ".join(f'NULL::{_TYPES[column.type]} AS "{column.name}"' for column in columns)
    return f'CREATE VIEW "{name}" AS SELECT NULL::VARCHAR AS journal_id, {typed} WHERE false'


def _check(place: Path) -> None:
    try:
        found = msgspec.json.decode((place / MARK).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise UnreadableInput(
            f"{place}: there is no lake here", hint="clawvm export J --as parquet -o DIR"
        ) from error
    if found.get("format") != FORMAT:
        raise UnreadableInput(f"{place}: the lake has format {found.get('format')}", hint="install a newer clawvm-es")


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        hint = "pip install 'clawvm-es[catalogue]'"
        raise UsageError("a lake needs duckdb, which is not installed", hint=hint) from error
    return duckdb


def _quoted(name: str) -> str:
    return f'"{name}"'


def _text(value: str) -> str:
    return value.replace("'", "''")
