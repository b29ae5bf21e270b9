"""The mutation tool: what its operators change, what a seed chooses, and a whole run on a small tree."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parent.parent / "tools"


@pytest.fixture(scope="module")
def operators():
    """The module of operators, as the tool imports it."""
    sys.path.insert(0, str(TOOLS))
    try:
        return importlib.import_module("mutate.operators")
    finally:
        sys.path.remove(str(TOOLS))


@pytest.fixture(scope="module")
def gatherer():
    """The module that chooses tests, as the tool imports it."""
    sys.path.insert(0, str(TOOLS))
    try:
        return importlib.import_module("mutate.gather")
    finally:
        sys.path.remove(str(TOOLS))


SAMPLE = '''
"""A text that stays."""
def f(a: int, b=1, *, c=True) -> int:
    """Another one."""
    if a < b and not c:
        return -a
    for x in sorted(a[1:], key=len):
        if x is None:
            continue
        b += x * 2
    try:
        a.b = a.get(1, None)
    except KeyError:
        b = 1
    return f"{a + 1} {min(a, b)}"
'''


def texts(operators, name):
    """What an operator puts where, in the sample."""
    return [
        (SAMPLE.encode()[found.start : found.end].decode(), found.text)
        for found in operators.mutants("sample.py", SAMPLE.encode())
        if found.operator == name
    ]


EXAMPLES = {
    "compare": [("a < b", "(a <= b)"), ("a < b", "(a >= b)"), ("x is None", "(x is not None)")],
    "arithmetic": [("-a", "a"), ("b += x * 2", "b -= x * 2"), ("x * 2", "(x // 2)")],
    "number": [("1", "2"), ("1", "0"), ("2", "3")],
    "boolean": [("True", "False")],
    "condition": [("a < b and not c", "(not (a < b and (not c)))")],
    "and-or": [("a < b and not c", "(a < b or not c)")],
    "operand": [("a < b and not c", "(not c)"), ("a < b and not c", "(a < b)")],
    "not": [("not c", "c")],
    "statement": [("a.b = a.get(1, None)", "pass"), ("b += x * 2", "pass")],
    "return": [("return -a", "return None")],
    "early-return": [("", "return None\n    ")],
    "loop": [("continue", "break"), ("sorted(a[1:], key=len)", "()")],
    "order": [("sorted(a[1:], key=len)", "list(a[1:])"), ("sorted(a[1:], key=len)", "sorted(a[1:])")],
    "default": [("a.get(1, None)", "a.get(1)")],
    "slice": [("1:", ":")],
    "handler": [("", "raise\n        ")],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_operator_makes_its_change(operators, name):
    """The sample has a place for every operator, and the change there is the one that is documented."""
    assert set(EXAMPLES[name]) <= set(texts(operators, name))
    assert set(EXAMPLES) == set(operators.OPERATORS)


def test_a_mutant_changes_its_place_and_nothing_else(operators):
    """The rest of the file stays, byte for byte; every mutant has a name of its own, and f-strings change whole."""
    source = SAMPLE.encode()
    found = operators.mutants("sample.py", source)
    assert len({mutant.id for mutant in found}) == len(found)
    for mutant in found:
        changed = mutant.apply(source)
        assert changed != source
        assert changed.startswith(source[: mutant.start]) and changed.endswith(source[mutant.end :])
        assert operators.compiles(changed)
        assert b"A text that stays" in changed and b"Another one" in changed
    assert any("max(a, b)" in mutant.text for mutant in found)


UNNOTICED = """
if TYPE_CHECKING or 1 > 2:
    pass
if TYPE_CHECKING:
    N = 1
_ROWS_AT_ONCE: Final = 64
PAUSE_S: Final = 0.5
def f(a):
    assert a
    sleep(2)
    return False
"""


def test_what_no_test_can_notice_is_left_out(operators):
    """An assertion is negated and not removed, `True` is returned for `False`, and sizes of batches stay."""
    found = [(m.line, m.operator, m.text) for m in operators.mutants("sample.py", UNNOTICED.encode())]
    assert [each for each in found if each[0] > 3] == [
        (9, "early-return", "return None\n    "),
        (9, "condition", "(not (a))"),
        (10, "statement", "pass"),
        (11, "boolean", "True"),
    ]
    assert {operator for line, operator, _ in found if line == 2} == {
        "compare",
        "number",
        "and-or",
        "operand",
        "condition",
    }


MODULE = '''"""A module."""


def larger(a, b):
    """The larger one."""
    if a > b:
        return a
    return b


def spins(n):
    """Counts down."""
    while n > 0:
        n -= 1
    return n


def nobody_calls():
    """Runs in no test."""
    return [1]
'''
TESTS = '''"""Tests."""

from clawvm_es.core.module import larger, spins


def test_larger():
    """Both ways."""
    assert (larger(1, 2), larger(2, 1)) == (2, 2)


def test_spins():
    """Ends at zero."""
    assert spins(3) == 0
'''


VERSIONS = '''"""Tests."""

from clawvm_es.core.version import VERSION


def test_version():
    """It is the one that was published."""
    assert VERSION == 5
'''


@pytest.fixture
def small(tmp_path):
    """A tree with the tool and one module."""
    shutil.copytree(TOOLS / "mutate", tmp_path / "tools" / "mutate", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TOOLS / "mutate.py", tmp_path / "tools" / "mutate.py")
    for place, text in {
        "clawvm_es/core/module.py": MODULE,
        "clawvm_es/core/__init__.py": "",
        "clawvm_es/__init__.py": "",
        "clawvm_es/pytest_plugin.py": "",
        "clawvm_es/journal/alone.py": "def nobody_imports():\n    return [1]\n",
        "clawvm_es/core/version.py": "def after(n):\n    return n + 1\n\n\nVERSION = after(4)\n",
        "tests/core/test_module.py": TESTS,
        "tests/golden/test_version.py": VERSIONS,
    }.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(text)
    return tmp_path


def test_a_run_tells_who_noticed_keeps_it_and_leaves_the_tree_alone(small):
    """Killed, surviving and untested mutants of a small tree; a second run has nothing left to do."""
    places = ("core/module.py:7:8", "core/module.py:6:7", "core/module.py:20:4", "journal/alone.py:2:4")
    operators = ("return", "compare", "return", "return")
    ids = [f"clawvm_es/{place}:{operator}:0" for place, operator in zip(places, operators, strict=True)]
    named = [word for each in ids for word in ("--mutant", each)]
    command = [sys.executable, str(small / "tools" / "mutate.py"), *named, "-j", "1", "--json"]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2))
    assert first.returncode == 1, first.stderr
    found = json.loads(first.stdout)
    counts = {"mutants": 4, "killed": 1, "timeout": 0, "survived": 2, "untested": 1, "score": 25.0}
    assert found["folders"]["all"] == counts and list(found["folders"]) == ["core", "journal", "all"]
    outcomes = {each["mutant"]: each["outcome"] for each in found["survivors"]}
    # of equal ones either is larger; what no test is seen to run is tried with all that import its module
    assert outcomes == dict(zip(ids[1:], ("survived", "survived", "untested"), strict=True))
    assert json.loads(second.stdout) == found and second.stderr == ""
    kept = [json.loads(line) for line in (small / ".mutate" / "results.jsonl").read_text().splitlines()]
    assert [row["by"] for row in kept] == ["tests/core/test_module.py::test_larger", None, None, None]
    assert (small / "clawvm_es/core/module.py").read_text() == MODULE
    assert not list(small.rglob("__pycache__/module*"))


@pytest.mark.parametrize("place", ["5:16:number:1", "2:11:arithmetic:0"])
def test_a_constant_is_tested_where_it_is_imported(small, place):
    """What runs on import alone, and the function that it calls, is noticed by any test that imports it."""
    named = ["--mutant", f"clawvm_es/core/version.py:{place}"]
    command = [sys.executable, str(small / "tools" / "mutate.py"), *named, "-j", "1", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    (kept,) = (small / ".mutate" / "results.jsonl").read_text().splitlines()
    assert json.loads(kept)["by"] == "tests/golden/test_version.py::test_version"


@pytest.mark.parametrize(
    ("line", "paths"),
    [
        ("import a.b, c", ["a/b.py", "c.py"]),
        ("from a import b, c as d", ["a.py", "a/b.py", "a/c.py"]),
        ("from . import b", []),
        ("def f():\n    from a.b import c", ["a/b.py", "a/b/c.py"]),
        ("x = 1", []),
    ],
)
def test_imports_name_the_places_of_modules(gatherer, line, paths):
    """A name that is imported may be a module or stand in one; both paths are told."""
    assert list(gatherer.imported(line.encode())) == paths


def test_slow_tests_near_a_module_are_not_crowded_out(gatherer, operators):
    """Tests in files named after it come first; of those near it as many seconds are taken as of the others."""
    path = "clawvm_es/core/module.py"
    seconds = {
        "tests/cli/test_a.py::t": 1.0,
        "tests/cli/test_b.py::t": 2.0,
        "tests/cli/test_imports.py::t": 3.0,
        "tests/core/test_a.py::t": 4.0,
        "tests/golden/test_a.py::t": 4.5,
        "tests/core/test_slow.py::t": 5.0,
        "tests/core/test_module_laws.py::t": 6.0,
    }
    tests = gatherer.Tests()
    for test, taken in seconds.items():
        imports = [path] if "imports" in test else []
        tests.add({"bad": [], "imported": {}, "tests": {test: {"seconds": taken, "lines": {path: [6]}}}}, imports)
    (mutant,) = [m for m in operators.mutants(path, MODULE.encode()) if m.id.endswith("6:7:compare:0")]
    own, near, others = list(seconds)[6:], list(seconds)[2:6], list(seconds)[:2]
    assert tests.of(mutant, 100) == [*own, *near, *others]
    assert tests.of(mutant, 12) == [*own, *near[:3], *others]
    assert tests.of(mutant, 0.5) == [*own, near[0], others[0]]


def test_a_mutant_that_loops_is_ended(small):
    """The limit ends the fork and counts; the worker serves the next request."""
    code = """
import json, sys
from pathlib import Path
from mutate import operators, pool, tree
root = Path(sys.argv[1])
source = (root / "clawvm_es/core/module.py").read_bytes()
(loops,) = [m for m in operators.mutants("clawvm_es/core/module.py", source) if m.text == "n += 1"]
with pool.workers(root, tree.files_of(root), root / "work", 1) as (worker,):
    files = ["tests/core/test_module.py"]
    asked = {"tests": [f"{files[0]}::test_spins"], "files": files}
    ended = worker.ask({**asked, "mutant": vars(loops), "limit": 1})
    after = worker.ask({**asked, "limit": 300})
print(json.dumps([ended["timeout"], after["timeout"], after["code"]]))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(small)],
        env={**os.environ, "PYTHONPATH": str(small / "tools")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ran.stdout) == [True, False, 0]
