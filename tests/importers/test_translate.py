"""From steps to commands: order inside a turn, types of pages, plans, hints, boundaries, keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from clawvm_es.core.profiles import CLAWVM
from clawvm_es.importers import Recording, commands
from clawvm_es.importers.translate import HIDDEN_SECRET
from clawvm_es.model.commands import Command
from clawvm_es.model.events import (
    BoundaryReached,
    ModelResponded,
    PageRetired,
    PageWritten,
    SessionOpened,
    ToolCalled,
    ToolReturned,
    TurnBegan,
)
from clawvm_es.model.facts import Boundary, Cut, Finish, NeedRule, ResourceClass, ReturnStatus, Trigger
from clawvm_es.model.pages import Author, Fidelity, OriginKind, PageType
from clawvm_es.observe.edge import Edge
from clawvm_es.observe.observer import CHANGED_REREAD, EMPTY_PRUNE, rules
from clawvm_es.observe.steps import (
    ContextDropped,
    FileShown,
    Image,
    Lines,
    ModelMessage,
    RulesLoaded,
    SkillLoaded,
    Step,
    Summary,
    SystemMessage,
    ToolResult,
    ToolUse,
    Usage,
    UserMessage,
)
from clawvm_es.representations.counter import counter

Translate = Callable[..., list[Command]]


class Script:
    """A recording under construction: each step on the next line, a second later."""

    def __init__(self, format_: str = "claude_code") -> None:
        self.format = format_
        self.steps: list[Step] = []
        self.calls = 0

    @property
    def line(self) -> Lines:
        """The next line."""
        return Lines(len(self.steps) + 1, len(self.steps) + 1)

    @property
    def at(self) -> int:
        """The next line's time."""
        return (len(self.steps) + 1) * 1_000_000

    def user(self, text: str) -> Script:
        """The user says something."""
        self.steps.append(UserMessage(text, self.line, self.at))
        return self

    def system(self, text: str) -> Script:
        """A system message."""
        self.steps.append(SystemMessage(text, self.line, self.at))
        return self

    def turn(self, *texts: str, uses: tuple[tuple[str, dict[str, Any]], ...] = ()) -> Script:
        """The model answers."""
        made = tuple(ToolUse(self.calls + n, name, arguments, "/w") for n, (name, arguments) in enumerate(uses, 1))
        self.calls += len(made)
        usage = Usage(100, 80, 5)
        self.steps.append(ModelMessage(texts, made, usage, self.line, self.at - 500_000, self.at))
        return self

    def result(self, text: str, call: int | None = None, status: ReturnStatus = ReturnStatus.OK) -> Script:
        """A call returns."""
        self.steps.append(ToolResult(call or self.calls, text, status, self.line, self.at))
        return self

    def call(self, name: str, text: str, **arguments: Any) -> Script:
        """A turn with one call, and its result."""
        return self.turn(uses=((name, arguments),)).result(text)

    def boundary(self, boundary: Boundary, **more: Any) -> Script:
        """The harness destroys context."""
        self.steps.append(ContextDropped(boundary, self.line, self.at, **more))
        return self

    @property
    def recording(self) -> Recording:
        """The finished recording."""
        return Recording("s", self.format, tuple(self.steps), 1)


T = TypeVar("T")


def of(kind: type[T], found: list[Command]) -> list[T]:
    """The inputs of one kind."""
    return [command.data for command in found if isinstance(command.data, kind)]


def pages(found: list[Command]) -> list[tuple[str, str]]:
    """Id and type of each page written, in order."""
    return [(page.page_id, page.page_type.value) for page in of(PageWritten, found)]


def body(vault: Any, commitment: str | None) -> str:
    """The text behind a commitment."""
    assert commitment is not None
    return str(vault.open(commitment).decode())


def test_order_inside_a_turn(translate: Translate) -> None:
    """turn_began, model_responded, the calls, the model's text, then results and their pages; keys are ordinals."""
    script = (
        Script().user("please look").turn("I look.", uses=(("Read", {"file_path": "a"}), ("Glob", {"pattern": "*"})))
    )
    found = translate(script.result("one", 1).result("two", 2).recording)
    assert [command.data.TYPE for command in found] == [
        "session_opened",
        "page_written",
        "turn_began",
        "model_responded",
        "tool_called",
        "tool_called",
        "page_written",
        "tool_returned",
        "page_written",
        "tool_returned",
        "page_written",
    ]
    assert [command.idempotency_key for command in found] == [f"i:{n}" for n in range(1, 12)]
    assert [command.at_us for command in found][1:5] == [1_000_000, 1_500_000, 2_000_000, 2_000_000]
    assert pages(found) == [("p1", "conversation"), ("p2", "conversation"), ("p3", "evidence"), ("p4", "evidence")]
    evidence = of(PageWritten, found)[2]
    assert (evidence.origin.kind, evidence.origin.call, evidence.origin.first) == (OriginKind.TOOL_CALL, 1, 3)
    assert [page.author for page in of(PageWritten, found)] == [Author.USER, Author.MODEL, Author.TOOL, Author.TOOL]


def test_a_file_of_rules_is_one_page(translate: Translate) -> None:
    """Rules that the harness loads by itself are one bootstrap page, written again only where they changed."""
    script = Script()
    for text in ("- never push", "- never push", "- never, ever push"):
        script.steps.append(RulesLoaded(text, "/w/AGENTS.md", script.line, script.at))
    script.boundary(Boundary.COMPACT).turn(uses=(("Grep", {"pattern": "never, ever"}),))
    found = translate(script.call("Read", "- never, ever push", file_path="AGENTS.md").recording)
    assert pages(found) == [("p1", "bootstrap")] * 3
    assert [page.author for page in of(PageWritten, found)] == [Author.HARNESS, Author.HARNESS, Author.TOOL]


def test_going_on_gives_the_same_commands(vault: Any) -> None:
    """The same edge again gives the same commands: ordinals and first occurrences start anew."""
    opened = SessionOpened(CLAWVM, 16_000, "lines4", 1)
    recording = Script().user("hi").call("Read", "text of it", file_path="a").recording
    edge = Edge(vault, counter("lines4"))
    assert list(commands(recording, edge, opened)) == list(commands(recording, edge, opened))


def test_no_authored_text_in_events(translate: Translate) -> None:
    """Names of undeclared tools, paths, arguments and texts stand behind commitments only."""
    canary = "CANARY"
    script = Script().system(f"- You must {canary}").user(canary).turn(canary, uses=((canary, {canary: canary}),))
    script.result(canary).call("Read", canary, file_path=canary)
    script.steps.append(Summary(canary, script.line, 1))
    script.steps.append(SkillLoaded(canary, canary, script.line, 1))
    for command in translate(script.recording):
        assert canary not in str(command.data)
    (unknown, known) = of(ToolCalled, translate(script.recording))
    assert (unknown.tool, known.tool) == ("unknown", "Read")
    assert unknown.invalidates == tuple(ResourceClass) and not unknown.deterministic


def test_rules_of_system_messages() -> None:
    """List items with must, should, never, only or do not are constraints, with their continuation lines."""
    text = """You must read this sentence as no rule.
- Users must confirm
  before booking.
- Bags are heavy
1. Never guess
   - only nested items count on their own
* Please do not shout
* mustard

- Last"""
    expected = ["Users must confirm\nbefore booking.", "Never guess", "only nested items count on their own"]
    assert rules(text) == [*expected, "Please do not shout"]


def test_system_messages_and_skills_are_bootstrap(translate: Translate) -> None:
    """A system message is a bootstrap page and its rules constraints; a skill body is a bootstrap page."""
    script = Script().system("Be kind.\n- You must be brief")
    script.steps.append(SkillLoaded("how to review", "/skills/review", script.line, 1))
    assert pages(translate(script.recording)) == [("p1", "bootstrap"), ("p2", "constraint"), ("p3", "bootstrap")]


def test_rule_files_are_rewritten_in_place(translate: Translate, vault: Any) -> None:
    """The newest read of CLAUDE.md is the content of one bootstrap page; a failed read is evidence."""
    script = (
        Script().call("Read", "old rules", file_path="CLAUDE.md").call("Read", "new rules", file_path="/w/CLAUDE.md")
    )
    script.turn(uses=(("Read", {"file_path": "AGENTS.md"}),)).result("no such file", status=ReturnStatus.ERROR)
    found = translate(script.recording)
    assert pages(found) == [("p1", "bootstrap"), ("p1", "bootstrap"), ("p2", "evidence")]
    assert body(vault, of(PageWritten, found)[1].levels[0].body) == "new rules"


def test_plans_are_active_until_done(translate: Translate, vault: Any) -> None:
    """TodoWrite and the tasks are folded into one page each, active while a step is open."""
    todo = {"content": "write tests", "status": "in_progress"}
    script = Script().call("TodoWrite", "ok", todos=[todo])
    script.call("TaskCreate", "Task #1 created successfully: a", subject="a", description="d")
    script.call("TaskUpdate", "Updated task #1 status", taskId="1", status="in_progress")
    script.call("TodoWrite", "ok", todos=[{**todo, "status": "completed"}])
    script.call("TaskUpdate", "Updated task #1 status", taskId="1", status="completed")
    script.call("ExitPlanMode", "approved", plan="# The plan")
    found = of(PageWritten, translate(script.recording))
    assert [page.page_id for page in found] == ["p1", "p2", "p2", "p1", "p2", "p3"]
    assert {page.page_type for page in found} == {PageType.PLAN}
    assert [page.active for page in found] == [True, True, True, False, False, True]
    assert body(vault, found[0].levels[0].body) == "# To-do list\n- [>] write tests"
    assert body(vault, found[4].levels[0].body) == "# Tasks\n- [x] a"


def test_planning_results_that_change_no_plan_are_evidence(translate: Translate) -> None:
    """Listing tasks, and a plan that the user refused, leave an evidence page; planning calls have no signature."""
    script = Script().call("TaskList", "#1 [pending] a").turn(uses=(("ExitPlanMode", {"plan": "x"}),))
    found = translate(script.result("refused", status=ReturnStatus.ERROR).recording)
    assert pages(found) == [("p1", "evidence"), ("p2", "evidence")]
    assert [call.signature for call in of(ToolCalled, found)] == [None, None]


def test_hints_name_pages_known_before_the_turn(translate: Translate) -> None:
    """A turn's hints are the newest pages of files that the user or the plan's current step names."""
    script = Script().user("please fix src/app.py.").turn("ok").call("Read", "text a", file_path="/w/src/app.py")
    script.call("Read", "text b", file_path="/w/src/other.py").turn("done")
    script.call("TodoWrite", "ok", todos=[{"content": "other.py", "status": "in_progress"}]).turn("bye")
    script.user("thanks").turn("bye")
    found = [turn.hints for turn in of(TurnBegan, translate(script.recording))]
    assert found == [(), (), ("p3",), ("p3",), ("p3",), ("p3", "p4"), ("p4",)]


def test_signatures_and_resources_are_ordinals(translate: Translate, vault: Any) -> None:
    """A repeated call has its first one's ordinal; keys come once; trees only if searched before."""
    script = Script().call("Edit", "done", file_path="a", old_string="x", new_string="y")
    script.call("Read", "text", file_path="a").call("Grep", "found", pattern="p").call(
        "Read", "text", file_path="/w/a"
    )
    script.call("Edit", "done", file_path="a", old_string="x", new_string="z")
    calls = of(ToolCalled, translate(script.recording))
    assert [call.signature for call in calls] == [1, 2, 3, 2, 4]
    assert [call.signature_key is not None for call in calls] == [True, True, True, False, True]
    assert body(vault, calls[1].signature_key) == 'Read {"file_path":"/w/a","limit":2000,"offset":1}'
    assert [call.writes for call in calls] == [(1,), (), (), (), (1, 2)]
    assert [call.reads for call in calls] == [(), (1,), (2,), (1,), ()]
    assert [len(call.resources) for call in calls] == [1, 0, 1, 0, 0]
    assert [call.deterministic for call in calls] == [False, True, True, True, False]


def test_needs_ride_on_calls_and_results(translate: Translate) -> None:
    """A call carries its data flow, a result its repeated read; changed re-reads are told in the tally."""
    line = "a line that is long enough"
    script = Script().call("Read", f"     1→{line}", file_path="a").call("Read", f"     1→{line}", file_path="a")
    script.call("Edit", "done", file_path="a", old_string=line, new_string="b")
    script.call("Read", "     1→something else now", file_path="a")
    tally: Counter[str] = Counter()
    found = translate(script.recording, tally)
    data_flow = [[h.page_id for need in call.needs for h in need.holders] for call in of(ToolCalled, found)]
    repeated = [[(n.rule, n.holders[0].page_id) for n in result.needs] for result in of(ToolReturned, found)]
    assert data_flow == [[], [], ["p1", "p2"], []]
    assert repeated == [[], [(NeedRule.REPEATED_READ, "p1")], [], []]
    assert tally == {CHANGED_REREAD: 1}


def test_boundaries_stand_at_their_place(translate: Translate) -> None:
    """Recorded boundaries are delivered with their trigger; a prune names the evidence it drops, or is told."""
    script = Script().call("Read", "some text", file_path="a").call("Read", "rules", file_path="CLAUDE.md")
    script.boundary(Boundary.PRUNE, dropped_calls=(1, 2)).boundary(Boundary.PRUNE, dropped_calls=(1,))
    script.boundary(Boundary.COMPACT).boundary(Boundary.RESET)
    tally: Counter[str] = Counter()
    found = of(BoundaryReached, translate(script.recording, tally))
    assert [(b.boundary, b.trigger, b.pages) for b in found] == [
        (Boundary.PRUNE, Trigger.RECORDED, ("p1",)),
        (Boundary.COMPACT, Trigger.RECORDED, ()),
        (Boundary.RESET, Trigger.RECORDED, ()),
    ]
    assert tally == {EMPTY_PRUNE: 1}


def test_summaries_name_what_they_replace(translate: Translate, vault: Any) -> None:
    """A recorded summary is a page of its own type by the harness, written for what left; no need rests on it."""
    script = Script().user("hello").boundary(Boundary.COMPACT)
    script.steps.append(Summary("the function needed_function matters", script.line, 1))
    found = translate(script.call("Grep", "x", pattern="needed_function").recording)
    said, page, _ = of(PageWritten, found)
    assert (page.page_type, page.author, page.replaces) == (PageType.SUMMARY, Author.HARNESS, (said.page_id,))
    assert not of(PageRetired, found)
    assert body(vault, page.levels[0].body) == "the function needed_function matters"
    assert not any(call.needs for call in of(ToolCalled, found))


def test_results_before_their_calls(translate: Translate) -> None:
    """An unmatched result carries the number of the call that comes later."""
    script = Script()
    script.steps.append(ToolResult(1, "early", ReturnStatus.OK, script.line, 1, unmatched=True))
    found = translate(script.turn(uses=(("Read", {"file_path": "a"}),)).recording)
    (result,), (call,) = of(ToolReturned, found), of(ToolCalled, found)
    assert result.unmatched and result.call == call.call == 1


def test_hostile_sizes(translate: Translate) -> None:
    """A megabyte of one letter, blanks, and odd characters go through every rule without harm."""
    huge = "a" * 1_000_000
    script = (
        Script().user(huge).call("Bash", huge, command=f"echo {huge}").call("Grep", " " * 100_000, pattern="\ud800")
    )
    script.call("Edit", "\0" * 1000, file_path="a\0b", old_string=huge, new_string="<system-reminder>" * 10_000)
    assert len(translate(script.recording)) > 10


def test_answers_say_who_answered_and_how(translate: Translate, vault: Any) -> None:
    """Model, provider, finish, thinking and all counts stand in the answer; a model's name once, then its ordinal."""
    usage = Usage(100, 80, 5, 15, 3)
    script = Script()
    for model in ("one", "two", "one"):
        step = ModelMessage(("hi",), (), usage, script.line, 1, 2, False, ("hm", "so"), model, "acme", Finish.STOP)
        script.steps.append(step)
    first, second, third = of(ModelResponded, translate(script.recording))
    assert [answer.model for answer in (first, second, third)] == [1, 2, 1]
    assert [body(vault, answer.model_name) for answer in (first, second)] == ["one", "two"]
    assert third.model_name is None
    assert (body(vault, first.provider), body(vault, first.thinking)) == ("acme", "hm\n\nso")
    assert (first.input_tokens, first.cached_tokens, first.output_tokens) == (100, 80, 5)
    assert (first.written_tokens, first.thinking_tokens, first.finish) == (15, 3, Finish.STOP)


def test_one_answer_its_calls_and_their_results_are_a_group(translate: Translate, vault: Any) -> None:
    """All that an exchange made has its ordinal; a call has its harness's id and the size of its arguments."""
    use = ToolUse(1, "Read", {"file_path": "a"}, "/w", call_id="toolu_1")
    script = Script().user("go")
    script.steps.append(ModelMessage(("look",), (use,), lines=script.line))
    script.turn("meanwhile").result("found", 1)
    found = translate(script.recording)
    (called,) = of(ToolCalled, found)
    assert [page.group for page in of(PageWritten, found)] == [None, 1, 2, 1]
    assert [answer.group for answer in of(ModelResponded, found)] == [1, 2]
    assert (called.group, body(vault, called.call_id)) == (1, "toolu_1")
    (level,) = called.levels
    assert (level.level, level.body, level.tokens) == (Fidelity.FULL, called.arguments, 5)


def test_images_leave_a_page(translate: Translate, vault: Any) -> None:
    """An image is a page of its own that states type, size and digest: the user's, or a result of its call."""
    image, link = Image("image/png", 7, "ab12"), Image(url="https://example.org/a.png")
    script = Script()
    script.steps.append(UserMessage("", script.line, images=(image,)))
    script.turn(uses=(("Read", {"file_path": "a.png"}),))
    script.steps.append(ToolResult(1, "a chart", lines=script.line, images=(link,)))
    shown, text, other = of(PageWritten, translate(script.recording))
    assert (shown.page_type, shown.author) == (PageType.CONVERSATION, Author.USER)
    assert body(vault, shown.levels[0].body) == "[image/png, 7 bytes, sha256 ab12]"
    assert [page.origin.call for page in (text, other)] == [1, 1]
    assert body(vault, other.levels[0].body) == "[image at https://example.org/a.png]"


def test_files_that_the_harness_shows(translate: Translate) -> None:
    """A file is evidence that holds needs and is hinted by its name; shown rules are rules, again once they left."""
    line = "the port is 8081, as agreed"
    script = Script()
    script.steps.append(FileShown(line, "/w/notes.md", script.line, script.at))
    script.steps.append(FileShown("- never push", "/w/sub/CLAUDE.md", script.line, script.at))
    script.user("see notes.md").turn(uses=(("Edit", {"old_string": line}),)).boundary(Boundary.COMPACT)
    for _ in range(2):
        script.steps.append(RulesLoaded("- never push", "/w/sub/CLAUDE.md", script.line, script.at))
    found = translate(script.recording)
    assert pages(found) == [("p1", "evidence"), ("p2", "bootstrap"), ("p3", "conversation"), ("p2", "bootstrap")]
    assert [page.author for page in of(PageWritten, found)][:2] == [Author.TOOL, Author.HARNESS]
    assert of(TurnBegan, found)[0].hints == ("p1",)
    assert [h.page_id for need in of(ToolCalled, found)[0].needs for h in need.holders] == ["p1"]


def test_a_file_that_is_shown_is_about_the_file_that_calls_read(translate: Translate) -> None:
    """It names the file as their results do, and ranks as content of it; rules, and files of no call, name none."""
    script = Script()
    script.user("go").call("Read", "the port is 8081", file_path="/w/notes.md")
    for path in ("/w/notes.md", "/w/other.md", "/w/sub/CLAUDE.md"):
        script.steps.append(FileShown("the port is 8082", path, script.line, script.at))
    found = of(PageWritten, translate(script.recording))
    (read,) = (page.origin.resource for page in found if page.origin.kind is OriginKind.TOOL_CALL)
    shown = [page.origin.resource for page in found if page.origin.kind is OriginKind.FILE]
    assert read is not None and shown == [read, None, None]


def test_a_picture_that_the_harness_shows_is_evidence(translate: Translate) -> None:
    """A page of its own, beside the file's text where it has one."""
    script = Script()
    for text in ("", "a legend"):
        script.steps.append(FileShown(text, "/w/a.png", script.line, script.at, (Image("image/png", 7, "ab12"),)))
    found = of(PageWritten, translate(script.recording))
    assert [(page.page_type, page.author) for page in found] == [(PageType.EVIDENCE, Author.TOOL)] * 3


def test_boundaries_say_how_they_cut_and_what_moved(translate: Translate) -> None:
    """A cut names the pages that left and returned, also those that are rewritten in place."""
    script = Script().user("a").user("b").call("Read", "- rules", file_path="CLAUDE.md")
    script.boundary(Boundary.PRUNE, kept_lines=frozenset((1,))).boundary(Boundary.PRUNE, kept_lines=frozenset((1, 2)))
    script.boundary(Boundary.PRUNE, kept_lines=frozenset((1,)), cut=Cut.REWIND).boundary(Boundary.RESET)
    found = of(BoundaryReached, translate(script.recording))
    assert [(b.cut, b.pages, b.left, b.returned) for b in found] == [
        (Cut.REWIND, ("p2",), ("p2", "p3"), ()),
        (Cut.REWIND, (), (), ("p2",)),
        (Cut.REWIND, ("p2",), ("p2",), ()),
        (Cut.CLEAR, (), ("p1",), ()),
    ]


def test_texts_in_which_a_credential_was_hidden_are_counted(vault: Any) -> None:
    """Each text counts once, however often it comes; without hiding there is nothing to count."""
    opened, tally, none = SessionOpened(CLAWVM, 16_000, "lines4", 1), Counter[str](), Counter[str]()
    one, two = (f"for {name} use ghp_{letter * 36}" for name, letter in (("this", "a"), ("that", "b")))
    script = Script()
    for text in (one, two, one, "nothing to hide"):
        script.user(text)
    list(commands(script.recording, Edge(vault, counter("lines4"), True), opened, tally))
    list(commands(script.recording, Edge(vault, counter("lines4")), opened, none))
    assert tally == {HIDDEN_SECRET: 2} and none == {}
