"""P7: a real session replayed in a fresh process. P8: how long the package and its program take to start."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from statistics import median

from bench.report import Measure
from bench.sizes import QUICK, Sizes
from bench.timing import interleaved, process

SIZE = 3_800_000
"""Bytes of the session that P7 names."""
_REPLAY = """import sys
from clawvm_es.engine.journal import Journal
from clawvm_es.importers.replay import replay
journal = Journal.open(sys.argv[2], seed=7)
replay(journal, sys.argv[1])
journal.catch_up()
journal.close()"""


def has_program() -> bool:
    """Whether `python -m clawvm_es` is there."""
    return find_spec("clawvm_es.__main__") is not None


def recorded_session(traces: Path, smallest: bool) -> Path | None:
    """The recorded session of a size nearest to what P7 names, or the one farthest from it; None: there is none."""
    found = sorted((traces / "claude_code").glob("*.jsonl"), key=lambda file: abs(file.stat().st_size - SIZE))
    return (found[-1] if smallest else found[0]) if found else None


def p7(folder: Path, sizes: Sizes, traces: Path) -> Iterator[Measure]:
    """Import, tokenise, replay and project one real session, start of the interpreter included."""
    trace = recorded_session(traces, smallest=sizes is QUICK)
    if trace is None:
        yield Measure("P7", "replay of a real session", None, note=f"skipped: no traces in {traces.name}/claude_code")
        return
    journals = (str(folder / f"replay-{number}.db") for number in count())

    def run() -> float:
        if has_program():
            return process(["-m", "clawvm_es", "replay", str(trace), "--journal", next(journals), "--json"])
        return process(["-c", _REPLAY, str(trace), next(journals)])

    took = interleaved({"": run}, sizes.rounds)[""]
    what = f"replay {trace.name[:8]}, {trace.stat().st_size / 1e6:.1f} MB, {'CLI' if has_program() else 'library'}"
    yield Measure("P7", what, median(took), "s", limit=2.0, note=f"fastest {min(took):.2f} s")


def p8(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Wall time of fresh interpreters; what the interpreter alone takes is included and shown beside."""
    sides = {"python": ["-c", "pass"], "import": ["-c", "import clawvm_es"]}
    if has_program():
        sides["--help"] = ["-m", "clawvm_es", "--help"]
    process(sides["import"])  # compiled files are there
    took = interleaved({name: partial(process, arguments) for name, arguments in sides.items()}, sizes.rounds + 4)
    cost = {name: 1000 * median(values) for name, values in took.items()}
    alone = f"python alone {cost['python']:.0f} ms"
    yield Measure("P8", "import clawvm_es", cost["import"], "ms", limit=120, note=alone)
    if has_program():
        yield Measure("P8", "python -m clawvm_es --help", cost["--help"], "ms", limit=250, note=alone)
    else:
        yield Measure("P8", "python -m clawvm_es --help", None, note="skipped: there is no program yet")
