"""`clawvm import` and `losses`: the first screen after an import, and what a compaction lost."""

from __future__ import annotations

import json
import shutil
from importlib.resources import as_file, files

import attrs
import pytest

from clawvm_es.cli import importing as verb
from clawvm_es.importers import formats, importing, replay
from tests.conftest import ROOT

ROW = {"type": "user", "uuid": "u", "sessionId": "short", "message": {"role": "user", "content": "hello"}}


@pytest.fixture
def session(tmp_path):
    """The bundled session as a file of its own."""
    with as_file(files("clawvm_es.cli") / "demo_session.jsonl") as file:
        return shutil.copy(file, tmp_path / "session.jsonl")


@pytest.fixture
def load(run):
    """Run a verb with `--json`; its document."""

    def loader(*arguments):
        code, out, _ = run(*arguments, "--json")
        assert code == 0
        return json.loads(out)

    return loader


def test_the_first_screen_says_what_the_harness_lost(run, session, tmp_path):
    """Turns, tokens, compactions; the dearest losses with titles and lines; clawvm at the same budget and at half."""
    code, out, _ = run("import", session, "-j", tmp_path / "j.db")
    assert code == 0
    for told in (
        "27 turns, 26 tool calls, 78,786 input tokens",
        "1 compaction",
        "5 of 8 needs were for pages that the harness had dropped: 595 tokens",
        "Read docs/pricing.md",
        "25 → 50",
        "2 rules or plans left the prompt",
        "within 3,078 tokens (the pages of the harness's largest prompt), at ",
        "of the cost of the harness's pages; within half of that ",
        "cost: no price list knows claude-demo",
        "system prompt and tool schemas are not recorded",
        "open loop",
        str(tmp_path / "j.db"),
    ):
        assert told in out, told


def test_the_readme_shows_this_screen(run, session, tmp_path, monkeypatch):
    """Its figures are those of today's policy, whatever the width at which it breaks lines."""
    monkeypatch.chdir(tmp_path)
    shown = run("import", session, "-j", "known.db")[1].split()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = [each for each in readme.split("```") if "known.db\nNote:" in each]
    assert block.split() == shown


def test_the_document_holds_every_session_with_its_losses(load, session, tmp_path):
    """Two policies beside what was recorded; the dearest losses; nothing is missing that the screen says."""
    found = load("import", session, "-j", tmp_path / "j.db")
    (one,) = found["sessions"]
    assert (one["policy"], one["budget"], one["misses"], one["unmet"]) == ("recorded", 0, 5, 3)
    assert one["usage"] == {
        "input_tokens": 78786,
        "cached_tokens": 0,
        "written_tokens": 0,
        "output_tokens": 1620,
    }
    assert one["folder"] == "/srv/orders" and one["compactions"] == one["cuts"] == 1
    lost = one["lost"]
    assert (lost["needed_again"], lost["read_again"], lost["unmet"], lost["rules"]) == (5, 2, 3, 2)
    assert lost["dearest"][0]["title"] == "Read docs/pricing.md"
    same, half = one["policies"]
    assert (same["policy"], same["budget"], half["budget"]) == ("clawvm", lost["held_tokens"], same["budget"] // 2)
    assert 2_000 < lost["held_tokens"] < one["largest_tokens"]  # without arguments
    assert same["misses"] <= half["misses"] and not any(same["faults"].values())


def test_whatif_compares_with_what_was_recorded(run, load, session, tmp_path):
    """Misses, page-ins, and where the runs part; a policy that selects has 128,000 tokens where none are named."""
    load("import", session, "-j", tmp_path / "j.db")
    found = load("whatif", tmp_path / "j.db", "--policy", "clawvm", "--budget", 1000)
    assert (found["recorded"]["policy"], found["recorded"]["misses"], found["recorded"]["unmet"]) == (
        "recorded",
        5,
        3,
    )
    (run_,) = found["runs"]
    assert run_["misses"] == run_["page_ins"] and run_["parted"]["page_id"]
    code, out, _ = run("whatif", tmp_path / "j.db", "--policy", "clawvm")
    assert code == 0 and "128,000" in out and " none " in out
    same = load("whatif", tmp_path / "j.db", "--policy", "recorded")
    assert same["runs"][0]["parted"] is None and same["runs"][0]["misses"] == 5


def test_a_session_that_was_never_compacted_had_nothing_to_lose(run, tmp_path):
    """The screen says so, and compares nothing."""
    (tmp_path / "s.jsonl").write_text(json.dumps(ROW) + "\n")
    code, out, _ = run("import", tmp_path / "s.jsonl", "-j", tmp_path / "j.db")
    assert code == 0 and "never compacted: there was nothing to lose" in out and "would have missed" not in out


def test_a_file_that_did_not_change_is_told_as_such(run, load, session, tmp_path):
    """It is not read again; `--reimport` records it beside the first."""
    load("import", session, "-j", tmp_path / "j.db")
    code, out, _ = run("import", session, "-j", tmp_path / "j.db")
    assert code == 0 and "1 file: 0 sessions, 1 as they were" in out
    again = load("import", session, "-j", tmp_path / "j.db", "--reimport", "again")
    assert [one["session_id"] for one in again["sessions"]] == ["again"]
    code, _, err = run("import", tmp_path, "-j", tmp_path / "j.db", "--reimport", "x", "--as", "y")
    assert code == 2 and "--reimport" in err


def test_bad_files_are_named_and_stop_no_other(run, session, tmp_path, monkeypatch):
    """A named file that is no recording ends with 2, a fault of ours with 70; one in a folder is only told."""
    bad = tmp_path / "bad.json"
    bad.write_text('{"theme": "dark"}')
    code, out, err = run("import", bad, session, "-j", tmp_path / "j.db")
    assert code == 2 and str(bad) in err and "1 session" in out
    code, out, err = run("import", tmp_path, "-j", tmp_path / "k.db")
    assert code == 0 and f"not read: {bad}" in out and err.count("\n") == 1 and "3 files not looked at" in err
    code, _, err = run("import", tmp_path / "missing", "-j", tmp_path / "l.db")
    assert code == 2 and "no such file" in err and not (tmp_path / "l.db").exists()
    monkeypatch.setattr(importing, "replay_file", lambda *_, **__: 1 // 0)
    code, _, err = run("import", session, "-j", tmp_path / "m.db")
    assert code == 70 and "internal error" in err


def test_without_a_path_the_sessions_of_claude_code_are_imported(run, session, tmp_path, monkeypatch):
    """`~/.claude/projects`, and with `--latest` the session that changed last."""
    projects = tmp_path / "home" / ".claude" / "projects" / "-srv-orders"
    projects.mkdir(parents=True)
    shutil.copy(session, projects / "one.jsonl")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLAWVM_JOURNAL", str(tmp_path / "j.db"))
    code, out, _ = run("import", "--latest")
    assert code == 0 and "27 turns" in out and f"journal {tmp_path / 'j.db'}" in out


def test_what_another_importer_recorded_is_left_as_it_is(run, session, tmp_path, monkeypatch):
    """Exit code 0, and how to record it anew."""
    other = {name: attrs.evolve(row, version=99) for name, row in formats.TABLE.items()}
    with monkeypatch.context() as patched:
        patched.setattr(replay, "TABLE", other)
        assert run("import", session, "-j", tmp_path / "j.db")[0] == 0
    (tmp_path / "j.db.imports").unlink()
    code, out, _ = run("import", session, "-j", tmp_path / "j.db")
    assert code == 0 and "recorded by importer 99; --reimport NAME" in out


def test_many_sessions_are_a_table_of_which_the_worst_are_told(run, session, tmp_path):
    """The session that lost most comes first, in full."""
    for number in range(verb.SHOWN + 1):
        row = {**ROW, "sessionId": f"s{number}"}
        (tmp_path / f"s{number}.jsonl").write_text(json.dumps(row) + "\n")
    code, out, _ = run("import", tmp_path, "-j", tmp_path / "j.db")
    assert code == 0 and out.startswith("Totals of discounted orders") and "tokens lost" in out


def test_losses_tells_what_each_boundary_took(run, load, session, tmp_path):
    """Per boundary the pages that were needed later; the rules that left with them."""
    load("import", session, "-j", tmp_path / "j.db")
    code, out, err = run("losses", tmp_path / "j.db")
    assert err == ""
    assert code == 0 and "turn 14, compaction: 26 pages" in out and "a summary in their place" in out
    found = load("losses", tmp_path / "j.db")
    assert [each["page_id"] for each in found["boundaries"][0]["needed_later"]] == ["p13", "p26", "p13", "p24", "p11"]
    assert len(found["losses"]) == 7
    (tmp_path / "s.jsonl").write_text(json.dumps(ROW) + "\n")
    load("import", tmp_path / "s.jsonl", "-j", tmp_path / "k.db")
    assert "nothing that was needed" in run("losses", tmp_path / "k.db")[1]


def test_files_that_are_not_looked_at_are_named(run, session, tmp_path):
    """A folder's files are read or named, the first three by name; the journal in it is none of them."""
    folder = tmp_path / "all"
    folder.mkdir()
    shutil.move(session, folder / "s.jsonl")
    code, out, err = run("import", folder, "-j", folder / "j.db")
    assert (code, err) == (0, "") and "1 file: 1 session" in out
    for name in ("README.md", "a.txt", "b.txt", "c.txt"):
        (folder / name).write_text("no session")
    code, out, err = run("import", folder, "-j", folder / "j.db")
    assert code == 0 and "1 file: 0 sessions, 1 as they were" in out
    why = "since their names do not end like a recording's"
    said = f"4 files not looked at, {why}: {folder / 'README.md'}, {folder / 'a.txt'}, "
    assert said in err and "c.txt" not in err and "j.db" not in err and err.count("\n") == 1
    assert run("import", folder / "s.jsonl", "-j", folder / "j.db")[2] == ""
