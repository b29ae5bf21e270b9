"""Measure how well the recorded context follows what providers counted: python tools/residency.py FOLDER [--json].

Every session of a folder is replayed under the policy `recorded`. On the first third of its model calls the part that
no recording holds (system prompt, tool schemas) and the ratio of the two token counters are fitted by least squares;
printed is the share of the later calls whose whole prompt is predicted within a tenth.

Anthropic's API takes what a model thought out of the context at the next prompt of the user: of Opus before 4.5, of
Sonnet before 4.6 and of Haiku; later ones keep it. A recorded context keeps it in any case, for no event says that it
left. Of a session whose model drops it the share is printed a second time, as if its thoughts left at each prompt.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from clawvm_es.core.profiles import RECORDED
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.titles import opened_text
from clawvm_es.errors import ClawVMError
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.events import BoundaryReached, ModelResponded, PageWritten, PromptAssembled
from clawvm_es.model.facts import Cut
from clawvm_es.model.pages import Author
from clawvm_es.storage.memory.log import MemoryLog

CALLS_MIN = 6
"""Sessions with fewer counted calls are left out: there is nothing to fit."""


KEPT_SINCE = {"opus": (4, 5), "sonnet": (4, 6), "haiku": (4, 6)}
"""Versions of Claude since which the thoughts of earlier exchanges stay in the prompt, by the provider's manual."""
_OLD, _NEW = re.compile(r"claude-(\d)(?:-(\d))?-([a-z]+)"), re.compile(r"claude-([a-z]+)-(\d+)(?:-(\d{1,2})(?!\d))?")


@attrs.frozen
class Fit:
    """How the recorded context of one session follows its provider's counts; tokens, and shares in percent.

    `dropped_percent` is the share without thoughts of closed exchanges; None of a model that keeps them.
    """

    file: str
    session_id: str
    calls: int
    fixed_tokens: int
    scale_percent: int
    within_percent: int
    dropped_percent: int | None = None


@attrs.define
class Thoughts:
    """Tokens of thoughts that stand in a recorded context though their exchange is closed, and of the open one."""

    closed: int = 0
    open: int = 0

    def see(self, data: object) -> None:
        """Follow one event."""
        if isinstance(data, ModelResponded) and data.thinking is not None:
            self.open += data.thinking_tokens
        elif isinstance(data, PageWritten) and data.author is Author.USER:
            self.closed, self.open = self.closed + self.open, 0
        elif isinstance(data, BoundaryReached) and data.cut in (Cut.COMPACT, Cut.CLEAR):
            self.closed, self.open = 0, 0


def drops(model: str) -> bool:
    """Tell whether the provider drops what this model thought in earlier exchanges."""
    if found := _NEW.match(model):
        family, version = found[1], (int(found[2]), int(found[3] or 0))
    elif found := _OLD.match(model):
        family, version = found[3], (int(found[1]), int(found[2] or 0))
    else:
        return False
    return version < KEPT_SINCE.get(family, (0, 0))


def points(log: EventLog, session_id: str) -> Iterator[tuple[int, int, int]]:
    """Of each counted call: the tokens of our prompt, those of closed exchanges' thoughts in it, the provider's."""
    held, thoughts = None, Thoughts()
    for row in read_session(log, session_id):
        if isinstance(row.data, PromptAssembled):
            held = row.data.tokens, thoughts.closed
        elif isinstance(row.data, ModelResponded) and row.data.input_tokens and held is not None:
            yield (*held, row.data.input_tokens)
        thoughts.see(row.data)


def asks_dropping(log: EventLog, session_id: str) -> bool:
    """Tell whether the provider drops what the models of a session thought in earlier exchanges: all of them."""
    told = (row.data for row in read_session(log, session_id))
    names = {data.model_name for data in told if isinstance(data, ModelResponded) and data.model_name}
    return bool(names) and all(drops(opened_text(log.vault(session_id), name) or "") for name in names)


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
                found = followed([(ours, theirs) for ours, _, theirs in calls])
                thoughts = any(closed for _, closed, _ in calls)
                drop = thoughts and asks_dropping(journal.log, head.session_id)
                share = followed([(ours - closed, theirs) for ours, closed, theirs in calls])[2] if drop else None
                yield Fit(name, head.session_id, len(calls), *found, share)


def why(fit: Fit) -> str:
    """Words on what its provider dropped."""
    if fit.dropped_percent is None:
        return ""
    return f": {fit.dropped_percent} % without thoughts of closed exchanges, which its model does not see again"


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
                print(f"{fit.within_percent:4} %  {numbers}  {name} {fit.session_id}{why(fit)}", flush=True)
    good = sum(fit.within_percent >= 90 for fit in found)
    best = sum(max(fit.within_percent, fit.dropped_percent or 0) >= 90 for fit in found)
    if options.json:
        print(json.dumps({"sessions": [attrs.asdict(fit) for fit in found], "follow": good}, indent=1))
    else:
        apart = f"; {best} without thoughts that models drop" if best > good else ""
        print(f"{good} of {len(found)} sessions: at least 90 % of the later calls are within a tenth{apart}")
    return 0 if good == len(found) else 1


if __name__ == "__main__":
    sys.exit(main())
