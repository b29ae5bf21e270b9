"""Ends of answers that were imported before they were complete: from a cut file, or with `final`.

LAW-END-1: if the answer was imported up to a line, reading the file with the answer ended at that line gives first
the commands of its session, then the rest of the answer.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import BinaryIO

from clawvm_es.importers.format import Reader
from clawvm_es.importers.given import Differs
from clawvm_es.importers.growing import digest_upto, lines, open_text
from clawvm_es.importers.recording import RecordedStep, Skips
from clawvm_es.importers.rows import format_of
from clawvm_es.importers.streaming import read_one
from clawvm_es.observe.steps import ModelMessage

Ended = tuple[str, int]
"""(a session's recorded id, the line after which its answer was taken)."""


def end_answers(reader: Reader, state: object, ended: Collection[Ended], line: int) -> None:
    """End the answers that were imported up to given lines."""
    if any(number == line for _, number in ended):
        for part in reader.parts(state):
            if (part.session_id, line) in ended:
                part.into.flush()


def find_end(path: str, differs: Differs, ended: Collection[Ended], named: str | None) -> Ended | None:
    """The place where an answer ends in its session but not in the file; None if the file was rewritten."""
    with open_text(path) as file:
        found = format_of(path, file, named)
        if found is None or found[1] is None or not isinstance(differs.step, ModelMessage):
            return None
        line = _search(file, found[1], differs, ended)
    return None if line is None else (differs.recorded_id, line)


def _search(file: BinaryIO, reader: Reader, differs: Differs, ended: Collection[Ended]) -> int | None:
    """The last recorded line at which the answer, ended there, equals the one in its session."""
    best: int | None = None
    state = reader.begin()
    for line in lines(file, 0, 0, digest_upto(file, 0)):
        read_one(reader, state, line, Skips())
        end_answers(reader, state, ended, line.number)
        before = _steps(reader, state, differs.recorded_id)
        if line.number < differs.line:
            continue
        if line.number > differs.line and before:  # the answer has ended
            break
        taken = copy.deepcopy(state)
        for part in reader.parts(taken):
            if part.session_id == differs.recorded_id:
                part.into.flush()
        is_last = differs.fits(_steps(reader, taken, differs.recorded_id))
        best = best if is_last is None else line.number
        if is_last:
            break
    return best


def _steps(reader: Reader, state: object, recorded_id: str) -> list[RecordedStep]:
    """The steps of one session, taken from a state; those of other sessions are dropped."""
    found: list[RecordedStep] = []
    for part in reader.parts(state):
        steps = part.into.take()
        if part.session_id == recorded_id:
            found.extend(steps)
    return found
