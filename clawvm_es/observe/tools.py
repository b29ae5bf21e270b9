"""Tools as data: the reads and writes of a call, the roles of its arguments, and the validity of a stored result.

An undeclared tool is unknown: its name is authored text, it is never deterministic, and it may have changed anything.
`tables` declares the tools of known harnesses; `declared` reads others from a file.
"""

from __future__ import annotations

import ntpath
import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from clawvm_es.model import events
from clawvm_es.model.facts import ResourceClass
from clawvm_es.observe import patches
from clawvm_es.observe.shell import Effect, effect
from clawvm_es.observe.steps import ToolUse

Key: TypeAlias = tuple[ResourceClass, str]
"""A resource key: its class and its text (a path, `tree:` and a path, `user:` and an id)."""
Validator: TypeAlias = Callable[[Mapping[str, Any]], str | None]
"""From a call's arguments to what must be the same for its stored result to hold; None where that cannot be told."""


class Role(StrEnum):
    """Role of an argument; only text that the model took from its context can be a need."""

    PATH = "path"
    COMMAND = "command"
    PATTERN = "pattern"
    REPLACED = "replaced"  # the text that an edit replaces
    WRITTEN = "written"  # text that the model is writing, prose descriptions too
    PATCH = "patch"  # a patch, whose hunks hold the text that they replace
    VALUE = "value"


def _series(values: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(values, str) or callable(values):
        raise TypeError(f"expected a series such as ('file:{{path}}',), got {values!r:.60}")
    return tuple(values)


class Kind(StrEnum):
    """Source of the effects of a tool."""

    PLAIN = "plain"  # by its declaration
    SHELL = "shell"  # by a parse of its command
    PATCH = "patch"  # by the files that its patch names
    EDITOR = "editor"  # by its argument `command`: `view` reads, every other one writes
    OPAQUE = "opaque"  # not at all: it may have changed anything
    PLANNING = "planning"
    MESSAGING = "messaging"


@attrs.frozen
class Tool:
    """A declared tool.

    `path` names the argument that holds a file or directory; with `optional_path` it defaults to the working
    directory. `reads` and `writes` are templates of resource keys over the arguments: `file:{x}` for a file,
    `tree:{x}` for everything below a directory, and any other key (`user:{id}`, `flights`) for resources on a
    network. `roles` gives the roles of arguments, `ignores` names arguments that do not change the result, and
    `defaults` gives the values of arguments that may be left out.

    A stored result is served again only if the tool is `deterministic`, its `reads` are complete, nothing that it
    read was written since, and `validator` returns the same text as when the result was recorded. A tool without a
    validator always runs. `run` and `validator` are code; all other fields are data.
    """

    name: str
    run: Callable[..., str] | None = None
    deterministic: bool = False
    reads: tuple[str, ...] = attrs.field(default=(), converter=_series)
    writes: tuple[str, ...] = attrs.field(default=(), converter=_series)
    invalidates: tuple[ResourceClass, ...] = attrs.field(default=(), converter=_series)
    validator: Validator | None = None
    kind: Kind = Kind.PLAIN
    path: str = ""
    roles: Mapping[str, Role] = MappingProxyType({})
    ignores: tuple[str, ...] = attrs.field(default=(), converter=_series)
    defaults: Mapping[str, object] = MappingProxyType({})
    optional_path: bool = False

    @property
    def silent(self) -> bool:
        """True for planning and messaging tools, which have no signature."""
        return self.kind in (Kind.PLANNING, Kind.MESSAGING)


@attrs.frozen
class Effects:
    """Effects of a call: reads, writes, and invalidated classes; deterministic only if its `reads` are complete.

    `about` is the one file or record named by its arguments: its result shows that resource, or a change of it.
    """

    reads: tuple[Key, ...] = ()
    writes: tuple[Key, ...] = ()
    invalidates: tuple[ResourceClass, ...] = ()
    deterministic: bool = False
    about: Key | None = None


def roles(**names: str) -> Mapping[str, Role]:
    """Roles from keywords: `written="a b"` makes the arguments a and b written text."""
    return MappingProxyType({name: Role(role) for role, listed in names.items() for name in listed.split()})


UNKNOWN_TOOL: Final = Tool(
    events.UNKNOWN_TOOL,
    kind=Kind.OPAQUE,
    roles=roles(
        path="path file_path cwd dir directory folder",
        command="command cmd",
        pattern="pattern regex",
        replaced="old_string oldText old_str",
        written=(
            "description prompt title subject body text message content summary thought reason "
            "new_string newText new_str input code"
        ),
    ),
)
"""Every tool that nobody declared; its arguments have the roles that their usual names tell."""


def table(*tools: Tool) -> Mapping[str, Tool]:
    """Tools by name."""
    return MappingProxyType({tool.name: tool for tool in tools})


def of_kind(kind: Kind, names: str) -> tuple[Tool, ...]:
    """Tools of one kind, with no other declaration."""
    return tuple(Tool(name, kind=kind) for name in names.split())


_SHELLS: Final = frozenset(("bash", "sh", "zsh", "dash"))
_WINDOWS: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_ARGUMENT: Final = re.compile(r"\{([^{}]+)\}")


def absolute(path: str, cwd: str) -> str:
    """`path` made absolute by `cwd`, without `.` and `..`; unchanged if `cwd` is unknown.

    A Windows path gets its drive in upper case and `/` as separator, so that each file has one name.
    """
    if _WINDOWS.match(path) or (_WINDOWS.match(cwd) and not path.startswith(("/", "~"))):
        found = ntpath.normpath(ntpath.join(cwd, path)).replace("\\", "/")
        return found[:1].upper() + found[1:]
    if not path:
        return cwd
    joined = posixpath.join(cwd, path) if cwd and not path.startswith("~") else path
    return posixpath.normpath(joined)


def named(tools: Mapping[str, Tool], name: str) -> Tool:
    """The declared tool of that name, or `UNKNOWN_TOOL`."""
    return tools.get(name, UNKNOWN_TOOL)


def path_of(tool: Tool, use: ToolUse) -> str:
    """The absolute path in a call; else the empty string."""
    path = use.arguments.get(tool.path) if tool.path else None
    if isinstance(path, str) and path:
        return absolute(path, use.cwd)
    return use.cwd if tool.optional_path else ""


def normalised(tool: Tool, use: ToolUse) -> Mapping[str, object]:
    """The arguments that make a call's signature: ignored ones dropped, defaults filled in, the path absolute."""
    arguments = {name: value for name, value in use.arguments.items() if name not in tool.ignores}
    for name, value in tool.defaults.items():
        arguments.setdefault(name, value)
    path = path_of(tool, use)
    if path:
        arguments[tool.path] = path
    if tool.kind is Kind.SHELL and use.cwd:
        arguments.setdefault("cwd", use.cwd)
    return arguments


def effects(tool: Tool, use: ToolUse) -> Effects:
    """Return the effects of a call, by its tool's row and its arguments."""
    if tool.kind is Kind.SHELL:
        return _of_command(command_line(use.arguments), use.cwd)
    if tool.kind is Kind.PATCH:
        return _of_patch("\n".join(v for v in use.arguments.values() if isinstance(v, str)), use.cwd)
    if tool.kind is Kind.OPAQUE:
        return Effects(invalidates=tuple(ResourceClass))
    values = {name: str(value) for name, value in use.arguments.items() if isinstance(value, (str, int))}
    path = path_of(tool, use)
    if path:
        values[tool.path] = path
    wanted, targets = read_by(tool, use), () if _views(tool, use) else tool.writes
    reads = tuple(_keys(wanted, values))
    written = tuple(_keys(targets, values))
    if len(written) < len(targets):
        return Effects(invalidates=tuple(ResourceClass))
    writes = tuple(key for target in written for key in _touched(target))
    named = [target for target in (*wanted, *targets) if "{" in target and not target.startswith("tree:")]
    about = next(iter(_keys(named, values)), None)
    deterministic = tool.deterministic and bool(wanted or not tool.reads) and len(reads) == len(wanted)
    return Effects(reads, writes, tool.invalidates, deterministic, about)


def read_by(tool: Tool, use: ToolUse) -> tuple[str, ...]:
    """The templates of a call's reads: those of its tool; an editor has none unless it views."""
    return tool.reads if tool.kind is not Kind.EDITOR or _views(tool, use) else ()


def _views(tool: Tool, use: ToolUse) -> bool:
    return tool.kind is Kind.EDITOR and use.arguments.get("command") == "view"


def command_line(arguments: Mapping[str, object]) -> str | None:
    """The command line of a shell tool: a text, or words of which the first may be a shell; else None."""
    given = arguments.get("command", arguments.get("cmd"))
    if isinstance(given, str):
        return given
    words: list[str] = given if isinstance(given, list) else []
    if not words or not all(isinstance(word, str) for word in words):
        return None
    if len(words) == 3 and posixpath.basename(words[0]) in _SHELLS and words[1] in ("-c", "-lc", "-cl"):
        return words[2]
    return shlex.join(words)


def _of_command(command: str | None, cwd: str) -> Effects:
    """The effects of a command line: a patch that it applies names what it writes."""
    patch = None if command is None else patches.applied(command)
    if patch is not None:
        return _of_patch(patch.text, absolute(patch.cwd, cwd))
    found = Effect.MAY_WRITE if command is None else effect(command)
    if found is Effect.MAY_WRITE:
        return Effects(invalidates=tuple(ResourceClass))
    return Effects(reads=((ResourceClass.FILE, "tree:/"),), deterministic=found is Effect.READS_FILES)


def _of_patch(text: str, cwd: str) -> Effects:
    """The effects of a patch: the files in it are written; a text that names none may write anything."""
    keys = [(ResourceClass.FILE, absolute(path, cwd)) for path in patches.targets(text)]
    if not keys:
        return Effects(invalidates=tuple(ResourceClass))
    return Effects(writes=tuple(dict.fromkeys(each for key in keys for each in _touched(key))))


def _keys(templates: Iterable[str], values: Mapping[str, str]) -> Iterator[Key]:
    """The keys of the templates whose arguments are all given."""
    for template in templates:
        if all(name in values for name in _ARGUMENT.findall(template)):
            kind, text = _class_of(template)
            yield kind, _ARGUMENT.sub(lambda found: values[found[1]], text)


def _class_of(template: str) -> tuple[ResourceClass, str]:
    """The class of a template's keys, and the template of their text."""
    if template.startswith("file:"):
        return ResourceClass.FILE, template.removeprefix("file:")
    if template.startswith("tree:"):
        return ResourceClass.FILE, template
    return ResourceClass.NETWORK, template


def _touched(key: Key) -> Iterable[Key]:
    """The search keys that a written file changes: those of all directories above it."""
    kind, text = key
    yield key
    if kind is not ResourceClass.FILE:
        return
    yield kind, f"tree:{text}"
    while (parent := posixpath.dirname(text)) not in ("", text):
        yield kind, f"tree:{parent}"
        text = parent
    if text != "/":
        yield kind, "tree:/"
