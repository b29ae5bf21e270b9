"""The shape of the tree: imports point down the ladder, the core is pure, every module says what it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "clawvm_es"
ROOT = Path(__file__).resolve().parent.parent / PACKAGE
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))

LADDER = (
    ("errors", "limits", "verify_bundle", "version"),
    ("files", "logs", "serving", "urls"),
    ("fleet",),
    ("model",),
    ("prices",),
    ("core",),
    ("representations",),
    ("journal",),
    ("storage",),
    ("projections",),
    ("observe",),
    ("engine",),
    ("history",),
    ("importers",),
    ("views",),
    ("evaluation",),
    ("integrations",),
    ("testing",),
    ("pytest_plugin",),
    ("web",),
    ("cli",),
)
"""Lowest first: a part imports from its own rung and those below; of two on one rung neither imports the other."""
RANK = {part: rank for rank, rung in enumerate(LADDER) for part in rung}
FACES = {"__init__", "__main__"}
"""Modules of the package itself, which may import from anywhere."""

DATABASES = {"sqlite3", "_sqlite3", "apsw", "pysqlite3", "psycopg", "sqlite_utils", "duckdb"}
"""Only `storage` imports these; `cli` may print tables with sqlite_utils."""
SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|REPLACE\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s"
    r"|PRAGMA\s|VACUUM\b|WITH\s+RECURSIVE\s|BEGIN\s+IMMEDIATE"
    r"|(CREATE|DROP|ALTER)\s+(TEMP\s+|UNIQUE\s+|VIRTUAL\s+)*(TABLE|INDEX|VIEW|TRIGGER)\s)"
)
"""The beginnings of statements, in capitals as they are written here."""
KINDS_OF_LOG = re.compile(r"\w*(Log|Transaction)")

PURE_PARTS = {"core", "model"}
PURE_STANDARD_LIBRARY = {
    "__future__", "bisect", "collections", "copy", "dataclasses", "enum", "functools", "hashlib", "heapq",
    "itertools", "math", "operator", "re", "types", "typing",
}  # fmt: skip
"""What pure code may import of the standard library: nothing here reads a clock, a file or randomness."""
PURE_THIRD_PARTY = {"attrs", "cattrs", "msgspec", "pyrsistent"}
IMPURE_NAMES = {
    "open", "input", "print", "hash", "id", "eval", "exec", "compile", "globals", "locals", "vars", "float",
    "__import__", "breakpoint",
}  # fmt: skip


def part_of(module: Path) -> str:
    """The first part of a module's path inside the package: `core`, `errors`, `__init__`."""
    return module.parts[0].removesuffix(".py")


def imports(tree: ast.AST, module: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported anywhere in a module, relative imports resolved."""
    package = (PACKAGE, *module.parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)


def climbs(tree: ast.AST, module: Path) -> list[str]:
    """Imports that point up the ladder, or sideways to the other part on the same rung."""
    here = part_of(module)
    if here in FACES:
        return []
    found = []
    for line, name in imports(tree, module):
        package, _, rest = name.partition(".")
        there = rest.split(".")[0]
        if package != PACKAGE or there == here:
            continue
        if there not in RANK or RANK[there] >= RANK[here]:
            found.append(f"{module}:{line}: {here} imports {name}")
    return found


def is_set(node: ast.AST) -> bool:
    """Whether an expression is a set, as far as its syntax shows."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor) and (
            is_set(node.left) or is_set(node.right)
        )
    return isinstance(node, ast.Set | ast.SetComp) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset")
    )


def ordered(tree: ast.AST) -> Iterator[ast.AST]:
    """The expressions whose order of iteration shows in a result: loops, and calls that keep the order."""
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.comprehension):
            yield node.iter
        elif isinstance(node, ast.Starred):
            yield node.value
        elif isinstance(node, ast.Call) and node.args:
            keeps = isinstance(node.func, ast.Name) and node.func.id in ("tuple", "list", "iter", "enumerate", "map")
            if keeps or (isinstance(node.func, ast.Attribute) and node.func.attr in ("join", "extend")):
                yield node.args[-1]


def impurities(tree: ast.AST, module: Path) -> list[str]:
    """What a pure module must not do, as far as its syntax shows."""
    found = []
    for line, name in imports(tree, module):
        top = name.partition(".")[0]
        if top not in PURE_STANDARD_LIBRARY | PURE_THIRD_PARTY | {PACKAGE}:
            found.append(f"{module}:{line}: imports {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append(f"{module}:{node.lineno}: the float {node.value}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_NAMES:
            found.append(f"{module}:{node.lineno}: calls {node.func.id}()")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            found.append(f"{module}:{node.lineno}: divides with /, which makes a float")
        elif isinstance(node, ast.Global):
            found.append(f"{module}:{node.lineno}: changes a global")
    found += [f"{module}:{node.lineno}: order of a set shows" for node in ordered(tree) if is_set(node)]
    return found


def docstrings(tree: ast.AST) -> set[int]:
    """The ids of the constants that are docstrings."""
    bodies = (node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list))
    lines = (line for body in bodies for line in body)
    return {id(line.value) for line in lines if isinstance(line, ast.Expr)}


def storages_known(tree: ast.AST, module: Path) -> list[str]:
    """Where a module outside of `storage` knows a database, a storage's own modules, SQL, or the class of a log."""
    here, found, prose = part_of(module), [], docstrings(tree)
    for line, name in imports(tree, module):
        top = name.partition(".")[0]
        if top in DATABASES and not (here == "cli" and top == "sqlite_utils"):
            found.append(f"{module}:{line}: imports {name}")
        if (
            name.startswith((f"{PACKAGE}.storage.sqlite", f"{PACKAGE}.storage.memory", f"{PACKAGE}.storage.postgres"))
            and here != "testing"
        ):
            found.append(f"{module}:{line}: imports {name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            if SQL.match(node.value):
                found.append(f"{module}:{node.lineno}: SQL: {node.value[:40]!r}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            names = [each for each in ast.walk(node.args[-1]) if isinstance(each, ast.Name | ast.Attribute)]
            kinds = [each.id if isinstance(each, ast.Name) else each.attr for each in names]
            found += [f"{module}:{node.lineno}: asks for a {kind}" for kind in kinds if KINDS_OF_LOG.fullmatch(kind)]
    return found


def parse(module: Path) -> ast.Module:
    """The syntax tree of a module of the package."""
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_down_the_ladder(module):
    """A module imports only from lower rungs, inside functions and for type checking too."""
    assert part_of(module) in RANK.keys() | FACES, f"{module} stands on no rung of the ladder"
    assert climbs(parse(module), module) == []


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) != "storage"], ids=str)
def test_only_storage_knows_databases(module):
    """Outside of `storage` there is no database, no SQL, and no question which log it is (A11, A13)."""
    assert storages_known(parse(module), module) == []


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[:2] == ("storage", "memory")], ids=str)
def test_the_log_in_memory_needs_no_database(module):
    """`storage.memory` imports neither SQLite nor the other storage."""
    named = {name for _, name in imports(parse(module), module)}
    assert not {name for name in named if name.partition(".")[0] in DATABASES or ".sqlite" in name}


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) in PURE_PARTS], ids=str)
def test_the_core_and_the_vocabulary_are_pure(module):
    """No clock, randomness, environment, file, hash order, mutable global or float."""
    assert impurities(parse(module), module) == []


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_says_what_it_is(module):
    """A module begins with a docstring."""
    assert ast.get_docstring(parse(module)), f"{module} has no docstring"


@pytest.mark.parametrize(
    "source",
    [
        "from clawvm_es.journal.ports import Head",
        "import clawvm_es.cli.main",
        "from clawvm_es import engine",
        "from ..projections import tables",
        "def late():\n    from clawvm_es.engine import Session",
        "if TYPE_CHECKING:\n    from clawvm_es.journal import protocol",
    ],
)
def test_an_import_up_the_ladder_is_found(source):
    """The check sees absolute, relative, late and type-checking imports."""
    assert climbs(ast.parse(source), Path("core/decide.py"))
    assert not climbs(ast.parse(source), Path("cli/main.py")) or "cli" in source


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from datetime import datetime",
        "import os.path",
        "from tokenizers import Tokenizer",
        "x = 0.5",
        "x = a / b",
        "x = hash(a)",
        "x = sorted(a, key=id(b))",
        "for x in {1, 2}: pass",
        "x = [y for y in set(a) | b]",
        "x = tuple(set(a))",
        "x = ','.join({a, b})",
        "def f():\n    global x\n    x = 1",
    ],
)
def test_an_impurity_is_found(source):
    """The check sees each thing that the purity rules name."""
    assert impurities(ast.parse(source), Path("core/decide.py"))


@pytest.mark.parametrize(
    "source", ["for x in sorted(set(a)): pass", "x = a in {1, 2}", "x = a // b", "x = len(set(a))", "import attrs"]
)
def test_pure_code_passes(source):
    """The check does not refuse sorted sets, membership or integer division."""
    assert impurities(ast.parse(source), Path("core/decide.py")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import sqlite3",
        "def f():\n    from sqlite_utils import Database",
        "from clawvm_es.storage.sqlite.log import SQLiteLog",
        "from clawvm_es.storage.memory import log",
        "q = 'SELECT 1 FROM events'",
        "q = f'DELETE FROM {table} WHERE x = 1'",
        "q = 'PRAGMA user_version'",
        "q = '  CREATE UNIQUE INDEX i ON t (x)'",
        "x = isinstance(log, SQLiteLog | Other)",
        "x = isinstance(transaction, (int, sqlite.MemoryTransaction))",
    ],
)
def test_a_known_storage_is_found(source):
    """The check sees databases, modules of a storage, the beginning of SQL, and classes of logs."""
    assert storages_known(ast.parse(source), Path("history/redact.py"))


@pytest.mark.parametrize(
    "source",
    [
        '"""SELECT is a word."""',
        "from clawvm_es.storage import open_log",
        "x = 'Select a session'",
        "x = 'UPDATE it'",
        "x = isinstance(e, Event)",
    ],
)
def test_code_over_ports_passes(source):
    """The check leaves prose, the ports and other classes alone."""
    assert storages_known(ast.parse(source), Path("history/redact.py")) == []
