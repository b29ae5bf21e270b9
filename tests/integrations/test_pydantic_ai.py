"""The capability, in agents of pydantic-ai with scripted models: pairs, budget, prefix, resume, changed histories."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from clawvm_es import Journal
from clawvm_es.journal.lineage import read_session
from clawvm_es.model import events as e
from clawvm_es.model.facts import Finish, ReturnStatus
from clawvm_es.representations.counter import counter
from clawvm_es.representations.messages import Shape, broken
from clawvm_es.representations.messages.framing import count
from clawvm_es.testing import memory_journal
from tests.engine.test_message_agent import number
from tests.integrations.chat import check_readme, spent

pytest.importorskip("pydantic_ai", reason="the extra pydantic-ai is not installed")

from pydantic_ai import Agent, BinaryContent, ModelRetry
from pydantic_ai import messages as m
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage, UsageLimits

from clawvm_es.integrations.pydantic_ai import ClawVMCapability, spoken, told

COUNTER = counter("lines4")
RULE = "You are a careful agent. Run the tests after each change."
EVERY = 8
"""Model calls of one run; the last one calls no tool."""
NAME = "conversation"


def answer(turn: int) -> m.ModelResponse:
    """The answer of the scripted model at a turn."""
    parts: list[Any] = [m.ThinkingPart(f"think of {turn}", signature="c2ln", provider_name="fake")] * (turn % 3 == 1)
    parts.append(m.TextPart(f"Now turn {turn}."))
    if turn % EVERY != EVERY - 1:
        name = "fail" if turn % 11 == 10 else "read"
        parts.append(m.ToolCallPart(name, {"path": f"/src/{number(turn, 12)}.py"}, tool_call_id=f"call_{turn}_0"))
        if turn % 5 == 0:
            parts.append(m.ToolCallPart("read", f'{{"path":"/o_{turn}.py"}}', tool_call_id=f"call_{turn}_1"))
    usage = RequestUsage(input_tokens=100, cache_read_tokens=60, cache_write_tokens=30, output_tokens=20)
    return m.ModelResponse(parts, usage=usage, model_name="m-1", provider_name="fake", finish_reason="tool_call")


class Script:
    """A model that follows a script, and keeps what it is sent."""

    def __init__(self, script: Callable[[int], m.ModelResponse] = answer) -> None:
        self.script = script
        self.sent: list[list[m.ModelMessage]] = []

    def __call__(self, messages: list[m.ModelMessage], info: AgentInfo) -> m.ModelResponse:
        """The answer of this turn."""
        self.sent.append(list(messages))
        return self.script(len(self.sent) - 1)


def agent(model: Any, journal: Any, **more: Any) -> Agent[None, str]:
    """An agent that is paged, with its tools."""
    options = {"counter": "lines4", "budget_tokens": 100_000, "strict": True, "session": NAME, **more}
    made: Agent[None, str] = Agent(
        FunctionModel(model) if isinstance(model, Script) else model,
        instructions=RULE,
        system_prompt="Be brief.",
        capabilities=[ClawVMCapability(journal, **options)],
        retries=3,
    )

    @made.tool_plain
    def read(path: str) -> str:
        lines = (1, 3, 8, 20, 40)[sum(map(ord, path)) % 5]
        return "".join(f"{path}: the content of line {line}\n" for line in range(lines))

    @made.tool_plain
    def fail(path: str) -> str:
        raise ModelRetry(f"{path} cannot be read")

    return made


LIMITS = UsageLimits(request_limit=None)


def run(agents: Callable[[], Agent[None, str]], parts: int, stored: bool = False) -> list[m.ModelMessage]:
    """Run so many parts, each with the history of the one before; the agent is asked for anew before each."""
    history: list[m.ModelMessage] = []
    for part in range(parts):
        done = agents().run_sync(f"Please go on with part {part}.", message_history=history, usage_limits=LIMITS)
        history = done.all_messages()
        if stored:
            history = m.ModelMessagesTypeAdapter.validate_json(m.ModelMessagesTypeAdapter.dump_json(history))
    return history


def shape(sent: list[m.ModelMessage]) -> list[dict[str, Any]]:
    """Messages in OpenAI's shape, converted here part by part; system prompts apart."""
    found: list[dict[str, Any]] = []
    for message in told(spoken(sent)):
        kind = type(message).__name__
        if kind == "Said":
            found.append({"role": "user", "content": message.text})
        elif kind == "Ended":
            found.append({"role": "tool", "tool_call_id": message.call_id, "content": message.text})
        else:
            texts = message.native or [{"type": "text", "text": message.text}]
            content = [item for item in texts if item["type"] != "tool_use" and item.get("text") != ""]
            calls = [
                {"id": call.id, "function": {"name": call.name, "arguments": arguments(call.args)}}
                for call in message.calls
            ]
            found.append({"role": "assistant", "content": content or None, "tool_calls": calls})
    return found


def arguments(args: Any) -> str:
    """The arguments of a call as JSON text."""
    return args if isinstance(args, str) else json.dumps(args, sort_keys=True)


def events(journal: Journal, session_id: str, *kinds: type[e.Event]) -> list[e.Event]:
    """The events of a session that are of some kinds."""
    return [row.data for row in read_session(journal.log, session_id) if isinstance(row.data, kinds)]


@pytest.mark.parametrize(
    ("parts", "budget"), [(6, 2_400), pytest.param(25, 6_000, marks=pytest.mark.sweep(sample=0))]
)
def test_an_agent_with_failing_and_parallel_tools_is_paged(parts, budget):
    """No unpaired call, no prompt over budget, its count exact, most of it a prefix, cheaper than unpaged."""
    with memory_journal() as journal:
        model = Script()
        made = agent(model, journal, budget_tokens=budget)
        history = run(lambda: made, parts)
        rendered, began = events(journal, NAME, e.PromptRendered), events(journal, NAME, e.TurnBegan)
        returned = events(journal, NAME, e.ToolReturned)
    sent = [shape(messages) for messages in model.sent]
    assert len(sent) == len(rendered) == parts * EVERY
    for messages, rendering, turn in zip(sent, rendered, began, strict=True):
        assert broken(messages, Shape.OPENAI) == []
        tokens = count(messages, Shape.OPENAI, COUNTER) + turn.fixed_tokens
        assert abs(tokens - rendering.tokens) * 100 <= rendering.tokens
        assert tokens <= budget
    asked = [history[:place] for place, message in enumerate(history) if isinstance(message, m.ModelResponse)]
    ours, unpaged = spent(sent), spent(map(shape, asked))
    print(f"{len(sent)} turns, {len(returned)} calls, budget {budget}: {ours}; unpaged {unpaged}")
    assert unpaged.most > 2 * budget
    assert ours.paid < unpaged.paid
    assert ours.share >= 75
    if budget == 6_000:
        check_readme(f"at most {ours.most:,} tokens sent, {ours.share} % of them a prefix. It pays")
        check_readme(f"It pays {round(ours.paid / 1000)} thousand input tokens; the whole history costs")
    assert [ended.status for ended in returned].count(ReturnStatus.ERROR) >= parts // 2
    assert len(history) == 2 * len(sent)
    assert all(isinstance(messages[-1], m.ModelRequest) for messages in model.sent)
    assert {messages[-1].instructions for messages in model.sent} == {RULE}


def test_an_agent_that_goes_on_in_another_process_sends_the_same_next(tmp_path: Path):
    """A new capability over a journal that was opened anew, with a history that was stored, sends the same."""
    with memory_journal() as journal:
        whole = Script()
        made = agent(whole, journal, budget_tokens=1_500)
        run(lambda: made, 3)
    model, opened = Script(), list[Journal]()

    def anew() -> Agent[None, str]:
        for journal in opened:
            journal.log.close()  # what the process held is gone
        opened[:] = [Journal.open(tmp_path / "j.db")]
        return agent(model, opened[0], budget_tokens=1_500)

    run(anew, 3, stored=True)
    assert [shape(messages) for messages in model.sent] == [shape(messages) for messages in whole.sent]
    assert [listed.session_id for listed in opened[0].sessions()] == [NAME]


def test_a_run_that_is_tried_again_goes_on_where_the_history_ends():
    """What the ended run recorded beyond the history stays in its line; the second one asks with the same prompt."""
    with memory_journal() as journal:
        model = Script()
        made = agent(model, journal)
        history = run(lambda: made, 1)
        asked = len(model.sent)
        for _ in range(2):
            model.script = lambda turn: answer(EVERY - 1)
            made.run_sync("Please go on.", message_history=history)
        assert shape(model.sent[asked]) == shape(model.sent[asked + 1])
        assert [listed.session_id for listed in journal.sessions()] == [NAME, f"{NAME}~2"]


def test_thoughts_images_and_retries_are_sent_as_they_are():
    """LAW-PYDANTIC-1: the parts of a new exchange are the history's own; a refused call is a failed one."""
    script = [
        m.ModelResponse(
            [
                m.ThinkingPart("an image of a cat", signature="c2ln", provider_name="fake", id="rs_1"),
                m.ToolCallPart("fail", {"path": "a"}, tool_call_id="call_0"),
            ]
        ),
        m.ModelResponse([m.TextPart("a cat")], finish_reason="stop", model_name="m-1"),
    ]
    model = Script(lambda turn: script[turn])
    with memory_journal() as journal:
        image = BinaryContent(b"hallo" * 3_000, media_type="image/png")
        made = agent(model, journal)
        history = made.run_sync(["Look.", image]).all_messages()
        (ended,) = events(journal, NAME, e.ToolReturned)
        answers, rendered = events(journal, NAME, e.ModelResponded), events(journal, NAME, e.PromptRendered)
    assert model.sent[1][1] == history[1]
    assert model.sent[1][0].parts[1] is history[0].parts[1]
    assert model.sent[1][2].parts[0] is history[2].parts[0]
    assert ended.status is ReturnStatus.ERROR
    assert (answers[1].finish, answers[1].input_tokens > 0) == (Finish.STOP, True)
    assert 1_600 < rendered[1].tokens < 2_000


def test_output_tools_and_streams_are_recorded_whole():
    """The result of an output tool ends its call with the run; a streamed answer is recorded once, with its text."""
    with memory_journal() as journal:
        made = Agent(
            TestModel(), output_type=list[int], capabilities=[ClawVMCapability(journal, session=NAME, strict=True)]
        )
        made.run_sync("Count.")
        assert journal.session(NAME).in_flight == ()
        assert len(events(journal, NAME, e.ToolReturned)) == 1

        async def streamed() -> str:
            capability = ClawVMCapability(journal, session="streamed", strict=True)
            async with Agent(TestModel(custom_output_text="one two"), capabilities=[capability]).run_stream(
                "Hi"
            ) as found:
                return await found.get_output()

        text = asyncio.run(streamed())
        session = journal.session("streamed")
        assert [session.read_page(page) for page in session.state.pages] == ["Hi", text]


def test_a_history_that_is_cut_is_followed():
    """Messages that were taken out of the history are in no next prompt, and stay in the journal."""
    with memory_journal() as journal:
        model = Script(lambda turn: m.ModelResponse([m.TextPart(f"answer {turn}")]))
        made = agent(model, journal)
        history = run(lambda: made, 3)
        made.run_sync("And now?", message_history=[*history[:2], *history[4:]])
        texts = [item["content"] for item in shape(model.sent[3])]
        assert "Please go on with part 1." not in texts
        assert texts[-1] == "And now?"
        assert len(texts) == 5
        assert [listed.session_id for listed in journal.sessions()] == [NAME]


def test_a_conversation_has_the_name_that_its_runs_share():
    """Without a name of its own a session has the run's conversation id, which the next run takes over."""
    with memory_journal() as journal:
        made = agent(Script(lambda turn: m.ModelResponse([m.TextPart(f"answer {turn}")])), journal, session=None)
        history = run(lambda: made, 2)
        assert [listed.session_id for listed in journal.sessions()] == [history[0].conversation_id]


def test_a_failure_of_ours_leaves_the_model_its_history(tmp_path: Path):
    """The agent goes on with its own messages and a warning; a strict capability raises."""
    (tmp_path / "j.db").write_text("no journal")
    model = Script(lambda turn: m.ModelResponse([m.TextPart("fine")]))
    with capture_logs() as logs:
        assert agent(model, tmp_path / "j.db", strict=False).run_sync("Hi").output == "fine"
    assert {log["event"] for log in logs} == {"the model gets its messages unpaged"}
    assert [item["content"] for item in shape(model.sent[0])] == ["Hi"]
    with pytest.raises(Exception, match=r"j\.db"):
        agent(model, tmp_path / "j.db").run_sync("Hi")


def test_the_capability_names_its_extra_where_it_is_missing(monkeypatch: pytest.MonkeyPatch):
    """Without pydantic-ai the import fails with one line that says what to install."""
    monkeypatch.delitem(sys.modules, ClawVMCapability.__module__)
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    with pytest.raises(ImportError, match=r"pip install 'clawvm-es\[pydantic-ai\]'$"):
        importlib.import_module(ClawVMCapability.__module__)
