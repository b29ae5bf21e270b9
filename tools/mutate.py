"""Change the package in many small ways, and tell which changes its tests do not notice (mutation testing)."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mutate import report, tree
from mutate.gather import gather
from mutate.operators import OPERATORS, Mutant
from mutate.pool import workers
from mutate.run import Kept, Result, chosen, named, run, sources

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("core", "journal", "storage", "engine", "observe", "importers")
TESTS = (
    *("cli", "contract", "core", "engine", "fleet", "golden", "history", "importers", "journal"),
    *("observe", "plugin", "projections", "representations", "storage", "testing", "views"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run mutants and print the report; 0 where the score is high enough, 1 where not, 2 on wrong usage."""
    options = _parser().parse_args(arguments)
    names = tree.files_of(ROOT)
    digest = tree.digest(ROOT, names)
    state: Path = options.state
    state.mkdir(parents=True, exist_ok=True)
    try:
        if options.mutant:
            todo, total = named(ROOT, options.mutant), len(options.mutant)
        else:
            todo, total = chosen(ROOT, sources(ROOT, options.folders or FOLDERS), options.seed, options.count)
    except KeyError as error:
        print(f"mutate: no mutant {error.args[0]} in this tree", file=sys.stderr)
        return 2
    if options.list:
        for mutant in todo:
            print(f"{mutant.id}\n{mutant.diff((ROOT / mutant.path).read_bytes())}")
        return 0
    kept = Kept(state / "results.jsonl", f"{digest} {'+'.join(options.tests or ['all'])} {options.test_seconds:g}")
    _run(todo, kept, names, options)
    rows = [(mutant, kept.known[mutant.id]) for mutant in todo]
    about = {"tree": digest, "seed": options.seed, "possible": total, "operators": list(OPERATORS)}
    found = report.document(ROOT, rows, about)
    print(json.dumps(found, indent=1) if options.json else report.text(found))
    return 0 if report.score(rows) >= options.at_least else 1


def _parser() -> argparse.ArgumentParser:
    operators = "\n".join(f"  {name:<13} {what}" for name, what in OPERATORS.items())
    parser = argparse.ArgumentParser(
        prog="tools/mutate.py",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__,
        epilog=f"operators (what they leave out, `mutate/operators.py` says):\n{operators}\n\n"
        "A mutant is run against the tests that run its line, near and fast ones first, until one fails. One that\n"
        "takes many times as long as the tests do otherwise counts as killed. Mutants that change nothing that can\n"
        "be seen count as survivors; the reader judges them. The working tree is copied, never changed.\n"
        "What was run once is kept under --state and not run again while the tree stays as it is.",
    )
    parser.add_argument("--seed", type=int, default=1, help="chooses the mutants (default 1)")
    parser.add_argument("--count", type=_positive, default=300, metavar="N", help="how many mutants (default 300)")
    parser.add_argument(
        "--in", dest="folders", action="append", metavar="FOLDER", help=f"default: {' '.join(FOLDERS)}"
    )
    parser.add_argument("--tests", action="append", metavar="PATH", help=f"default: {' '.join(TESTS)}")
    parser.add_argument("--mutant", action="append", metavar="ID", help="run this mutant (as the report names it)")
    parser.add_argument("-j", dest="jobs", type=_positive, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument(
        "--at-least", type=float, default=88.0, metavar="P", help="score for exit code 0 (default 88)"
    )
    parser.add_argument("--state", type=Path, default=ROOT / ".mutate", metavar="DIR", help="default: .mutate")
    parser.add_argument(
        "--test-seconds",
        type=float,
        default=120.0,
        metavar="S",
        help="of the tests that run a mutant's line take the fastest, as many as take S seconds: of those in files "
        "named after its module; of those of its folder, of files that import it and golden ones; and of the others "
        "(default 120)",
    )
    parser.add_argument("--list", action="store_true", help="print the chosen mutants and run none")
    parser.add_argument("--json", action="store_true", help="the report as JSON")
    return parser


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def _run(todo: Sequence[Mutant], kept: Kept, names: list[Path], options: argparse.Namespace) -> None:
    """Run the mutants that have no result yet."""
    missing = [mutant for mutant in todo if mutant.id not in kept.known]
    if not missing:
        return
    wanted = {Path("tests", name) for name in options.tests or TESTS}
    files = [name for name in names if name.match("test_*.py") and wanted & {name, *name.parents}]
    with (
        tempfile.TemporaryDirectory(prefix="mutate-") as folder,
        workers(ROOT, names, Path(folder), options.jobs) as pool,
    ):
        tests = gather(ROOT, names, files, options.state / "coverage", pool, _tell)
        for test in tests.bad:
            _tell(f"left out, for it does not pass without a mutation: {test}")
        began = time.monotonic()
        for number, (mutant, result) in enumerate(run(pool, missing, tests, options.test_seconds), 1):
            kept.add(result)
            _tell(_progress(number, len(missing), time.monotonic() - began, mutant, result))


def _progress(number: int, count: int, seconds: float, mutant: Mutant, result: Result) -> str:
    rate = number / max(seconds, 0.001)
    left = f"{(count - number) / rate / 60:.0f} min left, {rate * 60:.0f} a minute"
    return f"{number}/{count}  {result.outcome:<9} {mutant.id}  {result.seconds:.1f} s  ({left})"


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
