"""SWE-agent trajectories of both generations: calls, observations, elided ones, demonstrations; real counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import read, read_bytes
from clawvm_es.importers.sweagent import parse
from clawvm_es.model.facts import Boundary, Cut, ReturnStatus
from clawvm_es.observe.steps import ContextDropped, ModelMessage, SystemMessage, ToolResult, Usage, UserMessage
from tests.importers.texts import finished, texts_in


def said(role: str, content: Any = "", **more: Any) -> dict[str, Any]:
    """A message of the history."""
    return {"role": role, "content": content, "agent": "main", **more}


def called(name: str, arguments: Any, call_id: str = "c1", text: str = "") -> dict[str, Any]:
    """An answer with a call."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return said("assistant", text, tool_calls=[{"id": call_id, "type": "function", "function": function}])


@pytest.fixture
def session() -> Callable[..., Any]:
    """The session of a history and a trajectory."""

    def session(*history: Any, steps: Any = ()) -> Any:
        return parse(json.dumps({"history": history, "trajectory": list(steps), "info": {}}).encode(), "f")[0]

    return session


def test_real_trajectories_are_counted_as_their_histories_have_it(traces: Path) -> None:
    """Turns, calls, results, prompts and elided results of each trajectory equal those of its raw JSON."""
    for path in sorted((traces / "sweagent").iterdir()):
        raw = json.loads(path.read_bytes())
        (recording,) = read(path)
        history = raw["history"]
        answers = [m for m in history if m["role"] == "assistant"]
        observed = [now for then, now in pairwise(history) if then["role"] == "assistant"]
        assert recording.format == "sweagent"
        assert recording.turns == len(answers) == len(raw["trajectory"]), path.name
        assert recording.tool_calls == sum(len(m.get("tool_calls") or [1]) for m in answers), path.name
        results = [s.text for s in recording.steps if isinstance(s, ToolResult)]
        assert results == [m["content"] for m in observed], path.name
        prompts = [(s.text, s.harness) for s in recording.steps if isinstance(s, UserMessage)]
        heads = history[: history.index(answers[0])]
        assert prompts == [(m["content"], m.get("is_demo", False)) for m in heads if m["role"] == "user"], path.name
        given = [step.get("messages", []) for step in raw["trajectory"][:-1]]
        elided = {n for each in given for n, m in enumerate(each, 1) if str(m["content"]).startswith("Old environ")}
        dropped = [s for s in recording.steps if isinstance(s, ContextDropped)]
        last = frozenset(range(1, dropped[-1].lines.first)) - dropped[-1].kept_lines if dropped else set()
        assert last == elided, path.name
        spent = raw["info"]["model_stats"]["tokens_sent"]
        assert recording.skipped.get("usage_without_answer", 0) == bool(spent), path.name
        assert not recording.skipped.keys() - {"call_without_result", "usage_without_answer"}, path.name


def test_an_identity_that_stays_while_the_file_grows(traces: Path) -> None:
    """A trajectory cut after any message has the same id, and its finished steps are the first of the whole."""
    raw = json.loads((traces / "sweagent" / "marshmallow-code__marshmallow-1867.traj").read_bytes())
    whole = parse(json.dumps(raw).encode(), "f")[0]
    for cut in range(3, len(raw["history"])):
        steps = raw["trajectory"][: (cut - 2) // 2]
        (part,) = parse(json.dumps({**raw, "history": raw["history"][:cut], "trajectory": steps}).encode(), "f")
        done = finished(part)
        assert (part.session_id, done) == (whole.session_id, whole.steps[: len(done)]), cut


def test_messages_without_times_are_a_second_apart(session: Any) -> None:
    """The format tells no times: a message is at as many seconds as messages came up to it, results too."""
    recording = session(said("system", "Be brief."), said("user", "look"), called("ls", {}), said("tool", "a"))
    assert recording.began_us == 1_000_000
    assert [step.at_us for step in recording.steps] == [1_000_000, 2_000_000, 3_000_000, 4_000_000]
    assert [step.began_us for step in recording.steps if isinstance(step, ModelMessage)] == [3_000_000]


def test_command_lines_of_the_first_generation(session: Any) -> None:
    """A command of the interface is the tool of that name, any other the shell's; folders are the last told."""
    actions = [
        "open 'a b.py' 3\n",
        "edit 1:2\nx = 1\nend_of_edit",
        "search_dir foo",
        "ls | wc\n",
        "open 'a",
        "open a 1 2 3",
    ]
    history = [said("user", "fix\n(Current directory: /w)\nbash-$")]
    for action in actions:
        history += [said("assistant", "I act", action=action), said("user", "done\n(Current directory: /v)")]
    recording = session(*history)
    uses = [use for s in recording.steps if isinstance(s, ModelMessage) for use in s.calls]
    assert [(use.name, dict(use.arguments)) for use in uses] == [
        ("open", {"path": "a b.py", "line_number": "3"}),
        ("edit", {"range": "1:2", "text": "x = 1\n"}),
        ("search_dir", {"search_term": "foo"}),
        ("bash", {"command": "ls | wc\n"}),
        ("open", {}),
        ("bash", {"command": "open a 1 2 3"}),
    ]
    assert [use.cwd for use in uses] == ["/w", *["/v"] * 5]
    assert len([s for s in recording.steps if isinstance(s, ToolResult)]) == 6 and not recording.skipped


def test_calls_of_the_second_generation(session: Any) -> None:
    """Results name their calls; where they do not, they are those of the calls that wait, in order."""
    both = called("bash", {"command": "ls"})
    both["tool_calls"] += called("open", {"path": "x"}, "c2")["tool_calls"]
    recording = session(
        both,
        said("tool", "two", tool_call_ids=["c2"]),
        said("tool", [{"type": "text", "text": "one"}]),
        called("bash", {}, "", "again"),
        said("tool", "three", tool_call_ids=None),
        steps=[{"state": {"working_dir": "/s"}}],
    )
    assert [(s.call, s.text) for s in recording.steps if isinstance(s, ToolResult)] == [
        (2, "two"),
        (1, "one"),
        (3, "three"),
    ]
    assert [s.calls[0].cwd for s in recording.steps if isinstance(s, ModelMessage)] == ["", "/s"]


def test_elided_observations_left_the_context(session: Any) -> None:
    """What a step's messages hold differently had left the context when its model was asked, each once."""
    history = [said("user", "fix"), called("bash", {}), said("tool", "long", tool_call_ids=["c1"])]
    history += [called("bash", {}, "c2"), said("tool", "b", tool_call_ids=["c2"]), called("bash", {}, "c3")]
    gone = {**history[2], "content": "Old environment output: (1 lines omitted)"}
    given = [history[0], history[1], gone]
    recording = session(*history, steps=[{}, {"query": given}, {"messages": [*given, *history[3:5]]}])
    (dropped,) = (s for s in recording.steps if isinstance(s, ContextDropped))
    assert (dropped.boundary, dropped.cut, dropped.kept_lines) == (Boundary.PRUNE, Cut.MICRO, frozenset((1, 2)))
    assert recording.steps[recording.steps.index(dropped) + 1].calls[0].call == 2


def test_system_prompts_demonstrations_and_thinking(session: Any) -> None:
    """A demonstration is harness text, the first message the system prompt; thinking and images are kept."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    answer = said("assistant", "ok", thinking_blocks=[{"thinking": "hm"}])
    recording = session(said("system", "Rules."), said("user", "demo", is_demo=True), said("user", [image]), answer)
    system, demo, prompt, answered = recording.steps
    assert isinstance(system, SystemMessage) and demo.harness and not prompt.harness
    assert (len(prompt.images), answered.thinking) == (1, ("hm",))


def test_mini_swe_agent() -> None:
    """Commands stand in fences or beside the answer, results are messages of the user, usage is the response's."""
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    messages = [
        said("system", "You are an agent."),
        said("user", "fix it"),
        said("assistant", "I look\n```bash\nls -l\npwd\n```", extra={"response": {"model": "m", "usage": usage}}),
        said("user", "<returncode>2</returncode>\n<output>no</output>"),
        said("assistant", "again", extra={"actions": [{"command": "ls"}]}),
        said("tool", "a", tool_call_id=""),
        said("exit", "Submitted"),
    ]
    data = json.dumps({"trajectory_format": "mini-swe-agent-1.1", "messages": messages, "info": {}}).encode()
    (recording,) = read_bytes(data, "f")
    first, second = (s for s in recording.steps if isinstance(s, ModelMessage))
    assert (recording.format, recording.turns, recording.skipped) == ("sweagent", 2, {"system_notice": 1})
    assert (first.usage, first.model, dict(first.calls[0].arguments)) == (
        Usage(9, 4, 2),
        "m",
        {"command": "ls -l\npwd"},
    )
    assert dict(second.calls[0].arguments) == {"command": "ls"}
    statuses = [(s.call, s.status) for s in recording.steps if isinstance(s, ToolResult)]
    assert statuses == [(1, ReturnStatus.ERROR), (2, ReturnStatus.OK)]
    assert [s.text for s in recording.steps if isinstance(s, UserMessage)] == ["fix it"]


SEEN = [
    said("system", "CANARY"),
    said("user", "CANARY"),
    said("user", "CANARY", is_demo=True),
    said("user", [{"type": "text", "text": "CANARY"}]),
    said("assistant", "CANARY"),
    said("assistant", "x", thinking_blocks=[{"thinking": "CANARY"}]),
    said("assistant", "x", action="CANARY"),
    called("bash", {"command": "CANARY"}),
    said("tool", "CANARY", tool_call_ids=["c1"]),
]
UNSEEN = [said("new", "CANARY"), said("user", ""), said("user", [{"type": "audio", "data": "CANARY"}])]


@pytest.mark.parametrize("planted", SEEN, ids=range(len(SEEN)))
def test_what_the_model_saw_is_in_a_body(session: Any, vault: Any, translate: Any, planted: Any) -> None:
    """A text planted in any message that the model saw or wrote stands in the journal."""
    assert any("CANARY" in text for text in texts_in(translate(session(planted)), vault))


@pytest.mark.parametrize("planted", UNSEEN, ids=range(len(UNSEEN)))
def test_what_the_model_did_not_see_is_counted(session: Any, vault: Any, translate: Any, planted: Any) -> None:
    """A text planted elsewhere stands nowhere, and is counted by its reason."""
    recording = session(planted)
    assert not any("CANARY" in text for text in texts_in(translate(recording), vault))
    assert sum(recording.skipped.values()) >= 1


def test_damaged_files_and_several_sessions() -> None:
    """A file that ends early is refused; of several sessions a bad one is counted and the others are read."""
    good = {"history": [said("user", "hi")], "trajectory": []}
    with pytest.raises(UnreadableInput, match="f: is not JSON"):
        parse(json.dumps(good).encode()[:-4], "f")
    with pytest.raises(UnreadableInput, match="f: holds no session"):
        read_bytes(b"[{}]", "f", "sweagent")
    found = read_bytes(json.dumps([good, {"history": 7}, good]).encode(), "f")
    assert [recording.skipped for recording in found] == [{"duplicate_record": 1, "malformed_record": 1}]
