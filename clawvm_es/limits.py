"""Every bound and every default, in one place, with the relations between them asserted."""

from __future__ import annotations

from typing import Final

INTEGER_MAX: Final = 2**53 - 1
"""The largest integer that event data may hold (what JSON readers everywhere keep exact)."""
TOKENS_MAX: Final = 2**31 - 1
"""The most tokens that one field may count: sums over four million fields still are within `INTEGER_MAX`."""
USAGE_TOKENS_MAX: Final = TOKENS_MAX // 4
"""The most tokens of one kind that a recorded answer may count; a larger figure is odd and counts as none."""
WEIGHT_MAX: Final = 100_000
"""The largest weight of a policy, in permille: a hundred times what a level is worth in full."""
PERMILLE_MAX: Final = 1_000_000
"""The largest threshold of a policy, in permille of the budget."""
PRICE_MAX: Final = 10_000
"""The highest price of a token, in permille of the price of an input token."""
RENT_MAX: Final = 100_000
"""The largest rent after which a policy begins an epoch, in permille of what the epoch costs."""
TIME_MIN_US: Final = -62_135_596_800_000_000
"""The earliest time of an event, 0001-01-01T00:00:00Z, in UTC microseconds: what `datetime` can hold."""
TIME_MAX_US: Final = 253_402_300_799_999_999
"""The latest time of an event, the last microsecond of the year 9999."""
ID_CHARS: Final = 1_000
"""Longest id, key, principal or name, in characters."""

BUDGET_DEFAULT: Final = 16_000
"""Tokens of one prompt, when the caller names no budget."""
DIRECTORY_TOKENS: Final = 40
"""Tokens reserved in each prompt for the line that stands for all pages that are not resident."""
MISFITS: Final = 32
"""Steps that do not fit after which the selector ends its pass."""
DENSITY_SHIFT: Final = 20
"""Densities are integers: utility gained, times 2**20, over tokens spent."""

RETRIES: Final = 5
"""Number of times that a command is decided again after another writer was faster."""
LOCK_WAIT_S: Final = 30.0
"""Seconds to wait for the writer's lock before `JournalBusy`."""
SNAPSHOT_EVENTS: Final = 256
"""Events from one snapshot of a session to the next: fewer make a larger file (at 96 they take an eighth of the log's
bytes, at 256 a sixteenth) and cost more to take, more make what is folded from the last one (5 µs an event) outweigh
what is read."""
SNAPSHOTS_AT_ONCE: Final = 16
"""Snapshots that are taken in one transaction, so that no other writer waits long."""
KEEP_UP_EVENTS: Final = 500
"""Events of a process's sessions after which one of its hooks brings read models and snapshots on by one piece."""
WAL_CHECKPOINT_PAGES: Final = 4_000
"""WAL frames after which a writer checkpoints (4,000 frames of 4 KiB are 16 MB)."""
WAL_WARN_BYTES: Final = 16_000_000
"""WAL size above which a reader that keeps it from being written from its start again is reported."""

PACKED_BODY_BYTES_MIN: Final = 512
"""Shortest body that is stored compressed: below it, the time costs more than the bytes."""
PACKED_BODY_BYTES: Final = 64 * 2**20
"""Longest body that is stored compressed, and so the most memory that reading one takes."""

FOREIGN_STATEMENT_S: Final = 20.0
"""Seconds that a statement may take inside SQLite where the schema holds objects that are not ours."""
FOREIGN_CELL_BYTES: Final = 64 * 2**20
"""Longest value that such a statement may make."""

PIECE_EVENTS: Final = 50_000
"""Events that read models fold and store in one transaction: what an interruption loses, and what memory holds."""
INDEX_PIECE_BYTES: Final = 8 * 2**20
"""Bodies that are put in the full-text index at once: few pieces, little memory."""

COUNTER_PIECE_CHARS: Final = 100_000
"""Longest piece handed to a tokenizer at once; a million blanks in one piece make tiktoken panic."""
NESTING_MAX: Final = 200
"""JSON nested deeper than this is treated as plain text by the builders."""
UNPACKED_RATIO_MAX: Final = 200
"""Times its size that a compressed recording may unpack to: transcripts shrink to a tenth or so."""
UNPACKED_BYTES_MAX: Final = 512 * 2**20
"""The most bytes that a compressed recording may unpack to."""
SKIPPED_LINES: Final = 5
"""Lines of a recorded file that are named for each reason of a skip, the first ones."""
COUNTER_MEMO: Final = 4_096
"""Counts that a tokenizer remembers, so that no text is counted twice."""
SOURCE_CHARS: Final = 240
"""Longest source that a page's frame states."""
LEVEL_SMALL_CHARS: Final = 220
"""Texts up to this length (about 60 tokens) get no level between full and pointer."""
COMPRESSED_PERMILLE: Final = 400
"""Characters a compressed level aims at, of a thousand."""
STRUCTURED_PERMILLE: Final = 90
"""Characters a structured level aims at, of a thousand."""
COMPRESSED_CHARS: Final = (160, 160_000)
"""Least and greatest aim of a compressed level, in characters."""
STRUCTURED_CHARS: Final = (120, 24_000)
"""Least and greatest aim of a structured level, in characters."""
POINTER_CHARS: Final = 66
"""Longest text of a pointer (about 30 tokens)."""
BUILD_CHARS: Final = 1 << 19
"""Builders see at most this much of a text: head, tail, and error lines of what lies between."""
LINE_CHARS: Final = 1_000
"""Longest line that a builder keeps whole."""

NEED_CHARS_MIN: Final = 12
"""Shortest text that counts as data flow from a page into a tool call."""
NEED_CHARS_MIN_LEAF: Final = 5
"""Shortest text with a digit that counts when it equals a JSON leaf of an earlier result."""
NEED_HOLDERS_MAX: Final = 8
"""A text that stands in more pages than this identifies none of them."""

NEED_TEXT_CHARS: Final = 1 << 21
"""Characters of pages' texts, and of what the model wrote, that are kept in memory to be searched for needs.

Older ones are found by an index.
"""

ARGUMENT_CHARS: Final = 200
"""Longest text that the stub of a call's arguments holds as it is; of a longer one it gives size and digest."""
TEXTS_AT_HAND: Final = 64
"""Texts of pages that were written last, kept in memory for the next prompts."""
TEXT_AT_HAND_CHARS: Final = 16_384
"""A longer text is read back when it is rendered."""

STEPS_AT_HAND_BYTES: Final = 1 << 22
"""Bytes of a recorded file whose steps are in memory at a time; those of a longer file of lines are spooled."""
IMPORT_BATCH: Final = 256
"""Commands that an import commits in one transaction, at most."""
IMPORT_BATCH_BYTES: Final = 1 << 22
"""Bytes of bodies after which an import commits, however few its commands are."""
VALUE_BYTES_MAX: Final = 1 << 20
"""Largest value of one field in the durable store."""

assert 0 < NEED_CHARS_MIN_LEAF < NEED_CHARS_MIN
assert DIRECTORY_TOKENS < BUDGET_DEFAULT
assert COUNTER_PIECE_CHARS < 1_000_000
assert PACKED_BODY_BYTES_MIN < PACKED_BODY_BYTES < 2**32
assert WAL_WARN_BYTES < WAL_CHECKPOINT_PAGES * 4096
assert POINTER_CHARS < LEVEL_SMALL_CHARS < BUILD_CHARS
assert STRUCTURED_PERMILLE < COMPRESSED_PERMILLE < 1_000
assert (TOKENS_MAX << 22) <= INTEGER_MAX
assert TIME_MIN_US < 0 < TIME_MAX_US
