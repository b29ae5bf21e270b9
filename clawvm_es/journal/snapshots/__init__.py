"""Snapshots: caches in the journal file that make the state at any version quick to reach.

LAW-SNAP-1: a state restored through snapshots equals the fold of all its events from zero (`restore`).
LAW-SNAP-2: everything read is checked first; damage costs time, and never gives a wrong state (`seal`).
LAW-SNAP-3: a snapshot is stored whole or not at all, and holds the changes since the one before (`take`).
"""

from __future__ import annotations

from clawvm_es.journal.snapshots.check import snapshot_problems
from clawvm_es.journal.snapshots.lazy import Lazy, load
from clawvm_es.journal.snapshots.restore import from_zero, named_pages, newest_pages, state_at
from clawvm_es.journal.snapshots.take import catch_up, keep_up, rebuild, stale

__all__ = [
    "Lazy",
    "catch_up",
    "from_zero",
    "keep_up",
    "load",
    "named_pages",
    "newest_pages",
    "rebuild",
    "snapshot_problems",
    "stale",
    "state_at",
]
