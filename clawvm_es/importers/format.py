"""A format of recorded sessions as one row: its name, how it is told, how it is read, whose tools its calls name."""

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
    """A test that no value passes."""
    return False


@attrs.frozen
class Part:
    """A session of a file that is being read. Its id is empty until a row tells it.

    It is `partial` where the file shows only a part of it, as a subagent's progress.
    """

    session_id: str
    into: Transcript
    linked_to: str | None = None
    resumed_from: str | None = None
    partial: bool = False


@attrs.frozen
class Reader:
    """Reads a file of lines one record at a time: the state of a file, what a record does to it, its sessions.

    A state is made of plain values and attrs classes, so that it can be kept. `end` gives the recordings of a file
    that was read to its end, from the state, the file's name and what was skipped between its records; one without an
    id is named by the content of the whole file. A reader without `end` keeps what it read.
    """

    begin: Callable[[], Any]
    read: Callable[[Any, Record], None]
    parts: Callable[[Any], Sequence[Part]]
    end: Callable[[Any, str, Skips], tuple[Recording, ...]] | None = None


class Growth(Enum):
    """Ways in which a file is followed that has no reader of lines."""

    READ_AGAIN = "it is read again when it has changed"
    UNORDERED = "its rows come in the order in which things ended, not in which they happened"
    UNNAMED = "its sessions are named by their whole content, so they get another name when it grows"


@attrs.frozen
class Format:
    """One format.

    A file has it if its bytes pass `is_file`, else if one of its first records passes `is_record`, else if it is (or
    holds, as an item or a line) a value that passes `is_session`. `tools` names the table of `observe.tools` that its
    calls are looked up in. `version` counts the releases in which the same file became other steps.
    A file that grows is followed by its `reader`; without one, as `growth` says.
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
