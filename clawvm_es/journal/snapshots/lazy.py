"""A dict whose entries are read on access; equal to the plain dict that it stands for.

It subclasses dict, so that entries in memory are found as fast as in the plain dicts of a state. Entries that were
read or written are in the dict; `__missing__` reads the others. The order is that of the source, then of later
writes. Nothing can be deleted, since states never delete.

LAW-LAZY-1: after any reads and writes it equals the plain dict, entry by entry and in order.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from typing import Any, Generic, Protocol, TypeVar

K = TypeVar("K")
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)


class Source(Protocol[K, V_co]):
    """Source of the entries."""

    def count(self) -> int:
        """Return the number of entries."""

    def keys(self) -> Iterator[K]:
        """All keys, in order."""

    def has(self, key: K) -> bool:
        """Tell whether there is such a key."""

    def find(self, keys: Sequence[K]) -> Mapping[K, V_co]:
        """The existing entries among `keys`; values that can change are new objects."""


class Lazy(dict[K, V], Generic[K, V]):
    """A mapping over a `Source`; entries that were read or written stay in memory."""

    def __init__(self, source: Source[K, V]) -> None:
        self._source = source
        self._count = source.count()
        self._new: dict[K, None] = {}
        self._absent: dict[K, None] = {}  # looked for, and not in the source: no need to ask again

    def __missing__(self, key: K) -> V:
        if key not in self._absent:
            self.load([key])
        if key in self._absent:
            raise KeyError(key)
        return dict.__getitem__(self, key)

    def __setitem__(self, key: K, value: V) -> None:
        if not dict.__contains__(self, key) and (key in self._absent or not self._source.has(key)):
            self._new[key] = None
        dict.__setitem__(self, key, value)

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self, key) or self._stored(key)  # type: ignore[arg-type]

    def _stored(self, key: K) -> bool:
        return key not in self._absent and self._source.has(key)

    def __len__(self) -> int:
        return self._count + len(self._new)

    def __iter__(self) -> Iterator[K]:
        yield from self._source.keys()
        yield from list(self._new)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        if len(self) != len(other):
            return False
        self.load(self)
        return all(key in self and self[key] == value for key, value in other.items())

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def __repr__(self) -> str:
        return f"<{len(self)} entries, {dict.__len__(self)} of them looked at>"

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self.items()),)

    def get(self, key: K, default: Any = None) -> Any:
        """The value of a key, or `default`."""
        if key not in self._absent and not dict.__contains__(self, key):
            self.load([key])
        return dict.get(self, key, default)

    def keys(self) -> Any:
        """All keys, in order."""
        return Mapping.keys(self)

    def values(self) -> Any:
        """All values, in the order of their keys."""
        self.load(self)
        return ValuesView(self)

    def items(self) -> Any:
        """All keys with their values."""
        self.load(self)
        return ItemsView(self)

    def copy(self) -> dict[K, V]:
        """A plain dict of all entries."""
        return dict(self.items())

    def load(self, keys: Iterable[K]) -> None:
        """Read many entries at once; missing ones are left out."""
        has, absent = dict.__contains__, self._absent
        wanted = [key for key in keys if key not in absent and not has(self, key)]
        found = self._source.find(wanted) if wanted else {}
        dict.update(self, found)
        if len(found) < len(wanted):
            absent.update(dict.fromkeys([key for key in wanted if key not in found]))

    def looked_at(self) -> ItemsView[K, V]:
        """The entries in memory: all that may have changed since they were read."""
        return dict.items(self)

    def settle(self, keep: Callable[[K], bool]) -> None:
        """Note that the source now holds everything, and keep only some entries in memory."""
        self._count = self._source.count()
        self._new.clear()
        self._absent.clear()
        for key in [key for key, _ in self.looked_at() if not keep(key)]:
            dict.__delitem__(self, key)

    def _refuse(self, *_: object, **__: object) -> Any:
        raise TypeError("the mappings of a restored state only grow")

    __delitem__ = pop = popitem = clear = setdefault = update = __ior__ = _refuse
    __or__ = __ror__ = lambda self, other: NotImplemented


def load(mapping: Mapping[K, Any], keys: Iterable[K]) -> None:
    """Read many entries of a lazy dict at once; a plain dict has them already."""
    if isinstance(mapping, Lazy):
        mapping.load(keys)
