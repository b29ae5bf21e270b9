"""The tools of coding agents other than Claude Code and pi: one table per agent, with the tool names of its calls."""

from __future__ import annotations

from typing import Final

import attrs

from clawvm_es.observe.tools import Kind, Tool, of_kind, roles, table

_SHELL_ROLES: Final = roles(command="command cmd", written="justification description")
_SHELL_IGNORED: Final = (
    *("description", "timeout", "timeout_ms", "yield_time_ms", "max_output_tokens", "justification", "login", "tty"),
    *("sandbox_permissions", "with_escalated_permissions", "prefix_rule"),
)


def _search(name: str, path: str) -> Tool:
    return Tool(
        name,
        deterministic=True,
        path=path,
        optional_path=True,
        reads=(f"tree:{{{path}}}",),
        roles=roles(path=f"{path} include", pattern="pattern"),
    )


CODEX_TOOLS: Final = table(
    *(
        Tool(name, kind=Kind.SHELL, roles=_SHELL_ROLES, ignores=_SHELL_IGNORED)
        for name in ("shell", "shell_command", "local_shell", "container.exec", "exec_command", "unified_exec")
    ),
    Tool("apply_patch", kind=Kind.PATCH, roles=roles(patch="input patch")),
    Tool(
        "read_file",
        deterministic=True,
        path="file_path",
        reads=("file:{file_path}",),
        roles=roles(path="file_path"),
    ),
    Tool("list_dir", deterministic=True, path="dir_path", reads=("tree:{dir_path}",), roles=roles(path="dir_path")),
    _search("grep_files", "path"),
    Tool("view_image", roles=roles(path="path")),
    Tool("update_plan", kind=Kind.PLANNING),
    *of_kind(
        Kind.PLAIN,
        "web_search tool_search image_generation list_mcp_resources list_mcp_resource_templates read_mcp_resource "
        "get_goal list_agents wait wait_agent",
    ),
    *of_kind(Kind.MESSAGING, "request_user_input send_message send_input"),
    *(
        Tool(name, kind=Kind.OPAQUE, roles=roles(written="message prompt items task_name agent_type"))
        for name in ("spawn_agent", "followup_task", "resume_agent", "close_agent")
    ),
)


GEMINI_TOOLS: Final = table(
    Tool(
        "read_file",
        deterministic=True,
        path="file_path",
        reads=("file:{file_path}",),
        roles=roles(path="file_path absolute_path"),
    ),
    Tool("read_many_files", roles=roles(path="paths include exclude")),
    Tool(
        "list_directory",
        deterministic=True,
        path="dir_path",
        reads=("tree:{dir_path}",),
        roles=roles(path="dir_path"),
    ),
    *(_search(name, "dir_path") for name in ("glob", "grep_search", "search_file_content")),
    Tool(
        "write_file",
        path="file_path",
        writes=("file:{file_path}",),
        roles=roles(path="file_path", written="content"),
    ),
    Tool(
        "replace",
        path="file_path",
        writes=("file:{file_path}",),
        roles=roles(path="file_path", replaced="old_string", written="new_string instruction"),
    ),
    Tool("run_shell_command", kind=Kind.SHELL, roles=_SHELL_ROLES, ignores=_SHELL_IGNORED),
    Tool("web_fetch", roles=roles(written="prompt")),
    Tool("google_web_search", roles=roles(written="query")),
    Tool("save_memory", roles=roles(written="fact")),
    Tool("activate_skill", roles=roles(written="name")),
    *of_kind(Kind.PLANNING, "write_todos enter_plan_mode exit_plan_mode"),
    Tool("ask_user", kind=Kind.MESSAGING),
    *(
        Tool(name, kind=Kind.OPAQUE, roles=roles(written="objective prompt query task"))
        for name in ("codebase_investigator", "delegate_to_agent", "cli_help", "generalist")
    ),
)

_EDITOR: Final = Tool(
    "str_replace_editor",
    kind=Kind.EDITOR,
    deterministic=True,
    path="path",
    reads=("file:{path}", "tree:{path}"),
    writes=("file:{path}",),
    roles=roles(path="path", replaced="old_str", written="new_str file_text insert_text command"),
)
"""The editor of many agents: it views files and folders, and changes files."""


def _editor(name: str) -> Tool:
    return attrs.evolve(_EDITOR, name=name)


SWEAGENT_TOOLS: Final = table(
    Tool("bash", kind=Kind.SHELL, roles=_SHELL_ROLES, ignores=_SHELL_IGNORED),
    Tool("open", deterministic=True, path="path", reads=("file:{path}",), roles=roles(path="path")),
    Tool("create", path="filename", writes=("file:{filename}",), roles=roles(path="filename")),
    Tool("search_file", roles=roles(path="file", pattern="search_term")),
    *(
        Tool(
            name,
            deterministic=True,
            path="dir",
            optional_path=True,
            reads=("tree:{dir}",),
            roles=roles(path="dir", pattern="search_term file_name"),
        )
        for name in ("search_dir", "find_file")
    ),
    *(
        Tool(name, kind=Kind.OPAQUE, roles=roles(replaced="search", written="replace text"))
        for name in ("edit", "insert")
    ),
    *of_kind(Kind.PLAIN, "goto scroll_up scroll_down view_image"),
    Tool("submit", kind=Kind.MESSAGING),
    _EDITOR,
)

OPENHANDS_TOOLS: Final = table(
    *(
        Tool(name, kind=Kind.SHELL, roles=_SHELL_ROLES, ignores=(*_SHELL_IGNORED, "is_input", "security_risk"))
        for name in ("execute_bash", "run", "terminal")
    ),
    _EDITOR,
    _editor("file_editor"),
    Tool(
        "read",
        deterministic=True,
        path="path",
        reads=("file:{path}",),
        roles=roles(path="path"),
        ignores=("impl_source", "security_risk"),
    ),
    Tool("write", path="path", writes=("file:{path}",), roles=roles(path="path", written="content")),
    Tool(
        "edit",
        path="path",
        writes=("file:{path}",),
        roles=roles(path="path", replaced="old_str", written="new_str file_text content"),
    ),
    Tool("edit_file", path="path", writes=("file:{path}",), roles=roles(path="path", written="content")),
    *(
        Tool(name, kind=Kind.OPAQUE, roles=roles(written="code"))
        for name in ("execute_ipython_cell", "run_ipython", "browser", "browse_interactive", "delegate")
    ),
    *of_kind(Kind.PLAIN, "web_read browse"),
    Tool("think", kind=Kind.PLANNING, roles=roles(written="thought")),
    *of_kind(Kind.PLANNING, "task_tracker task_tracking"),
    *(Tool(name, kind=Kind.MESSAGING, roles=roles(written="message final_thought")) for name in ("finish", "reject")),
)

INSPECT_TOOLS: Final = table(
    Tool("bash", kind=Kind.SHELL, roles=roles(command="cmd command"), ignores=_SHELL_IGNORED),
    *(
        Tool(name, kind=Kind.OPAQUE, roles=roles(written="code input"))
        for name in ("python", "bash_session", "computer")
    ),
    _editor("text_editor"),
    Tool("web_search", roles=roles(written="query")),
    *of_kind(Kind.PLAIN, "web_browser_go web_browser_click web_browser_scroll web_browser_back web_browser_forward"),
    *of_kind(Kind.PLAIN, "web_browser_refresh web_browser_type web_browser_type_submit"),
    Tool("think", kind=Kind.PLANNING, roles=roles(written="thought")),
    Tool("update_plan", kind=Kind.PLANNING),
    Tool("submit", kind=Kind.MESSAGING, roles=roles(written="answer")),
)
