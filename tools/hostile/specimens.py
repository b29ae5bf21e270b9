"""Good files to make bad ones of: a journal with forks and a shared scope, and what is exported of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path
from random import Random
from typing import TypeAlias
from unittest import mock

import attrs

from clawvm_es import limits
from clawvm_es.core.profiles import profile
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema
from clawvm_es.history.bundle import bundle
from clawvm_es.history.recording import write_recording
from clawvm_es.importers.export import export_trace
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.journal.anchors import load_secret, make_key, take_checkpoint
from clawvm_es.journal.lineage import read_session
from clawvm_es.storage.sqlite.log import open_log
from clawvm_es.testing.fakes import FakeClock

SECRET = "the passphrase of the vault is marmalade-on-toast"
"""A text of session `a` that an erasure has to remove everywhere."""

_LINES = 24
"""Lines of the bundled session that are enough: with turns, tools and results."""
_SNAPSHOT_EVENTS = 48
"""Events between two snapshots, so few that short sessions have some."""


@attrs.frozen
class Specimens:
    """The folder of good files."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        """The file of this kind: journal, bundle, recording, trace, session, checkpoint, secret, public."""
        return self.folder / FILES[name]

    def copied(self, target: Path) -> Path:
        """A copy of the good journal."""
        return Path(shutil.copyfile(self.journal, target))


Write: TypeAlias = Callable[[Specimens, Path, Random], None]
"""How a case is written: from the good files, to a path, drawing what it needs."""

FILES = {
    "journal": "good.db",
    "bundle": "good.clawvm.bundle",
    "recording": "good.clawvm.jsonl",
    "trace": "good.trace.jsonl",
    "session": "good.session.jsonl",
    "checkpoint": "good.checkpoint",
    "secret": "good.key",
    "public": "good.key.pub",
}


def made(folder: Path, seed: int) -> Specimens:
    """All good files, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    good = Specimens(folder)
    with as_file(files("clawvm_es.cli") / "demo_session.jsonl") as file:
        good.session.write_text("".join(file.read_text().splitlines(keepends=True)[:_LINES]))
    dense = mock.patch.object(limits, "SNAPSHOT_EVENTS", _SNAPSHOT_EVENTS)
    with dense, Journal.open(good.journal, seed=seed, clock=FakeClock()) as journal:
        settings = ReplaySettings(policy=profile("clawvm"), budget_tokens=1_000, counter="lines4", name="demo")
        replay(journal, good.session, settings)
        _talk(journal, "a")
        _talk(journal, "b")
        journal.fork("a", "fork", settings=_settings()).user_says("another way")
    now = int(time.time())
    make_key(str(good.secret), "hostile", 1, now)
    with open_log(good.journal, read_only=True) as log:
        note, _ = take_checkpoint(log, load_secret(str(good.secret), now))
        good.checkpoint.write_bytes(note)
        good.bundle.write_bytes(b"".join(bundle(log, ["a", "fork"], note)))
        good.recording.write_bytes(b"".join(write_recording(read_session(log, "fork"))))
        good.trace.write_text("".join(export_trace(log, "a")))
    return good


def _settings() -> Settings:
    return Settings(fields={"notes": FieldSchema()})


def _talk(journal: Journal, name: str) -> None:
    """A live session that commits to a shared scope, and is compacted once."""
    options = {"counter": "lines4", "project": "team", "settings": _settings(), "budget_tokens": 600}
    with journal.session(name, **options) as session:
        session.write_page("constraint", f"Never speak about {name}.")
        session.write_page("evidence", f"{SECRET} ({name})")
        for turn in range(3):
            page = session.user_says(f"message {turn} of {name}: " + "words and more words. " * 40)
            session.assemble()
            session.observe_model(f"answer {turn} of {name}")
            session.tool("read_file", {"path": f"{name}-{turn}.txt"}, lambda **_: "a result " * 30)
            session.stage("notes", "append", f"note {turn} of {name}", scope="project", evidence=page)
            session.save()
