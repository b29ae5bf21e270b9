"""A format of recorded sessions as one row: its name, how it is told, how it is read, whose tools its calls name."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from clawvm_es.importers.recording import Recording
from clawvm_es.observe.fields import Fields

Parse = Callable[[bytes, str], tuple[Recording, ...]]
"""(bytes of a file, its name for errors) → the sessions in it, main ones before those of their subagents."""


def nothing(value: object) -> bool:
    """A test that no value passes."""
    return False


@attrs.frozen
class Format:
    """One format.

    A file has it if its bytes pass `is_file`, else if one of its first records passes `is_record`, else if it is (or
    holds, as an item or a line) a value that passes `is_session`. `tools` names the table of `observe.tools` that its
    calls are looked up in. `version` counts the releases in which the same file became other steps.
    """

    name: str
    parse: Parse
    tools: str
    is_record: Callable[[Fields], bool] = nothing
    is_session: Callable[[object], bool] = nothing
    is_file: Callable[[bytes], bool] = nothing
    version: int = 1
