"""Replay the recorded sessions of a file through the engine into a journal, in batches of whole transactions.

A session that is already in the journal continues at the end of its stream. The same file under the same settings
appends nothing, and is not even read if neither it nor its sessions changed (`known`). A file that has grown appends
what is new.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
from msgspec.structs import replace

from clawvm_es import limits
from clawvm_es.core.budget import RECORDED_BUDGET
from clawvm_es.core.decide import DECIDER_VERSION
from clawvm_es.core.profiles import CLAWVM, RECORDED
from clawvm_es.engine.given import path as named
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.errors import IdempotencyConflict, UsageError
from clawvm_es.importers import commands, own_file, read, trace
from clawvm_es.importers.formats import TABLE
from clawvm_es.importers.known import KnownFiles, Taken
from clawvm_es.importers.recording import Recording
from clawvm_es.journal.admission import check_text, odd_text
from clawvm_es.journal.ports import Durability, Vault
from clawvm_es.model.commands import Command
from clawvm_es.model.events import SCOPE_PREFIX, BoundaryReached, SessionOpened, TurnBegan
from clawvm_es.model.facts import Boundary, OnPressure, Trigger
from clawvm_es.model.profile import Profile
from clawvm_es.observe.edge import Edge
from clawvm_es.observe.tools import Tool
from clawvm_es.representations.counter import counter as counter_named
from clawvm_es.representations.visible import visible

LIVE: Final = "live"
"""Key of the first input that others than its importer wrote to a recorded session: hooks told it."""
Progress = Callable[[str, int, int], None]
"""(session id, steps done, steps in all)."""


@attrs.frozen
class ReplaySettings:
    """Settings for a replay of recorded sessions; with None, a `clawvm-trace` keeps its own.

    `renderer` makes the prompts (None: frames). `tools` are added to those of the recording harness; they replace
    tools of the same name. With `as_recorded` a session follows the harness's own residency; a trace, which holds its
    opening, does not.
    """

    policy: Profile | None = None
    budget_tokens: int | None = None
    counter: str | None = None
    fixed_tokens: int | None = None
    project: str | None = None
    name: str | None = None
    tools: Sequence[Tool] = ()
    as_recorded: bool = False
    renderer: str | None = None


@attrs.frozen
class Replayed:
    """Outcome of one recorded session: its id, the number of events appended, and skips with reasons and lines.

    `skipped_lines` are the first lines of each reason. `recorded_by` is the importer's version, if another version
    recorded the session; the session is then left alone. `shown` means that another file, recorded first, shows the
    same run of a subagent; it is then left alone, too.
    """

    session_id: str
    source: str
    format: str
    appended: int
    skipped: Mapping[str, int]
    skipped_lines: Mapping[str, tuple[int, ...]] = attrs.field(factory=dict)
    recorded_by: int | None = None
    shown: bool = False


def replay(
    journal: Journal,
    path: str | os.PathLike[str],
    settings: ReplaySettings | None = None,
    *,
    format: str | None = None,
    progress: Progress | None = None,
    again: bool = False,
) -> tuple[Replayed, ...]:
    """Replay all sessions of a recorded file into `journal`, and advance its read models.

    A session recorded by another version of the importer is left alone (`Replayed.recorded_by`). With `again`, a file
    is read even if it did not change since it was replayed under the same settings.

    Raises `UnreadableInput` for a file that is no recording, `UsageError` if a session of the same name is in the
    journal under other settings or with other content.
    """
    settings = settings or ReplaySettings()
    file = named("file", path)
    known, way = KnownFiles.beside(journal.log.place), way_of(journal, settings, format, file)
    before = None if again or settings.tools else known.sessions(journal.log, file, way)
    if before is not None and not _grows(file, before):
        replayed = tuple(map(_unchanged, before))
    else:
        known.begin(file)
        replayed = replay_file(journal, path, settings, format=format, progress=progress)
        known.finish(journal.log, file, way, replayed)
        known.save()
    journal.catch_up()
    return replayed


def way_of(journal: Journal, settings: ReplaySettings, format: str | None, file: str = "") -> str:
    """A digest of all settings of a file's replay, and of the name given to its outcome."""
    told = (settings, format, journal.hide_secrets, journal.seed is not None, file)
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _grows(file: str, sessions: Sequence[Taken]) -> bool:
    """Tell whether a subagent among the sessions has a file of its own, which can grow while this one does not."""
    return any(own_file(Path(file), each.session_id) not in (None, Path(file)) for each in sessions)


def _unchanged(found: Taken) -> Replayed:
    """The outcome of a session that was replayed before and has nothing new."""
    counts, lines = found.skipped, found.skipped_lines
    return Replayed(found.session_id, found.source, found.format, 0, counts, lines, found.recorded_by, found.shown)


def replay_file(
    journal: Journal,
    path: str | os.PathLike[str],
    settings: ReplaySettings,
    *,
    format: str | None = None,
    progress: Progress | None = None,
) -> tuple[Replayed, ...]:
    """Replay a file as `replay` does, whether or not it changed, without advancing the read models."""
    recordings = read(path, format)
    names = names_of(recordings, settings.name)
    try:
        if any(journal.log.find(names[recording.session_id], LIVE) for recording in recordings):
            return _live(journal, path, settings, format)
        replayed = tuple(_replay_one(journal, recording, names, settings, progress) for recording in recordings)
    except UsageError as error:
        if not isinstance(error.__cause__, IdempotencyConflict) or TABLE[recordings[0].format].reader is None:
            raise
        replayed = _grown(journal, path, settings, format, error)
    else:
        if any(each.shown for each in replayed) and TABLE[recordings[0].format].reader is not None:
            replayed = _grown(journal, path, settings, format, None) or replayed
    return replayed


def _live(
    journal: Journal, path: str | os.PathLike[str], settings: ReplaySettings, format: str | None
) -> tuple[Replayed, ...]:
    """Take what is new in the file of a session to which others also write."""
    from clawvm_es.importers.following import follow

    return follow(journal, path, settings, format=format, final=True).taken


def _grown(
    journal: Journal,
    path: str | os.PathLike[str],
    settings: ReplaySettings,
    format: str | None,
    error: UsageError | None,
) -> tuple[Replayed, ...]:
    """Continue a file whose last answer was replayed incomplete. Raises `error` if anything else differs."""
    from clawvm_es.importers.following import follow

    try:
        return follow(journal, path, settings, format=format, final=True).taken
    except UsageError:
        if error is None:
            return ()
        raise error from error.__cause__


def names_of(recordings: Sequence[Recording], name: str | None) -> Mapping[str, str]:
    """Recorded session id → id in the journal; `name` is the main session's id, or a prefix if there are several.

    Of a recorded id, characters that no id may hold are escaped. Raises `UsageError` for an id that a session
    cannot have all the same.
    """
    roots = [recording.session_id for recording in recordings if recording.linked_to is None]
    names = {recording.session_id: _name_of(recording.session_id, roots, name) for recording in recordings}
    for session_id in names.values():
        if (odd := odd_text(session_id)) is not None:
            raise UsageError(f"session id {odd}", hint="use --as NAME")
        if session_id.startswith(SCOPE_PREFIX):
            raise UsageError(
                f"session id {session_id!r}: {SCOPE_PREFIX} names the streams of shared scopes", hint="use --as NAME"
            )
    return names


def _name_of(session_id: str, roots: Sequence[str], name: str | None) -> str:
    if name is None:
        return escaped(session_id)
    if len(roots) == 1 and session_id.startswith(roots[0]):
        return name + escaped(session_id.removeprefix(roots[0]))
    return f"{name}/{escaped(session_id)}"


def escaped(recorded_id: str) -> str:
    """A recorded session's id, in which characters that no id may hold are escaped."""
    return recorded_id if odd_text(recorded_id) is None else visible(recorded_id).replace("\t", "\\t")


@attrs.frozen
class Target:
    """The journal's session for a recording; one recorded by another importer version is left alone."""

    session_id: str
    opened: SessionOpened
    recorded_by: int | None = None
    new: bool = False
    hides_secrets: bool = False


def target(journal: Journal, recording: Recording, names: Mapping[str, str], settings: ReplaySettings) -> Target:
    """The session for a recording, and its opening; the recording's steps are not read.

    Raises `UsageError` for an invalid project name, and if the session is in the journal under other settings.
    """
    session_id = names[recording.session_id]
    if settings.project is not None:
        check_text("project", settings.project)
    opened = _opening(journal, recording, names, settings)
    stored = journal.opened(session_id)
    if stored is not None:
        opened = _as_stored(stored, opened)
        if settings.budget_tokens is None and recording.opened is None and not settings.as_recorded:
            opened = replace(opened, budget_tokens=stored.budget_tokens)  # it goes on as it began
    if stored is not None and stored != opened:
        raise _other_settings(session_id, "settings", _difference(stored, opened))
    if stored is not None and recording.opened is None and stored.importer != TABLE[recording.format].version:
        return Target(session_id, opened, stored.importer)
    return Target(session_id, opened, None, stored is None, _hides_secrets(journal, recording, opened))


def in_folder(found: Target, recording: Recording, edge: Edge) -> SessionOpened:
    """The opening of a session; for a new one, with its agent's working folder."""
    if found.new and found.opened.folder is None and recording.folder:
        return replace(found.opened, folder=edge.text(recording.folder))
    return found.opened


def _replay_one(
    journal: Journal,
    recording: Recording,
    names: Mapping[str, str],
    settings: ReplaySettings,
    progress: Progress | None,
) -> Replayed:
    found = target(journal, recording, names, settings)
    session_id = found.session_id
    if found.recorded_by is not None:
        return Replayed(session_id, recording.source, recording.format, 0, {}, {}, found.recorded_by)
    session = journal.resume(session_id, found.opened.counter, hides_secrets=found.hides_secrets)
    vault = journal.log.vault(session_id, journal.seed)
    edge = Edge(vault, counter_named(found.opened.counter), found.hides_secrets, renderer=found.opened.renderer)
    opened = in_folder(found, recording, edge)
    tally: Counter[str] = Counter()
    stream = with_fixed(commands(recording, edge, opened, tally, settings.tools), settings.fixed_tokens)
    with session:
        try:
            appended = _execute(session, recording, stream, vault, progress)
        except IdempotencyConflict as error:
            if recording.linked_to is not None and recording.opened is None:
                return Replayed(session_id, recording.source, recording.format, 0, {}, shown=True)
            detail = error.message.removeprefix(f"session {session_id}: ")
            raise _other_settings(session_id, "content", detail) from error
    skipped = {**recording.skipped, **tally}
    return Replayed(session_id, recording.source, recording.format, appended, skipped, recording.skipped_lines)


def _hides_secrets(journal: Journal, recording: Recording, opened: SessionOpened) -> bool:
    """Tell whether credentials are replaced; a trace exported by another journal keeps that journal's choice."""
    if opened.hides_secrets is None:
        return journal.hide_secrets and recording.opened is None
    return opened.hides_secrets


def opening(recording: Recording, counter: str = "o200k_base") -> SessionOpened:
    """Settings of a recording's session: those in its trace, or the defaults (128,000 tokens of pages)."""
    return recording.opened or SessionOpened(
        profile=CLAWVM,
        budget_tokens=RECORDED_BUDGET,
        counter=counter,
        decider_version=DECIDER_VERSION,
        format=recording.format,
        on_pressure=OnPressure.DEGRADE,
        linked_to=recording.linked_to or recording.resumed_from,
        misfits=limits.MISFITS,
        directory_tokens=limits.DIRECTORY_TOKENS,
        importer=TABLE[recording.format].version,
    )


def _opening(
    journal: Journal, recording: Recording, names: Mapping[str, str], settings: ReplaySettings
) -> SessionOpened:
    """The opening under the journal's names, with the changes that the settings ask for."""
    base = opening(recording)
    if recording.opened is None and recording.linked_to:
        base = replace(base, linked_to=names.get(recording.linked_to, recording.linked_to))
    if recording.opened is None and settings.as_recorded:
        base = replace(base, profile=RECORDED, budget_tokens=0)
    elif recording.opened is None:
        base = replace(base, budget_tokens=RECORDED_BUDGET + (settings.fixed_tokens or 0))
    return replace(
        base,
        profile=settings.policy or base.profile,
        budget_tokens=base.budget_tokens if settings.budget_tokens is None else settings.budget_tokens,
        counter=settings.counter or base.counter,
        reproducible=journal.seed is not None,
        project=SCOPE_PREFIX + settings.project if settings.project else base.project,
        hides_secrets=base.hides_secrets if recording.opened else journal.hide_secrets or None,
        renderer=base.renderer if settings.renderer is None else settings.renderer,
    )


def with_fixed(stream: Iterator[Command], fixed_tokens: int | None) -> Iterator[Command]:
    """The commands, with each turn charged for a fixed region that the recording does not hold."""
    for command in stream:
        if fixed_tokens is not None and isinstance(command.data, TurnBegan):
            yield replace(command, data=replace(command.data, fixed_tokens=fixed_tokens))
        else:
            yield command


def is_full(commands: int, held_bytes: int) -> bool:
    """Tell whether a batch with this many commands, and bytes of bodies named by them, is to be committed."""
    return commands >= limits.IMPORT_BATCH or held_bytes >= limits.IMPORT_BATCH_BYTES


def _execute(
    session: Session, recording: Recording, stream: Iterator[Command], vault: Vault, progress: Progress | None
) -> int:
    """Execute the commands in batches; returns the number of events appended.

    Dirty pages at the end are saved, so that the durable store holds them.
    """
    batch: list[Command] = []
    done, appended, last_us = 0, 0, recording.began_us
    held = vault.held_bytes()
    for command in stream:
        batch.append(command)
        last_us = command.at_us
        if is_full(len(batch), vault.held_bytes() - held):
            done += len(batch)
            appended += session.execute(*batch).appended
            batch.clear()
            held = vault.held_bytes()
            if progress is not None:
                progress(session.session_id, done, 0)
    done += len(batch)
    appended += session.execute(*batch, durability=Durability.FULL).appended
    if session.state.dirty and recording.format != trace.NAME:  # a trace holds its own boundaries
        save = BoundaryReached(Boundary.SAVE, Trigger.CALLER)
        appended += session.execute(Command(save, last_us, idempotency_key=f"save:{done}")).appended
    if progress is not None:
        progress(session.session_id, done, done)
    return appended


def _as_stored(stored: SessionOpened, wanted: SessionOpened) -> SessionOpened:
    """Return the settings as the older program that began the session recorded them, so that it continues.

    The importer's version and the folder are not settings; the choice to hide secrets stays as recorded.
    """
    same_policy = stored.profile.name == wanted.profile.name and stored.profile.version < wanted.profile.version
    profile = stored.profile if same_policy else wanted.profile
    return replace(
        wanted,
        decider_version=stored.decider_version,
        profile=profile,
        importer=stored.importer,
        folder=stored.folder,
        hides_secrets=stored.hides_secrets,
    )


def _difference(stored: SessionOpened, wanted: SessionOpened) -> str:
    """The first setting that differs, with both values."""
    if stored.profile != wanted.profile:
        return f"policy {stored.profile.name} there, {wanted.profile.name} here"
    pairs = ((name, getattr(stored, name), getattr(wanted, name)) for name in SessionOpened.__struct_fields__)
    return next(f"{name} {was} there, {now} here" for name, was, now in pairs if was != now)


def _other_settings(session_id: str, what: str, detail: str) -> UsageError:
    return UsageError(
        f"session {session_id} is in this journal with other {what}: {detail}",
        hint="use --as NAME to record it beside the first",
    )
