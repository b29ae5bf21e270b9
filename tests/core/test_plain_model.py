"""The core beside a plain model that shares no code with it: the same decisions, and the same state after each."""

from __future__ import annotations

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from msgspec.structs import replace

from clawvm_es.core.profiles import (
    CLAWVM,
    CLAWVM_PAPER,
    CLAWVM_RANK,
    CLAWVM_TURN,
    LRU,
    PROFILES,
    RECORDED,
    in_epochs,
    without,
)
from clawvm_es.model import events as e
from clawvm_es.model.facts import (
    Boundary,
    Cut,
    Evidence,
    Holder,
    Need,
    NeedRule,
    Op,
    RecallOutcome,
    RedactReason,
    Resource,
    ResourceClass,
    RetireReason,
    ReturnStatus,
    SchemaVerdict,
    ScopeChange,
    StagedPage,
    Trigger,
    UpdateFacts,
    Verdict,
)
from clawvm_es.model.pages import Author, Fidelity, Level, Origin, OriginKind, PageType, Pin, Scope
from clawvm_es.model.profile import CONTRACT, Capability
from clawvm_es.testing.core import Given, opened
from tests.core.plain_model import Plain

HASH = "0" * 64
TEAM = "scope:team"
SOON = attrs.evolve(in_epochs(CLAWVM_PAPER), rent_permille=50, low_permille=200, cold_low_permille=125)
"""A policy whose epochs pay soon, in density order."""
FULL_CONTRACT = [CLAWVM, CLAWVM, CLAWVM_TURN, CLAWVM_PAPER, CLAWVM_RANK, LRU, SOON]
OTHERS = [
    *(profile for profile in PROFILES.values() if profile not in FULL_CONTRACT),
    without(RECORDED, Capability.STAGING),
    *(without(policy, missing) for missing in CONTRACT for policy in (CLAWVM, CLAWVM_TURN)),
    *(without(policy, Capability.SCORING) for policy in (CLAWVM_PAPER, CLAWVM_RANK, LRU)),
    without(CLAWVM, *CONTRACT),
]
FIELDS = st.sampled_from(["note", "goal"])


class Beside:
    """A session in the core and the model beside it: every input is expected, taken and compared."""

    def __init__(self, profile=CLAWVM, budget=400, directory=0, misfits=3, project=None):
        self.given, self.plain = Given(), Plain()
        self.when(replace(opened(profile, budget, directory, misfits), project=project))

    def when(self, data):
        """Decide an input; what follows must be what the model expects, and leave what it knows."""
        opening = isinstance(data, e.SessionOpened)
        expected = [] if opening else self.plain.expects(data)
        decided = list(self.given.when(data))
        assert decided == expected, (decided, expected)
        for event in (data, *decided):
            self.plain.sees(event)
        assert (found := self.plain.differences(self.given.state)) == [], found


def written(
    number, page_type, sizes, *, author=Author.TOOL, active=True, scope=Scope.SESSION, origin=None, dirty=None
):
    """A page with these sizes of its kept levels, by name."""
    kept = tuple(Level(level, tokens, HASH, "plain/1") for level, tokens in sizes)
    return e.PageWritten(
        page_id=f"p{number}",
        page_type=page_type,
        author=author,
        origin=origin or Origin(OriginKind.RECORD),
        levels=kept,
        scope=scope,
        active=active,
        dirty=dirty,
    )


@st.composite
def sizes(draw):
    """Kept levels, highest first, each smaller than the one above it; full is always kept."""
    lower = sorted(draw(st.lists(st.sampled_from(list(Fidelity)[1:4]), unique=True)), key=list(Fidelity).index)
    count = len(lower) + 1
    counts = sorted(draw(st.lists(st.integers(0, 300), min_size=count, max_size=count, unique=True)))
    return tuple(reversed(list(zip([*lower, Fidelity.FULL], counts, strict=True))))


SIGNATURES, MOSTLY = st.sampled_from([1, 1, 1, 2, None]), st.sampled_from([True, True, True, False])
FLAWS = [None] * 6 + ["verdict", "event of the future", "event 0", "no page", "no scope", "nothing", "denied"]
FLAWS += ["another base", "changes a key", "a validator", "stands for nothing"]
LEVELS = st.lists(st.sampled_from(list(Fidelity)[1:]), min_size=1, max_size=3, unique=True).map(tuple)


class BesideMachine(RuleBasedStateMachine):
    """A session that does everything in any order, beside the model."""

    policies = FULL_CONTRACT
    budgets = st.integers(1, 900)

    @initialize(data=st.data(), directory=st.sampled_from([0, 20]), misfits=st.integers(1, 4))
    def begin(self, data, directory, misfits):
        """Open the session."""
        budget = data.draw(self.budgets)
        policy = data.draw(st.sampled_from(self.policies))
        alone = policy.flush_permille or policy.compact_permille
        self.project = None if alone else data.draw(st.sampled_from([None, TEAM]))
        self.beside = Beside(policy, budget, directory, misfits, self.project)
        for number in range(1, data.draw(st.integers(1, 5))):
            self.beside.when(written(number, data.draw(st.sampled_from(PageType)), data.draw(sizes())))
        self.beside.when(e.TurnBegan())
        self.calls = 0
        self.met = []

    @property
    def state(self):
        """The state of the core: for choosing what to do, never for what is expected."""
        return self.beside.given.state

    def known(self, data, count=1):
        """Ids of some pages."""
        return data.draw(st.lists(st.sampled_from(sorted(self.state.pages)), max_size=count, min_size=1, unique=True))

    def needs(self, data):
        """Needs that some pages hold, sometimes one twice."""
        if not self.state.pages or not data.draw(st.booleans()):
            return ()
        found = []
        for _ in range(data.draw(st.integers(1, 2))):
            holders = tuple(Holder(page_id, data.draw(LEVELS)) for page_id in self.known(data, 2))
            found.append(Need(holders, data.draw(st.sampled_from(NeedRule)), data.draw(st.integers(0, 50))))
        if self.met and data.draw(st.booleans()):
            found.insert(0, self.met[-1])
        self.met.extend(found)
        return tuple(found)

    @rule(
        page_type=st.sampled_from(PageType),
        kept=sizes(),
        author=st.sampled_from(Author),
        scope=st.sampled_from(Scope),
        resource=st.none() | st.integers(1, 2),
        dirty=st.sampled_from([None, None, True, False]),
        data=st.data(),
    )
    def write(self, page_type, kept, author, scope, resource, dirty, data):
        """Write a new page, sometimes as the result of a call about something, also of one that is not made yet."""
        call = data.draw(st.none() | st.integers(1, self.calls + 1))
        origin = Origin(OriginKind.TOOL_CALL if call else OriginKind.RECORD, call=call, resource=resource)
        number = len(self.state.pages) + 1
        self.beside.when(written(number, page_type, kept, author=author, scope=scope, origin=origin, dirty=dirty))

    @precondition(lambda self: self.state.pages)
    @rule(data=st.data(), kept=sizes(), active=st.booleans(), other=st.none() | st.sampled_from(PageType))
    def rewrite(self, data, kept, active, other):
        """Write the next content of a page, seldom as one of another type."""
        known = self.state.pages[self.known(data)[0]]
        self.beside.when(written(known.number, other or known.page_type, kept, active=active))

    @rule(
        fixed=st.sampled_from([0, 0, 0, 30, 901]),
        idle=st.sampled_from([None, 0, 300, 301]),
        region=st.sampled_from([None, None, None, HASH]),
        model=st.sampled_from([None, 1, 1, 2]),
        data=st.data(),
    )
    def turn(self, fixed, idle, region, model, data):
        """Assemble a prompt, sometimes with hints."""
        hints = tuple(self.known(data, 3)) if self.state.pages and data.draw(st.booleans()) else ()
        found = tuple(self.known(data, 3)) if self.state.pages and data.draw(st.booleans()) else ()
        self.beside.when(e.TurnBegan(hints, found, fixed, region, model, None, idle))

    @rule(times=st.sampled_from([1, 2, 3, 4, 8, 17, 65]))
    def turns(self, times):
        """Let time pass."""
        for _ in range(times):
            self.beside.when(e.TurnBegan())

    @rule(data=st.data())
    def respond(self, data):
        """The model uses pages."""
        thinking = data.draw(st.sampled_from([None, HASH]))
        tokens, passes = data.draw(st.sampled_from([(0, False), (7, False), (7, True)]))
        self.beside.when(
            e.ModelResponded(self.needs(data), 0, thinking_tokens=tokens, thinking=thinking, thinking_passes=passes)
        )

    @precondition(lambda self: self.state.resident)
    @rule(data=st.data(), pause=st.booleans(), times=st.integers(1, 3))
    def use(self, data, pause, times):
        """The model uses what the prompt holds, in this turn or the next."""
        if pause:
            self.beside.when(e.TurnBegan())
        for _ in range(times if self.state.resident else 0):
            page_id = data.draw(st.sampled_from(sorted(self.state.resident)))
            level = list(Fidelity)[self.state.resident[page_id]]
            need = Need((Holder(page_id, (level,)),), data.draw(st.sampled_from(NeedRule)), 3)
            self.beside.when(e.ModelResponded(needs=(need,)))

    @rule(data=st.data(), signature=SIGNATURES, deterministic=MOSTLY, early=st.booleans())
    def call(self, data, signature, deterministic, early):
        """Call a tool and get its result, which sometimes comes first; what it writes, others have read."""
        fresh = () if self.calls else (Resource(ResourceClass.FILE, HASH), Resource(ResourceClass.NETWORK, HASH))
        self.calls += 1
        keys = st.sampled_from([(1,), (2,), (1, 2), (2, 1)])
        called = e.ToolCalled(
            call=self.calls,
            tool="T",
            arguments=HASH,
            signature=signature,
            deterministic=deterministic,
            resources=fresh,
            reads=data.draw(keys | st.just(())),
            writes=data.draw(st.just(()) | keys),
            invalidates=data.draw(st.just(()) | st.just((ResourceClass.FILE,))),
            needs=self.needs(data),
            levels=data.draw(st.just(()) | st.just((Level(Fidelity.FULL, 9, HASH, "plain/1"),))),
        )
        status = data.draw(st.sampled_from([ReturnStatus.OK, ReturnStatus.OK, *ReturnStatus]))
        status = ReturnStatus.OK if self.calls in self.state.unmatched else status  # it ended before it was made
        returned = e.ToolReturned(call=self.calls, status=status, needs=self.needs(data), unmatched=early)
        ends = data.draw(st.sampled_from([True, True, False]))
        for event in (returned, called) if early else (called, returned) if ends else (called,):
            self.beside.when(event)

    @rule(data=st.data(), status=st.sampled_from(ReturnStatus))
    def end(self, data, status):
        """A call ends that is in flight, ended before (then it went well), or is not made yet."""
        number = data.draw(st.integers(1, self.calls + 1))
        unmatched = number > self.calls
        known = self.state.unmatched.get(number) if unmatched else self.state.calls[number].returned
        status = status if known is None else ReturnStatus.OK
        self.beside.when(e.ToolReturned(call=number, status=status, needs=self.needs(data), unmatched=unmatched))

    @precondition(lambda self: self.state.pages)
    @rule(data=st.data(), pin=st.sampled_from(Pin))
    def pin(self, data, pin):
        """Pin a page."""
        self.beside.when(e.PagePinned(self.known(data)[0], pin))

    @precondition(lambda self: self.state.pages)
    @rule(data=st.data())
    def retire(self, data):
        """Retire a page."""
        self.beside.when(e.PageRetired(self.known(data)[0], RetireReason.DONE))

    @precondition(lambda self: self.state.pages)
    @rule(data=st.data())
    def redact(self, data):
        """Erase what some pages hold."""
        self.beside.when(e.ContentRedacted(RedactReason.REQUEST, pages=tuple(self.known(data, 2))))

    @rule(field=FIELDS, op=st.sampled_from(Op), flaw=st.sampled_from(FLAWS), data=st.data())
    def stage(self, field, op, flaw, data):
        """Stage an update that rests on an event or a page, and may be wrong in one way."""
        good = Evidence(version=data.draw(st.integers(1, self.state.version)))
        if self.state.pages and data.draw(st.booleans()):
            good = Evidence(page_id=self.known(data)[0])
        scope = data.draw(st.sampled_from(["session", self.project or "session"]))
        if self.state.scopes.get(TEAM) and data.draw(st.booleans()):
            good = Evidence(scope_version=data.draw(st.integers(1, self.state.scopes[TEAM])))
        facts = UpdateFacts(
            field=field,
            op=op,
            value=HASH,
            size_bytes=1,
            evidence=good,
            scope=scope,
            base_version=self.state.store.get((scope, field), data.draw(st.sampled_from([0, 0, None]))),
            validators=(Verdict("v1", True),),
            replaces=tuple(self.known(data, 2)) if op is Op.REPLACE and self.state.pages else (),
        )
        flaws = {
            "verdict": {"verdict": SchemaVerdict.WRONG_TYPE},
            "event of the future": {"evidence": Evidence(version=self.state.version + 1)},
            "event 0": {"evidence": Evidence(version=0)},
            "no scope": {"evidence": Evidence(scope_version=1 + self.state.scopes.get(TEAM, 0))},
            "no page": {"evidence": Evidence(page_id="p99")},
            "stands for nothing": {"replaces": ("p99",)},
            "nothing": {"evidence": Evidence()},
            "denied": {"allowed": False},
            "another base": {"base_version": (facts.base_version or 0) + 1},
            "changes a key": {"keys_changed": 1},
            "a validator": {"validators": (Verdict("v1", True), Verdict("v2", False))},
        }
        for name in (flaw, data.draw(st.sampled_from(FLAWS))):
            facts = replace(facts, **flaws.get(name, {}))
        self.beside.when(e.UpdateStaged(len(self.state.updates) + 1, facts))

    @precondition(lambda self: self.project)
    @rule(fields=st.lists(FIELDS, max_size=2))
    def sync(self, fields):
        """Learn what others committed to the shared scope."""
        known = self.state.scopes[TEAM]
        changes = tuple(ScopeChange(field, Op.APPEND, known + n, HASH) for n, field in enumerate(fields, 1))
        self.beside.when(e.ScopeSynced(TEAM, known, known + len(fields), changes))

    @rule(boundary=st.sampled_from(Boundary), data=st.data())
    def boundary(self, boundary, data):
        """Reach a boundary, with all dirty pages staged; some lack content, or rest on what was committed."""
        staged = tuple(
            StagedPage(
                page_id,
                UpdateFacts(
                    page_id,
                    Op.SET_WITH_VERSION,
                    HASH,
                    data.draw(st.sampled_from([1, 1, 0])),
                    Evidence(page_id=page_id),
                    base_version=self.state.store.get(("session", page_id), data.draw(st.sampled_from([0, 0, 0, 1]))),
                ),
            )
            for page_id in self.state.dirty
        )
        named = tuple(self.known(data, 2)) if self.state.pages and data.draw(st.booleans()) else ()
        pages = named if boundary is Boundary.PRUNE else ()
        cut = data.draw(st.none() | st.sampled_from(Cut))
        trigger = data.draw(st.sampled_from([Trigger.CALLER, Trigger.RECORDED, Trigger.RECORDED]))
        left, returned = (), ()
        if cut is not None and self.state.pages:
            left = tuple(self.known(data, 4))
            returned = tuple(each for each in self.known(data, 3) if each not in left)
        self.beside.when(e.BoundaryReached(boundary, trigger, staged, pages, cut=cut, left=left, returned=returned))

    @rule(outcome=st.sampled_from(RecallOutcome), data=st.data())
    def recall(self, outcome, data):
        """A memory backend answers."""
        found = tuple(self.known(data, 2)) if outcome is RecallOutcome.OK and self.state.pages else ()
        self.beside.when(e.RecallAnswered(self.state.recalls + 1, outcome, HASH, found, self.needs(data)))

    @rule(data=st.data(), forks=st.booleans())
    def adopt(self, data, forks):
        """Go on under another policy or budget, sometimes as a fork."""
        budget = data.draw(st.none() | self.budgets)
        alone = [policy for policy in self.policies if not (policy.flush_permille or policy.compact_permille)]
        policy = data.draw(st.none() | st.sampled_from(alone if self.project else self.policies))
        if forks:
            self.beside.when(e.SessionForked("parent", self.state.version, HASH, policy, budget))
        elif policy or budget:
            self.beside.when(e.SettingsAdopted(policy, budget))

    @rule(data=st.data())
    def budget(self, data):
        """Change the budget."""
        self.beside.when(e.BudgetChanged(data.draw(self.budgets)))

    @rule(idle=st.sampled_from([None, 301]), pages=st.lists(sizes(), min_size=1, max_size=6), waits=st.integers(0, 9))
    def work(self, idle, pages, waits):
        """Steps of an agent: a result, then a prompt with it, now and then after a pause; then it only talks."""
        for kept in pages:
            self.beside.when(written(len(self.state.pages) + 1, PageType.EVIDENCE, kept))
            self.beside.when(e.TurnBegan(idle_s=idle))
        for _ in range(waits):
            self.beside.when(e.TurnBegan())


class EpochsMachine(BesideMachine):
    """The same with room for long epochs, under policies that page in them; by turn only for a while."""

    policies = (CLAWVM, CLAWVM, SOON, SOON, LRU, CLAWVM_TURN)
    budgets = st.integers(1_500, 3_000)


class OthersMachine(BesideMachine):
    """The same under policies without the whole contract: what they lack shows, as the faults of §6."""

    policies = OTHERS


class RecordedMachine(BesideMachine):
    """The same as the harness itself had it, sometimes under `clawvm` for a while."""

    policies = (RECORDED, RECORDED, RECORDED, CLAWVM)


TestRecorded = RecordedMachine.TestCase
TestRecorded.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestEpochs = EpochsMachine.TestCase
TestEpochs.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
TestBeside = BesideMachine.TestCase
TestBeside.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestOthers = OthersMachine.TestCase
TestOthers.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
