"""Bad input to `replay`: a counted skip or a one-line error, the right exit code, a journal that verifies."""

from __future__ import annotations

import json
import os

import attrs
import pytest

from clawvm_es.core.profiles import CLAWVM, LRU
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UsageError
from clawvm_es.importers.replay import ReplaySettings, replay
from clawvm_es.model.profile import Rule
from tests.acceptance.user import conversation, lines, refused, result, row, use

DEEP = "[" * 10_000 + "]" * 10_000
TEXT = [{"type": "text", "text": "an answer"}]
GOOD = conversation(5)
ENTRY = {"type": "session", "version": 3, "id": "pi-1", "cwd": "/w"}


def entry(entry_id, parent, role, content, **more):
    """An entry of a pi session."""
    message = {"role": role, "content": content, **more}
    return {"type": "message", "id": entry_id, "parentId": parent, "message": message}


SKIPS = {
    "truncated": (lines(GOOD)[:-30], 5, {"truncated_line": 1}),
    "not_json": (["hello", *GOOD, "not json", "[1]", '"x"', "5", "null"], 6, {"not_json": 2, "not_an_object": 4}),
    "not_utf8": (b"\xff\xfe\n" + lines(GOOD).encode(), 6, {"not_utf8": 1}),
    "binary_tail": (lines(GOOD).encode() + bytes(range(256)), 6, {"not_json": 1, "not_utf8": 1}),
    "result_without_call": (
        [row("user", "q", 1), row("assistant", TEXT, 2), row("user", result("x", "lost"), 3)],
        1,
        {"result_without_call": 1},
    ),
    "call_without_result": (
        [row("assistant", use("x", file_path="/a"), 1), row("assistant", TEXT, 2)],
        2,
        {"call_without_result": 1},
    ),
    "duplicates": ([*GOOD, *GOOD], 6, {"duplicate_record": 12}),
    "duplicate_result": ([*GOOD, row("user", result("c1", "again"), 99)], 6, {"duplicate_result": 1}),
    "parents_out_of_order": (
        [each | {"parentUuid": GOOD[(place + 3) % len(GOOD)]["uuid"]} for place, each in enumerate(GOOD)],
        6,
        {},
    ),
    "pi_parents": (
        [
            ENTRY,
            entry("a", None, "user", "hello"),
            entry("c", "b", "assistant", TEXT),
            entry("b", "a", "assistant", TEXT),
            entry("d", "d", "user", "its own parent"),
            entry("e", "f", "user", "a circle"),
            entry("f", "e", "user", "a circle"),
            entry("a", None, "user", "hello"),
            entry("g", "f", "toolResult", TEXT, toolCallId="nobody"),
        ],
        2,
        {"unknown_parent": 3, "duplicate_record": 1, "result_without_call": 1},
    ),
    "deep_line": ([*GOOD, DEEP], 6, {"too_deep": 1}),
    "deep_content": (
        [*GOOD, '{"type":"user","uuid":"d","sessionId":"s-one","message":{"content":' + DEEP + "}}"],
        6,
        {"too_deep": 1},
    ),
    "deep_result": (
        [row("assistant", use("x", file_path=DEEP), 1), row("user", result("x", DEEP), 2), row("assistant", TEXT, 3)],
        2,
        {},
    ),
    "odd_messages": (
        json.dumps(
            [{"role": "user", "content": "hi"}, 5, None, {"role": "poet"}, {"role": "assistant", "content": "a"}]
        ),
        1,
        {"malformed_record": 2, "unknown_record": 1},
    ),
}


@pytest.mark.parametrize("name", SKIPS)
def test_what_is_not_understood_is_counted_and_the_rest_replayed(file, replayed, name):
    """Bad lines and records are skipped by reason; the session around them is there, and comes out the same twice."""
    content, turns, skipped = SKIPS[name]
    path = file(content)
    first = replayed(path)
    assert first["turns"] == turns
    assert {reason: count for reason, count in first["skipped"].items() if reason != "changed_reread"} == skipped
    second = replayed(path)
    assert (second["appended"], second["head"]) == (0, first["head"])


REFUSED = {
    "unknown_format": ('{"a": 1}\n{"b": 2}\n', "no known format"),
    "prose": ("once upon a time\n", "no known format"),
    "empty": ("", "is empty"),
    "blank": (" \n\n", "is empty"),
    "binary": (bytes(range(256)) * 20, "binary"),
    "deep": (DEEP, "nested too deep"),
    "deep_chat": ('{"messages":[{"role":"user","content":' + DEEP + "}]}", "nested too deep"),
    "cut_chat": ('[{"role": "user", "content": "hi"}, {"role": "assis', "ends early"),
    "empty_chat": ("[]", "no known format"),
    "trace_without_body": ('{"format":"clawvm-trace","version":1,"session_id":"s"}\n', "session_opened"),
    "trace_of_tomorrow": ('{"format":"clawvm-trace","version":99,"session_id":"s"}\n', "newer version"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_session_is_refused(run, file, tmp_path, name):
    """One line that names the file and says why; exit code 2; no session in the journal, which verifies."""
    content, says = REFUSED[name]
    path, journal = file(content), tmp_path / "j.db"
    assert refused(run("replay", path, "-j", journal), str(path), says)
    assert run("sessions", journal, "--json").json["sessions"] == []
    assert run("verify", journal).code == 0


def test_a_directory_and_a_missing_file_are_refused(run, tmp_path):
    """Both are named."""
    assert refused(run("replay", tmp_path, "-j", tmp_path / "j.db"), "is a directory")
    assert refused(run("replay", tmp_path / "no", "-j", tmp_path / "j.db"), "no such file")


def test_a_cut_trace_is_refused(run, file, tmp_path):
    """A clawvm-trace that ends inside a line says where."""
    assert run("replay", file(GOOD), "-j", tmp_path / "a.db").code == 0
    trace = run("export", tmp_path / "a.db").out
    assert refused(
        run("replay", file(trace[:-20]), "-j", tmp_path / "b.db"), f"line {trace.count(chr(10))}", "cut off"
    )


@pytest.mark.parametrize(
    "text", ["x" * 10_000_000, "a line of a big file\n" * 50_000], ids=["10 MB on one line", "50,000 lines"]
)
def test_a_huge_tool_result(file, replayed, text):
    """A huge result becomes a page like any other; the prompts stay within the budget."""
    rows = [
        row("assistant", use("x", file_path="/a"), 1),
        row("user", result("x", text), 2),
        row("assistant", TEXT, 3),
    ]
    document = replayed(file(rows))
    assert (document["turns"], document["tool_calls"], document["pages"]["evidence"]) == (2, 1, 1)
    assert sum(document["faults"].values()) == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--budget", 0), "at least 1"),
        (("--budget", -5), "at least 1"),
        (("--budget", 2**53), "at most 2,147,483,647"),
        (("--budget", "many"), "'many'"),
        (("--policy", "poem"), "known policies"),
        (("--policy", ""), "known policies"),
        (("--counter", "poem"), "use one of"),
        (("--format", "poem"), "one of"),
        (("--format", "pi"), "no session of format pi"),
        (("--format", "openai_chat"), "chat messages"),
        (("--format", "clawvm_trace"), "no header"),
        (("--fixed", -1), "-1"),
        (("--seed", "x"), "'x'"),
        (("--as", ""), "must not be empty"),
        (("--as", "scope:mine"), "shared scopes"),
        (("--project", ""), "no project"),
    ],
)
def test_options_that_cannot_work_are_refused(run, file, tmp_path, options, says):
    """One line, exit code 2, and no session."""
    journal = tmp_path / "j.db"
    assert refused(run("replay", file(GOOD), "-j", journal, *options), says)
    if journal.exists():
        assert run("sessions", journal, "--json").json["sessions"] == []
        assert run("verify", journal).code == 0


@pytest.mark.parametrize("budget", [1, 39, 40, 41, 120])
def test_a_budget_smaller_than_the_floors_is_pressure(file, replayed, budget):
    """What must stay does not fit: every turn says so, and the session goes on."""
    rules = "You must keep all of these rules. " * 40
    messages = [{"role": "system", "content": rules}]
    for turn in range(3):
        messages += [
            {"role": "user", "content": f"question {turn}"},
            {"role": "assistant", "content": f"answer {turn}"},
        ]
    document = replayed(file(json.dumps(messages), "chat.json"), "--budget", budget)
    assert document["turns"] == 3
    assert document["pressure"] >= 3


def test_a_session_that_cannot_be_read_stops_no_other(run, file, tmp_path):
    """Every bad file is named on its own line, the good one is replayed, and the exit code is 2."""
    empty, good, journal = file("", "empty"), file(GOOD), tmp_path / "j.db"
    ran = run("replay", empty, good, tmp_path, "-j", journal, "--json")
    assert ran.code == 2 and ran.err.count("\n") == 2
    assert [error["file"] for error in ran.json["errors"]] == [str(empty), str(tmp_path)]
    assert [session["turns"] for session in ran.json["sessions"]] == [6]
    assert run("verify", journal).code == 0


def test_the_same_file_twice_appends_nothing(run, file, tmp_path):
    """In one command or in two, the second time adds no event."""
    path, journal = file(GOOD), tmp_path / "j.db"
    (once,) = run("replay", path, path, "-j", journal, "--json").json["sessions"]
    assert once["appended"] == once["events"] > 0
    (again,) = run("replay", path, "-j", journal, "--json").json["sessions"]
    assert (again["appended"], again["head"]) == (0, once["head"])


def test_a_file_that_grew_appends_what_is_new(run, file, tmp_path):
    """The cut file, then the whole, give what the whole alone gives, to the same head."""
    rows, grown, alone = conversation(40), tmp_path / "grown.db", tmp_path / "alone.db"

    def replay(what, journal):
        (session,) = run("replay", file(what), "-j", journal, "--seed", 7, "--json").json["sessions"]
        return session

    def inputs(journal):
        events = run("log", journal, "--kind", "input", "--json").json["events"]
        return [(event["type"], event["data"], event["at"]) for event in events]

    cut, whole, once = replay(rows[:41], grown), replay(rows, grown), replay(rows, alone)
    assert whole["appended"] == whole["events"] - cut["events"] > 0
    assert inputs(grown) == inputs(alone)
    assert whole["head"] == once["head"]
    assert whole["decision_digest"] == once["decision_digest"]
    assert run("verify", grown).code == 0
    assert replay(rows[:41], grown)["appended"] == 0


def test_ids_and_places_out_of_range(run, file, tmp_path):
    """An ambiguous or unknown beginning of an id, and places that no session has, are refused."""
    journal = tmp_path / "j.db"
    for session_id in ("abc-1", "abc-2"):
        assert run("replay", file(conversation(2, session_id)), "-j", journal).code == 0
    for verb in ("pages", "prompt", "trace", "log", "faults", "store"):
        assert refused(run(verb, journal, "-s", "abc", "--turn", 1), "2 sessions that begin with 'abc'", "abc-2")
        assert refused(run(verb, journal, "-s", "zz", "--turn", 1), "no session 'zz'")
        assert refused(run(verb, journal, "-s", "abc-1", "--turn", 4), "no turn 4")
        assert refused(run(verb, journal, "-s", "abc-1", "--at", 10**30), "no version")
        assert refused(run(verb, journal, "-s", "abc-1", "--turn", 0), "--turn")
        assert refused(run(verb, journal, "-s", "abc-1", "--at", 0), "--at")
        assert refused(run(verb, journal, "--turn", 1), "2 sessions", "--session")
        assert run(verb, journal, "-s", "abc-1", "--turn", 3).code == 0
    assert refused(run("sessions", journal, "-s", "abc"), "begin with 'abc'")
    assert refused(run("show", journal, 10**30, "-s", "abc-1"), "no version")
    assert os.listdir(tmp_path).count("j.db-wal") == 0


def test_a_session_goes_on_under_the_version_of_its_policy_that_began_it(file, tmp_path):
    """A newer program's default policy is no other setting: the session keeps the version that it recorded."""
    older = ReplaySettings(policy=attrs.evolve(CLAWVM, version=CLAWVM.version - 1, rule=Rule.RECENCY))
    rows = conversation(20)
    with Journal.open(tmp_path / "j.db") as journal:
        (began,) = replay(journal, file(rows[:21]), older)
        (grown,) = replay(journal, file(rows))
        opened = journal.opened(grown.session_id)
        assert opened is not None and opened.profile == older.policy
        assert (grown.session_id, grown.appended > 0) == (began.session_id, True)
        with pytest.raises(UsageError, match="other settings"):
            replay(journal, file(rows), ReplaySettings(policy=LRU))
