"""Files that are one JSON text, or hold whole sessions as the items of an array or on lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers.recording import Recording, Skip, Skips
from clawvm_es.importers.records import BOM, read_lines
from clawvm_es.importers.transcript import Transcript
from clawvm_es.observe.fields import Fields, TooDeep, parse_json


def read_document(data: bytes, name: str) -> object:
    """The value of a file that is one JSON text. Raises `UnreadableInput` if it is damaged."""
    try:
        return parse_json(data.removeprefix(BOM).decode("utf-8", "surrogatepass").strip())
    except TooDeep:
        raise UnreadableInput(f"{name}: is nested too deep", hint="flatten it") from None
    except ValueError as error:
        raise UnreadableInput(f"{name}: is not JSON: {error}", hint="is it cut off?") from None


def read_sessions(data: bytes, name: str, is_session: Callable[[object], bool]) -> tuple[list[Fields], Skips]:
    """The sessions of a file (one JSON text, an array, or JSON Lines), and what was skipped between them.

    A session that is a bare list is put into the field `history`. Raises `UnreadableInput` if the file holds none.
    """
    try:
        value = read_document(data, name)
    except UnreadableInput:
        records, skipped = read_lines(data)
        values: list[object] = [record.data.raw for record in records]
        if not any(map(is_session, values)):
            raise
    else:
        skipped = Skips()
        values = value if isinstance(value, list) and not is_session(value) else [value]
    kept = [each for each in values if is_session(each)]
    if not kept:
        raise UnreadableInput(f"{name}: holds no session of the format named", hint="leave --format out")
    if missing := len(values) - len(kept):
        skipped.add(Skip.MALFORMED_RECORD, times=missing)
    return [Fields({"history": each}) if isinstance(each, list) else Fields.of(each) for each in kept], skipped


def recordings(
    sessions: Iterable[tuple[str, Transcript]], skipped: Skips, format_: str, name: str
) -> tuple[Recording, ...]:
    """The sessions of a file, each id once; the first one counts what was skipped between them."""
    found: dict[str, Transcript] = {}
    for session_id, into in sessions:
        if session_id in found:
            found[session_id].skip(Skip.DUPLICATE_RECORD)
        else:
            found[session_id] = into
    for into in [*found.values()][:1]:
        into.skipped.update(skipped)
    return tuple(into.recording(session_id, format_, name) for session_id, into in found.items())
