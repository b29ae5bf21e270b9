"""Text as every format needs it first: on one line, every character of it seen, and bytes that UTF-8 can hold."""

from __future__ import annotations

from collections.abc import Sequence

from clawvm_es.representations.visible import visible


def clean(text: str) -> str:
    """The text on one line, made visible (LAW-SHOWN-1)."""
    return visible(" ".join(text.split()))


def shown(value: int | str) -> str:
    """A table's cell for readers: thousands set apart."""
    return f"{value:,}" if isinstance(value, int) else clean(value)


def figures(rows: Sequence[Sequence[int | str]], columns: int) -> list[bool]:
    """For each column whether all its cells are figures, which stand at the right."""
    return [bool(rows) and all(_figure(row[place]) for row in rows) for place in range(columns)]


def _figure(value: int | str) -> bool:
    return isinstance(value, int) or not any(c.isalpha() for c in value)
