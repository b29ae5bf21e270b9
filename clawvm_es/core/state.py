"""The state of one session: everything that `decide` may read, without any body.

The state is a private mutable draft: `evolve` copies it, the engine folds into it in place. LAW-CORE-1: both give
equal states at every step, and the incrementally kept selection index equals one built from scratch.
"""

from __future__ import annotations

import copy
from hashlib import sha256
from typing import Final, TypeAlias

import attrs

from clawvm_es.core.index import Index
from clawvm_es.core.utility import Hull
from clawvm_es.model.events import SessionOpened
from clawvm_es.model.facts import Entry, Need, OnPressure, RejectReason, ResourceClass, ReturnStatus, UpdateFacts
from clawvm_es.model.pages import ABSENT, FULL, PAGE_TYPES, Author, Origin, PageType, Pin, Scope
from clawvm_es.model.profile import Capability, Order, Paging, Profile, Rule, Weights

FieldKey: TypeAlias = tuple[str, str]
"""(scope, field) of the durable store."""


KNOWN_BY_CHARS: Final = 16
"""Hex digits of a commitment that tell the keys of one session apart: 64 bits."""


def known_by(commitment: str) -> str:
    """Short mark of the commitment to a key, by which a state recognises the key."""
    return commitment[:KNOWN_BY_CHARS]


@attrs.define
class Page:
    """One page as the core knows it. Tuples of five are by rank: absent, pointer, structured, compressed, full."""

    number: int
    place: int  # in rendered order
    page_id: str
    page_type: PageType
    author: Author
    origin: Origin
    scope: Scope
    pin: Pin
    tokens: tuple[int, ...]  # -1 where a level is not kept
    bodies: tuple[str | None, ...]  # commitments
    builders: tuple[str | None, ...]
    floor: int  # rank, after "the next kept level above"
    content_version: int
    written_version: int  # of the event that wrote this content
    last_used: int  # turn
    uses: int  # needs whose text it held
    edited: int  # turn of the last write to what it is the newest page of; 0: none
    active: bool = True
    dirty: bool = False
    retired: bool = False
    gone: bool = False  # its content was erased or destroyed: it cannot be resolved
    redacted: bool = False
    away: bool = False  # the harness went back to before it was written, and has not returned since
    signature: int | None = None
    source: str | None = None
    group: int | None = None
    native: str | None = None  # commitment to the provider's own form of the full level
    score: int | None = attrs.field(default=None, eq=False, repr=False)  # for `core.ranking`, worked out once
    weight: int | None = attrs.field(default=None, eq=False, repr=False)  # the part of it that uses do not move
    hull: Hull | None = attrs.field(default=None, eq=False, repr=False)  # from rank `hull_base`, worked out once
    hull_base: int = attrs.field(default=0, eq=False, repr=False)

    @property
    def full_tokens(self) -> int:
        """Tokens of the full level."""
        return self.tokens[FULL]

    def tag(self, rank: int) -> str:
        """The name of this content at a level, for a prompt's digest."""
        return f"{self.page_id}.{self.content_version}.{rank}"


@attrs.frozen
class Content:
    """One content of a page, as far as a prompt shows it; bodies are by rank."""

    page_type: PageType
    author: Author
    bodies: tuple[str | None, ...]  # commitments
    source: str | None  # commitment
    group: int | None = None
    call: int | None = None
    native: str | None = None  # commitment


@attrs.frozen
class Returned:
    """End of a call: its status, the event that says so, and commitments to result and validator."""

    status: ReturnStatus
    version: int
    result: str | None
    validator: str | None
    copied: bool = False  # whether the result stood whole in earlier pages


@attrs.define
class Call:
    """One tool call and what became of it."""

    call: int
    tool: str
    version: int
    turn: int
    deterministic: bool
    signature: int | None
    reads: tuple[int, ...]
    writes: tuple[int, ...] = ()
    repeats: int | None = None  # the earlier, still valid call with the same signature
    returned: Returned | None = None  # None: still in flight
    page_id: str | None = None  # the page that holds its result
    group: int | None = None
    copied: bool = False  # whether its whole result stood in earlier pages when it came


@attrs.frozen
class Asked:
    """A call of an answer: tokens of its arguments in full and as a stub.

    `own_id` is False if an earlier call has the same recorded id; `ended` is the version of its first end (0: none
    yet).
    """

    call: int
    full: int
    stub: int
    own_id: bool
    ended: int = 0


@attrs.frozen
class Group:
    """One answer and the results of its calls, where prompts are messages.

    `place` is the next page number at the time when the group began. `answered` is the version of the event with
    the answer's native form (0: none), `thinking` the tokens of its thoughts, which no page holds. `told` is True
    once a prompt was assembled after the group began; `sent` is the number of calls that this prompt knew.
    """

    number: int
    place: int
    calls: tuple[Asked, ...] = ()
    pages: tuple[str, ...] = ()
    answered: int = 0
    thinking: int = 0
    told: bool = False
    sent: int = 0


@attrs.define
class Update:
    """One proposed change of the durable store."""

    update: int
    facts: UpdateFacts
    version: int
    page_id: str | None = None
    reason: RejectReason | None = None
    field_version: int = 0  # once committed


_NEVER_OFFERED: Final = tuple(page_type for page_type, row in PAGE_TYPES.items() if not row.offered)
EMPTY: Final = sha256(b"").hexdigest()
"""Digest of a context that holds nothing."""
UNOPENED: Final = Profile(
    "unopened", 0, (), Rule.HULL, Order.DENSITY, Weights(*[0] * 13), 0, 0, 0, 0, Paging.TURN, 0, 0, 0, 0, 0, 0
)
"""The policy of a state before its session was opened: none."""


@attrs.define
class State:
    """The fold of one session's events."""

    version: int = 0
    turn: int = 0
    opened: SessionOpened | None = None
    profile: Profile = UNOPENED
    capabilities: frozenset[Capability] = frozenset()
    ranks_reuse: bool = False  # whether pages are ranked by how likely they are needed again
    keeps_floors: bool = False  # whether it has the mechanism of floors
    keeps_bootstrap: bool = False  # or that of the floors of bootstrap pages alone
    as_recorded: bool = False  # whether the prompt is what the harness itself held
    in_epochs: bool = False  # whether it only grows between epochs
    by_groups: bool = False  # whether it is sent as messages
    budget_tokens: int = 0
    declared_budget: int = 0  # what the harness opened the session with, or adopted; set_budget leaves it
    on_pressure: OnPressure = OnPressure.DEGRADE
    closed: bool = False

    pages: dict[str, Page] = attrs.field(factory=dict)
    resident: dict[str, int] = attrs.field(factory=dict)  # page id → rank in the prompt, never absent
    required: dict[str, int] = attrs.field(factory=dict)  # page id → floor, by the table of page types
    required_sizes: dict[str, int] = attrs.field(factory=dict)  # page id → tokens of that floor
    required_tokens: int = 0
    present: int = 0  # pages that are neither retired nor gone
    arrivals: dict[str, None] = attrs.field(factory=dict)  # written or paged in since the last assembly

    assembled: dict[str, int] = attrs.field(factory=dict)  # `resident` as of the last assembly
    assembled_last: tuple[str, ...] = ()  # its arrivals, which stood at the end
    assembled_tags: tuple[str, ...] = ()  # what stood in it, in rendered order
    assembled_directory: int = 0  # how many pages its directory line counted; 0: it had none
    assembled_fixed: int = -1
    assembled_region: str | None = None  # commitment to the fixed region, the last that is known
    assembled_model: int | None = None  # the model that was asked, the last that is known
    assembled_budget: int = 0
    assembled_version: int = 0
    assembling: bool = False  # whether a turn began and its prompt is not assembled yet
    rewritten: dict[str, None] = attrs.field(factory=dict)  # pages with new content since then
    boundary_version: int = 0  # of the compaction or reset since then, else 0

    layout: dict[int, int] = attrs.field(factory=dict)  # under `recorded`: place in the context → tokens of the copy
    asked: dict[int, int] = attrs.field(factory=dict)  # call → place of its arguments
    thought: dict[int, int] = attrs.field(factory=dict)  # version of an answer → place of what the model thought
    passing: dict[int, None] = attrs.field(factory=dict)  # of these, those that leave as the user speaks
    entries: dict[int, Entry] = attrs.field(factory=dict)  # in epochs: place in the layout → what stands there
    standing: dict[str, int] = attrs.field(factory=dict)  # resident page → place of its newest entry
    superseded: dict[tuple[str, int], Content] = attrs.field(factory=dict)  # (page id, version) of older copies
    below: dict[str, None] = attrs.field(factory=dict)  # required pages whose newest content is below its floor
    stale: int = 0  # tokens of entries that stand for no page any more
    pruned: int = 0  # of them, those that boundaries took out since the last assembly
    rent: int = 0  # paid since the epoch began, in permille of the price of an input token
    copies: dict[str, tuple[int, ...]] = attrs.field(factory=dict)  # page id → places, the newest copy last
    appended: int = 0  # places given so far
    sent: int = 0  # tokens of all copies
    prefix: int = 0  # of them, those before the first one that left since the last assembly
    cut: bool = False  # whether the next prompt cannot begin with the one before
    chain: str = EMPTY  # digest of the context, which covers what was appended and taken out, in order
    epoch: int = 0  # prompts that did not begin with the one before

    groups: dict[int, Group] = attrs.field(factory=dict)  # by ordinal; where prompts are messages
    fresh: dict[int, None] = attrs.field(factory=dict)  # those with calls or pages that no prompt has held
    newest: int = 0  # the last one
    spoken: int = 0  # number of the last page that the user said
    exchange: int = 0  # of `sent`, the tokens of the open exchange
    early: dict[int, int] = attrs.field(factory=dict)  # call → version of an end that came before it
    call_ids: dict[str, int] = attrs.field(factory=dict)  # `known_by` of a recorded id → the first call that has it

    turn_needs: dict[frozenset[str], None] = attrs.field(factory=dict)
    rendered_version: int = 0
    responded_version: int = 0

    calls: dict[int, Call] = attrs.field(factory=dict)
    results: dict[int, int] = attrs.field(factory=dict)  # signature → last call that returned without error
    signature_keys: dict[int, str] = attrs.field(factory=dict)  # signature, from 1 → `known_by` of its key
    resources: dict[int, ResourceClass] = attrs.field(factory=dict)  # by ordinal, from 1
    resource_keys: dict[int, str] = attrs.field(factory=dict)  # by ordinal → `known_by` of its key
    shown: dict[int, str] = attrs.field(factory=dict)  # resource → the newest page of what was read of it
    written_keys: dict[int, int] = attrs.field(factory=dict)  # resource → version of its last write
    written_classes: dict[ResourceClass, int] = attrs.field(factory=dict)
    unmatched: dict[int, Returned] = attrs.field(factory=dict)  # results that came before their call

    updates: dict[int, Update] = attrs.field(factory=dict)
    pending: dict[int, None] = attrs.field(factory=dict)  # validated, to be committed at the next commit point
    dirty: dict[str, None] = attrs.field(factory=dict)
    store: dict[FieldKey, int] = attrs.field(factory=dict)  # field → its committed version
    scopes: dict[str, int] = attrs.field(factory=dict)  # shared scope → last version seen
    recalls: int = 0

    index: Index | None = attrs.field(default=None, eq=False, repr=False)
    memo: tuple[str, tuple[str, ...]] | None = attrs.field(default=None, eq=False, repr=False)
    """Digest and tags of the last assembly that was decided here, which its fold needs again."""

    def copy(self) -> State:
        """An independent copy, without values that are recomputed on demand."""
        other = copy.copy(self)
        for name in _CONTAINERS:
            setattr(other, name, copy.copy(getattr(self, name)))
        other.pages = {page_id: copy.copy(page) for page_id, page in self.pages.items()}
        other.calls = {number: copy.copy(call) for number, call in self.calls.items()}
        other.updates = {number: copy.copy(update) for number, update in self.updates.items()}
        other.index = other.memo = None
        return other

    @property
    def fill_permille(self) -> int:
        """Fill of the context by resident pages and arrivals, in permille of the budget.

        If the policy pages in epochs, the fixed region and outdated copies count too.
        """
        if self.in_epochs:
            new = sum(
                [self.pages[page_id].full_tokens for page_id in self.arrivals if not self.stands(page_id, FULL)]
            )
            return (max(self.assembled_fixed, 0) + self.sent + new) * 1000 // max(1, self.budget_tokens)
        held = {page_id: self.pages[page_id].tokens[rank] for page_id, rank in self.resident.items()}
        held.update({page_id: self.pages[page_id].full_tokens for page_id in self.arrivals})
        return sum(held.values()) * 1000 // max(1, self.budget_tokens)

    def stands(self, page_id: str, rank: int) -> bool:
        """Tell whether the newest content of a page is in the prompt at `rank` or above."""
        return self.resident.get(page_id, ABSENT) >= rank and page_id not in self.rewritten

    def can(self, capability: Capability) -> bool:
        """Tell whether the session's policy has a mechanism."""
        return capability in self.capabilities

    def held_floor(self, page: Page) -> int:
        """The rank below which the policy does not let a page fall; absent if it has no floor."""
        if self.keeps_floors or (self.keeps_bootstrap and page.page_type is PageType.BOOTSTRAP):
            return self.required.get(page.page_id, ABSENT)
        return ABSENT

    def holdable(self, page: Page) -> bool:
        """Tell whether a page can stand in a prompt at all."""
        return not (page.retired or page.gone) and self.offers(page)

    def offers(self, page: Page) -> bool:
        """Tell whether the policy may show a page: none that a rewind took away, and no forbidden summary."""
        return not page.away and (self.as_recorded or page.page_type not in _NEVER_OFFERED)

    def place(self, page_id: str) -> int:
        """The place of a page in rendered order."""
        return self.pages[page_id].place

    def changing(self) -> dict[str, int]:
        """`resident`, made safe to change: the last assembled prompt keeps its own copy."""
        if self.resident is self.assembled:
            self.resident = dict(self.resident)
        return self.resident

    def valid_call(self, signature: int | None) -> Call | None:
        """The earlier call with this signature whose result still holds; None if there is none."""
        number = self.results.get(signature) if signature is not None else None
        if number is None:
            return None
        call = self.calls[number]
        return call if self.holds(call) else None

    def holds(self, call: Call) -> bool:
        """Tell whether nothing that a call read was written since the call."""
        made = call.version
        for key in call.reads:
            if self.written_keys.get(key, 0) > made:
                return False
            if self.written_classes.get(self.resources[key], 0) > made:
                return False
        return True


def holder_set(need: Need) -> frozenset[str]:
    """Return the key of a need within a turn."""
    return frozenset([holder.page_id for holder in need.holders])


_CONTAINERS = tuple(
    field.name
    for field in attrs.fields(State)
    if field.name not in ("pages", "calls", "updates", "index") and isinstance(getattr(State(), field.name), dict)
)
