"""Measure the bars P1 to P10, how fast is re-decided, and what a step costs, beside peers in the same run.

    python tools/bench.py                     all bars, as a table
    python tools/bench.py P1 P4 --json FILE   some bars, and all numbers as JSON
    python tools/bench.py P2 --events 1000000 the full log of bar P2

What is compared runs interleaved and several times; a bar is a ratio of process CPU times, of the best round of each
side, or a number of loop iterations of the same process: it holds on a noisy machine where times do not. Exit code 1
says that a bar does not hold, or could not be measured. Peers come with the extra `bench`; one that is not installed
is skipped, and its line says so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path

import attrs
from bench import (
    appends,
    assembly,
    durable,
    folds,
    growth,
    proxying,
    redecides,
    resumes,
    servers,
    starts,
    states,
    steps,
    verbs,
)
from bench.report import Measure, machine, table
from bench.sizes import QUICK, Sizes
from bench.timing import ProcessFailed

TRACES = Path(__file__).resolve().parent.parent.parent / "shared" / "traces"


def bars(folder: Path, sizes: Sizes, traces: Path) -> Mapping[str, Callable[[], Iterable[Measure]]]:
    """What measures each bar."""
    return {
        "P1": lambda: appends.p1(folder, sizes),
        "P2": lambda: folds.p2(folder, sizes, traces),
        "P3": lambda: chain(states.p3(folder, sizes), resumes.resumes(folder, sizes)),
        "P4": lambda: assembly.p4(folder, sizes),
        "P5": lambda: durable.p5(folder, sizes),
        "P6": lambda: growth.p6(folder, sizes),
        "P7": lambda: starts.p7(folder, sizes, traces),
        "P8": lambda: starts.p8(folder, sizes),
        "P9": lambda: appends.p9(folder, sizes),
        "P10": lambda: verbs.p10(folder, sizes),
        redecides.BAR: lambda: redecides.redecides(folder, sizes, traces),
        steps.BAR: lambda: steps.steps(folder, sizes),
        proxying.BAR: lambda: proxying.proxying(folder, sizes),
        servers.BAR: lambda: servers.servers(folder, sizes),
    }


def measure(names: Iterable[str], sizes: Sizes, traces: Path) -> list[Measure]:
    """Measure the named bars one after the other; progress goes to stderr."""
    found: list[Measure] = []
    for name in names:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="clawvm-bench-") as folder:
            try:
                found.extend(bars(Path(folder), sizes, traces)[name]())
            except ProcessFailed as error:
                found.append(Measure(name, "not measured", None, note=f"failed: {error}"))
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    known = tuple(bars(Path(), QUICK, TRACES))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bars", nargs="*", metavar="BAR", help=f"which bars: {' '.join(known)} (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to FILE as well")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works, measures nothing")
    parser.add_argument("--events", type=int, metavar="N", help="events in the log of P2 (default: 200,000)")
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="TRACES",
        default=Path(os.environ.get("CLAWVM_TRACES") or TRACES),
        help="recorded sessions for P2 and P7 (default: $CLAWVM_TRACES, else ../shared/traces)",
    )
    options = parser.parse_args(arguments)
    wanted = options.bars or known
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"unknown bar {unknown[0]}: there are {' '.join(known)}")
    sizes = QUICK if options.quick else Sizes()
    if options.events:
        sizes = attrs.evolve(sizes, fold_events=options.events)
    found = measure(wanted, sizes, options.folder)
    print(table(found))
    if options.json:
        report = {"machine": machine(), "bars": [each.as_json() for each in found]}
        options.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if any(each.holds is False or each.note.startswith("failed") for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
