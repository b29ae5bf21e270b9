"""The tools of known harnesses, one table per harness."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from clawvm_es.observe.agents import CODEX_TOOLS, GEMINI_TOOLS, INSPECT_TOOLS, OPENHANDS_TOOLS, SWEAGENT_TOOLS
from clawvm_es.observe.tools import Kind, Tool, of_kind, roles, table

_SEARCH_ROLES: Final = roles(path="path glob", pattern="pattern")
_IGNORED: Final = ("description", "timeout", "run_in_background")

CLAUDE_CODE_TOOLS: Final = table(
    Tool(
        "Read",
        deterministic=True,
        path="file_path",
        reads=("file:{file_path}",),
        roles=roles(path="file_path"),
        defaults=MappingProxyType({"offset": 1, "limit": 2000}),
    ),
    Tool(
        "NotebookRead",
        deterministic=True,
        path="notebook_path",
        reads=("file:{notebook_path}",),
        roles=roles(path="notebook_path"),
    ),
    Tool(
        "Grep",
        deterministic=True,
        path="path",
        optional_path=True,
        reads=("tree:{path}",),
        roles=_SEARCH_ROLES,
        defaults=MappingProxyType({"output_mode": "files_with_matches", "-i": False, "multiline": False}),
    ),
    Tool(
        "Glob",
        deterministic=True,
        path="path",
        optional_path=True,
        reads=("tree:{path}",),
        roles=_SEARCH_ROLES,
    ),
    Tool(
        "LS",
        deterministic=True,
        path="path",
        optional_path=True,
        reads=("tree:{path}",),
        roles=_SEARCH_ROLES,
    ),
    Tool(
        "Edit",
        path="file_path",
        writes=("file:{file_path}",),
        roles=roles(path="file_path", replaced="old_string", written="new_string"),
        defaults=MappingProxyType({"replace_all": False}),
    ),
    Tool(
        "MultiEdit",
        path="file_path",
        writes=("file:{file_path}",),
        roles=roles(path="file_path", replaced="old_string", written="new_string"),
    ),
    Tool(
        "Write",
        path="file_path",
        writes=("file:{file_path}",),
        roles=roles(path="file_path", written="content"),
    ),
    Tool(
        "NotebookEdit",
        path="notebook_path",
        writes=("file:{notebook_path}",),
        roles=roles(path="notebook_path", written="new_source"),
    ),
    Tool("Bash", kind=Kind.SHELL, roles=roles(command="command", written="description"), ignores=_IGNORED),
    *of_kind(Kind.PLAIN, "BashOutput KillBash KillShell TaskOutput TaskStop ToolSearch"),
    Tool("Task", kind=Kind.OPAQUE, roles=roles(written="description prompt subagent_type model")),
    Tool("Agent", kind=Kind.OPAQUE, roles=roles(written="description prompt subagent_type model")),
    Tool("WebFetch", kind=Kind.PLAIN, roles=roles(written="prompt")),
    Tool("WebSearch", kind=Kind.PLAIN),
    Tool("Skill", kind=Kind.PLAIN, roles=roles(written="skill args")),
    *of_kind(
        Kind.PLANNING,
        "TodoWrite TodoRead TaskCreate TaskUpdate TaskList TaskGet update_plan "
        "EnterPlanMode ExitPlanMode exit_plan_mode",
    ),
    *of_kind(Kind.MESSAGING, "AskUserQuestion SendMessage SendUserMessage"),
)

PI_TOOLS: Final = table(
    Tool(
        "read",
        deterministic=True,
        path="path",
        reads=("file:{path}",),
        roles=roles(path="path"),
        defaults=MappingProxyType({"offset": 1, "limit": 2000}),
    ),
    *(
        Tool(
            name,
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
        path="path",
        writes=("file:{path}",),
        roles=roles(path="path", replaced="oldText", written="newText"),
    ),
    Tool("write", path="path", writes=("file:{path}",), roles=roles(path="path", written="content")),
    Tool("bash", kind=Kind.SHELL, roles=roles(command="command", written="description"), ignores=_IGNORED),
    Tool("update_plan", kind=Kind.PLANNING),
)


def _lookup(name: str, *reads: str) -> Tool:
    return Tool(name, deterministic=True, reads=reads)


def _change(name: str, *writes: str) -> Tool:
    return Tool(name, writes=writes)


_ORDER_CHANGES: Final = (
    "cancel_pending_order exchange_delivered_order_items modify_pending_order_address modify_pending_order_items "
    "modify_pending_order_payment return_delivered_order_items"
)
_RESERVATION_CHANGES: Final = (
    "cancel_reservation update_reservation_flights update_reservation_baggages update_reservation_passengers"
)

TAUBENCH_TOOLS: Final = table(
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
    Tool("think", kind=Kind.PLANNING, roles=roles(written="thought")),
    Tool("transfer_to_human_agents", kind=Kind.MESSAGING, roles=roles(written="summary")),
)

TABLES: Final[Mapping[str, Mapping[str, Tool]]] = MappingProxyType(
    {
        "claude_code": CLAUDE_CODE_TOOLS,
        "pi": PI_TOOLS,
        "openai_chat": TAUBENCH_TOOLS,
        "codex": CODEX_TOOLS,
        "gemini": GEMINI_TOOLS,
        "sweagent": SWEAGENT_TOOLS,
        "openhands": OPENHANDS_TOOLS,
        "inspect": INSPECT_TOOLS,
        "otel": table(),
    }
)
"""Harness → its tools."""
