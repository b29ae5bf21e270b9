"""A format of recorded sessions as one row: its name, detection, parser, and the harness's tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import attrs

from clawvm_es.importers.recording import Recording, Skips
from clawvm_es.importers.records import Record
from clawvm_es.importers.transcript import Transcript
from clawvm_es.observe.fields import Fields

Parse = Callable[[bytes, str], tuple[Recording, ...]]
"""(bytes of a file, its name for errors) → the sessions in it, main ones before those of their subagents."""


def nothing(value: object) -> bool:
    """A test that every value fails."""
    return False


@attrs.frozen
class Part:
    """A session of a file that is being read. Its id is empty until a row names it.

    It is `partial` if the file shows only a part of it, such as a subagent's progress.
    """

    session_id: str
    into: Transcript
    linked_to: str | None = None
    resumed_from: str | None = None
    partial: bool = False


@attrs.frozen
class Reader:
    """Reads a file of lines one record at a time: an initial state, a function that takes a record, and the sessions.

    A state consists of plain values and attrs classes, so that it can be stored. `end` returns the recordings of a
    file that was read to its end, from the state, the file's name and what was skipped between records; a recording
    without an id is named by the content of the whole file. A reader without `end` keeps all that it read.
    """

    begin: Callable[[], Any]
    read: Callable[[Any, Record], None]
    parts: Callable[[Any], Sequence[Part]]
    end: Callable[[Any, str, Skips], tuple[Recording, ...]] | None = None


class Growth(Enum):
    """Ways of following a file that has no reader of lines."""

    READ_AGAIN = "it is read again when it has changed"
    UNORDERED = "its rows come in the order in which things ended, not in which they happened"
    UNNAMED = "its sessions are named by their whole content, so they get another name when it grows"


@attrs.frozen
class Format:
    """One format.

    A file has the format if its bytes pass `is_file`, else if one of its first records passes `is_record`, else if
    it is (or holds, as an item or a line) a value that passes `is_session`. `tools` names the table of
    `observe.tools` for its calls. `version` increases whenever a release parses the same file into other steps. A
    growing file is followed by its `reader`; without one, as `growth` says.
    """

    name: str
    parse: Parse
    tools: str
    is_record: Callable[[Fields], bool] = nothing
    is_session: Callable[[object], bool] = nothing
    is_file: Callable[[bytes], bool] = nothing
    version: int = 1
    reader: Reader | None = None
    growth: Growth = Growth.READ_AGAIN
