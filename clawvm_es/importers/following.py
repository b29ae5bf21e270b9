"""Follow: import recorded files into a journal while they grow, by one process or many, each step at least once.

LAW-FOLLOW-1: following a file while it grows gives the same inputs under the same keys as importing the whole file.
The answer that is being written is held back until something follows it; `final` takes it, and writes the `save` that
ends an import.
LAW-FOLLOW-2: the journal alone decides what was already taken. A file whose beginning contradicts its session is
refused, and nothing is changed.

A file that begins with the rows of another session belongs to that session until a row names another id. Then it is
read again under that id, and the other session keeps its own rows.

For a file of lines, only new lines are parsed; its beginning is read to compare a digest. Other files are read again.
"""

from __future__ import annotations

import copy
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import attrs
import msgspec

from clawvm_es.engine.journal import Journal
from clawvm_es.errors import ClawVMError, JournalError, UnreadableInput, UsageError
from clawvm_es.importers import own_file, read, read_bytes
from clawvm_es.importers.detect import load
from clawvm_es.importers.ends import end_answers, find_end
from clawvm_es.importers.format import Growth, Part, Reader
from clawvm_es.importers.formats import FORMATS, TABLE
from clawvm_es.importers.given import Differs, Given
from clawvm_es.importers.growing import Line, Stamp, digest_upto, lines, open_text
from clawvm_es.importers.importing import SUFFIXES
from clawvm_es.importers.kept import Kept, Place
from clawvm_es.importers.recording import RecordedStep, Recording, Skips
from clawvm_es.importers.replay import Replayed, ReplaySettings, names_of, target
from clawvm_es.importers.rows import format_of
from clawvm_es.importers.streaming import read_one
from clawvm_es.observe.steps import ModelMessage, ToolResult

OPEN_FILES: Final = 4
"""Files whose state is held in memory between two passes; that of the others is kept in files or made again."""
LINES_AT_ONCE: Final = 256
"""Lines after which the steps so far are recorded."""
ENDS_MAX: Final = 64
"""Cuts of one file that were taken with `final`, or imported, before it had grown."""
AS_RECORDED: Final = ReplaySettings(as_recorded=True)


@attrs.frozen
class Followed:
    """Outcome of a pass: sessions with what was taken, files that were refused, and the number of unchanged files.

    `faults` are internal errors of this program, by file.
    """

    taken: tuple[Replayed, ...] = ()
    refused: Mapping[str, ClawVMError] = attrs.field(factory=dict)
    unchanged: int = 0
    faults: Mapping[str, Exception] = attrs.field(factory=dict)

    @property
    def appended(self) -> int:
        """Number of events appended."""
        return sum(each.appended for each in self.taken)


def follow(
    journal: Journal,
    path: str | os.PathLike[str],
    settings: ReplaySettings | None = None,
    *,
    format: str | None = None,
    final: bool = False,
) -> Followed:
    """Take what is new in a file, or in the files of a folder; `Follower` does so repeatedly.

    A single file raises its refusal: `UnreadableInput`, or `UsageError` if it was rewritten or is in the journal
    under other settings.
    """
    with Follower(journal, [path], settings, format=format, final=final) as follower:
        found = follower.once()
    errors = [*found.refused.values(), *found.faults.values()]
    if errors and not os.path.isdir(path):
        raise errors[0]
    return found


class Follower:
    """Files and folders that a journal follows. `once` makes one pass over them and finds new files."""

    def __init__(
        self,
        journal: Journal,
        paths: Iterable[str | os.PathLike[str]],
        settings: ReplaySettings | None = None,
        *,
        format: str | None = None,
        final: bool = False,
        answered: bool = False,
    ) -> None:
        """Follow `paths`; by default sessions are recorded as their harness had them, as an import does.

        `answered` means that the last answer in the files is complete, because the harness said that it stopped.
        """
        if format is not None and format not in FORMATS:
            raise UsageError(f"unknown format {format!r}", hint=f"one of {', '.join(FORMATS)}")
        self.journal = journal
        self.paths = [os.fspath(path) for path in paths]
        self.settings = AS_RECORDED if settings is None else settings
        self.format = format
        self.final = final
        self.answered = answered
        way = msgspec.json.encode((self.settings, format), order="deterministic").decode()
        self._kept = Kept.beside(journal.log.place, way, journal.hide_secrets)
        self._seen: dict[str, Stamp] = {}
        self._beside: dict[str, None] = {}  # own files of subagents that followed files show
        self._open: OrderedDict[str, tuple[Place, dict[str, Given]]] = OrderedDict()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the sessions; the journal stays open."""
        while self._open:
            self._let_go()

    def once(self) -> Followed:
        """Take what is new in all files. A refused file stops no other, and is reported once."""
        taken: list[Replayed] = []
        refused: dict[str, ClawVMError] = {}
        faults: dict[str, Exception] = {}
        unchanged = 0
        for path, there in self._looked_at():
            if there is None:
                refused.update(self._missing(path))
                continue
            stamp = Stamp.of(there)
            if self._seen.get(path) == stamp or self._is_kept(path, stamp):
                self._seen[path] = stamp
                unchanged += 1
                continue
            try:
                taken.extend(self._take(path, stamp))
            except JournalError:
                raise
            except OSError as error:
                refused[path] = UnreadableInput(
                    f"{path}: {error.strerror or 'cannot be read'}", hint="check its permissions"
                )
            except ClawVMError as error:
                refused[path] = error
            except Exception as error:  # told by the caller; the other files are no worse for it
                faults[path] = error
            self._seen[path] = stamp
        if any(each.appended for each in taken):
            self.journal.catch_up()
        return Followed(tuple(taken), refused, unchanged, faults)

    def _looked_at(self) -> Iterator[tuple[str, os.stat_result | None]]:
        """The files of a pass, each once; subagents' own files come last."""
        seen: set[str] = set()
        for paths in (self.paths, self._beside):
            for path, there in _files(list(paths)):
                if path not in seen:
                    seen.add(path)
                    yield path, there

    def _missing(self, path: str) -> dict[str, ClawVMError]:
        """The refusal of a path that does not exist, reported until something is there."""
        nothing = Stamp(-1, 0, 0)
        if self._seen.get(path) == nothing:
            return {}
        self._seen[path] = nothing
        if os.path.lexists(path):
            return {path: UnreadableInput(f"{path}: cannot be read", hint="check its permissions")}
        return {path: UnreadableInput(f"{path}: no such file or folder", hint="check the path")}

    def _is_kept(self, path: str, stamp: Stamp) -> bool:
        """Tell whether an earlier run took a whole file into this very journal."""
        again = self.answered or path in self._seen
        found = None if again else self._kept.unchanged(path, stamp, self.final)
        if found is None or not self._holds(found.given):
            return False
        self._beside.update(dict.fromkeys(found.beside))
        return True

    def _holds(self, given: Mapping[str, int]) -> bool:
        return all(self.journal.log.find(each, f"i:{number}") for each, number in given.items())

    # ------------------------------------------------------------------------------------ one file

    def _take(self, path: str, stamp: Stamp) -> list[Replayed]:
        """Take what is new in a file; if it does not continue what was taken, read it from the beginning."""
        place, given = self._open.pop(path, (None, {}))
        again: _Again | None = None
        try:
            while True:
                try:
                    return self._take_once(path, stamp, place, given, again)
                except _Renamed:
                    again = attrs.evolve(again or _Again(), at_once=True)
                except Differs as differs:
                    again = self._reading_again(path, differs, again or _Again())
                place = None
        except BaseException:
            self._forget(path, given)
            raise

    def _reading_again(self, path: str, differs: Differs, again: _Again) -> _Again:
        """Read the file again, with an answer ended where it was taken too early.

        A subagent that is recorded differently is left alone: another file shows more of it. Raises `UsageError` if
        the file was rewritten.
        """
        end = find_end(path, differs, again.ended, self.format) if len(again.ended) < ENDS_MAX else None
        if end is not None:
            return attrs.evolve(again, ended=again.ended | {end})
        if differs.linked and differs.recorded_id not in again.shown:
            return attrs.evolve(again, shown=again.shown | {differs.recorded_id})
        raise UsageError(
            f"{path}: this file was rewritten at line {differs.line}; session {differs.session_id} is left as it is",
            hint="use --as NAME, or --reimport NAME, to take the file beside it",
        ) from differs

    def _take_once(
        self, path: str, stamp: Stamp, place: Place | None, given: dict[str, Given], again: _Again | None
    ) -> list[Replayed]:
        with open_text(path) as file:
            place = place or (self._kept.load(path) if again is None else None)
            if place is not None and not self._fits(place, file):
                place = None
            if place is None:
                self._let_go_of(given)
                found = format_of(path, file, self.format, self.final)
                if found is None:
                    return []
                (format_, reader), again = found, again or _Again()
                state = reader.begin() if reader else None
                place = Place(format_, state, ended=set(again.ended), shown=set(again.shown))
            reader = TABLE[place.format].reader
            if reader is None or place.state is None:
                return self._take_again(path, place, given, stamp)
            at_once = again is not None and again.at_once
            try:
                return self._take_lines(path, file, place, given, reader, stamp, at_once=at_once)
            except _Unnamed:
                return self._take_again(path, Place(place.format, None), given, stamp)

    def _fits(self, place: Place, file: BinaryIO) -> bool:
        """Tell whether a file still begins with what was taken, and the journal holds what was given for it."""
        return digest_upto(file, place.end).hexdigest() == place.digest and self._holds(place.given)

    # --------------------------------------------------------------------------------------- lines

    def _take_lines(
        self,
        path: str,
        file: BinaryIO,
        place: Place,
        given: dict[str, Given],
        reader: Reader,
        stamp: Stamp,
        *,
        at_once: bool,
    ) -> list[Replayed]:
        digest = digest_upto(file, place.end)
        skips, torn = Skips(), None
        for line in lines(file, place.line, place.end, digest):
            torn = None if line.whole else line
            if torn and not self.final:
                break
            read_one(reader, place.state, line, skips)
            if line.whole:
                place.line, place.end, place.digest = line.number, line.end, digest.hexdigest()
            end_answers(reader, place.state, place.ended, line.number)
            if line.number % LINES_AT_ONCE == 0 and not at_once:
                self._drain(path, place, given, reader)
        thinks = self.final and any(part.into.unsaid for part in reader.parts(place.state))
        if self.final or self.answered:
            for part in reader.parts(place.state):
                if part.into.open or self.final:
                    part.into.flush()
                    place.ended.add((part.session_id, place.line))
        self._drain(path, place, given, reader, final=self.final)
        self._check_length(path, place, given, reader, None if self.final else torn, stamp)
        found = [each.told(path, place.format, skips) for each in given.values()]
        found += [Replayed(place.names[name], path, place.format, 0, {}, shown=True) for name in sorted(place.shown)]
        place.stamp, place.final = stamp, self.final
        resumable = not self.final or (torn is None and not thinks)
        self._kept.save(path, place, resumable=resumable)
        if resumable:
            self._open[path] = (place, given)
            while len(self._open) > OPEN_FILES:
                self._let_go()
        else:
            self._let_go_of(given)
        return found

    def _check_length(
        self, path: str, place: Place, given: dict[str, Given], reader: Reader, torn: Line | None, stamp: Stamp
    ) -> None:
        """Refuse a file that is shorter than its session, unless it has grown meanwhile."""
        beyond = {name: each for name, each in given.items() if each.goes_on()}
        if not beyond:
            return
        state = copy.deepcopy(place.state)
        if torn is not None:
            read_one(reader, state, torn, Skips())
        for part in reader.parts(state):
            part.into.flush()
            each = beyond.get(part.session_id)
            if each is not None and each.goes_on(part.into.take()) and Stamp.of(os.stat(path)) == stamp:
                raise Differs(each, None, place.line + 1)

    def _drain(
        self, path: str, place: Place, given: dict[str, Given], reader: Reader, *, final: bool = False
    ) -> None:
        """Record the complete steps of all sessions. A session without an id is held back until a row names it."""
        every = reader.parts(place.state)
        if not place.names.keys() <= {part.session_id for part in every} | place.shown:
            raise _Renamed
        here = [part for part in every if not self._elsewhere(path, part, place)]
        parts = [part for part in here if part.into.steps or part.session_id in given or final]
        if not parts:
            return
        if any(not part.session_id for part in parts):
            if final:
                raise _Unnamed
            return
        stubs = {part.session_id: _stub(part, place.format, path) for part in every}
        names = names_of(list(stubs.values()), self.settings.name)
        for part in parts:
            if part.into.began_us is None and not final:
                continue
            if place.names.setdefault(part.session_id, names[part.session_id]) != names[part.session_id]:
                raise UsageError(f"{path}: holds several sessions", hint="follow it without --as")
            if part.session_id in place.shown:
                continue
            to = given.get(part.session_id)
            if to is None:
                to = given[part.session_id] = self._given(stubs[part.session_id], names, place)
            to.skipped.update(part.into.skipped)
            part.into.skipped = Skips()
            to.give(part.into.take(), place)
            if final:
                to.save(place)

    def _elsewhere(self, path: str, part: Part, place: Place) -> bool:
        """Tell whether a subagent shown in a file has a file of its own, which is followed too."""
        own = own_file(Path(path), part.session_id) if part.partial else None
        if own is not None:
            place.beside.add(str(own))
            self._beside[str(own)] = None
        return own is not None

    def _given(self, recording: Recording, names: Mapping[str, str], place: Place) -> Given:
        """The journal's session, to be continued."""
        found = target(self.journal, recording, names, self.settings)
        return Given.open(self.journal, recording, found, self.settings, place)

    # ----------------------------------------------------------------------------------- documents

    def _take_again(self, path: str, place: Place, given: dict[str, Given], stamp: Stamp) -> list[Replayed]:
        """Read a file again that does not consist of lines; its last answer is held back."""
        row = TABLE[place.format]
        if row.growth is not Growth.READ_AGAIN and not self.final:
            raise UnreadableInput(
                f"{path}: a file of format {row.name} cannot be followed: {row.growth.value}",
                hint="import it, or follow it with --final, when it is complete",
            )
        recordings = self._read_again(path, place.format)
        names = names_of(recordings, self.settings.name)
        found: list[Replayed] = []
        for recording in recordings:
            steps = recording.steps if self.final else settled(recording.steps)
            if not (self.final or recording.opened or any(isinstance(step, ModelMessage) for step in steps)):
                continue
            place.given.pop(names[recording.session_id], None)
            with self._given(recording, names, place) as to:
                to.give(steps, place)
                if self.final:
                    to.save(place)
                found.append(attrs.evolve(to.told(path, place.format, Skips()), skipped=recording.skipped))
        place.stamp, place.final = stamp, self.final
        self._kept.save(path, place, resumable=False)
        return found

    def _read_again(self, path: str, format_: str) -> tuple[Recording, ...]:
        """The sessions of a file, without an incomplete last line."""
        try:
            return read(Path(path), format_)
        except UnreadableInput:
            data = load(Path(path))
            end = data.rfind(b"\n") + 1
            if self.final or end in (0, len(data)):
                raise
            return read_bytes(data[:end], path, format_)

    # ------------------------------------------------------------------------------------- letting go

    def _let_go(self) -> None:
        _, (_, given) = self._open.popitem(last=False)
        self._let_go_of(given)

    @staticmethod
    def _let_go_of(given: dict[str, Given]) -> None:
        for each in given.values():
            each.close()
        given.clear()

    def _forget(self, path: str, given: dict[str, Given]) -> None:
        """Drop what is known of a file that could not be taken."""
        self._let_go_of(given)
        self._open.pop(path, None)


def settled(steps: Sequence[RecordedStep]) -> Sequence[RecordedStep]:
    """The steps before the last answer, unless more than its results follows it."""
    last = next((n for n in range(len(steps) - 1, -1, -1) if isinstance(steps[n], ModelMessage)), None)
    if last is None or not all(isinstance(step, ToolResult) for step in steps[last + 1 :]):
        return steps
    return steps[:last]


def _stub(part: Part, format_: str, path: str) -> Recording:
    """A session of a file without its steps."""
    return Recording(
        part.session_id,
        format_,
        (),
        part.into.began_us or 0,
        linked_to=part.linked_to,
        source=path,
        resumed_from=part.resumed_from,
        cwd=part.into.folder,
    )


def _files(paths: Iterable[str]) -> Iterator[tuple[str, os.stat_result | None]]:
    """The files that paths mean, with their `stat`; folders are searched in order of names, links not followed."""
    for path in paths:
        try:
            there = os.stat(path)
        except OSError:
            yield path, None
            continue
        if not os.path.isdir(path):
            yield path, there
            continue
        unread: list[OSError] = []
        for folder, folders, names in os.walk(path, onerror=unread.append):
            folders.sort()
            for name in sorted(names):
                inside = os.path.join(folder, name)
                if name.lower().endswith(SUFFIXES):
                    try:
                        yield inside, os.stat(inside)
                    except OSError:  # it is gone again
                        continue
        yield from ((os.fspath(error.filename), None) for error in unread if error.filename)


class _Renamed(Exception):
    """A session has another id than the one under which its steps were recorded: it continued under a new id."""


class _Unnamed(Exception):
    """No row of a whole file names its session: as in an import, its content does."""


@attrs.frozen
class _Again:
    """Another reading of a file from its beginning: where answers end, and which subagents are left alone.

    With `at_once`, nothing is recorded before all is read, so that sessions get their final ids.
    """

    ended: frozenset[tuple[str, int]] = frozenset()
    shown: frozenset[str] = frozenset()
    at_once: bool = False
