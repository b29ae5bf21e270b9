"""What the verbs print and with which code they exit, on the journal that `demo` makes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawvm_es.cli.demo import SEED
from clawvm_es.cli.main import cli
from clawvm_es.cli.verbs import ROWS
from clawvm_es.projections.tables import TABLES
from clawvm_es.storage import open_log

OURS, WEAK = "demo-clawvm", "demo-retrieval"
READING = {
    "sessions": [],
    "log": ["--limit", "20"],
    "show": ["7", "-s", OURS],
    "pages": ["-s", OURS],
    "prompt": ["-s", OURS],
    "store": [],
    "faults": [],
    "trace": ["-s", WEAK],
    "stats": [],
    "verify": [],
    "export": ["-s", OURS],
    "whatif": ["-s", OURS, "--policy", "lru"],
}
"""Verb → arguments after the journal. All of them only read."""


@pytest.fixture
def journal(demo_journal, tmp_path) -> Path:
    """A copy of that journal, to change."""
    return Path(shutil.copy(demo_journal, tmp_path / "j.db"))


@pytest.fixture
def load(run):
    """Run a verb with `--json` and return its document."""

    def loader(*arguments):
        code, out, err = run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return loader


def session(load, journal, session_id: str) -> dict:
    """One session's document."""
    (found,) = [s for s in load("sessions", journal)["sessions"] if s["session_id"] == session_id]
    return found


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_the_row_of_a_verb_says_what_its_help_says(verb):
    """The clause that the program's help prints is the first of the verb's own, under the verb's own name."""
    command = cli.commands[verb]
    assert command.name == verb
    assert ROWS[verb].clause == re.split("[;:]", command.get_short_help_str(limit=1000))[0].rstrip(".")


def test_the_help_of_the_program_imports_no_verb():
    """The program starts without the modules of its verbs; a verb that is no name of ours is looked for nowhere."""
    asks = "import sys; from clawvm_es.cli.main import cli, click; print(cli.get_help(click.Context(cli)))"
    code = f"{asks}; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"  {verb} " in done.stdout for verb in cli.commands)
    assert not {f"clawvm_es.cli.{row.module}" for row in ROWS.values()} & set(done.stdout.splitlines())
    assert "nothing" not in cli.commands
    assert cli.get_command(None, "nothing") is None


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_every_verb_has_help_with_an_example_and_json(run, verb):
    """`--help` exits 0, shows how the verb is called, and offers `--json`."""
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert f"clawvm {verb}" in out.split("Example:")[1]
    assert "--json" in out


@pytest.mark.parametrize("verb", READING)
def test_reading_leaves_the_file_and_its_folder_as_they_were(load, run, demo_journal, verb):
    """Read verbs print the same document twice, print text too, and write nothing."""

    def state():
        files = sorted(demo_journal.parent.iterdir())
        return [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]

    before = state()
    arguments = (verb, demo_journal, *READING[verb])
    assert load(*arguments) == load(*arguments)
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert out.strip()
    assert state() == before


def test_a_session_document_has_all_figures(load, demo_journal):
    """The figures that `replay` prints, with faults by type and the head."""
    ours, weak = session(load, demo_journal, OURS), session(load, demo_journal, WEAK)
    assert ours["turns"] == 27 and ours["tool_calls"] == 26 and ours["format"] == "claude_code"
    assert ours["boundaries"]["compact"] == 1
    assert ours["pages"]["bootstrap"] == 1 and ours["pages"]["plan"] == 1
    assert ours["needs"] == ours["hits"] + ours["misses"]
    assert sum(ours["faults"].values()) == 0 < sum(weak["faults"].values())
    assert weak["faults"]["flush_miss"] == 1 and weak["faults"]["pinned_invariant_miss"] > 0
    with open_log(demo_journal, read_only=True) as log:
        head = log.head(OURS)
    assert ours["head"] == {"version": head.version, "hash": head.hash.hex()}


def test_every_prompt_matches_its_commitment(load, demo_journal):
    """The prompt of each turn, rendered again, is what was committed to; --at its version gives the same."""
    for turn in range(1, 28, 5):
        shown = load("prompt", demo_journal, "-s", OURS, "--turn", turn)
        assert (shown["turn"], shown["matches_commitment"]) == (turn, True)
        assert shown["tokens"] <= shown["budget_tokens"]
        again = load("prompt", demo_journal, "-s", OURS, "--at", shown["version"])
        assert again["text"] == shown["text"]


def test_pages_at_a_turn_are_those_of_its_prompt(load, demo_journal):
    """Right after an assembly, the resident pages are the pieces of its prompt."""
    shown = load("prompt", demo_journal, "-s", OURS, "--turn", 10)
    version = shown["version"]
    pages = load("pages", demo_journal, "-s", OURS, "--at", version, "--resident")["pages"]
    pieces = {piece["page_id"]: piece["level"] for piece in shown["pieces"] if piece["page_id"]}
    assert {page["page_id"]: page["level"] for page in pages} == pieces


def test_show_brings_texts_back(load, demo_journal):
    """An event and a page are shown with the texts that they only name by commitments."""
    calls = load("log", demo_journal, "-s", OURS, "--type", "tool_called")["events"]
    event = load("show", demo_journal, calls[0]["version"], "-s", OURS)
    assert "CLAUDE.md" in event["texts"]["arguments"]
    page = load("show", demo_journal, "p3", "-s", OURS)
    assert "REFUND_WINDOW_DAYS" in page["texts"]["full"]
    assert page["levels"].keys() == page["texts"].keys()


def test_the_store_holds_the_plan(load, demo_journal):
    """What the boundaries wrote back, with its history."""
    (last,) = load("store", demo_journal, "-s", OURS)["fields"]
    versions = load("store", demo_journal, "-s", OURS, "--history")["fields"]
    assert [field["field_version"] for field in versions] == [1, 2]
    assert last == versions[-1] and "pricing.md" in last["text"]
    updates = load("store", demo_journal, "-s", OURS, "--updates")["updates"]
    assert [(update["status"], update["page_id"]) for update in updates] == [("committed", "p5")] * 2


def test_trace_is_the_log_of_decisions(load, demo_journal):
    """`trace` and `log --kind decision` tell the same, at any place."""
    for place in ([], ["--at", "100"], ["--turn", "7"]):
        traced = load("trace", demo_journal, "-s", OURS, *place)["decisions"]
        logged = load("log", demo_journal, "-s", OURS, "--kind", "decision", *place)["events"]
        assert [(d["seq"], d["type"], d["data"]) for d in traced] == [
            (e["seq"], e["type"], e["data"]) for e in logged
        ]
        assert traced


def test_stats_by_turn_add_up(load, demo_journal):
    """The turns of a session sum up to its figures."""
    ours = session(load, demo_journal, OURS)
    turns = load("stats", demo_journal, "-s", OURS, "--turns")["turns"]
    assert len(turns) == ours["turns"]
    for name in ("tokens", "uncached_tokens", "needs", "hits", "page_ins", "misses", "tool_calls"):
        assert sum(turn[name] for turn in turns) == ours[name]
    whole = load("stats", demo_journal)
    assert whole["events"] == sum(whole["events_by_type"].values())


def test_an_export_decides_the_same(load, run, demo_journal, tmp_path):
    """Replaying the trace of each session gives its decision digest; doing it again appends nothing."""
    for session_id in (OURS, WEAK):
        trace = tmp_path / f"{session_id}.jsonl"
        assert run("export", demo_journal, "-s", session_id, "-o", trace)[0] == 0
        assert trace.read_text(encoding="utf-8") == run("export", demo_journal, "-s", session_id)[1]
        (again,) = load("replay", trace, "--journal", tmp_path / "again.db")["sessions"]
        assert again["decision_digest"] == session(load, demo_journal, session_id)["decision_digest"]
        (twice,) = load("replay", trace, "--journal", tmp_path / "again.db")["sessions"]
        assert (twice["appended"], twice["head"]) == (0, again["head"])


def test_an_export_of_a_fork_decides_the_same(load, run, journal, tmp_path):
    """The trace holds the parent's part; where no trace can say what the fork is, one line says so."""
    seed = ("--seed", SEED)
    load("fork", journal, "-s", OURS, "--turn", 5, "--as", "tight", "--budget", "300", "--rerun", *seed)
    trace, none = tmp_path / "tight.jsonl", tmp_path / "none.jsonl"
    assert run("export", journal, "-s", "tight", "-o", trace)[0] == 0
    (again,) = load("replay", trace, "--journal", tmp_path / "again.db")["sessions"]
    assert again["decision_digest"] == session(load, journal, "tight")["decision_digest"]
    load("fork", journal, "-s", OURS, "--turn", 5, "--as", "other", "--policy", "lru", *seed)
    code, out, err = run("export", journal, "-s", "other", "-o", none)
    assert (code, out, err.count("\n")) == (2, "", 1) and "another policy" in err and "bundle" in err
    assert not none.exists()


def test_rebuild_leaves_every_table_byte_identical(load, journal):
    """Throwing the read models away and folding the log again gives the same rows."""

    def dump():
        with sqlite3.connect(journal) as db:
            query = "SELECT * FROM {} ORDER BY {}"
            return {t.name: db.execute(query.format(t.name, ", ".join(t.order))).fetchall() for t in TABLES}

    before = dump()
    counts = load("rebuild", journal)["rows"]
    assert dump() == before
    assert counts == {name: len(rows) for name, rows in before.items()}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ("UPDATE turns SET hits = hits + 1 WHERE turn = 9", "turns: row"),
        ("DELETE FROM faults", "faults: row"),
        ("INSERT INTO page_table SELECT 'x', page_id, " + ", ".join(TABLES[2].columns[2:-1])
         + ", 99999 FROM page_table LIMIT 1", "in no rebuild"),
        ("DROP VIEW page_text", "page_text is missing"),
        ("UPDATE projections SET seq = 10000", "beyond the last event"),
        ("UPDATE snapshots SET version = version + 1 WHERE snapshot_id = 1", "snapshot: "),
        ("DROP TRIGGER events_update; UPDATE events SET turn = 3 WHERE seq = 200", "seq 200"),
    ],
)  # fmt: skip
def test_verify_names_what_was_changed_by_hand(run, journal, change, names):
    """A changed read model or event makes `verify` exit 1 and say where."""
    assert run("verify", journal)[0] == 0
    with sqlite3.connect(journal) as db:
        db.executescript(change)
    code, out, err = run("verify", journal)
    assert (code, err) == (1, "")
    assert names in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sessions", "missing.db"], "no journal here"),
        (["verify", "missing.db"], "no journal here"),
        (["rebuild", "missing.db"], "no journal here"),
        (["nosuchverb"], "No such command"),
        (["pages", "{journal}"], "name one with --session"),
        (["pages", "{journal}", "-s", "zzz"], "holds no session 'zzz'"),
        (["pages", "{journal}", "-s", "demo-c", "--turn", "99"], "no turn 99"),
        (["pages", "{journal}", "-s", "demo-c", "--at", "99999"], "no version 99999"),
        (["pages", "{journal}", "-s", "demo-c", "--at", "9", "--turn", "1"], "two places"),
        (["pages", "{journal}", "-s", "demo-c", "--type", "poem"], "unknown page type"),
        (["prompt", "{journal}", "-s", "demo-c", "--at", "1"], "no prompt was assembled"),
        (["show", "{journal}", "p999", "-s", "demo-c"], "no page p999"),
        (["show", "{journal}", "0", "-s", "demo-c"], "no version 0"),
        (["show", "{journal}", "9" * 5_000, "-s", "demo-c"], "no version 999"),
        (["diff", "{journal}", "turn:" + "9" * 5_000, "1", "-s", "demo-c"], "turn:999"),
        (["diff", "{journal}", "9" * 5_000, "1", "-s", "demo-c"], "999"),
        (["log", "{journal}", "--type", "poem"], "unknown event type"),
        (["sessions", "missing.db"], "clawvm import makes a journal"),
        (["pages", "{journal}", "-s", "demo-c", "--turn", "99"], "its last is 27"),
        (["pages", "{journal}", "-s", "demo-c", "--turn", "x"], "'x' is not a valid integer. (clawvm pages --help)"),
        (["trace", "{journal}", "-s", "demo-c", "--page", "p999"], "has no page p999 (clawvm pages JOURNAL lists"),
        (["redact", "{journal}", "-s", "demo-c", "--page", "p999"], "has no page p999 (clawvm pages JOURNAL lists"),
        (["bisect", "{journal}", "-s", "demo-c", "--when", "absent(p999)"], "has no page p999 (clawvm pages JOURNAL"),
        (["bisect", "{journal}", "-s", "demo-c", "--when", "turn > 3 and page.plan.dirty"], "has no page plan"),
        (["bisect", "{journal}", "-s", "demo-c", "--fault", "refetch", "--page", "p999"], "has no page p999"),
        (
            ["catalogue", "no-lake"],
            "no-lake: there is no such folder (clawvm export JOURNAL --as parquet -o DIR makes it)",
        ),
        (["sessions", "{journal}", "--since", "yesterday"], "'yesterday' is no day such as 2026-11-27."),
        (["pg", "init", "j.db"], "'j.db' is no URL of PostgreSQL (postgresql://USER@HOST/DATABASE)"),
        (["replay", "missing.jsonl", "-j", "{new}"], "missing.jsonl"),
        (["replay", ".", "-j", "{new}"], "directory"),
        (["replay", "x.jsonl", "-j", "{new}", "--budget", "0"], "at least 1"),
        (["replay", "x.jsonl", "-j", "{new}", "--policy", "poem"], "unknown policy"),
        (["replay", "x.jsonl", "-j", "{new}", "--policy", "oracle"], "clawvm eval"),
        (["replay", "x.jsonl", "-j", "{new}", "--without", "poem"], "unknown mechanism 'poem' (one of floors,"),
        (["replay", "{journal}", "-j", "{new}", "--format", "poem"], "unknown format"),
        (["replay", "{journal}", "-j", "no/such/folder/j.db"], "no directory"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(run, journal, tmp_path, monkeypatch, arguments, says):
    """What, where and what to do, on one line of stderr; nothing on stdout."""
    monkeypatch.chdir(tmp_path)
    filled = [a.format(journal=journal, new=tmp_path / "new.db") for a in arguments]
    code, out, err = run(*filled)
    assert (code, out) == (2, "")
    assert err.startswith("clawvm: ") and says in err
    assert err.count("\n") == 1


def test_hooks_of_a_journal_that_no_harness_reports_to(run, journal):
    """`hook ingest` says so, in place of an error about a file that was never made."""
    code, out, err = run("hook", "ingest", "--journal", journal)
    assert (code, err) == (0, "") and out == f"no harness reports to {journal} (clawvm install sets up one)\n"


def test_a_field_that_the_store_lacks_is_told_from_an_empty_store(run, journal):
    """Of a store that holds others, `store --field` names the field."""
    assert run("store", journal, "--field", "goal")[1] == "no versions of a field 'goal'\n"


def test_doctor_tells_a_file_that_is_no_journal(run, tmp_path, monkeypatch):
    """Also where no harness records into it yet."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "notes.txt").write_text("not a journal " * 50)
    code, out, _ = run("doctor", "--journal", tmp_path / "notes.txt")
    assert code == 1 and "is no SQLite file" in out
    assert run("doctor", "--journal", tmp_path / "new.db")[0] == 0


def test_an_erasure_whose_text_others_hold_says_so(run, journal):
    """It speaks of commitments, in place of no text and no byte that were erased."""
    code, out, _ = run("redact", journal, "-s", OURS, "--page", "p13", "--yes")
    assert code == 0 and "9 commitments, and no text, since other sessions hold the same: erased" in out
    assert "still held by demo-lru" in out and "0 texts" not in out


def test_a_page_in_one_file_tells_how_far_it_is(journal):
    """A session of many turns takes long to pack: each turn is told, of all."""
    from clawvm_es.web.export import export

    seen = []
    with open_log(str(journal), read_only=True) as log:
        export(log, OURS, "j.db", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(turn, 27) for turn in range(1, 28)]


def members(document: object) -> Iterator[tuple[str, object]]:
    """Every name in a document, with its value."""
    if isinstance(document, dict):
        yield from document.items()
    for each in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from members(each)


@pytest.mark.parametrize(
    "arguments",
    [
        ["log", "-s", OURS], ["show", "7", "-s", OURS], ["trace", "-s", OURS], ["faults"], ["losses", "-s", WEAK],
        ["store"], ["stats", "--turns", "-s", OURS], ["blame", "p5", "-s", OURS], ["why", "p5", "-s", OURS],
        ["prompt", "--provenance", "-s", OURS], ["bisect", "--when", "absent(p7)", "-s", OURS],
    ],
)  # fmt: skip
def test_a_moment_and_a_session_have_one_name_in_every_document(load, journal, arguments):
    """`at` is a number of microseconds, `time` the same in ISO 8601, and a session is named by its `session_id`."""
    verb, *more = arguments
    found = list(members(load(verb, journal, *more)))
    names = {name for name, _ in found}
    assert not {"at_us", "session"} & names
    assert all(isinstance(value, int) for name, value in found if name == "at")
    assert all(
        re.fullmatch(r"2026-03-02T09:\d\d:\d\d(\.\d+)?Z", str(value)) for name, value in found if name == "time"
    )
    assert "at" not in names or "time" in names


def test_the_help_of_an_option_says_what_the_verb_does_with_it(run):
    """A verb over all sessions says so; a verb that shows a turn's events does not speak of the turn's end."""
    for verb in ("sessions", "log", "faults", "store", "stats", "grep"):
        assert "beginning of one. Default: all." in " ".join(run(verb, "--help")[1].split()), verb
    for verb in ("log", "trace", "grep"):
        assert "Only this turn." in run(verb, "--help")[1], verb
    for verb in ("prompt", "why"):
        assert "The prompt of this turn. Default: the last." in " ".join(run(verb, "--help")[1].split()), verb
    assert not [verb for verb in cli.commands if "INTEGER" in run(verb, "--help")[1]]


def test_what_is_no_journal_stays_as_it_was(run, tmp_path):
    """A text file and a foreign database are refused by every verb that takes a journal."""
    text, foreign = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("not a journal " * 50, encoding="utf-8")
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE t (x)")
    for path in (text, foreign):
        before = path.read_bytes()
        for verb in ("sessions", "verify", "rebuild", "stats"):
            assert run(verb, path)[0] == 2
        assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "other.db"]


def test_one_bad_file_stops_no_other(run, demo_journal, tmp_path):
    """The good file is replayed, the bad one named, and the exit code is 2."""
    trace, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    run("export", demo_journal, "-s", OURS, "-o", trace)
    bad.write_bytes(b"\x00\x01\x02")
    code, out, err = run("replay", bad, trace, "--journal", tmp_path / "j.db", "--json")
    document = json.loads(out)
    assert code == 2 and str(bad) in err
    assert [s["session_id"] for s in document["sessions"]] == [OURS]
    assert [error["file"] for error in document["errors"]] == [str(bad)]


def test_a_wrong_path_makes_no_journal(run, tmp_path):
    """Where no file is there to replay, nothing is made."""
    code, _, err = run("replay", tmp_path / "nothing.jsonl", "-j", tmp_path / "j.db")
    assert code == 2 and "nothing.jsonl: no such file" in err
    assert list(tmp_path.iterdir()) == []


def test_other_settings_need_another_name(run, demo_journal, tmp_path):
    """The same session under another budget exits 2 with a hint, and is replayed under another name."""
    trace, journal = tmp_path / "t.jsonl", tmp_path / "j.db"
    run("export", demo_journal, "-s", OURS, "-o", trace)
    assert run("replay", trace, "-j", journal)[0] == 0
    code, _, err = run("replay", trace, "-j", journal, "--budget", "700")
    assert code == 2 and "--as NAME" in err
    assert run("replay", trace, "-j", journal, "--budget", "700", "--as", "tight")[0] == 0


def test_a_reader_sees_what_the_read_models_have_not(load, journal):
    """Without stored rows, or with rows of another version, readers fold the log and print the same."""
    before = [load(verb, journal, *READING[verb]) for verb in ("sessions", "pages", "faults", "store")]
    for change in ("UPDATE projections SET version = 0", "DROP TABLE projections"):
        with sqlite3.connect(journal) as db:
            db.execute(change)
        assert [load(verb, journal, *READING[verb]) for verb in ("sessions", "pages", "faults", "store")] == before


def test_a_closed_pipe_is_no_error_message(demo_journal):
    """A reader that goes away ends the program quietly."""
    command = [sys.executable, "-m", "clawvm_es", "log", str(demo_journal), "--json"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_help_is_listed_without_a_journal(run):
    """The program's own help names all verbs and says how to complete by tab."""
    code, out, _ = run("--help")
    assert code == 0 and "_CLAWVM_COMPLETE" in out
    assert all(f"  {verb} " in out for verb in cli.commands)


def test_rebuild_takes_damaged_snapshots_again(run, journal):
    """States come out the same while snapshots are damaged, and `rebuild` makes them good."""
    shown = run("pages", journal, "-s", OURS, "--at", "150", "--json")
    with sqlite3.connect(journal) as db:
        assert db.execute("UPDATE snapshots SET head = x'00'").rowcount > 0
    assert run("verify", journal)[0] == 1
    assert run("pages", journal, "-s", OURS, "--at", "150", "--json")[:2] == shown[:2]
    assert run("rebuild", journal)[0] == 0
    assert run("verify", journal)[0] == 0


def test_a_hint_is_told_once(tmp_path, run):
    """What to do next stands once in the line that an error comes to, in parentheses at its end."""
    code, _, err = run("replay", tmp_path / "missing.jsonl", "--journal", tmp_path / "j.db", "--policy", "nobody")
    assert code == 2
    assert err.count("(known policies") == 1
    assert err.count("\n") == 1


def test_tools_on_no_declared_list_are_told_by_their_name(tmp_path, run):
    """`log` and `faults` say which tool was called, though the event holds only a commitment to its name."""
    from clawvm_es.engine.journal import Journal
    from clawvm_es.model.facts import Holder, Need, NeedRule

    path = tmp_path / "j.db"
    with Journal.open(path) as journal, journal.session("s", policy="retrieval", counter="lines4") as session:
        session.observe_model("", [("deploy_everything", {"now": True})])
        page = session.write_page("evidence", "x " * 400)
        session.retire(page)
        called = session._calls.called(session.state, "deploy_everything", {"now": True})
        need = Need((Holder(page),), NeedRule.REPEATED_READ, 3)
        from msgspec.structs import replace

        from clawvm_es.model.commands import Command

        session.execute(Command(replace(called, needs=(need,)), 1, "model"))
    _, out, _ = run("log", path, "--type", "tool_called")
    assert out.count("tool=deploy_everything") == 2
    _, out, _ = run("faults", path)
    assert "deploy_everything" in out
