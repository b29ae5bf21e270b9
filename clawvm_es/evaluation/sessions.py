"""All recorded sessions of a folder as workloads, kept in a cache so that an interrupted evaluation can continue.

Files are read independently. A file that cannot be read is reported with its reason. A session with an id that was
read before is a twin (recorded in two formats, for example): it is reported and left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import attrs

from clawvm_es.errors import ClawVMError, UnreadableInput
from clawvm_es.evaluation.split import origin
from clawvm_es.evaluation.workload import FRAMES, MESSAGES, Workload, from_recording
from clawvm_es.files import write_whole
from clawvm_es.fleet.processes import as_done
from clawvm_es.importers import Recording, openai_chat, read
from clawvm_es.model import events as e
from clawvm_es.representations.counter import counter

COUNTER: Final = "o200k_base"
"""Counter of the tokens of recorded sessions."""
CODING: Final = "coding"
CHAT: Final = "chat"
KINDS: Final = (CODING, CHAT)
"""Coding agents, whose sessions are long, and customer service in short chats (tau-bench): never pooled."""
_BUILT_BY: Final = (
    "errors.py",
    "limits.py",
    "model",
    "core",
    "representations",
    "journal",
    "engine",
    "observe",
    "importers",
)
"""Parts of the package that a workload follows from, beside those of the evaluation that make it."""

Progress = Callable[[int, int], None]
"""(files read, files in all)."""


@attrs.frozen
class Found:
    """One recorded session: its workload's file, and its figures.

    `digest` is of its inputs. `first_call_tokens` is the provider's count of the first model call less the tokens
    recorded by then: context that was never recorded; 0 if no count was reported. `origin` is shared with other
    sessions: the checkout, or the task. `renderer` says how the workload's tokens are counted; `page_tokens` are
    always those in frames, so that the same sessions count under every renderer.
    """

    name: str
    format: str
    origin: str
    source: str
    kept: str
    digest: str
    turns: int
    needs: int
    inputs: int
    page_tokens: int
    first_call_tokens: int
    renderer: str = FRAMES

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return CHAT if self.format == openai_chat.NAME else CODING

    @property
    def session(self) -> str:
        """The session that this one belongs to: itself, or the one whose agent started it."""
        return self.name.partition("/")[0]


@attrs.frozen
class Sessions:
    """Contents of a folder: the sessions, the reasons why other files were not read, and twins with the file that
    counts.

    A coding session appears once per renderer, a chat in frames only.
    """

    found: tuple[Found, ...]
    unread: Mapping[str, str]
    twins: Mapping[str, str]

    @property
    def each(self) -> tuple[Found, ...]:
        """Every session once, under any renderer."""
        return tuple({found.name: found for found in reversed(self.found)}.values())[::-1]


def load(folder: Path, kept: Path, workers: int = 1, progress: Progress | None = None) -> Sessions:
    """Every recorded session under `folder`; workloads are cached in folder `kept`.

    The result is the same for any number of workers. Raises `UnreadableInput` if there is no such folder.
    """
    if not folder.is_dir():
        raise UnreadableInput(f"{folder}: is no folder", hint="name a folder of recorded sessions")
    kept.mkdir(parents=True, exist_ok=True)
    files, unread = _listed(folder)
    rows: dict[Path, Mapping[str, Any]] = {}
    for done, (path, row) in enumerate(_rows(files, kept, workers), 1):
        rows[path] = row
        if progress is not None:
            progress(done, len(files))
    return _without_twins({path.relative_to(folder).as_posix(): rows[path] for path in files} | unread)


def _listed(folder: Path) -> tuple[list[Path], dict[str, Mapping[str, Any]]]:
    """Every file under a folder in order, and what else stands there that cannot be read, as rows with the reason."""
    files: list[Path] = []
    unread: dict[Path, str] = {}

    def note(error: OSError) -> None:
        unread[Path(error.filename)] = error.strerror or "cannot be read"

    for place, folders, names in os.walk(folder, onerror=note):
        unread |= {path: "is a link to a folder" for name in folders if (path := Path(place, name)).is_symlink()}
        for path in (Path(place, name) for name in names):
            try:
                if path.is_file():
                    files.append(path)
                else:
                    unread[path] = "is a link to nothing" if path.is_symlink() else "is no file"
            except OSError as error:
                note(error)
    return sorted(files), {path.relative_to(folder).as_posix(): {"unread": why} for path, why in unread.items()}


def _rows(files: Sequence[Path], kept: Path, workers: int) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield the contents of each file as they become known; the largest files are begun first."""
    largest = sorted(files, key=lambda path: (-path.stat().st_size, path))
    for place, row in as_done(read_file, [(path, kept) for path in largest], workers):
        yield largest[place], row


def _without_twins(rows: Mapping[str, Mapping[str, Any]]) -> Sessions:
    found: dict[tuple[str, str], Found] = {}
    twins: dict[str, str] = {}
    for source, row in rows.items():
        for fields in row.get("sessions", ()):
            session = Found(source=source, **fields)
            first = found.setdefault((session.name, session.renderer), session)
            if first is not session:
                twins[f"{source}: {session.name}"] = first.source
    unread = {source: row["unread"] for source, row in rows.items() if "unread" in row}
    return Sessions(tuple(found.values()), MappingProxyType(unread), MappingProxyType(twins))


def read_file(path: Path, kept: Path) -> Mapping[str, Any]:
    """Read a file, each workload into a file of its own in `kept`: `{"sessions": […]}` or `{"unread": reason}`.

    A cached result of the same content and code is reused.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        return {"unread": error.strerror or "cannot be read"}
    name = hashlib.sha256(code_digest().encode() + content).hexdigest()
    index = kept / f"{name}.json"
    try:
        row: Mapping[str, Any] = json.loads(index.read_bytes())
    except (OSError, ValueError):
        row = {}
    if not row or not all((kept / session["kept"]).exists() for session in row.get("sessions", ())):
        row = _read(path, kept, name)
        write_whole(index, [json.dumps(row).encode()])
    if "sessions" in row:
        return {"sessions": [{**session, "kept": str(kept / session["kept"])} for session in row["sessions"]]}
    return row


def _read(path: Path, kept: Path, name: str) -> Mapping[str, Any]:
    sessions: list[Mapping[str, Any]] = []
    try:
        recordings = read(path)
        origins = {recording.session_id: origin(recording) for recording in recordings if recording.linked_to is None}
        for number, recording in enumerate(recordings):
            origin_of = origins.get(recording.linked_to or "") or origin(recording)
            framed, workload = 0, None
            for renderer in _renderers(recording):
                workload = from_recording(recording, counter(COUNTER), renderer=renderer, like=workload)
                target = kept / f"{name}-{number}-{workload.renderer}.pickle"
                write_whole(target, [pickle.dumps(workload, protocol=5)])
                framed = framed or workload.page_tokens
                sessions.append({**_fields(workload, target), "origin": origin_of, "page_tokens": framed})
    except ClawVMError as error:
        return {"unread": error.message.removeprefix(f"{path}: ")}
    return {"sessions": sessions}


def _renderers(recording: Recording) -> tuple[str, ...]:
    """The renderers that a recording is counted by, frames first; a trace has its own."""
    if recording.opened is not None or recording.format == openai_chat.NAME:
        return (FRAMES,)
    return FRAMES, MESSAGES


def _fields(workload: Workload, kept: Path) -> Mapping[str, Any]:
    return {
        "name": workload.name,
        "format": workload.family,
        "kept": kept.name,
        "digest": hashlib.sha256(repr(workload.inputs).encode()).hexdigest(),
        "turns": workload.turns,
        "needs": sum(1 for _ in workload.all_needs()),
        "inputs": len(workload.inputs),
        "first_call_tokens": _first_call(workload),
        "renderer": workload.renderer,
    }


def _first_call(workload: Workload) -> int:
    """Tokens of the first call by the provider's count, beyond the pages written by then."""
    written: dict[str, int] = {}
    for data in workload.inputs:
        if isinstance(data, e.PageWritten):
            written[data.page_id] = data.levels[0].tokens
        elif isinstance(data, e.ModelResponded):
            return max(data.input_tokens - sum(written.values()), 0)
    return 0


@cache
def code_digest() -> str:
    """SHA-256 of the code that makes workloads: another version does not take what this one kept."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    parts = [*_BUILT_BY, "evaluation/workload.py", "evaluation/sessions.py", "evaluation/split.py"]
    for part in parts:
        place = root / part
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def workload(kept: str) -> Workload:
    """The workload that `load` stored in a file; the last one is cached in memory."""
    found: Workload = pickle.loads(Path(kept).read_bytes())
    return found
