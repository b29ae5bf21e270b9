"""LAW-CORE-1, LAW-INDEX-1 and LAW-SCORE-1, as a stateful machine: in place = with copies, kept = from scratch."""

import copy
from itertools import takewhile

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from clawvm_es.core.decide import decide
from clawvm_es.core.evolve import apply, evolve, fold
from clawvm_es.core.profiles import CLAWVM, MUTATIONS, PROFILES, without
from clawvm_es.core.ranking import build_index, index_of, scored
from clawvm_es.core.state import State
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import (
    Boundary,
    CloseReason,
    Cut,
    Evidence,
    NeedRule,
    Op,
    RecallOutcome,
    RedactReason,
    Resource,
    ResourceClass,
    RetireReason,
    ReturnStatus,
    StagedPage,
    Trigger,
    UpdateFacts,
)
from clawvm_es.model.pages import Author, Fidelity, Level, Origin, OriginKind, PageType, Pin
from clawvm_es.model.profile import Capability
from clawvm_es.testing.core import Given, need, opened, page, update

HASH = "0" * 64
RENDERERS = ["", "", "messages/1:anthropic", "messages/1:openai"]
ARGUMENTS = (Fidelity.FULL, Fidelity.STRUCTURED)
POLICIES = [*PROFILES.values(), *[without(CLAWVM, missing) for missing in (*MUTATIONS, Capability.SCORING)]]


class Life(RuleBasedStateMachine):
    """A session that does everything in any order, folded in place and, beside it, with copies."""

    @initialize(
        profile=st.sampled_from(POLICIES),
        budget=st.integers(1, 900),
        directory=st.sampled_from([0, 20]),
        renderer=st.sampled_from(RENDERERS),
    )
    def begin(self, profile, budget, directory, renderer):
        """Open the session."""
        self.given = Given()
        self.copied = State()
        self.folded = 0
        self.given.when(replace(opened(profile, budget, directory, misfits=3), renderer=renderer))

    def known(self, data):
        """The id of some page."""
        return data.draw(st.sampled_from(sorted(self.given.state.pages)))

    def needs(self, data):
        """At most one need of some page."""
        if not self.given.state.pages or not data.draw(st.booleans()):
            return ()
        number = self.given.state.pages[self.known(data)].number
        return (need(number, rule=data.draw(st.sampled_from(list(NeedRule)))),)

    @rule(page_type=st.sampled_from(list(PageType)), tokens=st.integers(1, 300), author=st.sampled_from(list(Author)))
    def write(self, page_type, tokens, author):
        """Write a new page; a text of the model belongs to its newest answer."""
        group = self.given.state.newest if author is Author.MODEL else 0
        new = page(len(self.given.state.pages) + 1, page_type, tokens, author=author)
        self.given.when(replace(new, group=group or None))

    @precondition(lambda self: self.given.state.pages)
    @rule(data=st.data(), tokens=st.integers(1, 300), active=st.booleans())
    def rewrite(self, data, tokens, active):
        """Write the next content of a page."""
        known = self.given.state.pages[self.known(data)]
        self.given.when(page(known.number, known.page_type, tokens, active=active))

    @rule(fixed=st.sampled_from([0, 0, 30]), data=st.data())
    def turn(self, fixed, data):
        """Assemble a prompt, sometimes with hints."""
        pages = sorted(self.given.state.pages)
        hints = data.draw(st.lists(st.sampled_from(pages), max_size=2, unique=True)) if pages else []
        self.given.turn(fixed_tokens=fixed, hints=tuple(hints))

    @rule(idle=st.sampled_from([None, 0, 301]), region=st.sampled_from([None, None, HASH]), model=st.integers(1, 2))
    def ask(self, idle, region, model):
        """Assemble a prompt after a pause, or for another model, or with another fixed region."""
        self.given.turn(idle_s=idle, fixed=region, model=model)

    @precondition(lambda self: self.given.state.pages)
    @rule(data=st.data())
    def use(self, data):
        """The model uses pages."""
        numbers = [self.given.state.pages[self.known(data)].number for _ in range(2)]
        self.given.when(e.ModelResponded(needs=(need(*dict.fromkeys(numbers)),)))

    @rule(new=st.booleans(), thinking=st.sampled_from([None, HASH]), native=st.sampled_from([None, HASH]))
    def answer(self, new, thinking, native):
        """The model answers, or goes on with its newest answer."""
        group = self.given.state.newest + (new or not self.given.state.newest)
        tokens = 0 if thinking is None else 7
        self.given.when(
            e.ModelResponded(
                group=group, thinking=thinking, native=native, thinking_tokens=tokens, thinking_passes=new
            )
        )

    @rule(
        data=st.data(),
        signature=st.none() | st.integers(1, 3),
        reads=st.booleans(),
        writes=st.booleans(),
        call_id=st.sampled_from([None, "0" * 64, "1" * 64]),
    )
    def call(self, data, signature, reads, writes, call_id):
        """Call a tool, sometimes writing what others read."""
        state = self.given.state
        fresh = () if state.resources else (Resource(ResourceClass.FILE, HASH),)
        sizes = data.draw(st.sampled_from([(), (9,), (60, 8)]))
        self.given.when(
            e.ToolCalled(
                call=len(state.calls) + 1,
                tool="T",
                arguments=HASH,
                signature=signature,
                deterministic=True,
                resources=fresh,
                reads=(1,) if reads else (),
                writes=(1,) if writes else (),
                needs=self.needs(data),
                levels=tuple(
                    Level(level, size, HASH, "plain/1") for level, size in zip(ARGUMENTS, sizes, strict=False)
                ),
                group=state.newest or None,
                call_id=call_id,
            )
        )

    @rule(data=st.data(), behind=st.integers(-1, 2), status=st.sampled_from([ReturnStatus.OK, *ReturnStatus]))
    def end(self, data, behind, status):
        """A call ends: the newest, one before it, or one that is not made yet; sometimes it did so before."""
        number = max(len(self.given.state.calls) - behind, 1)
        unmatched = number not in self.given.state.calls
        self.given.when(e.ToolReturned(call=number, status=status, needs=self.needs(data), unmatched=unmatched))

    @rule(behind=st.integers(-1, 2), about=st.booleans(), tokens=st.integers(1, 300), native=st.booleans())
    def show(self, behind, about, tokens, native):
        """Write the result of a call, or what it read or wrote of the file, sometimes before the call itself."""
        state = self.given.state
        number = max(len(state.calls) - behind, 1)
        resource = 1 if about and state.resources else None
        group = state.calls[number].group if number in state.calls else None
        new = page(len(state.pages) + 1, tokens=tokens)
        origin = Origin(OriginKind.TOOL_CALL, call=number, resource=resource)
        self.given.when(replace(new, origin=origin, group=group, native=HASH if native and group else None))

    @rule(profile=st.none() | st.sampled_from(POLICIES), budget=st.none() | st.integers(1, 900), closes=st.booleans())
    def adopt(self, profile, budget, closes):
        """Go on under other settings, sometimes after the end of the session."""
        if closes:
            self.given.when(e.SessionClosed(CloseReason.ENDED))
            self.given.when(e.SessionReopened())
        if profile is not None or budget is not None:
            self.given.when(e.SettingsAdopted(profile, budget))

    @rule(profile=st.none() | st.sampled_from(POLICIES), within=st.none() | st.integers(0, 4))
    def fork(self, profile, within):
        """Go on as a fork, which sometimes begins within a turn: before its prompt was assembled."""
        if within is not None:
            began, *rest = decide(self.given.state, Command(e.TurnBegan(), 0))
            before = list(takewhile(lambda data: not isinstance(data, e.PromptAssembled), rest))
            for event in (began, *before[:within]):
                apply(self.given.state, event)
                self.given.log.append(event)
        self.given.when(e.SessionForked("parent", self.given.state.version, HASH, profile))

    @precondition(lambda self: self.given.state.pages)
    @rule(data=st.data(), pin=st.sampled_from(list(Pin)))
    def pin(self, data, pin):
        """Pin a page."""
        self.given.when(e.PagePinned(self.known(data), pin))

    @precondition(lambda self: self.given.state.pages)
    @rule(data=st.data())
    def retire(self, data):
        """Retire a page."""
        self.given.when(e.PageRetired(self.known(data), RetireReason.DONE))

    @precondition(lambda self: self.given.state.pages)
    @rule(data=st.data())
    def redact(self, data):
        """Erase a page's content."""
        self.given.when(e.ContentRedacted(RedactReason.REQUEST, pages=(self.known(data),)))

    @rule(op=st.sampled_from(list(Op)), base=st.integers(0, 3))
    def stage(self, op, base):
        """Stage an update."""
        number = len(self.given.state.updates) + 1
        self.given.when(e.UpdateStaged(number, update(op=op, base_version=base)))

    @rule(boundary=st.sampled_from(list(Boundary)), cut=st.none() | st.sampled_from(list(Cut)), data=st.data())
    def boundary(self, boundary, cut, data):
        """Reach a boundary, with all dirty pages staged; sometimes it says what the harness cut and put back."""
        state = self.given.state
        staged = tuple(
            StagedPage(page_id, UpdateFacts(page_id, Op.SET_WITH_VERSION, HASH, 1, Evidence(page_id=page_id)))
            for page_id in state.dirty
        )
        moved = ((), ())
        if cut is not None and state.pages:
            ids = st.lists(st.sampled_from(sorted(state.pages)), max_size=3, unique=True).map(tuple)
            moved = (data.draw(ids), data.draw(ids))
        left, returned = moved[0], tuple(page_id for page_id in moved[1] if page_id not in moved[0])
        self.given.when(e.BoundaryReached(boundary, Trigger.RECORDED, staged, cut=cut, left=left, returned=returned))

    @precondition(lambda self: self.given.state.pages)
    @rule(data=st.data(), outcome=st.sampled_from(list(RecallOutcome)))
    def recall(self, data, outcome):
        """A memory backend answers."""
        pages = (self.known(data),) if outcome is RecallOutcome.OK else ()
        self.given.when(e.RecallAnswered(1, outcome, HASH, pages))

    @rule(budget=st.integers(1, 900))
    def budget(self, budget):
        """Change the budget."""
        self.given.when(e.BudgetChanged(budget))

    @invariant()
    def in_place_equals_with_copies(self):
        """LAW-CORE-1, and the state that a copy was made of stays as it was."""
        for event in self.given.log[self.folded :]:
            before, kept = self.copied, copy.deepcopy(self.copied)
            self.copied = evolve(before, event)
            assert before == kept
        self.folded = len(self.given.log)
        assert self.copied == self.given.state

    @invariant()
    def the_kept_index_equals_one_from_scratch(self):
        """LAW-INDEX-1, and a session that is folded anew decides as the one that was held open."""
        state = self.given.state
        if state.index is None or (state.in_epochs and self.folded % 4):  # what changed meanwhile has to wait
            return
        anew = fold(self.given.log)
        assert index_of(state).contents() == build_index(anew).contents()
        for turn in (e.TurnBegan(), e.TurnBegan(idle_s=301, hints=tuple(anew.required))):
            assert decide(state, Command(turn, 0)) == decide(anew, Command(turn, 0))

    @invariant()
    def a_score_is_the_same_whenever_it_is_worked_out(self):
        """LAW-SCORE-1: what a page knows of its score is what would be worked out now."""
        for known in self.given.state.pages.values():
            now = scored(self.given.state, attrs.evolve(known, score=None, weight=None))
            assert scored(self.given.state, known) == now

    @invariant()
    def no_page_is_resident_that_cannot_be(self):
        """Pages that were retired, erased or rewound are not in the prompt."""
        state = self.given.state
        for page_id, rank in state.resident.items():
            known = state.pages[page_id]
            assert rank > 0
            assert not (known.retired or known.gone or known.away)

    def teardown(self):
        """A fold of the whole log from the empty state comes to the same."""
        if hasattr(self, "given"):
            assert fold(self.given.log) == self.given.state


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_folded_state_is_the_one_that_was_given():
    """`apply` and `fold` go on in place and return that state; `evolve` leaves it as it was and returns another."""
    state, begun = State(), opened(CLAWVM, 500)
    assert apply(state, begun) is state and state.version == 1
    assert fold([page(1), page(2)], state) is state and state.version == 3
    after = evolve(state, page(3))
    assert after is not state and (state.version, after.version) == (3, 4)
    assert after == fold([begun, page(1), page(2), page(3)])
