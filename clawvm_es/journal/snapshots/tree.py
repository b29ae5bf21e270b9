"""A large mapping as a tree of nodes, each written once: a snapshot stores changed nodes and points to the others.

Keys fall into leaves, leaves into branches of `BRANCH` leaves, and a head points to the branches. So a change of
one entry costs one leaf, one branch and nothing else, however large the mapping is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

import attrs
import msgspec

from clawvm_es.journal.snapshots.seal import Damaged

LEAF_SHIFT: Final = 5
"""32 keys in a leaf, where keys are numbers."""
BRANCH_SHIFT: Final = 6
"""64 leaves in a branch."""

Read = Callable[[int, Mapping[int, int]], Mapping[int, bytes]]
"""(part, number → node id) → number → the checked payload of that node; raises `Damaged`."""
Put = Callable[[int, int, bytes], int]
"""(part, number, payload) → the id of the new node."""
Leaf = dict[Any, Any]

_T = TypeVar("_T")
_encode = msgspec.msgpack.Encoder().encode
_decode_branch = msgspec.msgpack.Decoder(dict[int, int]).decode


@attrs.define
class Tree:
    """One mapping, read node by node. `roots`: branch number → node id; `part` keeps trees apart."""

    part: int
    decode: Callable[[bytes], Leaf]
    read: Read
    roots: dict[int, int]
    _branches: dict[int, dict[int, int]] = attrs.field(factory=dict, init=False)
    _leaves: dict[int, Leaf] = attrs.field(factory=dict, init=False)

    def leaf(self, number: int) -> Leaf:
        """The entries of one leaf; not to be changed."""
        if number not in self._leaves:
            self.fetch([number])
        return self._leaves[number]

    def fetch(self, numbers: Iterable[int]) -> Mapping[int, Leaf]:
        """Read several leaves at once; returns all that were read so far, not to be changed."""
        wanted: dict[int, int] = {}
        for number in numbers:
            if number not in self._leaves:
                node_id = self._branch(number >> BRANCH_SHIFT).get(number)
                if node_id is None:
                    self._leaves[number] = {}
                else:
                    wanted[number] = node_id
        if wanted:
            self._leaves.update(self._read(2 * self.part, wanted, self.decode))
        return self._leaves

    def numbers(self) -> Iterator[int]:
        """The numbers of all leaves, rising."""
        for number in sorted(self.roots):
            yield from sorted(self._branch(number))

    def pointers(self) -> dict[int, int]:
        """Leaf number → node id, for all leaves."""
        return {number: node_id for branch in self.roots for number, node_id in self._branch(branch).items()}

    def replace(self, leaves: Mapping[int, Leaf], put: Put) -> None:
        """Store new contents of some leaves as new nodes, with the branches above them."""
        branches: dict[int, dict[int, int]] = {}
        for number, content in sorted(leaves.items()):
            above = number >> BRANCH_SHIFT
            branch = branches.setdefault(above, dict(self._branch(above)))
            branch[number] = put(2 * self.part, number, _encode(content))
            self._leaves[number] = content
        for number, content in branches.items():
            self.roots[number] = put(2 * self.part + 1, number, _encode(content))
            self._branches[number] = content

    def _branch(self, number: int) -> dict[int, int]:
        """Leaf number → node id of one branch; the first look reads all branches, which are few, at once."""
        if not self._branches and self.roots:
            self._branches.update(self._read(2 * self.part + 1, self.roots, _decode_branch))
        return self._branches.setdefault(number, {})

    def _read(self, part: int, node_ids: Mapping[int, int], decode: Callable[[bytes], _T]) -> dict[int, _T]:
        try:
            return {number: decode(payload) for number, payload in self.read(part, node_ids).items()}
        except msgspec.MsgspecError as error:
            raise Damaged(f"a node holds something else: {error}") from error
