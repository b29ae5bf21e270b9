"""A small language of questions about a state: `page.p7.level < structured and turn >= 40`.

Questions are parsed by Python's parser, then checked and compiled node by node; anything outside the table below is
refused with its place. Nothing is ever evaluated as Python.

| term | kind |
|---|---|
| `turn` `version` `budget` `fill` `tokens` `pages` `dirty` `pending` `calls` | number |
| `faults` `needs` `hits` `misses` `page_ins` `unmet` | number: how many were observed so far |
| `page.ID.ATTRIBUTE`, with the attributes of `ATTRIBUTES` | level, number, truth or word |
| `store.FIELD` (or `store["FIELD"]`) | number: its committed version, 0 if there is none |
| `resident(ID)` `absent(ID)` `known(ID)` | truth |
| `closed`, `true`, `false` | truth |
| `absent` `pointer` `structured` `compressed` `full` | level |
| names of page types, pins and authors | word |

LAW-EXPR-1: no comparison with a page that is not written yet holds, since nothing is known of it.
LAW-EXPR-2: a page that arrives in the next prompt (just written, or paged in) and is not in the last one is neither
`resident` nor `absent`, and has no `level` yet. So `absent` becomes true at the event by which a page left.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

import attrs

from clawvm_es.core.state import Page, State
from clawvm_es.errors import UsageError
from clawvm_es.history.figures import NEED_FAULTS
from clawvm_es.model.events import Event, FaultObserved, NeedUnmet, PageResolved, PageUsed
from clawvm_es.model.pages import ABSENT, LADDER, Author, PageType, Pin

NUMBER, LEVEL, TRUTH, WORD = "number", "level", "truth", "word"


@attrs.frozen
class Seen:
    """Subject of a question: a state, and counts that only its events give."""

    state: State
    count: Callable[[str], int]  # of `COUNTED`, up to there


Question: TypeAlias = Callable[[Seen], bool]
_Term: TypeAlias = Callable[[Seen], Any]


@attrs.frozen
class _Typed:
    """A compiled part: the kind of its value, and its function, which gives None if nothing is known."""

    kind: str
    of: _Term


def _level(state: State, page: Page) -> int | None:
    rank = state.resident.get(page.page_id, ABSENT)
    return None if rank == ABSENT and page.page_id in state.arrivals else rank


def _tokens(state: State) -> int:
    return sum(state.pages[page_id].tokens[rank] for page_id, rank in state.resident.items())


COUNTED: Final = ("faults", "needs", "hits", "misses", "page_ins", "unmet")
"""Numbers that only the events tell."""


def counts(event: Event) -> tuple[str, ...]:
    """The numbers of `COUNTED` that an event adds to."""
    if isinstance(event, PageUsed):
        return ("needs", "hits")
    if isinstance(event, PageResolved):
        return ("needs", "misses", "page_ins")
    if isinstance(event, NeedUnmet):
        return ("needs", "misses", "unmet")
    if isinstance(event, FaultObserved):
        return ("faults", "needs", "misses") if event.fault in NEED_FAULTS else ("faults",)
    return ()


def _counted(name: str, seen: Seen) -> int:
    return seen.count(name)


NUMBERS: Final[Mapping[str, Callable[[Seen], int]]] = {
    "turn": lambda seen: seen.state.turn,
    "version": lambda seen: seen.state.version,
    "budget": lambda seen: seen.state.budget_tokens,
    "fill": lambda seen: seen.state.fill_permille,
    "tokens": lambda seen: _tokens(seen.state),
    "pages": lambda seen: seen.state.present,
    "dirty": lambda seen: len(seen.state.dirty),
    "pending": lambda seen: len(seen.state.pending),
    "calls": lambda seen: len(seen.state.calls),
    **{name: partial(_counted, name) for name in COUNTED},
}
"""`fill` is in permille of the budget, `tokens` what the pages in the prompt take."""

ATTRIBUTES: Final[Mapping[str, tuple[str, Callable[[State, Page], Any]]]] = {
    "level": (LEVEL, _level),
    "floor": (LEVEL, lambda state, page: state.required.get(page.page_id, ABSENT)),
    "version": (NUMBER, lambda state, page: page.content_version),
    "tokens": (NUMBER, lambda state, page: page.tokens[state.resident.get(page.page_id, ABSENT)]),
    "full_tokens": (NUMBER, lambda state, page: page.full_tokens),
    "used": (NUMBER, lambda state, page: page.last_used),
    "dirty": (TRUTH, lambda state, page: page.dirty),
    "active": (TRUTH, lambda state, page: page.active),
    "retired": (TRUTH, lambda state, page: page.retired),
    "redacted": (TRUTH, lambda state, page: page.redacted),
    "type": (WORD, lambda state, page: page.page_type),
    "pin": (WORD, lambda state, page: page.pin),
    "author": (WORD, lambda state, page: page.author),
}
"""Attribute of a page → its kind and its value. `used` is the turn of its last use."""

CALLS: Final[Mapping[str, Callable[[State, Page], bool]]] = {
    "resident": lambda state, page: page.page_id in state.resident,
    "absent": lambda state, page: page.page_id not in state.resident and page.page_id not in state.arrivals,
    "known": lambda state, page: True,
}
"""Question about a page that is written → its answer; of others the answer is no."""

_WORDS: Final = frozenset(str(word) for kind in (PageType, Pin, Author) for word in kind)
_COMPARE: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_LONGEST: Final = 2000
HINT: Final = "clawvm bisect --help tells the language"


def question(text: str, pages: Mapping[str, str] | None = None) -> Question:
    """Compile a question; names of page types in it mean the page ids given in `pages`.

    Raises `UsageError` with the place of the mistake.
    """
    if len(text) > _LONGEST:
        raise UsageError(f"expression of {len(text)} characters: at most {_LONGEST}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        compiled = _compile(_Named(pages).visit(tree) if pages else tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, UsageError):
            raise
        where = f", column {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise UsageError(f"expression {text!r}{where}: {getattr(error, 'msg', error)}", hint=HINT) from error
    if compiled.kind != TRUTH:
        raise _refused(tree, f"is a {compiled.kind}; a question compares it, as in `turn >= 40`")
    return lambda seen: bool(compiled.of(seen))


def pages_named(text: str) -> tuple[str, ...]:
    """The pages that a valid question names in `resident`, `absent`, `known` and `page.ID`, each once."""
    question(text)
    named = _Named({})
    named.visit(ast.parse(text.strip(), mode="eval").body)
    return tuple(named.found)


class _Named(ast.NodeTransformer):
    """Finds the names of pages, and replaces them."""

    def __init__(self, pages: Mapping[str, str]) -> None:
        self.pages = pages
        self.found: dict[str, None] = {}

    def _of(self, name: str) -> ast.expr:
        self.found[name] = None
        return ast.Constant(self.pages.get(name, name))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """A question about a page."""
        if isinstance(node.func, ast.Name) and node.func.id in CALLS and len(node.args) == 1:
            argument = ast.copy_location(self._of(_page_id(node.args[0])), node.args[0])
            return ast.copy_location(ast.Call(node.func, [argument], node.keywords), node)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """An attribute of a page."""
        inner = node.value
        if isinstance(inner, ast.Attribute | ast.Subscript):
            root, page_id = _step(inner)
            if isinstance(root, ast.Name) and root.id == "page":
                there = ast.Subscript(root, self._of(page_id), ast.Load())
                return ast.copy_location(ast.Attribute(ast.copy_location(there, inner), node.attr, node.ctx), node)
        return node


def _refused(node: ast.AST, what: str) -> UsageError:
    shown = ast.unparse(node)
    return UsageError(f"expression, column {getattr(node, 'col_offset', 0) + 1}: {shown} {what}", hint=HINT)


def _compile(node: ast.expr) -> _Typed:
    match node:
        case ast.BoolOp(op=op, values=values):
            return _both(op, [_truth(value) for value in values])
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _truth(operand)
            return _Typed(TRUTH, lambda seen: not inner(seen))
        case ast.Compare():
            return _compared(node)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in CALLS:
            return _asked(CALLS[name], _page_id(argument))
        case ast.Attribute() | ast.Subscript():
            return _path(node)
        case ast.Name(id=name):
            return _named(node, name)
        case ast.Constant(value=value):
            return _constant(node, value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value))) if not isinstance(value, bool):
            return _Typed(NUMBER, lambda seen: -value)
        case _:
            raise _refused(node, "is not part of the language")


def _truth(node: ast.expr) -> _Term:
    """A part that must be true or false."""
    compiled = _compile(node)
    if compiled.kind != TRUTH:
        raise _refused(node, f"is a {compiled.kind}, not true or false")
    return compiled.of


def _both(op: ast.boolop, terms: list[_Term]) -> _Typed:
    if isinstance(op, ast.And):
        return _Typed(TRUTH, lambda seen: all(term(seen) for term in terms))
    return _Typed(TRUTH, lambda seen: any(term(seen) for term in terms))


def _compared(node: ast.Compare) -> _Typed:
    """A chain of comparisons of values of one kind; none holds with an unknown value."""
    parts = [node.left, *node.comparators]
    terms = [_compile(part) for part in parts]
    checks: list[tuple[Callable[[Any, Any], bool], _Term, _Term]] = []
    for place, op in enumerate(node.ops):
        compare = _COMPARE.get(type(op))
        one, two = terms[place], terms[place + 1]
        if compare is None:
            raise _refused(node, "uses an operator that is not part of the language")
        if one.kind != two.kind:
            raise _refused(node, f"compares a {one.kind} with a {two.kind}")
        if one.kind in (WORD, TRUTH) and not isinstance(op, ast.Eq | ast.NotEq):
            raise _refused(node, f"asks which {one.kind} is greater")
        checks.append((compare, one.of, two.of))

    def holds(seen: Seen) -> bool:
        for compare, one, two in checks:
            a, b = one(seen), two(seen)
            if a is None or b is None or not compare(a, b):
                return False
        return True

    return _Typed(TRUTH, holds)


def _asked(answer: Callable[[State, Page], bool], page_id: str) -> _Typed:
    def holds(seen: Seen) -> bool:
        page = seen.state.pages.get(page_id)
        return page is not None and answer(seen.state, page)

    return _Typed(TRUTH, holds)


def _path(node: ast.Attribute | ast.Subscript) -> _Typed:
    """`page.ID.ATTRIBUTE` or `store.FIELD`; names that are no Python identifiers stand in brackets."""
    inner, name = _step(node)
    if isinstance(inner, ast.Name) and inner.id == "store":
        return _Typed(NUMBER, lambda seen: _field_version(seen.state, name))
    if isinstance(inner, ast.Attribute | ast.Subscript):
        root, page_id = _step(inner)
        if isinstance(root, ast.Name) and root.id == "page":
            return _page_attribute(node, page_id, name)
    raise _refused(node, "is neither page.ID.ATTRIBUTE nor store.FIELD")


def _step(node: ast.Attribute | ast.Subscript) -> tuple[ast.expr, str]:
    match node:
        case ast.Attribute(value=inner, attr=name):
            return inner, name
        case ast.Subscript(value=inner, slice=ast.Constant(value=str(name))):
            return inner, name
        case _:
            raise _refused(node, "needs a name in quotes")


def _page_attribute(node: ast.expr, page_id: str, name: str) -> _Typed:
    if name not in ATTRIBUTES:
        raise _refused(node, f"names no attribute of a page: {name}")
    kind, value = ATTRIBUTES[name]

    def of(seen: Seen) -> Any:
        page = seen.state.pages.get(page_id)
        return None if page is None else value(seen.state, page)

    return _Typed(kind, of)


def _field_version(state: State, field: str) -> int:
    """The committed version of a field, in the session's own store or in a shared scope."""
    return max((version for (_, name), version in state.store.items() if name == field), default=0)


def _page_id(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Constant(value=str(name)):
            return name
        case _:
            raise _refused(node, "is no page id")


def _named(node: ast.expr, name: str) -> _Typed:
    if name in NUMBERS:
        return _Typed(NUMBER, NUMBERS[name])
    if name == "closed":
        return _Typed(TRUTH, lambda seen: seen.state.closed)
    if name in ("true", "false"):
        return _Typed(TRUTH, lambda seen: name == "true")
    return _word(node, name)


def _word(node: ast.expr, name: str) -> _Typed:
    if name in LADDER:
        rank = [str(level) for level in LADDER].index(name)
        return _Typed(LEVEL, lambda seen: rank)
    if name in _WORDS:
        return _Typed(WORD, lambda seen: name)
    raise _refused(node, "is no known name")


def _constant(node: ast.expr, value: object) -> _Typed:
    if isinstance(value, bool):
        return _Typed(TRUTH, lambda seen: value)
    if isinstance(value, int):
        return _Typed(NUMBER, lambda seen: value)
    if isinstance(value, str):
        return _word(node, value)
    raise _refused(node, "is not part of the language")
