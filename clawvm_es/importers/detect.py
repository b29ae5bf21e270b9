"""Detection of the format of a file of recorded sessions, by its content, never by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import strangers
from clawvm_es.importers.formats import FORMATS, TABLE
from clawvm_es.importers.packed import unpacked
from clawvm_es.importers.records import BOM, read_lines, utf8
from clawvm_es.observe.fields import Fields, TooDeep, parse_json
from clawvm_es.storage import read_bytes

LOOKED_AT: Final = 64
"""Records at the start of a file that are looked at to tell its format."""


def load(path: Path) -> bytes:
    """The bytes of a file, unpacked. Raises `UnreadableInput` if it is missing, a folder, unreadable or empty."""
    try:
        data = read_bytes(str(path))
    except FileNotFoundError:
        raise UnreadableInput(f"{path}: no such file", hint="check the path") from None
    except IsADirectoryError:
        raise UnreadableInput(f"{path}: is a directory", hint="name the files in it") from None
    except OSError as error:
        raise UnreadableInput(
            f"{path}: {error.strerror or 'cannot be read'}", hint="check its permissions"
        ) from error
    data = unpacked(data, str(path))
    if not data.removeprefix(BOM).strip():
        raise UnreadableInput(f"{path}: is empty", hint="give a recorded session")
    return data


def detect(path: Path) -> str:
    """The format of the file at `path`. Raises `UnreadableInput`."""
    return detect_bytes(load(path), str(path))


def detect_lines(data: bytes, name: str) -> str | None:
    """The format that the first lines show; None if only the whole file can show it. Raises `UnreadableInput`."""
    return _of_lines([record for record in _first(utf8(data)) if not _is_session(record.raw)], name)


def _of_lines(head: list[Fields], name: str) -> str | None:
    if what := strangers.known_objects(head):
        raise _unread(name, what)
    return next((row.name for row in TABLE.values() if any(map(row.is_record, head))), None)


def detect_bytes(data: bytes, name: str) -> str:
    """The format of a file with these bytes; errors show `name`. Raises `UnreadableInput`."""
    for row in TABLE.values():
        if row.is_file(data):
            return row.name
    data = utf8(data)
    records = _first(data)
    head = [record for record in records if not _is_session(record.raw)]
    if (of_lines := _of_lines(head, name)) is not None:
        return of_lines
    values: list[object] = [record.raw for record in records]
    if not values or head:
        values += _values(data) if not values else _document(data)
    for row in TABLE.values():
        if any(map(row.is_session, values)):
            return row.name
    if what := strangers.known_bytes(data) or strangers.known_objects(map(Fields.of, values)):
        raise _unread(name, what)
    known = f"one of {', '.join(FORMATS)}"
    if _is_binary(data):
        raise UnreadableInput(f"{name}: is a binary file", hint=f"give a recorded session, {known}")
    what = "is a session of no known format" if head else _what(data)
    raise UnreadableInput(f"{name}: {what}", hint=f"name its format with --format, {known}")


def _unread(name: str, what: str) -> UnreadableInput:
    return UnreadableInput(
        f"{name}: looks like {what}, which is not read", hint=f"what is read: {', '.join(FORMATS)}"
    )


def _first(data: bytes) -> list[Fields]:
    """The first records of a file of lines."""
    cut = -1
    for _ in range(LOOKED_AT):
        cut = data.find(b"\n", cut + 1)
        if cut < 0:
            break
    return [record.data for record in read_lines(data if cut < 0 else data[: cut + 1])[0]]


def _is_session(value: object) -> bool:
    return any(row.is_session(value) for row in TABLE.values())


def _values(data: bytes) -> Iterator[object]:
    """The JSON values that may be whole sessions: the file, the objects in its array, or the objects on its lines."""
    found = _document(data)
    yield from found if found else (record.data.raw for record in read_lines(data)[0])


def _document(data: bytes) -> list[object]:
    """The value of a file that is one JSON text, and the objects in it if it is an array."""
    try:
        value = parse_json(data.removeprefix(BOM).decode("utf-8", "surrogatepass").strip())
    except ValueError:
        return []
    return [value, *(item for item in value if isinstance(item, dict))] if isinstance(value, list) else [value]


def _what(data: bytes) -> str:
    """Describe the fault of a file without one record."""
    text = data.removeprefix(BOM).decode("utf-8", "replace").strip()
    if text.startswith(("[", "{")):
        try:
            parse_json(text)
        except TooDeep:
            return "is nested too deep"
        except ValueError:
            return "is JSON that ends early or is damaged"
    return "is a session of no known format"


def _is_binary(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return True
    return b"\0" in data
