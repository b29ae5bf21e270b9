"""Simulate sessions, processes and what befalls them, from a seed; check the laws after each run.

    python tools/simulate.py --seed 7                              one seed in memory; prints the law that it breaks
    python tools/simulate.py --seeds 0:20000 --state m.json        many, resumable, with a printed rate
    python tools/simulate.py --seeds 0:2000 --storage sqlite
    python tools/simulate.py --seeds 0:200 --storage postgresql://postgres@localhost/test
    python tools/simulate.py --faults                              each planted fault, by its stored seed

A run has one to three sessions, maybe of one project, in up to three processes. Hooks are delivered at least once, by
any process, also late; processes die before or after any write; another one comes in the middle; the power goes, and
leaves what was synced and any part of the rest; the clock jumps; texts are erased. Under a journal file SQLite writes
through a VFS of ours: the disk is full, has errors at reads, writes and syncs, a process ends in the middle of one,
and after a power cut any of the writes since the last sync is there, lost or torn.
A seed that fails is shrunk to the fewest steps, and printed with its command. Exit code 1 says that one failed, or
that a planted fault was not found.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

import structlog
from resuming import resumed, save, span
from simulate import faults, run


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = _options(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if options.faults:
        return _faults()
    first, last = options.seeds
    done = resumed(options.state, {"next": first})["next"]
    began, started_at = time.monotonic(), done
    for seed in range(done, last):
        failure = run.shrunk(seed, options.storage, options.fault)
        if failure is not None:
            fault = f" --fault {options.fault}" if options.fault else ""
            print(f"seed {seed} fails after {failure.steps} steps: {failure.what}")
            print(f"  python tools/simulate.py --seed {seed} --storage {options.storage}{fault}")
            return 1
        save(options.state, {"next": seed + 1})
        if (seed + 1 - started_at) % options.every == 0 or seed + 1 == last:
            rate = (seed + 1 - started_at) / max(1e-9, time.monotonic() - began)
            print(f"{seed + 1 - first} of {last - first} seeds hold, {rate:.1f} a second", flush=True)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=lambda text: (int(text), int(text) + 1), dest="seeds", metavar="N")
    which.add_argument("--seeds", type=span, metavar="FIRST:END", help="the seeds from FIRST up to END")
    which.add_argument("--faults", action="store_true", help="find each planted fault by its stored seed")
    parser.add_argument(
        "--storage", default="memory", metavar="PLACE", help="memory (default), sqlite, postgresql://…"
    )
    parser.add_argument("--fault", choices=sorted(faults.FAULTS), help="plant this fault")
    parser.add_argument("--state", type=Path, metavar="FILE", help="go on where this file says, and keep it up")
    parser.add_argument("--every", type=int, default=100, metavar="N", help="print the rate every N seeds")
    options = parser.parse_args(arguments)
    if options.storage not in ("memory", "sqlite") and not options.storage.startswith("postgres"):
        parser.error(f"{options.storage} is neither memory, sqlite nor a postgresql:// URL")
    return options


def _faults() -> int:
    missed = 0
    for fault in faults.FAULTS.values():
        for storage, seed in fault.seeds.items():
            failure = run.shrunk(seed, storage, fault.name)
            missed += failure is None
            said = "NOT FOUND" if failure is None else f"found after {failure.steps} steps: {failure.what}"
            print(f"{fault.name} on {storage}, seed {seed}: {said}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
