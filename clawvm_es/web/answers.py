"""Answers: for each address a function of a log open for reading, the session, and the request.

Each is a view of `clawvm_es.views` (as `clawvm VERB --json` prints it), shortened to fit one answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import attrs

from clawvm_es import views
from clawvm_es.errors import ClawVMError, UsageError
from clawvm_es.history import grep as search
from clawvm_es.history.levels import Levels, turns_of
from clawvm_es.history.places import state_at
from clawvm_es.history.turn import turn as turn_of
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import Capability, EventLog, declares, erasing
from clawvm_es.model.events import SCOPE_PREFIX
from clawvm_es.storage import open_log
from clawvm_es.views import timelines
from clawvm_es.views.reading import known_sessions, number_of, version_named
from clawvm_es.web.encode import encode
from clawvm_es.web.ids import id_of, key_of
from clawvm_es.web.sizes import LIMIT, bounded, part, shrunk, taken

Answer: TypeAlias = dict[str, Any]
SESSIONS_MOST: Final = 100
HITS_MOST: Final = 200
LINE_CHARS: Final = 400
_EVENTS_MOST: Final = 200
_EVENTS_ROOM: Final = 50_000
_OUTLINE_ROOM: Final = 4_000  # spans
_MOVES_MOST: Final = 150
_SAID_BYTES: Final = 16_000
_HEAD_ROOM: Final = 2_000
_CANDIDATES: Final = 40


class NotFound(ClawVMError):
    """An address names something that is not in the journal."""


@contextmanager
def reading(journal: str) -> Iterator[EventLog]:
    """The journal, for the duration of one answer; nothing is written, and no erasure is finished."""
    with open_log(journal, read_only=True) as log:
        yield log


@attrs.frozen
class Asked:
    """A request: the names in its address, and its parameters. Their errors are `UsageError`s that name them."""

    journal: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    every: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)

    def number(self, name: str, default: int | None = None, least: int = 0) -> int | None:
        """A parameter that is a whole number."""
        text = self.query.get(name, "")
        if not text:
            return default
        found = number_of(text)
        if found is None or found < least:
            raise UsageError(f"{name}={text!r}: must be a whole number from {least}")
        return found

    def text(self, name: str) -> str:
        """A required parameter."""
        found = self.query.get(name, "")
        if not found.strip():
            raise UsageError(f"{name}= is missing")
        return found

    def version(self, log: EventLog, session_id: str, name: str, default: int | None = None) -> int | None:
        """A place: `tN`, the end of a turn, or `vN`, after an event."""
        text = self.query.get(name, "")
        if not text:
            return default
        if text[0] not in "tv" or number_of(text[1:]) is None:
            raise UsageError(f"{name}={text!r}: must be tN (the end of turn N) or vN (after event N)")
        return version_named(log, session_id, f"turn:{text[1:]}" if text[0] == "t" else text[1:])

    def session(self, log: EventLog) -> str:
        """The session that the address names."""
        wanted = id_of(self.path["session"])
        if not wanted.startswith(SCOPE_PREFIX) and log.head(wanted) is not None:
            return wanted
        found = [each for each in known_sessions(log) if wanted and each.startswith(wanted)]
        if len(found) != 1:
            many = f"{len(found)} sessions begin with {wanted!r}" if found else f"there is no session {wanted!r}"
            raise NotFound(many, hint="/api/sessions lists them")
        return found[0]


def head_of(log: EventLog, session_id: str) -> Answer:
    """The head of a session, by which a client knows whether an answer is still current."""
    head = log.head(session_id)
    return {"version": 0, "hash": ""} if head is None else {"version": head.version, "hash": head.hash.hex()}


# ------------------------------------------------------------------------------------------ all sessions


def sessions(log: EventLog, asked: Asked) -> Answer:
    """The sessions of the journal, newest first, a page at a time."""
    limit = asked.number("limit", 50, least=1) or 1
    skip = asked.number("after", 0) or 0
    rows, total = views.newest(log, text=asked.query.get("q", ""), skip=skip, limit=min(limit, SESSIONS_MOST))
    for row in rows:
        row["key"], row["mode"] = key_of(row["session_id"]), timelines.mode_of(row["policy"])
    shown = taken(rows, LIMIT - _HEAD_ROOM)
    last = skip + len(shown)
    heads = [head.seq for head in log.heads()]
    return {
        "head": {"seq": max(heads, default=0)},
        "total": total,
        "next": str(last) if last < total else None,
        "erasure_pending": _pending(log),
        "anchored": None,
        "sessions": shown,
    }


def _pending(log: EventLog) -> bool:
    return declares(log, Capability.ERASE) and bool(erasing(log, "ui").pending_erasures())


# ------------------------------------------------------------------------------------ one session's turns


def map_(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """A window of turns, or the whole session in bins."""
    first, last = asked.number("from", least=1), asked.number("to", least=1)
    bins = asked.number("bins", least=1)
    if bins is not None:
        return keyed(timelines.overview(log, session_id, bins, first=first, last=last))
    after = asked.number("after")
    found, last_turn = timelines.window(log, session_id, first=first, last=last, after=after)

    def made(size: int) -> Answer:
        part = parted(found, size, from_end=first is None)
        return keyed(timelines.told(log, session_id, part, last_turn))

    return dict(shrunk(made, max(1, found.last - found.first + 1), LIMIT - _HEAD_ROOM))


def parted(found: Levels, turns: int, from_end: bool) -> Levels:
    """The given number of turns of a window, its last or its first ones."""
    if found.last - found.first < turns:
        return found
    if from_end:
        return found.between(found.last - turns + 1, found.last)
    return found.between(found.first, found.first + turns - 1)


def keyed(told: Answer) -> Answer:
    """A timeline with the forms of ids in addresses."""
    told["key"] = key_of(told["session_id"])
    for other in (*told["forks"], *filter(None, [told["parent"]])):
        other["key"] = key_of(other["session_id"])
    return told


# -------------------------------------------------------------------------------------------- one turn


def turn(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """One turn: its figures, and its spans and events while there is room."""
    found = views.turn(log, session_id, _turn(asked))
    spans, events, outline = found.pop("spans"), found.pop("events"), found.pop("outline")
    shown = taken(events, _EVENTS_ROOM, _EVENTS_MOST)
    for name in ("came", "left", "raised", "lowered"):
        found[f"{name}_total"] = len(found[name])
        found[name] = found[name][:_MOVES_MOST]
    if found["said"] is not None and found["said"]["text"] is not None:
        found["said"]["text"] = part(found["said"]["text"], room=_SAID_BYTES)
    told = {
        **found,
        "turns": turns_of(log, session_id),
        "outline": outline[: 4 * _OUTLINE_ROOM],
        **_listed("events", shown, len(events), shown[-1]["version"] if shown else None),
    }
    return told | _spans(spans, 0, LIMIT - _HEAD_ROOM - len(encode(told)))


def _turn(asked: Asked) -> int:
    found = number_of(asked.path["turn"])
    if found is None:
        raise NotFound(f"there is no turn {asked.path['turn']!r}")
    return found


def _listed(name: str, shown: list[Any], total: int, last: int | None) -> Answer:
    return {name: shown, f"{name}_total": total, f"{name}_next": last if len(shown) < total else None}


def _spans(spans: list[Answer], first: int, room: int) -> Answer:
    shown = taken(map(_cut, spans[first:]), room)
    end = first + len(shown)
    return {"spans": shown, "spans_total": len(spans), "spans_next": end if end < len(spans) else None}


def _cut(span: Answer) -> Answer:
    text = part(span["text"])
    return span | {"text": text, "cut": len(text) < span["chars"]}


def spans(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """More spans of a turn's prompt."""
    found = views.turn(log, session_id, _turn(asked))["spans"]
    return _spans(found, asked.number("from", 0) or 0, LIMIT - _HEAD_ROOM)


def span(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """A piece of the text of one span."""
    found, place = turn_of(log, session_id, _turn(asked)).spans, number_of(asked.path["place"])
    if place is None or place >= len(found):
        raise NotFound(f"turn {asked.path['turn']} has no span {asked.path['place']}", hint=f"it has {len(found)}")
    offset, text = asked.number("offset", 0) or 0, found[place].text
    shown = part(text, offset)
    end = offset + len(shown)
    return {
        "i": place,
        "offset": offset,
        "text": shown,
        "chars": len(text),
        "next": end if end < len(text) else None,
    }


def events(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """More events of a turn."""
    found = views.turn(log, session_id, _turn(asked))["events"]
    after = asked.number("after", 0) or 0
    rest = [each for each in found if each["version"] > after]
    shown = taken(rest, LIMIT - _HEAD_ROOM, 10 * _EVENTS_MOST)
    more = shown[-1]["version"] if len(shown) < len(rest) else None
    return {"events": shown, "events_total": len(found), "events_next": more}


def why(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """The reasons for a page's level in a turn, beside the candidates nearest to it."""
    found = views.why(log, session_id, id_of(asked.path["page"]), turn=_turn(asked))
    total, most = len(found["candidates"]), min(asked.number("n", _CANDIDATES, least=1) or 1, 100)
    found["candidates"] = taken(found["candidates"], LIMIT // 2, most)
    return bounded(found | {"candidates_total": total})


# ----------------------------------------------------------------------------------- pages, events, texts


def page(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """The life of a page."""
    return bounded(views.life(log, session_id, id_of(asked.path["page"]), journal=asked.journal))


def blame(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """The versions of a page or a field."""
    return bounded(views.blame(log, session_id, id_of(asked.path["subject"])))


def event(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """One event with the texts behind it."""
    version = number_of(asked.path["version"])
    if version is None:
        raise NotFound(f"there is no event {asked.path['version']!r}")
    found = views.show(log, session_id, str(version))
    texts = found.pop("texts", {})
    following = read_session(log, session_id, version, version + _EVENTS_MOST)
    caused = [row.version for row in following if row.cause == version]
    parts = {where: None if each is None else part(each) for where, each in texts.items()}
    told = bounded({"event": found, "texts": parts, "caused": caused})
    return told | {"cut": told["cut"] or parts != texts}


def diff(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """Everything that differs between two places of the session."""
    a, b = (asked.version(log, session_id, name) for name in ("a", "b"))
    found = views.diff(log, (session_id, a), (session_id, b), unified=True)
    return bounded(found | {"pages_total": len(found["pages"])})


def store(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """The durable store and the updates that were proposed, up to a place."""
    at = asked.version(log, session_id, "at")
    fields = views.store(log, session_id, version=at)
    return bounded(fields | views.store(log, session_id, version=at, updates=True))


def grep(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """The texts that hold all words: the first ones after an event."""
    query = search.words(asked.text("q"))
    limit = min(asked.number("limit", 50, least=1) or 1, HITS_MOST)
    found = views.grep(log, query, session_id, after=asked.number("after", 0) or 0, limit=limit)
    found["hits"] = [_around(hit) for hit in found["hits"]]
    return bounded(found)


def _around(hit: Answer) -> Answer:
    """A hit with as much of its line as a reader looks at."""
    start = max(0, min(hit["start"] - LINE_CHARS // 4, len(hit["line"]) - LINE_CHARS))
    line = hit["line"][start : start + LINE_CHARS]
    return hit | {"line": line, "start": hit["start"] - start, "end": min(hit["end"] - start, len(line))}


def losses(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """Pages that each boundary took out of the prompt and were needed later, and every other loss."""
    return bounded(views.lost(log, session_id))


def growth(log: EventLog, session_id: str, asked: Asked) -> Answer:
    """The present version of a session, for clients that follow it."""
    last = log.head(session_id)
    closed = state_at(log, session_id).closed
    version, hash_ = (0, "") if last is None else (last.version, last.hash.hex())
    status = "closed" if closed else "open"
    return {"version": version, "hash": hash_, "turn": turns_of(log, session_id), "status": status}


Question: TypeAlias = Callable[[EventLog, str, Asked], Answer]
OF_A_SESSION: Final[Mapping[str, Question]] = {
    "map": map_,
    "t/{turn}": turn,
    "t/{turn}/spans": spans,
    "t/{turn}/span/{place}": span,
    "t/{turn}/events": events,
    "t/{turn}/why/{page}": why,
    "page/{page}": page,
    "blame/{subject}": blame,
    "e/{version}": event,
    "diff": diff,
    "store": store,
    "grep": grep,
    "losses": losses,
}
"""Address below `/api/s/{session}/` → its answer."""
ASKS: Final = frozenset(("diff", "store", "grep", "map"))
"""Addresses whose errors are of what was asked, since all that they name is the session."""
