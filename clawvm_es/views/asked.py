"""Documents of questions to a log: writers of a page or field, the first event of a condition, texts with words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import attrs

from clawvm_es.errors import UsageError
from clawvm_es.history import grep as library
from clawvm_es.history.blame import blame as ask
from clawvm_es.history.places import end_of_turn
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.events import EVENT_TYPES
from clawvm_es.projections import texts_behind
from clawvm_es.views.events import event
from clawvm_es.views.reading import timed, version_at
from clawvm_es.views.titles import Titles
from clawvm_es.views.words import command

if TYPE_CHECKING:
    from clawvm_es.history.bisect import Bisection
    from clawvm_es.history.checking import Verdict
    from clawvm_es.history.grep import Hit, Query

_HITS_OF_EVENT: Final = 3  # an event names at most so many texts that are told apart
_CONTEXT_LINES: Final = 2
"""Lines before and after a change that a diff shows."""


def checked(found: Verdict, session_id: str, titles: Titles | None = None) -> dict[str, Any]:
    """A claim about a session: whether it holds, and the turn and pages that show it false or were checked last."""
    return {
        "session_id": session_id,
        "claim": found.claim.text,
        "holds": found.holds,
        "turn": found.turn,
        "version": found.version,
        "prompts": found.prompts,
        "pages": [
            {"page_id": page_id, "title": titles.of(session_id, page_id) if titles else None}
            for page_id in found.pages
        ],
    }


def blame(
    log: EventLog,
    session_id: str,
    subject: str,
    *,
    version: int | None = None,
    turn: int | None = None,
    rejected: bool = True,
) -> dict[str, Any]:
    """Every version of a field of the durable store or of a page: writer, time, evidence, and diff.

    `diff` holds the lines of a unified diff from the version before: `[]` if the text is the same, None for a first
    version and if a text was erased.
    """
    found = timed(attrs.asdict(ask(log, session_id, subject, version_at(log, session_id, version, turn))))
    assert isinstance(found, dict)
    found["title"] = Titles(log).of(session_id, subject) if found["contents"] else None
    found["contents"] = _with_diffs(found["contents"], lambda each: "")
    found["values"] = _with_diffs(found["values"], lambda each: str(each["scope"]))
    if not rejected:
        found["rejected_updates"] = len(found.pop("rejected"))
    return found


def _with_diffs(versions: Sequence[dict[str, Any]], of: Any) -> list[dict[str, Any]]:
    """Versions of one text, each with its diff from the one before."""
    last: dict[str, str | None] = {}
    found = []
    for each in versions:
        group, text = of(each), each["text"]
        found.append(each | {"diff": _diff(last[group], text) if group in last else None})
        last[group] = text
    return found


def _diff(was: str | None, now: str | None) -> list[str] | None:
    if was is None or now is None:
        return None
    lines: Iterable[str] = difflib.unified_diff(
        was.splitlines(), now.splitlines(), "before", "after", lineterm="", n=_CONTEXT_LINES
    )
    return list(islice(lines, 2, None))  # without the names of files


def bisect(log: EventLog, journal: str, found: Bisection, question: str) -> dict[str, Any]:
    """The first event after which a question holds, the event before it, and commands that look closer."""
    titles = Titles(log)
    return {
        "session_id": found.session_id,
        "question": question,
        "good": found.good,
        "bad": found.bad,
        "first": None if found.first is None else event(found.first, titles),
        "before": None if found.before is None else event(found.before, titles),
        "monotone": found.monotone,
        "looked": found.looked,
        "every": found.every,
        "turns_true": found.turns_true,
        "turns_false": found.turns_false,
        "closer": _closer(journal, found),
    }


def _closer(journal: str, found: Bisection) -> list[str]:
    """The commands that look closer at the found event."""
    if found.first is None:
        return []
    row, session = found.first, ("--session", found.session_id)
    page = getattr(row.data, "page_id", None)
    commands = [command("show", journal, row.version, *session)]
    if page is not None and found.prompt_turn is not None:
        commands.insert(0, command("why", journal, page, "--turn", found.prompt_turn, *session))
    if page is not None or hasattr(row.data, "field"):
        commands.append(command("blame", journal, getattr(row.data, "field", page), *session))
    if found.before is not None:
        commands.append(command("diff", journal, found.before.version, row.version, *session))
    return commands


def grep(
    log: EventLog,
    query: Query,
    session_id: str | None = None,
    *,
    version: int | None = None,
    turn: int | None = None,
    types: Sequence[str] = (),
    limit: int = 50,
    after: int = 0,
) -> dict[str, Any]:
    """The texts that match a query, at most `limit`; with a turn, those of that turn; with a version, all up to it.

    In one session the search continues after event `after`; `next` is the event after which there are more hits
    (None: there are none). The hits of one event stay together. `scanned` counts the texts missing from the full-text
    index.
    """
    for name in types:
        if name not in EVENT_TYPES:
            raise UsageError(f"unknown event type {name!r}", hint=f"one of {', '.join(sorted(EVENT_TYPES))}")
    upto = None if session_id is None else version_at(log, session_id, version, turn)
    if turn is not None and session_id is not None:
        after = max(after, end_of_turn(log, session_id, turn - 1))
    scanned = texts_behind(log) if query.phrases and log.read_only else 0
    hits = library.grep(log, query, session_id=session_id, after=after, upto=upto, types=types)
    found = list(islice(hits, limit + _HITS_OF_EVENT))
    titles = Titles(log)
    for owner in dict.fromkeys(each.session_id for each in found):
        titles.load(owner, (each.page_id for each in found if each.session_id == owner))
    more, shown = len(found) > limit, found[:limit]
    if more and session_id is not None:
        shown = [each for each in found if each.version < found[limit].version] or found
    going_on = shown[-1].version if more and session_id is not None else None
    return {"hits": [_hit(each, titles) for each in shown], "more": more, "next": going_on, "scanned": scanned}


def _hit(hit: Hit, titles: Titles) -> dict[str, Any]:
    return {
        "session_id": hit.session_id,
        "version": hit.version,
        "turn": hit.turn,
        "type": hit.type,
        "what": hit.what,
        "page_id": hit.page_id,
        "title": titles.of(hit.session_id, hit.page_id),
        "level": hit.level,
        "line": hit.line,
        "start": hit.start,
        "end": hit.end,
    }
