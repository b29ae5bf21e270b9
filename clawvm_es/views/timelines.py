"""Documents of a session over its turns: the pages in each prompt, as flat rows of integers.

Long lists are flat, so that ten thousand runs make a short text; the names of their columns stand beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

from clawvm_es.errors import JournalDamaged, UsageError
from clawvm_es.history.levels import MARKS, TYPES, Known, Levels, Turn, levels, levels_after, turns_of
from clawvm_es.journal.lineage import event_at
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.facts import EpochTrigger
from clawvm_es.model.pages import LADDER
from clawvm_es.projections import snapshot
from clawvm_es.projections.rows import SessionRow, TurnRow
from clawvm_es.projections.tables import SESSIONS, TURNS
from clawvm_es.views.titles import Titles, title_of

WINDOW_TURNS: Final = 400
"""Turns of which one timeline tells at most."""
BINS_MAX: Final = 400
"""Bins of which an overview has at most."""
TITLE_CHARS: Final = 60
"""Longest title of a page in a timeline."""
RECORDED: Final = "recorded"
T = TypeVar("T")
TURN_FIELDS: Final = (
    "turn",
    "version",
    "budget",
    "tokens",
    "cached",
    "uncached",
    "fixed",
    "directory",
    "pages",
    "stale",
    "rent",
    "epoch",
    "trigger",
    "provider_input",
    "provider_cached",
    "provider_written",
    "misses",
    "faults",
    "other",
)
BIN_FIELDS: Final = (
    "from",
    "to",
    "tokens",
    "cached",
    "uncached",
    "budget",
    "pages",
    "misses",
    "faults",
    "bounds",
    "commits",
    "version",
)
_TRIGGERS: Final = tuple(map(str, EpochTrigger))


def mode_of(policy: str) -> str:
    """The truth that a session shows: `recorded` (the harness's context), or `clawvm` (the engine's prompts)."""
    return RECORDED if policy == RECORDED else "clawvm"


# ---------------------------------------------------------------------------------------------- the window


def timeline(
    log: EventLog, session_id: str, *, first: int | None = None, last: int | None = None, after: int | None = None
) -> dict[str, Any]:
    """The pages of a session in the prompts of some turns; by default the last `WINDOW_TURNS` turns.

    `after` selects the turns whose prompts were assembled after an event.
    """
    return told(log, session_id, *window(log, session_id, first=first, last=last, after=after))


def window(
    log: EventLog, session_id: str, *, first: int | None = None, last: int | None = None, after: int | None = None
) -> tuple[Levels, int]:
    """The levels of a timeline's turns, and the session's last turn."""
    turns = turns_of(log, session_id)
    if after is not None:
        found = levels_after(log, session_id, after)
        return (found if found.last - found.first < WINDOW_TURNS else _last(found)), turns
    if first is None:
        end = turns if last is None else min(last, turns)
        first = max(1, end - WINDOW_TURNS + 1)
    else:
        end = min(turns if last is None else last, first + WINDOW_TURNS - 1, turns)
    if not (first == 1 and turns == 0) and not 1 <= first <= max(end, 1):
        raise UsageError(f"session {session_id} has no turns {first} to {last or turns}", hint=f"its last is {turns}")
    return levels(log, session_id, first, end if 0 < end < turns else None), turns


def _last(found: Levels) -> Levels:
    return found.between(found.last - WINDOW_TURNS + 1, found.last)


def binned(log: EventLog, session_id: str, found: Levels, bins: int) -> dict[str, Any]:
    """The figures of collected levels, in at most the given number of bins of turns."""
    parts = _parts(found.turns, bins)
    return {
        **opening(log, session_id, found.last),
        "from": found.first,
        "to": found.last,
        "bin_fields": BIN_FIELDS,
        "bins": [_bin_of(part, found) for part in parts],
    }


def _parts(items: Sequence[T], bins: int) -> list[Sequence[T]]:
    """Items in at most the given number of bins, all but the last of equal length."""
    if not 1 <= bins <= BINS_MAX:
        raise UsageError(f"bins {bins}: must be from 1 to {BINS_MAX}")
    size = -(-len(items) // bins) or 1
    return [items[at : at + size] for at in range(0, len(items), size)]


def _bin_of(turns: Sequence[Turn], found: Levels) -> list[int]:
    top, last = max(turns, key=lambda turn: turn.assembled.tokens), turns[-1]
    told = top.assembled
    first = turns[0].turn
    return [
        first,
        last.turn,
        told.tokens,
        top.cached,
        told.uncached_tokens,
        told.budget_tokens,
        told.pages,
        sum(turn.misses for turn in turns),
        sum(turn.faults for turn in turns),
        sum(first <= bound.turn <= last.turn for bound in found.bounds),
        sum(first <= turn <= last.turn and good for turn, good, _ in found.commits),
        last.version,
    ]


def told(log: EventLog, session_id: str, found: Levels, turns: int) -> dict[str, Any]:
    """A timeline of collected levels; `turns` is the session's last turn."""
    return {
        **opening(log, session_id, turns),
        "from": found.first,
        "to": found.last,
        "pages": pages_of(log, session_id, found),
        "erased": [page.number for page in found.pages.values() if page.erased],
        **drawn(found),
    }


def pages_of(log: EventLog, session_id: str, found: Levels) -> list[list[Any]]:
    """The pages that levels name, each with its title."""
    titles = Titles(log)
    titles.put(session_id, {page.page_id: (page.source, page.body) for page in found.pages.values()})
    return [_page(page, titles.of(session_id, page.page_id)) for page in found.pages.values()]


def drawn(found: Levels) -> dict[str, Any]:
    """The runs, marks and figures of levels, of any run of a session."""
    return {
        "runs": _flat((r.number, r.first, r.last, r.rank, r.tokens, r.place, r.flags) for r in found.runs),
        "marks": _flat(found.marks),
        "gone": _flat((g.number, g.missed, g.left, g.left_version, g.missed_version) for g in found.gone),
        "fault_names": {str(version): str(fault) for version, fault in found.faults.items()},
        "bounds": [list(bound) for bound in found.bounds],
        "commits": _flat((turn, int(good), version) for turn, good, version in found.commits),
        "turn_fields": TURN_FIELDS,
        "rows": [_row(turn) for turn in found.turns],
    }


def opening(log: EventLog, session_id: str, turns: int) -> dict[str, Any]:
    """The session of a timeline, and the meanings of its integers."""
    with snapshot(log) as view:
        rows = view.rows(SESSIONS)
    row = next((row for row in rows if row.session_id == session_id), None)
    if row is None:
        raise JournalDamaged(f"the read models do not know session {session_id}", hint="clawvm verify JOURNAL")
    return {
        "session_id": session_id,
        "title": title_of(log, session_id),
        "mode": mode_of(row.policy),
        "policy": row.policy,
        "budget_tokens": row.budget_tokens,
        "status": row.status,
        "turns": turns,
        "types": [str(each) for each in TYPES],
        "levels": [str(each) for each in LADDER],
        "triggers": _TRIGGERS,
        "mark_kinds": MARKS,
        "parent": None if row.parent is None else _fork(log, row, row.parent),
        "forks": [_fork(log, other, other.session_id) for other in rows if other.parent == session_id],
    }


def _fork(log: EventLog, row: SessionRow, session_id: str) -> dict[str, Any]:
    """The other side of a fork, and the event of the parent after which it was made."""
    assert row.parent is not None and row.parent_version is not None
    turn = event_at(log, row.parent, row.parent_version).turn
    return {"session_id": session_id, "version": row.parent_version, "turn": turn}


def _flat(rows: Iterable[Iterable[int]]) -> list[int]:
    return [value for row in rows for value in row]


def _page(page: Known, title: str | None) -> list[Any]:
    short = title if title is None or len(title) <= TITLE_CHARS else f"{title[: TITLE_CHARS - 1]}…"
    return [page.number, page.page_id, page.page_type, page.born, page.author, short, list(page.tokens)]


def _row(turn: Turn) -> list[Any]:
    told = turn.assembled
    trigger = -1 if told.trigger is None else _TRIGGERS.index(str(told.trigger))
    return [
        turn.turn,
        turn.version,
        told.budget_tokens,
        told.tokens,
        turn.cached,
        told.uncached_tokens,
        turn.fixed,
        told.directory_tokens,
        told.pages,
        told.stale_tokens,
        told.rent,
        told.epoch,
        trigger,
        *turn.provider,
        turn.misses,
        turn.faults,
        turn.other,
        list(turn.by_type),
    ]


# -------------------------------------------------------------------------------------------- the overview


def overview(
    log: EventLog, session_id: str, bins: int, *, first: int | None = None, last: int | None = None
) -> dict[str, Any]:
    """The figures of a session in at most so many bins of turns: sums, and the fullest prompt of each bin."""
    with snapshot(log) as view:
        rows = [row for row in view.rows(TURNS, session_id) if row.turn and (last is None or row.turn <= last)]
    chosen = [row for row in rows if first is None or row.turn >= first]
    return {
        **opening(log, session_id, turns_of(log, session_id)),
        "from": chosen[0].turn if chosen else 1,
        "to": chosen[-1].turn if chosen else 0,
        "bin_fields": BIN_FIELDS,
        "bins": [_bin(part) for part in _parts(chosen, bins)],
    }


def _bin(rows: Sequence[TurnRow]) -> list[int]:
    top = max(rows, key=lambda row: row.tokens)
    return [
        rows[0].turn,
        rows[-1].turn,
        top.tokens,
        top.tokens - top.uncached_tokens,
        top.uncached_tokens,
        top.budget_tokens,
        top.pages,
        sum(row.misses for row in rows),
        sum(row.faults for row in rows),
        sum(row.boundaries for row in rows),
        sum(row.committed for row in rows),
        rows[-1].last_version,
    ]
