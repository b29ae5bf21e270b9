"""What hooks return: pressures as text and by page, reports, and where a harness's declarations begin."""

from __future__ import annotations

import pytest

from clawvm_es.engine.hooks import Pressed, Pressure, Report, Settings, UpdateResult
from clawvm_es.engine.reports import lost_rules, pressures, with_earlier
from clawvm_es.model import events as e
from clawvm_es.model.facts import Boundary, Op, PressureReason, RejectReason
from clawvm_es.model.pages import Author, Fidelity, Level, Origin, OriginKind, PageType
from clawvm_es.testing.core import Given, page


def pressed(count: int) -> Pressure:
    """A pressure of so many pages of ten tokens."""
    pages = tuple(Pressed(f"p{number}", PageType.PLAN, 10) for number in range(1, count + 1))
    return Pressure(PressureReason.FLOORS, 10 * count, 7, pages)


@pytest.mark.parametrize(
    ("count", "listed"),
    [
        (0, "the fixed region"),
        (1, "p1 (plan, 10 tokens)"),
        (5, ", ".join(f"p{number} (plan, 10 tokens)" for number in range(1, 6))),
        (6, ", ".join(f"p{number} (plan, 10 tokens)" for number in range(1, 6)) + ", and 1 more"),
        (9, ", ".join(f"p{number} (plan, 10 tokens)" for number in range(1, 6)) + ", and 4 more"),
    ],
)
def test_a_pressure_says_by_how_much_and_names_five_pages(count, listed) -> None:
    """Required, available and the difference; of more pages than five the number of the rest."""
    found = pressed(count)
    assert found.missing_tokens == 10 * count - 7
    assert str(found) == (f"floors: {10 * count} tokens required, 7 available, {10 * count - 7} missing: {listed}")


def test_what_arrived_needs_its_lowest_level_and_what_is_required_its_floor() -> None:
    """A level of no tokens is kept; one that is not kept is passed over, and so is the pointer of what arrives."""
    levels = {Fidelity.FULL: 30, Fidelity.COMPRESSED: 0}
    odd = e.PageWritten(
        page_id="p1",
        page_type=PageType.EVIDENCE,
        author=Author.TOOL,
        origin=Origin(OriginKind.RECORD),
        levels=tuple(Level(level, tokens, f"{tokens:064x}", "test/1") for level, tokens in levels.items()),
    )
    given = Given.session(odd, page(2, PageType.EVIDENCE, 1000), page(3, PageType.CONSTRAINT, 1000))
    state = given.state
    for reason, pages, tokens in (
        (PressureReason.ARRIVALS, ("p1", "p2"), [0, 100]),
        (PressureReason.FLOORS, ("p3",), [state.pages["p3"].tokens[state.required["p3"]]]),
        (PressureReason.FLOORS, ("p2",), [20]),
    ):
        told = e.InvariantPressureObserved(reason, 9, 5, pages)
        (found,) = pressures(state, [e.TurnBegan(), told])
        assert (found.reason, found.required_tokens, found.available_tokens) == (reason, 9, 5)
        assert [(each.page_id, each.tokens) for each in found.pages] == list(zip(pages, tokens, strict=True))


def test_rules_are_lost_where_they_stand_below_their_floor() -> None:
    """Of a pressure on floors, bootstrap and constraint pages that the prompt does not hold; never of arrivals."""
    given = Given.session(
        page(1, PageType.CONSTRAINT, 50), page(2, PageType.PLAN, 50), page(3, PageType.BOOTSTRAP, 50), budget_tokens=4
    )
    given.turn()
    told = given.of(e.InvariantPressureObserved)
    found = pressures(given.state, told)
    assert {each.page_id for each in lost_rules(given.state, found)} == {"p1", "p3"} & {
        page_id for each in told for page_id in each.pages
    }
    as_arrivals = [Pressure(PressureReason.ARRIVALS, each.required_tokens, 0, each.pages) for each in found]
    assert lost_rules(given.state, as_arrivals) == ()


def test_a_report_is_good_if_nothing_was_refused_and_nothing_lost() -> None:
    """What was committed makes no difference; reports that nobody heard come before the next one's own."""
    refused = UpdateResult(1, "notes", Op.APPEND, "session", None, None, RejectReason.SCOPE_DENIED)
    committed = UpdateResult(2, "notes", Op.APPEND, "session", None, 1, None)
    assert Report(Boundary.FLUSH).ok and Report(Boundary.FLUSH, (committed,)).ok
    assert not Report(Boundary.FLUSH, (), (refused,)).ok
    assert not Report(Boundary.FLUSH, (), (), ("p1",)).ok
    earlier = [Report(Boundary.FLUSH, (committed,), (refused,), ("p1",)), Report(Boundary.COMPACT, lost=("p2",))]
    told = with_earlier(Report(Boundary.SAVE, (committed,), (), ("p3",)), earlier)
    assert told == Report(Boundary.SAVE, (committed,), (refused,), ("p1", "p2", "p3"))


def test_a_harness_that_declares_nothing_has_no_tools_and_flushes_at_four_fifths() -> None:
    """The defaults of declarations."""
    found = Settings()
    assert (found.tools, dict(found.fields), dict(found.validators), dict(found.writers)) == ((), {}, {}, {})
    assert found.flush_at_permille == 800


def text_of(session, tokens: int) -> str:
    """A text whose page takes so many tokens in full."""
    record, edge = Origin(OriginKind.RECORD), session._shell.edge
    texts = ("x" * size for size in range(4 * tokens, 0, -4))
    pages = ((text, edge.page("p2", PageType.EVIDENCE, text, author=Author.TOOL, origin=record)) for text in texts)
    return next(text for text, written in pages if written.event.levels[0].tokens == tokens)


@pytest.mark.parametrize(("tokens", "flushes"), [(799, False), (800, True), (801, True)])
def test_dirty_pages_are_flushed_at_exactly_the_declared_fill(journal, tokens, flushes) -> None:
    """A fill of the threshold flushes by itself; one permille less does not."""
    with journal.session("s", budget_tokens=1000, counter="lines4") as session:
        small = session.write_page("preference", "likes tea", author="user")
        session.write_page(
            "evidence", text_of(session, tokens - session.state.pages[small].full_tokens), author="tool"
        )
        assert session.fill_permille == tokens
        boundaries = [row.data.boundary for row in journal.log.read("s") if isinstance(row.data, e.BoundaryReached)]
        assert boundaries == [Boundary.FLUSH] * flushes
        assert bool(session.state.dirty) is not flushes
