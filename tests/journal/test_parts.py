"""Parts of a snapshot: a page is frozen and thawed as it was, and a record of another event is damage."""

from __future__ import annotations

from itertools import product

import pytest

from clawvm_es.core.pages import page_of
from clawvm_es.journal.snapshots.parts import PARTS, Damaged
from clawvm_es.model.pages import PageType, Pin
from clawvm_es.testing.core import page

PAGES = PARTS[0]
WRITTEN = page(7, PageType.PLAN)
FLAGS = ("dirty", "retired", "gone", "redacted", "away")


def frozen(**changes):
    """A page and its record."""
    known = page_of(
        WRITTEN,
        number=7,
        content_version=2,
        written_version=30,
        last_used=4,
        pin=Pin.SOFT,
        uses=3,
        edited=1,
    )
    for name, value in changes.items():
        setattr(known, name, value)
    return known, {"p7": PAGES.freeze(known)}


@pytest.mark.parametrize("flags", list(product([False, True], repeat=5)), ids=str)
@pytest.mark.parametrize("pin", Pin)
def test_a_page_comes_back_as_it_was(flags, pin):
    """Every flag alone and with others, and every pin; the rest is what its event says."""
    known, records = frozen(pin=pin, **dict(zip(FLAGS, flags, strict=True)))
    assert PAGES.thaw(records, lambda versions: {30: WRITTEN} if list(versions) == [30] else {}) == {"p7": known}


@pytest.mark.parametrize("event", [None, page(8)], ids=["no event", "another page"])
def test_a_record_of_another_event_is_damage(event):
    """A record names the event that wrote its page."""
    _, records = frozen()
    with pytest.raises(Damaged, match="event 30 did not write page p7"):
        PAGES.thaw(records, lambda versions: {} if event is None else {30: event})


@pytest.mark.parametrize(
    ("one", "other", "together"), [("p1", "p2", True), ("p1", "p9999", False), ("p1", "q1", False)]
)
def test_neighbours_share_a_leaf(one, other, together):
    """Pages that come one after another are stored together; odd ids apart from them."""
    assert (PAGES.leaf_of(one) == PAGES.leaf_of(other)) is together
    assert PAGES.leaf_of("p-1") < 0 and PAGES.leaf_of("p٣") < 0 and PAGES.leaf_of("p" + "1" * 16) < 0


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_keys_of_each_part_spread_over_leaves(part):
    """A change of one key never writes all others again: leaves are whole numbers, and hold a part of the keys."""
    keys = {"pages": "p{}", "call_ids": "id {}"}.get(part.name)
    numbers = range(1, 2_001)
    made = (
        [("scope", str(n)) for n in numbers]
        if part.name == "store"
        else [keys.format(n) if keys else n for n in numbers]
    )
    leaves = [part.leaf_of(key) for key in made]
    assert all(type(leaf) is int for leaf in leaves) and len(set(leaves)) >= 8
