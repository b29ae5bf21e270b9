"""Parameters of the families: plain integers, each with its meaning, and a sweep that scales them all.

A family declares one frozen class whose fields are made by `count`, `permille` and `fixed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Protocol, TypeVar

import attrs

SWEEP = (Fraction(1, 2), Fraction(2))
"""The factors of the appendix."""


class Parameters(attrs.AttrsInstance, Protocol):
    """Parameters that all families share, about texts that are needed again.

    `MEANINGS` explains them.
    """

    @property
    def late(self) -> int: ...  # noqa: D102
    @property
    def far_permille(self) -> int: ...  # noqa: D102
    @property
    def compressed_permille(self) -> int: ...  # noqa: D102
    @property
    def full_permille(self) -> int: ...  # noqa: D102
    @property
    def hint_permille(self) -> int: ...  # noqa: D102
    @property
    def stray_permille(self) -> int: ...  # noqa: D102
    @property
    def repeat_permille(self) -> int: ...  # noqa: D102
    @property
    def recall_fails_permille(self) -> int: ...  # noqa: D102


MEANINGS = {
    "late": "subjects that are read at the start and needed at the very end only",
    "far_permille": "needs of evidence that go to pages not used for 16 turns, or longest; the others to the last 3",
    "compressed_permille": "needs of evidence whose text stands in the compressed level and above, not below",
    "full_permille": "needs of evidence whose text stands in the full level only; the rest stands in structured too",
    "hint_permille": "pages needed in a turn that the user's message or the plan's step names before it",
    "stray_permille": "turns before which a page is named that the turn does not need",
    "repeat_permille": "turns in which the agent makes a call again that it has made before",
    "recall_fails_permille": "recalls that the memory backend denies, fails, or answers with nothing",
}
"""Meaning of the parameters that all families have; shares in permille."""

T = TypeVar("T", bound=Parameters)


def count(default: int, meaning: str) -> Any:
    """A number of things or turns, at least 1."""
    return attrs.field(default=default, metadata={"kind": "count", "meaning": meaning})


def permille(default: int, meaning: str) -> Any:
    """A share, 0 to 1000."""
    return attrs.field(default=default, metadata={"kind": "permille", "meaning": meaning})


def fixed(default: int, meaning: str) -> Any:
    """A number that no sweep changes, because scaling two factors would change the length of a session by four."""
    return attrs.field(default=default, metadata={"kind": "fixed", "meaning": meaning})


def common(name: str, default: int) -> Any:
    """A parameter that all families have."""
    make = permille if name.endswith("_permille") else count
    return make(default, MEANINGS[name])


def scaled(parameters: T, factor: Fraction | int, *names: str) -> T:
    """The parameters times a factor, rounded down; counts stay at least 1, shares at most 1000.

    All parameters are scaled, except `fixed` ones and those named. `compressed_permille` and `full_permille` are
    shares of one whole: the first is cut to what the second leaves.
    """
    values: dict[str, int] = {name: value for name, value, _ in described(parameters)}
    for field in attrs.fields(type(parameters)):
        if field.metadata["kind"] == "fixed" or (names and field.name not in names):
            continue
        value = int(values[field.name] * Fraction(factor))
        values[field.name] = max(1, value) if field.metadata["kind"] == "count" else min(1000, value)
    values["compressed_permille"] = min(values["compressed_permille"], 1000 - values["full_permille"])
    return type(parameters)(**values)


def described(parameters: Parameters) -> Iterator[tuple[str, int, str]]:
    """Name, value and meaning of each parameter."""
    for field in attrs.fields(type(parameters)):
        yield field.name, getattr(parameters, field.name), field.metadata["meaning"]
