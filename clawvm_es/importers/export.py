"""Export a session of a log as a `clawvm-trace`; a fork is exported with its parents' part."""

from __future__ import annotations

from collections.abc import Iterator

from clawvm_es.errors import UsageError
from clawvm_es.importers.trace import write_trace
from clawvm_es.journal.lineage import lineage, read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.events import PromptRendered


def export_trace(log: EventLog, session_id: str) -> Iterator[str]:
    """The lines of a session's trace, each with its newline, its parents' part included (LAW-TRACE-1).

    Raises `UsageError` for an unknown session, and for a fork whose trace would decide otherwise: one that changed
    the policy, or that cut an input off from its decisions.
    """
    segments = lineage(log, session_id)
    if not segments:
        raise UsageError(f"there is no session {session_id}")
    for segment in segments:
        if segment.upto is not None:
            _check_cut(log, segment.stream, segment.upto)
    yield from write_trace(session_id, read_session(log, session_id), log.vault(session_id).open)


def _check_cut(log: EventLog, stream: str, upto: int) -> None:
    """Refuse a fork that has an input without all its decisions, since a replay would make the missing ones."""
    following = next(log.read(stream, upto, upto + 1), None)
    if following is not None and (following.kind == "decision" or isinstance(following.data, PromptRendered)):
        raise UsageError(
            f"a fork of {stream} at version {upto} lacks what followed from its last input: no trace says that",
            hint="`clawvm export --as recording` and `clawvm bundle` keep forks as they are",
        )
