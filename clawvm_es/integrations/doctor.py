"""Examine an installation: find failures that a harness may never show."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs
import msgspec

from clawvm_es import storage
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import ClawVMError, UnreadableInput
from clawvm_es.files import NO_SPACE, read_regular
from clawvm_es.integrations import settings, spool
from clawvm_es.integrations.harnesses import CODEX, HARNESSES, Harness
from clawvm_es.integrations.ingest import PROBLEMS, spool_of, waiting
from clawvm_es.integrations.install import ENGINE

LATE_S: Final = 600
"""Age of an event after which it should have been taken."""
SHOWN: Final = 5
"""Problems that are told, the newest."""
PROBED_BYTES: Final = 1 << 16
"""Bytes for which the spool's disk must have room."""
WIDEST: Final = 400
"""Characters of a problem that are told."""


@attrs.frozen
class Check:
    """One check, for people; `hint` says what to do if it is not `ok`."""

    what: str
    ok: bool
    detail: str
    hint: str = ""


def examine(journal: str, *, forget: bool = False) -> list[Check]:
    """All checks, in the order in which an event travels: settings, spool, engine, journal."""
    folder = spool_of(journal)
    if forget:
        for name in (PROBLEMS, PROBLEMS + ".old"):
            with suppress(OSError):  # what cannot be taken away is told below
                (folder / name).unlink()
        spool.tell(str(folder), "")
    found = [check for harness in HARNESSES.values() for check in _harness(harness, folder)]
    if not found:
        names = " or ".join(HARNESSES)
        none = f"none records into {os.path.realpath(journal)}: clawvm install {names}"
        return [Check("harnesses", True, none), *_unusable(journal), *_problems(folder)]
    return [*found, *_spool(folder), _engine(folder), _journal(journal), _late(folder), *_problems(folder)]


def _harness(harness: Harness, folder: Path) -> Iterator[Check]:
    """The hooks of one harness, where it has any of ours."""
    path, again = harness.settings_path(), f"clawvm install {harness.name}"
    try:
        document = settings.read(settings.real(path))[1]
    except UnreadableInput as error:
        yield Check(harness.title, False, error.message, error.hint)
        return
    ours = {event: each for event, each, _ in settings.ours(document)}
    if not ours:
        return
    missing = [event for event in harness.events if event not in ours]
    if any(each != folder for each in ours.values()):
        yield Check(harness.title, True, f"records into another journal: {next(iter(ours.values()))}")
        return
    told = f"hooks in {path}" + (f", but none at {', '.join(missing)}" if missing else "")
    yield Check(harness.title, not missing, told, again)
    if document.get("disableAllHooks") is True:
        yield Check(harness.title, False, f"disableAllHooks is set in {path}", "unset it, or no hook runs")
    if harness is CODEX:
        yield _trusted(harness)


def _trusted(harness: Harness) -> Check:
    """Codex runs no hook that nobody trusted, and does not say so."""
    hint = "type /hooks in Codex and trust them"
    try:
        config = tomllib.loads(read_regular(harness.home() / "config.toml").decode())
    except (OSError, ValueError, RecursionError):
        config = {}
    hooks = config.get("hooks")
    state = hooks.get("state") if isinstance(hooks, dict) else None
    path, known = str(harness.settings_path()), state.items() if isinstance(state, dict) else ()
    trusted = [name for name, each in known if path in name and isinstance(each, dict) and each.get("trusted_hash")]
    if len(trusted) >= len(harness.events):
        return Check(harness.title, True, "its hooks were trusted")
    return Check(harness.title, False, f"{len(trusted)} of {len(harness.events)} hooks are trusted", hint)


def _spool(folder: Path) -> Iterator[Check]:
    again = "run clawvm install again"
    try:
        same = read_regular(folder / settings.SCRIPT) == Path(spool.__file__).read_bytes()
        yield Check("spool", same, f"{folder / settings.SCRIPT}" + ("" if same else " is of another version"), again)
    except OSError as error:
        yield Check("spool", False, f"{folder / settings.SCRIPT}: {error.strerror}", again)
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBED_BYTES))
    except OSError as error:
        hint = "make room: meanwhile hooks keep nothing" if error.errno in NO_SPACE else "hooks keep nothing there"
        yield Check("spool", False, f"{folder}: {error.strerror}", hint)
    python = shutil.which("python3")
    yield Check("python3", python is not None, python or "not found", "hooks are run by the python3 in $PATH")


def _engine(folder: Path) -> Check:
    """Run the engine as the spool does."""
    again = "run clawvm install again, with the clawvm that is to be used"
    try:
        command = msgspec.json.decode(read_regular(folder / ENGINE))["command"]
        done = subprocess.run([*command[:4], "--version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, subprocess.SubprocessError) as error:
        return Check("engine", False, str(error), again)
    if done.returncode:
        return Check("engine", False, (done.stderr.strip().splitlines() or ["failed"])[-1], again)
    return Check("engine", True, f"{done.stdout.strip()} in {command[0]}")


def _journal(path: str) -> Check:
    try:
        os.stat(path)
    except FileNotFoundError:
        return Check("journal", True, f"{path} is made with the first session")
    except OSError as error:
        return Check("journal", False, f"{path}: {error.strerror}", "name another file, or make room for this one")
    try:
        with Journal.open(path, wait_s=1.0) as journal:
            if journal.read_only:
                return Check(
                    "journal", False, f"{path} can only be read", "check the permissions of it and its folder"
                )
            with journal.log.transaction():
                return Check("journal", True, f"{path}, {len(journal.log.heads())} sessions")
    except ClawVMError as error:
        return Check("journal", False, error.message, error.hint)


def _unusable(path: str) -> Iterator[Check]:
    """A journal that is there and that no verb can read."""
    try:
        if os.path.lexists(path) and storage.exists(path):
            storage.open_log(path, read_only=True).close()
    except ClawVMError as error:
        yield Check("journal", False, error.message, error.hint)


def _late(folder: Path) -> Check:
    names = waiting(folder)
    if not names:
        return Check("events", True, "none waits")
    age = int(time.time() - int(names[0][:20]) / 1e6)
    return Check(
        "events", age < LATE_S, f"{len(names)} wait, the oldest for {age} s", "clawvm hook ingest takes them"
    )


def _problems(folder: Path) -> Iterator[Check]:
    lines: list[str] = []
    for name in (PROBLEMS, spool.ROOM):
        try:
            lines += read_regular(folder / name).decode(errors="replace").splitlines()[-SHOWN:]
        except FileNotFoundError:
            continue
        except OSError as error:
            yield Check("problem", False, f"{folder / name}: {error.strerror}", "take it away")
    for line in lines:
        if line.strip():
            yield Check("problem", False, line.strip()[:WIDEST], "clawvm doctor --forget, when it is mended")
