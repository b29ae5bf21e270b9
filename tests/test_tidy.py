"""The shape of the tests: each asserts something that a reader sees, and none lets time decide."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
FILES = sorted(path.relative_to(TESTS) for path in TESTS.rglob("*.py"))
WAITING = Path("waiting.py")
"""The only helper that lets time pass."""
ASSERTING = ("raises", "warns", "fail", "fnmatch_lines", "re_match_lines", "no_fnmatch_line", "no_re_match_line")
"""Calls that fail where something is not so; so do those of helpers that are called `assert_…`."""

STATING = ("test_", "assert_")


def called(node: ast.Call) -> str:
    """The last part of what is called."""
    func = node.func
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""


def asserts(function: ast.AST) -> bool:
    """Whether a function states what must be so, where a reader sees it."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call) and (called(node) in ASSERTING or called(node).startswith("assert_")):
            return True
    return False


def silent(tree: ast.AST) -> Iterator[str]:
    """Tests, and helpers called `assert_…`, that state nothing."""
    for node in ast.walk(tree):
        states = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(STATING)
        if states and not asserts(node):
            yield node.name


def sleeps(tree: ast.AST) -> Iterator[int]:
    """Lines that let time pass; giving way to others for no time at all is none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) == "sleep":
            at_once = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if not at_once:
                yield node.lineno


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_test_asserts_something_visible(file):
    """Each test has an assertion in its own body, or calls a helper whose name says that it asserts."""
    assert list(silent(ast.parse((TESTS / file).read_text()))) == []


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_test_sleeps(file):
    """What has to be waited for is waited for by `tests/waiting.py`, however long it takes."""
    assert file == WAITING or list(sleeps(ast.parse((TESTS / file).read_text()))) == []


def test_the_rules_find_what_they_forbid():
    """A silent test and a sleep are found, and what looks like them is not."""
    bad = "def test_a():\n    run()\nasync def test_b():\n    time.sleep(0.1)\n    await asyncio.sleep(1)\n"
    good = "def test_a():\n    assert_run()\ndef test_b():\n    with raises(E):\n        await asyncio.sleep(0)\n"
    assert (list(silent(ast.parse(bad))), list(sleeps(ast.parse(bad)))) == (["test_a", "test_b"], [4, 5])
    assert (list(silent(ast.parse(good))), list(sleeps(ast.parse(good)))) == ([], [])


PACKAGE = TESTS.parent / "clawvm_es"
ASKING = ("What ", "Whether ", "Where ", "Which ", "How ")


@pytest.mark.parametrize("module", sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")), ids=str)
def test_docstrings_start_with_a_verb_or_a_noun_phrase(module):
    """No docstring begins as a question, nor does one of a constant."""
    tree = ast.parse((PACKAGE / module).read_text(encoding="utf-8"))
    said = (
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )
    asking = [each.lineno for each in said if isinstance(each.value, str) and each.value.startswith(ASKING)]
    assert asking == []
