"""Record the reports of hooks, and the transcripts beside them, in the journal, each fact once.

The transcript is the source of what happened. A hook says when to read it, and reports facts that it lacks: the
loaded rules, a compaction (whose row is not in the file yet), and the end of the session.

LAW-INGEST-1: events may come twice, late, in parallel or not at all. In the end the journal holds what an import of
the transcript gives, plus inputs with a source (`told_by`), and saves.
LAW-INGEST-2: a file of the spool is deleted only after the journal holds its event.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs
import msgspec

from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.errors import ClawVMError, JournalError, UsageError
from clawvm_es.files import CLOEXEC, NOFOLLOW, NONBLOCK, PRIVATE, SPOOL, read_regular, write_whole
from clawvm_es.importers.following import AS_RECORDED, Follower
from clawvm_es.importers.given import Given
from clawvm_es.importers.kept import Place
from clawvm_es.importers.recording import Recording
from clawvm_es.importers.replay import LIVE, escaped, target
from clawvm_es.integrations.harnesses import CLAUDE_CODE, HARNESSES, Harness, read_rules
from clawvm_es.integrations.restored import restored
from clawvm_es.integrations.spool import tell
from clawvm_es.journal.lineage import read_back
from clawvm_es.model.commands import Command
from clawvm_es.model.events import SCOPE_PREFIX, BoundaryReached, TurnBegan
from clawvm_es.model.facts import Boundary, Cut, ToldBy, Trigger
from clawvm_es.observe.steps import ContextDropped, RulesLoaded

PROBLEMS: Final = "problems.log"
LOCK: Final = "lock"
SESSIONS: Final = "sessions.json"
FOLDERS_MAX: Final = 500
"""Folders whose newest session is known."""
PROBLEMS_BYTES_MAX: Final = 1 << 16
RECORDS_AT_ONCE: Final = 2_000
TORN_AFTER_S: Final = 60
"""Age of a file that no whole event stands in, after which it will never be whole."""
_RECORD = re.compile(r"\d{20}-\d+\.json")
_WHOLE: Final = ("Stop", "PreCompact", "SessionEnd", "SessionStart")
"""Events at which the model has ended its answer."""


class Told(msgspec.Struct, frozen=True):
    """One hook event, as the spool keeps it; `size` is that of the transcript at the time, -1 if there was none."""

    at_us: int
    harness: str
    event: str
    session: str
    size: int
    payload: dict[str, str]
    path: str = ""

    @property
    def transcript(self) -> str:
        """The path of the session's transcript."""
        return self.payload.get("transcript_path", "")

    def is_start(self, *sources: str) -> bool:
        """Tell whether a session started, in one of these ways."""
        return self.event == "SessionStart" and self.payload.get("source", "startup") in sources


@attrs.define
class Ingested:
    """Outcome: events taken, events appended to the journal, the text for the waiting harness, and failures."""

    taken: int = 0
    appended: int = 0
    context: str = ""
    problems: list[str] = attrs.field(factory=list)


def spool_of(journal: str | os.PathLike[str]) -> Path:
    """The spool's folder of the journal at a path."""
    return Path(os.path.realpath(journal) + SPOOL)


def waiting(folder: Path) -> list[str]:
    """The files of events not yet recorded, oldest first."""
    try:
        return sorted(name for name in os.listdir(folder) if _RECORD.fullmatch(name))
    except OSError:
        return []


def ingest(journal: Journal, *, answering: str | None = None, wait_s: float = 0.0) -> Ingested:
    """Record all events that wait in the journal's spool.

    `answering` is the file of the event whose harness waits for a text. If another process is recording them and does
    not finish within `wait_s` seconds, nothing is recorded; nor is it if the journal has no spool. Raises
    `JournalError` if the journal cannot be written.
    """
    found, folder = Ingested(), spool_of(journal.log.place)
    if not os.path.lexists(folder):
        return found
    with alone(folder, wait_s) as held:
        if not held:
            found.problems.append("another process was taking what hooks told")
            return found
        for told in _by_session(folder, found).values():
            try:
                _take(journal, told, answering, found)
            except (JournalError, OSError) as error:
                note(folder, str(error))
                raise
            except ClawVMError as error:
                found.problems.append(f"session {told[0].session}: {error.message}")
            _remember(folder, told)
            found.taken += len(told)
            for each in told:
                Path(each.path).unlink(missing_ok=True)
    for problem in found.problems:
        note(folder, problem)
    return found


def note(folder: Path, problem: str) -> bool:
    """Keep a failure for `clawvm doctor`, among the newest ones. Returns False if that fails, too.

    On a full disk, the newest failure is written into the room that the installation reserved.
    """
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {problem}".replace("\n", " ")[:500] + "\n"
    try:
        path = folder / PROBLEMS
        if path.exists() and path.stat().st_size > PROBLEMS_BYTES_MAX:
            os.replace(path, folder / (PROBLEMS + ".old"))
        with open(
            os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | CLOEXEC | NOFOLLOW | NONBLOCK, PRIVATE), "a"
        ) as file:
            file.write(line)
    except OSError:
        return tell(str(folder), line)
    return True


@contextmanager
def alone(folder: Path, wait_s: float) -> Iterator[bool]:
    """Hold the spool's lock, if it is free within a time in seconds. Raises `OSError` if it cannot be made."""
    path, until = folder / LOCK, time.monotonic() + wait_s
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | CLOEXEC | NOFOLLOW, PRIVATE)
        try:
            held = _locked(fd, until)
            if not held or _is_at(fd, path):
                yield held
                return
        finally:
            os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    """Tell whether an open file is still the one at a path: an uninstallation deletes the lock file."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), os.stat(path))
    return False


def _locked(fd: int, until: float) -> bool:
    import fcntl  # where there is none, there are no hooks either

    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)


def _by_session(folder: Path, found: Ingested) -> Mapping[tuple[str, str], list[Told]]:
    """The events of each session, in their order; a file that will never hold an event is dropped."""
    sessions: dict[tuple[str, str], list[Told]] = {}
    for name in waiting(folder)[:RECORDS_AT_ONCE]:
        path = folder / name
        try:
            told = msgspec.json.decode(read_regular(path), type=Told)
        except FileNotFoundError:
            continue
        except (OSError, msgspec.MsgspecError) as error:
            if time.time() - os.lstat(path).st_mtime > TORN_AFTER_S:
                found.problems.append(f"{name}: no event of a hook: {error}")
                path.unlink(missing_ok=True)
            continue
        told = msgspec.structs.replace(told, path=str(path), session=escaped(told.session))
        if told.harness in HARNESSES and told.session:
            sessions.setdefault((told.harness, told.session), []).append(told)
        else:
            found.problems.append(f"{name}: of no harness that is known: {told.harness!r:.40}")
            path.unlink(missing_ok=True)
    return sessions


# -------------------------------------------------------------------------------------------- one session


def _take(journal: Journal, told: list[Told], answering: str | None, found: Ingested) -> None:
    """Take the events of one session, and what its transcript says by now."""
    harness, session_id = HARNESSES[told[0].harness], told[0].session
    if session_id.startswith(SCOPE_PREFIX):
        raise UsageError(f"{SCOPE_PREFIX} names the streams of shared scopes")
    started = next((each for each in told if each.is_start("startup", "clear")), None)
    if started is not None and journal.opened(session_id) is None:
        found.appended += _open(journal, harness, started)
        found.appended += _tell(journal, harness, [started], None, found)
    transcript = next((each.transcript for each in reversed(told) if each.transcript), "")
    if transcript:
        whole = any(each.event in _WHOLE for each in told)
        found.appended += _follow(journal, harness, transcript, whole, found)
    if journal.opened(session_id) is not None:
        found.appended += _tell(journal, harness, told, answering, found)


def _open(journal: Journal, harness: Harness, start: Told) -> int:
    """Open a session of which no transcript says anything yet, as its import will find it."""
    recording = Recording(
        start.session, harness.format, (), start.at_us, source=start.transcript, cwd=start.payload.get("cwd", "")
    )
    names = {start.session: start.session}
    into = target(journal, recording, names, AS_RECORDED)
    with Given.open(journal, recording, into, AS_RECORDED, Place(harness.format, None)) as given:
        return given.appended


def _follow(journal: Journal, harness: Harness, transcript: str, whole: bool, found: Ingested) -> int:
    """Take what is new in a transcript; ignore one that does not exist yet."""
    if not os.path.isfile(transcript):
        if os.path.lexists(transcript):  # a pipe would be waited for, and of a folder all files be taken
            found.problems.append(f"{transcript}: this transcript is no file")
        return 0
    with Follower(journal, [transcript], AS_RECORDED, format=harness.format, answered=whole) as follower:
        followed = follower.once()
    found.problems.extend(error.message for error in followed.refused.values())
    for path, fault in followed.faults.items():
        found.problems.append(f"{path}: {type(fault).__name__}: {fault}")
    return followed.appended


def _tell(journal: Journal, harness: Harness, told: list[Told], answering: str | None, found: Ingested) -> int:
    """Record what only the hooks tell."""
    session_id, appended = told[0].session, 0
    opened = journal.opened(session_id)
    assert opened is not None
    with journal.resume(session_id, opened.counter, hides_secrets=opened.hides_secrets, reopens=True) as session:
        appended += mark_live(journal, session, told[0].at_us)
        for each in told:
            appended += _rules(session, harness, each)
            if each.is_start("compact"):
                new, first = _compacted(journal, session, each)
                appended += new
                if each.path == answering and first:
                    found.context = restored(journal, session, harness)
        if any(each.event in ("PreCompact", "SessionEnd") for each in told) and session.state.dirty:
            session.save()
    return appended


def mark_live(journal: Journal, session: Session, at_us: int) -> int:
    """Begin the part of a session that hooks report: from here on others than the transcript's importer write it."""
    if journal.log.find(session.session_id, LIVE):
        return 0
    saved = BoundaryReached(Boundary.SAVE, Trigger.CALLER, told_by=ToldBy.HOOK)
    return session.execute(Command(saved, at_us, idempotency_key=LIVE)).appended


def _rules(session: Session, harness: Harness, told: Told) -> int:
    """The files of rules that the harness has loaded, as its transcripts tell them: those of Claude Code trimmed."""
    files: list[tuple[str, str]] = []
    if told.event == "SessionStart":
        files = list(harness.loaded(told.payload.get("cwd", "")))
    elif told.event == "InstructionsLoaded" and (path := told.payload.get("file_path", "")):
        files = [(path, read_rules(path))]
    if harness is CLAUDE_CODE:
        files = [(path, text.strip()) for path, text in files]
    steps = [RulesLoaded(text, path, at_us=told.at_us) for path, text in files if text.strip()]
    return sum(session.observe(step).appended for step in steps)


def _compacted(journal: Journal, session: Session, told: Told) -> tuple[int, bool]:
    """Record a compaction, unless its row told it; tells whether the hook tells of it for the first time.

    Claude Code writes the row after its hook was answered, Codex before.
    """
    try:
        grown = os.stat(told.transcript).st_size > told.size
    except OSError:
        grown = False
    if grown:
        return 0, True
    key = f"hook:compact:{told.size}" if told.size >= 0 else f"hook:compact:at:{told.at_us}"
    if journal.log.find(session.session_id, key):
        return 0, False
    if _has_row(journal, session):
        saved = BoundaryReached(Boundary.SAVE, Trigger.CALLER, told_by=ToldBy.HOOK)
        appended = session.execute(Command(saved, told.at_us, idempotency_key=key)).appended
    else:
        dropped = ContextDropped(Boundary.COMPACT, at_us=told.at_us, cut=Cut.COMPACT, told_by=ToldBy.HOOK)
        appended = session.observe(dropped, key=key).appended
    return appended, appended > 0


def _has_row(journal: Journal, session: Session) -> bool:
    """Tell whether the transcript told of a compaction after which no turn has begun."""
    for row in read_back(journal.log, session.session_id, session.state.version):
        if isinstance(row.data, BoundaryReached) and row.data.boundary is Boundary.COMPACT:
            return row.data.told_by is None
        if isinstance(row.data, TurnBegan):
            return False
    return False


def _remember(folder: Path, told: list[Told]) -> None:
    """Note which session is the newest of its folder, for servers that run in it."""
    known = _sessions(folder)
    for each in told:
        if cwd := each.payload.get("cwd"):
            known.pop(cwd, None)
            known[cwd] = each.session
    newest = dict(list(known.items())[-FOLDERS_MAX:])
    write_whole(folder / SESSIONS, [msgspec.json.encode(newest)], PRIVATE)


def _sessions(folder: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(read_regular(folder / SESSIONS), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}


def newest(folder: Path, cwd: str) -> str | None:
    """The newest session that hooks reported for an agent's folder, or for one above it; None if there is none."""
    known = _sessions(folder)
    places = (str(place) for place in (Path(cwd), *Path(cwd).parents))
    return next((known[place] for place in places if place in known), None)


def take_quietly(path: str, wait_s: float = 0.0) -> None:
    """Record waiting events for the journal at a path before a verb reads it; failures go to `clawvm doctor`.

    Another process that takes them is waited for at most `wait_s` seconds.
    """
    folder = spool_of(path)
    if not waiting(folder) or not os.path.exists(path):
        return
    try:
        with Journal.open(path, wait_s=max(wait_s, 0.5), hide_secrets=True) as journal:
            ingest(journal, wait_s=wait_s)
    except Exception as error:  # the verb itself says what is wrong with the journal
        note(folder, f"{type(error).__name__}: {error}")
