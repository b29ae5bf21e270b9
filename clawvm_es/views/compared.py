"""Documents of comparisons: two moments, two runs, and the same inputs under other settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from clawvm_es.engine.values import NOTHING, Mark
from clawvm_es.history.compare import compare
from clawvm_es.history.diff import diff as ask
from clawvm_es.history.whatif import OPEN_LOOP
from clawvm_es.journal.ports import EventLog
from clawvm_es.journal.snapshots import state_at
from clawvm_es.views.costs import priced
from clawvm_es.views.figures import figures, parting
from clawvm_es.views.reading import chosen, is_place, version_named
from clawvm_es.views.titles import Titles

if TYPE_CHECKING:
    from clawvm_es.engine.values import Change
    from clawvm_es.history.compare import At, Comparison, Divergence
    from clawvm_es.history.figures import Parting
    from clawvm_es.history.rerun import Rerun
    from clawvm_es.history.whatif import Run, WhatIf

TEXT_CHARS: Final = 2_000
"""Characters of a text that a document holds of each side."""

Moment = tuple[str, int | None]
"""A session and a version of it; None for its end."""


def moment(log: EventLog, text: str, session: str | None = None) -> Moment:
    """The session and version named by VERSION, turn:N, ID@VERSION, ID@turn:N or ID."""
    name, at, place = text.rpartition("@")
    if not at or not is_place(place):
        name, place = ("", text) if is_place(text) else (text, "")
    session_id = chosen(log, name or session)
    return session_id, version_named(log, session_id, place)


def diff(
    log: EventLog,
    a: Moment,
    b: Moment,
    *,
    other: EventLog | None = None,
    times: bool = False,
    limit: int = 10,
    unified: bool = False,
) -> dict[str, Any]:
    """All differences between two moments; for two sessions also event by event.

    `b` is in the log `other` if given. `unified` adds the whole diff of the prompts; `limit` is the number of
    differences listed after the first.
    """
    second = log if other is None else other
    found = ask(log, a, b, other=second)
    document: dict[str, Any] = {"same": found.same, **attrs.asdict(found)}
    if found.prompt is not None and not unified:
        del document["prompt"]["unified"]
    titles = Titles(log)
    others = titles if second is log else Titles(second)
    one = others is titles and found.a.session_id == found.b.session_id
    titles.load(found.a.session_id, (page["page_id"] for page in document["pages"] if one or page["only"] != "b"))
    others.load(found.b.session_id, (page["page_id"] for page in document["pages"] if page["only"] == "b"))
    for page in document["pages"]:
        side = (titles, found.a) if page["only"] != "b" else (others, found.b)
        page["title"] = side[0].of(side[1].session_id, page["page_id"])
    if other is not None or a[0] != b[0]:
        runs = compare(log, a, b, other=second, times=times)
        document["same"] = found.same and runs.same
        document["against"] = None if other is None else other.place
        document["runs"] = _runs(runs, limit)
    return document


def _runs(runs: Comparison, limit: int) -> dict[str, Any]:
    return {
        "same": runs.same,
        "settings": [{"name": each.name, "a": each.a, "b": each.b} for each in runs.settings],
        "first": None if runs.first is None else _divergence(runs.first),
        "firsts": {kind: _divergence(each) for kind, each in runs.firsts.items()},
        "counts": {kind: dict(counted) for kind, counted in runs.counts.items()},
        "differences": len(runs.divergences),
        "listed": [_divergence(each) for each in runs.divergences[: limit + 1]],
        "erased_in_both": runs.erased,
    }


def _divergence(each: Divergence) -> dict[str, Any]:
    return {
        "text": str(each),
        "place": each.place,
        "kind": each.kind,
        "type": each.type,
        "who": each.who,
        "how": each.how,
        "a": _at(each.a),
        "b": _at(each.b),
        "changes": [_change(change) for change in each.changes],
    }


def _at(at: At | None) -> dict[str, int] | None:
    return None if at is None else {"version": at.version, "turn": at.turn}


def _change(change: Change) -> dict[str, Any]:
    """A differing field: values as JSON (long texts cut; null if a side has none), and as shown."""
    a, b = (_value(value) for value in (change.was, change.now))
    return {"path": change.path, "line": change.line, "a": a, "b": b, "shown": list(change.shown)}


def _value(value: Any) -> Any:
    if isinstance(value, Mark):
        return None if value is NOTHING else value.word
    return value[:TEXT_CHARS] if isinstance(value, str) else value


# --------------------------------------------------------------------------------- under other settings


def whatif(log: EventLog, session_id: str, after: int, found: WhatIf, prices: str | None = None) -> dict[str, Any]:
    """The recorded run of a session and its runs under other settings: figures, cost and first differences.

    `harness` is a recorded harness, counted by its pages only, as the runs are. `prices` names a price list.
    """
    titles = Titles(log)
    return {
        "session_id": session_id,
        "from": after,
        "open_loop": True,
        "caveat": OPEN_LOOP if _has_levels(log, session_id) else f"{OPEN_LOOP}; {FULL_ONLY}",
        "prices": priced(prices),
        "recorded": _run(found.recorded, session_id, titles, prices),
        "harness": None if found.harness is None else figures(found.harness, prices),
        "runs": [_run(run, session_id, titles, prices) for run in found.runs],
    }


FULL_ONLY: Final = "full only: the session kept no lower levels of its pages"
"""Caveat of what-ifs of a session that was recorded live as its harness had it."""


def _has_levels(log: EventLog, session_id: str) -> bool:
    opened = state_at(log, session_id).opened
    return opened is None or opened.levels


def _run(run: Run, session_id: str, titles: Titles, prices: str | None) -> dict[str, Any]:
    profile = run.profile
    return {
        "policy": profile.name,
        "budget": run.budget_tokens,
        "weights": attrs.asdict(profile.weights),
        "capabilities": [str(capability) for capability in profile.capabilities],
        **figures(run.figures, prices),
        "parted": _parted(run.parted, session_id, titles),
    }


def rerun(log: EventLog, session_id: str, ran: Rerun) -> dict[str, Any]:
    """A fork that received the rest of its parent's inputs, beside the parent."""
    return {
        "appended": ran.appended,
        "served": ran.served,
        "needs_left_out": ran.left_out,
        "caveat": OPEN_LOOP,
        "recorded": figures(ran.recorded),
        "now": figures(ran.now),
        "parted": _parted(ran.parted, session_id, Titles(log)),
    }


def _parted(parted: Parting | None, session_id: str, titles: Titles) -> dict[str, Any] | None:
    named = {} if parted is None else {parted.page_id: titles.of(session_id, parted.page_id)}
    return parting(parted, named)
