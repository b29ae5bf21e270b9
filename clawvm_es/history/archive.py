"""An archive: a folder of closed sessions in bundles, which are packed, signed, and verified before they are named.

LAW-ARCHIVE-1: every bundle in the folder is whole and was verified from its bytes on the disk.
A run ends, before it writes anything, if a bundle in the folder is not as it was made.
LAW-ARCHIVE-2: an archived session is not written again, and the journal does not change.
LAW-ARCHIVE-3: if a text of an archived session is erased later, a new bundle is written without it and the old
removed.
LAW-ARCHIVE-4: a bundle that left the folder is told by its name: `index` lists those that must be there.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from clawvm_es import files, verify_bundle
from clawvm_es.errors import AnchorRefused, UnreadableInput, UsageError
from clawvm_es.history.bundle import bundle
from clawvm_es.history.bundle_reading import ids_in_bundle
from clawvm_es.journal.anchors import SecretKey, take_checkpoint
from clawvm_es.journal.bundled import Header
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.events import SCOPE_PREFIX, ContentRedacted
from clawvm_es.storage.bundles import backend, index, reading

EVENTS_AT_ONCE: Final = 20_000
"""Events after which a bundle is full; making one reads all hashes of the log."""

Progress = Callable[[int, int], None]


@attrs.frozen
class Held:
    """One bundle of an archive."""

    path: str
    header: Header


@attrs.frozen
class Written:
    """A bundle that was written: its sessions, its size in bytes, packed and unpacked."""

    path: str
    sessions: tuple[str, ...]
    size_bytes: int
    unpacked_bytes: int


@attrs.define
class Archive:
    """A folder of bundles of one journal. Raises `UsageError` if it holds bundles of another journal."""

    folder: str
    log: EventLog
    held: list[Held] = attrs.field(factory=list)
    missing: tuple[str, ...] = ()
    """Bundles that the index lists and that are gone: their sessions are not held."""

    def __attrs_post_init__(self) -> None:
        """Check that each bundle is whole, and keep its first line. Raises `UnreadableInput`."""
        if os.path.exists(self.folder):
            self.held = [Held(path, _header(path)) for path in backend.bundles_in(self.folder)]
            self.missing = index.missing(self.folder)
        for each in self.held:
            if each.header.journal_id != self.log.journal_id:
                raise UsageError(
                    f"{each.path} is of journal {each.header.journal_id}, not of {self.log.journal_id}",
                    hint="name a folder for each journal",
                )

    def holds(self, session_id: str) -> bool:
        """Tell whether a bundle has the present state of a session."""
        head = self.log.head(session_id)
        return head is not None and any(
            listed.session_id == session_id and listed.last == head.version
            for each in self.held
            for listed in each.header.streams
        )

    def outdated(self) -> list[Held]:
        """The bundles with a stream from which something was erased after they were made."""
        erased: dict[str, int] = {}
        for each in self.held:
            for listed in each.header.streams:
                if listed.session_id not in erased:
                    erased[listed.session_id] = self._erased(listed.session_id)
        return [
            each
            for each in self.held
            if any(listed.last < erased[listed.session_id] for listed in each.header.streams)
        ]

    def _erased(self, session_id: str) -> int:
        """The version of a stream's last erasure; 0 if there is none."""
        rows = self.log.read(session_id)
        return max((row.version for row in rows if isinstance(row.data, ContentRedacted)), default=0)

    def write(
        self, sessions: Sequence[tuple[str, int]], key: SecretKey, progress: Progress | None = None
    ) -> Iterator[Written]:
        """Write sessions, each up to its number of events, to bundles as of one checkpoint."""
        if not sessions:
            return
        Path(self.folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        note, _ = take_checkpoint(self.log, key)
        done = 0
        for ids in _parts(sessions):
            yield self._write(ids, note, key)
            done += len(ids)
            if progress is not None:
                progress(done, len(sessions))

    def renew(self, key: SecretKey, progress: Progress | None = None) -> tuple[list[Written], list[str]]:
        """Write outdated bundles anew and remove the old ones; returns the written and the removed."""
        old = self.outdated()
        if not old:
            return [], []
        note, _ = take_checkpoint(self.log, key)
        made, gone = [], []
        for number, each in enumerate(old, 1):
            ids = ids_in_bundle(b"".join(reading.lines(each.path)).removesuffix(b"\n"), each.path)
            made.append(self._write([one for one in ids if not one.startswith(SCOPE_PREFIX)], note, key))
            self.list_bundles(without=each.path)
            os.unlink(each.path)
            files.sync_path(self.folder)
            gone.append(each.path)
            if progress is not None:
                progress(number, len(old))
        return made, gone

    def list_bundles(self, without: str = "") -> None:
        """Let the index list the bundles of the folder, but for one that is about to go."""
        if self.held:
            index.write(self.folder, [path for path in backend.bundles_in(self.folder) if path != without])

    def _write(self, ids: Sequence[str], note: bytes, key: SecretKey) -> Written:
        try:
            return self._made(ids, note, key)
        except OSError as error:
            raise files.named(error, self.folder) from error

    def _made(self, ids: Sequence[str], note: bytes, key: SecretKey) -> Written:
        fd, aside = tempfile.mkstemp(prefix=".", suffix=".part", dir=self.folder)
        digest, size = hashlib.sha256(), 0
        try:
            with os.fdopen(fd, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                for line in bundle(self.log, ids, note):
                    digest.update(line)
                    size += len(line)
                    packed.write(line)
            os.chmod(aside, files.PRIVATE)
            files.sync_path(aside)
            _verify(aside, key)
            path = os.path.join(self.folder, f"{digest.hexdigest()[:16]}{backend.PACKED}")
            os.replace(aside, path)
        except BaseException:
            os.unlink(aside)
            raise
        files.sync_path(self.folder)
        self.held.append(Held(path, _header(path)))
        self.list_bundles()
        return Written(path, tuple(ids), os.path.getsize(path), size)


def _header(path: str) -> Header:
    try:
        return reading.header(path)
    except UnreadableInput as error:
        raise UnreadableInput(error.message, hint="move it away; then its sessions are archived again") from error


def _verify(path: str, key: SecretKey) -> None:
    """Check a bundle as its receiver will. Raises `AnchorRefused`."""
    try:
        verify_bundle.verify(reading.lines(path), key.public.name, key.public.key)
    except verify_bundle.Bad as error:
        raise AnchorRefused("bundle", f"what was written does not verify: {error}") from error


def _parts(sessions: Sequence[tuple[str, int]]) -> Iterator[list[str]]:
    """Sessions in parts; a part is full at a number of events."""
    ids: list[str] = []
    events = 0
    for session_id, count in sessions:
        ids.append(session_id)
        events += count
        if events >= EVENTS_AT_ONCE:
            yield ids
            ids, events = [], 0
    if ids:
        yield ids


def note_archive(log: EventLog, folder: str) -> None:
    """Note beside a journal file where its archive is, so that an erasure can name it."""
    if log.kind == "sqlite" and (place := os.path.abspath(folder)) not in (known := files.archives_of(log.place)):
        files.write_whole(log.place + files.ARCHIVES, [os.fsencode(each) + b"\0" for each in (*known, place)])
