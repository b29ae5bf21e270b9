"""The exception tree: what went wrong, where, and what to do about it.

Every error that a caller can meet is a `ClawVMError`. `str(error)` is one line: the message, then the hint in
parentheses. Subclasses also derive from the builtin that describes them best, so that callers who know nothing of
this package can still catch them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class ClawVMError(Exception):
    """Base of all errors of this package: `message` says what and where, `hint` (may be empty) what to do.

    Survives pickling and copying with all of its attributes.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Callable[..., ClawVMError], tuple[Any, ...]]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[ClawVMError], args: tuple[Any, ...], attributes: dict[str, Any]) -> ClawVMError:
    """Make an error as it was pickled, whatever its class wants to be called with."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


class UsageError(ClawVMError, ValueError):
    """The caller passed something that can never work: an unknown policy, a budget of 0, a closed session."""


class MissingCapability(UsageError):
    """A verb needs something that this journal's storage does not declare; nothing was done."""


class UnreadableInput(ClawVMError, ValueError):
    """An input file is missing, has no known format, or is so damaged that skipping records does not help."""


def no_journal(place: str) -> UnreadableInput:
    """The error of a place at which a verb or a caller expected a journal."""
    return UnreadableInput(f"{place}: there is no journal here", hint="check the path; clawvm import makes a journal")


def no_page(session_id: str, page_id: str, where: str = "") -> UsageError:
    """The error of a page that a session does not have; `where` limits it to a place."""
    return UsageError(f"session {session_id} has no page {page_id}{where}", hint="clawvm pages JOURNAL lists them")


class CellFailed(ClawVMError):
    """A cell of the evaluation raised; the message names experiment and key, its own error is the cause."""


class JournalError(ClawVMError):
    """Base of all errors of a journal."""


class NotAJournal(JournalError, ValueError):
    """The file is not a journal of this program; it was left untouched."""


class JournalTooNew(JournalError):
    """The journal was written by a newer version of this program; it was left untouched."""


class JournalDamaged(JournalError):
    """The file says that it is a journal, but SQLite or its own tables say otherwise."""


class ForeignObject(JournalError, PermissionError):
    """The journal's schema holds a foreign object; a write would run it, or leave a copy of data in it."""


class JournalBusy(JournalError, TimeoutError):
    """Another process held the writer's lock longer than the caller agreed to wait."""


class JournalReadOnly(JournalError, PermissionError):
    """The caller tried to write to a journal that can only be read."""


class JournalFull(JournalError, OSError):
    """The disk (or the file's size limit) is full; the log ends at the last whole transaction."""


class DiskFailed(JournalError, OSError):
    """The disk failed to read or write, or to keep what was written; the log ends at the last whole transaction."""


class BackupRefused(JournalDamaged):
    """The copy of a journal does not verify, so none was kept; `problems` lists the reasons, one line each."""

    def __init__(self, message: str, problems: tuple[str, ...] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class JournalUnreachable(JournalError, ConnectionError):
    """The server that holds the journal is unreachable, refuses us, or went away; the message gives details."""


class OutcomeUnknown(JournalUnreachable):
    """The connection broke during a commit; nobody can tell yet whether the commit happened."""


class TailLost(JournalError):
    """A stream has fewer events than before: a failover or a restore lost the newest ones."""


class VersionConflict(JournalError):
    """The stream is not at the version the caller expected; nothing was appended."""


class IdempotencyConflict(JournalError, ValueError):
    """The same idempotency key came again with other content; nothing was appended."""


class UnknownEvent(JournalError, LookupError):
    """A stored event has a type or schema version that this program does not know."""


class AnchorRefused(ClawVMError, ValueError):
    """A checkpoint does not prove this log.

    `what` names the part that failed: note, signature, key, origin, size, root, redacted or read.
    """

    def __init__(self, what: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.what = what


class NotCanonical(ClawVMError, ValueError):
    """Event data holds a value that cannot be stored: a float, an integer beyond ±(2**53 - 1), a non-string key."""


class InvariantPressure(ClawVMError):
    """Required pages do not fit the budget, and the session is set to raise in that case (`on_pressure`).

    `prompt` is the `Prompt` without these pages; its `pressure` lists them.
    """

    def __init__(self, message: str, *, hint: str = "", prompt: Any = None) -> None:
        super().__init__(message, hint=hint)
        self.prompt = prompt

    @property
    def pressure(self) -> tuple[Any, ...]:
        """Pages that did not fit."""
        return self.prompt.pressure if self.prompt is not None else ()


class InvariantBroken(ClawVMError, AssertionError):
    """A law of this program does not hold; the message names it. Always a bug of ours or a damaged log."""


class ToolFailed(ClawVMError):
    """A tool that `Session.tool` ran raised an exception, which is the cause; the failure is in the log."""


class NewToolCall(ClawVMError, LookupError):
    """A fork called a tool that its parent did not call, or whose result was erased; nothing ran or was recorded.

    `nearest` is the most similar call that the parent recorded (an `engine.nearest.MadeCall`, or None).
    `difference` lists the fields in which the two calls differ (`engine.values.Change`).
    """

    nearest: object = None
    difference: tuple[object, ...] = ()


class NondeterminismError(ClawVMError):
    """The current code decides differently from the log; the message names the event and the field.

    `difference` is the `history.Difference` of the two decisions; None where the current code refused to decide.
    """

    difference: object = None
