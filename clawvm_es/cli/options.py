"""Arguments and options that verbs share, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from clawvm_es.cli import place
from clawvm_es.errors import JournalError, UsageError
from clawvm_es.limits import LOCK_WAIT_S

if TYPE_CHECKING:
    from clawvm_es.journal.ports import EventLog
    from clawvm_es.projections import Snapshot

F = TypeVar("F", bound=Callable[..., Any])

journal_argument = place.journal_argument
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
group_option = click.option(
    "--group", is_flag=True, help="Let the file's group read and write what is made. Default: only its owner."
)
wait_option = click.option(
    "--wait",
    type=click.FloatRange(0),
    default=LOCK_WAIT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for another writer.",
)
session_option = click.option(
    "--session", "-s", metavar="ID", help="Session id, or the beginning of one. Default: the only one."
)
version_option = click.option("--at", "version", type=click.IntRange(1), metavar="VERSION", help="After this event.")
OTHER_POLICIES = (
    "clawvm_paper (the paper's), clawvm_rank, lru; baselines: retrieval, retrieval_cache, compaction_hybrid, each "
    "also +fixed"
)
"""The policies beside `clawvm`, for the help of verbs that take one."""
turn_option = click.option("--turn", type=click.IntRange(1), metavar="N", help="At the end of this turn.")


def place_options(verb: F) -> F:
    """`--at VERSION` and `--turn N`."""
    return version_option(turn_option(verb))


@contextmanager
def opened(path: str) -> Iterator[EventLog]:
    """The journal at `path`, for reading only."""
    from clawvm_es.journal.ports import Capability, declares, erasing
    from clawvm_es.storage import open_log

    with open_log(path, read_only=True) as log:
        if not declares(log, Capability.ERASE) or not erasing(log, "redact").pending_erasures():
            yield log
            return
    with suppress(JournalError), open_log(path, wait_s=0):
        pass  # what was asked to be erased is finished by whoever comes next, also by a reader
    with open_log(path, read_only=True) as log:
        yield log


def chosen(log: EventLog, wanted: str | None) -> str:
    """The session that `--session` means; raises `UsageError` if that is none or several."""
    ids = known_sessions(log)
    if wanted in ids:
        return str(wanted)
    found = [session_id for session_id in ids if session_id.startswith(wanted or "")]
    if len(found) == 1:
        return found[0]
    if not ids:
        raise UsageError(f"{log.place} holds no session", hint="clawvm replay FILE --journal JOURNAL")
    shown = ", ".join((found or ids)[:5]) + (", …" if len(found or ids) > 5 else "")
    if not found:
        raise UsageError(f"{log.place} holds no session {wanted!r}", hint=f"it holds {shown}")
    what = f"{len(found)} sessions" + (f" that begin with {wanted!r}" if wanted else "")
    raise UsageError(f"{log.place} holds {what}", hint=f"name one with --session: {shown}")


def chosen_or_all(log: EventLog, wanted: str | None) -> str | None:
    """The session that `--session` means; None (all of them) where it is not given."""
    return None if wanted is None else chosen(log, wanted)


def known_sessions(log: EventLog) -> list[str]:
    """The ids of all sessions, without the streams of shared scopes."""
    from clawvm_es.model.events import SCOPE_PREFIX

    return [head.session_id for head in log.heads() if not head.session_id.startswith(SCOPE_PREFIX)]


def version_at(log: EventLog, session_id: str, version: int | None, turn: int | None) -> int | None:
    """The version that `--at` or `--turn` means; None for the end."""
    from clawvm_es.history import end_of_turn

    if version is not None and turn is not None:
        raise UsageError("--at and --turn name two places", hint="give one of them")
    if turn is not None:
        return end_of_turn(log, session_id, turn)
    head = log.head(session_id)
    if version is not None and head is not None and version > head.version:
        raise UsageError(f"session {session_id} has no version {version}", hint=f"its last is {head.version}")
    return version


def versions_at(log: EventLog, session_id: str, version: int | None, turn: int | None) -> tuple[int, int | None]:
    """After and up to which version `--at` or `--turn` means: all up to it, or one turn's; None for the end."""
    from clawvm_es.history import range_of_turn

    upto = version_at(log, session_id, version, turn)
    return (0, upto) if turn is None else range_of_turn(log, session_id, turn)


def is_place(text: str) -> bool:
    """Whether a text names a place in a session: VERSION or turn:N."""
    return text.removeprefix("turn:").isdecimal()


def version_named(log: EventLog, session_id: str, text: str) -> int | None:
    """The version that VERSION or turn:N (the end of that turn) means; None for no text, the session's end."""
    turn = text.removeprefix("turn:")
    if text and not turn.isdecimal():
        raise UsageError(f"{text!r} is no place in a session", hint="VERSION or turn:N")
    if turn != text:
        return version_at(log, session_id, None, int(turn))
    return version_at(log, session_id, int(text) if text else None, None)


@contextmanager
def models(
    log: EventLog, session_id: str | None = None, version: int | None = None, turn: int | None = None
) -> Iterator[Snapshot]:
    """The read models, of now or of a place in one session."""
    from clawvm_es.projections import snapshot, snapshot_at

    place = None if session_id is None else version_at(log, session_id, version, turn)
    if session_id is not None and place is not None:
        yield snapshot_at(log, session_id, place)
        return
    with snapshot(log) as view:
        yield view


def require_journal(path: str) -> None:
    """Raise `UnreadableInput` unless there is a journal at `path`, so that a verb does not make one by mistake."""
    from clawvm_es.errors import UnreadableInput
    from clawvm_es.storage import exists

    if not exists(path):
        raise UnreadableInput(f"{path}: there is no journal here")
