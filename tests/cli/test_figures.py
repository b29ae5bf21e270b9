"""Figures of a journal that several verbs show: they are the same, and what was not recorded is no zero."""

from __future__ import annotations

import json
import shutil
from importlib.resources import as_file, files

import pytest

from clawvm_es.cli.times import told

BARE = {"type": "user", "uuid": "u", "sessionId": "bare-session", "message": {"role": "user", "content": "hello"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two recorded sessions, one of them cut, and one without times and usage."""
    folder = tmp_path_factory.mktemp("figures")
    with as_file(files("clawvm_es.cli") / "demo_session.jsonl") as file:
        shutil.copy(file, folder / "a.jsonl")
    lines = (folder / "a.jsonl").read_text().replace("demo-order-service", "other-service").splitlines()
    (folder / "b.jsonl").write_text("\n".join(lines[:31]) + "\n")
    (folder / "c.jsonl").write_text(json.dumps(BARE) + "\n")
    return folder


@pytest.fixture
def load(run, folder, tmp_path):
    """Import the folder, and answer with the document of a verb."""
    code, out, _ = run("import", folder, "-j", tmp_path / "j.db", "--json")
    assert code == 0

    def loader(verb, *arguments):
        if verb == "import":
            return json.loads(out)
        code, found, err = run(verb, tmp_path / "j.db", *arguments, "--json")
        assert code == 0, err
        return json.loads(found)

    return loader


def test_verbs_agree(load):
    """`import`, `sessions`, `stats`, `losses` and `whatif` show the same turns, tokens, needs, misses and costs."""
    sessions = load("sessions")["sessions"]
    imported = {each["session_id"]: each for each in load("import")["sessions"]}
    whole, every = load("stats"), load("whatif", "--all", "--budget", "1000", "--policy", "lru")["recorded"]
    for name in ("turns", "tokens", "uncached_tokens", "needs", "hits", "misses", "page_ins"):
        assert sum(each[name] for each in sessions) == whole[name] == every[name], name
    for name, tokens in whole["cost"]["counted"]["input_tokens"].items():
        assert tokens == sum(each["cost"]["counted"]["input_tokens"][name] for each in sessions)
        assert tokens == every["cost"]["input_tokens"][name]
    for each in sessions:
        one = ("--session", each["session_id"])
        turns = load("stats", "--turns", *one)["turns"]
        assert len(turns) == each["turns"] == imported[each["session_id"]]["turns"]
        assert sum(turn["tokens"] for turn in turns) == each["tokens"]
        assert sum(turn["misses"] for turn in turns) == each["misses"]
        assert imported[each["session_id"]]["cost"] == each["cost"]
        lost = load("losses", *one)["losses"]
        assert len([loss for loss in lost if loss["kind"] != "rule_lost"]) == each["misses"]


def test_what_was_not_recorded_is_no_zero(run, folder, tmp_path):
    """A recording without times has no date and no length, and one without usage no tokens."""
    code, out, _ = run("import", folder / "c.jsonl", "-j", tmp_path / "j.db")
    assert code == 0 and "1970" not in out and "input tokens (" not in out
    out = run("sessions", tmp_path / "j.db", "--session", "bare-session")[1]
    assert "not known: no time was recorded" in out and "usage               not recorded" in out
    run("import", folder / "a.jsonl", "-j", tmp_path / "j.db")
    listed = run("sessions", tmp_path / "j.db")[1]
    assert "1970" not in listed and "78,786" in listed
    (bare,) = [line for line in listed.splitlines() if line.startswith("bare-session")]
    assert " unknown " in bare


@pytest.mark.parametrize(("time", "expected"), [("1970-01-01T00:00:42Z", False), ("2026-01-01T00:00:00Z", True)])
def test_times_that_were_counted_are_told_by_nobody(time, expected):
    """Steps of a recording without times have times of 1970."""
    assert (told(time) == time) is expected and told(None) is None


def test_a_folder_makes_no_journal(run, folder, tmp_path):
    """`replay` reads files; what it refuses leaves nothing behind."""
    code, out, err = run("replay", folder, "-j", tmp_path / "j.db", "--budget", "1000")
    assert (code, out) == (2, "") and "is a directory (name the files in it)" in err
    assert not (tmp_path / "j.db").exists()
