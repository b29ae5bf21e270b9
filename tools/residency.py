"""Measure how well the recorded context follows what providers counted: python tools/residency.py FOLDER [--json].

Every session of a folder is replayed under the policy `recorded`. On the first third of its model calls the part that
no recording holds (system prompt, tool schemas) and the ratio of the two token counters are fitted by least squares;
printed is the share of the later calls whose whole prompt is predicted within a tenth.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from clawvm_es.core.profiles import RECORDED
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import ClawVMError
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.events import ModelResponded, PromptAssembled
from clawvm_es.storage.memory.log import MemoryLog

CALLS_MIN = 6
"""Sessions with fewer counted calls are left out: there is nothing to fit."""


@attrs.frozen
class Fit:
    """How the recorded context of one session follows its provider's counts; tokens, and shares in percent."""

    file: str
    session_id: str
    calls: int
    fixed_tokens: int
    scale_percent: int
    within_percent: int


def points(log: EventLog, session_id: str) -> Iterator[tuple[int, int]]:
    """Of each counted call: the tokens of our prompt, and the provider's."""
    held = None
    for row in read_session(log, session_id):
        if isinstance(row.data, PromptAssembled):
            held = row.data.tokens
        elif isinstance(row.data, ModelResponded) and row.data.input_tokens and held is not None:
            yield held, row.data.input_tokens


def fitted(first: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Least squares: what the provider counts is `fixed + scale × ours`."""
    mean_x, mean_y = (sum(values) / len(first) for values in zip(*first, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in first)
    scale = sum((x - mean_x) * (y - mean_y) for x, y in first) / spread if spread else 1.0
    return mean_y - scale * mean_x, scale


def followed(calls: Sequence[tuple[int, int]]) -> tuple[int, int, int]:
    """The fixed part, the scale and the share of the later calls within a tenth, both in percent."""
    fixed, scale = fitted(calls[: len(calls) // 3])
    later = calls[len(calls) // 3 :]
    good = sum(abs(fixed + scale * ours - theirs) <= theirs / 10 for ours, theirs in later)
    return round(fixed), round(100 * scale), round(100 * good / len(later))


def fits(path: Path, name: str) -> Iterator[Fit]:
    """The fits of the sessions in one file."""
    with Journal(MemoryLog()) as journal:
        replay(journal, path, ReplaySettings(policy=RECORDED, budget_tokens=0))
        for head in journal.log.heads():
            calls = list(points(journal.log, head.session_id))
            if len(calls) >= CALLS_MIN:
                yield Fit(name, head.session_id, len(calls), *followed(calls))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each session, and how many follow in at least nine calls of ten; 0 if all do."""
    parser = argparse.ArgumentParser(prog="tools/residency.py", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of recorded sessions")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    found: list[Fit] = []
    for path in sorted(path for path in options.folder.rglob("*") if path.is_file()):
        name = path.relative_to(options.folder).as_posix()
        try:
            its = list(fits(path, name))
        except ClawVMError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        found += its
        if not options.json:
            for fit in its:
                numbers = f"{fit.calls:5} calls, fixed {fit.fixed_tokens:7,}, scale {fit.scale_percent / 100:.2f}"
                print(f"{fit.within_percent:4} %  {numbers}  {name} {fit.session_id}", flush=True)
    good = sum(fit.within_percent >= 90 for fit in found)
    if options.json:
        print(json.dumps({"sessions": [attrs.asdict(fit) for fit in found], "follow": good}, indent=1))
    else:
        print(f"{good} of {len(found)} sessions: at least 90 % of the later calls are within a tenth")
    return 0 if good == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
