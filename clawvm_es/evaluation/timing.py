"""The timing of epochs beside the offline optimum, which knows all arrivals and selects at a fixed mark.

This is a model of cost only. A turn appends its arrivals to the prompt. An epoch first cuts the prompt to the mark M,
and writes all of it to the cache anew. Other turns read the old prompt from the cache and write the arrivals; after a
pause longer than the cache lasts, everything is written. The model ignores which pages are selected, and which part
of an epoch's prompt was cached before, for the rule and the optimum alike.

| LAW | |
|---|---|
| LAW-TIMING-1 | no choice of epochs costs less than `best` |
| LAW-TIMING-2 | the rule costs at least `best` |

The rule is the online one for acknowledgements in TCP (Dooly, Goldman and Scott, JACM 2001): with α times the cost of
a change as its threshold it is at most (1+α)/min(1,α) times the optimum, beyond what budget and cold caches force.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from clawvm_es.evaluation.workload import MESSAGES, Workload
from clawvm_es.model import events as e
from clawvm_es.model.profile import Profile

_NEVER: Final = 1 << 62


@attrs.frozen
class Arrived:
    """One turn: the tokens that arrive for its prompt, and the idle seconds before it (None: unknown)."""

    tokens: int
    idle_s: int | None = None


@attrs.frozen
class Timing:
    """Costs of one session's epochs in the model, in permille of input tokens: by the rule, and at best."""

    rule: int
    best: int


def arrivals_of(workload: Workload) -> tuple[Arrived, ...]:
    """For each turn of a session the tokens written in full since the last turn; for messages with arguments."""
    counted = (e.PageWritten, e.ToolCalled) if workload.renderer == MESSAGES else (e.PageWritten,)
    found, tokens = list[Arrived](), 0
    for data in workload.inputs:
        if isinstance(data, counted) and data.levels:
            tokens += data.levels[0].tokens
        elif isinstance(data, e.TurnBegan):
            found.append(Arrived(tokens, data.idle_s))
            tokens = 0
    return tuple(found)


def bound_permille(profile: Profile) -> int:
    """The most that the rule's cost can be over the optimum's: (1+α)/min(1,α), in permille, rounded up."""
    alpha = max(profile.rent_permille, 1)
    return -(-(1000 + alpha) * 1000 // min(1000, alpha))


def timing(turns: Sequence[Arrived], profile: Profile, room: int) -> Timing:
    """Costs of a session whose prompts have `room` tokens for pages, under a profile's prices, mark and threshold."""
    model = _Model(turns, profile, room)
    return Timing(model.by_rule(), model.best())


def best_of(turns: Sequence[Arrived], profile: Profile, room: int, chosen: Callable[[int], bool]) -> int | None:
    """The cost if epochs begin at the turns in `chosen` (from 0); None if a prompt would not fit."""
    model = _Model(turns, profile, room)
    sent = spent = 0
    for turn in range(len(turns)):
        anew = turn == 0 or chosen(turn)
        sent = model.after(turn, sent, anew)
        if sent > room and not anew:
            return None
        spent += model.cost(turn, sent, anew)
    return spent


class _Model:
    """The costs of turns and of epochs."""

    def __init__(self, turns: Sequence[Arrived], profile: Profile, room: int) -> None:
        self.profile, self.room = profile, room
        self.mark = max(room * profile.low_permille // 1000, 1)
        self.arrived = [min(turn.tokens, room) for turn in turns]
        self.cold = [turn.idle_s is not None and turn.idle_s > profile.ttl_s for turn in turns]
        self.before = [0]
        for tokens in self.arrived:
            self.before.append(self.before[-1] + tokens)

    def after(self, turn: int, sent: int, anew: bool) -> int:
        """Tokens that a turn sends after `sent`; an epoch keeps earlier tokens up to the mark."""
        kept = min(self.mark, self.before[turn], self.room - self.arrived[turn]) if anew else sent
        return kept + self.arrived[turn]

    def cost(self, turn: int, sent: int, anew: bool) -> int:
        """Cost, in permille of input tokens, of a turn that sends `sent`."""
        read, write = self.profile.read_price, self.profile.write_price
        if anew or self.cold[turn]:
            return write * sent
        return read * (sent - self.arrived[turn]) + write * self.arrived[turn]

    def by_rule(self) -> int:
        """Cost of the epochs that the rule of `core.epochs` begins."""
        profile = self.profile
        due = profile.rent_permille * (profile.write_price - profile.read_price) * self.mark // 1000
        sent = rent = spent = 0
        for turn, tokens in enumerate(self.arrived):
            need = sent + tokens
            beyond = need > self.mark and (self.cold[turn] or rent >= due)
            anew = turn == 0 or need > self.room or beyond
            sent = self.after(turn, sent, anew)
            rent = (0 if anew else rent) + profile.read_price * max(sent - self.mark, 0)
            spent += self.cost(turn, sent, anew)
        return spent

    def best(self) -> int:
        """The lowest cost of any choice of epochs, computed over the turn of the last epoch."""
        count = len(self.arrived)
        least = [0] + [_NEVER] * count  # least[t]: of turns before t, where an epoch begins at t or the session ends
        for first in range(count):
            spent, sent = least[first], 0
            for turn in range(first, count):
                anew = turn == first
                sent = self.after(turn, sent, anew)
                if sent > self.room and not anew:
                    break
                spent += self.cost(turn, sent, anew)
                least[turn + 1] = min(least[turn + 1], spent)
        return least[count]
