"""Import many files into a journal that allows several writers, by several processes on this machine.

Files that hold parts of the same session are one job, in their order, so each session has the events of a sequential
import; only the order among sessions may differ. The events that a killed process had appended are found by their
keys: its files are imported again, and nothing is added twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from clawvm_es.engine.journal import Journal
from clawvm_es.errors import ClawVMError
from clawvm_es.fleet.executor import Executor, batches, in_order
from clawvm_es.importers import read
from clawvm_es.importers.importing import Found, Imported, Progress, import_files
from clawvm_es.limits import LOCK_WAIT_S
from clawvm_es.urls import place_of, placed

BYTES_A_JOB: Final = 1_000_000
"""Bytes that a process imports over one connection at least, where there are as many."""


def import_spread(
    journal: str,
    files: Sequence[Found],
    executor: Executor,
    *,
    counter: str | None = None,
    format: str | None = None,
    hide_secrets: bool = False,
    seed: int | None = None,
    wait_s: float = LOCK_WAIT_S,
    progress: Progress | None = None,
) -> Iterator[Imported]:
    """Import files as `import_files` does, outcomes in order; the caller advances the read models."""
    total, done, turn = sum(each.size for each in files), 0, 0
    groups = list(_groups(list(in_order(executor, _sessions, [(each.path, format) for each in files]))))
    parts = batches([sum(files[place].size for place in group) for group in groups], BYTES_A_JOB)
    places = [[place for number in part for place in groups[number]] for part in parts]
    options = (counter, format, hide_secrets, seed, wait_s)
    jobs = [(placed(journal), tuple(files[place] for place in part), *options) for part in places]
    held: dict[int, Imported] = {}
    for number, outcomes in executor.as_done(_imported, jobs):
        held.update(zip(places[number], outcomes, strict=True))
        done += sum(files[place].size for place in places[number])
        if progress is not None:
            progress(done, total)
        while turn in held:
            yield held.pop(turn)
            turn += 1


def _sessions(path: str, format: str | None) -> tuple[str, ...]:
    """The sessions in a file; none if it cannot be read, which its import will report."""
    try:
        return tuple(each.session_id for each in read(path, format))
    except (ClawVMError, OSError):
        return ()


def _groups(sessions: Sequence[Sequence[str]]) -> Iterator[list[int]]:
    """The indexes of files that share sessions, directly or through others; each file is in one group."""
    groups: dict[int, list[int]] = {}
    owner: dict[str, int] = {}  # session → a file that holds it
    group_of = list(range(len(sessions)))
    for place, ids in enumerate(sessions):
        groups[place] = [place]
        for session_id in ids:
            other, own = group_of[owner.setdefault(session_id, place)], group_of[place]
            if other != own:
                for moved in groups[own]:
                    group_of[moved] = other
                groups[other] += groups.pop(own)
    yield from (sorted(group) for group in groups.values())


def _imported(
    place: str,
    files: Sequence[Found],
    counter: str | None,
    format: str | None,
    hide_secrets: bool,
    seed: int | None,
    wait_s: float,
) -> list[Imported]:
    """Import some files over a connection of this process."""
    journal = Journal.open(place_of(place), seed=seed, wait_s=wait_s, hide_secrets=hide_secrets)
    try:
        return list(import_files(journal, files, counter=counter, format=format))
    finally:
        journal.close(catch_up=False)
