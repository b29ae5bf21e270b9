"""What may be left out means nothing, but for a few numbers and flags."""

from __future__ import annotations

from tests.defaults import apart, given, odd

ODD = {
    "budget.Ratio.records_all": True,
    "epochs.Plan.in_full": True,
    "state.Page.active": True,
    "state.State.assembled_fixed": -1,
}
"""Module, function or class, and name → its default."""
APART = {
    "groups.Dues._known": "eq init repr",
    "state.Page.score": "eq repr",
    "state.Page.weight": "eq repr",
    "state.Page.hull": "eq repr",
    "state.Page.hull_base": "eq repr",
    "state.State.index": "eq repr",
    "state.State.memo": "eq repr",
}
"""Class or field → which of eq (compared), repr (shown), init (passed in) and slots it has not."""


def test_a_number_that_is_left_out_is_none_and_a_flag_is_off() -> None:
    """Every default of a function or a field is 0 or False, except those that the table names."""
    assert odd("core") == ODD
    assert len(list(given("core"))) > len(ODD)


def test_what_is_worked_out_once_or_secret_is_told_apart() -> None:
    """A cache is neither compared nor passed in, and a secret is not shown; all other fields are all of it."""
    assert apart("core") == APART
