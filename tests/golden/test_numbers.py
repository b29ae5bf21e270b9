"""Numbers by which recorded decisions were made, or that users are told: a change of one is a change to tell."""

from clawvm_es.core import budget, decide, epochs, groups, reuse, state, utility
from clawvm_es.core.utility import Ages
from clawvm_es.engine import calls, finding, hooks, nearest, retriever, titles, values
from clawvm_es.importers import claude_micro as micro
from clawvm_es.importers import claude_restored as restored
from clawvm_es.importers import (
    codex_context,
    following,
    gemini,
    importing,
    kept,
    known,
    otlp,
    packed,
    pi,
    records,
    streaming,
)
from clawvm_es.importers.detect import LOOKED_AT
from clawvm_es.journal import problems
from clawvm_es.journal.anchors import keys, notes
from clawvm_es.model.profile import Key
from clawvm_es.observe import arguments, shell
from clawvm_es.storage.sqlite import erasure, schema, wal


def test_numbers_that_decide_what_is_recorded():
    """A policy weighs by these, and pages are known by them: a stored session is decided the same again."""
    assert (groups.OPENER_TOKENS, groups.FRAME_TOKENS, groups.STAND_TOKENS) == (16, 32, 12)
    assert (reuse.USES_MAX, reuse.NEAR, utility.COST_TOKENS) == (3, 10_000, 8_192)
    assert utility.QUALITY == (0, 100, 450, 750, 1_000)
    assert (state.KNOWN_BY_CHARS, arguments.DIGEST_DIGITS) == (16, 16)
    assert (shell.COMMAND_CHARS_MAX, codex_context.KEPT_PROMPT_CHARS, gemini.KEPT_SHARE) == (65_536, 80_000, 0.3)


def test_numbers_by_which_pages_are_weighed_and_prompts_cut():
    """Steps of nearness, shares of a budget, and how tokens are held against each other."""
    assert (epochs._PRUNED_SHARE, groups._PAGELESS_SHARE, decide._WHOLE, reuse._HALVED) == (4, 4, 1_000, 20)
    bounds = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)
    reused = (10_000, 3_535, 1_924, 1_250, 680, 441, 240, 156, 85, 55, 30, 19, 10, 6, 3, 2)
    in_epochs = (10_000, 9_545, 9_130, 8_750, 8_076, 7_500, 6_562, 5_833, 4_772, 4_038, 3_088, 2_500, 1_810, 1_418)
    assert {
        Key.REUSE: Ages(bounds, reused),
        Key.EPOCH_REUSE: Ages(bounds, (*in_epochs, 990, 760)),
    } == reuse.NEARNESS


def test_numbers_by_which_recordings_are_read():
    """Rules of the harnesses that were recorded, as their own sources have them, and bounds of what is looked at."""
    assert (micro.KEPT_TOKENS, micro.SAVED_TOKENS_MIN, micro.KEPT_CALLS) == (40_000, 20_000, 3)
    assert (micro.LOST_TOKENS_MIN, micro.IMAGE_TOKENS, micro._CHARS, micro._DENSE) == (5_000, 2_000, 4, 2)
    assert (restored.FILES, restored.FILE_TOKENS, restored.FILES_KNOWN) == (5, 5_000, 32)
    assert (restored.UNEXPLAINED_MIN, pi._LEFT_OUT_SINCE_US) == (500, 1_768_780_800_000_000)
    assert (following.ENDS_MAX, otlp._INDEX_DIGITS, streaming._PEEKED, records._HEAD_BYTES) == (64, 6, 64, 66)
    assert (kept._BYTES_MAX, known._SIZE_MAX, packed._WINDOW_LOG_MAX) == (1 << 28, 1 << 28, 27)
    assert (packed._ZSTD_IN_ZIP, packed._ZIP_HEAD_BYTES) == (93, 30)


def test_numbers_that_users_are_told():
    """Defaults and bounds that the README, helps or errors name."""
    assert (budget.WINDOW_DEFAULT, budget.OUTPUT_DEFAULT, budget.RECORDED_BUDGET) == (200_000, 32_000, 128_000)
    assert (budget.RATIO_DEFAULT, budget.RATIO_LEAST, budget.LEAST) == (1_300, 1_000, 1)
    assert (calls.PREVIEW_CHARS, values.PREVIEW_CHARS, titles.TITLE_CHARS) == (120, 120, 80)
    assert (values.DEPTH_MAX, finding.AROUND, retriever.QUERY_WORDS, hooks._NAMED) == (100, 2, 64, 5)
    assert (nearest.CALLS_MAX, nearest.TEXT_CHARS, problems.PROBLEMS_MAX) == (2_000, 2_000, 1_000)
    assert (LOOKED_AT, records.PIECES, importing.SAVE_EVERY, known.BEGINNING) == (64, 64, 64, 65_536)


def test_numbers_of_files():
    """Numbers that journals, notes and keys hold, and bounds of how far each is searched, are as pinned."""
    assert (schema.APPLICATION_ID, schema.USER_VERSION) == (1_129_076_301, 3)
    assert (schema.NAME_CHARS, schema.DIGEST_BYTES, wal.PAGE_BYTES_MAX) == (8, 4, 65_536)
    assert (erasure.PIECE_BYTES, erasure.PIECES_MAX) == (24, 64)
    assert (keys.KEY_BYTES, notes.NOTE_BYTES_MAX) == (32, 1 << 20)
