"""A command asks the engine to record one input; its payload *is* that input.

So commands can be read back out of the log, and re-decide needs nothing beyond the log.
"""

from __future__ import annotations

import msgspec

from clawvm_es.model.events import Input


class Command(msgspec.Struct, frozen=True):
    """One input to record: its principal, its time (UTC microseconds), and its idempotency key.

    With `as_told` it is an input from a session that this program recorded: the shell adds no facts of its own.
    """

    data: Input
    at_us: int
    principal: str = "harness"
    idempotency_key: str | None = None
    as_told: bool = False
