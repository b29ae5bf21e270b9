"""The edge: ordinals are given out in order and looked up once, and texts are kept at hand within their bounds."""

from __future__ import annotations

from hypothesis import given as forall
from hypothesis import strategies as st

from clawvm_es import limits
from clawvm_es.model.facts import ResourceClass
from clawvm_es.model.pages import Author, Fidelity, Origin, OriginKind, PageType
from clawvm_es.observe.edge import Edge, Ordinals
from clawvm_es.representations.counter import Lines4Counter
from clawvm_es.representations.frame import RENDERER
from clawvm_es.representations.messages.blocks import RENDERERS
from clawvm_es.storage.memory.log import MemoryLog

RECORD = Origin(OriginKind.RECORD)


def test_ordinals_count_from_one_in_order_of_first_use() -> None:
    """A key keeps its ordinal; a look at one that is new gives none and counts nothing."""
    ordinals = Ordinals()
    assert ordinals.get("a") is None
    assert [ordinals.intern(key) for key in ("a", "b", "a", "c")] == [(1, True), (2, True), (1, False), (3, True)]
    assert (ordinals.get("c"), ordinals.get("d"), ordinals.count) == (3, None, 3)


def test_ordinals_of_a_session_that_goes_on_follow_those_that_are_recorded() -> None:
    """Recorded keys are found, new ones go on from their number, and a key that was found is not looked for again."""
    asked = []

    def find(key: str) -> int | None:
        asked.append(key)
        return {"a": 1, "b": 2}.get(key)

    ordinals = Ordinals(count=2, find=find)
    assert [ordinals.get("b"), ordinals.intern("b"), ordinals.get("b")] == [2, (2, False), 2]
    assert asked == ["b"]
    assert [ordinals.intern("c"), ordinals.intern("c"), ordinals.intern("a")] == [(3, True), (3, False), (1, False)]
    assert asked == ["b", "c", "a"]


def test_ordinals_beyond_a_mark_are_forgotten_and_given_out_again() -> None:
    """What was not recorded leaves no gap; what was recorded before the mark is known as before."""
    ordinals = Ordinals()
    for key in "abc":
        ordinals.intern(key)
    ordinals.forget(3)
    assert ordinals.get("c") == 3
    ordinals.forget(1)
    assert (ordinals.count, ordinals.get("a"), ordinals.get("b"), ordinals.get("c")) == (1, 1, None, None)
    assert ordinals.intern("c") == (2, True)


def edge(hide_secrets: bool = False) -> Edge:
    """An edge over a log in memory."""
    return Edge(MemoryLog().vault("s"), Lines4Counter(), hide_secrets)


def test_an_edge_rewinds_both_kinds_of_keys() -> None:
    """Signatures and resources that were named since a mark are new again; those before it are not."""
    found = edge()
    found.signature("one")
    found.resources([(ResourceClass.FILE, "a")])
    mark = found.mark()
    assert mark == (1, 1)
    found.signature("two")
    found.resources([(ResourceClass.FILE, "b"), (ResourceClass.FILE, "a"), (ResourceClass.NETWORK, "a")])
    assert found.mark() == (2, 3)
    found.rewind(mark)
    assert found.mark() == (1, 1)
    assert [found.resource((ResourceClass.FILE, key)) for key in ("a", "b")] == [1, None]
    assert found.signature("one")[1] is None and found.signature("two")[0] == 2


def test_texts_at_hand_are_those_written_last_within_their_bounds() -> None:
    """A text of the bound is kept, a longer one is not; beyond so many the oldest goes, and all can be opened."""
    found = edge()
    fits, long = "x" * limits.TEXT_AT_HAND_CHARS, "y" * (limits.TEXT_AT_HAND_CHARS + 1)
    pages = [
        found.page(f"p{number}", PageType.CONSTRAINT, text, author=Author.USER, origin=RECORD)
        for number, text in enumerate((fits, long), 1)
    ]
    held = [found.texts.get(page.event.levels[0].body) for page in pages]
    assert held == [fits, None]
    assert [found.open(page.event.levels[0].body) for page in pages] == [fits, long]
    for number in range(limits.TEXTS_AT_HAND):
        found.page(f"q{number}", PageType.CONVERSATION, f"text {number}", author=Author.USER, origin=RECORD)
    assert list(found.texts.values()) == [f"text {number}" for number in range(limits.TEXTS_AT_HAND)]


def test_a_fresh_edge_is_of_the_same_kind_and_knows_nothing() -> None:
    """It counts and hides as the other does, and gives ordinals out from the first."""
    found = edge(hide_secrets=True)
    found.signature("one")
    fresh = found.fresh()
    assert (fresh.vault, fresh.counter, fresh.hide_secrets) == (found.vault, found.counter, True)
    assert fresh.mark() == (0, 0) and not fresh.texts and not fresh.hidden


@forall(
    st.text("ab \n", max_size=30), st.text("ab \n", max_size=30) | st.none(), st.sampled_from([RENDERER, *RENDERERS])
)
def test_a_stub_of_a_call_is_kept_only_where_it_saves_tokens(text: str, stub: str | None, renderer: str) -> None:
    """A stub of as many tokens as the arguments themselves, or of more, is no level."""
    found = Edge(MemoryLog().vault("s"), Lines4Counter(), renderer=renderer)
    tokens = [found.sizes.call("call_1", "Read", each) for each in (text, stub) if each is not None]
    commitment, levels = found.arguments(text, stub, "Read", "call_1")
    assert levels[0].level is Fidelity.FULL and levels[0].body == commitment and found.open(commitment) == text
    assert [level.tokens for level in levels] == tokens[: 2 if tokens[-1] < tokens[0] else 1]
    assert [found.open(level.body) for level in levels[1:]] == [stub] * (len(levels) - 1)
