"""Reasons, places and origins in words: one-line sentences, and commands to copy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from clawvm_es.core.tracing import Account, Candidate, Kept, Outcome, Stop
from clawvm_es.model.facts import ChangeReason, EpochTrigger
from clawvm_es.model.pages import LADDER, Fidelity, OriginKind

if TYPE_CHECKING:
    from clawvm_es.history.why import Since, Why
    from clawvm_es.model.events import PromptAssembled

_BY: Final[Mapping[ChangeReason | Kept, str]] = {
    ChangeReason.FLOOR: "its floor, the least that the prompt must hold of it",
    ChangeReason.ARRIVAL: "new, or asked for again",
    ChangeReason.HINT: "named by this turn's message or plan",
    ChangeReason.RETRIEVED: "retrieved for this turn",
    ChangeReason.RAISED: "chosen by its worth",
    ChangeReason.PRESSURE: "new, but it did not fit",
    Kept.KEPT: "kept as it was",
    Kept.EXCHANGE: "part of the exchange that is still open",
    Kept.GROUP: "brought in by its group",
}
"""Reasons for a page's level."""
_EPOCHS: Final[Mapping[EpochTrigger, str]] = {
    EpochTrigger.FORCED: "a boundary or a change of settings",
    EpochTrigger.HIGH: "the budget was full",
    EpochTrigger.COLD: "the provider's cache had gone cold",
    EpochTrigger.RENT: "what had been added had cost as much as a new cache",
}
"""Reasons for a new epoch, in which pages are chosen anew."""


def command(verb: str, *words: object) -> str:
    """A command to copy into a shell; ids and paths are quoted, so that they cannot run anything else."""
    return shlex.join(["clawvm", verb, *map(str, words)])


def next_level(candidate: Candidate) -> Fidelity | None:
    """The level to which the page's next step leads; None if it has none."""
    rank = LADDER.index(candidate.after)
    return next((offer.level for offer in candidate.steps if LADDER.index(offer.level) > rank), None)


def _amount(number: int | None) -> str:
    return "an unknown number" if number is None else f"{number:,}"


def stopped(candidate: Candidate, account: Account) -> str:
    """The reason why a page is at no higher level, in a few words."""
    level = next_level(candidate)
    wanted, rest = candidate.wanted, candidate.rest
    group = f" ({candidate.entry:,} of them for its group)" if candidate.entry else ""
    size = "" if wanted is None else f"takes {wanted:,} tokens{group}"
    step = f"its next step ({level}) {size}" if level else size
    match candidate.stop:
        case Stop.TOP:
            return "there is no higher level"
        case Stop.PRESSURE:
            what = f"its floor ({candidate.floor})" if candidate.floor else "its lowest level"
            return f"did not fit: {what} {size}, {rest or 0:,} were left for all of its kind"
        case Stop.MISFIT:
            return f"did not fit: {step}, {rest or 0:,} were left"
        case Stop.NOT_REACHED:
            refused = f"{account.refusals:,} {'page' if account.refusals == 1 else 'pages'}"
            return f"not reached: {step}; choosing had ended after {refused} did not fit"
        case _:
            return _PLAIN[candidate.stop]


_PLAIN: Final[Mapping[Stop, str]] = {
    Stop.RETIRED: "retired",
    Stop.REDACTED: "redacted: no level is left",
    Stop.DESTROYED: "destroyed before it was committed",
    Stop.NOT_OFFERED: "a summary by the harness; clawvm chooses among the pages that it replaced",
    Stop.REWOUND: "rewound: the session went back to before it was written",
    Stop.LEFT: "the harness took it out of its context",
    Stop.BOUNDARY: "a boundary took it out, floor and all",
    Stop.NOT_RETRIEVED: "not retrieved",
    Stop.SHARE: "no room: new pages get a share of what was left, and it was used up",
    Stop.NO_UTILITY: "its score is 0: nothing speaks for it",
    Stop.NOT_RECONSIDERED: "not weighed again since the last epoch",
}


def standing(candidate: Candidate, account: Account) -> str:
    """The reason for a page's level, and the reason why it is no higher, on one line."""
    by = "" if candidate.by is None else f"{_BY[candidate.by]}; "
    return by + stopped(candidate, account)


def brief(candidate: Candidate) -> str:
    """A short form of `standing` for a table: the reason for its level, and what its next step lacked."""
    by = "" if candidate.by is None else f"{_BRIEF.get(candidate.by, candidate.by)}; "
    if candidate.stop is Stop.TOP:
        return f"{by}no higher level"
    deciding = next((step for step in candidate.steps if step.outcome is not Outcome.TAKEN), None)
    if deciding is None or candidate.stop not in (Stop.MISFIT, Stop.NOT_REACHED):
        asked = "" if candidate.wanted is None else f": {candidate.wanted:,} tokens, rest {_amount(candidate.rest)}"
        return f"{by}{_stop(candidate.stop)}{asked}"
    rest = "" if candidate.rest is None else f", rest {candidate.rest:,}"
    step = f"{deciding.level} +{_amount(candidate.wanted)} for +{deciding.gain:,}"
    return f"{by}{_stop(candidate.stop)}: {step}{rest}"


def _stop(stop: Stop) -> str:
    return _STOPS.get(stop) or stop.replace("_", " ")


_STOPS: Final[Mapping[Stop, str]] = {
    Stop.MISFIT: "no room",
    Stop.SHARE: "no room for what is new",
    Stop.NO_UTILITY: "score 0",
    Stop.NOT_RECONSIDERED: "not weighed again",
}


_BRIEF: Final[Mapping[ChangeReason | Kept, str]] = {ChangeReason.RAISED: "chosen"}


def lines_of(provenance: Mapping[str, Any]) -> str:
    """The lines of the recorded session from which a content came; empty if there are none."""
    first, last = provenance["first"], provenance["last"]
    if not first:
        return ""
    return f"lines {first}-{last}" if last > first else f"line {first}"


def origin(provenance: Mapping[str, Any], short: bool = False) -> str:
    """The call and lines from which a content came, or the kind of its origin."""
    words, call = [], provenance["call"]
    if call is not None:
        words.append(
            "call {call} v{version}".format(**call) if short else "call {call} of {tool} (v{version})".format(**call)
        )
    if lines := lines_of(provenance):
        words.append(lines)
    if not words:
        words.append(
            {OriginKind.RECORD: "an external record", OriginKind.FILE: "a file"}.get(provenance["kind"], "live")
        )
    if provenance.get("inferred"):
        words.append("inferred from the provider's counts")
    return ", ".join(words)


def place(event: Mapping[str, Any]) -> str:
    """An event by version, turn and type."""
    return "v{version} (turn {turn}, {type})".format(**event)


def change(changed: Mapping[str, Any] | None, level: str) -> str:
    """The event that gave the page its level, or by which it left."""
    if changed is None:
        return "it has not been in any prompt" if level == Fidelity.ABSENT else "its level never changed"
    rank = [str(each) for each in LADDER].index
    before, after, event = str(changed["before"]), str(changed["after"]), changed["event"]
    verb = "lowered" if rank(after) < rank(before) else "raised"
    if after == Fidelity.ABSENT:
        verb = "left the prompt"
    told = (
        f"{verb} at v{event['version']}, turn {event['turn']}: {before} → {after},"
        f" reason {changed['reason']}, caused by {place(changed['cause'])} {changed['boundary'] or ''}".rstrip()
    )
    return f"{told}, inferred from the provider's counts" if changed["inferred"] else told


def verdict(found: Why) -> str:
    """The answer to `why`, in one sentence."""
    page = found.page
    where = "was absent from" if page.after is Fidelity.ABSENT else f"stood {page.after} in"
    reason = standing(page, found.account) if found.since is None else since(found.since, page)
    began = "" if found.trigger is None else f", where epoch {found.epoch} began ({_because(found)})"
    return f"{page.page_id} {where} the prompt of turn {found.turn}{began}: {reason}"


def _because(began: Why | Since) -> str:
    """The reason why an epoch began."""
    if began.epoch == 1 or began.trigger is None:
        return "the first prompt"
    return _EPOCHS[began.trigger]


def since(found: Since, page: Candidate) -> str:
    """The reason for a page's level between epochs: how the epoch weighed it, or when it was appended since."""
    epoch = f"epoch {found.epoch} at turn {found.turn} ({_because(found)})"
    weighed = found.candidate
    later = (
        "pages are chosen again when the budget is full, or when sending what was added since has cost as much as"
        f" a new cache ({found.rent_percent} % so far)"
    )
    if page.by in _NOW:
        return _BY[page.by] if page.by is not None else ""
    if page.stop in _GONE:
        return _PLAIN[page.stop]
    if found.appended is not None and page.after is not Fidelity.ABSENT:
        return f"appended at turn {found.appended}, after {epoch} chose pages"
    if weighed is None:
        return f"it was written after {epoch} chose pages; {later}"
    if page.after is not Fidelity.ABSENT:
        rank = f", as number {weighed.rank} of the {found.steps:,} steps that it weighed" if weighed.rank else ""
        return f"kept since {epoch} chose it{rank}"
    if weighed.after is not Fidelity.ABSENT:
        return f"{epoch} chose it ({weighed.after}), and it left after that; {later}"
    return f"{epoch} left it out{_asked(weighed)}; {later}"


def _asked(weighed: Candidate) -> str:
    """The tokens that a page's next step asked for, and the tokens that were left."""
    if weighed.wanted is None:
        return ""
    group = f" ({weighed.entry:,} of them for its group)" if weighed.entry else ""
    level = next_level(weighed)
    step = f"a step to {level}" if level else "it"
    return f": {step} took {weighed.wanted:,} tokens{group}, and {weighed.rest or 0:,} were left"


_NOW: Final = (ChangeReason.ARRIVAL, ChangeReason.HINT, ChangeReason.FLOOR)
"""Reasons that this turn gave."""
_GONE: Final = (Stop.RETIRED, Stop.REDACTED, Stop.DESTROYED, Stop.NOT_OFFERED, Stop.REWOUND)
"""Reasons that no epoch decides."""


def layout(data: PromptAssembled) -> str:
    """The epoch of a prompt, with its cached and stale tokens; empty if it has none."""
    if not data.layout_digest:
        return ""
    began = f" begins ({data.trigger})" if data.trigger is not None else ""
    parts = [f"epoch {data.epoch}{began}", f"cached {data.cached_tokens:,}"]
    if data.stale_tokens:
        parts.append(f"stale {data.stale_tokens:,}")
    beside = sum([entry.tokens for entry in data.entries if entry.page_id[0] != "p"])
    if beside:
        parts.append(f"groups {beside:,} beside their pages")
    return ", ".join([*parts, f"rent {data.rent // 1_000:,}"])


def spent(account: Mapping[str, int]) -> str:
    """The parts of the budget that a turn spent, on one line."""
    names = {"fixed": "fixed region", "directory": "directory line"}
    parts = ("fixed", "directory", "groups", "floors", "kept", "arrivals", "hints", "retrieved", "steps")
    used = ", ".join(f"{names.get(part, part)} {account[part]:,}" for part in parts if account[part]) or "nothing"
    return f"{account['budget']:,} tokens: {used}; rest {account['rest']:,}"
