"""What is wrong with a journal: found for `verify`, and where a verb raised what none should.

LAW-DAMAGE-1: an error that no code of ours expects is the file's where `verify` finds that the file is damaged, and
ends with exit code 2 and one line; else it is a fault of this program, and ends with exit code 70.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clawvm_es.errors import JournalDamaged


def blamed(error: Exception, journals: Iterable[str]) -> JournalDamaged | None:
    """The error to raise in place of an unexpected one: names the first damaged journal; None if all are whole."""
    from clawvm_es.errors import ClawVMError, JournalDamaged

    for path in journals:
        with suppress(ClawVMError):
            problems, *_ = verified(path, fast=False)
            if problems:
                where, what, detail = (problems[0][name] for name in ("where", "what", "detail"))
                found = f"{path} is damaged: {where}: {what}: {detail}"
                return JournalDamaged(f"{found} (met by a {type(error).__name__})", hint=f"see: clawvm verify {path}")
    return None


def verified(path: str, fast: bool) -> tuple[list[dict[str, str]], list[dict[str, str]], int, int]:
    """All problems of a journal, what is odd in it, and how many events and sessions can be read."""
    import attrs

    from clawvm_es.cli.options import known_sessions, opened, require_journal
    from clawvm_es.errors import ClawVMError, JournalDamaged, JournalTooNew
    from clawvm_es.journal.problems import DAMAGE, Problem
    from clawvm_es.journal.snapshots import snapshot_problems
    from clawvm_es.projections import foreign_objects, foreign_problems, projections_problems
    from clawvm_es.storage import verify

    with suppress(JournalDamaged, JournalTooNew):  # that is a finding, not wrong usage
        require_journal(path)
    notes: list[Problem] = []
    problems = list(verify(path, fast=fast, note=notes.append))
    events = sessions = 0
    try:
        with opened(path) as log:
            notes += [Problem("foreign", each, "is not ours") for each in foreign_objects(log)]
            problems += [Problem("schema", "caches", detail) for detail in foreign_problems(log)]
            sessions = len(known_sessions(log))
            events = max((head.seq for head in log.heads()), default=0)
            if not fast:
                problems += [Problem("projections", "read models", detail) for detail in projections_problems(log)]
                problems += snapshot_problems(log)
    except ClawVMError as error:
        problems.append(Problem("read", "journal", error.message))
    except DAMAGE as error:
        problems.append(Problem("read", "journal", f"cannot be read on: {error!r}"))
    return [attrs.asdict(each) for each in problems], [attrs.asdict(each) for each in notes], events, sessions
