"""What the asking verbs say in words: reasons, places and origins as sentences of a line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from clawvm_es.core.tracing import Account, Candidate, Kept, Outcome, Stop
from clawvm_es.model.facts import ChangeReason
from clawvm_es.model.pages import ABSENT, LADDER, Fidelity, OriginKind

if TYPE_CHECKING:
    from clawvm_es.history.origins import Place, Provenance
    from clawvm_es.history.why import Change, Why

_BY: Final[Mapping[ChangeReason | Kept, str]] = {
    ChangeReason.FLOOR: "its floor",
    ChangeReason.ARRIVAL: "an arrival (new, or paged in)",
    ChangeReason.HINT: "a hint of this turn",
    ChangeReason.RETRIEVED: "retrieved",
    ChangeReason.RAISED: "a step taken",
    ChangeReason.PRESSURE: "an arrival that did not fit",
    Kept.KEPT: "where it stood before",
}
"""How a page came to its level."""


def command(verb: str, *words: object) -> str:
    """A command to copy into a shell: ids and paths are quoted, so that it runs nothing else."""
    return shlex.join(["clawvm", verb, *map(str, words)])


def next_level(candidate: Candidate) -> Fidelity | None:
    """The level that the page's next step leads to; None where it has none."""
    rank = LADDER.index(candidate.after)
    return next((offer.level for offer in candidate.steps if LADDER.index(offer.level) > rank), None)


def stopped(candidate: Candidate, account: Account) -> str:
    """Why a page stands no higher, in a few words."""
    level = next_level(candidate)
    wanted, rest = candidate.wanted, candidate.rest
    step = f"next step ({level}) takes {wanted}" if level else f"takes {wanted}"
    match candidate.stop:
        case Stop.TOP:
            return "nothing above"
        case Stop.PRESSURE:
            what = f"floor ({candidate.floor})" if candidate.floor else "lowest level"
            return f"did not fit: {what} takes {wanted}, {rest} there for all of its kind"
        case Stop.MISFIT:
            return f"did not fit: {step}, rest was {rest}"
        case Stop.NOT_REACHED:
            return f"not reached: {step}; the pass ended after {account.refusals} refusals"
        case _:
            return _PLAIN[candidate.stop]


_PLAIN: Final[Mapping[Stop, str]] = {
    Stop.RETIRED: "retired",
    Stop.REDACTED: "redacted: no level is left",
    Stop.DESTROYED: "destroyed before it was committed",
    Stop.NOT_OFFERED: "a summary of the harness: prompts that clawvm selects hold what it replaced",
    Stop.BOUNDARY: "its floor was lost at a boundary",
    Stop.NOT_RETRIEVED: "not retrieved",
    Stop.SHARE: "all that is new had to fit in its share of what was left",
    Stop.NO_UTILITY: "no utility: nothing gives it a score",
}


def standing(candidate: Candidate, account: Account) -> str:
    """How a page came to its level and why it stands no higher, on one line."""
    by = "" if candidate.by is None else f"by {_BY[candidate.by]}; "
    return by + stopped(candidate, account)


def brief(candidate: Candidate) -> str:
    """The same in a few words for a table: how it came to its level; what its next step wanted for what."""
    by = "" if candidate.by is None else f"{_BRIEF.get(candidate.by, candidate.by)}; "
    if candidate.stop is Stop.TOP:
        return f"{by}nothing above"
    deciding = next((step for step in candidate.steps if step.outcome is not Outcome.TAKEN), None)
    if deciding is None or candidate.stop not in (Stop.MISFIT, Stop.NOT_REACHED):
        asked = "" if candidate.wanted is None else f": {candidate.wanted} tokens, rest {candidate.rest}"
        return f"{by}{candidate.stop.replace('_', ' ')}{asked}"
    rest = "" if candidate.rest is None else f", rest {candidate.rest}"
    step = f"{deciding.level} +{candidate.wanted} for +{deciding.gain}"
    return f"{by}{candidate.stop.replace('_', ' ')}: {step}{rest}"


_BRIEF: Final[Mapping[ChangeReason | Kept, str]] = {ChangeReason.RAISED: "step"}


def lines_of(provenance: Provenance) -> str:
    """The lines of the recorded session that a content came from; empty where there are none."""
    if not provenance.first:
        return ""
    last = provenance.last if provenance.last > provenance.first else 0
    return f"lines {provenance.first}-{last}" if last else f"line {provenance.first}"


def origin(provenance: Provenance, short: bool = False) -> str:
    """Where a content came from: call, lines, kind."""
    words, call = [], provenance.call
    if call is not None:
        words.append(
            f"call {call.call} v{call.version}" if short else f"call {call.call} of {call.tool} (v{call.version})"
        )
    if lines := lines_of(provenance):
        words.append(lines)
    if not words:
        words.append(
            {OriginKind.RECORD: "an external record", OriginKind.FILE: "a file"}.get(provenance.kind, "live")
        )
    return ", ".join(words)


def place(event: Place) -> str:
    """An event by version, turn and type."""
    return f"v{event.version} (turn {event.turn}, {event.type})"


def change(changed: Change | None, candidate: Candidate) -> str:
    """What gave the page its level, or made it leave."""
    if changed is None:
        return "it has not stood in any prompt" if candidate.after is Fidelity.ABSENT else "its level never changed"
    rank = LADDER.index
    verb = "lowered" if rank(changed.after) < rank(changed.before) else "raised"
    if rank(changed.after) == ABSENT:
        verb = "left the prompt"
    return (
        f"{verb} at v{changed.event.version}, turn {changed.event.turn}: {changed.before} → {changed.after},"
        f" reason {changed.reason}, caused by {place(changed.cause)} {changed.boundary or ''}".rstrip()
    )


def verdict(found: Why) -> str:
    """The answer to `why`, in one sentence."""
    page = found.page
    where = "was absent from" if page.after is Fidelity.ABSENT else f"stood {page.after} in"
    return f"{page.page_id} {where} the prompt of turn {found.turn}: {standing(page, found.account)}"


def spent(account: Account) -> str:
    """Where the budget went, on one line."""
    parts = {
        "fixed region": account.fixed,
        "directory line": account.directory,
        "floors": account.floors,
        "kept": account.kept,
        "arrivals": account.arrivals,
        "hints": account.hints,
        "retrieved": account.retrieved,
        "steps": account.steps,
    }
    used = ", ".join(f"{name} {tokens}" for name, tokens in parts.items() if tokens) or "nothing"
    return f"{account.budget} tokens: {used}; rest {account.rest}"
