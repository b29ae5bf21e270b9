"""The recorded call that is most similar to an unrecorded one, and their differences."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

import attrs

from clawvm_es.engine.values import Change, changed_values, parsed

CALLS_MAX: Final = 2_000
"""Recorded calls that are looked at."""
TEXT_CHARS: Final = 2_000
"""Characters of two calls' arguments that are compared as text."""


@attrs.frozen
class MadeCall:
    """A recorded call: its event, its tool and its arguments as JSON text."""

    stream: str
    version: int
    tool: str
    arguments: str


@attrs.frozen
class Nearest:
    """The most similar recorded call, and the fields in which the requested call differs from it."""

    call: MadeCall
    difference: tuple[Change, ...]

    def __str__(self) -> str:
        place = f"nearest is version {self.call.version} of {self.call.stream}"
        if not self.difference:
            return f"{place}, the same call"
        first, more = self.difference[0], len(self.difference) - 1
        others = f" and {more} more field{'s' if more > 1 else ''}" if more else ""
        return f"{place}: {told(first)}{others}"


def told(change: Change) -> str:
    """One differing field, on one line."""
    was, now = change.shown
    path = change.path if change.line is None else f"{change.path} line {change.line}"
    return f"{path}: recorded {was}, got {now}"


def nearest(
    tool: str, arguments: str, calls: Iterable[MadeCall], ignored: frozenset[str] = frozenset()
) -> Nearest | None:
    """The nearest of the first `CALLS_MAX` calls; None where there is no call.

    Calls of the same tool come first, then calls with fewer differing fields, then calls with more similar text.
    `ignored` arguments do not count as differences.
    """
    from rapidfuzz import fuzz  # only an error needs it

    wanted = _content(tool, arguments, ignored)
    best: tuple[tuple[bool, int, float], Nearest] | None = None
    for call in islice(calls, CALLS_MAX):
        found = tuple(changed_values(_content(call.tool, call.arguments, ignored), wanted))
        alike = fuzz.ratio(call.arguments[:TEXT_CHARS], arguments[:TEXT_CHARS])
        rank = (call.tool != tool, len(found), -alike)
        if best is None or rank < best[0]:
            best = rank, Nearest(call, found)
    return None if best is None else best[1]


def _content(tool: str, arguments: str, ignored: frozenset[str]) -> dict[str, object]:
    given = parsed(arguments)
    if isinstance(given, dict):
        given = {name: value for name, value in given.items() if name not in ignored}
    return {"arguments": given, "tool": tool}
