"""Levels for plans: the goal, the current step, the steps done and those that are next.

A step is a line with a status: a checkbox (``[x]``, ``[ ]``, ``[>]``), a word in brackets (``[in_progress]``), or
one of ☐ ☒ ✔. A plan without any is read by its headings and numbered items.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

from clawvm_es.model.pages import Fidelity
from clawvm_es.representations.builders.extract import compressed_aim, excerpt, pointer_line, select, structured_aim
from clawvm_es.representations.builders.prose import ProseBuilder

_STEP = re.compile(
    r"(?:(?P<done>\[[xX✓✔]\]|[☒☑✔✅]|\b(?:completed|done)\b)"
    r"|(?P<current>\[[>~-]\]|\bin[_ -]progress\b|▶)"
    r"|(?P<next>\[ ?\]|☐|\bpending\b|\btodo\b))",
    re.IGNORECASE,
)
_STATUS_CHARS = 32  # a status stands near the start or the end of its line
_DONE_SHOWN, _NEXT_SHOWN = 2, 3


@attrs.frozen
class _Steps:
    """Line indices of the goal and of the steps by status."""

    goal: tuple[int, ...]
    done: tuple[int, ...]
    current: tuple[int, ...]
    next: tuple[int, ...]


def _status(line: str) -> str | None:
    found = _STEP.search(line[:_STATUS_CHARS]) or _STEP.search(line[-_STATUS_CHARS:])
    return found.lastgroup if found else None


def _steps(lines: Sequence[str]) -> _Steps:
    by_status: dict[str | None, list[int]] = {None: [], "done": [], "current": [], "next": []}
    for index, line in enumerate(lines):
        if line.strip():
            by_status[_status(line)].append(index)
    goal, *steps = (tuple(indices) for indices in by_status.values())
    return _Steps(goal[:1], *steps)


class PlanBuilder:
    """Structured: goal, current steps, the last done, the next few, and how many of each. Compressed: all steps."""

    name: Final = "plan/1"

    def build(self, text: str, source: str) -> Mapping[Fidelity, str]:
        """All three levels; a plan without steps gets those of prose."""
        lines = text.split("\n")
        steps = _steps(lines)
        if not (steps.done or steps.current or steps.next):
            return ProseBuilder().build(text, source)
        last_done = steps.done[-_DONE_SHOWN:]
        order = [*steps.goal, *steps.current, *last_done, *steps.next, *reversed(steps.done), *range(len(lines))]
        return {
            Fidelity.COMPRESSED: excerpt(lines, order, compressed_aim(text)),
            Fidelity.STRUCTURED: "\n".join(_structured(lines, steps, structured_aim(text))),
            Fidelity.POINTER: pointer_line(text, source),
        }


def _structured(lines: Sequence[str], steps: _Steps, aim: int) -> Iterator[str]:
    must = [*steps.goal, *steps.current, *steps.next[:1], *steps.done[-1:]]
    more = [*steps.next[1:_NEXT_SHOWN], *steps.done[-_DONE_SHOWN:-1]]
    kept = {*select(lines, must, 4 * aim), *select(lines, more, aim)}
    yield from (lines[i] for i in sorted(kept))
    yield f"[{len(steps.done)} done, {len(steps.current)} in progress, {len(steps.next)} next]"
