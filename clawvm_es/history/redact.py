"""Erasure: texts leave the journal; everything that proves the log stays.

An erasure includes everything that belongs together: all levels of a page's content, the result of the call it holds,
the values published from it to shared scopes, and the salts of all prompts that showed it. One transaction appends a
`content_redacted` to every stream whose fold reaches any of it, and deletes the rows; then the files are scrubbed.

LAW-REDACT-1: chains, anchors and decisions do not change, since events name only commitments.
LAW-REDACT-2: every stream whose fold reaches an erased commitment, including forks, scopes and closed sessions, gets
an event that says what was erased, on whose behalf and why.
LAW-REDACT-3: repeating a redaction erases nothing, appends nothing, and finishes what was pending.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import attrs

from clawvm_es import limits, projections
from clawvm_es.core.decide import decide
from clawvm_es.core.state import State
from clawvm_es.engine.titles import Openings
from clawvm_es.errors import DiskFailed, ForeignObject, JournalBusy, JournalFull, UsageError, VersionConflict, no_page
from clawvm_es.files import forget_followed
from clawvm_es.history.reach import Reach, touches
from clawvm_es.journal.codec import named_commitments
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import Capability, Durability, Erased, Erasure, EventLog, NewEvent, erasing, require
from clawvm_es.model.commands import Command
from clawvm_es.model.events import (
    SCOPE_PREFIX,
    ContentRedacted,
    PageWritten,
)
from clawvm_es.model.facts import RedactReason

_NAME: Final = re.compile(r"[\w.:/+@-]{1,200}")
_PREFIX_MIN: Final = 8


@attrs.frozen
class Target:
    """Target of an erasure in `session_id` (None: in all sessions): a page, a body, all matching texts, or all texts.

    Exactly one of the four is given. `body` is a commitment or the beginning of one; `matches` is called with each
    text (`re.compile(…).search`, for example).
    """

    session_id: str | None = None
    page_id: str | None = None
    body: str | None = None
    matches: Callable[[str], object] | None = None
    everything: bool = False


@attrs.frozen
class Trail:
    """Trace of the erasure in one stream: its event `version` (0: none yet), number of commitments, and pages."""

    session_id: str
    version: int
    commitments: int
    pages: tuple[str, ...]


@attrs.frozen
class Share:
    """Share of one session (or shared scope) in a redaction: number of texts and their bytes.

    `title` is the session's title; its id if the text of the title is erased.
    """

    session_id: str
    title: str
    texts: int
    size_bytes: int


@attrs.frozen
class Redaction:
    """Outcome of a redaction: the number of `bodies` that left the journal, and their bytes.

    `shares` counts the texts by session; a text of two sessions counts in both shares, but once in `bodies`.
    `held_by` are other sessions that still hold one of the texts. `guessable` means that salts come from a seed, so
    that short texts can be guessed from their commitments. `foreign` are schema objects that are not ours. `copies`
    are places that may hold copies and that the storage cannot clean: then the status is `removed`, not `erased`.
    """

    status: str
    commitments: int
    bodies: int
    size_bytes: int
    trails: tuple[Trail, ...]
    held_by: tuple[str, ...]
    guessable: bool
    shares: tuple[Share, ...] = ()
    foreign: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()

    @property
    def spans_sessions(self) -> bool:
        """True if texts of more than one session are erased."""
        return sum(not share.session_id.startswith(SCOPE_PREFIX) for share in self.shares) > 1


@attrs.frozen
class _Trail:
    """The `event` to append to a stream after its event `version`, with the decisions that follow from it."""

    session_id: str
    event: ContentRedacted
    events: Sequence[NewEvent]
    version: int


def redact(
    log: EventLog,
    target: Target,
    *,
    at_us: int,
    everywhere: bool = False,
    reason: RedactReason = RedactReason.REQUEST,
    principal: str = "operator",
    dry_run: bool = False,
) -> Redaction:
    """Erase what `target` names, on behalf of `principal`, at `at_us` (UTC µs).

    With `everywhere`, also erase the same texts in other sessions. With `dry_run` nothing is written and the
    status is `planned`. Nothing is erased if it raises: `UsageError` for a session, page or body that does not
    exist, `MissingCapability` (the storage cannot erase), `JournalReadOnly`, `JournalBusy`, `JournalFull`,
    `ForeignObject` (a table that is not ours has rows).
    """
    require(log, Capability.ERASE, "redact")
    _refuse_holders(log, dry_run)
    if not _NAME.fullmatch(principal):
        raise UsageError(f"principal {principal!r} is no name", hint="letters, digits and . : / + @ -")
    for _ in range(limits.RETRIES):
        reach = Reach(log, everywhere)
        reach.grow(_asked(log, reach, target))
        trails, texts = _trails(log, reach, reason, at_us, principal), list(reach.texts())
        if dry_run or not reach.erased:
            return _finished(log, reach, trails, texts, dry_run)
        try:
            gone, trails = _erase(log, reach, trails)
        except VersionConflict:
            continue
        status = _scrubbed(log, _forms(gone))
        forget_followed(log.place)
        return _redaction(log, reach, trails, gone, str(status), texts)
    raise VersionConflict("other writers were faster each time", hint="try again when they are done")


def _forms(gone: Sequence[Erased]) -> list[bytes]:
    """Return the bytes to search the files for: the bodies, and their stored forms if those differ."""
    return [erased.body for erased in gone] + [each.stored for each in gone if each.stored not in (b"", each.body)]


def _refuse_holders(log: EventLog, dry_run: bool) -> None:
    """Raise `ForeignObject` if a table that is not ours may hold a copy of any text, in any form."""
    holders = () if dry_run else projections.holders(log)
    if holders:
        raise ForeignObject(
            f"nothing was erased: the journal holds the {', the '.join(holders)}, not ours, which may hold copies",
            hint="drop what holds no copy worth keeping, or move it to a file of its own; then redact again",
        )


def _scrubbed(log: EventLog, forms: Sequence[bytes] | None = None) -> Erasure:
    """Remove the traces of what was erased, in read models first; if they have no room, it stays pending."""
    try:
        projections.catch_up(log)
    except (DiskFailed, JournalBusy, JournalFull):
        return Erasure.PENDING
    return erasing(log, "redact").scrub(forms)


def _finished(
    log: EventLog, reach: Reach, trails: Sequence[_Trail], texts: Sequence[tuple[str, int]], dry_run: bool
) -> Redaction:
    """Return the outcome if nothing is written: a plan, or a repetition that only finishes what was pending."""
    status = "planned" if dry_run and reach.erased else str(Erasure.NOTHING)
    if not dry_run and erasing(log, "redact").pending_erasures():
        status = str(_scrubbed(log))
    would = [Erased(0, body) for body in reach.bodies()] if dry_run else []
    return _redaction(log, reach, [attrs.evolve(trail, version=0) for trail in trails], would, status, texts)


def _redaction(
    log: EventLog,
    reach: Reach,
    trails: Sequence[_Trail],
    gone: Sequence[Erased],
    status: str,
    texts: Sequence[tuple[str, int]],
) -> Redaction:
    return Redaction(
        status=status,
        commitments=len(reach.erased),
        bodies=len(gone),
        size_bytes=sum(len(erased.body) for erased in gone),
        trails=tuple(
            Trail(trail.session_id, trail.version, len(trail.event.commitments), trail.event.pages)
            for trail in trails
        ),
        held_by=tuple(sorted(reach.elsewhere)),
        guessable=log.reproducible,
        shares=tuple(_shares(log, texts)),
        foreign=projections.foreign_objects(log),
        copies=tuple(erasing(log, "redact").known_copies()) if reach.erased else (),
    )


def _shares(log: EventLog, texts: Iterable[tuple[str, int]]) -> Iterator[Share]:
    """Texts by the stream that owns them, in order of ids."""
    sizes: dict[str, list[int]] = {}
    for owner, size in texts:
        sizes.setdefault(owner, []).append(size)
    openings = Openings(log)
    for owner, each in sorted(sizes.items()):
        yield Share(owner, openings.title(owner), len(each), sum(each))


# ------------------------------------------------------------------------------------------- planning


def asked(log: EventLog, target: Target) -> set[str]:
    """The commitments that a target itself names, erased ones included; with `matches`, those of present texts."""
    return set(_asked(log, Reach(log, everywhere=False), target))


def _asked(log: EventLog, reach: Reach, target: Target) -> Iterator[str]:
    """The commitments that the target itself names."""
    chosen = (target.page_id is not None, target.body is not None, target.matches is not None, target.everything)
    if sum(chosen) != 1:
        raise UsageError("a redaction erases one of a page, a body, what matches, or everything of a session")
    if target.session_id is None and target.matches is None and target.body is None:
        raise UsageError("of which session?", hint="name it")
    ids = reach.ids() if target.session_id is None else (target.session_id,)
    if target.session_id is not None and log.head(target.session_id) is None:
        raise UsageError(f"there is no session {target.session_id}")
    if target.page_id is not None:
        return _of_page(log, ids[0], target.page_id)
    if target.everything:
        rows = (row for row in log.read(ids[0]) if row.kind == "input")
        return (name for row in rows for name in named_commitments(row.raw))
    if target.session_id is None:
        names = {name: None for each in ids for name in reach.named(each).names}
    else:
        names = reach.names(target.session_id)
    if target.body is not None:
        return _of_body(names, target.body)
    assert target.matches is not None
    return _matching(log, names, target.matches)


def _of_page(log: EventLog, session_id: str, page_id: str) -> Iterator[str]:
    rows = (row.data for row in read_session(log, session_id))
    written = (data for data in rows if isinstance(data, PageWritten) and data.page_id == page_id)
    found = [data.levels[0].body for data in written]  # in full; what was built from it goes with it
    if not found:
        raise no_page(session_id, page_id)
    return iter(found)


def _of_body(names: Iterable[str], wanted: str) -> Iterator[str]:
    found = [name for name in names if name.startswith(wanted)] if len(wanted) >= _PREFIX_MIN else []
    if len(found) != 1:
        what = "no body is" if not found else f"{len(found)} bodies are"
        raise UsageError(
            f"{what} committed to by {wanted!r}", hint=f"give at least {_PREFIX_MIN} digits of one commitment"
        )
    return iter(found)


def _matching(log: EventLog, names: Iterable[str], matches: Callable[[str], object]) -> Iterator[str]:
    for name in names:
        stored = log.stored(name)
        if stored is not None and stored[1] is not None and matches(stored[1].decode("utf-8", "replace")):
            yield name


def _trails(log: EventLog, reach: Reach, reason: RedactReason, at_us: int, principal: str) -> list[_Trail]:
    """The events for each stream whose fold reaches an erased commitment, by id."""
    found = []
    names_of = dict(reach.erased_of())
    reached = {stream: None for stream in reach.reached() if names_of[stream]}
    for stream in reached:
        if stream.startswith(SCOPE_PREFIX):
            head = log.head(stream)
            event = ContentRedacted(reason, names_of[stream])
            found.append(_Trail(stream, event, [NewEvent(event, 0, at_us, principal)], head.version if head else 0))
    sessions = [stream for stream in reach.forks.streams(reached) if not stream.startswith(SCOPE_PREFIX)]
    for stream, state, rows in reach.forks.folded(sessions):
        if stream in reached:
            deque(rows, maxlen=0)  # state is that of the head now
            found.append(_trail(stream, state, Command(_redacted(state, names_of[stream], reason), at_us, principal)))
    return sorted(found, key=lambda trail: trail.session_id)


def _redacted(state: State, names: tuple[str, ...], reason: RedactReason) -> ContentRedacted:
    """The event of one session: the commitments that it reaches, and the pages whose content is erased with them."""
    erased = dict.fromkeys(names)
    pages = tuple(
        page.page_id
        for page in state.pages.values()
        if not page.redacted and touches((body for body in page.bodies if body is not None), erased)
    )
    return ContentRedacted(reason, names, pages)


def _trail(session_id: str, state: State, command: Command) -> _Trail:
    events = [NewEvent(event, state.turn, command.at_us, command.principal) for event in decide(state, command)]
    assert isinstance(command.data, ContentRedacted)
    return _Trail(session_id, command.data, events, state.version)


# -------------------------------------------------------------------------------------------- erasing


def _erase(log: EventLog, reach: Reach, trails: Sequence[_Trail]) -> tuple[tuple[Erased, ...], list[_Trail]]:
    """Append all events and delete all rows in one transaction; raises `VersionConflict` if a stream moved on."""
    done: list[_Trail] = []
    with log.transaction(Durability.FULL) as transaction:
        for trail in trails:
            transaction.append(trail.session_id, trail.events, trail.version)
            done.append(attrs.evolve(trail, version=trail.version + 1))
        gone = transaction.erase(tuple(reach.erased), [trail.session_id for trail in trails])
    return gone, done
