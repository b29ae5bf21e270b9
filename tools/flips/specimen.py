"""A journal to flip bytes in: one of the caller's, or one made here, with an anchor that was taken of it."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from importlib.resources import as_file, files
from pathlib import Path

import attrs

from clawvm_es.core.profiles import profile
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.anchors import load_secret, make_key, take_checkpoint
from clawvm_es.storage.sqlite.log import open_log

BUDGET = 1_000


@attrs.frozen
class Specimen:
    """The bytes of a journal's file and of its WAL (empty: none), its checkpoint and the public key of that."""

    database: bytes
    wal: bytes
    anchor: Path
    key: Path


def given(journal: Path, anchor: Path | None, key: Path | None, folder: Path) -> Specimen:
    """A journal of the caller's; where no checkpoint is given, one is taken of a copy."""
    copy = _copied(journal, folder / "given.db")
    if anchor is None or key is None:
        anchor, key = _anchored(copy, folder)
    return Specimen(copy.read_bytes(), _wal_of(copy), anchor, key)


def checkpointed(folder: Path, seed: int) -> Specimen:
    """A bundled session, two live ones that share a scope, and free pages; no WAL."""
    path = folder / "whole.db"
    _fill(path, seed)
    anchor, key = _anchored(path, folder)
    return Specimen(path.read_bytes(), b"", anchor, key)


def with_wal(folder: Path, seed: int) -> Specimen:
    """The same journal with committed transactions in its WAL, behind which frames of an earlier round remain."""
    path = folder / "live.db"
    _fill(path, seed)
    with Journal.open(path, seed=seed) as journal:
        _talk(journal, "long", turns=12)
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA wal_checkpoint(RESTART)")
        _talk(journal, "short", turns=3)
        copy = _copied(path, folder / "live-copy.db")
    anchor, key = _anchored(copy, folder)
    return Specimen(copy.read_bytes(), _wal_of(copy), anchor, key)


def _fill(path: Path, seed: int) -> None:
    with Journal.open(path, seed=seed) as journal, as_file(files("clawvm_es.cli") / "demo_session.jsonl") as file:
        replay(journal, file, ReplaySettings(policy=profile("clawvm"), budget_tokens=BUDGET, name="demo"))
        _talk(journal, "a", turns=4)
        _talk(journal, "b", turns=4)
        journal.catch_up()
    with closing(sqlite3.connect(path)) as db:  # what was dropped leaves free pages
        db.execute("CREATE TABLE scratch AS SELECT * FROM events LIMIT 300")
        db.execute("DROP TABLE scratch")


def _talk(journal: Journal, name: str, turns: int) -> None:
    """A live session that commits to a shared scope."""
    fields = Settings(fields={"notes": FieldSchema()})
    with journal.session(name, counter="lines4", project="team", settings=fields, budget_tokens=600) as session:
        session.write_page("constraint", f"Never speak about {name}.")
        for turn in range(turns):
            page = session.user_says(f"message {turn} of {name}: " + "words and more words. " * 40)
            session.assemble()
            session.observe_model(f"answer {turn} of {name}")
            session.stage("notes", "append", f"note {turn} of {name}", scope="project", evidence=page)
            session.save()


def _anchored(path: Path, folder: Path) -> tuple[Path, Path]:
    """A checkpoint of a journal under a fresh key."""
    now, secret, note = int(time.time()), folder / f"{path.stem}.key", folder / f"{path.stem}.checkpoint"
    public = Path(str(secret) + ".pub")
    make_key(str(secret), "flips", 1, now)
    with open_log(path, read_only=True) as log:
        note.write_bytes(take_checkpoint(log, load_secret(str(secret), now))[0])
    return note, public


def _copied(journal: Path, copy: Path) -> Path:
    shutil.copyfile(journal, copy)
    wal = journal.with_name(journal.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        shutil.copyfile(wal, copy.with_name(copy.name + "-wal"))
    return copy


def _wal_of(path: Path) -> bytes:
    wal = path.with_name(path.name + "-wal")
    return wal.read_bytes() if wal.exists() else b""
