"""The trees of snapshots: what is read, what is written anew, and what damage does."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.journal.snapshots.seal import Damaged
from clawvm_es.journal.snapshots.tree import BRANCH_SHIFT, Tree

decode = msgspec.msgpack.Decoder(dict[int, int]).decode


class Nodes:
    """Stored nodes by (part, number, id), and every reading of them."""

    def __init__(self) -> None:
        self.stored: dict[tuple[int, int, int], bytes] = {}
        self.reads: list[tuple[int, tuple[int, ...]]] = []

    def read(self, part, node_ids):
        """The payloads, as a reader of snapshots gives them."""
        self.reads.append((part, tuple(node_ids)))
        return {number: self.stored[part, number, node_id] for number, node_id in node_ids.items()}

    def put(self, part, number, payload):
        """Store one node; returns its id."""
        node_id = len(self.stored) + 1
        self.stored[part, number, node_id] = payload
        return node_id

    def tree(self, roots=None) -> Tree:
        """A tree over these nodes that was not looked at."""
        return Tree(3, decode, self.read, dict(roots or {}))


LEAVES = st.dictionaries(st.integers(-70, 200), st.dictionaries(st.integers(0, 5), st.integers(0, 5)), max_size=8)


@given(st.lists(LEAVES, max_size=5), st.lists(st.integers(-75, 205), max_size=5))
def test_a_tree_holds_the_newest_leaves(rounds, others) -> None:
    """After any changes each leaf is the newest, in the tree that wrote it and in one that reads it again."""
    nodes, expected = Nodes(), {}
    tree = nodes.tree()
    for leaves in rounds:
        tree.replace(leaves, nodes.put)
        expected.update(leaves)
    for found in (tree, nodes.tree(tree.roots)):
        assert list(found.numbers()) == sorted(expected)
        assert sorted(found.pointers()) == sorted(expected)
        assert {number: found.leaf(number) for number in found.numbers()} == expected
        assert all(found.leaf(number) == expected.get(number, {}) for number in others)
    for number, node_id in tree.pointers().items():
        assert decode(nodes.stored[6, number, node_id]) == expected[number]


def test_a_change_writes_its_leaf_and_its_branch() -> None:
    """One leaf and one branch a change, whatever else there is; the rest is pointed to."""
    nodes = Nodes()
    tree = nodes.tree()
    tree.replace({number: {0: number} for number in range(3 << BRANCH_SHIFT)}, nodes.put)
    before, pointers = dict(nodes.stored), tree.pointers()
    assert sorted(tree.roots) == [0, 1, 2] and len(before) == (3 << BRANCH_SHIFT) + 3
    again = nodes.tree(tree.roots)
    again.replace({(1 << BRANCH_SHIFT) - 1: {7: 7}}, nodes.put)
    new = [key[:2] for key in nodes.stored if key not in before]
    assert new == [(6, (1 << BRANCH_SHIFT) - 1), (7, 0)]
    assert {k: v for k, v in again.pointers().items() if pointers[k] != v}.keys() == {(1 << BRANCH_SHIFT) - 1}
    assert (again.roots[1], again.roots[2]) == (tree.roots[1], tree.roots[2]) and again.roots[0] != tree.roots[0]


def test_nodes_are_read_once_and_together() -> None:
    """All branches at the first look, leaves as they are asked for, missing ones never, and none twice."""
    nodes = Nodes()
    made = nodes.tree()
    made.replace({0: {1: 1}, 1: {2: 2}, 64: {3: 3}}, nodes.put)
    tree = nodes.tree(made.roots)
    assert nodes.reads == []
    tree.fetch([0, 1, 5, 700])
    assert nodes.reads == [(7, (0, 1)), (6, (0, 1))]
    assert (tree.leaf(0), tree.leaf(5), tree.leaf(700)) == ({1: 1}, {}, {})
    assert len(nodes.reads) == 2
    tree.fetch([0, 64])
    tree.fetch([0, 5, 64])
    assert nodes.reads[2:] == [(6, (64,))]
    assert nodes.tree().leaf(3) == {} and len(nodes.reads) == 3


def test_a_written_leaf_is_not_read_again() -> None:
    """What was just stored is at hand."""
    nodes = Nodes()
    tree = nodes.tree()
    tree.replace({9: {1: 2}}, nodes.put)
    assert tree.leaf(9) == {1: 2} and nodes.reads == []


@pytest.mark.parametrize("part", [6, 7])
def test_a_node_that_holds_something_else_is_damage(part) -> None:
    """A leaf or a branch that does not decode is damaged, and says so."""
    nodes = Nodes()
    made = nodes.tree()
    made.replace({0: {1: 1}}, nodes.put)
    nodes.stored = {key: b"\xc1" if key[0] == part else body for key, body in nodes.stored.items()}
    with pytest.raises(Damaged, match="holds something else"):
        nodes.tree(made.roots).leaf(0)
