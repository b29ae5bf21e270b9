"""Install and uninstall: a harness's hooks, the spool beside the journal, and the record of the earlier settings."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec

from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UsageError
from clawvm_es.files import FOLLOWED, PRIVATE, SPOOL, write_whole
from clawvm_es.integrations import servers, settings, spool
from clawvm_es.integrations.harnesses import HARNESSES, Harness
from clawvm_es.integrations.ingest import LOCK, SESSIONS, alone, spool_of, take_quietly, waiting

ENGINE: Final = "engine.json"
BLANK: Final = b" " * (spool.ROOM_BYTES - 1) + b"\n"
"""Room for a failure, where none has happened."""
_OWN_FOLDER: Final = "clawvm"
"""Name of the folder in the platform's data folder."""
_BESIDE: Final = ("", "-wal", "-shm", "-journal", ".lock")
"""Endings of the files of a journal."""
TAKING_S: Final = 30.0
"""Time for which an uninstallation waits for a process that takes what hooks told, in seconds."""


class Installed(msgspec.Struct, frozen=True):
    """Change of a settings file by an installation: the SHA-256 of its new bytes, and whether the file existed.

    `made` means that the file's folder was made for it.
    """

    settings: str
    written: str
    existed: bool
    made: bool = False


@attrs.frozen
class Done:
    """Outcome for people: the changes, line by line; `hint` is what is left to do."""

    lines: tuple[str, ...]
    hint: str = ""


def harness_named(name: str) -> Harness:
    """The harness of that name. Raises `UsageError`."""
    if name not in HARNESSES:
        raise UsageError(f"unknown harness {name!r}", hint=f"one of {', '.join(HARNESSES)}")
    return HARNESSES[name]


def engine_command(*words: str) -> list[str]:
    """A verb as a command with this interpreter and this package, independent of the environment."""
    parent = str(Path(__file__).resolve().parents[2])
    code = f"import sys; sys.path.insert(0, {parent!r}); from clawvm_es.cli.main import main; main()"
    return [sys.executable, "-I", "-c", code, *words]


def install(name: str, journal: str) -> Done:
    """Copy the spool beside the journal and add its hooks to the harness's settings.

    Running it again changes nothing. Raises `UnreadableInput` if the settings are not JSON, `JournalError` if the
    journal cannot be written, and `OSError`; then the settings are unchanged, and no spool is left.
    """
    harness = harness_named(name)
    if "://" in journal or journal == "memory:":
        raise UsageError(f"{journal}: hooks need a journal in a file", hint="give --journal FILE")
    folder, path = spool_of(journal), settings.real(harness.settings_path())
    settings.read(path)
    servers.check(harness)
    Journal.open(journal, hide_secrets=True).close()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(folder, TAKING_S):  # beside it another harness may be uninstalled
        return _install(harness, journal, folder, path)


def _install(harness: Harness, journal: str, folder: Path, path: Path) -> Done:
    before, document = settings.read(path)
    made, lines = not path.parent.exists(), [f"journal {os.path.realpath(journal)}"]
    anew = _installed(folder, harness) is None
    _write_spool(folder, journal)
    command = settings.command_of(folder, harness.name)
    document_now = settings.with_ours(document, harness.events, command)
    if document_now == document:
        lines.append(f"{harness.title}: its hooks in {path} are as they should be")
        return Done((*lines, _server(harness, journal)), _hint(harness))
    for other in {each for _, each, _ in settings.ours(document)} - {folder}:
        lines.append(f"the hooks of {other} were replaced")
    data = settings.written(before, document_now)
    try:
        lines.extend(_write_settings(harness, folder, path, before, document, data, made))
    except OSError:
        if anew and not _let_go(folder, harness):
            with suppress(OSError):  # events wait in it
                folder.rmdir()
        raise
    return Done((*lines, _server(harness, journal)), _hint(harness))


def _server(harness: Harness, journal: str) -> str:
    """Add the MCP server where its extra is installed."""
    if find_spec("mcp") is None:
        return "no MCP server: pip install 'clawvm-es[mcp]', and run this again"
    return servers.register(harness, engine_command("mcp", "--journal", os.path.realpath(journal)))


def _write_spool(folder: Path, journal: str) -> None:
    os.chmod(folder, 0o700)
    write_whole(folder / settings.SCRIPT, [Path(spool.__file__).read_bytes()], PRIVATE)
    if not (folder / spool.ROOM).exists():
        write_whole(folder / spool.ROOM, [BLANK], PRIVATE)
    engine = {"command": engine_command("hook", "ingest", "--journal", os.path.realpath(journal))}
    write_whole(folder / ENGINE, [msgspec.json.encode(engine)], PRIVATE)


def _write_settings(
    harness: Harness,
    folder: Path,
    path: Path,
    before: bytes | None,
    document: dict[str, Any],
    data: bytes,
    made: bool,
) -> list[str]:
    """Keep the settings as they were without us, then write them as they are to be."""
    backup, manifest = _backup(folder, harness), _manifest(folder, harness)
    known, existed = _installed(folder, harness), before is not None
    if known is not None and before is not None and known.written == _digest(before):
        existed, made = known.existed, known.made  # we wrote them; what was before us is kept already
    elif before is not None:
        clean = settings.without_ours(document)
        write_whole(backup, [before if clean == document else settings.written(before, clean)], PRIVATE)
    write_whole(manifest, [msgspec.json.encode(Installed(str(path), _digest(data), existed, made))], PRIVATE)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [data], PRIVATE)
    lines = [f"{harness.title}: hooks {', '.join(harness.events)} in {path}"]
    return [*lines, f"the settings as they were: {backup}"] if existed else lines


def uninstall(name: str, journal: str, *, purge: bool = False) -> Done:
    """Remove our hooks from the harness's settings; the journal stays, with what still waited, unless it is purged.

    A process that is taking what hooks told is waited for.
    """
    harness = harness_named(name)
    path = settings.real(harness.settings_path())
    before, document = settings.read(path)
    folders = {folder for _, folder, _ in settings.ours(document)}
    folder = next(iter(folders)) if len(folders) == 1 else spool_of(journal)
    lines = []
    if folders:
        lines.append(_restore(harness, folder, path, before, document))
    else:
        lines.append(f"{harness.title}: none of our hooks are in {path}")
    lines.extend(line for line in [servers.unregister(harness)] if line)
    known = _installed(folder, harness)
    if known is not None and known.made:
        with suppress(OSError):  # the harness has put something into it, or it is gone
            path.parent.rmdir()
    if not purge:
        take_quietly(str(_journal(folder)), TAKING_S)
    with ExitStack() as taking:
        with suppress(OSError):  # the folder is gone, or cannot be written
            taking.enter_context(alone(folder, TAKING_S))
        others = _let_go(folder, harness)
        if others and purge:
            raise UsageError(f"{', '.join(others)} still writes to this journal", hint="uninstall it there first")
        if others:
            return Done((*lines, f"{', '.join(others)} goes on with {folder}"))
        return Done((*lines, *(_purge(folder) if purge else _left(folder))))


def _let_go(folder: Path, harness: Harness) -> list[str]:
    """Delete what an installation keeps beside the journal; returns the harnesses that still write to it."""
    for each in (_backup(folder, harness), _manifest(folder, harness)):
        each.unlink(missing_ok=True)
    others = [other.title for other in HARNESSES.values() if _manifest(folder, other).exists()]
    for file in () if others else (settings.SCRIPT, ENGINE, LOCK, SESSIONS, spool.ROOM):
        (folder / file).unlink(missing_ok=True)
    return others


def _restore(harness: Harness, folder: Path, path: Path, before: bytes | None, document: dict[str, Any]) -> str:
    """Write the settings as they were before, or as they are without us where somebody changed them since."""
    known, backup = _installed(folder, harness), _backup(folder, harness)
    if known is not None and before is not None and known.written == _digest(before):
        if not known.existed:
            path.unlink()
            return f"{harness.title}: {path} is gone, as before"
        if backup.exists():
            write_whole(path, [backup.read_bytes()], PRIVATE)
            return f"{harness.title}: {path} is as it was, to the byte"
    write_whole(path, [settings.written(before, settings.without_ours(document))], PRIVATE)
    return f"{harness.title}: our hooks are out of {path}; it was changed meanwhile, which stays"


def _left(folder: Path) -> list[str]:
    """Name what stays."""
    journal = _journal(folder)
    lines = [f"left: the journal {journal}"] if journal.exists() else []
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError:
        count = len(waiting(folder))
        lines.append(
            f"left: the spool {folder} with {count} events that no journal has" if count else f"left: {folder}"
        )
    return [*lines, "--purge deletes what is left"] if lines else lines


def _purge(folder: Path) -> list[str]:
    """Delete the spool, the journal and what stands beside it."""
    journal, gone = _journal(folder), []
    for path in [Path(f"{journal}{ending}") for ending in _BESIDE]:
        if path.is_file() or path.is_symlink():
            path.unlink()
            gone.append(str(path))
    for path in (folder, Path(f"{journal}{FOLLOWED}")):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
            gone.append(str(path))
    if journal.parent.name == _OWN_FOLDER:
        with suppress(OSError):  # it holds something else, too
            journal.parent.rmdir()
    return [f"deleted: {each}" for each in gone]


def _journal(folder: Path) -> Path:
    return folder.with_name(folder.name.removesuffix(SPOOL))


def _installed(folder: Path, harness: Harness) -> Installed | None:
    try:
        return msgspec.json.decode(_manifest(folder, harness).read_bytes(), type=Installed)
    except (OSError, msgspec.MsgspecError):
        return None


def _manifest(folder: Path, harness: Harness) -> Path:
    return folder / f"{harness.name}.installed"


def _backup(folder: Path, harness: Harness) -> Path:
    return folder / f"{harness.name}.settings"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hint(harness: Harness) -> str:
    if harness.name == "codex":
        return "Codex skips hooks that nobody trusted, without a word: type /hooks in it and trust these"
    return f"sessions of {harness.title} that are open now go on without; see clawvm doctor"
