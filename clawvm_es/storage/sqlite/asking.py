"""Questions with one answer: a query that gives one value, or at most one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any


def value(db: sqlite3.Connection, query: str, values: Sequence[object] = ()) -> Any:
    """The value of a query that gives one row of one cell."""
    ((found,),) = db.execute(query, values)
    return found


def value_or_none(db: sqlite3.Connection, query: str, values: Sequence[object] = ()) -> Any:
    """The first value of a query of one column; None where it gives no row."""
    return next((found for (found,) in db.execute(query, values)), None)
