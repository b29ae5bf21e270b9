"""Wait for new events of a journal: a notice wakes the wait, and the log is then read."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Final

import psycopg

from clawvm_es.storage.postgres import queries
from clawvm_es.storage.postgres.server import Server, translate

_POLL_S: Final = 2.0
"""Seconds after which the log is looked at without a notice: a pool in transaction mode swallows them."""


def wait(server: Server, after_seq: int, timeout_s: float) -> bool:
    """Wait until the log holds an event above `after_seq`; return whether it does."""
    until = time.monotonic() + timeout_s
    line = server.fresh()
    with closing(line.db):
        try:
            line.db.execute(f"LISTEN {server.address.channel}".encode())
            while queries.tail(line) <= after_seq:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                for _ in line.db.notifies(timeout=min(left, _POLL_S), stop_after=1):
                    pass
        except psycopg.Error as error:
            raise translate(error, server.address) from error
    return True
