"""The engine beside the plain model: what a session records is expected, its prompts and values are what they say."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from clawvm_es.core.profiles import CLAWVM, CLAWVM_PAPER, CLAWVM_TURN, LRU
from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema
from clawvm_es.errors import ToolFailed
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import Holder, Need, NeedRule, RedactReason
from clawvm_es.model.pages import Fidelity, PageType, Pin, Scope
from clawvm_es.observe.tools import Tool
from tests.core.plain_model import Plain

FIELDS = {"timezone": FieldSchema("string", 100), "facts": FieldSchema("object"), "notes": FieldSchema()}
WORDS = st.integers(1, 60)


class EngineMachine(RuleBasedStateMachine):
    """A live session in memory, beside the model and beside values that are worked out in plain Python."""

    @initialize(policy=st.sampled_from([CLAWVM, CLAWVM_PAPER, CLAWVM_TURN, LRU]), budget=st.integers(150, 900))
    def begin(self, policy, budget):
        """Open a session with one declared tool, whose result holds until the world changes."""
        self.world, self.ran = 0, 0
        self.plain, self.seen = Plain(), 0
        self.staged: list[tuple[str, str, object]] = []
        self.values: dict[str, object] = {}
        self.texts: dict[str, str] = {}
        self.journal = Journal.open(":memory:", seed=1, clock=self.tick)
        self.options = {"policy": policy, "budget_tokens": budget, "counter": "lines4"}
        self.settings = Settings(fields=FIELDS, tools=[self.tool()])
        self.reopen()

    @rule()
    def reopen(self):
        """Take the session up again where its stream ends."""
        self.session = self.journal.session("s", settings=self.settings, **self.options)
        self.look()

    def tick(self):
        """A clock that stands still is as good as any."""
        return 1

    def tool(self):
        """A deterministic tool that reads the world."""

        def run(what):
            self.ran += 1
            return f"mark{self.ran}r {what} {self.world} " + "result " * 20

        return Tool(
            "look",
            run=run,
            deterministic=True,
            reads=["file:{what}"],
            validator=lambda arguments: str(self.world),
        )

    def look(self):
        """Every new input is followed by what the model expects; the state and the values are what it knows."""
        rows = list(self.journal.log.read("s"))[self.seen :]
        self.seen += len(rows)
        while rows:
            data = rows.pop(0).data
            decided = []
            while rows and e.KINDS[rows[0].data.TYPE] == "decision":
                decided.append(rows.pop(0).data)
            if not isinstance(data, e.SessionOpened):
                assert decided == self.plain.expects(data)
            for event in (data, *decided):
                self.plain.sees(event)
                self.commits(event)
        assert self.plain.differences(self.session.state) == []
        assert {name: self.session.value(name) for name in FIELDS} == {name: self.values.get(name) for name in FIELDS}

    def commits(self, event):
        """Apply what was committed to the plain values."""
        if not isinstance(event, e.UpdateCommitted) or event.field not in FIELDS:
            if isinstance(event, e.BoundaryReached):
                self.staged.extend(("page", "page", None) for _ in event.staged)
            return
        field, op, value = self.staged[event.update - 1]
        now = self.values.get(field)
        sums = {"merge": lambda: {**(now or {}), **value}, "append": lambda: [*(now or []), value]}
        self.values[field] = sums.get(op, lambda: value)()

    def known(self, data):
        """Some page's id."""
        return data.draw(st.sampled_from(sorted(self.session.state.pages)))

    @rule(kind=st.sampled_from(PageType), words=WORDS, scope=st.sampled_from(Scope))
    def write(self, kind, words, scope):
        """Write a page."""
        text = f"mark{len(self.texts)}w says\n" + "some words of it " * words
        self.texts[self.session.write_page(kind, text, scope=scope)] = text
        self.look()

    @precondition(lambda self: self.texts)
    @rule(data=st.data(), words=WORDS)
    def rewrite(self, data, words):
        """Write the next content of a page."""
        page_id = data.draw(st.sampled_from(sorted(self.texts)))
        text = f"mark{self.seen}n says\n" + "other words of it " * words
        kind = self.session.state.pages[page_id].page_type
        assert self.session.write_page(kind, text, page_id=page_id) == page_id
        self.texts[page_id] = text
        self.look()

    @rule(data=st.data(), fixed=st.sampled_from([0, 0, 20]), hinted=st.booleans())
    def assemble(self, data, fixed, hinted):
        """The prompt holds what the model says: full pages whole, absent ones not at all."""
        hints = [self.known(data)] if hinted and self.session.state.pages else []
        prompt = self.session.assemble(hints, fixed)
        self.look()
        assert {
            page_id: list(Fidelity).index(level) for page_id, level in prompt.pages.items()
        } == self.plain.resident
        assert prompt.turn == self.plain.turn and prompt.tokens <= max(self.plain.budget, fixed)
        for page_id, text in self.texts.items():
            rank = self.plain.resident.get(page_id, 0)
            marker = text.split()[0]
            assert rank != 4 or text.split("\n")[1].strip() in prompt.text
            sent = any(each.entry.page_id == page_id for each in self.plain.layout)  # a stale copy may stand there
            assert rank != 0 or sent or f"{marker} says" not in prompt.text

    @precondition(lambda self: self.session.state.pages)
    @rule(data=st.data())
    def answer(self, data):
        """The model answers, with a need and a call that the harness runs."""
        need = Need((Holder(self.known(data)),), NeedRule.DECLARED, 5)
        (call,) = self.session.observe_model("so " * 9, [("other", {"n": self.seen})], needs=[need])
        self.look()
        self.session.observe_result(call, "gave " * 30)
        self.look()

    @rule(what=st.sampled_from("ab"))
    def use(self, what):
        """A declared tool runs where its last result does not hold, and is served where it does."""
        state, before = self.session.state, self.ran
        result = self.session.tool("look", {"what": what})
        assert result.served == (self.ran == before)
        assert str(self.world) in result.text.split()[2]
        assert state.calls[result.call].returned is not None
        self.look()

    @rule()
    def change(self):
        """The world changes: what was read of it no longer holds."""
        self.world += 1
        before = self.ran
        assert not self.session.tool("look", {"what": "a"}).served
        assert self.ran == before + 1
        self.look()

    @rule()
    def fail(self):
        """A tool fails."""
        try:
            self.session.tool("bad", {}, lambda: 1 / 0)
        except ToolFailed:
            self.look()

    @precondition(lambda self: self.session.state.pages)
    @rule(data=st.data(), number=st.integers(0, 3))
    def stage(self, data, number):
        """Stage a value; what would overwrite is refused."""
        updates = {
            "timezone": ("set_with_version", f"T{number}"),
            "facts": ("merge", {f"k{number}": number}),
            "notes": ("append", number),
        }
        field = data.draw(st.sampled_from(sorted(updates)))
        op, value = updates[field]
        base = self.session.state.store.get(("session", field), 0) if data.draw(st.booleans()) else number
        more = {"base_version": base} if op == "set_with_version" else {}
        self.session.stage(field, op, value, evidence=self.known(data), **more)
        self.staged.append((field, op, value))
        self.look()

    @rule(how=st.sampled_from(["compact", "reset", "prune", "flush", "save"]))
    def boundary(self, how):
        """Reach a boundary; afterwards nothing is dirty that could be written back."""
        getattr(self.session, how)()
        self.look()

    @precondition(lambda self: self.session.state.pages)
    @rule(data=st.data(), pin=st.sampled_from(Pin))
    def pin(self, data, pin):
        """Pin a page."""
        self.session.pin(self.known(data), pin)
        self.look()

    @precondition(lambda self: self.session.state.pages)
    @rule(data=st.data())
    def retire(self, data):
        """Retire a page."""
        self.session.retire(self.known(data))
        self.look()

    @precondition(lambda self: self.texts)
    @rule(data=st.data())
    def redact(self, data):
        """Erase a page: it is read no more."""
        page_id = data.draw(st.sampled_from(sorted(self.texts)))
        self.session.execute(Command(e.ContentRedacted(RedactReason.REQUEST, pages=(page_id,)), 1))
        self.look()

    @rule(budget=st.integers(150, 900))
    def budget(self, budget):
        """Change the budget."""
        self.session.set_budget(budget)
        self.look()

    def teardown(self):
        """Close the journal."""
        if hasattr(self, "journal"):
            self.journal.close()


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
