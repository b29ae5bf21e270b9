"""Make a corpus of hostile files from a seed, and run every verb over it.

    PYTHONPATH=. python tools/hostile.py OUT --seed 1              make the corpus in the folder OUT
    PYTHONPATH=. python tools/hostile.py OUT --seed 1 --run        make it, then run every verb over every file
    PYTHONPATH=. python tools/hostile.py OUT --run --only "event"  only the cases whose names begin so

OUT/corpus.json lists the files with their kinds. Exit code 1 says that a verb raised, hung, ended with a wrong
code, said more than one line, or took more than 100 MB and four times its file. `pytest tests/test_hostile.py` takes
a sample.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import attrs
from hostile import corpus, runs


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = _options(arguments)
    if options.case:
        for case in corpus.read(options.out):
            if case.name in options.case:
                found = runs.here(options.out, case, tell=True, apart=options.apart)
                print(json.dumps(attrs.asdict(found)), flush=True)
        return 0
    made = corpus.make(options.out, options.seed, options.only)
    print(f"{len(made)} files in {options.out}, seed {options.seed}")
    return _run(options.out, made, options.workers) if options.run else 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    doc = __doc__ or ""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, prog="hostile.py"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the corpus; made if it does not exist")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="the same seed, the same files (default: 1)")
    parser.add_argument("--only", default="", metavar="NAME", help="only cases whose names begin so")
    parser.add_argument("--run", action="store_true", help="run every verb over every case")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (default: 1)")
    parser.add_argument(
        "--case", metavar="NAME", action="append", help="run this case of a corpus that is there, in this process"
    )
    parser.add_argument("--apart", action="store_true", help="with --case: each call in a process of its own")
    return parser.parse_args(arguments)


def _run(folder: Path, made: tuple[corpus.Case, ...], workers: int) -> int:
    calls = bad = peak = 0
    for outcome in runs.run(folder, made, workers):
        wrong = [*outcome.complaints, *runs.too_large(folder, outcome)]
        for each in wrong:
            print(f"{outcome.case.name} ({outcome.case.kind}): {each}", flush=True)
        calls, bad, peak = calls + outcome.calls, bad + len(wrong), max(peak, outcome.peak_bytes)
    print(f"{calls} calls over {len(made)} files: {bad} wrong, peak memory {peak / 2**20:.0f} MB")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
