"""The facts of a JSON document: what later calls ask for, each under its keys.

Scalars are taken by rank (identifiers, then dates and numbers, other short ones, long ones) until the aim is spent,
and written at their places; what is left out is counted there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import islice
from json.encoder import encode_basestring as _quoted
from typing import Any, Final, TypeAlias

import attrs

from clawvm_es.limits import NESTING_MAX

_Document: TypeAlias = Any

_NODES = 1 << 16  # looked at; what comes after them is left out
_REFUSALS = 64  # of a rank, until what fits no more is not looked for any longer
_MARK_CHARS = 10  # what a container says about what it leaves out, on average
_SHORT_CHARS, _WORD_CHARS = 24, 64
_CLIPPED_CHARS = 40  # of a long text, at least
_CLIP_MARK_CHARS = 24  # what a clipped text says about what is left out, at most
_WORD = re.compile(rf"(?=\D*\d)\S{{5,{_WORD_CHARS}}}\Z")
_IDENTIFIER = re.compile(rf"(?!\d{{4}}-\d\d-\d\d|\d\d?:\d\d)(?=[^A-Za-z]*[A-Za-z]){_WORD.pattern}")
_CONSTANTS: Final[Mapping[bool | None, str]] = {True: "true", False: "false", None: "null"}


class Lexeme(str):
    """A number as it stands in the source."""

    __slots__ = ()


class _Rank(IntEnum):
    """Rank of a scalar by how likely it is asked for again, the most likely first: no value is like it before it."""

    IDENTIFIER = 0  # one word of letters and digits, no date
    DIGITS = 1  # one word with a digit: a date, a time, a number
    SHORT = 2
    REPEATED = 3  # or a constant
    LONG = 4


@attrs.define(eq=False)
class _Node:
    """A value at its place: `label` is the key as it is written, `chars` what a long text is clipped to."""

    value: _Document
    label: str = ""
    parent: _Node | None = None
    depth: int = 0
    kept: bool = False
    chars: int = 0
    inner: list[_Node] = attrs.field(factory=list)


def facts(document: _Document, aim: int) -> str:
    """A parsed document in at most about `aim` characters, with ``… n more`` where something is left out."""
    root = _Node(document, kept=True)
    ranked: dict[_Rank, list[_Node]] = {rank: [] for rank in _Rank}
    seen: set[str] = set()
    for node in _nodes(root):
        rank = _rank(node, seen)
        if rank is not None:
            ranked[rank].append(node)
    left = aim - _MARK_CHARS
    for rank, nodes in ranked.items():
        if rank is _Rank.LONG:
            _clip(nodes, left)
        left = _keep(nodes, left)
    out: list[str] = []
    _write(root, out)
    return "".join(out)


def _nodes(root: _Node) -> Iterator[_Node]:
    """The nodes below `root` in the order of the text, `_NODES` at most."""
    left = _NODES
    stack = [iter(_opened(root))]
    while stack and left:
        node = next(stack[-1], None)
        if node is None:
            stack.pop()
            continue
        left -= 1
        yield node
        if node.depth < NESTING_MAX:
            stack.append(iter(_opened(node)))


def _opened(node: _Node) -> list[_Node]:
    """Items of a container, one level down."""
    if isinstance(node.value, dict):
        pairs = islice(node.value.items(), _NODES)
        node.inner = [_Node(item, f"{_quoted(key[:_WORD_CHARS])}: ", node, node.depth + 1) for key, item in pairs]
    elif isinstance(node.value, list):
        node.inner = [_Node(item, "", node, node.depth + 1) for item in islice(node.value, _NODES)]
    return node.inner


def _rank(node: _Node, seen: set[str]) -> _Rank | None:
    """The rank of a scalar, or of a container whose key is an identifier; None for others that hold something."""
    value = node.value
    if value and isinstance(value, (dict, list)):
        value = node.label[1:-3]
        if value in seen or not _IDENTIFIER.match(value):
            return None
    elif not isinstance(value, str):
        return _Rank.REPEATED
    if value in seen:
        return _Rank.REPEATED if len(value) <= _WORD_CHARS else _Rank.LONG
    seen.add(value)
    if _WORD.match(value):
        return _Rank.IDENTIFIER if _IDENTIFIER.match(value) else _Rank.DIGITS
    return _Rank.SHORT if len(value) <= _SHORT_CHARS else _Rank.LONG


def _clip(nodes: Sequence[_Node], left: int) -> None:
    """Give each of some long texts an equal share of the characters that are left."""
    for node in nodes:
        share = max(left // len(nodes) - len(node.label) - _CLIP_MARK_CHARS, _CLIPPED_CHARS)
        node.chars = share
        while node.chars > _CLIPPED_CHARS and len(_scalar(node)) > share + _CLIP_MARK_CHARS:  # much is escaped
            node.chars = node.chars * 3 // 4


def _keep(nodes: Iterable[_Node], left: int) -> int:
    """Keep the nodes that fit, with the containers around them; returns the characters that are left."""
    refusals = 0
    for node in nodes:
        added = list(_to_be_kept(node))
        cost = len(node.label) + len(_scalar(node)) + 2
        cost += sum(len(container.label) + 4 + _MARK_CHARS for container in added[1:])
        if cost <= left:
            left -= cost
            for place in added:
                place.kept = True
        else:
            refusals += 1
            if refusals == _REFUSALS:
                break
    return left


def _to_be_kept(node: _Node | None) -> Iterator[_Node]:
    """The node and the containers around it that are not kept yet."""
    while node is not None and not node.kept:
        yield node
        node = node.parent


def _scalar(node: _Node) -> str:
    """The value as it is written; of a container, how much is in it."""
    value = node.value
    if isinstance(value, Lexeme):
        return str(value)
    if isinstance(value, str):
        if 0 < node.chars < len(value):
            return f'{_quoted(value[: node.chars])[:-1]}…" ({len(value)} chars)'
        return _quoted(value)
    if isinstance(value, dict):
        return f"{{{len(value)} keys}}" if value else "{}"
    if isinstance(value, list):
        return f"[{len(value)} items]" if value else "[]"
    return _CONSTANTS[value]


def _write(node: _Node, out: list[str]) -> None:
    """Append the text of a kept node to `out`."""
    kept = [inner for inner in node.inner if inner.kept]
    if not kept:
        out.append(_scalar(node))
        return
    opening, closing = "{}" if isinstance(node.value, dict) else "[]"
    for place, inner in enumerate(kept):
        out.append(", " if place else opening)
        out.append(inner.label)
        _write(inner, out)
    if len(kept) < len(node.value):
        out.append(f", … {len(node.value) - len(kept)} more")
    out.append(closing)
