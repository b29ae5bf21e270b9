"""Formats are told by content; what cannot be read is refused in one line with what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clawvm_es.errors import UnreadableInput, UsageError
from clawvm_es.importers import FORMATS, detect, read
from clawvm_es.importers.detect import LOOKED_AT

CLAUDE = '{"type":"user","uuid":"u","sessionId":"s","message":{"role":"user","content":"hi"}}'
PI_USER = '{"type":"message","id":"a","message":{"role":"user","content":"hi"}}'
CHAT = [{"role": "user", "content": "hi"}]


def put(folder: Path, data: bytes | str) -> Path:
    """A file whose name says nothing."""
    path = folder / "file"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (CLAUDE, "claude_code"),
        ("{broken\n\n" + CLAUDE, "claude_code"),
        ("\ufeff" + CLAUDE, "claude_code"),
        ('{"type":"summary","summary":"x","leafUuid":"u"}', "claude_code"),
        ('{"type":"user","uuid":"u","message":{"role":"user","content":"hi"}}', "claude_code"),
        ('{"x":1}\n' * (LOOKED_AT - 1) + CLAUDE + "\n", "claude_code"),
        ('{"type":"session","id":"s","cwd":"/w"}', "pi"),
        ('{"type":"message","id":"a","parentId":null,"message":{"role":"user","content":"x"}}', "pi"),
        (json.dumps(CHAT), "openai_chat"),
        (json.dumps([{"traj": CHAT}], indent=2), "openai_chat"),
        (json.dumps({"messages": CHAT}) + "\n" + json.dumps({"messages": CHAT}), "openai_chat"),
        ('{"type":"session_meta","payload":{"id":"s"}}', "codex"),
        ('{"sessionId":"s","projectHash":"h"}\n{"id":"m","type":"user","content":"hi"}', "gemini"),
        (json.dumps({"sessionId": "s", "startTime": "x", "messages": []}, indent=2), "gemini"),
        (json.dumps({"trajectory": [], "history": [{"role": "user"}]}, indent=2), "sweagent"),
        ('{"instance_id": "x", "history": []}\n{"instance_id": "y", "history": []}\n', "openhands"),
        ('[{"id": 0, "source": "user", "action": "message"}]', "openhands"),
        ('{"status": "success", "eval": {"run_id": "r"}, "samples": []}', "inspect"),
        ('{"resourceSpans": []}', "otel"),
        ('[{"trace_id": "t", "span_id": "s", "attributes": {}}]', "otel"),
        ('{"format":"clawvm-trace","version":1,"session_id":"s"}', "clawvm_trace"),
    ],
)
def test_formats_are_told_by_content(tmp_path: Path, data: str, expected: str) -> None:
    """Each format is recognised from its records, broken lines and a byte order mark notwithstanding."""
    assert detect(put(tmp_path, data)) == expected


SPAN = {"trace_id": "t", "span_id": "s", "attributes": {}}
EVENT = {"id": 0, "source": "user", "action": "message"}
MARKS = [
    ({"sessionId": "s", "startTime": "x", "messages": []}, ("sessionId", "startTime", "messages")),
    ({"sessionId": "s", "projectHash": "h", "messages": []}, ("sessionId",)),
    ({"trajectory": [], "history": []}, ("trajectory", "history")),
    ({"instance_id": "x", "history": []}, ("instance_id", "history")),
    ({"status": "success", "eval": {"run_id": "r"}, "samples": []}, ("status", "eval", "samples")),
    ({"status": "success", "eval": {"run_id": "r"}, "plan": {}}, ("status", "eval", "plan")),
    ({"spans": [SPAN]}, ("spans",)),
    (SPAN, ("trace_id", "span_id", "attributes")),
    (EVENT, ("source", "action")),
]
"""A whole session, or an item of a list that is one → the names by which its format is told, each of them needed."""


@pytest.mark.parametrize(("whole", "name"), [(whole, name) for whole, names in MARKS for name in names])
def test_a_session_that_lacks_a_mark_is_of_no_format(tmp_path: Path, whole: dict[str, Any], name: str) -> None:
    """With all its names a format is told, without any one of them none is guessed."""
    wrap = [whole] if whole in (SPAN, EVENT) else whole
    assert detect(put(tmp_path, json.dumps(wrap, indent=1))) is not None
    less = {each: value for each, value in whole.items() if each != name}
    with pytest.raises(UnreadableInput, match="no known format"):
        detect(put(tmp_path, json.dumps([less] if wrap is not whole else less, indent=1)))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\x7fELF\x02\x01\x01\x00\x00" * 100, "binary"),
        (b"\xff\xfd\x00garbage", "binary"),
        (b"once upon a time\n", "no known format"),
        (b'{"a": 1}\n', "no known format"),
        (b"[" * 100_000, "nested too deep"),
        (b'[{"role": "user", "content": "cut of', "ends early"),
        (b"[]", "no known format"),
        (b'{"x":1}\n' * LOOKED_AT + CLAUDE.encode() + b"\n", "no known format"),
        (b'{"type":"user","message":{"content":"hi"}}', "no known format"),
        (b'{"type":"user","uuid":"u"}', "no known format"),
        (b'{"type":"session","id":"s"}', "no known format"),
        (b'{"type":"message","message":{"content":"hi"}}', "no known format"),
    ],
)
def test_what_is_no_session_is_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    """Empty, binary and foreign files are refused in one line that names the file."""
    path = put(tmp_path, data)
    with pytest.raises(UnreadableInput, match=problem) as caught:
        read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.hint


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    """A directory and a missing file are refused; an unknown format is wrong usage."""
    with pytest.raises(UnreadableInput, match="is a directory"):
        read(tmp_path)
    with pytest.raises(UnreadableInput, match="no such file"):
        read(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="unknown format"):
        read(put(tmp_path, CLAUDE), "word")


def test_a_named_format_is_taken(tmp_path: Path) -> None:
    """A format that is named is not guessed at; records of another are counted, or refused if they are all."""
    (recording,) = read(put(tmp_path, PI_USER + "\n" + CLAUDE), "pi")
    assert recording.format == "pi" and recording.skipped == {"unknown_record": 1}
    with pytest.raises(UnreadableInput, match="only 1 unknown record"):
        read(put(tmp_path, CLAUDE), "pi")
    assert set(FORMATS) > {"claude_code", "pi", "openai_chat", "clawvm_trace"}


def test_sessions_without_an_id_are_named_by_content(tmp_path: Path) -> None:
    """Another content is another session, the same content is the same one."""
    rows = [CLAUDE.replace('"sessionId":"s",', "").replace("hi", text) for text in ("hi", "ho", "hi")]
    first, second, third = (read(put(tmp_path, row))[0].session_id for row in rows)
    assert first == third != second
