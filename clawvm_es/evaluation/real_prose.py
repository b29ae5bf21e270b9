"""Prose about recorded sessions, before their tables: how to read them, the goal, its verdict, and its price."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from clawvm_es.evaluation.policies import Policy
from clawvm_es.evaluation.real_kinds import Kind
from clawvm_es.evaluation.sessions import Sessions
from clawvm_es.evaluation.split import HELD_OUT
from clawvm_es.evaluation.statistics import RESAMPLES, percent
from clawvm_es.evaluation.verdict import (
    BASE,
    CANDIDATE,
    UNCACHED_PERMILLE,
    Verdict,
    at,
    counting,
    figure,
    goal,
    pools,
    total,
)

TRIED: Final = (
    "What was tried to miss less, on the part tuned on, at 32,000, 64,000 and 128,000 tokens together, where clawvm "
    "in epochs misses 83 needs: older pages of a file that was read again at 70 to 20 % of their score, results "
    "other than files at a half or a quarter, both together, a double score for what was used four times, 6 or 12 "
    "uses that count in place of 3, other powers of age and size, other weights of what was said and told: 79 to 86 "
    "misses at 99.5 to 100.3 % of the cost, within what one session makes. Larger marks miss less and cost more: "
    "half of the budget misses 10 needs in place of 13 at 128,000 tokens, for a fifth more. Page-ins that bring "
    "nothing beside the lines that were read again cost 2.4 % less and miss 19. Nor is anything gained by such "
    "page-ins on all sessions at 128,000 tokens: as messages 84.1 % of the harness's cost at 53 misses beside 85.5 "
    "% at 45 (with a mark of 42.5 %: 87.5 % at 44), in frames 85.6 % at 45 beside 88.2 % at 35. The rest of a page "
    "that was read again is needed next."
)
"""Alternatives that did not beat the ranking, as measured when paging in epochs came, under the rule reuse."""
CHOSEN: Final = (
    "Marks and nearness of clawvm (since version 4, rule epoch_reuse) were chosen on 20 sessions of six checkouts at "
    "128,000 tokens, where version 3 missed 45 needs of the harness's 46 at 85.6 % of its cost as messages, and 35 "
    "at 88.3 % in frames. Of the 45, 39 had left at an epoch after a pause, whose mark was a third of the other. At "
    "marks of (warm, after a pause) 27.5 and 20 % version 4 costs 84.1 % and misses 29 as messages (frames 84.5 %, "
    "34), at 30 and 20 % 86.5 % and 28 (86.3 %, 29), at 30 and 21 %, which it has, 87.4 % and 26 (87.1 %, 27), at "
    "30 and 25 % 91.0 % and 24 (90.9 %, 25). Read off the checkout of most sessions alone, where it misses 11 of 30 "
    "in place of 24 (94.2 % of the cost, 89.9 % before), it comes to 15 of 16 on the others, in place of 21 (80.8 "
    "%, 81.3 %), of which half were never compacted. Nothing was gained by lower scores for pages of which a newer "
    "read exists, or by other powers of size; pages that match the user's words are too few. Version 5 (rule "
    "exchange_reuse) pays no rent for the open exchange, with no figure chosen: as messages 86.0 % at 26 misses "
    "(91.9 % and 11 of 30, 80.3 % and 15 of 16), at 64,000 tokens 64.9 % at 60 (65.9 % and 64 before), at 32,000 "
    "49.1 % at 105 (49.3 % and 105). With 30 and 23 % it costs 87.6 % at 24 misses, 65.8 % at 58, 49.7 % at 103. "
    "Marks that are chosen with one checkout left out, least misses at 88 % of the cost, come to 86.9 % and 26 on "
    "those left out. Nothing was gained by a least priority in place of marks, by marks that follow the length of "
    "epochs or the size of the exchange, or by lower scores for pages of what was written since, other weights of "
    "uses, and a size that counts in full above 4,096 tokens. All this was measured before files that Claude Code "
    "shows again after a compaction were pages; with them, ranked as content of their files, the harness misses 43 "
    "needs and version 5 misses 30 at 86.4 % of its cost (on the checkout of most sessions 15 of 28 at 92.4 %, on "
    "the others 15 of 15 at 80.4 %)."
)
"""Measurements by which `epoch_reuse` and `exchange_reuse` were chosen, and their worth elsewhere."""
COPIES: Final = (
    "Version 6 (rule copy_reuse) counts a result that an earlier page held whole as what the model said, with no "
    "figure chosen. At the marks of version 5 it misses, as messages, 28 in place of 30 at 128,000 tokens, 63 in "
    "place of 66 at 64,000, 108 in place of 113 at 32,000, together 10 fewer [4 to 17] at 99.8, 100.3 and 99.3 % "
    "of the cost, and 193 in place of 191 at 16,000; in frames 9 fewer [1 to 17] at the three. On the part tuned "
    "on 84 in place of 85 as messages, held out 115 in place of 124; in frames 83 in place of 86, and 125 in "
    "place of 131. It was found after two rules tuned on that part had failed on the other, which was thereby "
    "read: a read gives way to newer reads of its file that have as many tokens, all together (10 misses in place "
    "of 15 on the part tuned on, at 128,000 tokens, but 17 in place of 15 held out) or one alone (12, and 17): "
    "ranges of a file differ, so size does not tell that one read shows another. A page that gives way to a newer "
    "one with nine tenths of its lines would miss 13 and 13, were such lines recorded. Uses that newer pages of a "
    "file inherit miss 17, half a score for what was written since 14 at 0.4 % more. The mark after a pause, 23 % "
    "in place of 21, is the one of least misses at 88 % of the harness's cost, over all 20 sessions: 27 at 87.8 % "
    "in place of 28 at 86.3 %, in frames 29 at 88.0 % in place of 32 at 86.1 %, which is no more than chance on "
    "its own. All this was measured before two resumes of an older Claude Code were found to have lost results: "
    "with them the harness misses 45 needs in place of 43, and version 6 misses 27 at 88.4 % of its cost. Version 7 "
    "therefore has 21 % after a pause again, by the same rule with a margin of a point: least misses at 87 % of the "
    "cost, chosen on the same 20 sessions, so that none is left to test it on. At marks of 30 % and, after a pause, "
    "20, 20.5, 21, 21.5, 22 and 23 % it misses, as messages, 31, 28, 28, 28, 29 and 27 of 45 at 86.0, 86.4, 86.8, "
    "87.3, 87.5 and 88.4 % of the cost, in frames 34, 33, 32, 32, 32 and 29 at 86.0, 86.5, 86.7, 87.2, 87.6 and 88.7 "
    "%. Other marks of a warm epoch are no better: 29 and 21 % 30 at 86.3 %, 29 and 23 % 28 at 87.8 %, 29.5 and 21.5 "
    "% 29 at 86.9 %, 31 and 20 % 32 at 86.6 %, 32 and 19 % 34 at 86.3 %. At 64,000 tokens 21 % misses 63 in place of "
    "61 at 66.2 % in place of 67.1, at 32,000 108 in place of 109 at 49.9 % in place of 50.5."
)
"""Measurements by which `copy_reuse` was found, what did not hold, and the mark after a pause since."""


def paragraphs(
    sessions: Sessions, kinds: Sequence[Kind], policies: Sequence[Policy], fixed_tokens: int
) -> Iterator[str]:
    """The goal and its verdict first, then how the figures were made."""
    yield from _goal_set(kinds)
    outside = [policy.name for policy in policies if not policy.contract]
    for kind in kinds:
        yield _goal_told(kind)
        yield from _outside_told(kind, outside)
        yield from _price_told(kind, outside)
    yield (
        "Replay is open loop: a miss says that text which this agent used would have been out of the prompt, never "
        "whether the task would have failed. Misses and uncached tokens are a pair: the first cost a round trip, the "
        "second a slower and dearer one."
    )
    yield (
        f"Differences to {BASE} are pooled over sessions, with the 95 % percentile interval of {RESAMPLES} bootstrap "
        "draws of sessions (subagents are drawn with the session that started them); * marks those whose interval "
        "excludes 0, and no other difference is claimed. Pooled figures leave out 64k and 128k. Sessions of one "
        "checkout, and trials of one task, stand on one side of the split; checkouts of one repository by different "
        "people stand on both."
    )
    yield (
        "`fit` bounds the misses of every policy with all mechanisms, `demand` (PFOO-L) of those that raise nothing "
        f"speculatively. {BASE} and {CANDIDATE} raise hinted pages, and others when room is left, so that `demand` "
        "is no law for them."
    )
    if any(CANDIDATE in kind.policies for kind in kinds):
        yield TRIED
        yield CHOSEN
        yield COPIES
    yield from _unrecorded(sessions, fixed_tokens)


def _goal_set(kinds: Sequence[Kind]) -> Iterator[str]:
    if not any(CANDIDATE in kind.policies for kind in kinds):
        return
    yield (
        f"The goal: on the part held out, {CANDIDATE} misses at most as often as {BASE} at every budget, and pooled "
        f"significantly less often, with at most {_times(UNCACHED_PERMILLE)} times its uncached tokens at each."
    )
    yield (
        "What the part held out can show: exponents and weights of both rules reuse were chosen on the part tuned "
        "on, and then frozen. Which terms the rule looks at was explored with all sessions of the split in sight, "
        "so that for these it is a test of the figures and not of the choice of terms, and marks and nearness of "
        "epoch_reuse were chosen on all of them; sessions that the split does not name are held out from all."
    )


def _times(permille: int) -> str:
    return f"{permille // 1000}.{permille % 1000 // 100}"


def _goal_told(kind: Kind) -> str:
    """The verdict on the goal for the held-out part, in one sentence per condition."""
    title = kind.title
    if CANDIDATE not in kind.policies or not kind.part(HELD_OUT):
        return f"{title}: no held-out session counts at any budget, so nothing is said of the goal."
    verdict = kind.verdicts[HELD_OUT][CANDIDATE]
    its = goal(verdict)
    counted = counting(verdict.by_budget)
    differences = {budget: verdict.by_budget[budget].difference for budget in counted}
    above = [f"{budget:,}: {difference:+d}" for budget, difference in differences.items() if difference > 0]
    shares = [share for budget in counted if (share := verdict.uncached[budget]) is not None]
    low, high = verdict.left_out
    return (
        f"{title}, goal on the part held out: {'holds' if its.holds else 'does not hold'}. "
        f"{CANDIDATE} at or below {BASE} at every budget: {_yes(its.at_or_below)}"
        f"{' (above at ' + ', '.join(above) + ')' if above else ''}; significantly below it pooled: "
        f"{_yes(its.below_pooled)} ({verdict.pooled}; {low:+d} to {high:+d} with any one session left out); at most "
        f"{_times(UNCACHED_PERMILLE)} times its uncached tokens at every budget: {_yes(its.uncached)} "
        f"({_dear(verdict) or f'at most {percent(max(shares, default=0))}'}).{_why_dear(kind)}"
    )


def _dearer(verdict: Verdict) -> dict[int, int]:
    """The budgets at which the candidate sends more uncached tokens than the goal allows, with its share."""
    shares = {budget: verdict.uncached[budget] for budget in counting(verdict.by_budget)}
    return {budget: share for budget, share in shares.items() if share is not None and share > UNCACHED_PERMILLE}


def _dear(verdict: Verdict) -> str:
    return ", ".join(f"{percent(share)} at {budget:,} tokens" for budget, share in _dearer(verdict).items())


def _why_dear(kind: Kind) -> str:
    """The size of its prompts, if it sends too many uncached tokens; the rest is due to their order."""
    told = []
    for budget in _dearer(kind.verdicts[HELD_OUT][CANDIDATE]):
        its = at(kind.part(HELD_OUT), budget)
        told.append(percent(figure(its, CANDIDATE, "tokens") * 1000 // figure(its, BASE, "tokens")))
    if not told:
        return ""
    return (
        f" Its prompts there have {', '.join(told)} of the tokens of {BASE}'s; the rest of the difference is that "
        "what it changes from turn to turn stands nearer their beginning."
    )


def _outside_told(kind: Kind, outside: Sequence[str]) -> Iterator[str]:
    """Policies outside the contract that surely miss less than `lru`: their assumptions and their price."""
    verdicts = kind.verdicts[HELD_OUT]
    fewer = [name for name in outside if verdicts[name].pooled.high < 0] if kind.part(HELD_OUT) else []
    if not fewer:
        return
    its = pools(kind.part(HELD_OUT))
    told = ", ".join(f"{name} {verdicts[name].pooled}, {figure(its, name, 'faults'):,} faults" for name in fewer)
    full = [f"{budget:,}" for budget in kind.budgets if _no_room(kind, budget)]
    room = (
        f" At {' and '.join(full)} tokens what is required fills the prompt (bound fit is all needs), so that "
        f"{BASE} and {CANDIDATE} meet none."
        if full
        else ""
    )
    yield (
        f"{kind.title}: policies that hold no floors miss less than {BASE}, held out and pooled: {told}. They "
        f"use the room that rules and plans take, and let those go: their faults say how often.{room}"
    )


def _no_room(kind: Kind, budget: int) -> bool:
    its = at(kind.part(HELD_OUT), budget)
    return 0 < total(its, "needs") == total(its, "fit")


def _price_told(kind: Kind, outside: Sequence[str]) -> Iterator[str]:
    """The policy that sends the fewest uncached tokens, if it is outside the contract."""
    if CANDIDATE not in kind.policies or not kind.part(HELD_OUT):
        return
    verdicts = kind.verdicts[HELD_OUT]
    shares = {name: share for name in outside if (share := verdicts[name].uncached_pooled) is not None}
    own = verdicts[CANDIDATE].uncached_pooled
    if own is None or not shares or min(shares.values()) >= own:
        return
    name = min(shares, key=lambda name: shares[name])
    yield (
        f"{kind.title}: the fewest uncached tokens, held out and pooled, are those of {name}: "
        f"{percent(shares[name])} of {BASE}'s at {verdicts[name].pooled} misses; {CANDIDATE}: {percent(own)} at "
        f"{verdicts[CANDIDATE].pooled}. Which is cheaper depends on what a round trip costs."
    )


def _unrecorded(sessions: Sessions, fixed_tokens: int) -> Iterator[str]:
    by_format: dict[str, list[int]] = {}
    for found in sessions.each:
        if found.first_call_tokens and found.name == found.session:
            by_format.setdefault(found.format, []).append(found.first_call_tokens)
    told = [f"{name} {min(tokens):,} to {max(tokens):,}" for name, tokens in sorted(by_format.items())]
    if told:
        charged = f"each turn is charged {fixed_tokens:,} tokens for it" if fixed_tokens else "it is not charged"
        yield (
            "Unrecorded context (system prompt, tool schemas), as the provider's count of the first call less what "
            f"is recorded by then, in tokens: {'; '.join(told)}; here {charged} (--fixed N charges it)."
        )


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
