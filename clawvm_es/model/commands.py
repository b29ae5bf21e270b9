"""A command asks the engine to record one input; its payload *is* that input.

So a command can be read back out of the log, and re-decide needs nothing that is not in it.
"""

from __future__ import annotations

import msgspec

from clawvm_es.model.events import Input


class Command(msgspec.Struct, frozen=True):
    """One input to record, on whose behalf, when (UTC microseconds), and under which idempotency key.

    With `as_told` it is an input of a recorded session of ours: the shell adds nothing to it that it does not say.
    """

    data: Input
    at_us: int
    principal: str = "harness"
    idempotency_key: str | None = None
    as_told: bool = False
