"""Numbers and flags that may be left out, read from the sources of a package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import clawvm_es

ROOT = Path(clawvm_es.__file__).parent


def given(folder: str) -> Iterator[tuple[str, float]]:
    """Module, class, function and name of all that have a default of their own → that number or flag."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / folder).with_suffix("").parts)
        for name, value in _inside(ast.parse(path.read_bytes()), module):
            with_value = _constant(value)
            if with_value is not None:
                yield name, with_value


def odd(folder: str) -> dict[str, float]:
    """Those whose default is not nothing: another number than 0, or a flag that is on."""
    return {name: value for name, value in given(folder) if value or str(value) not in ("0", "False")}


def apart(folder: str) -> dict[str, str]:
    """Classes, and fields of classes, that are not compared (eq), shown (repr) or passed in (init) → which of it."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / folder).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.ClassDef):
                continue
            said = [("", each) for each in node.decorator_list]
            said += [
                (f".{ast.unparse(each.target)}", each.value) for each in node.body if isinstance(each, ast.AnnAssign)
            ]
            for name, call in said:
                if isinstance(call, ast.Call) and (off := _off(call)):
                    found[f"{module}.{node.name}{name}"] = off
    return found


def _off(call: ast.Call) -> str:
    return " ".join(sorted(each.arg for each in call.keywords if each.arg and ast.unparse(each.value) == "False"))


def _constant(node: ast.expr | None) -> float | None:
    try:
        value = ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None
    return value if isinstance(value, (bool, int, float)) else None


def _inside(node: ast.AST, place: str) -> Iterator[tuple[str, ast.expr | None]]:
    """All defaults of functions and classes inside a node."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            arguments = child.args
            placed = [*arguments.posonlyargs, *arguments.args]
            with_default = placed[len(placed) - len(arguments.defaults) :]
            for each, value in zip(with_default, arguments.defaults, strict=True):
                yield f"{place}.{child.name}.{each.arg}", value
            for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
                yield f"{place}.{child.name}.{each.arg}", value
        field = (
            isinstance(node, ast.ClassDef) and isinstance(child, ast.AnnAssign) and "Final" not in ast.unparse(child)
        )
        if field:
            yield f"{place}.{ast.unparse(child.target)}", child.value
        inner = getattr(child, "name", "")
        yield from _inside(child, f"{place}.{inner}" if inner else place)
