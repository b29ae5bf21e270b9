"""P7: a recorded session replayed. P8: how long the package and its program take to start. All in CPU time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path

from bench import claude_code_log_peer as peer
from bench.report import Measure
from bench.sizes import QUICK, Sizes
from bench.timing import interleaved, process, told_by
from clawvm_es.integrations import settings, spool

SIZE = 3_900_000
"""Bytes of the session that P7 names."""
OF_PEER = 0.4
FIRST_OF_SECOND = 1.25
UNCHANGED = 0.01
IMPORT_LIMIT = 2.2
HELP_LIMIT = 6.0
SPOOL_LIMIT = 3.5
_TWICE = """import json, sys
from time import process_time
from clawvm_es.engine.journal import Journal
from clawvm_es.importers.replay import replay
took = []
for path in (sys.argv[2], sys.argv[3], sys.argv[3]):
    began = process_time()
    with Journal.open(path, seed=7) as journal:
        replay(journal, sys.argv[1])
    took.append(process_time() - began)
print(json.dumps(took))"""
"""Replays into a journal, into another, and into the second again."""


def recorded_session(traces: Path, smallest: bool) -> Path | None:
    """The recorded session of a size nearest to what P7 names, or the one farthest from it; None: there is none."""
    found = sorted((traces / "claude_code").glob("*.jsonl"), key=lambda file: abs(file.stat().st_size - SIZE))
    return (found[-1] if smallest else found[0]) if found else None


def p7(folder: Path, sizes: Sizes, traces: Path) -> Iterator[Measure]:
    """The program replays one session, beside its peer; then the first, second and unchanged replay of a process."""
    trace = recorded_session(traces, smallest=sizes is QUICK)
    if trace is None:
        yield Measure("P7", "replay of a real session", None, note=f"skipped: no traces in {traces.name}/claude_code")
        return
    journals = (str(folder / f"replay-{number}.db") for number in count())
    what = f"replay {trace.name[:8]}, {trace.stat().st_size / 1e6:.1f} MB"
    sides = {
        "ours": lambda: process(["-m", "clawvm_es", "replay", str(trace), "--journal", next(journals), "--json"])
    }
    if peer.available():
        sides[peer.PEER] = lambda: process(peer.arguments(trace, folder))
    took = {name: min(values) for name, values in interleaved(sides, sizes.rounds).items()}
    if peer.PEER in took:
        theirs = took[peer.PEER]
        yield Measure("P7", what, took["ours"], "s", peer.PEER, theirs, took["ours"] / theirs, OF_PEER)
    else:
        yield Measure("P7", what, took["ours"], "s", note=peer.MISSING)
    runs = [
        json.loads(told_by(["-c", _TWICE, str(trace), next(journals), next(journals)])) for _ in range(sizes.rounds)
    ]
    first, second, unchanged = (min(times) for times in zip(*runs, strict=True))
    yield Measure("P7", "the first of a process", first, "s", "its second", second, first / second, FIRST_OF_SECOND)
    yield Measure("P7", "unchanged again", unchanged, "s", "its second", second, unchanged / second, UNCHANGED)


def p8(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Fresh interpreters that import the package or print the program's help, beside one that does nothing."""
    bare = "python -c pass"
    sides = {bare: ["-c", "pass"], "import": ["-c", "import clawvm_es"], "--help": ["-m", "clawvm_es", "--help"]}
    for arguments in sides.values():
        process(arguments)  # compiled files are there
    took = interleaved({name: partial(process, arguments) for name, arguments in sides.items()}, 2 * sizes.rounds + 4)
    cost = {name: 1000 * min(values) for name, values in took.items()}
    for name, what, limit in (
        ("import", "import clawvm_es", IMPORT_LIMIT),
        ("--help", "python -m clawvm_es --help", HELP_LIMIT),
    ):
        yield Measure("P8", what, cost[name], "ms", bare, cost[bare], cost[name] / cost[bare], limit)
    yield _spool(folder, sizes)


def _spool(folder: Path, sizes: Sizes) -> Measure:
    """The script of a hook keeps an event, beside an interpreter that is as bare as its own."""
    script = folder / settings.SCRIPT
    shutil.copy(spool.__file__, script)
    event = {"session_id": "s", "hook_event_name": "PostToolUse", "transcript_path": str(script), "cwd": str(folder)}
    bare = "python -I -S -c pass"
    sides = {bare: ["-I", "-S", "-c", "pass"], "spool": ["-I", "-S", str(script), "claude-code"]}
    told = json.dumps({**event, "tool_response": "x" * 2048}).encode()
    runs = {name: partial(process, arguments, told) for name, arguments in sides.items()}
    cost = {name: 1000 * min(values) for name, values in interleaved(runs, 2 * sizes.rounds + 4).items()}
    return Measure(
        "P8", "a hook's spool", cost["spool"], "ms", bare, cost[bare], cost["spool"] / cost[bare], SPOOL_LIMIT
    )
