"""What may be left out means nothing, but for a few numbers and flags."""

from __future__ import annotations

from tests.defaults import given, odd

ODD = {}
"""Module, function or class, and name → its default."""


def test_a_number_that_is_left_out_is_none_and_a_flag_is_off() -> None:
    """Every default of a function or a field is 0 or False, except those that the table names."""
    assert odd("journal") == ODD
    assert len(list(given("journal"))) > len(ODD)
