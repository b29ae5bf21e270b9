"""Align two sequences: equal items, changed items, and items in one only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs
from rapidfuzz.distance import Indel

CELLS_MAX: Final = 1 << 31
"""Items of one sequence times items of the other that are aligned at once (a bit each); longer ones are halved."""
T = TypeVar("T")


@attrs.frozen
class Item(Generic[T]):
    """A thing to align: its keys, from its whole content to its mere kind; all items have as many keys."""

    thing: T
    keys: tuple[Any, ...]


def align(a: Sequence[Item[T]], b: Sequence[Item[T]], level: int = 0) -> Iterator[tuple[T | None, T | None]]:
    """Pairs of items in order: first items equal by key one, between them items equal by key two, and so on.

    An item without a counterpart is paired with None. Each level is a longest common subsequence, so that one
    additional item on a side leaves all other pairs intact. Swapping the sequences gives the same pairs.
    """
    if len(a) * len(b) > CELLS_MAX:
        yield from align(a[: len(a) // 2], b[: len(b) // 2], level)
        yield from align(a[len(a) // 2 :], b[len(b) // 2 :], level)
        return
    at_a = at_b = 0
    for start_a, start_b, size in _same([item.keys[level] for item in a], [item.keys[level] for item in b]):
        yield from _between(a[at_a:start_a], b[at_b:start_b], level + 1)
        at_a, at_b = start_a + size, start_b + size
        yield from ((was.thing, now.thing) for was, now in zip(a[start_a:at_a], b[start_b:at_b], strict=True))


def _same(a: list[Any], b: list[Any]) -> list[tuple[int, int, int]]:
    """The stretches of a longest common subsequence: their beginnings in both, and their length; the last is empty.

    The choice among several such subsequences does not depend on the order of the two arguments.
    """
    turned = (len(b), repr(b)) < (len(a), repr(a))
    numbers: dict[Any, int] = {}
    first, second = (
        [numbers.setdefault(key, len(numbers)) for key in side] for side in ((b, a) if turned else (a, b))
    )
    blocks = Indel.opcodes(first, second).as_matching_blocks()
    return [(block.b, block.a, block.size) if turned else (block.a, block.b, block.size) for block in blocks]


def _between(a: Sequence[Item[T]], b: Sequence[Item[T]], level: int) -> Iterator[tuple[T | None, T | None]]:
    """Items that differ by all keys compared so far."""
    if a and b and level < len(a[0].keys):
        yield from align(a, b, level)
        return
    yield from ((item.thing, None) for item in a)
    yield from ((None, item.thing) for item in b)
