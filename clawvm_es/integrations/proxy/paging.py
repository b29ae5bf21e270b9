"""Choose the results that stand in full in the next request, and those replaced by a stub: paging in epochs.

| why a request begins a new epoch, first that matches | trigger |
|---|---|
| it is the first; the region before the history changed; the client changed earlier items | forced |
| the request exceeds B | high |
| it exceeds L, and the model was idle for longer than the provider holds a prefix | cold |
| it exceeds L, and the rent reaches the price of `core.epochs.pays` | rent |

B, L and Lc are as in `core.epochs`. An epoch replaces every removable result by a stub, then restores the newest ones
while the request stays within L (Lc with a cold cache). A result is removable if the journal holds it, it is larger
than its stub, and it belongs neither to the newest `keep` results nor to the open exchange. If the open exchange
takes more than ¾ of the room, and no room is left, its older results are removable too.

LAW-PROXY-2: within an epoch the stubs do not change, so each request is a prefix of the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from clawvm_es.core.epochs import Room, pays
from clawvm_es.core.profiles import CLAWVM
from clawvm_es.integrations.proxy.wire import Item, Result
from clawvm_es.model.facts import EpochTrigger
from clawvm_es.model.profile import Profile

GAIN: Final = 2
"""A stub stands for a result of at least so many times its tokens."""


@attrs.frozen
class Epoch:
    """State between two requests of a conversation: the `stubs` by their results' keys, in tokens and as texts."""

    number: int = 0
    rent: int = 0
    stubs: Mapping[str, str] = attrs.field(factory=dict)
    region: str = ""


@attrs.frozen
class Stub:
    """A text that can replace a result, and its tokens."""

    text: str
    tokens: int


@attrs.frozen
class Next:
    """The next request: its epoch, the reason if it begins one (else None), and its tokens."""

    epoch: Epoch
    trigger: EpochTrigger | None
    sent: int


@attrs.frozen
class Held:
    """Contents of the next request: items, tokens before them, and a stub for each removable result."""

    items: Sequence[Item]
    fixed_tokens: int
    region: str
    stubs: Mapping[str, Stub]
    changed: bool = False

    def tokens(self, out: Mapping[str, object]) -> int:
        """Tokens of the history with stubs for the results `out`."""
        saved = [self._saves(result) for item in self.items for result in item.results if result.key in out]
        return sum([item.tokens for item in self.items]) - sum(saved)

    def _saves(self, result: Result) -> int:
        stub = self.stubs.get(result.key)
        return result.tokens - stub.tokens if stub is not None else 0


def next_request(
    before: Epoch, held: Held, budget: int, idle_s: int | None, keep: int, profile: Profile = CLAWVM
) -> Next:
    """Plan the next request: continue the epoch, or begin one. Nothing is changed."""
    tokens = budget - held.fixed_tokens
    low = tokens * profile.low_permille // 1000
    sent, room = held.tokens(before.stubs), Room(tokens, low, tokens * profile.cold_low_permille // 1000, low, 0)
    free = _free(held, keep, len(held.items) if _presses(held, room, sent) else None)
    floors = held.tokens(free)
    room = room._replace(mark=max(low, floors))
    trigger = _trigger(before, held, room, sent, idle_s, profile)
    if trigger is not None:
        under = room.cold_low if trigger is EpochTrigger.COLD else room.low
        out = _taken_out(free, held, max(under, floors) - floors)
        sent = held.tokens(out)
        before = Epoch(before.number + 1, 0, {key: held.stubs[key].text for key in out}, held.region)
    rent = before.rent + profile.read_price * max(sent - room.mark, 0)
    return Next(attrs.evolve(before, rent=rent), trigger, held.fixed_tokens + sent)


def _trigger(
    before: Epoch, held: Held, room: Room, sent: int, idle_s: int | None, profile: Profile
) -> EpochTrigger | None:
    """The table of this module."""
    if not before.number or before.region != held.region or held.changed:
        return EpochTrigger.FORCED
    if sent > room.tokens:
        return EpochTrigger.HIGH
    return pays(profile, room, sent, before.rent, idle_s)


def _open_from(items: Sequence[Item]) -> int:
    """The place at which the open exchange begins: what the user said last."""
    return max((place for place, item in enumerate(items) if item.speaks), default=0)


def _presses(held: Held, room: Room, sent: int) -> bool:
    """Tell whether no room is left, and the open exchange takes most of it."""
    exchange = sum([item.tokens for item in held.items[_open_from(held.items) :]])
    return sent > room.tokens and exchange * 4 > room.tokens * 3


def _free(held: Held, keep: int, open_from: int | None = None) -> dict[str, Result]:
    """The results that can be taken out, oldest first."""
    place = _open_from(held.items) if open_from is None else open_from
    newest = [result.key for item in held.items for result in item.results][-keep:] if keep else []
    found = {result.key: result for item in held.items[:place] for result in item.results}
    return {
        key: result
        for key, result in found.items()
        if key not in newest and (stub := held.stubs.get(key)) and result.tokens >= GAIN * stub.tokens
    }


def _taken_out(free: Mapping[str, Result], held: Held, rest: int) -> dict[str, Result]:
    """The results that leave: all that can but the newest ones that fit `rest`, each by itself."""
    out = dict(free)
    for key, result in reversed([*free.items()]):
        cost = result.tokens - held.stubs[key].tokens
        if cost <= rest:
            rest -= cost
            del out[key]
    return out
