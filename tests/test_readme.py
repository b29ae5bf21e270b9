"""What the README shows runs as it is written: Python, shell lines, and every row of its recipes.

A block of Python runs in an empty folder. Each block of shell lines, and each row of the recipes, runs from top to
bottom in a folder of its own, which holds

- `session.jsonl` and the folders `sessions` and `~/.claude/projects`: a recorded session,
- `agent.db`: what the ten lines leave behind,
- `j.db`: one live session `run-1` of 45 turns with rules, a plan, and a store with the field `goal`,
- `runs.db`: the sessions `monday` and `tuesday`, which part at a tool's argument; `other.db`: the same,
- `anchor.key`, `anchor.key.pub` and `j.checkpoint`: a key pair and a checkpoint of `j.db`, unless the row makes them,
- `tools.toml`: the tools that the README declares, `app.py`: a file to read, `tests`: a folder for recordings,
- `out`: an evaluation of tier 1.

The Python of a row has the names that the README imports above the table, `journal` (`j.db`), an open `session` with
a `page`, another journal `runs` (`runs.db`), and a memory `backend`.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from clawvm_es import FieldSchema, Journal, Settings
from clawvm_es.cli.main import main
from clawvm_es.cli.verbs import Use, using

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
IMPORTS = next(block for block in PYTHON if "export_trace" in block)
FRAMEWORK = r"^from (langchain|agents|pydantic_ai)\b"
"""Imports of the frameworks that extras bring."""
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
SET_UP = ("python3 -m venv ",)
"""Lines that make an environment from the network; the package that they install is the one under test."""
EXIT_1 = ("clawvm diff ",)
"""Lines whose answer is that something differs: they exit with 1."""
LONG = {"clawvm eval all ": "clawvm eval tier1 ", "clawvm eval tier1 tier2 ": "clawvm eval tier1 "}
"""Lines that take minutes → what is run in their place; the whole lines run with the sweeps."""
SERVING = using(Use.SERVES)
"""Verbs that serve until they are stopped: that they are asked rightly is tried by their help; see `tests/web`."""


def rows() -> Iterator[tuple[str, list[str], list[str]]]:
    """The recipes: what for, the Python spans, the commands."""
    section = README.split("## Recipes")[1].split("\n## ")[0]
    for line in section.splitlines():
        if not line.startswith("| ") or line.startswith("| you want to"):
            continue
        what, python, shell = (cell.strip() for cell in line.strip("|").split(" | "))
        commands = [span for span in re.findall(r"`([^`]+)`", shell) if span.startswith(("clawvm ", "python "))]
        yield what, re.findall(r"`([^`]+)`", python), commands


ROWS = list(rows())


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """The folder that is described above; tests copy it."""
    folder = tmp_path_factory.mktemp("readme") / "world"
    for place in ("sessions", ".claude/projects/app", "tests"):
        (folder / place).mkdir(parents=True)
    recorded = (files("clawvm_es.cli") / "demo_session.jsonl").read_bytes()
    for place in ("session.jsonl", "sessions/a.jsonl", ".claude/projects/app/a.jsonl"):
        (folder / place).write_bytes(recorded)
    (folder / "app.py").write_text("print('hello')\n", encoding="utf-8")
    (declared,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (folder / "tools.toml").write_text(declared, encoding="utf-8")
    here = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(PYTHON[0], "README.md", "exec"), {})
        _live_session()
        _two_runs()
        for line in (
            "checkpoint j.db --make-key anchor.key",
            "checkpoint j.db --key anchor.key -o j.checkpoint",
            "eval tier1 --out out --workers 1",
        ):
            assert _exit_code(line.split()) == 0
    finally:
        os.chdir(here)
    return folder


def _live_session() -> None:
    """Write `j.db`."""
    settings = Settings(fields={"goal": FieldSchema("string")})
    with Journal.open("j.db") as journal, journal.session("run-1", budget_tokens=900, settings=settings) as session:
        session.write_page("bootstrap", "- You must run the tests.\n- Never push to main.")
        session.write_page("plan", "Goal: ship the login\n1. [ ] find the bug", author="model")
        for turn in range(1, 46):
            page = session.user_says(f"message {turn}: the rate limit of the login. " + "Let it retry later. " * 12)
            session.assemble()
            session.observe_model(f"answer {turn}")
            if turn % 15 == 0:
                session.stage("goal", "set_with_version", f"goal {turn}", evidence=page, base_version=turn // 15 - 1)
                session.save()


def _two_runs() -> None:
    """Write `runs.db` and its copy `other.db`."""
    with Journal.open("runs.db") as journal:
        for name, line in (("monday", 5), ("tuesday", 999)):
            with journal.session(name, budget_tokens=900) as session:
                session.user_says("look at app.py")
                session.assemble()
                session.tool("read_file", {"path": "app.py", "line": line}, lambda **_: "print('hello')")
    shutil.copy("runs.db", "other.db")


@pytest.fixture
def folder(world, tmp_path, monkeypatch) -> Path:
    """A copy of that folder, which is the working directory and the home."""
    copy = Path(shutil.copytree(world, tmp_path / "world"))
    monkeypatch.chdir(copy)
    monkeypatch.setenv("HOME", str(copy))
    monkeypatch.delenv("CLAWVM_JOURNAL", raising=False)
    return copy


def _exit_code(words: list[str]) -> object:
    with pytest.raises(SystemExit) as left:
        main(words)
    return left.value.code


def assert_line_runs(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a line of the README and check how it exits."""
    line, _, into = line.partition(" > ")
    program, *words = [os.path.expanduser(word) for word in shlex.split(line, comments=True)]
    words += ["--help"] if program == "clawvm" and words[0] in SERVING else []
    wanted = 1 if line.startswith(EXIT_1) else 0
    if program == "clawvm":
        capsys.readouterr()
        code = _exit_code(words)
        out, err = capsys.readouterr()
        assert code == wanted, f"{line}: {code}: {err or out}"
        if into:
            Path(into).write_text(out, encoding="utf-8")
    elif program == "sqlite3":
        assert sqlite3.connect(words[0]).execute(words[1]).fetchall()
    else:
        command = {"python": [sys.executable], "pytest": [sys.executable, "-m", "pytest", "-p", "no:xdist"]}[program]
        words = [str(ROOT / word) if word.startswith("tools/") else word for word in words]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run([*command, *words], check=True, capture_output=True, env=environment)


def shell_blocks(long: bool) -> list[object]:
    """The blocks of lines to run, without those that set up an environment; long lines whole, or what stands in."""
    found = []
    for block in SHELL:
        lines = [line for line in block.splitlines() if line.strip() and not line.startswith(SET_UP)]
        has_long = any(line.startswith(tuple(LONG)) for line in lines)
        if lines and (has_long or not long):
            found.append(pytest.param(lines, id=lines[0][:40]))
    return found


@pytest.mark.parametrize("code", PYTHON)
def test_python_examples_run(code, tmp_path, monkeypatch):
    """Each Python example runs as it is written, in an empty folder; one for a framework where that is installed."""
    for framework in re.findall(FRAMEWORK, code, re.M):
        pytest.importorskip(framework, reason=f"{framework}, which an extra brings, is not installed")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names.keys() > {"__builtins__"}


@pytest.mark.parametrize("lines", shell_blocks(long=False))
def test_shell_lines_run(lines, folder, capsys):
    """Each block of shell lines runs from top to bottom."""
    for line in lines:
        for long, short in LONG.items():
            line = line.replace(long, short)  # noqa: PLW2901  it is run shorter than it is written
        assert_line_runs(line, capsys)


@pytest.mark.sweep
@pytest.mark.parametrize("lines", shell_blocks(long=True))
def test_long_shell_lines_run_whole(lines, folder, capsys):
    """The evaluations that take minutes run as they are written."""
    for line in lines:
        assert_line_runs(line, capsys)


@pytest.mark.parametrize(("what", "spans", "commands"), ROWS, ids=[row[0][:40] for row in ROWS])
def test_recipes_run_in_python(what, spans, commands, folder):
    """Each row's Python runs, span after span, with the names that the README imports."""
    assert spans, f"{what}: no Python"
    names = {"backend": lambda query: [f"answer to {query}"]}
    exec(compile(IMPORTS, "README.md", "exec"), names)
    with (
        Journal.open("runs.db") as runs,
        Journal.open("j.db") as journal,
        journal.session("run-3", budget_tokens=900) as session,
    ):
        names |= {"journal": journal, "runs": runs, "session": session, "page": session.user_says("hello")}
        for span in spans:
            code = compile(span, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)
            if inspect.iscoroutine(result):
                asyncio.run(result)


@pytest.mark.parametrize(
    ("what", "spans", "commands"), [row for row in ROWS if row[2]], ids=[row[0][:40] for row in ROWS if row[2]]
)
def test_recipes_run_in_the_shell(what, spans, commands, folder, capsys):
    """Each row's commands run one after the other."""
    if any("--make-key" in command for command in commands):
        for made in ("anchor.key", "anchor.key.pub", "j.checkpoint"):
            (folder / made).unlink()
    for command in commands:
        assert_line_runs(command, capsys)


def test_the_update_of_a_recipe_is_committed(folder):
    """The recipe that remembers a value ends with the value in the store, and not with a refusal."""
    (spans,) = [spans for what, spans, _ in ROWS if what.startswith("remember something")]
    with Journal.open("j.db") as journal:
        names = {"journal": journal}
        exec(compile(IMPORTS, "README.md", "exec"), names)
        for span in spans:
            exec(span, names)
        assert names["session"].value("timezone") == "UTC"
        names["session"].close()


def test_rows_of_tables_are_whole():
    """A row that is broken over two lines, or that lacks a cell, leaves a table that nobody can read."""
    for block in re.split(r"```.*?```|\n\n", README, flags=re.DOTALL):
        lines = block.strip().splitlines()
        if lines and lines[0].startswith("|"):
            cells = [len(re.sub(r"`[^`]*`", "", line).split("|")) for line in lines]
            assert all(line.startswith("|") and line.endswith("|") for line in lines), lines
            assert len(set(cells)) == 1, lines


def test_lines_fit_a_screen():
    """Rows of tables aside, text is wrapped at 120 characters."""
    assert [line for line in README.splitlines() if len(line) > 120 and not line.startswith("|")] == []
