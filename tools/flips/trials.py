"""Which bytes are flipped, and what comes of each: in processes of their own, as SQLite may die of a bad file."""

from __future__ import annotations

import io
import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random

import attrs

from clawvm_es.cli.main import main
from flips.content import JUDGED, PARTS, content, derived_tables
from flips.layout import Layout, pick
from flips.specimen import Specimen

TRIAL_S = 60.0
"""A trial that takes longer hangs."""
FOUND, REFUSED, GOOD = "found", "refused", "good"
ENDINGS = {0: GOOD, 1: FOUND, 2: REFUSED}
_CONTEXT = multiprocessing.get_context("fork")


@attrs.frozen
class Flip:
    """One byte of one file, and the bits of it that change."""

    file: str  # "database" or "wal"
    offset: int
    mask: int
    kind: str


@attrs.frozen
class Outcome:
    """What a flip did: which parts a reader sees changed, how `verify` ended and what it said first."""

    flip: Flip
    changed: tuple[str, ...]
    ending: str
    said: str

    @property
    def detected(self) -> bool:
        """Whether `verify` said that something is wrong."""
        return self.ending in (FOUND, REFUSED)

    @property
    def missed(self) -> bool:
        """Whether something that is judged changed unnoticed."""
        return not self.detected and any(part in JUDGED for part in self.changed)

    @property
    def broken(self) -> bool:
        """Whether `verify` ended as it never should: raised, crashed, hung, or changed the file."""
        return self.ending not in ENDINGS.values()


def draw(file: str, layout: Layout, count: int, random: Random, only: str = "") -> list[Flip]:
    """Half of the flips over all bytes alike, the other half over the kinds of place in equal parts.

    `only` keeps to the kinds that begin so; raises `ValueError` if there are none.
    """
    kinds = {kind: spans for kind, spans in layout.by_kind().items() if kind.startswith(only)}
    every = [span for span in layout.spans if span.kind in kinds]
    names = sorted(kinds)
    if not names:
        raise ValueError(f"the {file} has no place {only!r}: there are {', '.join(sorted(layout.by_kind()))}")
    flips = []
    for number in range(count):
        spans = every if number % 2 == 0 else kinds[names[number // 2 % len(names)]]
        offset = pick(spans, random.randrange(sum(span.end - span.start for span in spans)))
        flips.append(Flip(file, offset, random.randrange(1, 256), layout.kind_at(offset)))
    return flips


def run(specimen: Specimen, flips: Sequence[Flip], workers: int) -> Iterator[Outcome]:
    """The outcome of each flip, in the order in which they end. Raises `ValueError` if the journal is bad."""
    with tempfile.TemporaryDirectory(prefix="clawvm-flips-") as folder:
        bench = Bench(specimen, Path(folder))
        untouched = bench.judge(Path(folder) / "untouched", None)
        if untouched[0] or untouched[1] != GOOD:
            raise ValueError(f"the journal is not good before any flip: {untouched[2]}")
        waiting = list(reversed(flips))
        crew = [Worker(bench, Path(folder) / str(number)) for number in range(min(workers, len(flips)))]
        try:
            while waiting or any(worker.flip for worker in crew):
                for worker in crew:
                    if worker.flip is None and waiting:
                        worker.start(waiting.pop())
                wait([worker.pipe for worker in crew if worker.flip], timeout=1)
                for worker in crew:
                    if worker.flip and (outcome := worker.outcome()):
                        yield outcome
        finally:
            for worker in crew:
                worker.stop()


class Bench:
    """A sound journal, and the way from a flip to what came of it."""

    def __init__(self, specimen: Specimen, folder: Path) -> None:
        self.specimen = specimen
        path = self._laid(folder / "sound", None)
        self.derived = derived_tables(path)
        self.sound = content(path, self.derived)

    def judge(self, folder: Path, flip: Flip | None) -> tuple[tuple[str, ...], str, str]:
        """The changed parts, the ending of `verify`, and its first words, for a journal laid in `folder`."""
        path = self._laid(folder, flip)
        raw = path.read_bytes()
        now = content(path, self.derived)
        ending, said = self._verify(path)
        if path.read_bytes() != raw:
            ending = "changed the file"
        return tuple(part for part in PARTS if now[part] != self.sound[part]), ending, said

    def _laid(self, folder: Path, flip: Flip | None) -> Path:
        """Write the files, with one byte flipped, into an empty folder."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        path = folder / "journal.db"
        for name, suffix, sound in (("database", "", self.specimen.database), ("wal", "-wal", self.specimen.wal)):
            if sound:
                raw = bytearray(sound)
                if flip is not None and flip.file == name:
                    raw[flip.offset] ^= flip.mask
                path.with_name(path.name + suffix).write_bytes(raw)
        return path

    def _verify(self, path: Path) -> tuple[str, str]:
        """Run `clawvm verify` as a user does."""
        anchor, key = str(self.specimen.anchor), str(self.specimen.key)
        out, err = io.StringIO(), io.StringIO()
        try:
            with redirect_stdout(out), redirect_stderr(err):
                main(["verify", str(path), "--anchor", anchor, "--key", key, "--json"])
        except SystemExit as end:
            ending = ENDINGS.get(end.code if isinstance(end.code, int) else -1, f"ended with {end.code}")
            return ending, err.getvalue().strip() or _first_problem(out.getvalue())
        except BaseException as error:  # whatever a bad file makes of verify is what is asked for
            return "raised", f"{type(error).__name__}: {error}"
        return "returned", ""


def _first_problem(document: str) -> str:
    problems = json.loads(document)["problems"] if document else []
    return f"{problems[0]['where']}: {problems[0]['what']}: {problems[0]['detail']}" if problems else ""


class Worker:
    """A process that tries one flip after the other; a new one takes its place when it dies."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.folder = bench, folder
        self.flip: Flip | None = None
        self.deadline = 0.0
        self._begin()

    def _begin(self) -> None:
        self.pipe, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_work, args=(self.bench, self.folder, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def start(self, flip: Flip) -> None:
        """Hand a flip over."""
        self.flip, self.deadline = flip, time.monotonic() + TRIAL_S
        self.pipe.send(flip)

    def outcome(self) -> Outcome | None:
        """What came of the flip; None as long as that is not known."""
        assert self.flip is not None
        try:
            if self.pipe.poll():
                outcome = Outcome(self.flip, *self.pipe.recv())
            elif time.monotonic() > self.deadline:
                outcome = self._lost("hung")
            else:
                return None
        except EOFError:
            self.process.join()
            outcome = self._lost(f"crashed with {self.process.exitcode}")
        self.flip = None
        return outcome

    def _lost(self, ending: str) -> Outcome:
        assert self.flip is not None
        self.stop()
        self._begin()
        return Outcome(self.flip, PARTS, ending, "")

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _work(bench: Bench, folder: Path, pipe: Connection) -> None:
    try:
        while True:
            pipe.send(bench.judge(folder, pipe.recv()))
    except EOFError:
        return
