"""The declared tools of each harness, as data: what a call reads and writes, and what its arguments are.

A tool that stands in no table is unknown: its name is authored text, it is never deterministic, and it may have
changed whatever anyone reads.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

import attrs

from clawvm_es.model import events
from clawvm_es.model.facts import ResourceClass
from clawvm_es.observe.shell import Effect, effect
from clawvm_es.observe.steps import ToolUse

Key: TypeAlias = tuple[ResourceClass, str]
"""A resource key: its class and its text (a path, `tree:` and a path, `user:` and an id)."""


class Role(StrEnum):
    """What an argument is; only what the model took from its context can be a need (§10)."""

    PATH = "path"
    COMMAND = "command"
    PATTERN = "pattern"
    REPLACED = "replaced"  # the text that an edit replaces
    WRITTEN = "written"  # text that the model is writing, prose descriptions too
    VALUE = "value"


class Kind(StrEnum):
    """What a tool does to the world."""

    READ = "read"
    WRITE = "write"
    SHELL = "shell"
    OPAQUE = "opaque"  # declared, but its effects are not known
    INERT = "inert"  # touches nothing that another tool reads
    PLANNING = "planning"
    MESSAGING = "messaging"


@attrs.frozen
class Tool:
    """One row of a table.

    `path` names the argument that holds a file or directory. `reads` and `writes` are templates of keys over the
    arguments, `file:{x}` and `tree:{x}` for files. `dropped` and `defaults` are the normalisation of signatures.
    """

    name: str
    kind: Kind
    deterministic: bool = False
    path: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    roles: Mapping[str, Role] = MappingProxyType({})
    dropped: tuple[str, ...] = ()
    defaults: Mapping[str, object] = MappingProxyType({})
    optional_path: bool = False  # a missing path means the working directory

    @property
    def silent(self) -> bool:
        """Planning and messaging tools have no signature."""
        return self.kind in (Kind.PLANNING, Kind.MESSAGING)


@attrs.frozen
class Effects:
    """What a call reads, writes and invalidates, and whether it is deterministic (its `reads` are complete).

    `about` is the one file or record that its arguments name: its result shows that, or a change of it.
    """

    reads: tuple[Key, ...] = ()
    writes: tuple[Key, ...] = ()
    invalidates: tuple[ResourceClass, ...] = ()
    deterministic: bool = False
    about: Key | None = None


def _roles(**names: str) -> Mapping[str, Role]:
    """`written="a b"` → a and b are written text."""
    return MappingProxyType({name: Role(role) for role, listed in names.items() for name in listed.split()})


def _table(*tools: Tool) -> Mapping[str, Tool]:
    return MappingProxyType({tool.name: tool for tool in tools})


def _plain(kind: Kind, names: str) -> tuple[Tool, ...]:
    return tuple(Tool(name, kind) for name in names.split())


_SEARCH_ROLES: Final = _roles(path="path glob", pattern="pattern")
_DROPPED: Final = ("description", "timeout", "run_in_background")

CLAUDE_CODE_TOOLS: Final = _table(
    Tool(
        "Read",
        Kind.READ,
        deterministic=True,
        path="file_path",
        reads=("file:{file_path}",),
        roles=_roles(path="file_path"),
        defaults=MappingProxyType({"offset": 1, "limit": 2000}),
    ),
    Tool(
        "NotebookRead",
        Kind.READ,
        deterministic=True,
        path="notebook_path",
        reads=("file:{notebook_path}",),
        roles=_roles(path="notebook_path"),
    ),
    Tool(
        "Grep",
        Kind.READ,
        deterministic=True,
        path="path",
        optional_path=True,
        reads=("tree:{path}",),
        roles=_SEARCH_ROLES,
        defaults=MappingProxyType({"output_mode": "files_with_matches", "-i": False, "multiline": False}),
    ),
    Tool(
        "Glob",
        Kind.READ,
        deterministic=True,
        path="path",
        optional_path=True,
        reads=("tree:{path}",),
        roles=_SEARCH_ROLES,
    ),
    Tool(
        "LS",
        Kind.READ,
        deterministic=True,
        path="path",
        optional_path=True,
        reads=("tree:{path}",),
        roles=_SEARCH_ROLES,
    ),
    Tool(
        "Edit",
        Kind.WRITE,
        path="file_path",
        writes=("file:{file_path}",),
        roles=_roles(path="file_path", replaced="old_string", written="new_string"),
        defaults=MappingProxyType({"replace_all": False}),
    ),
    Tool(
        "MultiEdit",
        Kind.WRITE,
        path="file_path",
        writes=("file:{file_path}",),
        roles=_roles(path="file_path", replaced="old_string", written="new_string"),
    ),
    Tool(
        "Write",
        Kind.WRITE,
        path="file_path",
        writes=("file:{file_path}",),
        roles=_roles(path="file_path", written="content"),
    ),
    Tool(
        "NotebookEdit",
        Kind.WRITE,
        path="notebook_path",
        writes=("file:{notebook_path}",),
        roles=_roles(path="notebook_path", written="new_source"),
    ),
    Tool("Bash", Kind.SHELL, roles=_roles(command="command", written="description"), dropped=_DROPPED),
    *_plain(Kind.INERT, "BashOutput KillBash KillShell TaskOutput TaskStop ToolSearch"),
    Tool("Task", Kind.OPAQUE, roles=_roles(written="description prompt subagent_type model")),
    Tool("Agent", Kind.OPAQUE, roles=_roles(written="description prompt subagent_type model")),
    Tool("WebFetch", Kind.INERT, roles=_roles(written="prompt")),
    Tool("WebSearch", Kind.INERT),
    Tool("Skill", Kind.INERT, roles=_roles(written="skill args")),
    *_plain(
        Kind.PLANNING,
        "TodoWrite TodoRead TaskCreate TaskUpdate TaskList TaskGet update_plan "
        "EnterPlanMode ExitPlanMode exit_plan_mode",
    ),
    *_plain(Kind.MESSAGING, "AskUserQuestion SendMessage SendUserMessage"),
)

PI_TOOLS: Final = _table(
    Tool(
        "read",
        Kind.READ,
        deterministic=True,
        path="path",
        reads=("file:{path}",),
        roles=_roles(path="path"),
        defaults=MappingProxyType({"offset": 1, "limit": 2000}),
    ),
    *(
        Tool(
            name,
            Kind.READ,
            deterministic=True,
            path="path",
            optional_path=True,
            reads=("tree:{path}",),
            roles=_SEARCH_ROLES,
        )
        for name in ("grep", "find", "ls")
    ),
    Tool(
        "edit",
        Kind.WRITE,
        path="path",
        writes=("file:{path}",),
        roles=_roles(path="path", replaced="oldText", written="newText"),
    ),
    Tool("write", Kind.WRITE, path="path", writes=("file:{path}",), roles=_roles(path="path", written="content")),
    Tool("bash", Kind.SHELL, roles=_roles(command="command", written="description"), dropped=_DROPPED),
    Tool("update_plan", Kind.PLANNING),
)


def _lookup(name: str, *reads: str) -> Tool:
    return Tool(name, Kind.READ, deterministic=True, reads=reads)


def _change(name: str, *writes: str) -> Tool:
    return Tool(name, Kind.WRITE, writes=writes)


_ORDER_CHANGES: Final = (
    "cancel_pending_order exchange_delivered_order_items modify_pending_order_address modify_pending_order_items "
    "modify_pending_order_payment return_delivered_order_items"
)
_RESERVATION_CHANGES: Final = (
    "cancel_reservation update_reservation_flights update_reservation_baggages update_reservation_passengers"
)

TAUBENCH_TOOLS: Final = _table(
    _lookup("get_user_details", "user:{user_id}", "users"),
    _lookup("get_reservation_details", "reservation:{reservation_id}"),
    _lookup("search_direct_flight", "flights"),
    _lookup("search_onestop_flight", "flights"),
    _lookup("list_all_airports", "airports"),
    _lookup("get_order_details", "order:{order_id}"),
    _lookup("get_product_details", "products"),
    _lookup("list_all_product_types", "products"),
    _lookup("find_user_id_by_email", "users"),
    _lookup("find_user_id_by_name_zip", "users"),
    _lookup("calculate"),
    _change("book_reservation", "user:{user_id}", "flights"),
    *(_change(name, "reservation:{reservation_id}", "users", "flights") for name in _RESERVATION_CHANGES.split()),
    _change("send_certificate", "user:{user_id}"),
    *(_change(name, "order:{order_id}", "users", "products") for name in _ORDER_CHANGES.split()),
    _change("modify_user_address", "user:{user_id}", "users"),
    Tool("think", Kind.PLANNING, roles=_roles(written="thought")),
    Tool("transfer_to_human_agents", Kind.MESSAGING, roles=_roles(written="summary")),
)

TABLES: Final[Mapping[str, Mapping[str, Tool]]] = MappingProxyType(
    {"claude_code": CLAUDE_CODE_TOOLS, "pi": PI_TOOLS, "openai_chat": TAUBENCH_TOOLS}
)
"""Harness → its tools."""

UNKNOWN_TOOL: Final = Tool(
    events.UNKNOWN_TOOL,
    Kind.OPAQUE,
    roles=_roles(
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
"""The row of all tools that stand in no table; arguments have the roles that their usual names tell."""


def tool_of(harness: str, name: str) -> Tool:
    """The declared row of a tool, or `UNKNOWN_TOOL`."""
    return TABLES.get(harness, {}).get(name, UNKNOWN_TOOL)


def absolute(path: str, cwd: str) -> str:
    """`path` made absolute by `cwd` and without `.` and `..`; left as it is where `cwd` is not known."""
    if not path:
        return cwd
    joined = posixpath.join(cwd, path) if cwd and not path.startswith("~") else path
    return posixpath.normpath(joined)


def path_of(tool: Tool, use: ToolUse) -> str:
    """The absolute path that a call names, or the empty string."""
    path = use.arguments.get(tool.path) if tool.path else None
    if isinstance(path, str) and path:
        return absolute(path, use.cwd)
    return use.cwd if tool.optional_path else ""


def normalised(tool: Tool, use: ToolUse) -> Mapping[str, object]:
    """The arguments that make a call's signature: some dropped, defaults filled in, the path absolute."""
    arguments = {name: value for name, value in use.arguments.items() if name not in tool.dropped}
    for name, value in tool.defaults.items():
        arguments.setdefault(name, value)
    path = path_of(tool, use)
    if path:
        arguments[tool.path] = path
    if tool.kind is Kind.SHELL and use.cwd:
        arguments.setdefault("cwd", use.cwd)
    return arguments


def effects(tool: Tool, use: ToolUse) -> Effects:
    """What a call does, by its tool's row and its arguments."""
    if tool.kind is Kind.SHELL:
        command = use.arguments.get("command")
        found = effect(command) if isinstance(command, str) else Effect.MAY_WRITE
        if found is Effect.MAY_WRITE:
            return Effects(invalidates=tuple(ResourceClass))
        return Effects(reads=((ResourceClass.FILE, "tree:/"),), deterministic=found is Effect.READS_FILES)
    if tool.kind is Kind.OPAQUE:
        return Effects(invalidates=tuple(ResourceClass))
    values = {name: str(value) for name, value in use.arguments.items() if isinstance(value, (str, int))}
    path = path_of(tool, use)
    if path:
        values[tool.path] = path
    reads = tuple(_keys(tool.reads, values))
    written = tuple(_keys(tool.writes, values))
    if len(written) < len(tool.writes):
        return Effects(invalidates=tuple(ResourceClass))
    writes = tuple(key for target in written for key in _touched(target))
    named = [target for target in (*tool.reads, *tool.writes) if "{" in target and not target.startswith("tree:")]
    about = next(iter(_keys(named, values)), None)
    return Effects(reads, writes, (), tool.deterministic and len(reads) == len(tool.reads), about)


def _keys(templates: Iterable[str], values: Mapping[str, str]) -> Iterable[Key]:
    """The keys of templates all of whose arguments are there."""
    for template in templates:
        head, brace, rest = template.partition("{")
        kind = ResourceClass.FILE if head in ("file:", "tree:") else ResourceClass.NETWORK
        if not brace:
            yield kind, template
        elif (value := values.get(rest.removesuffix("}"))) is not None:
            yield kind, (value if head == "file:" else head + value)


def _touched(key: Key) -> Iterable[Key]:
    """A written file changes what a search of any directory above it finds."""
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
