"""Tools that a harness declares: a ready-made file reader, and declarations in a TOML or JSON file.

A file has one table per tool: `name`, and any other field of `Tool` that is data. `validator` names one of
`VALIDATORS`.

LAW-DECLARED-1: an unknown field, name or type is refused with its path.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from clawvm_es.errors import UnreadableInput
from clawvm_es.model.facts import ResourceClass
from clawvm_es.observe.tools import Kind, Role, Tool, Validator

if TYPE_CHECKING:
    from cattrs import Converter


def file_validator(argument: str = "path") -> Validator:
    """A validator for the file named by `argument`: its size, mtime_ns and inode; None if it cannot be read."""

    def validate(arguments: Mapping[str, Any]) -> str | None:
        try:
            found = os.stat(str(arguments[argument]))
        except OSError:
            return None
        return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ino}"

    return validate


VALIDATORS: Final = MappingProxyType({"file": file_validator})
"""Name → what makes a validator of the argument that holds the path."""


def file_reader(name: str = "read_file", argument: str = "path") -> Tool:
    """A ready-made tool that reads one text file; its stored result is served while the file is unchanged."""

    def run(**arguments: Any) -> str:
        with open(arguments[argument], encoding="utf-8", errors="surrogateescape") as file:
            return file.read()

    return Tool(
        name,
        run,
        deterministic=True,
        path=argument,
        reads=(f"file:{{{argument}}}",),
        validator=file_validator(argument),
    )


def load_tools(path: str | os.PathLike[str]) -> tuple[Tool, ...]:
    """The tools declared in a file. Raises `UnreadableInput` with the path of the mistake."""
    try:
        text = Path(path).read_bytes().decode()
        found = json.loads(text) if os.fspath(path).endswith(".json") else tomllib.loads(text)
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror or 'cannot be read'}", hint="check the path") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(f"{path}: {error}", hint="give TOML, or JSON in a file named .json") from None
    try:
        return _structured(found)
    except _Wrong as wrong:
        raise UnreadableInput(f"{path}: {wrong}", hint="README lists the fields of a tool") from None


class _Wrong(Exception):
    """A mistake in a declaration, with its path."""


@attrs.frozen
class _Declaration:
    """A tool as declared in a file: the fields of `Tool` that are data."""

    name: str
    deterministic: bool = False
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    invalidates: tuple[ResourceClass, ...] = ()
    validator: Literal["file"] | None = None
    kind: Kind = Kind.PLAIN
    path: str = ""
    roles: dict[str, Role] = attrs.field(factory=dict)
    ignores: tuple[str, ...] = ()
    defaults: dict[str, Any] = attrs.field(factory=dict)
    optional_path: bool = False

    def tool(self) -> Tool:
        """The tool that is declared."""
        fields = attrs.asdict(self, recurse=False)
        fields["validator"] = VALIDATORS[self.validator](self.path) if self.validator else None
        return Tool(**fields)


@attrs.frozen
class _File:
    tools: tuple[_Declaration, ...]


def _structured(found: object) -> tuple[Tool, ...]:
    from cattrs import BaseValidationError, transform_error

    try:
        declared = _converter().structure(found, _File).tools
    except (BaseValidationError, AttributeError, TypeError) as error:
        raise _Wrong(transform_error(error, format_exception=_said)[0].replace(" @ ", " at ")) from None
    for place, each in enumerate(declared):
        if each.validator and not each.path:
            raise _Wrong(f"a validator needs the argument that holds the path at $.tools[{place}].path")
        if each.name in [other.name for other in declared[:place]]:
            raise _Wrong(f"{each.name!r} is declared twice at $.tools[{place}].name")
    return tuple(each.tool() for each in declared)


def _said(error: BaseException, kind: type | None) -> str:
    from cattrs.v import format_exception

    return str(error) if isinstance(error, ValueError) else format_exception(error, kind)


def _converter() -> Converter:
    """A strict converter: no value is converted to a string, number or boolean."""
    from cattrs import Converter

    def exactly(value: object, kind: type) -> object:
        if issubclass(kind, Enum):
            return kind(value)
        if type(value) is not kind:
            raise ValueError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    def series(value: object, _: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValueError("expected an array of strings")
        return tuple(value)

    converter = Converter(forbid_extra_keys=True)
    for kind in (str, bool):
        converter.register_structure_hook(kind, exactly)
    converter.register_structure_hook_func(lambda kind: kind == tuple[str, ...], series)
    return converter
