"""Tools as a live harness declares them: what they read and write, and when a stored result still holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import attrs

from clawvm_es.model.events import UNKNOWN_TOOL
from clawvm_es.model.facts import ResourceClass

Arguments: TypeAlias = Mapping[str, Any]
Keys: TypeAlias = Callable[[Arguments], Iterable[tuple[ResourceClass, str]]]
"""From a call's arguments to the resource keys that it touches."""


def _none(arguments: Arguments) -> Iterable[tuple[ResourceClass, str]]:
    return ()


@attrs.frozen
class Tool:
    """A declared tool.

    A stored result is served again only if the tool is `deterministic`, its `reads` are complete, nothing that
    it read was written since, and `validator` gives the same text now as when the result was recorded. A tool
    without a validator always runs. `planning` tools (to-do lists, messages) have no signature. `ignores` are
    arguments that do not change the result.
    """

    name: str
    run: Callable[..., str] | None = None
    deterministic: bool = False
    reads: Keys = _none
    writes: Keys = _none
    invalidates: tuple[ResourceClass, ...] = ()
    validator: Callable[[Arguments], str | None] | None = None
    planning: bool = False
    ignores: tuple[str, ...] = ()


UNKNOWN = Tool(UNKNOWN_TOOL, invalidates=tuple(ResourceClass))
"""What a tool is that nobody declared: it may have changed anything."""


def file_keys(argument: str = "path") -> Keys:
    """Resource keys of a tool that touches the one file named by `argument`."""
    return lambda arguments: [(ResourceClass.FILE, os.path.abspath(os.fspath(arguments[argument])))]


def file_validator(argument: str = "path") -> Callable[[Arguments], str | None]:
    """A validator for the file named by `argument`: its size, mtime_ns and inode; None if it cannot be read."""

    def validate(arguments: Arguments) -> str | None:
        try:
            found = os.stat(str(arguments[argument]))
        except OSError:
            return None
        return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ino}"

    return validate


def file_reader(name: str = "read_file", argument: str = "path") -> Tool:
    """A ready tool that reads one text file; its stored result is served while the file is unchanged."""

    def run(**arguments: Any) -> str:
        with open(arguments[argument], encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    return Tool(name, run, deterministic=True, reads=file_keys(argument), validator=file_validator(argument))
