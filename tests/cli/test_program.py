"""The program as a whole: called bare, its help, its verdicts, and what it says when the fault is its own."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys

import pytest

from clawvm_es import Journal
from clawvm_es.cli.main import cli
from clawvm_es.cli.tables import table


@pytest.fixture
def journal(tmp_path):
    """A journal with the sessions `1e3` and `007`."""
    path = tmp_path / "j.db"
    with Journal.open(path) as opened:
        for name in ("1e3", "007"):
            with opened.session(name, budget_tokens=400) as session:
                session.user_says("hello")
                session.assemble()
    return path


@pytest.fixture
def broken(monkeypatch):
    """A fault of ours in the verb `sessions`."""

    def fail(*_: object, **__: object) -> None:
        raise KeyError("text\x1b[2J of a\nsession")

    monkeypatch.setattr(cli.commands["sessions"], "callback", fail)


def test_called_bare_it_prints_its_help_and_exits_2(run):
    """As git does: the help on stdout, with examples, and a code that a script notices."""
    code, out, err = run()
    assert (code, err) == (2, "")
    assert out == run("--help")[1]
    assert "Usage: clawvm" in out and "clawvm demo" in out
    assert not re.search(r"[^\n\x20-\x7e…]", out)
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_the_help_of_every_verb_has_an_example(run, verb):
    """Each verb says what it does, with a call to copy, and prints no control character."""
    code, out, err = run(verb, "--help")
    assert (code, err) == (0, "")
    assert f"clawvm {verb}" in out.split("Example:")[1]
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", out)


@pytest.mark.parametrize("verb", ["sessions", "stats", "faults", "store"])
def test_ids_that_look_like_numbers_stay_as_they_are(run, journal, verb):
    """Session `1e3` is not 1000, and `007` is not 7."""
    out = run(verb, journal)[1]
    assert verb != "sessions" or re.findall(r"^(\S+) +hello ", out, re.MULTILINE) == ["1e3", "007"]
    assert "1000.0" not in out and "1000 " not in out


def test_a_table_parses_no_text():
    """Texts are printed as they are and stand left; only numbers stand right."""
    rows = [("1e3", 5, "0x10", None), ("007", 12345, "1_000", True), ("-0.0", 7, "nan", False)]
    assert table(rows, ("id", "number", "text", "flag")) == [
        "id      number  text    flag",
        "----  --------  ------  ------",
        "1e3          5  0x10",
        "007     12,345  1_000   yes",
        "-0.0         7  nan",
    ]


def test_the_last_line_of_verify_is_its_verdict(run, journal):
    """One line says whether the journal is consistent, anchored how far, and how much was looked at."""
    events = json.loads(run("verify", journal, "--json")[1])["events"]
    assert run("verify", journal)[1] == f"verified: consistent, unanchored: 2 sessions, {events} events\n"
    again = run("verify", journal, "--redecide")[1]
    assert re.fullmatch(r"verified: .* events, \d+ decisions taken again the same\n", again)
    assert run("verify", journal, "--fast")[1].endswith(f"{events} events, numbers and chains only\n")


def test_a_verdict_names_the_first_problem(run, journal):
    """Of a changed journal the last line says how many problems there are, and the first one."""
    with sqlite3.connect(journal) as db:
        db.executescript("DROP TRIGGER events_update; UPDATE events SET turn = 9 WHERE seq = 2")
    code, out, err = run("verify", journal)
    document = json.loads(run("verify", journal, "--json")[1])
    first = document["problems"][0]
    assert (code, err, document["ok"], document["state"]) == (1, "", False, "not consistent")
    problems = len(document["problems"])
    assert out.splitlines()[-1] == (
        f"NOT consistent: {problems} problems (first: {first['where']}: {first['what']}: {first['detail']})"
    )


def test_an_internal_error_is_one_line_and_exit_70(run, broken):
    """It says that the fault is ours, in which verb, of what type, and how to report it; no traceback."""
    code, out, err = run("sessions", "j.db")
    assert (code, out, err.count("\n")) == (70, "", 1)
    assert err.startswith("clawvm: internal error in clawvm sessions: KeyError: ")
    assert "a fault of clawvm" in err and "CLAWVM_TRACEBACK=1" in err and "clawvm --version" in err
    assert "\x1b" not in err and "\\x1b[2J" in err


def test_the_traceback_is_there_for_who_asks(run, broken, monkeypatch):
    """With CLAWVM_TRACEBACK=1 it stands before the line, with nothing raw in it; 0 asks for none."""
    monkeypatch.setenv("CLAWVM_TRACEBACK", "1")
    code, _, err = run("sessions", "j.db")
    assert code == 70 and err.startswith("Traceback (most recent call last):") and "test_program.py" in err
    assert "\x1b" not in err and err.splitlines()[-1].startswith("clawvm: internal error")
    monkeypatch.setenv("CLAWVM_TRACEBACK", "0")
    assert "Traceback" not in run("sessions", "j.db")[2]


def test_an_interrupt_is_one_line_and_exit_130(run, monkeypatch):
    """Ctrl-C prints no traceback."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.commands["sessions"], "callback", interrupted)
    code, out, err = run("sessions", "j.db")
    assert (code, out) == (130, "")
    assert err.strip().startswith("clawvm: interrupted") and err.strip().count("\n") == 0


def test_a_locale_without_the_characters_gets_their_numbers(tmp_path):
    """Output that cannot hold a character shows its number; it does not fail."""
    command = [sys.executable, "-m", "clawvm_es", "demo"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    found = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (found.returncode, found.stderr) == (0, b"")
    assert b"\\u2713" in found.stdout


def test_the_help_lists_every_verb_once_under_what_it_is_for(run):
    """No verb is left over, and none is listed twice."""
    listed = re.findall(r"^  ([a-z]+)  ", run("--help")[1], re.MULTILINE)
    assert sorted(listed) == sorted(cli.commands)
    assert "Others:" not in run("--help")[1]
