"""Numbers by which recorded decisions were made, or that users are told: a change of one is a change to tell."""

from clawvm_es.core import budget, groups, reuse, state, utility
from clawvm_es.engine import calls, finding, nearest, retriever, titles, values
from clawvm_es.importers import codex_context, gemini, importing, known, records
from clawvm_es.importers.detect import LOOKED_AT
from clawvm_es.journal import problems
from clawvm_es.journal.anchors import keys, notes
from clawvm_es.observe import arguments, shell
from clawvm_es.storage.sqlite import erasure, schema, wal


def test_numbers_that_decide_what_is_recorded():
    """A policy weighs by these, and pages are known by them: a stored session is decided the same again."""
    assert (groups.OPENER_TOKENS, groups.FRAME_TOKENS, groups.STAND_TOKENS) == (16, 32, 12)
    assert (reuse.USES_MAX, reuse.NEAR, utility.COST_TOKENS) == (3, 10_000, 8_192)
    assert utility.QUALITY == (0, 100, 450, 750, 1_000)
    assert (state.KNOWN_BY_CHARS, arguments.DIGEST_DIGITS) == (16, 16)
    assert (shell.COMMAND_CHARS_MAX, codex_context.KEPT_PROMPT_CHARS, gemini.KEPT_SHARE) == (65_536, 80_000, 0.3)


def test_numbers_that_users_are_told():
    """Defaults and bounds that the README, helps or errors name."""
    assert (budget.WINDOW_DEFAULT, budget.OUTPUT_DEFAULT, budget.RECORDED_BUDGET) == (200_000, 32_000, 128_000)
    assert (budget.RATIO_DEFAULT, budget.RATIO_LEAST, budget.LEAST) == (1_300, 1_000, 1)
    assert (calls.PREVIEW_CHARS, values.PREVIEW_CHARS, titles.TITLE_CHARS) == (120, 120, 80)
    assert (values.DEPTH_MAX, finding.AROUND, retriever.QUERY_WORDS) == (100, 2, 64)
    assert (nearest.CALLS_MAX, nearest.TEXT_CHARS, problems.PROBLEMS_MAX) == (2_000, 2_000, 1_000)
    assert (LOOKED_AT, records.PIECES, importing.SAVE_EVERY, known.BEGINNING) == (64, 64, 64, 65_536)


def test_numbers_of_files():
    """Numbers that journals, notes and keys hold, and bounds of how far each is searched, are as pinned."""
    assert (schema.APPLICATION_ID, schema.USER_VERSION) == (1_129_076_301, 3)
    assert (schema.NAME_CHARS, schema.DIGEST_BYTES, wal.PAGE_BYTES_MAX) == (8, 4, 65_536)
    assert (erasure.PIECE_BYTES, erasure.PIECES_MAX) == (24, 64)
    assert (keys.KEY_BYTES, notes.NOTE_BYTES_MAX) == (32, 1 << 20)
