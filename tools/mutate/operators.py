"""The fixed list of mutations: every place of a source file that each operator changes, and the text put there.

Replacements keep the rest of the file as it is, byte for byte, so that a diff shows the mutation and nothing else.
Annotations change only in their numbers; texts are never changed, for their words decide nothing.

Left out are four kinds of changes that no test can notice, by construction:
- an `assert` removed: it states what always holds, and says nothing as long as it does (it is negated instead);
- `if TYPE_CHECKING`, which imports types for annotations only;
- `return None` for `return False`: both are false (`True` is returned instead);
- a number in what only says how much is done or kept at a time, or how long to wait between tries: arguments of
  `lru_cache` and `sleep`, and constants of modules whose names say so (`UNNOTICED`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any, Final, TypeAlias

_COMPARE: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
_CALLS: Final = {"sorted": "list", "reversed": "iter", "min": "max", "max": "min", "any": "all", "all": "any"}

UNNOTICED: Final = re.compile(r"_?((\w+_)?(AT_ONCE|CACHED)|PIECE|CHUNK|(BUSY|GAP|PAUSE|POLL|SLEEP)\w*_M?S)")
"""Names of constants that set the size of a batch, a piece or a cache, or a wait: no result depends on them."""

OPERATORS: Final[dict[str, str]] = {
    "compare": "another comparison: < to <= or >=, == to !=, `is` to `is not`, `in` to `not in`, and back",
    "arithmetic": "another operator: + and -, * and //, % to //, << and >>, & and |, also in += and -=; a lost minus",
    "number": "a number one higher or one lower, defaults of parameters too",
    "boolean": "True for False, False for True",
    "condition": "the condition of if, while, assert, a conditional expression or a comprehension, negated",
    "and-or": "`and` for `or`, `or` for `and`",
    "operand": "one operand of `and` or `or` dropped (so is a default after `or`)",
    "not": "a dropped `not`",
    "statement": "a call, yield, raise, del, += or change of an attribute or item removed",
    "return": "`return None` for a returned value",
    "early-return": "a function that returns at once",
    "loop": "a loop that is never entered; `continue` for `break`, `break` for `continue`",
    "order": "sorted() without sorting, reversed() without turning round, min for max, any for all, a lost sort key",
    "default": "`.get(key, default)` or `next(it, default)` without the default; `or None` counts as an operand",
    "slice": "a dropped bound of a slice",
    "handler": "an `except` that raises again at once",
}
"""Name of an operator → what it does; `tools/mutate.py --help` prints it."""


@dataclass(frozen=True)
class Mutant:
    """One change of one file: bytes `start` to `end` become `text`."""

    path: str
    line: int
    last_line: int
    column: int
    operator: str
    variant: int
    start: int
    end: int
    text: str
    on_import: bool  # runs when the module is imported, and in no call of a function

    @property
    def id(self) -> str:
        """What names a mutant of a given source."""
        return f"{self.path}:{self.line}:{self.column}:{self.operator}:{self.variant}"

    def apply(self, source: bytes) -> bytes:
        """The mutated source."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def diff(self, source: bytes) -> str:
        """The change as a unified diff without context."""
        before, after = source.decode().splitlines(), self.apply(source).decode().splitlines()
        lines = list(unified_diff(before, after, lineterm="", n=0))
        return "\n".join(line for line in lines[2:] if not line.startswith("@@"))


def mutants(path: str, source: bytes) -> list[Mutant]:
    """All mutants of a source file, in the order of their places; some of them may not compile."""
    tree = ast.parse(source)
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    inside = _lines_of_functions(tree)
    found: list[Mutant] = []
    seen: set[tuple[int, int, str]] = set()
    counts: dict[tuple[int, int, str], int] = {}
    for segment, operator, new in _edits(tree):
        first, last = _span(segment, starts)
        line, column = _place(segment)
        text = _bare(new, source, first, last)
        if (first, last, text) in seen or source[first:last].decode() == text:
            continue
        seen.add((first, last, text))
        place = (line, column, operator)
        variant = counts[place] = counts.get(place, -1) + 1
        last_line = segment.end_lineno if not isinstance(segment, _Before) else line
        last_line = last_line or line
        on_import = inside.isdisjoint(range(line, last_line + 1))
        found.append(Mutant(path, line, last_line, column, operator, variant, first, last, text, on_import))
    return sorted(found, key=lambda mutant: (mutant.start, mutant.id))


def _lines_of_functions(tree: ast.Module) -> set[int]:
    """The lines of the bodies of all functions."""
    functions = (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))
    return {line for node in functions for line in range(node.body[0].lineno, (node.end_lineno or 0) + 1)}


def _bare(text: str, source: bytes, first: int, last: int) -> str:
    """A text without its parentheses where it stands in some already."""
    stands = source[first - 1 : first] == b"(" and source[last : last + 1] == b")"
    return text[1:-1] if stands and text.startswith("(") else text


class _Before(ast.stmt):
    """The empty place before a statement."""

    def __init__(self, lineno: int, col_offset: int) -> None:
        super().__init__(lineno=lineno, col_offset=col_offset, end_lineno=lineno, end_col_offset=col_offset)


def _place(node: Any) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _span(node: Any, starts: list[int]) -> tuple[int, int]:
    return starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset


def compiles(source: bytes) -> bool:
    """Whether a mutated source is Python at all; nothing is counted where it is not."""
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


# ------------------------------------------------------------------------------------------ all edits

Edit: TypeAlias = tuple[Any, str, str]
"""(the node whose text is replaced, operator, new text)."""


def _edits(tree: ast.Module) -> Iterator[Edit]:
    yield from _walk(tree, None, numbers_only=False)


def _walk(node: ast.AST, whole: Any, numbers_only: bool) -> Iterator[Edit]:
    """The edits of a node's children; `whole` is the f-string around them, whose parts have no place of their own."""
    for name, value in ast.iter_fields(node):
        quiet = numbers_only or name in ("annotation", "returns")
        children = value if isinstance(value, list) else [value]
        for place, child in enumerate(children):
            if not isinstance(child, ast.AST) or _unnoticed(child):
                continue

            def put(new: ast.AST, name: str = name, value: Any = value, place: int = place) -> None:
                if isinstance(value, list):
                    value[place] = new
                else:
                    setattr(node, name, new)

            yield from _edits_of(child, whole, quiet, put)
            inside = whole or (child if isinstance(child, ast.JoinedStr) else None)
            yield from _walk(child, inside, quiet)


def _unnoticed(node: ast.AST) -> bool:
    """Tell whether no change inside a node can be noticed."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return UNNOTICED.fullmatch(node.target.id) is not None
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in ("functools.lru_cache", "lru_cache", "sleep", "time.sleep")
    return False


def _edits_of(node: ast.AST, whole: Any, quiet: bool, put: Callable[[ast.AST], None]) -> Iterator[Edit]:
    if isinstance(node, ast.stmt):
        for segment, operator, text in _of_statement(node):
            yield segment, operator, text
    if isinstance(node, ast.comprehension) and whole is None:
        yield node.iter, "loop", "()"
        for test in node.ifs:
            yield from _negated(test)
    if isinstance(node, ast.ExceptHandler) and not _raises(node.body):
        body = node.body[0]
        yield _Before(body.lineno, body.col_offset), "handler", "raise\n" + " " * body.col_offset
    for operator, new in _of_expression(node):
        if quiet and operator != "number":
            continue
        if whole is None:
            yield node, operator, _text(new)
        else:
            put(new)
            try:
                yield whole, operator, ast.unparse(whole)
            except ValueError:  # what older versions of Python cannot write in an f-string
                pass
            finally:
                put(node)


def _raises(body: list[ast.stmt]) -> bool:
    return isinstance(body[0], ast.Raise) and body[0].exc is None


def _text(node: ast.AST) -> str:
    text = ast.unparse(node)
    atom = isinstance(node, (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.Tuple, ast.Slice))
    return text if atom or text.isdigit() or text in ("True", "False", "None") else f"({text})"


# ----------------------------------------------------------------------------------------- statements


def _of_statement(node: ast.stmt) -> Iterator[Edit]:
    if _removable(node):
        yield node, "statement", "pass"
    if isinstance(node, ast.Return) and not (node.value is None or _is(node.value, None) or _is(node.value, False)):
        yield node, "return", "return None"
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield from _emptied(node)
    if isinstance(node, (ast.If, ast.While, ast.Assert)):
        yield from _negated(node.test)
    if isinstance(node, ast.Break):
        yield node, "loop", "continue"
    if isinstance(node, ast.Continue):
        yield node, "loop", "break"
    if isinstance(node, ast.For):
        yield node.iter, "loop", "()"
    if isinstance(node, ast.While):
        yield node.test, "loop", "False"
    if isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
        new = ast.AugAssign(node.target, _ARITHMETIC[type(node.op)](), node.value)
        yield node, "arithmetic", ast.unparse(new)


def _negated(test: ast.expr) -> Iterator[Edit]:
    """A negated condition; of a lone comparison and of a `not`, other operators make the same."""
    alone = isinstance(test, ast.Compare) and len(test.ops) == 1
    if not alone and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
        yield test, "condition", f"(not ({ast.unparse(test)}))"


def _removable(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)  # texts that document
    if isinstance(node, (ast.AugAssign, ast.Delete, ast.Raise)):
        return True
    if isinstance(node, ast.Assign):
        return any(isinstance(target, (ast.Attribute, ast.Subscript)) for target in node.targets)
    return isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Attribute)


def _emptied(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Edit]:
    body = [each for each in node.body if not (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant))]
    if not body or isinstance(body[0], (ast.Return, ast.Pass, ast.Raise)):
        return
    first: Any = body[0]
    decorators = getattr(first, "decorator_list", [])
    line = min([first.lineno, *(each.lineno for each in decorators)])
    yield _Before(line, first.col_offset), "early-return", "return None\n" + " " * first.col_offset


# ---------------------------------------------------------------------------------------- expressions


def _of_expression(node: Any) -> Iterator[tuple[str, ast.AST]]:
    for kind, rule in _RULES:
        if isinstance(node, kind):
            yield from rule(node)


def _compare(node: ast.Compare) -> Iterator[tuple[str, ast.AST]]:
    for place, op in enumerate(node.ops):
        for other in _COMPARE[type(op)]:
            ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
            yield "compare", ast.Compare(node.left, ops, node.comparators)


def _binary(node: ast.BinOp) -> Iterator[tuple[str, ast.AST]]:
    if type(node.op) in _ARITHMETIC:
        yield "arithmetic", ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right)


def _unary(node: ast.UnaryOp) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node.op, ast.Not):
        yield "not", node.operand
    elif isinstance(node.op, ast.USub):
        yield "arithmetic", node.operand


def _constant(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node.value, bool):
        yield "boolean", ast.Constant(not node.value)
    elif isinstance(node.value, (int, float)):
        yield "number", ast.Constant(node.value + 1)
        yield "number", ast.Constant(node.value - 1)


def _boolean(node: ast.BoolOp) -> Iterator[tuple[str, ast.AST]]:
    yield "and-or", ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    for place in range(len(node.values)):
        rest = [*node.values[:place], *node.values[place + 1 :]]
        yield "operand", rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)


def _conditional(node: ast.IfExp) -> Iterator[tuple[str, ast.AST]]:
    yield "condition", ast.IfExp(node.test, node.orelse, node.body)


def _call(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    func, args = node.func, node.args
    name = func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else None
    if isinstance(func, ast.Name) and name in _CALLS and args:
        kept = node.keywords if name in ("min", "max") else []
        yield "order", ast.Call(ast.Name(_CALLS[name]), args, kept)
    keys = [word for word in node.keywords if word.arg == "key"]
    if name in ("sorted", "sort", "min", "max") and keys:
        yield "order", ast.Call(func, args, [word for word in node.keywords if word.arg != "key"])
    if len(args) == 2 and (name == "next" or (isinstance(func, ast.Attribute) and name == "get")):
        yield "default", ast.Call(func, args[:1], node.keywords)


def _slice(node: ast.Slice) -> Iterator[tuple[str, ast.AST]]:
    if node.lower is not None:
        yield "slice", ast.Slice(None, node.upper, node.step)
    if node.upper is not None:
        yield "slice", ast.Slice(node.lower, None, node.step)


_RULES: Final[tuple[tuple[Any, Callable[[Any], Iterator[tuple[str, ast.AST]]]], ...]] = (
    (ast.Compare, _compare),
    (ast.BinOp, _binary),
    (ast.UnaryOp, _unary),
    (ast.Constant, _constant),
    (ast.BoolOp, _boolean),
    (ast.IfExp, _conditional),
    (ast.Call, _call),
    (ast.Slice, _slice),
)


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
