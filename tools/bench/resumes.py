"""P3: a session that goes on in a new process, and a fork of it, at two lengths; the length should not show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

from bench.report import Measure
from bench.sizes import Sizes
from bench.timing import cpu_seconds, interleaved
from clawvm_es.engine.journal import Journal

LIMIT = 1.5
SESSION = "long"
FILES = 400
"""Files that the session reads again and again."""


def resumes(folder: Path, sizes: Sizes) -> Iterator[Measure]:
    """Process CPU time, the best of the rounds: open and one message; fork, one message and catch-up."""
    short, long = sizes.resume_events
    paths = {events: folder / f"resume-{events}.db" for events in (short, long)}
    for events, path in paths.items():
        build(path, events)
    number = count()
    works: dict[str, Callable[[Path, int], None]] = {"open and one message": resume, "fork and catch-up": fork}
    for what, work in works.items():
        sides = {
            str(events): partial(cpu_seconds, lambda work=work, path=path: work(path, next(number)))  # type: ignore[misc]
            for events, path in paths.items()
        }
        took = {events: 1000 * min(each) for events, each in interleaved(sides, sizes.rounds).items()}
        ours, theirs = took[str(long)], took[str(short)]
        yield Measure(
            "P3", f"{what} at {long:,} events", ours, "ms", f"at {short:,}", theirs, ours / theirs, limit=LIMIT
        )


def build(path: Path, events: int) -> None:
    """A session of so many events: messages, prompts, calls with results, a boundary now and then."""
    with Journal.open(path, seed=7) as journal:
        session = journal.session(SESSION, budget_tokens=4_000, counter="lines4")
        for turn in count(1):
            if session.head[0] >= events:
                return
            session.user_says(f"message {turn}")
            session.assemble()
            (call,) = session.observe_model(f"answer {turn}", [("read", {"path": f"src/{turn % FILES}.py"})])
            session.observe_result(call, "\n".join(f"{turn} {line} of a result" for line in range(20)))
            if turn % 50 == 0:
                session.save()


def resume(path: Path, number: int) -> None:
    """Go on with the session by one message, as one call of a hook does."""
    journal = Journal.open(path, seed=7)
    journal.session(SESSION).user_says(f"one more message, {number}")
    journal.close(catch_up=False)


def fork(path: Path, number: int) -> None:
    """Fork the session at its end and go on by one message; the read models catch up."""
    with Journal.open(path, seed=7) as journal:
        journal.fork(SESSION, f"fork-{number}").user_says("another way")
