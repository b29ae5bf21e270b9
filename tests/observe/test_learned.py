"""Learning from a log: many texts are read at a time, and what was erased is forgotten."""

from __future__ import annotations

import tracemalloc

import pytest
from msgspec.structs import replace

from clawvm_es import limits
from clawvm_es.engine.journal import Journal
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, Cut, Holder, Need, NeedRule, RecallOutcome, RedactReason, Trigger
from clawvm_es.model.pages import Author, Origin, OriginKind, PageType
from clawvm_es.observe.edge import Edge
from clawvm_es.observe.learned import Learned
from clawvm_es.representations.counter import Lines4Counter
from clawvm_es.storage.memory.log import MemoryLog


class Bulk(Edge):
    """An edge that opens texts many at a time only."""

    def open(self, commitment):
        """Refuse to open a single text."""
        raise AssertionError("a text was opened alone")


def test_texts_of_a_log_are_read_many_at_once() -> None:
    """Messages, sources, results, calls and names of models: no text is opened on its own while a log is learned."""
    with Journal(MemoryLog(), clock=lambda: 1) as journal:
        with journal.session("s", counter="lines4") as session:
            session.user_says("please look at the file")
            session.write_page("constraint", "Never push.", source="rules")
            session.assemble()
            calls = session.observe_model("looking", [("Read", {"file_path": "/w/a.py"}), ("Strange", {"x": 1})])
            for call in calls:
                session.observe_result(call, f"the result of call {call}")
        known = Learned({}, Bulk(journal.log.vault("s"), Lines4Counter()))
        known.learn_all(row.data for row in journal.log.read("s"))
        assert known.pages == {"p1", "p2", "p3", "p4", "p5"}
        assert known.groups == 1


def learned() -> tuple[Learned, list[e.PageWritten]]:
    """An observer that learned two pages of results."""
    edge = Edge(MemoryLog().vault("s"), Lines4Counter())
    known = Learned({}, edge)
    record = Origin(OriginKind.RECORD)
    texts = {f"p{number}": f"the text of page {number}\n" * 400 for number in (1, 2)}
    pages = [
        edge.page(page_id, PageType.EVIDENCE, text, author=Author.TOOL, origin=record).event
        for page_id, text in texts.items()
    ]
    for page in pages:
        known.learn(page)
    return known, pages


@pytest.mark.parametrize(
    "erased",
    [
        lambda page: e.ContentRedacted(RedactReason.REQUEST, (), ("p1",)),
        lambda page: e.ContentRedacted(RedactReason.REQUEST, (page.levels[0].body,)),
        lambda page: e.ContentRedacted(RedactReason.REQUEST, ("0" * 64, page.levels[-1].body), ("p9",)),
    ],
    ids=["the page", "its text", "a lower level"],
)
def test_a_page_is_forgotten_whether_it_or_one_of_its_texts_was_erased(erased) -> None:
    """An erasure that names the page, or any level of it, takes the page out of what holds needs, and no other."""
    known, (page, _) = learned()
    assert len(page.levels) > 1
    known.learn(erased(page))
    assert list(known.context.pages) == ["p2"]


def test_an_erasure_of_something_else_forgets_nothing() -> None:
    """Other pages and other texts of the session stay as they are."""
    known, _ = learned()
    known.learn(e.ContentRedacted(RedactReason.REQUEST, ("0" * 64,), ("p9",)))
    assert list(known.context.pages) == ["p1", "p2"]


@pytest.mark.parametrize(
    ("boundary", "resident"),
    [
        (e.BoundaryReached(Boundary.COMPACT, Trigger.RECORDED), []),
        (e.BoundaryReached(Boundary.COMPACT, Trigger.RECORDED, left=("p1",)), ["p2"]),
        (e.BoundaryReached(Boundary.PRUNE, Trigger.RECORDED), ["p1", "p2"]),
        (e.BoundaryReached(Boundary.PRUNE, Trigger.RECORDED, pages=("p2",)), ["p1"]),
        (e.BoundaryReached(Boundary.PRUNE, Trigger.RECORDED, pages=("p2",), left=("p1",)), ["p2"]),
        (e.BoundaryReached(Boundary.COMPACT, Trigger.RECORDED, cut=Cut.COMPACT), ["p1", "p2"]),
        (e.BoundaryReached(Boundary.COMPACT, Trigger.RECORDED, cut=Cut.COMPACT, left=("p2",)), ["p1"]),
        (e.BoundaryReached(Boundary.COMPACT, Trigger.CALLER, left=("p2",)), ["p1", "p2"]),
    ],
    ids=lambda each: "" if isinstance(each, list) else f"{each.boundary} {each.trigger} {each.left} {each.cut}",
)
def test_a_recorded_boundary_leaves_what_it_names(boundary, resident) -> None:
    """Logs of older versions, which tell no cut, name the pages of a prune, and none where a compaction kept none."""
    known, _ = learned()
    known.learn(boundary)
    assert list(known.context.resident) == resident
    assert known.context.compactions == (
        boundary.boundary is Boundary.COMPACT and boundary.trigger is not Trigger.CALLER
    )
    back = e.BoundaryReached(Boundary.PRUNE, Trigger.RECORDED, returned=("p1", "p2"), cut=Cut.REWIND)
    known.learn(back)
    assert list(known.context.resident) == ["p1", "p2"]


def test_an_answered_recall_brings_pages_back() -> None:
    """Those that hold what was asked for, and those that hold a need of it, stand in the context again."""
    known, _ = learned()
    need = Need((Holder("p1"),), NeedRule.REPEATED_READ)
    for pages, needs, resident in ((("p2",), (), ["p2"]), ((), (need,), ["p1"]), ((), (), [])):
        known.learn(e.BoundaryReached(Boundary.COMPACT, Trigger.RECORDED))
        known.learn(e.RecallAnswered(known.recalls + 1, RecallOutcome.OK, "0" * 64, pages, needs))
        assert list(known.context.resident) == resident
    assert known.recalls == 3


def test_a_page_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of several levels whose text is read back takes less than half a kilobyte beside its event."""
    monkeypatch.setattr(limits, "NEED_TEXT_CHARS", 0)
    edge = Edge(MemoryLog().vault("s"), Lines4Counter())
    record = Origin(OriginKind.RECORD)
    pages = [
        edge.page(
            f"p{number}", PageType.EVIDENCE, f"line of {number}\n" * 100, author=Author.TOOL, origin=record
        ).event
        for number in range(1, 301)
    ]
    assert min(len(page.levels) for page in pages) > 2
    known = Learned({}, edge)
    known.learn(pages[0])
    tracemalloc.start()
    try:
        for page in pages[1:]:
            known.learn(page)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / (len(pages) - 1) < 500


def test_what_was_rewritten_leaves_the_lists_of_its_file_and_call() -> None:
    """A page that is written a hundred times stands once among those of its file."""
    edge = Edge(MemoryLog().vault("s"), Lines4Counter())
    known = Learned({}, edge)
    for number in range(100):
        origin = Origin(OriginKind.FILE, number, number)
        page = edge.page(
            "p1", PageType.BOOTSTRAP, f"rule {number}", author=Author.USER, origin=origin, source="/w/R.md"
        )
        known.learn(page.event)
    (held,) = known.context.pages.values()
    assert known.context._by_path == {"/w/R.md": [held]}
    assert known.context.moved(frozenset({1, 7})) == known.context.moved(frozenset({99})) == ((), ())
    assert known.context.moved(frozenset({0, 100})) == (("p1",), ())


def test_answers_of_logs_that_number_no_groups_are_counted() -> None:
    """Each answer without a number is a group of its own, after the newest one that has a number."""
    known, _ = learned()
    numbers = []
    for group in (None, None, 7, 7, None, 3, None):
        known.learn(e.ModelResponded(group=group))
        numbers.append(known.groups)
    assert numbers == [1, 2, 7, 7, 8, 3, 4]


class Deaf(Edge):
    """An edge that opens no text at all."""

    def open(self, commitment):
        """Refuse to open a text."""
        raise AssertionError("a text was opened")

    open_all = open


def test_what_was_just_written_is_not_read_back() -> None:
    """A page that an observer writes is learned from the text at hand, without a question to the vault."""
    edge = Deaf(MemoryLog().vault("s"), Lines4Counter())
    known, record = Learned({}, edge), Origin(OriginKind.RECORD)
    for author in (Author.USER, Author.TOOL, Author.MODEL):
        page = edge.page(f"p-{author}", PageType.CONVERSATION, f"said by {author}", author=author, origin=record)
        known.learn(replace(page.event, source=None))
    assert [each.text for each in known.context.pages.values()] == [
        f"said by {author}" for author in (Author.USER, Author.TOOL, Author.MODEL)
    ]
