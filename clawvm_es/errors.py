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
    """A file that was given as input is missing, of no known format, or damaged beyond skipping a record."""


class CellFailed(ClawVMError):
    """A cell of the evaluation raised; the message names experiment and key, its own error is the cause."""


class JournalError(ClawVMError):
    """Base of what can go wrong with a journal file."""


class NotAJournal(JournalError, ValueError):
    """The file is not a journal of this program; it was left untouched."""


class JournalTooNew(JournalError):
    """The journal was written by a newer version of this program; it was left untouched."""


class JournalDamaged(JournalError):
    """The file says that it is a journal, but SQLite or its own tables say otherwise."""


class ForeignObject(JournalError, PermissionError):
    """The journal's schema holds an object that is not ours and that a write would run, or leave a copy in."""


class JournalBusy(JournalError, TimeoutError):
    """Another process holds the writer's lock for longer than we were told to wait."""


class JournalReadOnly(JournalError, PermissionError):
    """A write was asked of a journal that can only be read."""


class JournalFull(JournalError, OSError):
    """The disk (or the file's size limit) is full; the log ends at the last whole transaction."""


class DiskFailed(JournalError, OSError):
    """The disk failed to read or write, or to keep what was written; the log ends at the last whole transaction."""


class BackupRefused(JournalDamaged):
    """The copy of a journal does not verify, so none was left; `problems` says what is wrong, one line each."""

    def __init__(self, message: str, problems: tuple[str, ...] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class JournalUnreachable(JournalError, ConnectionError):
    """The server that holds the journal is not there, refuses us, or went away; the message says what is known."""


class OutcomeUnknown(JournalUnreachable):
    """A connection was cut around a commit, and what became of it cannot be found out now."""


class TailLost(JournalError):
    """The journal holds fewer events of a stream than it had: what came last was lost (a failover, a restore)."""


class VersionConflict(JournalError):
    """The stream is not at the version the caller expected; nothing was appended."""


class IdempotencyConflict(JournalError, ValueError):
    """The same idempotency key came again with other content; nothing was appended."""


class UnknownEvent(JournalError, LookupError):
    """A stored event has a type or schema version that this program does not know."""


class AnchorRefused(ClawVMError, ValueError):
    """A checkpoint is no proof of this log: `what` is note, signature, key, origin, size, root, redacted or read."""

    def __init__(self, what: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.what = what


class NotCanonical(ClawVMError, ValueError):
    """Event data holds what canonical data cannot: a float, an integer beyond 2**53 - 1, a non-string key."""


class InvariantPressure(ClawVMError):
    """Required pages do not fit the budget, and the session does not let that pass.

    `prompt` is the `Prompt` that was assembled without them; its `pressure` says what is missing, page by page.
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
    """A tool that `Session.tool` ran raised; the failure is in the log, the tool's own error is the cause."""


class NewToolCall(ClawVMError, LookupError):
    """A fork called a tool that its parent did not call, or whose result was erased; nothing ran or was recorded.

    `nearest` is the call that the parent recorded which comes nearest (`engine.nearest.MadeCall`; None where there
    is none), `difference` the fields in which this call differs from it (`engine.values.Change`).
    """

    nearest: object = None
    difference: tuple[object, ...] = ()


class NondeterminismError(ClawVMError):
    """Today's code decides otherwise than the log recorded; the message names the event and the field.

    `difference` is the `history.Difference`, where a decision was taken otherwise (not where one was refused).
    """

    difference: object = None
