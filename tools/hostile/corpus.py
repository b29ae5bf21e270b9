"""The corpus: every hostile file, made from a seed, with what it is and how the verbs have to answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import attrs

from hostile import foreign, homes, inputs, journals, nonfiles, specimens

MANIFEST = "corpus.json"
JOURNALS = ("damaged", "odd", "foreign", "trigger", "stranger", "absent")
"""The kinds of file that stand where a verb expects a journal."""


@attrs.frozen
class Case:
    """One file: its name, its place in the corpus, and its kind.

    damaged: a journal that `verify` must refuse; odd: one that it may refuse; foreign: one with objects that are
    not ours and do no harm; trigger: one that must not be written; stranger: no journal at all; absent: a place
    where a journal could be made; bundle, recording, trace, session, note: files that verbs read beside a journal;
    home: a file of a live harness or of its spool.
    """

    name: str
    path: str
    kind: str


def make(folder: Path, seed: int, only: str = "") -> tuple[Case, ...]:
    """Write the corpus (the cases whose names begin with `only`) and its manifest; the same seed, the same files.

    Keys and checkpoints are drawn anew each time: secrets are never derived from a seed. A corpus that is there is
    made anew; a folder that holds anything else is refused with `FileExistsError`.
    """
    if (folder / MANIFEST).exists():
        shutil.rmtree(folder)
    elif folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} holds other files than a corpus: name an empty folder")
    good = specimens.made(folder / "good", seed)
    cases = []
    for name, kind, suffix, write in _all():
        if name.startswith(only):
            place = folder / kind / (name.replace(" ", "-") + suffix)
            place.parent.mkdir(exist_ok=True)
            write(good, place, Random(f"{seed} {name}"))
            cases.append(Case(name, str(place.relative_to(folder)), kind))
    (folder / MANIFEST).write_text(json.dumps([attrs.asdict(case) for case in cases], indent=1))
    return tuple(cases)


def read(folder: Path) -> tuple[Case, ...]:
    """The cases of a corpus that was made."""
    return tuple(Case(**row) for row in json.loads((folder / MANIFEST).read_text()))


def _all() -> Iterator[tuple[str, str, str, specimens.Write]]:
    """Name, kind, ending of the file's name, and how it is written."""
    for module in (journals, foreign, nonfiles, inputs, homes):
        yield from module.CASES


def names() -> tuple[str, ...]:
    """The names of all cases."""
    return tuple(name for name, *_ in _all())
