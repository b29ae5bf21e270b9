"""The tables of known harnesses: what each says of its tools is what the harness does."""

from __future__ import annotations

import pytest

from clawvm_es.model.facts import ResourceClass
from clawvm_es.observe.steps import ToolUse
from clawvm_es.observe.tables import TABLES
from clawvm_es.observe.tools import Kind, effects, path_of, roles
from tests.observe.tool_tables import HERE as DECLARED
from tests.observe.tool_tables import words

TOOLS = [(format_, name) for format_, tools in TABLES.items() for name in tools]
HERE = {
    "claude_code": {"Grep", "Glob", "LS"},
    "pi": {"grep", "find", "ls"},
    "codex": {"grep_files"},
    "gemini": {"glob", "grep_search", "search_file_content"},
    "sweagent": {"search_dir", "find_file"},
}
"""Tools that look into the working directory where they are told none."""
READING = {
    "claude_code": {"Read", "NotebookRead"},
    "pi": {"read"},
    "codex": {"read_file", "list_dir"},
    "gemini": {"read_file", "list_directory"},
    "sweagent": {"open", "str_replace_editor"},
    "openhands": {"str_replace_editor", "file_editor", "read"},
    "inspect": {"text_editor"},
}
"""Other tools whose result can be served again as long as nothing is written."""
DEFAULTS = {
    ("claude_code", "Read"): {"offset": 1, "limit": 2000},
    ("claude_code", "Grep"): {"output_mode": "files_with_matches", "-i": False, "multiline": False},
    ("claude_code", "Edit"): {"replace_all": False},
    ("pi", "read"): {"offset": 1, "limit": 2000},
}


@pytest.mark.parametrize(("format_", "name"), TOOLS)
def test_a_tool_is_named_as_its_table_names_it(format_, name) -> None:
    """Its paths, its defaults and what it repeats are those that its harness has."""
    tool = TABLES[format_][name]
    here = name in HERE.get(format_, ())
    lookup = format_ == "openai_chat" and (
        name.startswith(("get_", "search_", "list_", "find_")) or name == "calculate"
    )
    assert tool.name == name
    assert tool.optional_path == here
    assert tool.deterministic == (here or lookup or name in READING.get(format_, ()))
    assert dict(tool.defaults) == DEFAULTS.get((format_, name), {})
    assert path_of(tool, ToolUse(1, name, {}, "/w")) == ("/w" if here else "")
    if tool.path:
        assert tool.roles[tool.path].value == "path" or format_ == "openai_chat"
        assert path_of(tool, ToolUse(1, name, {tool.path: "a/b"}, "/w")) == "/w/a/b"


@pytest.mark.parametrize(("format_", "name"), [each for each in TOOLS if TABLES[each[0]][each[1]].path])
def test_a_tool_with_a_path_reads_or_writes_it(format_, name) -> None:
    """A file that is named is read or written, a folder is read with all below it."""
    tool = TABLES[format_][name]
    found = effects(tool, ToolUse(1, name, {tool.path: "a/b", "command": "create"}, "/w"))
    reads, writes = (
        {text for kind, text in each if kind is ResourceClass.FILE} for each in (found.reads, found.writes)
    )
    if tool.deterministic and tool.kind is not Kind.EDITOR:
        assert reads in ({"/w/a/b"}, {"tree:/w/a/b"}) and not writes
    else:
        assert writes == {"/w/a/b", "tree:/w/a/b", "tree:/w/a", "tree:/w", "tree:/"} and not found.deterministic


def test_silent_tools_are_those_that_plan_or_talk() -> None:
    """Nothing else is left without a signature."""
    silent = {name for tools in TABLES.values() for name, tool in tools.items() if tool.silent}
    assert {"TodoWrite", "update_plan", "think", "submit", "finish", "AskUserQuestion"} <= silent
    assert not silent & {"Bash", "Task", "Read", "apply_patch", "WebFetch"}
    assert roles(path="a b", written="c") == {"a": "path", "b": "path", "c": "written"}


def test_all_that_is_declared_of_a_tool_is_what_it_was() -> None:
    """What calls of old recordings read, wrote and needed hangs on every declaration, so a change of one is meant.

    Then `python -m tests.observe.tool_tables` writes the lines anew.
    """
    assert list(words()) == DECLARED.read_text(encoding="utf-8").splitlines()
