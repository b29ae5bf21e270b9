"""The part of a text that builders see: without a harness's additions, and bounded in size."""

from __future__ import annotations

import re

from clawvm_es.limits import BUILD_CHARS, LINE_CHARS

_ALARMS = (
    "error", "fail", "exception", "traceback", "panic", "fatal", "assert", "abort", "denied", "refused", "not found",
    "undefined", "cannot ", "unable to", "segfault", "timed out", "✗", "✘",
)  # fmt: skip
_ALARM = re.compile("|".join((*_ALARMS, "^E  ")), re.IGNORECASE | re.MULTILINE)


def alarming(text: str) -> list[int]:
    """Indices of the lines of `text` that say something went wrong, in order."""
    lowered = text.lower()
    lines = lowered.split("\n")
    found = {i for word in _ALARMS if word in lowered for i, line in enumerate(lines) if word in line}
    if "e  " in lowered:
        found.update([i for i, line in enumerate(lines) if line.startswith("e  ")])
    return sorted(found)


_REMINDER = ("<system-reminder>", "</system-reminder>")


def seen(text: str) -> str:
    """`text`, bounded, without the reminders that harnesses append to tool results; with them if there is no more."""
    opening, closing = _REMINDER
    out, position = [], 0
    while (start := text.find(opening, position)) >= 0 and (end := text.find(closing, start)) >= 0:
        out.append(text[position:start])
        position = end + len(closing)
    if not out:
        return bounded(text)
    stripped = "".join((*out, text[position:])).rstrip()
    return bounded(stripped or text)


def bounded(text: str) -> str:
    """`text`, or, when it is longer than `BUILD_CHARS`, that much of it, from its head, alarms and tail.

    Linear in the text; what is left out is marked.
    """
    if len(text) <= BUILD_CHARS:
        return text
    part = BUILD_CHARS // 4
    middle = (part, len(text) - part)
    alarms, left_out = [], middle[1] - middle[0]
    position, room = middle[0], part
    while room > 0 and (found := _ALARM.search(text, position, middle[1])):
        start = max(text.rfind("\n", position, found.start()) + 1, position, found.start() - LINE_CHARS)
        end = text.find("\n", found.end(), found.end() + LINE_CHARS)
        end = end if end >= 0 else min(found.end() + LINE_CHARS, middle[1])
        alarms.append(text[start:end])
        room -= end - start + 1
        position = end
    mark = f"[… {left_out} chars, of which these lines]" if alarms else f"[… {left_out} chars]"
    return "\n".join((text[:part], mark, *alarms, text[-part:]))
