"""Files as other systems leave them (C7): marks, padding, glued and torn lines, other encodings, packed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.importers import read, read_bytes
from clawvm_es.importers.records import PIECES, read_lines, utf8
from clawvm_es.observe.steps import UserMessage

FILES = ("base", "bom", "crlf", "glued", "nulpad", "nultail", "s.jsonl.gz", "torn", "u2028", "utf16")
TORN = {"torn": {"not_json": 1}}


@pytest.mark.parametrize("name", FILES)
def test_the_same_session_in_every_form(cases: Path, name: str) -> None:
    """Two turns and two prompts, whatever the file went through; a torn record is counted, the others are read."""
    path = cases / "13-encodings" / (name if "." in name else f"{name}.jsonl")
    (recording,) = read(path)
    assert recording.turns == 2
    assert sum(isinstance(step, UserMessage) for step in recording.steps) == 2
    assert recording.skipped == TORN.get(name, {})


ROWS = [
    {"type": "user", "uuid": f"u{n}", "sessionId": "s", "message": {"role": "user", "content": f"é{n}"}}
    for n in range(3)
]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "utf-8"])
def test_encodings_with_a_mark(encoding: str) -> None:
    """A file in UTF-16 is read where its mark says so, also cut off in the middle of a character."""
    mark = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}.get(encoding, "")
    data = (mark + "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n").encode(encoding)
    (recording,) = read_bytes(data, "s.jsonl")
    assert [step.text for step in recording.steps if isinstance(step, UserMessage)] == ["é0", "é1", "é2"]
    assert read_bytes(data[:-1], "s.jsonl")[0].steps == recording.steps


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["{}\n", "{}", '{"é": 1}\n[', "[]", " [1]\n\n"])
def test_half_a_character_at_the_end_is_none(encoding: str, text: str) -> None:
    """Each whole character is kept and a lone byte behind them is not; a mark before other text is none."""
    data = f"\ufeff{text}".encode(encoding)
    for end in range(6, len(data) + 1):
        assert utf8(data[:end]) == data[2 : end - end % 2].decode(encoding).encode()
    assert utf8(data + b"\0") == text.encode()
    other = f"\ufeffx{text}".encode(encoding)
    assert utf8(other) == other


@pytest.mark.parametrize("between", ["\n\ufeff", "\ufeff", "\n \ufeff\0", "\r\n\ufeff"])
def test_files_with_marks_may_stand_one_after_the_other(between: str) -> None:
    """The first record of a file that was added to another is read, mark or not; a mark inside a text stays."""
    rows = [json.dumps({"type": "user", "uuid": uuid}, ensure_ascii=False) for uuid in ("a\ufeff{", "b")]
    records, skipped = read_lines(f"\ufeff{rows[0]}{between}{rows[1]}\n".encode())
    assert [record.data.raw["uuid"] for record in records] == ["a\ufeff{", "b"]
    assert not skipped.counts


def test_what_stands_inside_a_torn_record_is_none() -> None:
    """A record that was cut off leaves nothing, however whole the objects in it are."""
    torn = json.dumps({"type": "user", "message": {"type": "assistant", "uuid": "x"}})[:-1]
    other = json.dumps({"uuid": "u", "message": {"uuid": "v"}})[:-2]
    records, skipped = read_lines(f"{torn}\n{other}\n{json.dumps(ROWS[0])}".encode())
    assert [record.data.raw for record in records] == [ROWS[0]]
    assert skipped.counts == {"not_json": 2}


def test_a_line_of_many_torn_records_is_bounded() -> None:
    """A hostile line is looked at a bounded number of times."""
    line = '{"type": ' * 5_000 + json.dumps(ROWS[0])
    records, skipped = read_lines(line.encode())
    assert not records and sum(skipped.counts.values()) <= PIECES + 1


@given(st.lists(st.sampled_from(ROWS), min_size=1, max_size=5), st.lists(st.sampled_from(["", " ", "\0", "\r"])))
def test_glued_records_are_all_read(rows: list[dict[str, object]], padding: list[str]) -> None:
    """Objects that lost the newlines between them are the records that they were."""
    glue = "".join(padding)
    records, skipped = read_lines((glue + glue.join(map(json.dumps, rows)) + glue).encode())
    assert [record.data.raw for record in records] == rows
    assert not skipped.counts and len({record.raw for record in records}) == len(rows)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_counted(data: bytes) -> None:
    """No bytes make the reader raise."""
    for marked in (data, b"\xff\xfe" + data, b"\xfe\xff" + data):
        records, skipped = read_lines(marked)
        lines = [line for line in utf8(marked).split(b"\n") if line.strip(b" \t\r\0")]
        assert len(records) + sum(skipped.counts.values()) >= len(lines)
