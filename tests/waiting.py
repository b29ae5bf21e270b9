"""Waiting for something to happen: the one place in the tests where time passes."""

from __future__ import annotations

import time
from collections.abc import Callable

CEILING_S = 300
"""Guards against a hang, on the slowest of machines; no test passes or fails by it otherwise."""


def until(happened: Callable[[], object], what: str) -> None:
    """Wait until something has happened; a test whose `what` never comes fails."""
    end = time.monotonic() + CEILING_S
    while not happened():
        if time.monotonic() > end:
            raise AssertionError(f"waited {CEILING_S} s in vain for {what}")
        time.sleep(0.005)
