"""What may be left out means nothing, but for a few numbers and flags."""

from __future__ import annotations

from tests.defaults import given, odd

ODD = {
    "hooks.Settings.flush_at_permille": 800,
    "journal.Journal.close.catch_up": True,
    "messages.Made.tokens": -1,
    "session.looking.Looking.search.limit": 10,
    "session.looking.Looking.emit.first_line": 1,
    "session.paging.Paging.resolve.first_line": 1,
    "session.paging.Paging.resolve.arrives": True,
    "session.tools.Tools.begin_tool.runs": True,
    "session.writing.Writing.write_page.active": True,
    "store._canonical.allow_nan": True,
    "updates.Updates.__init__.validator_s": 1.0,
}
"""Module, function or class, and name → its default."""


def test_a_number_that_is_left_out_is_none_and_a_flag_is_off() -> None:
    """Every default of a function or a field is 0 or False, except those that the table names."""
    assert odd("engine") == ODD
    assert len(list(given("engine"))) > len(ODD)
