"""The tool tables: what calls read, write and invalidate."""

from __future__ import annotations

import pytest

from clawvm_es.model.facts import ResourceClass
from clawvm_es.observe.steps import ToolUse
from clawvm_es.observe.tables import TABLES
from clawvm_es.observe.tools import UNKNOWN_TOOL, Effects, Kind, effects, named

FILE = ResourceClass.FILE
EVERYTHING = tuple(ResourceClass)


def does(format_: str, name: str, cwd: str = "/w", **arguments: object) -> Effects:
    """The effects of a call."""
    return effects(named(TABLES[format_], name), ToolUse(1, name, arguments, cwd))


def test_a_write_touches_the_trees_above_it() -> None:
    """An edit invalidates reads of its file and searches of every directory above, nothing beside."""
    edit = does("claude_code", "Edit", file_path="a/b.py", old_string="x", new_string="y")
    assert edit.writes == (
        (FILE, "/w/a/b.py"),
        (FILE, "tree:/w/a/b.py"),
        (FILE, "tree:/w/a"),
        (FILE, "tree:/w"),
        (FILE, "tree:/"),
    )
    assert does("claude_code", "Read", file_path="/w/a/b.py").reads[0] in edit.writes
    assert does("claude_code", "Grep", pattern="x").reads[0] in edit.writes
    assert does("claude_code", "Bash", command="ls").reads[0] in edit.writes
    assert does("claude_code", "Grep", pattern="x", path="other").reads[0] not in edit.writes


def test_unknown_effects_invalidate_everything() -> None:
    """Unknown tools, subagents, commands that may write and writes without a path invalidate all classes."""
    for found in (
        does("claude_code", "mcp__server__tool", x=1),
        does("claude_code", "Task", prompt="go"),
        does("claude_code", "Bash", command="make test"),
        does("claude_code", "Write", content="x"),
        does("pi", "Read", file_path="x"),
    ):
        assert found == Effects(invalidates=EVERYTHING)


def test_reads_are_deterministic_only_when_complete() -> None:
    """A read without its path declares nothing, so it is not deterministic."""
    assert does("pi", "read", path="x") == Effects(reads=((FILE, "/w/x"),), deterministic=True, about=(FILE, "/w/x"))
    assert not does("pi", "read").deterministic
    assert not does("claude_code", "WebFetch", url="http://x").deterministic


def test_taubench_mutations_touch_their_records() -> None:
    """Cancelling a reservation invalidates its details and its user's, not another reservation's."""
    cancel = does("openai_chat", "cancel_reservation", reservation_id="A").writes
    assert set(does("openai_chat", "get_reservation_details", reservation_id="A").reads) & set(cancel)
    assert not set(does("openai_chat", "get_reservation_details", reservation_id="B").reads) & set(cancel)
    assert set(does("openai_chat", "get_user_details", user_id="u").reads) & set(cancel)
    assert does("openai_chat", "calculate", expression="1 + 1") == Effects(deterministic=True)


@pytest.mark.parametrize("format_", sorted(TABLES))
def test_tables_are_sound(format_: str) -> None:
    """Every row is found by its name, and only readers are deterministic."""
    for name, tool in TABLES[format_].items():
        assert tool.name == name and tool is not UNKNOWN_TOOL
        if tool.kind is Kind.EDITOR:
            assert not effects(tool, ToolUse(1, name, {"command": "create", "path": "/a"})).deterministic
        else:
            assert not tool.deterministic or (tool.kind is Kind.PLAIN and not tool.writes)
        assert tool.path == "" or tool.path in tool.roles
