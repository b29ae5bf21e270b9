"""Play generated histories, each with a policy, a budget and a shape of its own; check the laws at every turn.

    python tools/histories.py --parts 0:100 --state h.json     10,000 histories, resumable, with a printed rate
    python tools/histories.py --parts 17:18                    one part again: the same hundred histories

A history has up to thirty moves: answers with parallel calls, results late, twice or never, images, thoughts, odd
ids; pages needed again, pinned, retired and rewritten; budgets that change. The laws are those of
`tests/engine/test_message_laws.py`: pairs, counts, the budget, the order of groups, a prefix that only grows, and
every prompt the same again when it is replayed. A history that breaks one is shrunk and printed with the command
that finds it again; the exit code is 1.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback
from pathlib import Path

import structlog
from hypothesis import HealthCheck, given, seed, settings
from resuming import resumed, save, span

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from clawvm_es.testing.histories import History, histories
from tests.engine.test_message_laws import assert_laws


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = _options(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    first, last = options.parts
    state = resumed(options.state, {"next": first, "held": 0})
    began, held_before = time.monotonic(), state["held"]
    for part in range(state["next"], last):
        try:
            state = {"next": part + 1, "held": state["held"] + play(part, options.size)}
        except Exception:
            traceback.print_exc(file=sys.stdout)
            print(f"part {part} fails: python tools/histories.py --parts {part}:{part + 1} --size {options.size}")
            return 1
        save(options.state, state)
        rate = (state["held"] - held_before) / max(1e-9, time.monotonic() - began)
        print(f"{state['held']:,} histories hold, {part + 1 - first} of {last - first} parts, {rate:.1f} a second")
        sys.stdout.flush()
    return 0


def play(part: int, size: int) -> int:
    """Check the histories of a part; return their number. Raises with the shrunk history where a law is broken."""
    held = 0

    @seed(part)
    @settings(max_examples=size, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(history=histories(max_moves=30))
    def check(history: History) -> None:
        nonlocal held
        assert_laws(history)
        held += 1

    check()
    return held


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", type=span, required=True, metavar="FIRST:END", help="parts FIRST to END")
    parser.add_argument("--size", type=int, default=100, metavar="N", help="histories in a part")
    parser.add_argument("--state", type=Path, metavar="FILE", help="go on where this file says, and keep it up")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
