"""Paging in agents of OpenAI's SDK with a scripted model: pairs, budget, prefix, resume, handoffs, histories."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from structlog.testing import capture_logs

from clawvm_es import Journal
from clawvm_es.errors import UsageError
from clawvm_es.integrations.responses import items_of, messages_of, parted
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.facts import Finish, ReturnStatus
from clawvm_es.representations.counter import counter
from clawvm_es.representations.messages import Shape, broken, pieces
from clawvm_es.representations.messages.framing import count
from clawvm_es.testing import memory_journal
from tests.engine.test_message_agent import number
from tests.integrations.chat import check_readme

pytest.importorskip("agents", reason="the extra agents is not installed")

from agents import Agent, Model, ModelResponse, RunConfig, Runner, RunState, Usage, function_tool, handoff
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
)
from openai.types.responses.response_reasoning_item import Summary
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from clawvm_es.integrations.openai_agents import Hooks, Paging

COUNTER = counter("lines4")
RULE = "You are a careful agent. Run the tests after each change."
EVERY = 8
"""Model calls of one run; the last one calls no tool."""
TIME_US = 1_700_000_000_000_000
Items = list[dict[str, Any]]


@function_tool
def read(path: str) -> str:
    """Read a file."""
    lines = (1, 3, 8, 20, 40)[sum(map(ord, path)) % 5]
    return "".join(f"{path}: the content of line {line}\n" for line in range(lines))


@function_tool
def fail(path: str) -> str:
    """Fail to read a file."""
    raise OSError(f"{path} cannot be read")


@function_tool(needs_approval=True)
def push(path: str) -> str:
    """Push a file, if the person agrees."""
    return f"pushed {path}"


TOOLS = [read, fail, push]


def says(turn: int, text: str) -> ResponseOutputMessage:
    """A text of the model's."""
    content = [ResponseOutputText(type="output_text", text=text, annotations=[])]
    return ResponseOutputMessage(
        id=f"msg_{turn}", type="message", role="assistant", status="completed", content=content
    )


def calls(call_id: str, name: str, **arguments: Any) -> ResponseFunctionToolCall:
    """A call of a tool."""
    return ResponseFunctionToolCall(
        id=f"fc_{call_id}",
        call_id=call_id,
        name=name,
        arguments=json.dumps(arguments),
        type="function_call",
        status="completed",
    )


def thinks(turn: int) -> ResponseReasoningItem:
    """A thought that only its provider can read."""
    summary = [Summary(text=f"Turn {turn}: think first.", type="summary_text")]
    return ResponseReasoningItem(id=f"rs_{turn}", type="reasoning", summary=summary, encrypted_content="c2ln" * 20)


def answer(turn: int) -> list[Any]:
    """The answer of the scripted model at a turn: a thought, a text, and one to three calls."""
    if turn % EVERY == EVERY - 1:
        return [says(turn, f"Now turn {turn}.")]
    name = "fail" if turn % 11 == 10 else "read"
    made = [calls(f"call_{turn}_0", name, path=f"/src/{number(turn, 12)}.py")]
    for n in range(1, 1 + (turn % 5 == 0) + (turn % 10 == 5)):
        made.append(calls(f"call_{turn}_{n}", "read", path=f"/src/other_{turn}_{n}.py"))
    return [thinks(turn), says(turn, f"Now turn {turn}."), *made]


@attrs.define
class Scripted(Model):
    """A model that follows a script, and keeps what it is sent."""

    script: Callable[[int], list[Any]] = answer
    sent: list[Items] = attrs.field(factory=list, repr=False)
    turn: int = 0
    model: str = "m-1"

    def next(self, items: Any) -> list[Any]:
        """The answer to items."""
        self.sent.append(json.loads(json.dumps(items)))
        self.turn += 1
        return self.script(self.turn - 1)

    async def get_response(self, system_instructions: Any, input: Any, *rest: Any, **more: Any) -> ModelResponse:
        """Answer at once."""
        usage = Usage(
            requests=1,
            input_tokens=100,
            output_tokens=20,
            total_tokens=120,
            input_tokens_details=InputTokensDetails(cached_tokens=60, cache_write_tokens=0),
            output_tokens_details=OutputTokensDetails(reasoning_tokens=7),
        )
        return ModelResponse(output=self.next(input), usage=usage, response_id=None)

    async def stream_response(
        self, system_instructions: Any, input: Any, *rest: Any, **more: Any
    ) -> AsyncIterator[Any]:
        """Answer in one event."""
        response = Response(
            id="r",
            created_at=0,
            model="m-1",
            object="response",
            output=self.next(input),
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=True,
        )
        yield ResponseCompletedEvent(type="response.completed", sequence_number=0, response=response)


def paging(journal: Any, **options: Any) -> Paging:
    """Paging that raises what fails."""
    return Paging(journal, "t", **{"counter": "lines4", "budget_tokens": 100_000, "strict": True, **options})


def agent(model: Model, **options: Any) -> Agent:
    """An agent with all tools."""
    return Agent(name="main", instructions=RULE, model=model, tools=TOOLS, **options)


SILENT = RunConfig(tracing_disabled=True)


async def ask(who: Agent, given: Any, by: Paging, **options: Any) -> Any:
    """One run with all three parts."""
    options = {"session": by.history(), "hooks": by.hooks(), "max_turns": 20, **options}
    return await Runner.run(who, given, run_config=by.run_config(SILENT), **options)


def run(model: Scripted, by: Callable[[], Paging], turns: int) -> None:
    """Runs until the model was asked so many times; paging is asked for anew before each run."""
    while model.turn < turns:
        asyncio.run(ask(agent(model), f"Please go on with part {model.turn // EVERY}.", by()))


def fixed_tokens() -> int:
    """Tokens of instructions and tools."""
    forms = [json.dumps([tool.name, tool.description, tool.params_json_schema], sort_keys=True) for tool in TOOLS]
    return COUNTER.count("\n".join([RULE, *forms]))


# -------------------------------------------------------------------------------------------- acceptance


@attrs.define
class Cost:
    """Cost of model calls that follow each other, in permille of an input token, by the pieces that are sent."""

    paid: int = 0
    sent: int = 0
    cached: int = 0
    most: int = 0
    before: list[bytes] = attrs.field(factory=list)

    def add(self, items: Items) -> None:
        """Pay for a call: what the one before began with too is read from the cache, the rest is written to it."""
        now = pieces(items)
        same = next((n for n, (a, b) in enumerate(zip(now, self.before, strict=False)) if a != b), None)
        same = min(len(now), len(self.before)) if same is None else same
        tokens = count(items, Shape.RESPONSES, COUNTER)
        cached = tokens * sum(map(len, now[:same])) // max(1, sum(map(len, now)))
        self.paid += 100 * cached + 1250 * (tokens - cached)
        self.sent, self.cached = self.sent + tokens, self.cached + cached
        self.most, self.before = max(self.most, tokens), now


@pytest.mark.parametrize(
    ("turns", "budget"), [(48, 3_000), pytest.param(200, 8_000, marks=pytest.mark.sweep(sample=0))]
)
def test_paged_calls_keep_pairs_budget_and_prefix_and_cost_less(turns, budget):
    """No unpaired call, what is sent is never over budget, three quarters are a known prefix, cheaper."""
    paged, plain = Scripted(), Scripted()
    with memory_journal() as journal:
        run(paged, lambda: paging(journal, budget_tokens=budget), turns)
    with memory_journal() as journal:
        run(plain, lambda: paging(journal, budget_tokens=10**7), turns)
    costs = Cost(), Cost()
    for model, cost in zip((paged, plain), costs, strict=True):
        assert len(model.sent) == turns
        for items in model.sent:
            assert broken(items, Shape.RESPONSES) == []
            cost.add(items)
    share = 100 * costs[0].cached // costs[0].sent
    print(f"{turns} turns: {share} % prefix, {costs[0].paid // 1000} paid, unpaged {costs[1].paid // 1000}")
    print(f"at most {costs[0].most + fixed_tokens()} of {budget}, unpaged {costs[1].most}")
    assert costs[1].most > 2 * budget
    assert costs[0].most + fixed_tokens() <= budget
    assert share >= 75
    assert costs[0].paid < costs[1].paid
    if turns == 200:
        most, paid = costs[0].most + fixed_tokens(), round(costs[0].paid / 1_000_000)
        check_readme(
            f"at most {most:,} tokens sent, {share} % of them a prefix of the call before. It pays {paid} thousand"
        )


def test_a_process_that_is_killed_and_begun_anew_sends_the_same(tmp_path: Path):
    """A journal that is opened anew before each run, never closed, gives the items of one that stays open."""
    turns, whole, again = 24, Scripted(), Scripted()
    clock = lambda: TIME_US  # noqa: E731
    with Journal.open(tmp_path / "one.db", seed=7, clock=clock) as journal:
        one = paging(journal, budget_tokens=1_800)
        run(whole, lambda: one, turns)
    opened = list[Journal]()

    def anew() -> Paging:
        for journal in opened:
            journal.log.close()  # what the process held is gone
        opened[:] = [Journal.open(tmp_path / "two.db", seed=7, clock=clock)]
        return paging(opened[0], budget_tokens=1_800)

    run(again, anew, turns)
    assert again.sent == whole.sent
    assert len(whole.sent[-1]) < 48 < 3 * turns  # pages have left


def test_a_run_that_waits_for_a_person_is_resumed_in_another_process(tmp_path: Path):
    """An answer is recorded before its tools run; the resumed run sends its own items, each recorded once."""
    script = lambda turn: (  # noqa: E731
        [says(2, "Done.")] if turn else [thinks(0), calls("c1", "push", path="a"), calls("c2", "read", path="b")]
    )
    model = Scripted(script)
    with Journal.open(tmp_path / "j.db") as journal:
        found = asyncio.run(ask(agent(model), "Push it.", paging(journal)))
        assert [each.raw_item.call_id for each in found.interruptions] == ["c1"]
        session = paging(journal).session
        assert [call.tool for call in session.state.calls.values()] == ["unknown"] * 2
        told = found.to_state().to_json()

    async def resume(journal: Journal) -> None:
        state = await RunState.from_json(agent(model), told)
        for item in state.get_interruptions():
            state.approve(item)
        await ask(agent(model), state, paging(journal))

    with Journal.open(tmp_path / "j.db") as journal:
        asyncio.run(resume(journal))
        kinds = [item.get("type", item.get("role")) for item in model.sent[-1]]
        assert kinds == ["user", "reasoning", *["function_call"] * 2, *["function_call_output"] * 2]
        session = paging(journal).session
        assert session.session_id == "t" and session.in_flight == () and len(session.state.calls) == 2
        answers = [row for row in read_session(journal.log, "t") if isinstance(row.data, e.ModelResponded)]
        assert len(answers) == 2


# ------------------------------------------------------------------------------------------- what is recorded


def test_answers_are_recorded_with_their_facts_and_failures_as_such():
    """Usage, model, provider, finish are in the journal, of the last answer too; told again nothing is recorded."""
    model = Scripted(lambda turn: answer(10) if turn == 0 else answer(7))
    with memory_journal() as journal:
        found = asyncio.run(ask(agent(model), "Go.", paging(journal)))
        rows = [row.data for row in read_session(journal.log, "t")]
        answers = [data for data in rows if isinstance(data, e.ModelResponded)]
        assert [(each.input_tokens, each.cached_tokens, each.output_tokens) for each in answers] == [
            (100, 60, 20)
        ] * 2
        assert [each.finish for each in answers] == [Finish.TOOL_CALLS, Finish.STOP]
        began = next(data for data in rows if isinstance(data, e.TurnBegan))
        open_ = journal.log.vault("t").open
        assert [open_(began.model_name or ""), open_(answers[0].provider or "")] == [b"m-1", b"openai"]
        ends = [data.status for data in rows if isinstance(data, e.ToolReturned)]
        assert ends == [ReturnStatus.ERROR, ReturnStatus.OK]
        version = paging(journal).session.state.version
        by = paging(journal)
        asyncio.run(by.history().add_items([]))
        by._conversations.of("t").tell({**_listed(found.to_input_list())})
        assert by.session.state.version == version


def _listed(items: Items) -> Any:
    from clawvm_es.integrations.observing import named

    return named(messages_of(items, ("An error occurred",)))


def test_without_hooks_an_answer_is_recorded_with_the_next_call():
    """The filter sees each answer but the last one."""
    with memory_journal() as journal:
        asyncio.run(
            ask(
                agent(Scripted(lambda turn: answer(7 - (turn == 0)))),
                "Go.",
                paging(journal),
                session=None,
                hooks=None,
            )
        )
        answers = [row for row in read_session(journal.log, "t") if isinstance(row.data, e.ModelResponded)]
        assert len(answers) == 1


def test_a_streamed_run_sends_and_records_what_another_one_does():
    """`run_streamed` asks filter, hooks and history as `run` does."""
    sent = []
    for streams in (False, True):
        model = Scripted()
        with memory_journal() as journal:
            by = paging(journal, budget_tokens=1_800)

            async def go(model: Scripted = model, by: Paging = by) -> None:
                options = {"session": by.history(), "hooks": by.hooks(), "max_turns": 20}
                found = Runner.run_streamed(agent(model), "Go on.", run_config=by.run_config(SILENT), **options)
                async for _ in found.stream_events():
                    pass

            for _ in range(2):
                asyncio.run(go() if streams else ask(agent(model), "Go on.", by))
            kinds = [row.type for row in read_session(journal.log, "t")]
            sent.append((model.sent, kinds, asyncio.run(by.history().get_items())))
    assert sent[0] == sent[1]


# ------------------------------------------------------------------------------------------------ agents


def test_an_agent_that_takes_over_goes_on_in_the_conversation():
    """A handoff changes the instructions, which begins an epoch, and nothing else."""
    second = Scripted(lambda turn: answer(7) if turn else answer(1))
    other = Agent(name="other", instructions="You are the other one.", model=second, tools=TOOLS)
    script = lambda turn: [calls("h1", "transfer_to_other")] if turn else answer(0)  # noqa: E731
    first = Scripted(lambda turn: answer(0) if turn == 0 else script(turn))
    with memory_journal() as journal:
        asyncio.run(ask(agent(first, handoffs=[other]), "Go.", paging(journal)))
        assert broken(second.sent[-1], Shape.RESPONSES) == []
        assert second.sent[0][0] == {"role": "user", "content": "Go."}
        rows = [row.data for row in read_session(journal.log, "t")]
        triggers = [data.trigger for data in rows if isinstance(data, e.PromptAssembled)]
        assert [trigger is not None for trigger in triggers] == [True, False, True, False]
        assert len([data for data in rows if isinstance(data, e.ModelResponded)]) == 4
        assert [found.session_id for found in journal.sessions()] == ["t"]


def test_a_handoff_that_leaves_out_items_leaves_their_pages_out():
    """What the filter of a handoff takes away, the next agent does not see; the journal keeps it."""
    from agents.extensions.handoff_filters import remove_all_tools

    second = Scripted(lambda turn: answer(7))
    other = Agent(name="other", instructions="You are the other one.", model=second)
    first = Scripted(lambda turn: [calls("h1", "transfer_to_other")] if turn else answer(0))
    with memory_journal() as journal:
        asyncio.run(
            ask(agent(first, handoffs=[handoff(other, input_filter=remove_all_tools)]), "Go.", paging(journal))
        )
        assert [item.get("type", item["role"]) for item in second.sent[-1]] in (["user"], ["user", "message"])
        assert "content of line" not in json.dumps(second.sent)
        assert len(paging(journal).session.state.calls) <= 3


def test_an_agent_that_runs_as_a_tool_has_a_conversation_of_its_own():
    """Its items do not come into the caller's; both runs are paged by the configuration that they share."""
    inner = Scripted(lambda turn: answer(7) if turn % 2 else answer(3))
    helper = Agent(name="helper", instructions="You help.", model=inner, tools=TOOLS)
    both = [calls("t1", "ask_helper", input="one"), calls("t2", "ask_helper", input="two")]
    outer = Scripted(lambda turn: [says(9, "Done.")] if turn else both)
    caller = Agent(
        name="main", instructions=RULE, model=outer, tools=[helper.as_tool("ask_helper", "Ask the helper.")]
    )
    with memory_journal() as journal:
        by = paging(journal)
        asyncio.run(ask(caller, "Go.", by))
        asyncio.run(ask(caller, "Thanks.", by))
        assert [item.get("type", item.get("role")) for item in outer.sent[1]] == [
            "user", *["function_call"] * 2, *["function_call_output"] * 2
        ]  # fmt: skip
        names = [found.session_id for found in journal.sessions()]
        assert names == ["t", "t/helper", "t/helper~2"]
        assert all(broken(items, Shape.RESPONSES) == [] for items in inner.sent)


# ---------------------------------------------------------------------------------------------- failures


def test_a_journal_that_fails_does_not_stop_the_agent():
    """The model gets its own items, the log warnings; with `strict` the run raises."""
    with memory_journal() as journal:
        journal.close()
        plain, paged = Scripted(), Scripted()
        asyncio.run(Runner.run(agent(plain), "Go.", run_config=SILENT, max_turns=20))
        with capture_logs() as logs:
            asyncio.run(ask(agent(paged), "Go.", paging(journal, strict=False)))
        assert paged.sent == plain.sent
        assert {each["event"] for each in logs} >= {"the model gets its items unpaged"}
        assert {each["log_level"] for each in logs} == {"warning"}
        with pytest.raises(Exception, match="closed"):
            asyncio.run(ask(agent(Scripted()), "Go.", paging(journal)))


def test_items_that_cannot_be_paged_are_sent_as_they_are():
    """A reference to an item that OpenAI stores has no text: the call goes out unpaged, with a warning."""
    items = [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "Go."}]
    model = Scripted(lambda turn: answer(7))
    with memory_journal() as journal, capture_logs() as logs:
        asyncio.run(ask(agent(model), items, paging(journal, strict=False), session=None))
    assert model.sent == [items]
    assert "item_reference" in logs[0]["error"]


def test_without_the_extra_the_import_names_it(monkeypatch: pytest.MonkeyPatch):
    """The error is one line that says what to install."""
    monkeypatch.setitem(sys.modules, "agents", None)
    monkeypatch.delitem(sys.modules, "clawvm_es.integrations.openai_agents")
    with pytest.raises(ImportError, match=r"clawvm-es\[agents\]"):
        importlib.import_module("clawvm_es.integrations.openai_agents")


# ------------------------------------------------------------------------------------------- the history

IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,aGk=", "detail": "auto"}
ITEMS: Items = [
    {"role": "user", "content": "Look."},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2ln"},
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "read", "arguments": "{}"},
    {"type": "custom_tool_call", "id": "ct_1", "call_id": "c2", "name": "sh", "input": "ls"},
    {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "a picture"}, IMAGE]},
    {"type": "custom_tool_call_output", "call_id": "c2", "output": "a.py"},
    {"type": "message", "id": "m1", "role": "assistant", "content": [{"type": "output_text", "text": "Seen."}]},
    {"role": "user", "content": [{"type": "input_text", "text": "And this?"}, IMAGE]},
    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    {"type": "message", "id": "m2", "role": "assistant", "content": [{"type": "output_text", "text": "A cat."}]},
    {"type": "message", "id": "m3", "role": "assistant", "content": [{"type": "output_text", "text": "Or a dog."}]},
]


def test_what_was_told_of_items_gives_them_again():
    """LAW-ITEMS-1: each kind of item comes back; one that cannot be paged is named."""
    messages = messages_of(ITEMS)
    assert items_of(messages) == ITEMS
    assert [type(message).__name__ for message in messages] == [
        "Said", "Answered", "Ended", "Ended", "Answered", "Said", "Answered", "Answered"
    ]  # fmt: skip
    system = {"role": "developer", "content": "Be kind."}
    assert parted([system, *ITEMS]) == ([system], ITEMS)
    for item in ({"type": "compaction", "id": "x"}, {"role": "user", "content": None}):
        with pytest.raises(UsageError, match="cannot be paged"):
            messages_of([item])


def test_a_history_is_that_of_the_journal(tmp_path: Path):
    """Items come back in another process, once each; taken back, they are gone, and the journal keeps them."""
    with Journal.open(tmp_path / "j.db") as journal:
        history = paging(journal).history()
        asyncio.run(history.add_items(ITEMS[:4]))
        asyncio.run(history.add_items(ITEMS[4:]))
        assert asyncio.run(history.get_items(2)) == ITEMS[-2:]
    with Journal.open(tmp_path / "j.db") as journal:
        by = paging(journal)
        history = by.history()
        assert asyncio.run(history.get_items()) == ITEMS
        assert asyncio.run(history.pop_item()) == ITEMS[-1]
        assert asyncio.run(by.history().get_items()) == ITEMS[:-1]
        asyncio.run(history.clear_session())
        assert asyncio.run(by.history().get_items()) == [] and asyncio.run(history.pop_item()) is None
        asyncio.run(history.add_items(ITEMS[:1]))
        assert asyncio.run(paging(journal).history().get_items()) == ITEMS[:1]
        assert len(journal.session("t").state.pages) >= 6


def test_own_hooks_and_an_own_filter_are_asked_too():
    """`Hooks` can be subclassed, and a filter of the configuration comes first."""
    seen: list[str] = []

    class Mine(Hooks):
        async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
            seen.append("answer")
            await super().on_llm_end(context, agent, response)

    def first(data: Any) -> Any:
        data.model_data.input = [*data.model_data.input, {"role": "developer", "content": "Be brief."}]
        return data.model_data

    model = Scripted(lambda turn: answer(7))
    with memory_journal() as journal:
        by = paging(journal)
        config = by.run_config(RunConfig(tracing_disabled=True, call_model_input_filter=first))
        asyncio.run(Runner.run(agent(model), "Go.", run_config=config, hooks=Mine(by)))
        assert seen == ["answer"]
        assert model.sent == [[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Go."}]]


SECRET = "ghp_" + "a1B2" * 9


def test_hidden_secrets_that_are_read_back_begin_no_other_line(tmp_path: Path):
    """What was said with a secret is read back without it, and said anew: one line goes on; no secret is kept."""
    script = lambda turn: (  # noqa: E731
        [calls(f"c{turn}", "read", path=SECRET)] if turn % 2 == 0 else [says(turn, "I saw it.")]
    )
    model, lines = Scripted(script), list[list[str]]()
    for question in ("My token is " + SECRET, "Again: " + SECRET, "And again, " + SECRET):
        with Journal.open(tmp_path / "j.db", hide_secrets=True) as journal:
            asyncio.run(ask(agent(model), question, paging(journal)))
            lines.append([head.session_id for head in journal.log.heads()])
            assert broken(model.sent[-1], Shape.RESPONSES) == []
    assert lines == [["t"]] * 3
    assert SECRET not in json.dumps(model.sent) and "hidden]" in json.dumps(model.sent[-1])
    held = b"".join(path.read_bytes() for path in tmp_path.glob("j.db*"))
    assert SECRET.encode() not in held
