"""Recordings that nearly are good ones, and what is read of each, in one word.

`python -m tests.importers.near_misses` writes `near_misses/*.txt` anew; `formats.txt` has what is told of files whose
format is not named, `damaged.txt` what is read of files that are cut off or otherwise damaged.

One place of a good file is changed at a time: it is missing, is of another type, says something else, or is there
twice. The odd-JSON tests prove that each such file is read or refused in one line; these words prove that it is
still read as it was. A word has the number of steps, the number of skipped records and a digest of both.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import msgspec

from clawvm_es.errors import ClawVMError
from clawvm_es.importers import FORMATS, Recording, read_bytes
from clawvm_es.importers.detect import detect_bytes
from tests.importers import bases, rare_bases, rare_sessions, rare_spans, spans
from tests.importers.test_odd_json import BASES, places, written
from tests.importers.test_odd_rows import CASES

DEEP_FIELDS = 4
"""Fields that lie deeper tell no format."""
HERE = Path(__file__).resolve().parent / "near_misses"
OTEL = {
    "otel: attributes": [spans.export(spans.conventions()[0])],
    "otel: OpenInference": [spans.export(spans.openinference()[1], spans.span(3, bases.TOOL_SPAN, parent=1))],
    "otel: events": [spans.export(spans.events()[1])],
}
FILES = {
    **{name: (lambda rows, name=name: written(name, rows), rows, name) for name, rows in BASES.items()},
    **{name: (lambda rows: written("otel", rows), rows, "otel") for name, rows in OTEL.items()},
    **{name: (made, rows, format_) for name, made, rows, format_ in CASES},
    "gemini: a document": (
        lambda rows: json.dumps(rows[0] if rows else None).encode(),
        bases.GEMINI_DOCUMENT,
        "gemini",
    ),
    "inspect: an archive": (rare_sessions.archive, rare_sessions.ARCHIVE, "inspect"),
    **{
        f"{name}, plain": (lambda rows: written("otel", rows), made(), "otel")
        for name, made in rare_spans.RARE.items()
    },
    "otel: parts": (rare_bases.of_parts, rare_bases.PARTS, "otel"),
    "codex: rare rows": (lambda rows: written("codex", rows), rare_bases.CODEX, "codex"),
    "claude: branches": (lambda rows: written("claude_code", rows), rare_bases.CLAUDE, "claude_code"),
    **{
        name: (lambda rows, format_=format_: written(format_, rows), rows, format_)
        for name, (format_, rows) in rare_sessions.RARE.items()
    },
}
"""Name → what makes a file of rows, good rows, their format."""
del FILES["otel"]  # the three one by one, which is quicker


def near(rows: list[Any]) -> Iterator[tuple[str, list[list[Any]]]]:
    """Each place of rows, and the rows that are changed there: missing, of another type, other, and twice."""
    yield "as it is", [rows]
    for path in places(rows):
        value = at(rows, path)
        yield ".".join(map(str, path)), [put(rows, path, each) for each in _others(value, path[-1])]


def _others(value: Any, key: str | int) -> Iterator[tuple[Any, ...]]:
    """What is put in the place of a value at a key or an index: nothing, one value, or two."""
    yield ()
    yield ("x" if isinstance(value, (int, float)) or value is None else 7,)
    if isinstance(value, bool) or value is None:
        yield (not value,)
    elif isinstance(value, (int, float)):
        yield (value + 1,)
    elif isinstance(value, str):
        yield (f"{value}x",)
    if isinstance(key, int):
        yield value, value


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path."""
    for key in path:
        value = value[key]
    return value


def put(value: Any, path: tuple[Any, ...], new: tuple[Any, ...]) -> Any:
    """A value with others in the place at a path; what is not on the path is shared."""
    key, *rest = path
    made = (put(value[key], tuple(rest), new),) if rest else new
    if isinstance(value, list):
        return [*value[:key], *made, *value[key + 1 :]]
    return {name: item for name, old in value.items() for item in ((old,) if name != key else made)}


def word(data: bytes, format_: str | None) -> str:
    """What is read of a file: a word for each of its recordings, or `refused`."""
    try:
        found = read_bytes(data, "f.jsonl", format_)
    except ClawVMError:
        return "refused"
    return "+".join(map(_word, found)) or "none"


def _word(recording: Recording) -> str:
    digest = hashlib.sha256(json.dumps(told(recording)).encode()).hexdigest()[:6]
    return f"{len(recording.steps)}-{sum(recording.skipped.values())}:{digest}"


def told(value: Any) -> Any:
    """A value as JSON; of an object its class and the fields that are not as they are by default."""
    if attrs.has(type(value)):
        fields = attrs.fields(type(value))
        said = {each.name: getattr(value, each.name) for each in fields}
        return [type(value).__name__, {f.name: told(said[f.name]) for f in fields if said[f.name] != f.default}]
    if isinstance(value, msgspec.Struct):
        return [type(value).__name__, told(msgspec.to_builtins(value))]
    if isinstance(value, Mapping):
        return [[told(key), told(item)] for key, item in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [told(item) for item in value]
        return sorted(items, key=str) if isinstance(value, (set, frozenset)) else items
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda data: data[: len(data) // 2],
    "all but the end": lambda data: data.rstrip()[:-1],
    "all but the beginning": lambda data: data[1:],
    "after a broken line": lambda data: b'{"a": \n' + data,
    "after a word": lambda data: b"word\n" + data,
    "after a mark": lambda data: b"\xef\xbb\xbf" + data,
    "after empty lines": lambda data: b"\n \r\n" + data,
    "with lines of DOS": lambda data: data.replace(b"\n", b"\r\n"),
    "twice": lambda data: data + b"\n" + data,
    "in a list": lambda data: b"[" + data.strip().replace(b"\n", b",") + b"]",
    "spread": lambda data: data.replace(b"{", b"{\n"),
    "in two bytes": lambda data: data.decode().encode("utf-16"),
    "not in UTF-8": lambda data: data.replace(b"hi", b"h\xff"),
    "with a zero": lambda data: data.replace(b"hi", b"h\0"),
    "white space": lambda data: b" \n",
    "a number": lambda data: b"7",
    "an empty list": lambda data: b"[]",
    "an empty object": lambda data: b"{}",
}
"""What is made of a file → the bytes that are left of it."""


def damaged() -> Iterator[str]:
    """A line for each file of text and each damage: what is read where its format is named, and where it is not."""
    for name, (make, rows, format_) in FILES.items():
        for damage, made in DAMAGES.items() if make is not rare_sessions.archive else ():
            data = made(make(rows))
            yield f"{name}, {damage}: {_read(data, format_)} {_read(data, None)}"


def _read(data: bytes, format_: str | None) -> str:
    try:
        return "+".join(map(_word, read_bytes(data, "f.jsonl", format_))) or "none"
    except ClawVMError as error:  # of a parser's own words, which its version may change, the beginning
        return f"({' '.join(re.split(r': | [(]', str(error))[1].split()[:7])})"


def words(format_: str) -> Iterator[str]:
    """A line for each place of each file of a format: its path and a word for each change."""
    for name, (make, rows, known) in FILES.items():
        if known == format_:
            yield f"== {name}"
            for place, found in near(rows):
                yield f"{place} {' '.join(word(make(each), format_) for each in found)}"


def formats() -> Iterator[str]:
    """A line for each row of each file: the format told of it alone, and where another is without a field."""
    for name, (make, rows, _) in FILES.items():
        yield f"== {name} {_format(make(rows))}"
        for number, row in enumerate(rows):
            fields = [path for path in places([row]) if 1 < len(path) < DEEP_FIELDS and isinstance(path[-1], str)]
            whole, told = _format(make([row])), {path: _format(make(put([row], path, ()))) for path in fields}
            other = (f"{'.'.join(map(str, path[1:]))}: {each}" for path, each in told.items() if each != whole)
            yield "; ".join([f"{number} {whole}", *other])


def _format(data: bytes) -> str:
    try:
        return detect_bytes(data, "f")
    except ClawVMError as error:
        return str(error).removeprefix("f: ").partition(" (")[0]


def main() -> None:
    """Write the words of all formats."""
    HERE.mkdir(exist_ok=True)
    (HERE / "formats.txt").write_text("\n".join(formats()) + "\n", encoding="utf-8")
    (HERE / "damaged.txt").write_text("\n".join(damaged()) + "\n", encoding="utf-8")
    for name in FORMATS:
        (HERE / f"{name}.txt").write_text("\n".join(words(name)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
