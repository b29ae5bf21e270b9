"""What `verify` finds."""

from __future__ import annotations

import sqlite3
from typing import Final

import attrs

DAMAGE: Final = (
    sqlite3.Error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What reading damaged pages raises: SQLite's own errors, and what comes of cells that the tables do not allow."""


@attrs.frozen
class Problem:
    """One thing that is not as the laws of the log say.

    `what` is a short stable word (a column where one can be named), `where` the row or object, `detail` a
    sentence.
    """

    what: str
    where: str
    detail: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.detail}"
