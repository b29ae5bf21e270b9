"""Inspect logs as JSON and as archives: attachments, pools, other calls, errors; counts of real files."""

from __future__ import annotations

import io
import json
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawvm_es import limits
from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import detect, read, read_bytes
from clawvm_es.importers.inspect import parse
from clawvm_es.model.facts import Cut, Finish, ReturnStatus
from clawvm_es.observe.steps import ContextDropped, ModelMessage, Summary, ToolResult, Usage, UserMessage
from tests.importers.texts import texts_in

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

HASH = "a" * 32


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    """A message."""
    return {"role": role, "content": content, **more}


def model(prompt: Any, answer: Any, **more: Any) -> dict[str, Any]:
    """A call of the model."""
    output = {"model": "m", "choices": [{"message": answer, "stop_reason": "stop"}], "usage": more.pop("usage", {})}
    return {
        "event": "model",
        "timestamp": "2026-01-01T00:00:01+00:00",
        "completed": "2026-01-01T00:00:03+00:00",
        "input": prompt,
        "output": output,
        **more,
    }


def log(*samples: Any) -> bytes:
    """A log as JSON."""
    return json.dumps({"version": 2, "status": "success", "eval": {"run_id": "r"}, "samples": samples}).encode()


def archive(entries: dict[str, Any], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A log as an archive; a text stands for itself."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, value in entries.items():
            file.writestr(name, value if isinstance(value, (str, bytes)) else json.dumps(value))
    return out.getvalue()


@pytest.fixture
def session() -> Callable[..., Any]:
    """The session of a sample."""
    return lambda messages=(), events=(), **more: parse(
        log({"id": 1, "epoch": 1, "messages": list(messages), "events": list(events), **more}), "f"
    )[0]


def test_real_logs_are_counted_as_their_samples_have_it(traces: Path) -> None:
    """Turns, calls, results, prompts and tokens of each sample equal those of its messages and its own sums."""
    for path in sorted((traces / "inspect").iterdir()):
        raw = json.loads(path.read_bytes())
        found = read(path)
        assert len(found) == len(raw["samples"])
        for sample, recording in zip(raw["samples"], found, strict=True):
            answers = [m for m in sample["messages"] if m["role"] == "assistant"]
            results = [m for m in sample["messages"] if m["role"] == "tool"]
            steps = [s for s in recording.steps if isinstance(s, ModelMessage)]
            assert recording.turns == len(answers), path.name
            assert recording.tool_calls == sum(len(m.get("tool_calls") or ()) for m in answers), path.name
            told = [s for s in recording.steps if isinstance(s, ToolResult)]
            assert [s.text for s in told] == [m["content"] for m in results if "limit of" not in str(m)] + [
                s.text for s in told if "limit of" in s.text
            ], path.name
            assert [s.status for s in told] == [
                ReturnStatus.ERROR if m.get("error") else ReturnStatus.OK for m in results
            ]
            prompts = [s.text for s in recording.steps if isinstance(s, UserMessage)]
            assert prompts == [m["content"] for m in sample["messages"] if m["role"] == "user"]
            totals = list(sample.get("model_usage", {}).values())
            for name, mine in (
                ("input_tokens", sum(s.usage.input_tokens for s in steps)),
                ("output_tokens", sum(s.usage.output_tokens for s in steps)),
                ("input_tokens_cache_read", sum(s.usage.cached_tokens for s in steps)),
            ):
                assert mine == sum(total[name] for total in totals), (path.name, name)
            assert not any("attachment://" in str(s) for s in recording.steps)


def test_a_json_log_and_its_archive_say_the_same(traces: Path) -> None:
    """The archive of a log has the sessions of its JSON, told by its content."""
    path = traces / "inspect" / "2025-05-12T20-27-36-04-00_browser.json"
    raw = json.loads(path.read_bytes())
    (sample,) = raw["samples"]
    header = {name: value for name, value in raw.items() if name != "samples"}
    data = archive({"header.json": header, "samples/1_epoch_1.json": sample, "summaries.json": []})
    (packed,) = read_bytes(data, "f")
    (plain,) = read(path)
    assert (packed.session_id, packed.steps, packed.format) == (plain.session_id, plain.steps, "inspect")


def test_archives_whose_entries_zstd_packed(tmp_path: Path) -> None:
    """An entry that zstd packed is read, though `zipfile` cannot."""
    sample = {"id": 1, "epoch": 1, "messages": [said("user", "hi")]}
    data = bytearray(
        archive({"samples/1_epoch_1.json": zstd.compress(json.dumps(sample).encode())}, zipfile.ZIP_STORED)
    )
    for signature, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", data, data.find(signature) + place, 93)
    path = tmp_path / "file"
    path.write_bytes(data)
    assert detect(path) == "inspect" and read(path)[0].steps[0].text == "hi"


def test_bad_archives_are_refused_and_bad_samples_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bombs and damaged archives are refused in one line; a sample that is no JSON is counted, others are read."""
    good = {"id": 1, "messages": [said("user", "hi")]}
    (recording,) = read_bytes(archive({"samples/1.json": good, "samples/2.json": "{", "samples/3.json": "7"}), "f")
    assert recording.skipped == {"malformed_record": 2}
    with pytest.raises(UnreadableInput, match="f: unpacks to more than 200 times"):
        read_bytes(archive({f"samples/{n}.json": bytes(400_000) for n in range(9)}), "f")
    monkeypatch.setattr(limits, "UNPACKED_BYTES_MAX", 1_000)
    with pytest.raises(UnreadableInput, match="f: unpacks to more than"):
        read_bytes(archive({f"samples/{n}.json": json.dumps(good) * 5 for n in range(9)}, zipfile.ZIP_STORED), "f")
    torn = bytearray(archive({"samples/1.json": json.dumps(good) * 5}))
    torn[40:60] = b"\xff" * 20
    for data in (bytes(torn), archive({"samples/1.json": good})[:-20]):
        with pytest.raises(UnreadableInput, match="f: is a damaged zip file") as caught:
            read_bytes(data, "f", "inspect")
        assert "\n" not in str(caught.value)
    with pytest.raises(UnreadableInput, match="f: holds no samples"):
        read_bytes(archive({"header.json": {}}), "f")
    with pytest.raises(UnreadableInput, match="a zip archive without an Inspect log"):
        read_bytes(archive({"other.txt": "x"}), "f")


def test_answers_have_their_events_facts(session: Any) -> None:
    """Usage, model, times and finish are the event's; the input has the cached tokens where the total has."""
    one, two = said("assistant", "one", id="a1"), said("assistant", "two", id="a2")
    usage = {"input_tokens": 5, "output_tokens": 2, "input_tokens_cache_read": 3, "input_tokens_cache_write": 1}
    ask = said("user", "hi", id="u1")
    recording = session(
        [ask, one, two],
        [
            model([ask], one, usage={**usage, "total_tokens": 11, "reasoning_tokens": 1}),
            model([ask, one], two, usage={**usage, "total_tokens": 7}),
        ],
    )
    first, second = (s for s in recording.steps if isinstance(s, ModelMessage))
    assert (first.usage, second.usage) == (Usage(9, 3, 2, 1, 1), Usage(5, 3, 2, 1))
    assert (first.model, first.finish, first.at_us - first.began_us) == ("m", Finish.STOP, 2_000_000)


def test_attachments_resolve(session: Any) -> None:
    """Texts, images and arguments that name an attachment have its text; one that is missing is counted."""
    call = {"id": "c1", "function": "bash", "arguments": {"cmd": f"attachment://{HASH}", "n": 1}}
    blocks = [{"type": "text", "text": f"see tc://{HASH}"}, {"type": "image", "image": f"attachment://{'b' * 32}"}]
    recording = session(
        [said("user", blocks), said("assistant", f"attachment://{'c' * 32}", tool_calls=[call])],
        attachments={HASH: "the text", "b" * 32: "data:image/png;base64,AAAA"},
    )
    prompt, answer = recording.steps
    assert (prompt.text, prompt.images[0].size_bytes) == ("see the text", 3)
    assert dict(answer.calls[0].arguments) == {"cmd": "the text", "n": 1}
    assert recording.skipped["missing_attachment"] == 1


def test_calls_of_others_are_counted(session: Any) -> None:
    """A call that shares no message with the conversation belongs to a grader or another agent."""
    ask, answer = said("user", "hi", id="u1"), said("assistant", "yes", id="a1")
    graded = model([said("user", "Is it right?", id="u9")], said("assistant", "CORRECT", id="a9"))
    recording = session([ask, answer], [model([ask], answer), graded, model([], answer, output={})])
    assert recording.turns == 1 and recording.skipped == {"empty_turn": 1, "other_model_call": 1}


def test_events_of_no_known_kind_are_counted(session: Any) -> None:
    """An event of a kind that nobody knows is an unknown record, one without a kind a malformed one."""
    answer = model([said("user", "hi", id="u1")], said("assistant", "yes", id="a1"))
    recording = session([], [{"event": "weather"}, {"event": ""}, {}, answer])
    assert recording.skipped == {"unknown_record": 1, "malformed_record": 2}


def test_prompts_that_lack_messages(session: Any) -> None:
    """A prompt without earlier messages dropped them; a text in their place is the summary, also from a pool."""
    ask, one, two = said("user", "hi", id="u1"), said("assistant", "one", id="a1"), said("assistant", "two", id="a2")
    more, summary = said("user", "go on", id="u2"), said("user", "We said one.", id="u3")
    events = [model([ask], one), model([], two, input_refs=[[0, 1], [1, 2], ["x"]])]
    recording = session([ask, one, more, two], events, message_pool=[summary, more])
    assert recording.steps[2].cut is Cut.CLEAR and recording.steps[3].text == "We said one."
    events = [
        model([ask], one),
        model([ask, one, more], two),
        model([summary, more, two], said("assistant", "x", id="a3")),
    ]
    recording = session([ask, one, more, two], events, events_data={"messages": []})
    dropped, told = recording.steps[4:6]
    assert isinstance(dropped, ContextDropped) and dropped.cut is Cut.COMPACT
    assert isinstance(told, Summary) and told.text == "We said one."


SEEN = [
    [said("system", "CANARY")],
    [said("user", "CANARY")],
    [said("user", [{"type": "text", "text": "CANARY"}])],
    [said("assistant", "CANARY")],
    [said("assistant", [{"type": "reasoning", "reasoning": "CANARY"}, {"type": "text", "text": "x"}])],
    [said("assistant", "", tool_calls=[{"id": "c", "function": "f", "arguments": {"a": "CANARY"}}])],
    [said("tool", "CANARY", tool_call_id="c")],
    [said("tool", "", tool_call_id="c", error={"type": "timeout", "message": "CANARY"})],
]
UNSEEN: list[tuple[list[Any], list[Any]]] = [
    ([said("new", "CANARY")], []),
    ([said("user", [{"type": "new", "text": "CANARY"}, {"type": "text", "text": "x"}])], []),
    ([said("user", "x", id="u")], [model([said("user", "CANARY")], said("assistant", "CANARY"))]),
    ([], [{"event": "new", "data": "CANARY"}]),
]


@pytest.mark.parametrize("planted", SEEN, ids=range(len(SEEN)))
def test_what_the_model_saw_is_in_a_body(session: Any, vault: Any, translate: Any, planted: Any) -> None:
    """A text planted in any message that the model saw or wrote stands in the journal, with or without its event."""
    assert any("CANARY" in text for text in texts_in(translate(session(planted)), vault))
    shown = session([], [model(planted, said("assistant", "ok"))])
    assert any("CANARY" in text for text in texts_in(translate(shown), vault))


@pytest.mark.parametrize("planted", UNSEEN, ids=range(len(UNSEEN)))
def test_what_the_model_did_not_see_is_counted(session: Any, vault: Any, translate: Any, planted: Any) -> None:
    """A text planted elsewhere stands nowhere, and is counted by its reason."""
    recording = session(*planted)
    assert not any("CANARY" in text for text in texts_in(translate(recording), vault))
    assert sum(recording.skipped.values()) == 1


def test_identities() -> None:
    """A sample is named by its own id, else by its run, its place and its first message; the same one comes once."""
    sample = {"id": 1, "epoch": 1, "messages": [said("user", "hi")], "uuid": "abcdefgh1"}
    other = {"id": 1, "epoch": 2, "messages": [said("user", "hi")]}
    first, second = parse(log(sample, other, other, 7), "f")
    assert first.session_id == "inspect-abcdefgh1" and second.session_id.startswith("inspect-")
    assert (first.skipped, second.skipped) == ({"malformed_record": 1}, {"duplicate_record": 1})


def test_a_sample_without_events_begins_at_no_time() -> None:
    """Its messages are said all the same, and a session is opened for them."""
    (recording,) = parse(log({"id": 1, "epoch": 1, "messages": [said("user", "hi"), said("assistant", "ok")]}), "x")
    assert recording.began_us == 0
    assert [type(step) for step in recording.steps] == [UserMessage, ModelMessage]


@pytest.mark.parametrize(("events", "counted"), [([], 1), ([model([], said("assistant", "a"))], 0)])
def test_tokens_that_are_told_in_total_alone_are_counted(session: Any, events: list[Any], counted: int) -> None:
    """A sample without calls of the model tells its tokens for no answer; with calls, each tells its own."""
    messages = [said("user", "a"), said("assistant", "a")]
    recording = session(messages, events, model_usage={"m": {"input_tokens": 3}})
    assert recording.skipped.get("usage_without_answer", 0) == counted
