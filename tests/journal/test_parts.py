"""Parts of a snapshot: a page is frozen and thawed as it was, and a record of another event is damage."""

from __future__ import annotations

import re
import typing
from itertools import product

import attrs
import msgspec
import pytest

from clawvm_es.core.pages import page_of
from clawvm_es.core.state import State
from clawvm_es.journal.snapshots import parts
from clawvm_es.journal.snapshots.parts import FORMAT, OPENING, PARTS, Damaged
from clawvm_es.journal.snapshots.tree import BRANCH_SHIFT
from clawvm_es.model.pages import Origin, PageType, Pin
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


PLACES = {
    "pages": {"p1": 0, "p31": 0, "p32": 1, "p999": 31, "p" + "9" * 15: 31_249_999_999_999, "p" + "1" * 16: -30},
    "store": {("a", "b"): 49, ("a", "\ud800"): 26},
    "call_ids": {"": 0, "a": 3, "toolu_1": 52},
    "numbered": {0: 0, 31: 0, 32: 1, 999: 31, 2**40: 2**35},
}
"""Part → key → its leaf; parts that are not named have numbers for keys."""


def test_the_places_of_keys_are_stored_so_they_stay_with_the_format():
    """A program of the same mark looks for an entry where another one put it: other places need another format."""
    assert (FORMAT, BRANCH_SHIFT, OPENING, [part.number for part in PARTS]) == (4, 6, 12, [*range(12)])
    for part in PARTS:
        places = PLACES.get(part.name, PLACES["numbered"])
        assert {key: part.leaf_of(key) for key in places} == places, part.name
    odd = ["", "q", "p", "p-1", "p1.2", "scope:x", "p٣", "\ud800"]
    assert [PAGES.leaf_of(each) for each in odd] == [-1, -40, -50, -24, -12, -1, -7, -41]


def held(hint, found):
    """The classes of records in a type and, deeper, in their fields."""
    for inner in typing.get_args(hint):
        held(inner, found)
    if isinstance(hint, type) and hint not in found and (attrs.has(hint) or issubclass(hint, msgspec.Struct)):
        found.add(hint)
        for each in typing.get_type_hints(hint, include_extras=True).values():
            held(each, found)


def test_another_field_anywhere_in_a_state_is_another_layout(monkeypatch):
    """A snapshot by a program with other fields is never read: each class in it but those of a page's event."""
    layout = parts._layout()
    assert re.fullmatch("[0-9a-f]{8}", layout) and parts.MADE_BY.endswith(f".{layout}")
    hints = typing.get_type_hints(State, include_extras=True)
    classes = {State}
    for name, hint in hints.items():
        if name not in ("index", "memo"):
            held(hint, classes)
    assert len(classes) > 10
    for cls in classes - {Origin}:
        for changed in ({**cls.__annotations__, "more": "int"}, dict([*cls.__annotations__.items()][:-1])):
            with monkeypatch.context() as patched:
                patched.setattr(cls, "__annotations__", changed)
                assert parts._layout() != layout, cls
    assert parts._layout() == layout
