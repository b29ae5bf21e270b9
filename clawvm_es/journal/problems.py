"""Problems that `verify` finds."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import attrs

DAMAGE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""The errors that come of cells that no row of ours has; a storage adds its own errors of reading."""
PROBLEMS_MAX: Final = 1_000
"""Problems after which the search stops."""


@attrs.frozen
class Problem:
    """One violation of the laws of the log.

    `what` is a short stable word (a column if one can be named), `where` the row or object, `detail` a sentence.
    """

    what: str
    where: str
    detail: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.detail}"


Note: TypeAlias = Callable[[Problem], object]
"""Is told what is odd and yet consistent."""


def silent(noted: Problem) -> None:
    """A `Note` for callers that do not ask for notes."""


def at_most(note: Note, most: int = PROBLEMS_MAX) -> Note:
    """The same `Note`, called at most so many times."""
    rest = itertools.count(1)

    def told(noted: Problem) -> None:
        if next(rest) <= most:
            note(noted)

    return told


def first_problems(found: Iterable[Problem]) -> tuple[Problem, ...]:
    """The first `PROBLEMS_MAX` problems; if there are more, the last one says so."""
    problems = tuple(itertools.islice(found, PROBLEMS_MAX + 1))
    if len(problems) > PROBLEMS_MAX:
        return (*problems[:-1], Problem("more", "log", f"there are more than {PROBLEMS_MAX} problems"))
    return problems
