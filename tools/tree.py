"""Print the tree as its ladder, with what each part imports, and the sizes of modules and functions beside models.

    python tools/tree.py                                  this package, and those of the models that are installed
    python tools/tree.py --beside structlog sqlite_utils  these packages

A part stands above those that import it. The columns of sizes are lines: of a module with all that is in it, of a
function without its docstring. Exit code 1 says that an import goes up the ladder or sideways on a rung, or that
modules import each other in a circle while they are loaded; imports inside functions and those for types alone make
none. `pytest tests/test_ladder.py` asks the first of each module.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.test_ladder import LADDER, MODULES, PACKAGE, ROOT, climbs, imports, parse, part_of

MODELS = ("structlog", "attr", "sqlite_utils", "eventsourcing", "datasette")
"""Those of the house's models that are Python packages."""


def functions(tree: ast.AST) -> Iterator[int]:
    """The lines of each function of a module, its docstring and decorators left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            told = isinstance(first, ast.Expr) and ast.get_docstring(node, clean=False) is not None
            yield (node.end_lineno or node.lineno) - node.lineno + 1 - (_lines(first) if told else 0)


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def at(permille: int, numbers: Sequence[int]) -> int:
    """The number that so many of a thousand of some numbers are not above."""
    return sorted(numbers)[min(len(numbers) - 1, len(numbers) * permille // 1000)]


def sizes(root: Path) -> tuple[list[int], list[int]]:
    """The lines of the modules of a package, and of their functions; empty modules and tests are left out."""
    texts = [
        path.read_text(encoding="utf-8")
        for path in sorted(root.rglob("*.py"))
        if not {"tests", "_vendor"} & set(path.relative_to(root).parts)
    ]
    told = [text for text in texts if text.strip()]
    return [text.count("\n") for text in told], [each for text in told for each in functions(ast.parse(text))]


def size_lines(roots: Sequence[tuple[str, Path]]) -> Iterator[str]:
    """The table of sizes."""
    spread = f"{'median':>7} {'p90':>6} {'most':>6}"
    yield f"{'':16} {'modules':>8} {spread}   {'functions':>9} {spread}"
    for name, root in roots:
        modules, found = sizes(root)
        if found:
            one = f"{len(modules):8,} {at(500, modules):7} {at(900, modules):6} {max(modules):6,}"
            yield f"{name:16} {one}   {len(found):9,} {at(500, found):7} {at(900, found):6} {max(found):6,}"


def ladder_lines() -> Iterator[str]:
    """Each part of the package, lowest first: its modules, its lines, and the parts that it imports."""
    for rung in LADDER:
        for part in rung:
            mine = [module for module in MODULES if part_of(module) == part]
            named = {
                name.split(".")[1] for m in mine for _, name in imports(parse(m), m) if name.startswith(f"{PACKAGE}.")
            }
            below = [other for each in LADDER for other in each if other in named and other != part]
            lines = sum((ROOT / module).read_text(encoding="utf-8").count("\n") for module in mine)
            yield f"{part:16} {len(mine):4} {lines:7,}  {' '.join(below) or '-'}"


def circle() -> list[str]:
    """Modules that import each other in a circle while they are loaded; empty if none do."""
    known = {
        ".".join((PACKAGE, *module.with_suffix("").parts)).removesuffix(".__init__"): module for module in MODULES
    }
    graph: dict[str, set[str]] = {}
    for name, module in known.items():
        loaded = [node for node in parse(module).body if isinstance(node, ast.Import | ast.ImportFrom)]
        found = {_module_of(each, known) for _, each in imports(ast.Module(loaded, []), module)}
        graph[name] = found - {name, PACKAGE, ""}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _module_of(imported: str, known: Mapping[str, Path]) -> str:
    """The module that a dotted name is or stands in; empty if it is none of ours."""
    while imported and imported not in known:
        imported = imported.rpartition(".")[0]
    return imported


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both tables; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", nargs="*", default=MODELS, metavar="PACKAGE")
    wanted = parser.parse_args(arguments).beside
    print(f"{'part':16} {'mods':>4} {'lines':>7}  imports")
    print("\n".join(ladder_lines()))
    up = [each for module in MODULES for each in climbs(parse(module), module)]
    print("\n".join(up) or "no import goes up or sideways")
    found = circle()
    print("circle: " + " → ".join(found) if found else "no modules import each other in a circle")
    specs = [(name, importlib.util.find_spec(name)) for name in wanted]
    beside = [(name, Path(spec.origin).parent) for name, spec in specs if spec is not None and spec.origin]
    print()
    print("\n".join(size_lines([(PACKAGE, ROOT), *beside])))
    if missing := [name for name, spec in specs if spec is None]:
        print(f"not installed: {', '.join(missing)}")
    return 1 if up or found else 0


if __name__ == "__main__":
    sys.exit(main())
