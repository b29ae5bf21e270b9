"""What may be left out means nothing, but for a few numbers and flags."""

from __future__ import annotations

from tests.defaults import apart, given, odd

ODD = {
    "claude_restored.Files.compacted.apart": True,
    "codex_context.File.ended": True,
    "codex_context.File.sealed": True,
    "format.Format.version": 1,
    "given.Differs.__init__.line": 1,
    "kept.Kept.save.resumable": True,
    "recording.Skips.add.times": 1,
    "transcript.Transcript.skip.times": 1,
}
"""Module, function or class, and name → its default."""
APART = {
    "spool.Piece.spool": "repr",
}
"""Class or field → which of eq (compared), repr (shown), init (passed in) and slots it has not."""


def test_a_number_that_is_left_out_is_none_and_a_flag_is_off() -> None:
    """Every default of a function or a field is 0 or False, except those that the table names."""
    assert odd("importers") == ODD
    assert len(list(given("importers"))) > len(ODD)


def test_what_is_worked_out_once_or_secret_is_told_apart() -> None:
    """A cache is neither compared nor passed in, and a secret is not shown; all other fields are all of it."""
    assert apart("importers") == APART
