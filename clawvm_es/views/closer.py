"""Documents of one turn, and of one page's life."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs

from clawvm_es.core.state import Page
from clawvm_es.engine.titles import opened_text
from clawvm_es.history.levels import ARRIVAL, MARKS, STALE
from clawvm_es.history.origins import Origins, Provenance
from clawvm_es.history.page_history import LevelChange, Written, page_history
from clawvm_es.history.provenance import Span
from clawvm_es.history.turn import Moved, TurnView
from clawvm_es.history.turn import turn as view_of
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model import events as e
from clawvm_es.model.pages import ABSENT, FULL, LADDER, RANK
from clawvm_es.views.events import brief, event
from clawvm_es.views.reading import time_of
from clawvm_es.views.timelines import RECORDED, mode_of
from clawvm_es.views.titles import Titles, page_title
from clawvm_es.views.words import command

ARGUMENT_CHARS: Final = 2_000
"""Longest arguments of a call that are told of a span."""
_ERASED: Final = 4
_LIVE: Final = "live"


def turn(log: EventLog, session_id: str, number: int) -> dict[str, Any]:
    """One whole turn of a session: its prompt in spans, the changes of its assembly, what followed, its events."""
    return told(log, view_of(log, session_id, number), Titles(log))


def told(log: EventLog, found: TurnView, titles: Titles) -> dict[str, Any]:
    """The document of a turn that was already read from a log."""
    session_id = found.session_id
    titles.read_from(session_id, found.state)
    return {
        "session_id": session_id,
        **_figures(log, found),
        "outline": [
            value
            for span, flags in zip(found.spans, _flags(found), strict=True)
            for value in _outlined(found, span, flags)
        ],
        "spans": spans(found, titles),
        "events": events(log, session_id, found.rows, titles),
        **_moves(found.moved),
        "said": _said(log, found),
    }


def _figures(log: EventLog, found: TurnView) -> dict[str, Any]:
    policy = found.state.profile.name
    told: dict[str, Any] = {
        "turn": found.turn,
        "mode": mode_of(policy),
        "policy": policy,
        "first": found.first,
        "last": found.last,
        "time": time_of(found.rows[0].at_us),
        "needs": _needs(found),
        "provider": _provider(log, found),
        "label": _label(found),
        "fixed_tokens": max(0, found.state.assembled_fixed),
    }
    if found.shown is None:
        return told | dict.fromkeys(("version", "matches", "committed", *_ASSEMBLED)) | {"trigger": None}
    data = found.shown.assembled
    return told | {
        "version": found.shown.version,
        "matches": found.shown.matches,
        "committed": found.counts[e.PromptRendered] > 0,
        **{name: getattr(data, name) for name in _ASSEMBLED},
        "cached_tokens": data.cached_tokens if data.layout_digest else data.tokens - data.uncached_tokens,
        "trigger": None if data.trigger is None else str(data.trigger),
    }


_ASSEMBLED: Final = (
    "budget_tokens",
    "tokens",
    "directory_tokens",
    "pages",
    "uncached_tokens",
    "cached_tokens",
    "stale_tokens",
    "rent",
    "epoch",
    "utility",
    "bound",
)


def _needs(found: TurnView) -> dict[str, int]:
    kinds: dict[str, type[e.Event]] = {
        "hits": e.PageUsed,
        "page_ins": e.PageResolved,
        "unmet": e.NeedUnmet,
        "faults": e.FaultObserved,
        "alerts": e.DuplicateSignatureAlerted,
        "pressure": e.InvariantPressureObserved,
    }
    counted = found.counts
    return {name: counted[kind] for name, kind in kinds.items()}


def _provider(log: EventLog, found: TurnView) -> dict[str, Any] | None:
    """The provider's own counts of the call; None if there was no answer, or no counts."""
    told = found.responded
    if told is None or not (told.input_tokens or told.output_tokens):
        return None
    return {
        "input_tokens": told.input_tokens,
        "cached_tokens": told.cached_tokens,
        "written_tokens": told.written_tokens,
        "output_tokens": told.output_tokens,
        "thinking_tokens": told.thinking_tokens,
        "model": opened_text(log.vault(found.session_id), told.model_name),
        "finish": None if told.finish is None else str(told.finish),
    }


def _label(found: TurnView) -> str:
    """The origin of the prompt in one sentence: whose it is, and how long the recorded call was."""
    policy, told = found.state.profile.name, found.responded
    opened = found.state.opened
    had = f"; the recorded call had {told.input_tokens:,}" if told is not None and told.input_tokens else ""
    if found.shown is None:
        return "no prompt was assembled in this turn"
    if policy == RECORDED:
        return f"as recorded, {found.shown.assembled.tokens:,} tokens in pages{had}"
    if opened is not None and opened.format == _LIVE:
        counted = f"; the provider counted {told.input_tokens:,}" if told is not None and told.input_tokens else ""
        return f"what assemble() returned, under {policy} and {found.shown.assembled.budget_tokens:,} tokens{counted}"
    return f"as {policy} would have sent it under {found.shown.assembled.budget_tokens:,} tokens{had}"


def _moves(moved: Iterable[Moved]) -> dict[str, list[list[str]]]:
    """The changes of an assembly: pages that arrived, left, were raised and were lowered."""
    found: dict[str, list[list[str]]] = {"came": [], "left": [], "raised": [], "lowered": []}
    for each in moved:
        before, after = RANK[each.before], RANK[each.after]
        which = "came" if not before else "left" if not after else "raised" if after > before else "lowered"
        found[which].append([each.page_id, str(each.before), str(each.after), each.reason])
    return found


def _said(log: EventLog, found: TurnView) -> dict[str, Any] | None:
    row = found.answer
    if row is None:
        return None
    assert isinstance(row.data, e.PageWritten)
    text = opened_text(log.vault(found.session_id), row.data.levels[0].body if row.data.levels else None)
    return {"page_id": row.data.page_id, "version": row.version, "text": text, "chars": len(text or "")}


# ------------------------------------------------------------------------------------------------ spans


def spans(found: TurnView, titles: Titles) -> list[dict[str, Any]]:
    """The spans of a turn's prompt, in order, with their texts and origins."""
    titles.load(found.session_id, (span.page_id for span in found.spans))
    return [
        {
            "i": place,
            **_span(found, span, flags),
            "title": titles.of(found.session_id, span.page_id),
            "text": span.text,
            "chars": len(span.text),
            "origin": None if span.origin is None else origin(span.origin),
        }
        for place, (span, flags) in enumerate(zip(found.spans, _flags(found), strict=True))
    ]


def _span(found: TurnView, span: Span, flags: int) -> dict[str, Any]:
    page = None if span.page_id is None else found.state.pages[span.page_id]
    return {
        "page_id": span.page_id,
        "number": 0 if page is None else page.number,
        "page_type": None if page is None else str(page.page_type),
        "level": None if span.level is None else str(span.level),
        "first_byte": span.first_byte,
        "end_byte": span.end_byte,
        "first_token": span.first_token,
        "end_token": span.end_token,
        "arrival": bool(flags & ARRIVAL),
        "stale": bool(flags & STALE),
        "erased": span.erased,
    }


def _flags(found: TurnView) -> list[int]:
    """The flags of all spans, as in the runs of `history.levels`."""
    state = found.state
    if not state.in_epochs or found.shown is None:
        came = frozenset(state.assembled_last)
        return [(ARRIVAL if s.page_id in came else 0) | (_ERASED if s.erased else 0) for s in found.spans]
    told, places = found.shown.assembled, [*state.entries, 0]  # the directory line has no place
    grown = state.appended if told.trigger is not None else state.appended - len(told.entries)
    return [
        (ARRIVAL if place > grown else 0)
        | (STALE if place and state.standing.get(span.page_id or "") != place else 0)
        | (_ERASED if span.erased else 0)
        for place, span in zip(places, found.spans, strict=False)
    ]


def _outlined(found: TurnView, span: Span, flags: int) -> tuple[int, int, int, int]:
    page = None if span.page_id is None else found.state.pages[span.page_id]
    rank = 0 if span.level is None else LADDER.index(span.level)
    return 0 if page is None else page.number, rank, span.end_token - span.first_token, flags


def origin(found: Provenance) -> dict[str, Any]:
    """The origin of a content, for a reader of a prompt."""
    call = found.call
    written = attrs.asdict(found.written)
    return {
        "author": str(found.author),
        "kind": str(found.kind),
        "content_version": found.content_version,
        "source": found.source,
        "first": found.first,
        "last": found.last,
        "written": written | {"time": time_of(written.pop("at_us"))},
        "call": None
        if call is None
        else attrs.asdict(call) | {"arguments": None if call.arguments is None else call.arguments[:ARGUMENT_CHARS]},
    }


# ----------------------------------------------------------------------------------------------- events


def events(log: EventLog, session_id: str, rows: Sequence[Recorded], titles: Titles) -> list[dict[str, Any]]:
    """Events in order, each on one line and with its data; pages are given with their titles."""
    vault = log.vault(session_id)
    known = {row.data.page_id: page_title(vault, row.data) for row in rows if isinstance(row.data, e.PageWritten)}
    named = [getattr(row.data, "page_id", None) for row in rows]
    titles.load(session_id, [page_id for page_id in named if page_id not in known])
    return [
        _event(row, page_id, known[page_id] if page_id in known else titles.of(session_id, page_id))
        for row, page_id in zip(rows, named, strict=True)
    ]


def _event(row: Recorded, page_id: str | None, title: str | None) -> dict[str, Any]:
    whole = event(row)
    told = {name: whole[name] for name in ("version", "turn", "kind", "type", "time", "cause", "principal", "data")}
    return told | {"page_id": page_id, "title": title, "brief": brief(whole | {"title": title})}


# ------------------------------------------------------------------------------------------ a page's life


def life(log: EventLog, session_id: str, page_id: str, *, journal: str) -> dict[str, Any]:
    """One page from its first event to the session's end: its contents, levels, uses, and remaining texts."""
    found = page_history(log, session_id, page_id)
    page, origins, titles = found.page, Origins(log, session_id, found.state), Titles(log)
    titles.read_from(session_id, found.state)
    source = origins.page(page)
    first = found.contents[0].event if found.contents else source.written
    return {
        "session_id": session_id,
        "page_id": page_id,
        "number": page.number,
        "page_type": str(page.page_type),
        "author": str(page.author),
        "title": titles.of(session_id, page_id),
        "born": {"version": first.version, "turn": first.turn, "time": time_of(first.at_us)},
        "status": _status(page),
        "pin": str(page.pin),
        "dirty": page.dirty,
        "active": page.active,
        "floor": str(LADDER[page.floor]),
        "content_version": page.content_version,
        "source": source.source,
        "call": origin(source)["call"],
        "levels": _levels(page, origins),
        "runs": [value for run in found.runs for value in (run.first, run.last, run.rank, run.tokens)],
        "uses": [value for use in found.uses for value in (use.turn, MARKS.index(use.kind), use.version)],
        "mark_kinds": MARKS,
        "changes": [_level_change(each) for each in found.changes],
        "changes_total": len(found.changes),
        "contents": [_content(place, each) for place, each in enumerate(found.contents, 1)],
        "marks": [{"version": at.version, "turn": at.turn, "what": what} for at, what in found.marks],
        "commands": [
            command("blame", journal, page_id, "--session", session_id),
            command("show", journal, page_id, "--session", session_id),
        ],
    }


def _status(page: Page) -> str:
    if page.redacted:
        return "redacted"
    return "retired" if page.retired else "destroyed" if page.gone else "rewound" if page.away else "present"


def _levels(page: Page, origins: Origins) -> list[dict[str, Any]]:
    """The kept levels of the newest content, highest first, with their texts; None for an erased text."""
    origins.read(page.bodies)
    found = []
    for rank in range(FULL, ABSENT, -1):
        if page.tokens[rank] >= 0:
            text = origins.text(page.bodies[rank])
            chars = 0 if text is None else len(text)
            found.append({"level": str(LADDER[rank]), "tokens": page.tokens[rank], "text": text, "chars": chars})
    return found


def _level_change(each: LevelChange) -> dict[str, Any]:
    cause, boundary = each.cause, each.boundary
    told = {"version": cause.version, "type": cause.type, "turn": cause.turn}
    return {
        "version": each.event.version,
        "turn": each.event.turn,
        "before": str(each.before),
        "after": str(each.after),
        "reason": each.reason,
        "cause": told | {"boundary": None if boundary is None else str(boundary)},
    }


def _content(number: int, each: Written) -> dict[str, Any]:
    place = each.event
    told = {"content_version": number, "version": place.version, "turn": place.turn, "time": time_of(place.at_us)}
    return told | {"author": str(each.author), "tokens": each.tokens}
