"""Translate a recorded session into the commands that replay it.

LAW-IMPORT-1 (prefix): the commands of a file cut after turn k are the first commands of the whole file, since
idempotency keys are ordinals of commands and a step never depends on later steps (LAW-OBSERVE-1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from clawvm_es.importers import trace
from clawvm_es.importers.formats import TABLE
from clawvm_es.importers.recording import RecordedStep, Recording, TraceInput
from clawvm_es.model.commands import Command
from clawvm_es.model.events import SessionOpened
from clawvm_es.observe.edge import Edge
from clawvm_es.observe.observer import CHANGED_REREAD, Observer
from clawvm_es.observe.tables import TABLES
from clawvm_es.observe.tools import Tool

HIDDEN_SECRET: Final = "hidden_secret"
"""Tally of texts in which credentials were hidden."""


def commands(
    recording: Recording,
    edge: Edge,
    opened: SessionOpened,
    tally: Counter[str] | None = None,
    tools: Iterable[Tool] = (),
) -> Iterator[Command]:
    """The commands of a recording: `opened` first, then those of its steps; keys are `i:1`, `i:2`, ….

    Bodies go into the edge's vault as the commands are made. Ordinals start anew, so that continuing with the same
    recording gives the same commands. `tally`, if given, counts facts that no command holds (`CHANGED_REREAD`,
    `EMPTY_PRUNE`, `HIDDEN_SECRET`). `tools` are added to those of the recording's harness; they replace tools of
    the same name.
    """
    yield Command(opened, recording.began_us, idempotency_key="i:1")
    observer = Observer(tools_of(recording.format, tools), edge.fresh(), tally)
    yield from numbered(recording.steps, observer, 1)
    if observer.known.context.changed_rereads:
        observer.tally[CHANGED_REREAD] += observer.known.context.changed_rereads
    if observer.edge.hidden:
        observer.tally[HIDDEN_SECRET] += len(observer.edge.hidden)


def numbered(steps: Iterable[RecordedStep], observer: Observer, number: int) -> Iterator[Command]:
    """The commands of steps after the session's first `number` commands, with their keys."""
    for step in steps:
        for command in _commands(step, observer):
            number += 1
            yield replace(command, idempotency_key=f"i:{number}")


def tools_of(format_: str, others: Iterable[Tool] = ()) -> Mapping[str, Tool]:
    """The tools of a format's calls, plus the given ones, which replace tools of the same name."""
    return {**TABLES.get(TABLE[format_].tools, {}), **{tool.name: tool for tool in others}}


def _commands(step: RecordedStep, observer: Observer) -> Iterable[Command]:
    """The commands of a step; an input of a trace already is a command."""
    if isinstance(step, TraceInput):
        return (Command(trace.restored(step, observer.edge), step.at_us, step.principal, as_told=True),)
    return observer.step(step)
