"""LAW-WIDTH-1: what fits a terminal, what goes on in its next line, what is cut, and what a pipe gets."""

from __future__ import annotations

import re
import shutil
import sys
from importlib.resources import as_file, files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.cli import output
from clawvm_es.cli.demo import SEED
from clawvm_es.cli.main import main
from clawvm_es.cli.output import broken, style, text_width, whole
from clawvm_es.cli.tables import Column, fitted
from clawvm_es.cli.verbs import Use, using
from clawvm_es.views import opened
from clawvm_es.views.reading import chosen, short_ids

OURS, WEAK = "demo-clawvm", "demo-retrieval"
CALLS = {
    "sessions": [[], ["-s", OURS]],
    "log": [["--limit", "30"], ["-s", OURS, "--turn", "4"]],
    "show": [["7", "-s", OURS]],
    "pages": [["-s", OURS]],
    "prompt": [["-s", OURS, "--outline"], ["-s", OURS, "--provenance"]],
    "store": [["--history"], ["--updates"]],
    "faults": [[]],
    "losses": [["-s", WEAK]],
    "trace": [["-s", WEAK, "--turn", "9"]],
    "stats": [[], ["--turns", "-s", OURS]],
    "grep": [["refund"]],
    "diff": [[OURS, WEAK], ["turn:3", "turn:20", "-s", OURS]],
    "why": [["p3", "-s", OURS], ["p7", "-s", WEAK, "--turn", "20", "--all"]],
    "blame": [["p5", "-s", OURS]],
    "check": [["resident(p3) at turn 10", "-s", OURS]],
    "bisect": [["-s", OURS, "--when", "absent(p7) or tokens > 100000 or pages > 100000 or dirty > 100000"]],
    "whatif": [["--all", "--budget", "4000", "--policy", "lru"], ["-s", WEAK, "--policy", "clawvm"]],
    "fork": [["-s", OURS, "--turn", "9", "--as", "again", "--rerun", "--seed", str(SEED)]],
    "verify": [["--redecide"], ["--also", "{journal}"]],
    "checkpoint": [["--key", "{folder}/key", "-o", "{folder}/x.checkpoint"]],
    "bundle": [["-s", OURS, "--key", "{folder}/key", "-o", "{folder}/x.clawvm.bundle"]],
    "archive": [["--key", "{folder}/key", "-o", "{folder}/archive"]],
    "export": [["-s", OURS, "-o", "{folder}/x.trace.jsonl"]],
    "backup": [["{folder}/copy.db"]],
    "rebuild": [[]],
    "redact": [["-s", OURS, "--page", "p7", "--dry-run"]],
    "demo": [[]],
    "import": [["{folder}/session.jsonl", "{folder}/other.jsonl"]],
    "follow": [["{folder}/session.jsonl", "--once"]],
    "replay": [["{folder}/session.jsonl", "--budget", "1500"], ["{folder}/session.jsonl", "--as", "one"]],
}
"""Verb → its calls, the journal left out."""
TEXTS = {"show"}
"""Verbs whose lines are texts of the session, which stay whole."""


@pytest.fixture(scope="module")
def demo(demo_journal, tmp_path_factory):
    """A folder with the journal of the demo, sessions that can be read, and a key."""
    folder = tmp_path_factory.mktemp("width")
    shutil.copy(demo_journal, folder)
    with as_file(files("clawvm_es.cli") / "demo_session.jsonl") as file:
        shutil.copy(file, folder / "session.jsonl")
    text = (folder / "session.jsonl").read_text()
    (folder / "other.jsonl").write_text(text.replace("demo-order-service", "another-order-service"))
    with pytest.raises(SystemExit):
        main(["checkpoint", str(folder / "demo.db"), "--make-key", str(folder / "key")])
    return folder


@pytest.fixture
def called(run, demo, tmp_path, monkeypatch):
    """Call a verb on a fresh copy of the journal, on a terminal of some width or, without one, into a pipe."""

    def caller(verb, words, columns=None):
        folder = tmp_path / f"{verb}-{columns}"
        shutil.copytree(demo, folder, dirs_exist_ok=True)
        name = "new.db" if verb in using(Use.FILLS) else "demo.db"
        words = [word.format(journal=folder / name, folder=folder) for word in words]
        with monkeypatch.context() as patched:
            if columns is not None:
                patched.setattr(sys.stdout, "isatty", lambda: True)
                patched.setenv("COLUMNS", str(columns))
            code, out, err = run(verb, "--journal", folder / name, *words)
        assert code in (0, 1), err
        return re.sub(r"\x1b\[[0-9;]*m", "", out)

    return caller


def too_wide(out: str, columns: int) -> list[str]:
    """Lines wider than a terminal, beside commands to copy and single words, which cannot be broken."""
    lines = [line for line in out.splitlines() if text_width(line) > columns]
    return [line for line in lines if " " in line.strip() and not line.strip().startswith("clawvm ")]


def headers(out: str) -> list[str]:
    """The headers of the tables in what a pipe gets."""
    lines = out.splitlines()
    rules = (place for place, line in enumerate(lines) if re.fullmatch(r" *-+( +-+)*", line))
    return [name for place in rules for name in re.split(" {2,}", lines[place - 1].strip())]


def test_every_verb_with_a_journal_is_called():
    """A new verb has its calls here."""
    assert set(CALLS) == set(using(Use.READS, Use.WRITES, Use.FILLS))


@pytest.mark.parametrize("verb", CALLS)
def test_every_verb_fits_the_terminal(called, verb):
    """No line is wider, and no column that a pipe gets is left out unnamed."""
    for words in CALLS[verb]:
        names = headers(called(verb, words))
        for columns in (60, 100, 200) if verb in using(Use.READS) else (60,):
            out = called(verb, words, columns)
            assert verb in TEXTS or too_wide(out, columns) == []
            told = " ".join(out.split())
            assert [name for name in names if name not in told] == []


def test_facts_are_whole_on_a_terminal(called):
    """Every word that a pipe gets of `why`, above its tables, is printed on a terminal of 60 columns, too."""
    words = CALLS["why"][0]
    above, _, _ = called("why", words).partition("\n\nlevel")
    assert len(max(above.splitlines(), key=len)) > 60
    narrow, _, _ = called("why", words, 60).partition("\n\nlevel")
    assert narrow.split() == above.split()


def test_a_list_with_one_line_each_is_cut(called):
    """Lines of `log` end in … where the terminal ends."""
    out = called("log", CALLS["log"][1], 60)
    assert "…" in out and len(out.splitlines()) == len(called("log", CALLS["log"][1]).splitlines()) + 1


LINES = st.lists(st.sampled_from(["a", "bcd", "   ", "漢字", "é" * 9, "x" * 25]), max_size=20).map(" ".join)


@given(line=LINES, indent=st.integers(0, 5), width=st.integers(20, 60))
def test_a_broken_line_loses_nothing(line, indent, width):
    """Its parts hold all that is no blank, in order; a part that is too wide is one word."""
    line = " " * indent + line
    parts = broken(line, width)
    assert "".join("".join(parts).split()) == "".join(line.split())
    assert all(text_width(part) <= width or " " not in part.strip() for part in parts)


def test_a_colour_goes_on_below_and_a_command_stays_whole(monkeypatch, capsys):
    """Each part of a coloured line has its colour, and ends it; a command that is too wide has a line of its own."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    command = "clawvm why j.db p3 --turn 40"
    output.emit_lines([style("many words in red and more", fg="red"), f"look closer: {whole(command)}"])
    one, two, three, four = capsys.readouterr().out.splitlines()
    assert [one, two] == ["\x1b[31mmany words in red\x1b[0m", "\x1b[31mand more\x1b[0m"]
    assert [three, four] == ["look closer:", command]


def test_amounts_have_separators_and_places_none():
    """Tokens have separators; turns have none, since people type them. A column of numbers is aligned right."""
    row = {"turn": 12345, "tokens": 1234567, "budget": "none"}
    other = {"turn": 2, "tokens": 3, "budget": 4000}
    lines = fitted([row, other], (Column("turn", "turn"), Column("tokens", "tokens"), Column("budget", "budget")))
    assert [line.split() for line in lines[2:]] == [["12345", "1,234,567", "none"], ["2", "3", "4,000"]]
    assert len({len(line) for line in lines}) == 1
    (plain,) = fitted([row], (Column("tokens", "tokens", plain=True),))[2:]
    assert plain.strip() == "1234567"


def test_a_table_that_is_far_too_wide_names_what_it_leaves_out():
    """Columns that never leave do so where they would not fit, the last ones first."""
    names = [f"column {number}" for number in range(6)]
    lines = fitted([dict.fromkeys(names, 1)], [Column(name, name) for name in names], 30)
    assert lines[0].split() == ["column", "0", "column", "1"] and all(len(line) <= 30 for line in lines)
    assert all(name in " ".join(lines) for name in names)


def test_short_ids_name_one_session(tmp_path):
    """What a terminal shows of an id can be typed: each part of it begins no other one, or is whole."""
    from clawvm_es import Journal

    parent, other = "parent-of-agents", "parent-alone"
    agents = [f"{parent}/agent-1", f"{parent}/agent-12", f"{parent}/agent-1/agent-3", f"{other}/agent-1"]
    ids = ["session-a-1", "session-a-2", "session-b", parent, *agents, "x", "x/y", "xx/y"]
    with Journal.open(tmp_path / "j.db") as journal:
        for each in ids:
            journal.session(each).close()
    with opened(str(tmp_path / "j.db")) as log:
        found = short_ids(log)
        assert [chosen(log, found[each]) for each in ids] == ids
        assert chosen(log, "parent-o") == parent and chosen(log, "parent-o/agent-12") == agents[1]
    short = ["parent-o", "parent-o/agent-1", "parent-o/agent-12", "parent-o/agent-1/agent-3", "parent-a/agent-1"]
    assert [found[each] for each in ids[2:]] == ["session-b", *short, "x", "x/y", "xx/y"]


def test_sessions_are_told_apart_on_a_terminal(run, tmp_path, monkeypatch):
    """The ids of a session and of its subagents are shown so that each can be typed; a pipe gets them whole."""
    from clawvm_es import Journal

    name = "0c275b1b-9732-433e-9e70-9b7bfdb578a3"
    with Journal.open(tmp_path / "j.db") as journal:
        for each in (name, f"{name}/agent-a53bf26", f"{name}/agent-a5e1e0c"):
            journal.session(each).close()
    whole_ids = [line.split()[0] for line in run("sessions", tmp_path / "j.db")[1].splitlines()[2:]]
    assert whole_ids == [name, f"{name}/agent-a53bf26", f"{name}/agent-a5e1e0c"]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    shown = [line.split()[0] for line in run("sessions", tmp_path / "j.db")[1].splitlines()[2:5]]
    assert shown == ["0c275b1b", "0c275b1b/agent-a53", "0c275b1b/agent-a5e"]
    assert run("log", tmp_path / "j.db", "-s", shown[2], "--csv")[1].count(whole_ids[2]) > 0


def test_a_fault_has_its_title_on_a_narrow_terminal():
    """At 60 columns the page of a fault is named by its title, too."""
    from clawvm_es.cli.read import _FAULT_COLUMNS

    row = {"session_id": "s", "turn": 51, "version": 538, "fault": "pinned_invariant_miss", "reason": "below_floor"}
    row |= {
        "page_id": "p71",
        "page_type": "plan",
        "tool": None,
        "title": "plan approved by the user",
        "evidence": [1],
    }
    assert "plan approved" in "\n".join(fitted([row], _FAULT_COLUMNS, 60))
