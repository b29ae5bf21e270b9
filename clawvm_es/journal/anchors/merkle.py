"""The Merkle tree of RFC 6962 §2: roots, inclusion and consistency proofs, and their checks (RFC 9162 §2.1).

LAW-MERKLE-1: leaf i (from 0) is SHA-256(0x00 ‖ hash of the event with `seq` i + 1), a node is SHA-256(0x01 ‖ left ‖
right), the root of no leaves is SHA-256 of nothing.
LAW-MERKLE-2: a proof made here verifies; with any leaf, index, size or node changed, it does not.

Leaves are read once, in order. Memory holds one block of leaves and one node per level.
"""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

HASH_BYTES: Final = 32
Span: TypeAlias = tuple[int, int]
"""A subtree: the index of its first leaf, and of the leaf after its last."""

_BLOCK_HEIGHT: Final = 10
_BLOCK: Final = 1 << _BLOCK_HEIGHT
_sha256 = hashlib.sha256


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of one leaf."""
    return _sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return _sha256(b"\1" + left + right).digest()


class Frontier:
    """A tree that grows on its right: the roots of its full subtrees, largest first, and its size in leaves."""

    def __init__(self) -> None:
        self.size = 0
        self._roots: list[bytes] = []

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaves in order; whole aligned blocks are hashed level by level, which is faster."""
        rest = iter(leaves)
        while block := list(itertools.islice(rest, _BLOCK - self.size % _BLOCK)):
            level = [_sha256(b"\0" + leaf).digest() for leaf in block]
            if len(block) < _BLOCK:
                for node in level:
                    self._push(node, 0)
            else:
                while len(level) > 1:
                    level = [_sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=True)]
                self._push(level[0], _BLOCK_HEIGHT)

    def _push(self, node: bytes, height: int) -> None:
        """Add a full subtree of 2**height leaves, of which `size` must be a multiple."""
        added = 1 << height
        while self.size >> height & 1:
            node = node_hash(self._roots.pop(), node)
            height += 1
        self._roots.append(node)
        self.size += added

    def root(self) -> bytes:
        """The root of all leaves so far."""
        if not self._roots:
            return _sha256().digest()
        root = self._roots[-1]
        for left in self._roots[-2::-1]:
            root = node_hash(left, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root of a tree."""
    tree = Frontier()
    tree.extend(leaves)
    return tree.root()


def inclusion_spans(index: int, size: int) -> tuple[Span, ...]:
    """The subtrees whose roots are the inclusion proof of leaf `index` in a tree of `size`, lowest first.

    RFC 6962 §2.1.1. Raises `ValueError` unless 0 ≤ index < size.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    spans = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            spans.append((middle, high))
            high = middle
        else:
            spans.append((low, middle))
            low = middle
    return tuple(reversed(spans))


def consistency_spans(first: int, second: int) -> tuple[Span, ...]:
    """The subtrees whose roots prove that a tree of `first` leaves is a prefix of one of `second`, lowest first.

    RFC 6962 §2.1.2; empty if `first` is 0 or equals `second`. Raises `ValueError` unless 0 ≤ first ≤ second.
    """
    if not 0 <= first <= second:
        raise ValueError(f"a tree of {first} leaves is no beginning of one of {second}")
    if first in (0, second):
        return ()
    spans = []
    low, high = 0, second
    while high != first:
        middle = low + _split(high - low)
        if first <= middle:
            spans.append((middle, high))
            high = middle
        else:
            spans.append((low, middle))
            low = middle
    if low:  # else the old tree is a full subtree, whose root the verifier knows
        spans.append((low, high))
    return tuple(reversed(spans))


def rest_spans(indices: Sequence[int], size: int) -> tuple[Span, ...]:
    """The largest subtrees that hold none of these leaves (given in order), left to right.

    Their roots and the leaves' own hashes give the root of the tree, so they prove every leaf's index at once.
    """
    spans = []
    waiting = [(0, size)]
    while waiting:
        low, high = waiting.pop()
        held = bisect_left(indices, high) - bisect_left(indices, low)
        if held == 0 and low < high:
            spans.append((low, high))
        elif held < high - low:
            middle = low + _split(high - low)
            waiting += [(middle, high), (low, middle)]
    return tuple(spans)


def roots(leaves: Iterable[bytes], spans: Iterable[Span]) -> dict[Span, bytes]:
    """The root of each span, in one pass over leaves that begin at index 0 and reach the end of the last span."""
    waiting = sorted(set(spans), reverse=True)
    open_: dict[Span, Frontier] = {}
    done: dict[Span, bytes] = {}
    for start, block in _blocks(leaves):
        end = start + len(block)
        while waiting and waiting[-1][0] < end:
            open_[waiting.pop()] = Frontier()
        for span in list(open_):
            tree = open_[span]
            low, high = span
            tree.extend(block[max(low - start, 0) : high - start])
            if high <= end:
                done[span] = open_.pop(span).root()
    if waiting or open_:
        raise ValueError("there are fewer leaves than the spans need")
    return done


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Tell whether `proof` shows that leaf `index` of the tree with `size` leaves and this root is `leaf`."""
    if not 0 <= index < size:
        return False
    node, last, computed = index, size - 1, leaf_hash(leaf)
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == root


def consistent(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether `proof` shows that the tree of `second` leaves begins with the tree of `first` leaves."""
    if not 0 <= first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    if first == 0:
        return not proof and first_root == root_of(())
    path = list(proof) if first & (first - 1) else [first_root, *proof]
    if not path:
        return False
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _split(size: int) -> int:
    """The largest power of two below `size`, which is 2 or more."""
    return 1 << (size - 1).bit_length() - 1


def _blocks(leaves: Iterable[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Leaves in blocks, each with the index of its first."""
    rest, start = iter(leaves), 0
    while block := list(itertools.islice(rest, _BLOCK)):
        yield start, block
        start += len(block)
