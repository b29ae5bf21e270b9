"""Sessions whose prompts are messages: groups, pages that are shown again, rules that came as results, erasure."""

from __future__ import annotations

import json
import weakref
from itertools import product
from typing import Any

import pytest

from clawvm_es import Call
from clawvm_es.core.groups import appended
from clawvm_es.core.profiles import profile
from clawvm_es.engine.hooks import Prompt, Settings
from clawvm_es.engine.messages import _sayable
from clawvm_es.engine.renderers import newest
from clawvm_es.engine.session import Session
from clawvm_es.errors import UsageError
from clawvm_es.history.places import prompt_at
from clawvm_es.history.provenance import provenance
from clawvm_es.history.redact import Target, redact
from clawvm_es.history.whatif import settings, whatif
from clawvm_es.journal.lineage import event_at
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.model.pages import FULL, LADDER, POINTER, STRUCTURED, Author, Fidelity, Origin, OriginKind, PageType
from clawvm_es.observe.steps import Image, ToolResult
from clawvm_es.observe.tables import CLAUDE_CODE_TOOLS
from clawvm_es.representations.messages import Block, Kind, Role, Shape, broken
from clawvm_es.representations.messages.shapes import system
from clawvm_es.testing import assert_redecides, live_session, memory_journal, recorded

SETTINGS = Settings(tools=tuple(CLAUDE_CODE_TOOLS.values()))
ANTHROPIC = "messages/1:anthropic"


def opened(journal: Any = None, **options: Any) -> Any:
    """A session of messages under `clawvm`."""
    return live_session(journal=journal, renderer=ANTHROPIC, settings=SETTINGS, **options)


def ask(session: Session, number: int, text: str, name: str = "Read", **arguments: Any) -> str:
    """One answer with one call and its result; returns the id of the result's page."""
    call = Call(f"toolu_{number}", name, arguments or {"file_path": f"/f{number}.py"})
    session.observe_model(f"Step {number}.", [call])
    return session.observe_result(call_id=call.id, text=text)


def shown(prompt: Prompt, page_id: str) -> list[Block]:
    """The blocks of a page."""
    return [block for block in prompt.blocks if block.page_id == page_id]


def lines(number: int) -> str:
    """A text of so many lines."""
    return "".join(f"line {line} of a file that was read\n" for line in range(number))


def test_an_exchange_is_said_as_it_was():
    """User, answer with its call, result, each by its role and with the recorded id."""
    with opened() as session:
        session.user_says("Fix it.")
        ask(session, 1, "import os\n")
        sent = session.assemble().messages()
    assert sent == [
        {"role": "user", "content": [{"type": "text", "text": "Fix it."}]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "Step 1."},
            {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"file_path": "/f1.py"}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "import os\n",
             "cache_control": {"type": "ephemeral"}}]},
    ]  # fmt: skip


def test_a_group_stands_whole_or_not_at_all():
    """LAW-GROUP-1: where one result of an answer is kept, the others are stubs at least, and the calls stand."""
    with opened(budget_tokens=1_000, policy="clawvm_turn") as session:
        session.user_says("Read all.")
        calls = [Call(f"toolu_{n}", "Read", {"file_path": f"/f{n}.py"}) for n in range(3)]
        session.observe_model("Reading.", calls)
        pages = [session.observe_result(call_id=call.id, text=lines(40)) for call in calls]
        session.user_says("And now?")
        for turn in range(12):
            prompt = session.assemble()
            standing = [bool(shown(prompt, page)) for page in pages]
            assert len(set(standing)) == 1
            assert broken(prompt.messages(), Shape.ANTHROPIC) == []
            session.observe_model(f"Thinking of {turn}.")
            session.user_says(lines(turn))


def left_behind(session):
    """A result that an epoch no longer shows."""
    session.user_says("Read it.")
    page = ask(session, 1, lines(60))
    prompt = session.assemble()
    turn = 0
    while shown(prompt, page) and turn < 40:
        turn += 1
        session.user_says(f"Next {turn}.")
        ask(session, turn + 1, lines(30))
        prompt = session.assemble()
    assert not shown(prompt, page)
    return page


def test_a_page_that_is_needed_again_is_a_text_of_the_users_until_the_next_epoch():
    """LAW-MSG-4: page `p3`, whose group is gone, comes back behind everything, and rejoins its group later."""
    with memory_journal() as journal, opened(journal, budget_tokens=1_600) as session:
        page = left_behind(session)
        session.resolve(page)
        again = session.assemble()
        before, text = shown(again, page)
        assert (before.role, text.role) == (Role.USER, Role.USER)
        assert before.level is Fidelity.POINTER and text.text.startswith(f'<page id="{page}"')
        assert text.group is None
        session.reset()
        session.resolve(page)
        rejoined = [block for block in shown(session.assemble(), page) if block.kind is Kind.RESULT]
        assert [block.call_id for block in rejoined] == ["toolu_1"]
        assert_redecides(recorded(journal))


def test_what_the_model_said_comes_again_as_a_text_of_the_users():
    """Neither the pointer before it nor the text itself is put into the model's mouth a second time."""
    with memory_journal() as journal, opened(journal, budget_tokens=1_600) as session:
        session.user_says("Say it.")
        session.observe_model(lines(60))
        left_behind(session)
        page = next(each.page_id for each in session.state.pages.values() if each.author is Author.MODEL)
        assert not shown(session.assemble(), page)
        session.resolve(page)
        before, text = shown(session.assemble(), page)
        assert (before.role, before.level, text.role) == (Role.USER, Fidelity.POINTER, Role.USER)
        assert before.text.startswith("<page ") and text.text.startswith("<page ")


def test_long_arguments_cost_their_stub_where_they_are_not_exact():
    """A call of an answer that does not stand exact is a stub, and so is what the group costs for it."""
    with memory_journal() as journal, opened(journal, budget_tokens=1_600) as session:
        session.user_says("Write it.")
        ask(session, 1, lines(60), "Write", file_path="/a", content=lines(60))
        (called,) = [row.data for row in journal.log.read(session.session_id) if isinstance(row.data, e.ToolCalled)]
        whole, stub = called.levels[0].tokens, called.levels[-1].tokens
        (asked,) = session.state.groups[1].calls
        assert (asked.full, asked.stub) == (whole, stub) and stub < whole / 2
        stood = []
        for turn in range(6):
            session.assemble()
            stood += [entry.tokens for entry in session.state.entries.values() if entry.page_id == "c1"]
            session.user_says(f"Next {turn}.")
            ask(session, turn + 2, lines(20))
        assert (stood[0], stood[-1], {*stood}) == (whole, stub, {whole, stub})


def test_a_plan_that_came_as_a_result_is_a_text_and_its_result_names_it():
    """The plan stands framed, on its own; the call that made it has a result that says where."""
    with opened() as session:
        session.user_says("Plan it.")
        todo = {"content": "ship", "status": "in_progress"}
        session.observe_model("", [Call("toolu_1", "TodoWrite", {"todos": [todo]})])
        session.observe_result(call_id="toolu_1", text="Todos have been modified.")
        prompt = session.assemble()
    (plan,) = [block for block in prompt.blocks if block.text.startswith("<page") and 'type="plan"' in block.text]
    (result,) = [block for block in prompt.blocks if block.kind is Kind.RESULT]
    assert result.text == f"[see page {plan.page_id}]"
    assert plan.role is Role.USER and plan.group is None


def test_a_result_that_came_twice_is_one_result_without_blank_parts():
    """A blank result, then another of the same call: one result with one text, also after the next epoch."""
    with opened() as session:
        session.user_says("Run it.")
        session.observe_model("", [Call("toolu_1", "Bash", {"command": "make"})])
        session.observe_result(call_id="toolu_1", text="")
        session.observe(ToolResult(1, "made", ReturnStatus.OK))
        session.user_says("Again.")
        session.reset()
        prompt = session.assemble()
        assert broken(prompt.messages(), Shape.ANTHROPIC) == []
    results = [block.text for block in prompt.blocks if block.kind is Kind.RESULT]
    assert results in (["made"], [""])


@pytest.mark.parametrize("renderer", [ANTHROPIC, "messages/1:openai", "messages/1:responses"])
@pytest.mark.parametrize("images", [0, 1, 2])
@pytest.mark.parametrize("text", ["made\n", " "], ids=["text", "blank"])
@pytest.mark.parametrize("native", [None, [{"type": "text", "text": "as its provider takes it"}]], ids=["", "native"])
def test_a_result_of_several_parts_has_each_of_them_once_or_its_own_form_for_all(renderer, images, text, native):
    """Text and images in their order, none blank; the provider's form stands for the whole; nothing is one blank."""
    parts = [Image("image/png", 2, f"{number:064x}") for number in range(images)]
    told = [text] * bool(text.strip()) + [each.text for each in parts]
    form = "" if native is None else json.dumps(native)
    with live_session(renderer=renderer, settings=SETTINGS, budget_tokens=9_000) as session:
        session.user_says("Make it.")
        session.observe_model("", [Call("c1", "Bash", {"command": "make"}), Call("c2", "Bash", {"command": "ls"})])
        session.observe(ToolResult(1, text, images=tuple(parts), native=form))
        session.observe_result(call_id="c2", text="seen")
        blocks = [block for block in session.assemble().blocks if block.kind is Kind.RESULT]
    assert [block.text for block in blocks if block.call_id == "c2"] == ["seen"]
    found = [block for block in blocks if block.call_id == "c1"]
    if native is not None and told:
        assert [block.native for block in found] == [form]
    else:
        assert [(block.text, block.native) for block in found] == [(each, None) for each in told or [""]]


def test_blank_parts_of_a_result_stand_only_where_all_are_blank():
    """Whatever pages a call has in its group, and in whichever order: their texts, or one result without a text."""
    every = [parts for count in (1, 2, 3) for parts in product((" ", "one", "two"), repeat=count)]
    with opened(budget_tokens=90_000) as session:
        session.user_says("Make them.")
        session.observe_model("", [Call(f"c{number}", "Bash", {"n": number}) for number in range(len(every))])
        edge = session._shell.edge
        for call, parts in enumerate(every, 1):
            session.observe(ToolResult(call, " "))
            for part in parts:
                page_id, origin = f"p{len(session.state.pages) + 1}", Origin(OriginKind.TOOL_CALL, call=call)
                page = edge.page(page_id, PageType.EVIDENCE, part, author=Author.TOOL, origin=origin, group=1).event
                session._shell.run(lambda state, page=page: [Command(page, 0)])
        found: dict[str, list[str]] = {f"c{number}": [] for number in range(len(every))}
        for block in session.assemble().blocks:
            if block.kind is Kind.RESULT:
                found[block.call_id].append(block.text)
    assert list(found.values()) == [[part for part in parts if part.strip()] or [""] for parts in every]


def test_thoughts_are_sent_back_while_tools_run_and_not_after():
    """LAW-MSG-3: an open exchange is sent as its provider wrote it; a later epoch leaves the thoughts out."""
    thought = {"type": "thinking", "thinking": "Look.", "signature": "c2ln"}
    use = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"file_path": "/a.py"}}
    with opened() as session:
        session.user_says("Look.")
        session.observe_model("", [Call("toolu_1", "Read", {"file_path": "/a.py"})], native=[thought, use])
        session.observe_result(call_id="toolu_1", text="x = 1\n")
        during = session.assemble()
        session.observe_model("Done.")
        session.user_says("Thanks.")
        session.reset()
        after = session.assemble()
    assert during.messages()[1]["content"] == [thought, use]
    assert during.layout == len(during.blocks)
    assert all(item["type"] != "thinking" for message in after.messages() for item in message["content"])
    chat = [message for message in during.messages("openai") if message["role"] == "assistant"]
    assert chat[0]["tool_calls"][0]["function"]["name"] == "Read"


def test_an_erased_page_leaves_no_copy_in_the_messages():
    """After an erasure neither the text nor the provider's own form of it is sent, and pairs hold."""
    secret = "the secret of the session"
    native = [{"type": "text", "text": secret}, {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {}}]
    with memory_journal() as journal, opened(journal) as session:
        session.user_says("Tell me.")
        session.observe_model(secret, [Call("toolu_1", "Read", {})], native=native)
        session.observe_result(call_id="toolu_1", text="public")
        assert secret in json.dumps(session.assemble().messages())
        (page,) = [p for p, found in session.state.pages.items() if session.read_page(p) == secret]
        redact(journal.log, Target(session_id="session", page_id=page), at_us=1)
        session._shell.refresh()
        prompt = session.assemble()
        assert secret not in json.dumps(prompt.messages())
        assert broken(prompt.messages(), Shape.ANTHROPIC) == []


def test_every_span_of_a_prompt_has_its_bytes_and_its_place():
    """Provenance over blocks: spans tile the transcript, and the commitment matches."""
    with memory_journal() as journal, opened(journal) as session:
        session.user_says("Fix it.")
        ask(session, 1, lines(3))
        prompt = session.assemble()
        found, spans = provenance(journal.log, "session")
        assert "".join(span.text for span in spans) == prompt.text == found.text
        assert prompt_at(journal.log, "session").matches
        named = [span.page_id for span in spans if span.page_id]
        assert named == [block.page_id for block in prompt.blocks if block.page_id]
        assert all(span.origin is not None for span in spans if span.page_id)


def test_what_if_keeps_the_renderer():
    """LAW-WHATIF-1 with messages: the same settings give the recorded figures, another budget others."""
    with memory_journal() as journal, opened(journal, budget_tokens=900) as session:
        session.user_says("Go.")
        for number in range(12):
            session.assemble()
            ask(session, number, lines(12))
        found = whatif(journal.log, "session", settings(profile("clawvm"), budgets=(900, 2_000)))
    same, other = found.runs
    assert same.figures == found.recorded.figures and same.parted is None
    assert other.figures != same.figures


def test_the_renderer_is_fixed_when_a_session_opens():
    """Another renderer is refused, an unknown one too; a session of frames has no messages."""
    with memory_journal() as journal:
        with opened(journal) as session:
            assert session.state.opened is not None and session.state.opened.renderer == ANTHROPIC
        with pytest.raises(UsageError, match="renderer"):
            journal.session("session", counter="lines4", renderer="messages/1:openai")
        with pytest.raises(UsageError, match="no renderer 'messages/9'"):
            journal.session("other", renderer="messages/9")
        with live_session("frames", journal=journal) as frames:
            prompt = frames.assemble()
            with pytest.raises(UsageError, match="one text"):
                prompt.messages()
        with opened(journal, session_id="shapes") as session:
            session.user_says("Hi.")
            with pytest.raises(UsageError, match="shape"):
                session.assemble().messages("gemini")


def test_a_session_of_messages_forks_and_resumes():
    """A fork of a session of messages sends what its parent would have sent."""
    with memory_journal() as journal, opened(journal) as session:
        session.user_says("Fix it.")
        ask(session, 1, lines(3))
        fork = journal.fork("session", "fork", settings=SETTINGS)
        assert fork.assemble().messages() == session.assemble().messages()
        assert_redecides(recorded(journal))


CALL = {"type": "function_call", "call_id": "c", "name": "read", "arguments": "{}"}
USE = {"type": "tool_use", "id": "c", "name": "read", "input": {}}
SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}


@pytest.mark.parametrize(
    ("shape", "native", "taken"),
    [
        (Shape.OPENAI, {"role": "assistant", "content": "x"}, True),
        (Shape.OPENAI, {"role": "assistant", "content": " "}, False),
        (Shape.OPENAI, {"role": "assistant", "content": None}, False),
        (Shape.OPENAI, {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}, True),
        (Shape.RESPONSES, [SAID], True),
        (Shape.RESPONSES, [{**SAID, "content": "x"}], True),
        (Shape.RESPONSES, [{**SAID, "content": []}], False),
        (Shape.RESPONSES, [SAID, {**SAID, "content": [{"type": "output_text", "text": " "}]}], False),
        (Shape.RESPONSES, [{"type": "reasoning", "id": "r"}, CALL], True),
        (Shape.RESPONSES, [CALL, {"type": "reasoning", "id": "r"}], False),
        (Shape.RESPONSES, [{**CALL, "name": "mcp.read"}], False),
        (Shape.RESPONSES, [{**CALL, "arguments": {}}], False),
        (Shape.ANTHROPIC, [{"type": "thinking", "thinking": "x", "signature": "y"}, USE], True),
        (Shape.ANTHROPIC, [{"type": "text", "text": " "}, USE], False),
        (Shape.ANTHROPIC, [{**USE, "name": "mcp.read"}], False),
        (Shape.ANTHROPIC, [{**USE, "input": "{}"}], False),
    ],
)
def test_an_answer_goes_back_in_its_own_form_where_its_provider_takes_it(shape, native, taken):
    """Blank texts, thoughts that nothing follows, and calls of another form are said in the form of pages instead."""
    assert _sayable(json.dumps(native), shape) == taken


def test_a_page_that_comes_again_has_a_pointer_before_it_unless_it_is_one():
    """The pointer says that a page is shown again; a page that comes as a pointer says so itself."""
    with memory_journal() as journal, opened(journal, budget_tokens=1_600) as session:
        page = left_behind(session)
        state = session.state
        assert not state.fresh and state.pages[page].tokens[POINTER] > 0
        for rank, before in ((POINTER, Fidelity.ABSENT), (STRUCTURED, Fidelity.POINTER), (FULL, Fidelity.POINTER)):
            found = [(each.page_id, each.level) for each in appended(state, [(page, rank)])]
            assert found == [(f"i{page[1:]}", before), (page, LADDER[rank])]


def test_the_pages_of_a_prompt_are_read_at_once():
    """The texts of a prompt's pages are asked for together, and again only when another layout needs them."""
    with memory_journal() as journal, opened(journal, budget_tokens=4_000) as session:
        session.user_says("Read them.")
        pages = [ask(session, number, lines(number)) for number in range(1, 5)]
        prompt = session.assemble()
        log, asked = journal.log, list[list[str]]()
        vault = log.vault(session.session_id)

        def open_all(names):
            asked.append(list(names))
            return vault.open_all(names)

        found = newest(open_all, lambda version: event_at(log, session.session_id, version).data, ANTHROPIC)
        state = session.state
        assert found.render(state).blocks == prompt.blocks
        bodies = {state.pages[page].bodies[FULL] for page in pages}
        assert [bodies <= set(names) for names in asked] == [True, *[False] * (len(asked) - 1)]
        assert all(bodies.isdisjoint(names) for names in asked[1:])
        before = len(asked)
        found.render(state)
        assert all(bodies.isdisjoint(names) for names in asked[before:])


def test_calls_that_come_after_a_prompt_held_their_answer_follow_it_with_their_results():
    """An answer that goes on while its first call already stood in a prompt: the rest is appended, nothing again."""
    with memory_journal() as journal, opened(journal, budget_tokens=4_000) as session:
        session.user_says("Read both.")
        first, second = Call("toolu_1", "Read", {"file_path": "/a"}), Call("toolu_2", "Read", {"file_path": "/b"})
        session.observe_model("Reading.", [first], key="m1")
        one = session.observe_result(call_id="toolu_1", text=lines(3))
        before = session.assemble().blocks
        session.observe_model("Reading.", [first, second], key="m1")
        two = session.observe_result(call_id="toolu_2", text=lines(4))
        prompt = session.assemble()
        assert prompt.blocks[: len(before)] == before
        found = [(each.kind, each.call_id, each.page_id) for each in prompt.blocks[len(before) :]]
        assert (Kind.CALL, "toolu_2", None) in found and (Kind.RESULT, "toolu_2", two) in found
        assert not any(call_id == "toolu_1" or page == one for _, call_id, page in found)
        assert broken(prompt.messages(), Shape.ANTHROPIC) == []


@pytest.mark.parametrize("shape", [Shape.ANTHROPIC, Shape.OPENAI])
def test_the_fixed_region_is_sent_in_the_shape_that_is_asked_for(shape):
    """A prompt says it in its own shape unless it is told another."""
    with opened() as session:
        session.user_says("Hello.")
        prompt = session.assemble()
    assert prompt.system("Be brief.", shape) == system("Be brief.", shape)
    assert prompt.system("Be brief.") == system("Be brief.", Shape.ANTHROPIC)


FORMS = {
    ANTHROPIC: lambda text: [{"type": "text", "text": text}],
    "messages/1:openai": lambda text: {"role": "user", "content": [{"type": "text", "text": text}]},
    "messages/1:responses": lambda text: [{"type": "input_text", "text": text}],
}
"""Renderer → a message of the user's as its provider takes it."""


@pytest.mark.parametrize("policy", ["clawvm", "clawvm_turn"])
@pytest.mark.parametrize("renderer", FORMS)
def test_a_message_goes_in_its_own_form_in_full_and_at_no_other_level(renderer, policy):
    """Lower levels, and a page that is shown again in a frame, are sent as what they show and nothing else."""
    seen = set()
    with live_session(renderer=renderer, policy=policy, budget_tokens=500) as session:
        forms = {}
        for number in range(16):
            text = f"message {number}\n" + lines(3 if number % 2 else 20)
            form = FORMS[renderer](text)
            forms[session.user_says(text, native=form)] = json.dumps(form, separators=(",", ":"))
            gone = [page_id for page_id in ("p1", "p3") if page_id not in session.state.resident]
            if number % 2 and gone:
                session.resolve(gone[0])
            session.assemble()
            for piece in session._shell._renderer.pieces(session.state):
                if piece.page_id in forms:
                    whole = piece.level is Fidelity.FULL and not piece.block.text.startswith("<page")
                    assert piece.block.native == (forms[piece.page_id] if whole else None)
                    assert (session.state.pages[piece.page_id].native in piece.names) == whole
                    seen.add((piece.level is Fidelity.FULL, whole))
            session.observe_model("I see.")
    assert {(True, True), (False, False)} <= seen and ((True, False) in seen or policy == "clawvm_turn")


@pytest.mark.parametrize(
    ("renderer", "text", "kept"),
    [(renderer, text, kept) for renderer in FORMS for text in ("hello", " ") for kept in (True, False)],
)
def test_a_message_goes_in_its_own_form_if_that_is_taken_and_its_text_is_kept(renderer, text, kept):
    """Items with a blank text are refused by providers, and a form whose text was erased tells what was erased."""
    whole = kept and (text != " " or renderer == "messages/1:openai")
    form = FORMS[renderer](text)
    with memory_journal() as journal, live_session(journal=journal, renderer=renderer) as session:
        page = session.state.pages[session.user_says("hello", native=form)]
        session.assemble()
        log, vault = journal.log, journal.log.vault(session.session_id)
        gone = () if kept else (page.bodies[FULL],)

        def open_all(names):
            return {name: body for name, body in vault.open_all(names).items() if name not in gone}

        found = newest(open_all, lambda version: event_at(log, session.session_id, version).data, renderer)
        (piece,) = found.pieces(session.state)
        assert piece.block.native == (json.dumps(form, separators=(",", ":")) if whole else None)
        assert piece.names == ((page.bodies[FULL], page.native) if whole else (page.bodies[FULL],))


def test_a_renderer_lets_go_of_the_texts_that_it_read():
    """It keeps the blocks of a layout, not the bodies from which they were made."""

    class Bodies(dict[str, bytes]):
        pass

    with memory_journal() as journal, opened(journal, budget_tokens=4_000) as session:
        session.user_says("Read it.")
        ask(session, 1, lines(3))
        session.assemble()
        vault, held = journal.log.vault(session.session_id), list[weakref.ref[Bodies]]()

        def open_all(names):
            found = Bodies(vault.open_all(names))
            held.append(weakref.ref(found))
            return found

        found = newest(open_all, lambda version: event_at(journal.log, session.session_id, version).data, ANTHROPIC)
        assert found.render(session.state).blocks
        assert len(held) and all(each() is None for each in held)
