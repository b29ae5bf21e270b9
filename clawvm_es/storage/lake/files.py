"""Writing a journal's tables to a lake, and asking the lake in SQL."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from clawvm_es.errors import ClawVMError, UnreadableInput, UsageError
from clawvm_es.files import NO_SPACE, disk_error, mode_of, read_regular, sync_path, write_whole
from clawvm_es.journal.ports import Column
from clawvm_es.storage.lake import manifests
from clawvm_es.storage.lake.manifests import Part

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

    Raises `UsageError` for a folder with other contents, `JournalFull` and `DiskFailed`; then the lake is as it was,
    or the first file that is not whole is told to whoever asks it.
    """
    duckdb = _duckdb()
    try:
        return _write_all(duckdb, folder, journal_id, tables, rows)
    except ClawVMError:
        raise
    except (OSError, duckdb.IOException) as error:
        raise _disk_error(error, folder) from error


def _write_all(
    duckdb: Any, folder: str, journal_id: str, tables: Tables, rows: Mapping[str, Iterable[Sequence[Any]]]
) -> dict[str, int]:
    place = Path(folder)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    marked = (place / MARK).exists()
    if marked:
        _check(place)
    elif any(place.iterdir()):
        raise UsageError(f"{folder} holds other files", hint="name a new or an empty folder")
    with tempfile.TemporaryDirectory(prefix=".", dir=place) as aside:
        made = Path(aside)
        counts = {
            name: _write(duckdb, made / name, journal_id, columns, rows.get(name, ()))
            for name, columns in tables.items()
        }
        parts = {name: manifests.part_of(made / name) for name in tables}
        if not marked:
            write_whole(place / MARK, [msgspec.json.encode({"format": FORMAT, "manifests": True}) + b"\n"])
        _name(place, made, journal_id, parts)
    return counts


def _name(place: Path, made: Path, journal_id: str, parts: Mapping[str, Part]) -> None:
    """Give finished tables their names, after the manifest: if it is interrupted, some are not as it says.

    A new file has the permissions of the lake's mark, one that is replaced keeps its own.
    """
    manifest, mode = place / manifests.FOLDER / f"{journal_id}.json", mode_of(place / MARK)
    again, named = manifest.exists(), list[Path]()
    for name in (manifests.FOLDER, *parts):
        (place / name).mkdir(exist_ok=True)
    write_whole(made / manifest.name, [manifests.encoded(parts)])
    targets = {made / manifest.name: manifest}
    targets |= {made / name: place / name / f"{journal_id}.parquet" for name in parts}
    try:
        for source, target in targets.items():
            named.append(target)
            source.chmod(mode_of(target, mode))
            source.replace(target)
            sync_path(target.parent)
    except BaseException:
        for path in () if again else reversed(named):
            path.unlink(missing_ok=True)
        raise


def _write(duckdb: Any, path: Path, journal_id: str, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> int:
    """Write one table to a file that has no name in the lake yet."""
    names = ["journal_id", *(column.name for column in columns)]
    types = {"journal_id": "VARCHAR"} | {column.name: _TYPES[column.type] for column in columns}
    count, longest = 0, _LINE
    lines = path.with_suffix(".jsonl")
    with lines.open("wb") as file:
        for row in rows:
            line = msgspec.json.encode(dict(zip(names, (journal_id, *row), strict=True))) + b"\n"
            file.write(line)
            count, longest = count + 1, max(longest, len(line))
    with duckdb.connect(config={"threads": 1}) as db:
        read = f"read_json(?, columns = {types!r}, format = 'newline_delimited', maximum_object_size = {longest})"
        made = f"SELECT {', '.join(map(_quoted, names))} FROM {read}"
        group = min(GROUP_MAX, max(_GROUP, -(-count // _GROUP) * _GROUP))
        db.execute(f"COPY ({made}) TO '{_text(str(path))}' (FORMAT parquet, ROW_GROUP_SIZE {group})", [str(lines)])
    lines.unlink()
    sync_path(path)
    return count


def _disk_error(error: Exception, folder: str) -> Exception:
    """The error to raise for one of the system's, or for one that DuckDB tells in words."""
    number = error.errno if isinstance(error, OSError) else _number_in(str(error))
    if number not in (*NO_SPACE, errno.EIO):
        return OSError(number or errno.EIO, os.strerror(number) if number else str(error), folder)
    return disk_error(
        OSError(number, os.strerror(number)), f"{folder} cannot be written", "make room, and export again"
    )


def _number_in(said: str) -> int:
    return next((number for number in errno.errorcode if os.strerror(number) in said), 0)


def ask(folder: str, query: str, tables: Tables) -> tuple[list[str], list[tuple[Any, ...]]]:
    """The columns and rows of a query over all journals of a lake.

    The query sees only the tables, and no other file. Columns that older exports lack are NULL. Raises
    `UnreadableInput` if there is no lake, or a file of it is missing or damaged (LAW-LAKE-3), `UsageError` for a
    query that DuckDB refuses.
    """
    duckdb = _duckdb()
    place = Path(folder).absolute()
    manifests.check(place, tables, _check(place))
    with duckdb.connect() as db:
        for name, columns in tables.items():
            try:
                db.execute(_view(place, name, columns))
            except duckdb.Error as error:
                said = next(iter(str(error).splitlines()), "")
                raise UnreadableInput(f"{place / name}: damaged: {said}", hint=manifests.AGAIN) from error
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


def _check(place: Path) -> bool:
    """Check a lake's mark; returns `True` if it says that every export has a manifest, as since they were made."""
    try:
        found = msgspec.json.decode(read_regular(place / MARK), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise UnreadableInput(
            f"{place}: there is no lake here", hint="clawvm export J --as parquet -o DIR"
        ) from error
    if found.get("format") != FORMAT:
        raise UnreadableInput(f"{place}: the lake has format {found.get('format')}", hint="install a newer clawvm-es")
    return bool(found.get("manifests"))


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        hint = "pip install 'clawvm-es[catalogue]'"
        raise UsageError(
            "an export as Parquet, and a query of it, needs duckdb, which is not installed", hint=hint
        ) from error
    return duckdb


def _quoted(name: str) -> str:
    return f'"{name}"'


def _text(value: str) -> str:
    return value.replace("'", "''")
