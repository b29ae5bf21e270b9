"""Flip single bytes of a journal's file and of its WAL, and tell which flips `clawvm verify --anchor` finds.

    python tools/flips.py                                   2,000 and 2,000 flips in journals made here
    python tools/flips.py --journal j.db --anchor j.checkpoint --key anchor.key.pub
    python tools/flips.py --flips 100 --wal-flips 0 --json

Columns: how many flips hit such a place, how many of them changed what a reader sees (rows of the log, schema, what
a journal sets in the file's header, rows of derived tables), how many were found, how many found although a reader
sees no change, and how many were missed: they changed rows, schema or header unnoticed. Exit code 1 says that a flip
was missed, or that `verify` raised, crashed, hung or wrote.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

from flips import layout, report, specimen, trials


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = _options(arguments)
    found: list[trials.Outcome] = []
    with tempfile.TemporaryDirectory(prefix="clawvm-flips-") as folder:
        try:
            for outcome in _outcomes(options, Path(folder)):
                found.append(outcome)
                _progress(len(found), options.flips + options.wal_flips)
        except (OSError, ValueError) as error:
            print(f"flips: {error}", file=sys.stderr)
            return 2
    found.sort(key=lambda each: (each.flip.file, each.flip.offset, each.flip.mask))
    document = report.document(found, options.seed)
    if options.as_json:
        print(json.dumps(document, indent=2))
    else:
        print(report.table(found), *document["notes"], sep="\n")
        print(
            f"{document['flips']} flips, seed {options.seed}: {document['missed']} missed, {document['broken']} broke"
        )
    return 0 if document["ok"] else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="flip in copies of this one (default: makes its own)"
    )
    parser.add_argument("--anchor", type=Path, metavar="FILE", help="its checkpoint (default: takes one)")
    parser.add_argument("--key", type=Path, metavar="FILE", help="public key of the checkpoint")
    parser.add_argument("--flips", type=int, default=2_000, metavar="N", help="flips in the file (default: 2,000)")
    parser.add_argument("--wal-flips", type=int, default=2_000, metavar="N", help="flips in the WAL (default: 2,000)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="the same seed flips the same bytes (default: 1)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--hit", default="", metavar="PLACE", help="flip only in places whose name begins so")
    parser.add_argument("--json", dest="as_json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    if (options.anchor is None) != (options.key is None):
        parser.error("--anchor and --key go together")
    return options


def _outcomes(options: argparse.Namespace, folder: Path) -> Iterator[trials.Outcome]:
    random = Random(options.seed)
    if options.journal:
        whole = live = specimen.given(options.journal, options.anchor, options.key, folder)
        if options.wal_flips and not live.wal:
            print(f"flips: {options.journal} has no WAL, so none is flipped", file=sys.stderr)
    else:
        whole, live = specimen.checkpointed(folder, options.seed), specimen.with_wal(folder, options.seed)
    if options.flips:
        plain = folder / "plain.db"
        plain.write_bytes(whole.database)
        flips = trials.draw("database", layout.database(plain), options.flips, random, options.hit)
        yield from trials.run(whole, flips, options.workers)
    if options.wal_flips and live.wal:
        flips = trials.draw("wal", layout.wal(live.wal), options.wal_flips, random, options.hit)
        yield from trials.run(live, flips, options.workers)


def _progress(done: int, total: int) -> None:
    """Say on a terminal how far it is."""
    if sys.stderr.isatty():
        print(f"\r{done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
