"""Documents of losses: pages that a session lost and needed again, the cuts of each boundary, and imports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from clawvm_es.core.budget import OUTPUT_DEFAULT, WINDOW_DEFAULT, Ratio
from clawvm_es.core.profiles import CLAWVM, RECORDED
from clawvm_es.fleet.executor import in_order
from clawvm_es.history.losses import Kind, Losses, losses, losses_of
from clawvm_es.history.whatif import OPEN_LOOP, Setting, whatif
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog
from clawvm_es.projections import snapshot
from clawvm_es.projections.tables import SESSIONS, TURNS
from clawvm_es.urls import placed
from clawvm_es.views.costs import counted, priced
from clawvm_es.views.figures import figures, parting, session
from clawvm_es.views.reading import at_place
from clawvm_es.views.titles import Titles

if TYPE_CHECKING:
    from clawvm_es.fleet.executor import Executor
    from clawvm_es.history.losses import Dropped, Loss
    from clawvm_es.history.whatif import Progress
    from clawvm_es.importers.importing import Imported
    from clawvm_es.projections.rows import SessionRow, TurnRow

DEAREST: Final = 5
"""Losses that are told of one session."""
NOT_RECORDED: Final = (
    "system prompt and tool schemas are not recorded, so they are in no count, as are files that no call read whole"
    " and that older harnesses show again after a compaction"
)
"""Part of every harness's prompts that no transcript holds."""


def lost(log: EventLog, session_id: str) -> dict[str, Any]:
    """All losses of a session, and for each boundary the pages it took out and those needed later."""
    found, titles = losses_of(log, session_id), Titles(log)
    titles.load(session_id, (each.page_id for each in found.losses))
    return {
        "session_id": session_id,
        "losses": [_loss(each, session_id, titles) for each in found.losses],
        "boundaries": [_dropped(each, session_id, titles) for each in found.dropped],
    }


def _loss(each: Loss, session_id: str, titles: Titles) -> dict[str, Any]:
    return {
        "kind": each.kind.value,
        "turn": each.turn,
        "version": each.version,
        "page_id": each.page_id,
        "page_type": each.page_type.value,
        "title": titles.of(session_id, each.page_id),
        "rule": None if each.rule is None else each.rule.value,
        "tokens": each.tokens,
        "line": each.line or None,
        "again_line": each.again or None,
        "call": each.call,
        "boundary": each.boundary,
    }


def _dropped(each: Dropped, session_id: str, titles: Titles) -> dict[str, Any]:
    return {
        "version": each.version,
        "turn": each.turn,
        "boundary": each.boundary,
        "cut": None if each.cut is None else each.cut.value,
        "pages": each.pages,
        "tokens": each.tokens,
        "summary": each.summary,
        "inferred": each.inferred,
        "needed_later": [_loss(loss, session_id, titles) for loss in each.needed],
    }


# ------------------------------------------------------------------------------------- after an import


def imported(
    log: EventLog,
    outcomes: Sequence[Imported],
    *,
    compared: int | None = None,
    progress: Progress | None = None,
    prices: str | None = None,
    spread: tuple[str, Executor] | None = None,
) -> dict[str, Any]:
    """The sessions of an import with their harnesses' losses, and the files that were not read.

    For the `compared` sessions with the most losses (None: all), it also says what `clawvm` would have lost, at the
    page tokens of the harness's largest prompt and at half of it, and the costs relative to the harness. `prices`
    names the price list for reported usage. `spread` is the journal's place and an executor that compares, one job
    per session.
    """
    with snapshot(log) as view:
        rows = {row.session_id: row for row in view.rows(SESSIONS)}
        last = {each: outcome for each, outcome in _last(outcomes).items() if each in rows}
        ratios = {each: ratio_of(view.rows(TURNS, each)) for each in last}
    found = [_session(log, rows[each], outcome, ratios[each], prices) for each, outcome in last.items()]
    chosen = [one for one in sorted(found, key=_worst_first) if one["compactions"]][:compared]
    held = [(one["session_id"], one["policy"], one["lost"]["held_tokens"], prices) for one in chosen]
    if spread is None:
        compared_ones: Iterable[list[dict[str, Any]]] = (_policies(log, *each) for each in held)
    else:
        compared_ones = in_order(spread[1], _compared, [(placed(spread[0]), *each) for each in held])
    for place, (one, policies) in enumerate(zip(chosen, compared_ones, strict=True), 1):
        one["policies"] = policies
        if progress is not None:
            progress(place, len(chosen))
    return {
        "sessions": found,
        "prices": priced(prices),
        "unchanged": sum(each.unchanged for each in outcomes),
        "skipped": [{"file": each.path, "reason": each.error} for each in outcomes if each.skipped],
        "errors": [
            {"file": each.path, "error": each.error, "hint": each.hint}
            for each in outcomes
            if each.error and not each.skipped
        ],
        "caveat": f"{NOT_RECORDED}; {OPEN_LOOP}",
    }


def _last(outcomes: Iterable[Imported]) -> Mapping[str, Imported]:
    """Session → the last file from which it came, ignoring unchanged files."""
    return {session_id: each for each in outcomes if not each.unchanged for session_id in each.sessions}


def _worst_first(one: Mapping[str, Any]) -> tuple[int, int]:
    return -one["lost"]["tokens"], -one["turns"]


def ratio_of(turns: Iterable[TurnRow]) -> Ratio:
    """Ratio of the provider's count of a session's prompts to ours."""
    found = Ratio(records_all=False)
    for turn in turns:
        found.answered(turn.input_tokens, turn.tokens)
    return found


def _session(log: EventLog, row: SessionRow, outcome: Imported, ratio: Ratio, prices: str | None) -> dict[str, Any]:
    parts = [each for each in outcome.replayed if each.session_id == row.session_id]
    cuts = sum((row.compactions, row.prunes, row.resets))
    found = losses(read_session(log, row.session_id)) if cuts or row.misses else Losses((), ())
    return session(log, row, prices) | {
        "file": outcome.path,
        "appended": sum(each.appended for each in parts),
        "skipped": {} if not parts else dict(sorted(parts[-1].skipped.items())),
        "skipped_lines": {} if not parts else {name: [*lines] for name, lines in parts[-1].skipped_lines.items()},
        "recorded_by": parts[-1].recorded_by if parts else None,
        "compactions": row.compactions,
        "cuts": cuts,
        "lost": _summed(log, row.session_id, found),
        "default_budget": {
            "tokens": ratio.budget(),
            "ratio_permille": ratio.permille,
            "answers": len(ratio.told),
            "fixed_tokens": ratio.fixed,
            "window": WINDOW_DEFAULT,
            "max_output": OUTPUT_DEFAULT,
        },
        "policies": [],
    }


def _summed(log: EventLog, session_id: str, found: Losses) -> dict[str, Any]:
    titles, needed = Titles(log), found.needed
    rules = {loss.page_id for loss in found.of(Kind.RULE_LOST)}
    return {
        "needed_again": len(needed),
        "read_again": len(found.of(Kind.READ_AGAIN)),
        "unmet": len(found.of(Kind.UNMET)),
        "tokens": sum(loss.tokens for loss in needed),
        "rules": len(rules),
        "held_tokens": found.held,
        "dearest": [_loss(each, session_id, titles) for each in needed[:DEAREST]],
    }


def _compared(place: str, *of: Any) -> list[dict[str, Any]]:
    with at_place(place) as log:
        return _policies(log, *of)


def _policies(log: EventLog, session_id: str, policy: str, held: int, prices: str | None) -> list[dict[str, Any]]:
    """`clawvm` at the page tokens of the harness's largest prompt, and at half of it.

    Our prompts hold no arguments and thoughts, which the harness's do: `cost_permille` is relative to the harness's
    pages only.
    """
    if policy != RECORDED.name or held < 2:
        return []
    budgets, titles = (held, held // 2), Titles(log)
    found = whatif(log, session_id, [Setting(CLAWVM, budget) for budget in budgets])
    own = 0 if found.harness is None else counted(found.harness.spent, prices)["cost"]
    return [
        {"policy": run.profile.name, "budget": run.budget_tokens}
        | figures(run.figures, prices)
        | {
            "cost_permille": counted(run.figures.spent, prices)["cost"] * 1000 // own if own else None,
            "parted": parting(
                run.parted,
                {} if run.parted is None else {run.parted.page_id: titles.of(session_id, run.parted.page_id)},
            ),
        }
        for run in found.runs
    ]
