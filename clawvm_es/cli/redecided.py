"""What `verify --redecide` finds: where today's code decides otherwise, and what to look at next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clawvm_es.errors import NondeterminismError


def redecided(path: str) -> tuple[int, list[dict[str, Any]]]:
    """How many decisions of a journal's sessions today's code takes again the same, and where it does not.

    A fork is decided with its parents; what differs in a parent is told once.
    """
    from clawvm_es.cli.options import known_sessions, opened
    from clawvm_es.cli.output import progress
    from clawvm_es.errors import NondeterminismError
    from clawvm_es.history import redecide
    from clawvm_es.journal.lineage import read_session

    same, found = 0, dict[str, dict[str, Any]]()
    with opened(path) as log, progress("deciding again") as report:
        ids = known_sessions(log)
        for number, session_id in enumerate(ids, 1):
            try:
                same += redecide(read_session(log, session_id))
            except NondeterminismError as error:
                found.setdefault(error.message, _document(path, session_id, error))
            if report is not None:
                report(number, len(ids))
    return same, list(found.values())


def _document(path: str, session_id: str, error: NondeterminismError) -> dict[str, Any]:
    """A difference as a JSON object; where an input is refused today there is no field to name."""
    from clawvm_es.cli.tell import command
    from clawvm_es.history import Difference

    difference = error.difference
    document: dict[str, Any] = {"session_id": session_id, "detail": error.message}
    if isinstance(difference, Difference):
        document |= {
            "session_id": difference.session_id,
            "version": difference.version,
            "turn": difference.turn,
            "type": difference.type,
            "path": difference.path,
            "recorded": difference.recorded,
            "now": difference.now,
            "before": [{"version": version, "type": type_} for version, type_ in difference.before],
            "look": command("log", path, "--session", difference.session_id, "--at", difference.version, "-n", 5),
        }
    return document


def difference_lines(differences: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each difference: event, field, both values, the events before it, and the command that shows them."""
    from clawvm_es.cli.output import bad

    lines = []
    for found in differences:
        lines.append(f"{bad('✗')} {found['detail']}")
        if "look" in found:
            before = ", ".join(f"version {event['version']} {event['type']}" for event in found["before"])
            lines += [f"    before it: {before}", f"    to look closer: {found['look']}"]
    return lines
