"""A mapping that is read when it is looked at equals no other dict, and reads nothing twice."""

from __future__ import annotations

import pytest

from clawvm_es.journal.snapshots.lazy import Lazy, load


class Held:
    """A source in memory that counts what it is asked."""

    def __init__(self, entries: dict[int, int]) -> None:
        self.entries = entries
        self.asked: list[list[int]] = []
        self.looked = 0

    def count(self):
        """The number of entries."""
        return len(self.entries)

    def keys(self):
        """All keys."""
        return iter(list(self.entries))

    def has(self, key):
        """Tell whether there is such a key."""
        self.looked += 1
        return key in self.entries

    def find(self, keys):
        """The entries among keys."""
        self.asked.append(list(keys))
        return {key: self.entries[key] for key in keys if key in self.entries}


@pytest.mark.parametrize("other", [{}, {1: 2}, {1: 2, 3: 5}, {1: 2, 4: 4}, {1: 2, 3: 4, 5: 6}, {3: 4, 1: 9}], ids=str)
def test_it_equals_no_other_dict(other):
    """One that lacks a key, has another one, one more or another value; nor what is no mapping."""
    lazy = Lazy(Held({1: 2, 3: 4}))
    assert lazy != other and Lazy(Held(other)) != lazy
    assert lazy == {3: 4, 1: 2} and lazy == Lazy(Held({1: 2, 3: 4}))
    assert lazy != [1, 3] and lazy is not None


def test_many_keys_are_read_at_once_and_none_twice():
    """One question for all that are not known; a key that is not there is not asked for again."""
    source = Held({1: 2, 3: 4, 5: 6})
    lazy = Lazy(source)
    lazy[7] = 8
    load(lazy, [1, 3, 9, 7])
    assert source.asked == [[1, 3, 9]]
    load(lazy, [1, 3, 9])
    assert (lazy.get(9), lazy.get(1), lazy[3], lazy.get(7)) == (None, 2, 4, 8)
    looked = source.looked
    assert 9 not in lazy and 1 in lazy and 7 in lazy and source.looked == looked
    assert source.asked == [[1, 3, 9]]
    assert repr(lazy) == "<4 entries, 3 of them looked at>"
    assert dict(lazy.looked_at()) == {1: 2, 3: 4, 7: 8}
    lazy[9] = 10
    assert list(lazy) == [1, 3, 5, 7, 9] and source.looked == looked
