"""Patches in Codex's form: the files that they name, the text that they replace, commands that apply one."""

from __future__ import annotations

import pytest

from clawvm_es.model.facts import ResourceClass
from clawvm_es.observe.agents import CODEX_TOOLS
from clawvm_es.observe.patches import Patch, applied, replaced, targets
from clawvm_es.observe.steps import ToolUse
from clawvm_es.observe.texts import taken
from clawvm_es.observe.tools import Effects, Kind, Tool, command_line, effects, read_by

PATCH = """*** Begin Patch
*** Update File: a.py
*** Move to: b.py
@@ def f():
 one
-two
+three
@@
-four
*** Add File: c d.py
+five
*** Delete File: e.py
*** End Patch"""


def test_a_patch_names_its_files_and_what_it_replaces() -> None:
    """Updated, moved, added and deleted files are targets; each hunk finds its context and removed lines."""
    assert targets(PATCH) == ("a.py", "b.py", "c d.py", "e.py")
    assert list(replaced(PATCH)) == ["one\ntwo", "four"]
    assert targets("*** Add File: x") == () and list(replaced("-x")) == []


@pytest.mark.parametrize(
    ("command", "found"),
    [
        (f"apply_patch <<'EOF'\n{PATCH}\nEOF", Patch(PATCH)),
        (f"cd 'a' && applypatch <<EOF\n{PATCH}\nEOF\n", Patch(PATCH, "a")),
        (f"apply_patch <<'EOF'\n{PATCH}\nEOF\nmake", None),
        (f"cd $(x) && rm y; apply_patch <<'EOF'\n{PATCH}\nEOF", None),
        ("cat <<'EOF'\nx\nEOF", None),
    ],
)
def test_commands_that_only_apply_a_patch(command: str, found: Patch | None) -> None:
    """A command applies a patch if it does nothing else, but for a change of the directory."""
    assert applied(command) == found


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"command": "ls -l"}, "ls -l"),
        ({"cmd": "ls"}, "ls"),
        ({"command": ["bash", "-lc", "ls | wc"]}, "ls | wc"),
        ({"command": ["/bin/sh", "-c", "ls"]}, "ls"),
        ({"command": ["cat", "a b"]}, "cat 'a b'"),
        ({"command": ["ls", 7]}, None),
        ({"command": []}, None),
        ({}, None),
    ],
)
def test_command_lines_in_every_form(arguments: dict[str, object], line: str | None) -> None:
    """A command is a text, or words of which the first may be a shell that is given a script."""
    assert command_line(arguments) == line


def test_the_text_that_a_patch_replaces_may_be_a_need() -> None:
    """Hunks are text that an edit replaces, in a patch tool's argument and in a shell command alike."""
    edits = [text for text, edit in taken(CODEX_TOOLS["apply_patch"], {"input": PATCH}) if edit]
    shell = taken(CODEX_TOOLS["shell"], {"command": ["bash", "-lc", f"apply_patch <<'E'\n{PATCH}\nE"]})
    assert edits == [text for text, edit in shell if edit] == ["one\ntwo", "four"]


def test_a_text_without_a_patch_may_have_changed_anything() -> None:
    """An `apply_patch` whose argument is no patch invalidates all classes."""
    found = effects(CODEX_TOOLS["apply_patch"], ToolUse(1, "apply_patch", {"input": "x", "n": 7}, "/w"))
    assert found == Effects(invalidates=tuple(ResourceClass))


def test_an_editor_reads_or_writes_by_its_command() -> None:
    """`view` reads its path and is deterministic, every other command writes it and reads nothing."""
    tool = Tool(
        "editor",
        kind=Kind.EDITOR,
        deterministic=True,
        path="path",
        reads=("file:{path}",),
        writes=("file:{path}",),
    )
    view, edit = (ToolUse(1, "editor", {"command": each, "path": "a"}, "/w") for each in ("view", "create"))
    seen, done = effects(tool, view), effects(tool, edit)
    assert (seen.deterministic, seen.writes, len(seen.reads)) == (True, (), 1)
    assert (done.deterministic, done.writes[0], done.reads) == (False, seen.reads[0], ())
    assert read_by(tool, view) == tool.reads and read_by(tool, edit) == ()
