"""OpenHands sessions: answers of one response, causes, condensations, recalled skills; counts of real files."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import read, read_bytes
from clawvm_es.importers.openhands import parse
from clawvm_es.model.events import PageWritten
from clawvm_es.model.facts import Boundary, Cut, Finish, ReturnStatus
from clawvm_es.model.pages import PageType
from clawvm_es.observe.steps import (
    ModelMessage,
    SkillLoaded,
    Summary,
    SystemMessage,
    ToolResult,
    Usage,
    UserMessage,
)
from tests.importers.texts import finished, texts_in


def event(number: int, source: str = "agent", **fields: Any) -> dict[str, Any]:
    """An event."""
    return {"id": number, "timestamp": f"2026-01-01T00:00:{number:02}.000", "source": source, **fields}


def response(number: int, *calls: tuple[str, str, Any], text: str = "I look") -> dict[str, Any]:
    """A response of the model."""
    told = [{"id": i, "function": {"name": name, "arguments": json.dumps(given)}} for i, name, given in calls]
    return {
        "id": f"r{number}",
        "model": "m",
        "choices": [{"finish_reason": "tool_calls", "message": {"content": text, "tool_calls": told}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}},
    }


def action(number: int, told: dict[str, Any], call_id: str = "t1", kind: str = "run", **args: Any) -> dict[str, Any]:
    """A call of the agent."""
    metadata = {"function_name": "execute_bash", "tool_call_id": call_id, "model_response": told}
    return event(number, action=kind, args=args, tool_call_metadata=metadata)


def result(number: int, cause: int, content: str, kind: str = "run", **more: Any) -> dict[str, Any]:
    """The observation that an action caused."""
    return event(number, observation=kind, cause=cause, content=content, **more)


@pytest.fixture
def session() -> Callable[..., Any]:
    """The session of events."""
    return lambda *events: parse(json.dumps({"instance_id": "a-1", "history": events}).encode(), "f")[0]


def test_real_sessions_are_counted_as_their_events_have_it(traces: Path) -> None:
    """Turns, calls, results and tokens of each session equal those of its events and of its own sums."""
    (path,) = (traces / "openhands").iterdir()
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    found = read(path)
    assert len(found) == len(lines) == len({recording.session_id for recording in found}) == 3
    for raw, recording in zip(lines, found, strict=True):
        events = raw["history"]
        calls = [e for e in events if e.get("action") and e.get("tool_call_metadata")]
        responses = {e["tool_call_metadata"]["model_response"]["id"] for e in calls}
        causes = {e["id"] for e in calls} & {e.get("cause") for e in events}
        answers = [s for s in recording.steps if isinstance(s, ModelMessage)]
        total = raw["metrics"]["accumulated_token_usage"]
        assert recording.session_id.endswith(raw["instance_id"]) and recording.format == "openhands"
        assert recording.turns == len(responses) == len(raw["metrics"]["token_usages"])
        assert recording.tool_calls == len(calls)
        assert sum(isinstance(s, ToolResult) for s in recording.steps) == len(causes)
        assert sum(s.usage.input_tokens for s in answers) == total["prompt_tokens"]
        assert sum(s.usage.output_tokens for s in answers) == total["completion_tokens"]
        prompts = [s.text for s in recording.steps if isinstance(s, UserMessage) and not s.harness]
        assert prompts == [e["args"]["content"] for e in events if e.get("action") == "message"]
        assert not recording.skipped.keys() - {"call_without_result", "mirrored", "empty_message"}


def test_what_another_agent_did_is_not_in_the_context_of_the_one_that_asked_it(session: Any) -> None:
    """Between a delegation and what it returns stand another agent's events: they are counted, and none is a step."""
    asked = event(2, action="delegate", args={"agent": "BrowsingAgent", "inputs": {"task": "look"}, "thought": "ask"})
    others = [
        event(3, "user", action="message", args={"content": "CANARY"}),
        event(4, action="browse", args={"url": "CANARY"}),
        result(5, 4, "CANARY", "browse"),
        event(6, action="finish", args={"outputs": {"x": "CANARY"}}),
    ]
    done = event(8, action="message", args={"content": "done"})
    whole = session(
        event(1, "user", action="message", args={"content": "go"}), asked, *others, result(7, 2, "found"), done
    )
    steps = [type(step) for step in whole.steps]
    assert steps == [UserMessage, ModelMessage, ToolResult, ModelMessage]
    assert whole.skipped == {"other_model_call": 4} and "CANARY" not in str(whole.steps)
    cut = session(event(1, "user", action="message", args={"content": "go"}), asked, *others)
    assert cut.steps == whole.steps[:2] and cut.skipped == {"other_model_call": 4, "call_without_result": 1}


def test_what_a_shell_says_of_a_command_is_in_its_result(session: Any) -> None:
    """The folder, the interpreter and the code stand below the output; -1 is no code: the command still runs."""
    told = {"exit_code": -1, "working_dir": "/w", "py_interpreter_path": "/p", "prefix": "[before]\n"}
    recording = session(action(1, response(1), "t1", command="ls"), result(2, 1, "a", extras={"metadata": told}))
    last = recording.steps[-1]
    assert isinstance(last, ToolResult)
    assert last.text == "[before]\na\n[Current working directory: /w]\n[Python interpreter: /p]"


def test_an_identity_that_stays_while_the_file_grows(traces: Path) -> None:
    """A session cut after any event has the same id, and its finished steps are the first of the whole."""
    (path,) = (traces / "openhands").iterdir()
    raw = json.loads(path.read_bytes().splitlines()[1])
    whole = parse(json.dumps(raw).encode(), "f")[0]
    for cut in range(2, len(raw["history"]), 3):
        (part,) = parse(json.dumps({**raw, "history": raw["history"][:cut]}).encode(), "f")
        done = finished(part)
        assert (part.session_id, done) == (whole.session_id, whole.steps[: len(done)]), cut


def test_calls_of_one_response_are_one_answer(session: Any) -> None:
    """Parallel calls are one turn with its text and usage once; their arguments are those that the model wrote."""
    told = response(1, ("t1", "execute_bash", {"command": "ls"}), ("t2", "think", {"thought": "hm"}))
    recording = session(
        action(1, told, "t1", command="ls", thought="I look"),
        result(2, 1, "a", extras={"metadata": {"exit_code": 2, "working_dir": "/w", "suffix": "\n[code 2]"}}),
        action(3, told, "t2", "think", thought="hm"),
        result(4, 3, "logged", "think"),
        action(5, response(2), "t9", command="pwd"),
    )
    ended = "[Command finished with exit code {}]"
    first, second = (s for s in recording.steps if isinstance(s, ModelMessage))
    assert (first.texts, first.model, first.finish) == (("I look",), "m", Finish.TOOL_CALLS)
    assert first.usage == second.usage == Usage(10, 4, 2)
    assert [(use.name, dict(use.arguments)) for use in first.calls] == [
        ("execute_bash", {"command": "ls"}),
        ("think", {"thought": "hm"}),
    ]
    assert [(use.name, dict(use.arguments), use.cwd) for use in second.calls] == [
        ("execute_bash", {"command": "pwd"}, "/w")
    ]
    assert [(s.call, s.text, s.status) for s in recording.steps if isinstance(s, ToolResult)] == [
        (1, f"a\n[code 2]\n[Current working directory: /w]\n{ended.format(2)}", ReturnStatus.ERROR),
        (2, "logged", ReturnStatus.OK),
    ]


def test_a_call_is_found_by_its_id(session: Any) -> None:
    """Of calls that share an id the first is meant; an action without an id is no call that has none either."""
    twice = response(1, ("t1", "execute_bash", {"command": "ls"}), ("t1", "execute_bash", {"command": "pwd"}))
    nameless = response(2, ("", "think", {"thought": "hm"}))
    recording = session(action(1, twice, "t1", command="ls"), action(2, nameless, "", command="id"))
    uses = [use for step in recording.steps if isinstance(step, ModelMessage) for use in step.calls]
    assert [(use.name, dict(use.arguments)) for use in uses] == [
        ("execute_bash", {"command": "ls"}),
        ("execute_bash", {"command": "id"}),
    ]


def test_results_without_a_cause(session: Any) -> None:
    """A result may name its call by the model's id; an observation that names none is harness text."""
    told = {"tool_call_id": "t1"}
    recording = session(
        action(1, response(1), command="ls"),
        event(2, observation="run", content="a", tool_call_metadata=told),
        event(3, observation="error", content="No such tool."),
        event(4, observation="edit", cause=1, content="ERROR:\nno"),
    )
    assert recording.steps[1].text == "a" and recording.skipped == {"duplicate_result": 1}
    assert (recording.steps[2].text, recording.steps[2].harness) == ("No such tool.", True)


def test_usage_of_messages_is_what_the_sum_grew_by(session: Any) -> None:
    """An answer without a response of its own has what the accumulated usage has grown by."""
    sums = [
        {"accumulated_token_usage": {"prompt_tokens": n, "cache_read_tokens": 1, "completion_tokens": 2}}
        for n in (5, 12)
    ]
    recording = session(
        event(1, action="message", args={"content": "one"}, llm_metrics=sums[0]),
        event(2, "user", action="message", args={"content": "go on"}),
        event(3, action="message", args={"content": "two"}, llm_metrics=sums[1]),
        event(4, action="message", args={"content": "three"}),
    )
    answers = [s for s in recording.steps if isinstance(s, ModelMessage)]
    assert [(s.texts, s.usage) for s in answers] == [
        (("one",), Usage(5, 1, 2)),
        (("two",), Usage(7, 0, 0)),
        (("three",), Usage()),
    ]


@pytest.mark.parametrize(
    "forgotten", [{"forgotten_event_ids": [1, 2]}, {"forgotten_events_start_id": 1, "forgotten_events_end_id": 2}]
)
def test_a_condensation_forgets_events(session: Any, forgotten: Any) -> None:
    """Forgotten events leave the context for good, the summary takes their place, others stay."""
    recording = session(
        event(0, "user", action="message", args={"content": "fix"}),
        action(1, response(1), command="ls"),
        result(2, 1, "a"),
        action(3, response(2), command="pwd"),
        result(4, 3, "b"),
        event(5, action="condensation", args={**forgotten, "summary": "We looked."}),
        event(6, action="condensation", args={"forgotten_event_ids": [3]}),
    )
    first, summary, second = recording.steps[-3:]
    assert (first.boundary, first.cut, first.kept_lines) == (Boundary.COMPACT, Cut.COMPACT, frozenset((1, 4, 5)))
    assert isinstance(summary, Summary) and summary.text == "We looked."
    assert second.kept_lines == frozenset((1, 5, 6))


def test_recalled_knowledge_and_system_prompts(session: Any, translate: Any) -> None:
    """Instructions of the workspace are harness text, recalled knowledge skills, the first action the prompt's."""
    extras = {"repo_instructions": "Use make.", "microagent_knowledge": [{"name": "git", "content": "Use git."}, {}]}
    recording = session(
        event(0, action="system", args={"content": "You are an agent."}),
        event(1, "user", action="recall", args={"query": "x"}),
        event(2, "environment", observation="recall", cause=1, content="Added", extras=extras),
    )
    system, heard, skill = recording.steps
    assert isinstance(system, SystemMessage) and isinstance(skill, SkillLoaded)
    assert (heard.harness, skill.name, recording.skipped) == (True, "git", {"empty_message": 1, "mirrored": 1})
    assert [c.data.page_type for c in translate(recording) if isinstance(c.data, PageWritten)][
        -1
    ] is PageType.BOOTSTRAP


def test_plans_of_tasks(session: Any, translate: Any) -> None:
    """`task_tracker` states the plan; one whose tasks are done is no longer active."""
    tasks = {"command": "plan", "task_list": [{"title": "look", "status": "done", "notes": ""}]}
    recording = session(action(1, response(1, ("t1", "task_tracker", tasks))), result(2, 1, "ok"))
    (page,) = [
        c.data for c in translate(recording) if isinstance(c.data, PageWritten) and c.data.page_type is PageType.PLAN
    ]
    assert not page.active


def sdk(kind: str, source: str = "agent", **fields: Any) -> dict[str, Any]:
    """An event of the agent SDK."""
    return {"kind": kind, "id": f"e{next(NUMBERS)}", "timestamp": "2026-01-01T00:00:01", "source": source, **fields}


NUMBERS = itertools.count()


def text(value: str) -> dict[str, str]:
    """A text block."""
    return {"type": "text", "text": value}


def act(call_id: str, arguments: Any, **fields: Any) -> dict[str, Any]:
    """A call of the agent SDK."""
    call = {"id": call_id, "name": "terminal", "arguments": json.dumps(arguments), "origin": "completion"}
    return sdk(
        "ActionEvent", tool_name="terminal", tool_call_id=call_id, tool_call=call, llm_response_id="r1", **fields
    )


def test_events_of_the_agent_sdk(session: Any) -> None:
    """Calls of one response are one answer, results name them by the model's ids, a condensation forgets events."""
    prompt = sdk(
        "MessageEvent",
        "user",
        llm_message={"role": "user", "content": [text("fix")]},
        extended_content=[text("skill")],
    )
    ends = {"content": [text("a")], "exit_code": 1, "metadata": {"working_dir": "/w"}}
    events = [
        sdk("SystemPromptEvent", system_prompt=text("You are an agent."), tools=[]),
        prompt,
        act("c1", {"command": "ls"}, thought=[text("I look")], reasoning_content="hm"),
        act("c2", {"command": "pwd"}, thought=[], reasoning_content="hm"),
        sdk(
            "ObservationEvent",
            "environment",
            tool_name="terminal",
            tool_call_id="c2",
            observation=ends,
            action_id="x",
        ),
        sdk("AgentErrorEvent", tool_name="terminal", tool_call_id="c1", error="no"),
        sdk("Condensation", "environment", forgotten_event_ids=[], summary="We looked."),
        sdk("MessageEvent", llm_message={"role": "assistant", "content": [text("done")]}, llm_response_id="r2"),
        sdk("ConversationStateUpdateEvent", "environment", key="x", value="y"),
    ]
    events[6]["forgotten_event_ids"] = [events[2]["id"], events[3]["id"]]
    recording = session(*events)
    system, user, skill, answer, second, first, dropped, summary, done = recording.steps
    assert isinstance(system, SystemMessage) and (user.harness, skill.harness, skill.text) == (False, True, "skill")
    assert (answer.texts, answer.thinking, len(answer.calls)) == (("I look",), ("hm",), 2)
    assert [(s.call, s.text, s.status) for s in (second, first)] == [
        (2, "a\n[Current working directory: /w]", ReturnStatus.ERROR),
        (1, "no", ReturnStatus.ERROR),
    ]
    assert dropped.kept_lines == frozenset((1, 2, 5, 6)) and summary.text == "We looked."
    assert done.texts == ("done",) and recording.turns == 2 and recording.skipped == {"system_notice": 1}
    assert read_bytes(json.dumps(events).encode(), "f")[0].format == "openhands"


SEEN = [
    sdk("SystemPromptEvent", system_prompt=text("CANARY")),
    sdk("SystemPromptEvent", system_prompt=text("x"), dynamic_context=text("CANARY")),
    sdk("MessageEvent", "user", llm_message={"content": [text("CANARY")]}),
    sdk("MessageEvent", "user", llm_message={"content": []}, extended_content=[text("CANARY")]),
    sdk("MessageEvent", llm_message={"content": [text("CANARY")]}),
    sdk("MessageEvent", llm_message={"content": [text("x")], "reasoning_content": "CANARY"}),
    act("c1", {"command": "CANARY"}),
    act("c1", {}, thought=[text("CANARY")]),
    sdk("ObservationEvent", tool_call_id="c", observation={"content": [text("CANARY")]}),
    sdk("ObservationEvent", tool_call_id="c", observation={"output": "CANARY"}),
    sdk("ObservationEvent", tool_call_id="c", observation={"content": []}, extended_content=[text("CANARY")]),
    sdk("UserRejectObservation", tool_call_id="c", rejection_reason="CANARY"),
    sdk("AgentErrorEvent", tool_call_id="c", error="CANARY"),
    sdk("Condensation", summary="CANARY"),
    event(1, action="system", args={"content": "CANARY"}),
    event(1, "user", action="message", args={"content": "CANARY"}),
    event(1, action="message", args={"content": "CANARY"}),
    event(1, action="run", args={"command": "CANARY"}),
    event(1, "user", action="run", args={"command": "CANARY"}),
    event(1, action="read", args={"path": "x", "thought": "CANARY"}),
    action(1, response(1, text="CANARY")),
    action(1, response(1, ("t1", "execute_bash", {"command": "CANARY"}))),
    event(1, observation="run", content="CANARY"),
    event(1, observation="run", content="x", extras={"metadata": {"suffix": "CANARY"}}),
    result(1, 9, "CANARY"),
    event(1, observation="recall", extras={"repo_instructions": "CANARY"}),
    event(1, observation="recall", extras={"additional_agent_instructions": "CANARY"}),
    event(1, observation="recall", extras={"microagent_knowledge": [{"content": "CANARY"}]}),
    event(1, action="condensation", args={"summary": "CANARY"}),
]
UNSEEN = [
    sdk("ConversationStateUpdateEvent", value="CANARY"),
    sdk("NewEvent", text="CANARY"),
    event(1, "user", action="recall", args={"query": "CANARY"}),
    event(1, action="change_agent_state", args={"agent_state": "CANARY"}),
    event(1, observation="agent_state_changed", content="CANARY"),
    event(1, action="condensation_request", args={"x": "CANARY"}),
    event(1, "environment", action="new", args={"x": "CANARY"}),
    event(1, message="CANARY"),
    event(1, observation="recall", content="CANARY"),
]


@pytest.mark.parametrize("planted", SEEN, ids=range(len(SEEN)))
def test_what_the_model_saw_is_in_a_body(session: Any, vault: Any, translate: Any, planted: Any) -> None:
    """A text planted in any event that the model saw or wrote stands in the journal."""
    assert any("CANARY" in text for text in texts_in(translate(session(planted)), vault))


@pytest.mark.parametrize("planted", UNSEEN, ids=range(len(UNSEEN)))
def test_what_the_model_did_not_see_is_counted(session: Any, vault: Any, translate: Any, planted: Any) -> None:
    """A text planted elsewhere stands nowhere, and the event is counted by its reason."""
    recording = session(planted)
    assert not any("CANARY" in text for text in texts_in(translate(recording), vault))
    assert sum(recording.skipped.values()) == 1


def test_lists_pairs_and_bad_sessions() -> None:
    """A bare list of events is a session, pairs are two events, a bad line is counted and the others are read."""
    said = event(1, "user", action="message", args={"content": "hi"})
    pair = [event(2, action="run", args={"command": "ls"}), result(3, 2, "a")]
    (bare,) = read_bytes(json.dumps([said, *pair]).encode(), "f")
    lines = [
        {"instance_id": "a", "history": [[said, pair[0]], pair[1:]]},
        {"history": 7},
        {"instance_id": "b", "history": []},
    ]
    paired, other = read_bytes("".join(f"{json.dumps(line)}\n" for line in lines).encode(), "f")
    assert bare.steps == paired.steps and paired.skipped == {"malformed_record": 1} and not other.steps
    with pytest.raises(UnreadableInput, match="f: holds no session"):
        read_bytes(b"[{}]", "f", "openhands")
