"""The middleware, in agents of LangChain with a scripted model: pairs, budget, prefix, resume, changed histories."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from clawvm_es import Journal
from clawvm_es.errors import UsageError
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.facts import Finish, ReturnStatus
from clawvm_es.representations.counter import counter
from clawvm_es.representations.messages import Shape, broken
from clawvm_es.representations.messages.framing import count
from clawvm_es.testing import memory_journal
from tests.engine.test_message_agent import number
from tests.integrations.chat import check_readme, spent

pytest.importorskip("langchain", reason="the extra langchain is not installed")

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, HumanInTheLoopMiddleware, ModelRetryMiddleware
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    convert_to_openai_messages,
    trim_messages,
)
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from clawvm_es.integrations.langchain import ClawVMMiddleware

COUNTER = counter("lines4")
RULE = "You are a careful agent. Run the tests after each change."
EVERY = 8
"""Model calls of one exchange; the last one calls no tool."""
TIME_US = 1_700_000_000_000_000


@tool
def read(path: str) -> str:
    """Read a file."""
    lines = (1, 3, 8, 20, 40)[sum(map(ord, path)) % 5]
    return "".join(f"{path}: the content of line {line}\n" for line in range(lines))


def fail(path: str) -> str:
    """Fail to read a file."""
    raise ToolException(f"{path} cannot be read")


@tool
def ask(question: str) -> str:
    """Ask the person."""
    return f"the person says {interrupt(question)}"


TOOLS = [read, tool(fail), ask]
TOOLS[1].handle_tool_error = True


def answer(turn: int) -> AIMessage:
    """The answer of the scripted model at a turn."""
    calls = []
    if turn % EVERY != EVERY - 1:
        name = "fail" if turn % 11 == 10 else "ask" if turn % 13 == 12 else "read"
        calls = [(name, {"question": "go on?"} if name == "ask" else {"path": f"/src/{number(turn, 12)}.py"})]
        calls += [("read", {"path": f"/src/other_{turn}.py"})] * (1 + (turn % 10 == 5) if turn % 5 == 0 else 0)
    return AIMessage(
        f"Now turn {turn}.",
        id=f"ai-{turn}",
        tool_calls=[{"name": name, "args": args, "id": f"call_{turn}_{n}"} for n, (name, args) in enumerate(calls)],
        response_metadata={"model_name": "m-1", "model_provider": "fake", "finish_reason": "tool_calls"},
        usage_metadata={
            **{"input_tokens": 100, "output_tokens": 20, "total_tokens": 120},
            "input_token_details": {"cache_read": 60, "cache_creation": 30},
        },
    )


class Model(BaseChatModel):
    """A model that follows a script, and keeps what it is sent."""

    sent: list[list[BaseMessage]] = []  # noqa: RUF012 - a field of pydantic's, copied for each model
    script: Callable[[int], AIMessage] = answer
    turn: int = 0

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        """Tools change nothing."""
        return self

    def _generate(self, messages: list[BaseMessage], *rest: Any, **options: Any) -> ChatResult:
        self.sent.append(list(messages))
        message = self.script(self.turn)
        self.turn += 1
        return ChatResult(generations=[ChatGeneration(message=message)])

    @property
    def _llm_type(self) -> str:
        return "scripted"


def options(**more: Any) -> dict[str, Any]:
    """Options of the middleware that all tests share."""
    return {"counter": "lines4", "budget_tokens": 100_000, "strict": True, **more}


def agent(model: Model, journal: Any, saver: Any, *others: AgentMiddleware, **more: Any) -> Any:
    """An agent with the middleware last in its list."""
    middleware = [*others, ClawVMMiddleware(journal, **options(**more))]
    return create_agent(model, TOOLS, system_prompt=RULE, middleware=middleware, checkpointer=saver)


THREAD: Any = {"configurable": {"thread_id": "t"}}


def said(part: int) -> dict[str, Any]:
    """What the user says in a part of the run."""
    return {"messages": [HumanMessage(f"Please go on with part {part}.", id=f"user-{part}")]}


def run(graph: Callable[[], Any], model: Model, turns: int) -> None:
    """Run so many turns; questions of tools are answered. The agent is asked for anew before each run."""
    while model.turn < turns:
        found = graph().invoke(said(model.turn // EVERY), THREAD)
        while "__interrupt__" in found:
            found = graph().invoke(Command(resume="yes"), THREAD)


def shape(sent: list[BaseMessage]) -> list[dict[str, Any]]:
    """Messages as LangChain itself converts them, without the system prompt."""
    return convert_to_openai_messages([message for message in sent if message.type != "system"])


def events(journal: Journal, session_id: str, *kinds: type[e.Event]) -> list[e.Event]:
    """The events of a session that are of some kinds."""
    return [row.data for row in read_session(journal.log, session_id) if isinstance(row.data, kinds)]


def asked(state: list[BaseMessage]) -> list[list[BaseMessage]]:
    """What the model is asked where every message is sent."""
    return [state[:place] for place, message in enumerate(state) if message.type == "ai"]


@pytest.mark.parametrize(
    ("turns", "budget"),
    [(48, 2_400), *(pytest.param(200, budget, marks=pytest.mark.sweep(sample=0)) for budget in (2_400, 6_000))],
)
def test_an_agent_with_failing_parallel_and_interrupted_tools_is_paged(turns, budget):
    """No unpaired call, no prompt over budget, its count exact, most of it a prefix, cheaper than unpaged."""
    with memory_journal() as journal:
        model, saver = Model(), InMemorySaver()
        graph = agent(model, journal, saver, budget_tokens=budget)
        run(lambda: graph, model, turns)
        state = graph.get_state(THREAD).values["messages"]
        rendered = events(journal, "t", e.PromptRendered)
        began = events(journal, "t", e.TurnBegan)
        returned = events(journal, "t", e.ToolReturned)
    sent = [shape(messages) for messages in model.sent]
    assert len(sent) == len(rendered) == turns
    for messages, told, turn in zip(sent, rendered, began, strict=True):
        assert broken(messages, Shape.OPENAI) == []
        tokens = count(messages, Shape.OPENAI, COUNTER) + turn.fixed_tokens
        assert abs(tokens - told.tokens) * 100 <= told.tokens
        assert tokens <= budget
    ours, unpaged, trimmed = spent(sent), spent(map(shape, asked(state))), trimmed_pairs(state, budget)
    print(f"{turns} turns, {len(returned)} calls, budget {budget}: {ours}; unpaged {unpaged}")
    print(f"trim_messages broke the pairs of {trimmed} requests")
    assert unpaged.most > 2 * budget
    assert ours.paid < unpaged.paid
    assert ours.share >= 75
    if budget == 6_000:
        check_readme(
            f"at most {ours.most:,} tokens sent, {ours.share} % of them a prefix of the request before. It pays"
        )
        check_readme(f"It pays {round(ours.paid / 1000)} thousand input tokens; sending all messages costs")
    statuses = [ended.status for ended in returned]
    assert statuses.count(ReturnStatus.ERROR) >= turns // 15
    assert len(statuses) == sum(len(message.tool_calls) for message in state if isinstance(message, AIMessage))


def trimmed_pairs(state: list[BaseMessage], budget: int) -> int:
    """Prompts of the same turns with broken pairs, were they cut by LangChain's `trim_messages`."""

    def tokens(messages: list[BaseMessage]) -> int:
        return count(shape(messages), Shape.OPENAI, COUNTER)

    cut = [trim_messages(messages, max_tokens=budget, token_counter=tokens) for messages in asked(state)[:60]]
    return sum(bool(broken(shape(messages), Shape.OPENAI)) for messages in cut)


# ------------------------------------------------------------------------------------ killed and resumed


class Killed(BaseException):
    """The process ends here."""


class Kills(AgentMiddleware):
    """Ends the process at one of the nodes of some turns, once each."""

    def __init__(self, model: Model, turns: set[int]) -> None:
        super().__init__()
        self.model, self.turns = model, turns

    def after_model(self, state: Any, runtime: Any) -> None:
        """End where the answer was recorded, and the node that comes after is not."""
        if self.model.turn in self.turns:
            self.turns.remove(self.model.turn)
            raise Killed


def whole_run(turns: int, budget: int) -> list[list[dict[str, Any]]]:
    """What a process sends that runs from its beginning to its end."""
    with memory_journal() as journal:
        model = Model()
        graph = agent(model, journal, InMemorySaver(), budget_tokens=budget)
        run(lambda: graph, model, turns)
    return [shape(messages) for messages in model.sent]


def test_an_agent_that_is_killed_and_resumed_sends_the_same_next(tmp_path: Path):
    """A new middleware over a journal that was opened anew, at each run and each resume, sends the same."""
    turns, budget = 18, 1_500
    model, saver, opened = Model(), InMemorySaver(), list[Journal]()

    def graph() -> Any:
        for journal in opened:
            journal.log.close()  # what the process held is gone
        opened[:] = [Journal.open(tmp_path / "j.db", clock=lambda: TIME_US)]
        return agent(model, opened[0], saver, Kills(model, kills), budget_tokens=budget)

    kills = {3, 9, 17}
    while model.turn < turns:
        state = graph().get_state(THREAD)
        try:
            found = graph().invoke(None if state.next else said(model.turn // EVERY), THREAD)
            while "__interrupt__" in found:
                found = graph().invoke(Command(resume="yes"), THREAD)
        except Killed:
            continue
    assert kills == set()
    assert [shape(messages) for messages in model.sent] == whole_run(turns, budget)
    assert [listed.session_id for listed in opened[0].sessions()] == ["t"]


def test_an_answer_that_the_graph_forgot_is_a_line_of_its_own():
    """Where no checkpoint was written before the end of the process, the same is asked again, with the same bytes."""
    with memory_journal() as journal:
        model = Model()
        graph = agent(model, journal, InMemorySaver(), Kills(model, {1}))
        with pytest.raises(Killed):
            graph.invoke(said(0), THREAD)
        agent(model, journal, InMemorySaver()).invoke(said(0), THREAD)
        assert shape(model.sent[0]) == shape(model.sent[1])
        assert [listed.session_id for listed in journal.sessions()] == ["t", "t~2"]
        first, second = (events(journal, name, e.ModelResponded) for name in ("t", "t~2"))
        assert (len(first), len(second)) == (1, EVERY - 1)


def test_sync_and_async_write_the_same_journal():
    """The same agent, awaited, leaves the same events, byte for byte."""

    async def awaited(model: Model, journal: Journal) -> None:
        graph = agent(model, journal, InMemorySaver(), budget_tokens=1_500)
        for part in range(2):
            found = await graph.ainvoke(said(part), THREAD)
            while "__interrupt__" in found:
                found = await graph.ainvoke(Command(resume="yes"), THREAD)

    rows = []
    for is_async in (False, True):
        with Journal.open("memory:", seed=7, clock=lambda: TIME_US) as journal:
            model = Model()
            if is_async:
                asyncio.run(awaited(model, journal))
            else:
                graph = agent(model, journal, InMemorySaver(), budget_tokens=1_500)
                run(lambda graph=graph: graph, model, 2 * EVERY)
            rows.append([(row.type, row.raw, row.hash) for row in read_session(journal.log, "t")])
    assert len(rows[0]) > 100
    assert rows[0] == rows[1]


# ---------------------------------------------------------------------------------- what becomes of messages


def one(script: Callable[[int], AIMessage] | None = None, **more: Any) -> tuple[Model, Journal, Any]:
    """A model, a journal in memory, and an agent of theirs."""
    model = Model() if script is None else Model(script=script)
    journal = Journal.open("memory:")
    return model, journal, agent(model, journal, InMemorySaver(), **more)


def talks(turn: int) -> AIMessage:
    """The answer of a model that calls no tools; its id is LangChain's."""
    return AIMessage(f"answer {turn}")


def test_usage_model_provider_finish_and_failures_are_recorded():
    """What the message of an answer tells of it stands in its event; a failed tool is a failed call."""
    with memory_journal() as journal:
        model = Model(script=lambda turn: answer(10) if not turn else answer(EVERY - 1))
        agent(model, journal, InMemorySaver()).invoke(said(0), THREAD)
        first = events(journal, "t", e.ModelResponded)[0]
        session = journal.session("t")
        assert isinstance(first, e.ModelResponded)
        counts = (first.input_tokens, first.cached_tokens, first.written_tokens, first.output_tokens)
        assert counts == (100, 60, 30, 20)
        assert first.finish is Finish.TOOL_CALLS
        assert first.model_name is not None
        assert next(ended.status for ended in events(journal, "t", e.ToolReturned)) is ReturnStatus.ERROR
        assert "cannot be read" in session.read_page(session.state.calls[1].page_id or "")
        assert session.state.assembled_fixed > COUNTER.count(RULE)


def test_images_and_thoughts_are_sent_as_they_are():
    """LAW-LANGCHAIN-1: a message with an image, and an answer with a signed thought, are sent as they are."""
    thought = {"type": "thinking", "thinking": "an image of a cat", "signature": "c2ln"}
    use = {"type": "tool_use", "id": "call_0", "name": "read", "input": {"path": "a"}}
    calls = [{"name": "read", "args": {"path": "a"}, "id": "call_0"}]
    script = [AIMessage([thought, use], id="ai-0", tool_calls=calls), AIMessage("a cat", id="ai-1")]
    model, journal, graph = one(lambda turn: script[turn])
    image = {"type": "image", "base64": "aGFsbG8=" * 3_000, "mime_type": "image/png"}
    found = graph.invoke({"messages": [HumanMessage([{"type": "text", "text": "Look."}, image], id="u")]}, THREAD)
    assert [message.content for message in model.sent[1][1:3]] == [found["messages"][n].content for n in (0, 1)]
    assert model.sent[1][2] is found["messages"][1]
    rendered = events(journal, "t", e.PromptRendered)[1]
    assert isinstance(rendered, e.PromptRendered)
    assert 1_600 < rendered.tokens < 2_000


def test_a_call_that_the_user_talked_over_has_a_result_all_the_same():
    """An interrupted call without a result, with the user's next message after it, is sent as a pair."""
    model, journal, graph = one(lambda turn: answer(12) if not turn else talks(turn))
    graph.invoke(said(0), THREAD)
    graph.update_state(THREAD, said(1), as_node="tools")
    graph.invoke(None, THREAD)
    assert broken(shape(model.sent[1]), Shape.OPENAI) == []
    assert "[no result]" in str(shape(model.sent[1]))
    assert len(journal.session("t").in_flight) == 1


def test_arguments_that_are_no_json_are_a_call_with_its_result():
    """LangChain's own answer to a call that it cannot read is recorded once, and stays one line."""
    wrong = [{"name": "read", "args": "{path", "id": "call_w", "error": None, "type": "invalid_tool_call"}]
    script = [
        AIMessage("", id="ai-0", invalid_tool_calls=wrong),
        AIMessage("ok", id="ai-1"),
        AIMessage("b", id="ai-2"),
    ]
    model, journal, graph = one(lambda turn: script[turn])
    for part in range(3):
        graph.invoke(said(part), THREAD)
    assert [listed.session_id for listed in journal.sessions()] == ["t"]
    assert len(events(journal, "t", e.ToolReturned)) == 1
    assert [message.type for message in model.sent[2][1:]] == ["human", "ai", "tool", "human", "ai", "human"]


def test_what_another_middleware_adds_to_one_call_is_sent_and_not_recorded():
    """A reminder is in the request, counted beside the prompt, and in no session; a system message is a rule."""

    class Reminds(AgentMiddleware):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(request.override(messages=[*request.messages, HumanMessage("be brief")]))

    model, journal = Model(script=talks), Journal.open("memory:")
    graph = agent(model, journal, InMemorySaver(), Reminds())
    for part in range(2):
        graph.invoke({"messages": [SystemMessage("no lies", id="s"), *said(part)["messages"]]}, THREAD)
    assert [message.text for message in model.sent[1]] == [
        *(RULE, "no lies", "Please go on with part 0.", "answer 0", "Please go on with part 1.", "be brief"),
    ]
    assert len(journal.session("t").state.pages) == 4
    assert [listed.session_id for listed in journal.sessions()] == ["t"]
    assert {began.fixed for began in events(journal, "t", e.TurnBegan)} != {None}
    assert [found.trigger for found in events(journal, "t", e.PromptAssembled)][1] is None


def test_a_retry_asks_with_the_same_prompt_in_the_same_turn():
    """A model that fails once is asked again with the same messages; the journal has one turn."""
    failures = [RuntimeError("overloaded")]

    def script(turn: int) -> AIMessage:
        if failures:
            raise failures.pop()
        return talks(turn)

    model, journal = Model(script=script), Journal.open("memory:")
    retry = ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False)
    agent(model, journal, InMemorySaver(), retry).invoke(said(0), THREAD)
    assert len(model.sent) == 2
    assert model.sent[0] == model.sent[1]
    assert journal.session("t").state.turn == 1


def test_a_call_that_a_person_refuses_is_a_failed_one():
    """Human in the loop: the interrupt leaves the answer recorded, and the refusal is the result of the call."""
    model, journal = Model(script=lambda turn: answer(1) if not turn else talks(turn)), Journal.open("memory:")
    graph = agent(model, journal, InMemorySaver(), HumanInTheLoopMiddleware(interrupt_on={"read": True}))
    graph.invoke(said(0), THREAD)
    assert len(journal.session("t").in_flight) == 1
    graph.invoke(Command(resume={"decisions": [{"type": "reject", "message": "not that one"}]}), THREAD)
    ended = events(journal, "t", e.ToolReturned)
    assert [result.status for result in ended] == [ReturnStatus.ERROR]
    assert broken(shape(model.sent[1]), Shape.OPENAI) == []
    assert "not that one" in str(model.sent[1])


# ---------------------------------------------------------------------------------- histories that are changed


def texts(messages: list[BaseMessage]) -> list[str]:
    """What was sent, without the system prompt."""
    return [str(message.text) for message in messages if message.type != "system"]


def test_a_message_that_is_removed_is_not_sent_again():
    """Its page is retired, and the next prompt is selected anew; put back, it is sent again."""
    model, journal, graph = one(talks)
    for part in range(3):
        graph.invoke(said(part), THREAD)
    graph.invoke({"messages": [RemoveMessage(id="user-1"), *said(3)["messages"]]}, THREAD)
    asked = "Please go on with part "
    assert texts(model.sent[3]) == [f"{asked}0.", "answer 0", "answer 1", f"{asked}2.", "answer 2", f"{asked}3."]
    assert [listed.session_id for listed in journal.sessions()] == ["t"]
    graph.invoke({"messages": said(1)["messages"]}, THREAD)
    assert texts(model.sent[4]) == [*texts(model.sent[3]), "answer 3", f"{asked}1."]
    assert [listed.session_id for listed in journal.sessions()] == ["t"]


def test_going_back_to_an_earlier_checkpoint_goes_on_in_a_fork():
    """The first line stays as it was, the second begins like it; going on with the first one goes on with it."""
    model, journal, graph = one(talks)
    for part in range(3):
        graph.invoke(said(part), THREAD)
    head = graph.get_state(THREAD).config
    past = next(found for found in graph.get_state_history(THREAD) if len(found.values["messages"]) == 2)
    before = journal.log.head("t")
    graph.invoke({"messages": [HumanMessage("another way", id="other")]}, past.config)
    assert texts(model.sent[3]) == ["Please go on with part 0.", "answer 0", "another way"]
    assert journal.log.head("t") == before
    graph.invoke(said(4), head)
    assert texts(model.sent[4]) == [*texts(model.sent[2]), "answer 2", "Please go on with part 4."]
    assert [listed.session_id for listed in journal.sessions()] == ["t", "t~2"]


def test_a_message_that_is_edited_and_a_summary_go_on_in_forks():
    """What was said is kept as it was in the line before; the next prompt says what the state says now."""
    model, journal, graph = one(talks)
    for part in range(2):
        graph.invoke(said(part), THREAD)
    graph.invoke({"messages": [HumanMessage("Please do it well.", id="user-1"), *said(2)["messages"]]}, THREAD)
    asked = ["Please go on with part 0.", "answer 0", "Please do it well.", "answer 1", "Please go on with part 2."]
    assert texts(model.sent[2]) == asked
    everything = RemoveMessage(id="__remove_all__")
    kept = graph.get_state(THREAD).values["messages"][-2:]
    graph.invoke({"messages": [everything, HumanMessage("In short: nothing.", id="s"), *kept]}, THREAD)
    assert texts(model.sent[3])[0] == "In short: nothing."
    assert len(texts(model.sent[3])) == 3
    assert [listed.session_id for listed in journal.sessions()] == ["t", "t~2", "t~3"]


# ------------------------------------------------------------------------------------------ names, failures


def test_an_agent_inside_of_an_agent_has_a_session_of_its_own():
    """Its name is that of the thread and of the nodes around it."""
    with memory_journal() as journal:
        inner = create_agent(Model(script=talks), [], middleware=[ClawVMMiddleware(journal, **options())])

        @tool("read")
        def helper(path: str) -> str:
            """Ask the other agent."""
            return str(inner.invoke({"messages": [HumanMessage(path)]})["messages"][-1].text)

        model = Model(script=lambda turn: answer(1) if not turn else talks(turn))
        middleware = [ClawVMMiddleware(journal, **options())]
        create_agent(model, [helper], middleware=middleware, checkpointer=InMemorySaver()).invoke(said(0), THREAD)
        assert [listed.session_id for listed in journal.sessions()] == ["t", "t/tools"]
        assert model.sent[1][-1].text == "answer 0"


def test_a_failure_of_ours_leaves_the_model_its_messages(tmp_path: Path):
    """The agent goes on with the state's messages and a warning; a strict middleware raises."""
    (tmp_path / "j.db").write_text("no journal")
    model = Model(script=talks)
    graph = agent(model, tmp_path / "j.db", InMemorySaver(), strict=False)
    with capture_logs() as logs:
        found = graph.invoke(said(0), THREAD)
    assert found["messages"][-1].text == "answer 0"
    assert texts(model.sent[0]) == ["Please go on with part 0."]
    assert {log["event"] for log in logs} == {"the model gets its messages unpaged"}
    with pytest.raises(Exception, match=r"j\.db"):
        agent(model, tmp_path / "j.db", InMemorySaver()).invoke(said(0), THREAD)


def test_a_budget_that_is_too_small_is_a_warning():
    """What does not fit is named, and the agent goes on."""
    _, _, graph = one(talks, budget_tokens=20)
    with capture_logs() as logs:
        graph.invoke(said(0), THREAD)
    assert {log["event"] for log in logs} == {"the budget is too small"}


def test_a_run_without_a_thread_needs_a_name():
    """Without a thread_id the refusal says what to do; with a name given, rules can be written beforehand."""
    with memory_journal() as journal:
        nameless = create_agent(Model(script=talks), [], middleware=[ClawVMMiddleware(journal)])
        with pytest.raises(UsageError, match="without a thread_id"):
            nameless.invoke(said(0))
        middleware = ClawVMMiddleware(journal, session="mine", **options())
        middleware.session("mine").write_page("bootstrap", "Never push.", slot="rules")
        model = Model(script=talks)
        create_agent(model, [], middleware=[middleware]).invoke(said(0))
        assert "Never push." in texts(model.sent[0])[0]
        middleware.close()


def test_the_middleware_names_its_extra_where_it_is_missing(monkeypatch: pytest.MonkeyPatch):
    """Without LangChain the import fails with one line that says what to install."""
    monkeypatch.delitem(sys.modules, ClawVMMiddleware.__module__)
    monkeypatch.setitem(sys.modules, "langchain.agents.middleware", None)
    with pytest.raises(ImportError, match=r"pip install 'clawvm-es\[langchain\]'$"):
        importlib.import_module(ClawVMMiddleware.__module__)
