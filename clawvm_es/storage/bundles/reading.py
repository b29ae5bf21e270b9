"""Read one whole bundle: its events, its bodies, and the digest in its last line."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator

import attrs

from clawvm_es import files
from clawvm_es.errors import UnreadableInput
from clawvm_es.journal.bundled import AGAIN, COMMITMENT, EVENT, Header, body_of, fields_of, header_of, line_of, row_of
from clawvm_es.journal.ports import Recorded

_GZIP = b"\x1f\x8b"


@attrs.frozen
class Bundle:
    """The events and bodies of a bundle."""

    path: str
    header: Header
    rows: list[Recorded]
    bodies: list[tuple[str, bytes, bytes | None]]


def lines(path: str) -> Iterator[bytes]:
    """The lines of a bundle, packed or not, with their ends. Raises `UnreadableInput`."""
    try:
        with files.open_regular(path) as file:
            packed = file.peek(2)[:2] == _GZIP
            if not packed:
                yield from file
                return
            with gzip.open(file) as unpacked:
                yield from unpacked
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror or error}", hint=AGAIN) from error
    except (EOFError, zlib.error) as error:
        raise UnreadableInput(f"{path}: cut or changed: {error}", hint=AGAIN) from error


def header(path: str) -> Header:
    """The first line of a bundle that is as long, and has the bytes, that its last line says."""
    numbered = _checked(path)
    found = header_of(next(numbered)[1], path)
    for _ in numbered:
        pass
    return found


def read(path: str) -> Bundle:
    """Read a bundle; raises `UnreadableInput`, which names the first line that is not as it was made."""
    numbered = _checked(path)
    found = Bundle(path, header_of(next(numbered)[1], path), [], [])
    for number, line in numbered:
        if line.startswith(EVENT):
            found.rows.append(row_of(line_of(line, path, number), f"{path}: line {number}"))
        elif line.startswith(COMMITMENT):
            found.bodies.append(body_of(line, path, number))
    return found


def _checked(path: str) -> Iterator[tuple[int, bytes]]:
    """The numbered lines of a bundle without their ends; raises if the last has not the digest of those before it."""
    digest, end, number = hashlib.sha256(), b"", 0
    for number, whole in enumerate(lines(path), 1):
        digest.update(end and end + b"\n")
        end = whole.removesuffix(b"\n")
        yield number, end
    if number == 0:
        raise UnreadableInput(f"{path} is empty", hint=AGAIN)
    last = fields_of(end, path, number)
    if last.get("line") != "end" or last.get("sha256") != digest.hexdigest():
        raise UnreadableInput(f"{path}: cut, or changed since it was made", hint=AGAIN)
