"""Sources of the lazy mappings of a restored state, and the fallback when a part cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import attrs

from clawvm_es.core.state import State
from clawvm_es.journal.snapshots.parts import Part
from clawvm_es.journal.snapshots.reader import Reader
from clawvm_es.journal.snapshots.seal import Damaged
from clawvm_es.journal.snapshots.tree import Tree

_T = TypeVar("_T")


@attrs.define(eq=False)
class Base:
    """The state that a snapshot is of, as far as it was read; `rescue` folds it when a part cannot be read."""

    reader: Reader
    trees: dict[int, Tree]
    counts: dict[int, int]
    rescue: Callable[[Damaged], State]
    whole: State | None = None

    def rescued(self, damage: Damaged) -> State:
        """The same state, folded from zero."""
        if self.whole is None:
            self.whole = self.rescue(damage)
        return self.whole


@attrs.frozen(eq=False)
class PartSource:
    """The entries of one mapping of a snapshot's state."""

    base: Base
    part: Part

    def count(self) -> int:
        """Return the number of entries."""
        return self.base.counts[self.part.number]

    def keys(self) -> Iterator[Any]:
        """All keys: by leaf, so numbered ones in the order of their numbers."""
        return iter(self._try(self._keys, list))

    def has(self, key: Any) -> bool:
        """Tell whether there is such a key."""
        return self._try(lambda: key in self._leaf(key), lambda whole: key in whole)

    def find(self, keys: Sequence[Any]) -> dict[Any, Any]:
        """The entries among `keys` that there are."""
        return self._try(lambda: self._find(keys), lambda whole: {key: whole[key] for key in keys if key in whole})

    def _try(self, stored: Callable[[], _T], folded: Callable[[dict[Any, Any]], _T]) -> _T:
        if self.base.whole is None:
            try:
                return stored()
            except Damaged as damage:
                self.base.rescued(damage)
        assert self.base.whole is not None
        return folded(getattr(self.base.whole, self.part.name))

    def _leaf(self, key: Any) -> dict[Any, Any]:
        return self.base.trees[self.part.number].leaf(self.part.leaf_of(key))

    def _keys(self) -> list[Any]:
        tree = self.base.trees[self.part.number]
        return [key for number in tree.numbers() for key in tree.leaf(number)]

    def _find(self, keys: Sequence[Any]) -> dict[Any, Any]:
        tree, leaf_of = self.base.trees[self.part.number], self.part.leaf_of
        numbers = [leaf_of(key) for key in keys]
        leaves = tree.fetch(set(numbers))
        records = {
            key: leaf[key] for key, number in zip(keys, numbers, strict=True) if key in (leaf := leaves[number])
        }
        return self.part.thaw(records, self.base.reader.events_at)
