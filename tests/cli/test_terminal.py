"""The terminal: tables that fit it, a pager for what is longer, times for people, completion, rows for programs."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.shell_completion import BashComplete
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.cli import pager
from clawvm_es.cli.main import cli
from clawvm_es.cli.output import cut, emit_json, text_width
from clawvm_es.cli.tables import Column, fitted
from clawvm_es.cli.times import ago, joined, length, shown_time

OURS, WEAK = "demo-clawvm", "demo-retrieval"
TABLES = {
    "sessions": [],
    "pages": ["-s", OURS],
    "faults": [],
    "trace": ["-s", OURS, "--turn", "9"],
    "store": ["--history"],
    "stats": ["--turns", "-s", OURS],
}
"""Verbs that print tables → their arguments after the journal."""
LINES = {
    "log": ["-s", OURS, "--turn", "4"],
    "blame": ["p5", "-s", OURS],
    "grep": ["refund"],
    "why": ["p3", "-s", OURS],
}
"""Verbs that print lines → their arguments after the journal."""


@pytest.fixture
def journal(demo_journal):
    """The journal of the demo."""
    return demo_journal


@pytest.fixture
def terminal(monkeypatch):
    """Make stdout a terminal of some width."""

    def maker(columns: int) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", "40")

    return maker


@pytest.mark.parametrize("verb", TABLES | LINES)
def test_a_pipe_gets_whole_values_without_colours(run, journal, monkeypatch, verb):
    """Nothing is cut, left out or coloured, however narrow the terminal behind the pipe is."""
    arguments = (verb, "--journal", journal, *(TABLES | LINES)[verb])
    out = run(*arguments)[1]
    monkeypatch.setenv("COLUMNS", "40")
    assert run(*arguments)[1] == out
    assert "\x1b" not in out and "left out" not in out


def test_no_color_prints_no_colour_on_a_terminal(run, journal, terminal, monkeypatch):
    """`NO_COLOR` is obeyed; without it a diff is coloured."""
    terminal(100)
    assert "\x1b[32m" in run("blame", journal, "p5", "-s", OURS)[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("blame", journal, "p5", "-s", OURS)[1]


CELLS = st.one_of(st.none(), st.integers(0, 10**6), st.text("ab 漢é\n", max_size=60))


@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5), width=st.integers(30, 120))
def test_any_table_fits_any_width(rows, width):
    """LAW-TABLE-1: of any cells no line is wider than the terminal."""
    named = [dict(zip("abc", row, strict=True)) for row in rows]
    lines = fitted(named, (Column("a", "a"), Column("b", "b", 1), Column("c", "c", 2)), width)
    assert all(text_width(line) <= width for line in lines)


@given(text=st.text("ab 漢é\u0301", max_size=40), width=st.integers(2, 50))
def test_a_cut_line_is_a_beginning(text, width):
    """A line that fits stays; one that does not is its beginning and …."""
    found = cut(text, width)
    assert text_width(found) <= width
    assert found == text if text_width(text) <= width else found.endswith("…") and text.startswith(found[:-1])


# ------------------------------------------------------------------------------------------ the pager


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ["less", "-FRX"]),
        ({"PAGER": "more -d"}, ["more", "-d"]),
        ({"PAGER": ""}, None),
        ({"PAGER": "cat"}, None),
        ({"PAGER": "no such pager"}, None),
        ({"PAGER": "'"}, None),
        ({"NO_PAGER": "1"}, None),
        ({"NO_PAGER": "1", "PAGER": "more"}, None),
    ],
)
def test_the_environment_chooses_the_pager(monkeypatch, environment, expected):
    """$PAGER, else less; NO_PAGER, an empty one, cat, and one that is not installed are none."""
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "no" else f"/bin/{name}")
    assert pager.command(environment) == expected


@pytest.fixture
def paged(monkeypatch, tmp_path, terminal):
    """Make a terminal of 10 lines whose pager writes to a file; return the file."""

    def maker() -> Path:
        terminal(80)
        monkeypatch.setenv("LINES", "10")
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
        monkeypatch.setenv("PAGER", f"tee {tmp_path / 'paged'}")
        monkeypatch.delenv("NO_PAGER", raising=False)
        return tmp_path / "paged"

    return maker


def test_long_output_is_paged(run, journal, paged):
    """What is longer than the terminal goes to the pager, whole and in order."""
    file = paged()
    out = run("pages", journal, "-s", OURS)[1]
    assert out == "" and file.read_text().count("\n") > 50


def test_short_output_is_not_paged(run, journal, paged):
    """What the terminal holds is printed."""
    file = paged()
    assert "demo-lru" in run("sessions", journal)[1]
    assert not file.exists()


@pytest.mark.parametrize("how", ["before", "behind", "variable", "pipe"])
def test_the_pager_can_be_left_out(run, journal, paged, monkeypatch, how):
    """`--no-pager` before or behind the verb, NO_PAGER, and a pipe."""
    file, words = paged(), ["pages", journal, "-s", OURS]
    if how == "variable":
        monkeypatch.setenv("NO_PAGER", "1")
    elif how == "pipe":
        monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    else:
        words = ["--no-pager", *words] if how == "before" else [*words, "--no-pager"]
    assert run(*words)[1].count("\n") > 50
    assert not file.exists()


def test_a_reader_may_leave_the_pager(run, journal, paged, monkeypatch):
    """A pager that ends before the output does is no error."""
    paged()
    monkeypatch.setenv("PAGER", "true")
    assert run("log", journal)[0] == 0


# ---------------------------------------------------------------------------------------- rows, times


def test_csv_and_json_lines_hold_every_member(run, journal):
    """`--csv` and `--nl` print the rows of the document with all that they hold."""
    document = json.loads(run("pages", journal, "-s", OURS, "--json")[1])["pages"]
    assert [json.loads(line) for line in run("pages", journal, "-s", OURS, "--nl")[1].splitlines()] == document
    rows = list(csv.DictReader(io.StringIO(run("pages", journal, "-s", OURS, "--csv")[1])))
    assert [row["page_id"] for row in rows] == [page["page_id"] for page in document]
    assert rows[0].keys() == document[0].keys() and json.loads(rows[0]["levels"]) == document[0]["levels"]


@pytest.mark.parametrize("verb", TABLES | {"log": ["--limit", "5"], "grep": ["refund"]})
def test_every_table_has_all_shapes(run, journal, verb):
    """Each verb with a table prints it as CSV, as JSON lines and in a format of tabulate."""
    arguments = (verb, "--journal", journal, *(TABLES | {"log": ["--limit", "5"], "grep": ["refund"]})[verb])
    lines = run(*arguments, "--nl")[1].splitlines()
    assert lines and all(isinstance(json.loads(line), dict) for line in lines)
    assert len(list(csv.reader(io.StringIO(run(*arguments, "--csv")[1])))) == len(lines) + 1
    assert run(*arguments, "--fmt", "github")[1].startswith("|")


def test_two_shapes_and_unknown_formats_are_refused(run, journal):
    """One line says which to choose."""
    for words in (["--csv", "--nl"], ["--json", "--csv"], ["--fmt", "nothing"]):
        code, out, err = run("pages", journal, "-s", OURS, *words)
        assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-11-22T10:00:30.000000Z", "30 s ago"),
        ("2026-11-22T09:01:00.000000Z", "1 h ago"),
        ("2026-11-20T10:00:00.000000Z", "2 d ago"),
        ("2025-11-20T10:00:00.000000Z", "2025-11-20"),
        ("2026-11-23T10:00:00.000000Z", "2026-11-23"),
        ("@-62135600400.000000Z", "@-62135600400.000000Z"),
        (None, ""),
    ],
)
def test_distances_of_times(time, expected):
    """A recent time is told by its distance, another one by its date, one that no calendar holds as it is."""
    assert ago(time, datetime(2026, 11, 22, 10, 1, 0, tzinfo=UTC)) == expected


def test_times_and_lengths():
    """Times are told to the minute, lengths in their largest unit."""
    assert shown_time("2026-11-22T10:11:02.5Z") == "2026-11-22 10:11"
    assert length("2026-11-22T10:11:02Z", "2026-11-22T10:53:02Z") == "42 min"
    assert length(None, "2026-11-22T10:53:02Z") == ""
    assert length("2026-11-22T10:53:02Z", "1970-01-01T00:00:00Z") == ""  # of a recording whose last row has no time


def test_a_time_that_is_not_known_leaves_no_gap():
    """A list of times leaves out those that no calendar of ours holds."""
    assert joined("a", length("2026-05-01T10:00:00Z", "+99999-01-01T00:00:00Z"), "b") == "a, b"


# ----------------------------------------------------------------------------------------- completion


def offered(*words: object) -> list[str]:
    """What a shell offers for the last word."""
    *before, incomplete = map(str, words)
    found = BashComplete(cli, {}, "clawvm", "_CLAWVM_COMPLETE").get_completions(before, incomplete)
    return [item.value for item in found if item.type == "plain"]


def test_sessions_are_completed(journal, monkeypatch):
    """Of the journal in the arguments, the option or the environment."""
    assert offered("pages", journal, "--session", "demo-c") == [OURS]
    assert offered("pages", "--journal", journal, "-s", "demo-") == [OURS, "demo-lru", WEAK]
    monkeypatch.setenv("CLAWVM_JOURNAL", str(journal))
    assert offered("why", "-s", "demo-r") == [WEAK]


def test_pages_are_completed(journal, monkeypatch):
    """The page argument and `--page`, of the session that is named."""
    assert offered("trace", journal, "-s", OURS, "--page", "p1") == ["p1", *(f"p1{digit}" for digit in range(10))]
    assert offered("show", journal, "-s", OURS, "p52") == ["p52"]
    assert offered("why", "--journal", journal, "-s", OURS, "p52") == ["p52"]
    monkeypatch.setenv("CLAWVM_JOURNAL", str(journal))
    assert offered("blame", "-s", OURS, "p52") == ["p52"]


def test_policies_are_completed():
    """The names of all profiles."""
    assert "clawvm_paper" in offered("replay", "x.jsonl", "--policy", "clawvm")
    assert offered("whatif", "--policy", "lr") == ["lru", "lru_turn"]


def test_completion_never_fails(tmp_path, monkeypatch):
    """No journal, one that is none, and an unknown session offer nothing, and make nothing."""
    monkeypatch.setenv("CLAWVM_JOURNAL", str(tmp_path / "none.db"))
    assert offered("pages", "-s", "") == []
    (tmp_path / "bad.db").write_bytes(b"this is no journal" * 100)
    assert offered("pages", tmp_path / "bad.db", "-s", "") == []
    assert offered("show", tmp_path / "bad.db", "-s", "zzz", "p") == []
    assert [each.name for each in tmp_path.iterdir()] == ["bad.db"]


def test_completion_writes_nothing(journal):
    """The journal's folder stays as it was."""
    before = {each.name: each.read_bytes() for each in journal.parent.iterdir()}
    assert offered("pages", journal, "-s", "demo") and offered("show", journal, "-s", OURS, "p")
    assert {each.name: each.read_bytes() for each in journal.parent.iterdir()} == before


def test_a_long_document_is_printed_in_pieces(monkeypatch):
    """The JSON text of a document on many sessions is not in memory as a whole; it is what one piece would be."""
    document = {"sessions": [{"session_id": f"s{n}", "title": "a\x7fü \ud800"} for n in range(40_000)]}
    told = _Counted()
    monkeypatch.setattr(sys, "stdout", told)
    emit_json({"few": document["sessions"][:2]})
    wanted = json.dumps({"few": document["sessions"][:2]}, indent=2).replace("\x7f", "\\u007f") + "\n"
    assert told.first == wanted
    tracemalloc.start()
    try:
        emit_json(document)
        assert told.written > 3_000_000 > 3 * tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class _Counted(io.TextIOBase):
    """A stream that counts what is written, and keeps the beginning."""

    def __init__(self):
        self.written, self.first = 0, ""

    def write(self, text):
        self.written += len(text)
        self.first = self.first if self.written > 1_000 else self.first + text
        return len(text)


def test_names_that_the_program_knows_are_completed(journal):
    """Event and page types, formats, prices, mechanisms in a list, parts of the evaluation; fields of the store."""
    assert offered("log", journal, "--type", "fault") == ["fault_observed"]
    assert offered("grep", journal, "--type", "tool_r") == ["tool_returned"]
    assert offered("pages", journal, "--type", "pl") == ["plan"]
    assert offered("bisect", journal, "--fault", "ref") == ["refetch"]
    assert offered("import", "--format", "cod") == ["codex"]
    assert offered("sessions", journal, "--prices", "op") == ["openai"]
    assert offered("sessions", journal, "--fmt", "gith") == ["github"]
    assert offered("replay", "--without", "sta") == ["staging"]
    assert offered("whatif", journal, "--without", "floors,sta") == ["floors,staging"]
    assert offered("replay", "--renderer", "messages/1:a") == ["messages/1:anthropic"]
    assert offered("catalogue", "lake", "rules") == ["rules-missing"]
    assert offered("eval", "tier") == ["tier1", "tier2"]
    assert offered("eval", "--family", "run") == ["runbook"] and "oracle" in offered("eval", "--policy", "")
    assert offered("eval", "--renderer", "") == ["messages", "frames"]
    assert offered("store", journal, "-s", OURS, "--field", "") == ["p5"]
    assert offered("blame", journal, "-s", OURS, "p5")[:1] == ["p5"]
