"""Recorded times that no calendar holds: they count as odd, and close nothing."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from clawvm_es.cli.main import cli
from clawvm_es.engine.journal import Journal
from clawvm_es.journal import planning
from clawvm_es.journal.codec import encode
from clawvm_es.journal.ports import NewEvent, Recorded
from clawvm_es.limits import TIME_MAX_US, TIME_MIN_US
from clawvm_es.model import events as e
from clawvm_es.observe.fields import instant
from clawvm_es.storage import open_log
from clawvm_es.testing.core import opened


def row(number: int, kind: str, content: object, at: object) -> str:
    """A line of a Claude Code session."""
    message = {"role": kind, "content": content} | ({"id": f"m{number}"} if kind == "assistant" else {})
    return json.dumps(
        {"type": kind, "sessionId": "bad", "uuid": f"u{number}", "timestamp": at, "cwd": "/", "message": message}
    )


@pytest.mark.parametrize(
    "at",
    [
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59.999999-01:00",
        "9999-12-31T24:00:00",
        10**18,
        253_402_300_800_000,
        -1,
        "nonsense",
        "",
        None,
        True,
        {},
    ],
)
def test_a_time_that_no_datetime_holds_is_odd(at) -> None:
    """Odd times are told by the line that they stand on."""
    assert instant(at, 7) == 7_000_000


def test_the_first_and_the_last_time_are_none_of_them() -> None:
    """The bounds are exact."""
    assert instant("0001-01-01T00:00:00Z", 7) == TIME_MIN_US
    assert instant("9999-12-31T23:59:59.999999Z", 7) == TIME_MAX_US


def test_one_odd_time_does_not_close_a_journal(tmp_path) -> None:
    """cases/27: a session with an odd time is replayed, and every verb on its journal works."""
    lines = [row(1, "user", "hello", "2026-05-01T10:00:01.000Z")]
    lines += [row(2, "assistant", [{"type": "text", "text": "y"}], "0001-01-01T00:00:00+01:00")]
    (tmp_path / "bad.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = str(tmp_path / "j.db")
    for verb in (["replay", str(tmp_path / "bad.jsonl"), "-j", path], ["sessions", path], ["pages", path], *VERBS):
        result = CliRunner().invoke(cli, [part.replace("JOURNAL", path) for part in verb])
        assert result.exit_code == 0, (verb, result.output)


def test_a_record_without_a_time_has_that_of_the_one_before(tmp_path) -> None:
    """A session ends when its last dated record was written, not in 1970, and no cache had 56 years to get cold."""
    times = ["2026-05-01T10:00:01Z", "2026-05-01T10:00:02Z", None, "nonsense", "2026-05-01T10:00:09Z", None]
    rows = [
        row(n, ("user", "assistant")[n % 2 == 0], [{"type": "text", "text": f"x{n}"}], at)
        for n, at in enumerate(times, 1)
    ]
    seconds = [each.at_us // 1_000_000 % 60 for each in _imported(tmp_path, rows, "bad")]
    assert sorted(seconds) == seconds and set(seconds) == {1, 2, 9}


def test_answers_of_a_stream_have_the_times_of_the_results_before_them(tmp_path) -> None:
    """`stream-json` dates rows of the user and no others; nothing is told of the time before the first of them."""
    rows = []
    for n in range(3):
        use = {"type": "tool_use", "id": f"t{n}", "name": "Bash", "input": {"command": f"ls {n}"}}
        result = {"type": "tool_result", "tool_use_id": f"t{n}", "content": f"out {n}"}
        ids = {"session_id": "s", "parent_tool_use_id": None}
        answer = {"id": f"m{n}", "role": "assistant", "model": "m", "content": [use]}
        rows.append({"type": "assistant", "uuid": f"a{n}", "message": answer} | ids)
        at = {"timestamp": f"2026-05-01T10:0{n}:00Z"}
        rows.append({"type": "user", "uuid": f"r{n}", "message": {"role": "user", "content": [result]}} | ids | at)
    events = _imported(tmp_path, [json.dumps(each) for each in rows], "s")
    assert [each.data.idle_s for each in events if isinstance(each.data, e.TurnBegan)] == [None, None, 60]


def _imported(folder, lines: list[str], session_id: str) -> list[Recorded]:
    """The events of a session in a file of some lines, after an import."""
    (folder / "s.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = CliRunner().invoke(cli, ["import", str(folder / "s.jsonl"), "-j", str(folder / "j.db")])
    assert result.exit_code == 0, result.output
    with Journal.open(str(folder / "j.db")) as journal:
        return list(journal.log.read(session_id))


VERBS = (
    ["log", "JOURNAL"],
    ["stats", "JOURNAL"],
    ["faults", "JOURNAL"],
    ["rebuild", "JOURNAL"],
    ["verify", "JOURNAL", "--redecide"],
)


def poisoned(path, monkeypatch, at_us: int) -> None:
    """A journal as an older program made it: with a time that is admitted no more."""
    with monkeypatch.context() as older:
        older.setattr(planning, "odd_time", lambda at: None)
        older.setattr(planning, "admit", encode)
        with open_log(path) as log:
            events = [
                NewEvent(opened(), 0, 1, "harness"),
                NewEvent(e.TurnBegan(fixed_tokens=2**53 - 1), 1, at_us, "t"),
            ]
            log.append("bad", events)


@pytest.mark.parametrize("at_us", [TIME_MIN_US - 3_600_000_000, TIME_MAX_US + 1, 2**63 - 1, -(2**63)])
def test_a_poisoned_journal_opens_again_and_says_what_is_odd(tmp_path, monkeypatch, at_us) -> None:
    """LAW-ADMIT-2: read models catch up and are rebuilt, verbs read them, and `verify` notes event and field."""
    path = str(tmp_path / "j.db")
    poisoned(path, monkeypatch, at_us)
    for verb in (["sessions", "JOURNAL"], ["pages", "JOURNAL"], *VERBS[:-1], ["verify", "JOURNAL"]):
        result = CliRunner().invoke(cli, [part.replace("JOURNAL", path) for part in verb])
        assert result.exit_code == 0, (verb, result.output)
    assert f"note: session bad version 2 (seq 2): at: {at_us} µs is no time in the years 1 to 9999" in result.output
    assert "version 2 (seq 2): data.fixed_tokens: expected `int` <= 2147483647" in result.output
    with Journal.open(path) as journal, journal.session("bad", counter="lines4", budget_tokens=1000) as session:
        session.user_says("it goes on")
        assert session.state.pages.keys() == {"p1"}


# ------------------------------------------------------------------------------------ a fuzz of the edge

ODD = [
    None,
    True,
    0,
    -1,
    2**31,
    2**53,
    2**63,
    10**30,
    0.5,
    "",
    "\0",
    "\ud800",
    "a\u202eb",
    "\x1b[2J",
    "x" * 2000,
    [],
    {},
    [[]],
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    {"type": {}},
    [{"role": []}],
    json.loads("[" * 150 + "]" * 150),
]
CLAUDE_CODE = [
    {
        "type": "user",
        "sessionId": "s",
        "uuid": "u1",
        "timestamp": "2026-05-01T10:00:01Z",
        "cwd": "/",
        "isSidechain": False,
        "message": {"role": "user", "content": "hello"},
    },
    {
        "type": "assistant",
        "sessionId": "s",
        "uuid": "u2",
        "parentUuid": "u1",
        "timestamp": "2026-05-01T10:00:02Z",
        "cwd": "/",
        "message": {
            "id": "m1",
            "role": "assistant",
            "content": [
                {"type": "text", "text": "x"},
                {"type": "tool_use", "id": "t1", "name": "Read", "input": {"file_path": "/a"}},
            ],
            "usage": {"input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 3},
        },
    },
    {
        "type": "user",
        "sessionId": "s",
        "uuid": "u3",
        "parentUuid": "u2",
        "timestamp": "2026-05-01T10:00:03Z",
        "cwd": "/",
        "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "found it"}]},
    },
]
CHAT = [
    {"role": "user", "content": "hello"},
    {
        "role": "assistant",
        "content": "x",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "found it"},
]


def leaves(value, path=()):
    """The paths of all values inside a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield (*path, key)
        yield from leaves(item, (*path, key))


def spoilt(rows, path, odd):
    """A copy of rows with another value at one place."""
    rows = json.loads(json.dumps(rows))
    at = rows
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = odd
    return rows


@pytest.mark.parametrize("rows", [CLAUDE_CODE, CHAT], ids=["claude-code", "chat"])
def test_an_odd_value_anywhere_in_a_file_is_one_line_or_a_sound_session(tmp_path, rows) -> None:
    """LAW-ADMIT-1: a file with an odd value at any place is refused in one line, or replayed and then verified."""
    path, files = str(tmp_path / "j.db"), []
    for number, (place, odd) in enumerate((p, o) for n, p in enumerate(leaves(rows)) for o in ODD[n % 4 :: 4]):
        files.append(tmp_path / f"{number}.json{'l' if rows is CLAUDE_CODE else ''}")
        changed = spoilt(rows, place, odd)
        if rows is CLAUDE_CODE:
            named = {"sessionId": f"s{number}"} if place[-1] != "sessionId" else {}
            changed = [each | named if isinstance(each, dict) else each for each in changed]
            files[-1].write_text("".join(json.dumps(each) + "\n" for each in changed), encoding="utf-8")
        else:
            files[-1].write_text(json.dumps(changed), encoding="utf-8")
    result = CliRunner().invoke(cli, ["replay", *map(str, files), "-j", path, "--counter", "lines4"])
    assert result.exit_code in (0, 2), result.output
    assert "Traceback" not in result.output and "internal" not in result.output
    for verb in (["verify", path, "--redecide"], ["rebuild", path], ["sessions", path]):
        result = CliRunner().invoke(cli, verb)
        assert (result.exit_code, "note:" in result.output) == (0, False), result.output
