"""`fork`, `whatif` and `verify --redecide` as a user meets them."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import attrs
import pytest

from clawvm_es.cli.summary import BY_CONSTRUCTION
from clawvm_es.core import utility
from clawvm_es.core.profiles import PROFILES
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import JournalFull, NondeterminismError
from clawvm_es.history import redecide
from clawvm_es.journal.lineage import read_session
from clawvm_es.model.profile import CONTRACT, Weights
from tests.engine.test_tape import World
from tests.history.test_rerun import live

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


@pytest.fixture
def journal(tmp_path):
    """The path of a journal with one session, named with a blank."""
    path = tmp_path / "the journal.db"
    with Journal.open(path) as journal:
        live(journal, World(), "run 1", policy="clawvm_paper")
    return path


@pytest.fixture
def load(run):
    """Run a verb with `--json`; its exit code and document."""

    def loader(*arguments):
        code, out, err = run(*arguments, "--json")
        return code, json.loads(out) if out else err

    return loader


def test_fork_makes_a_session_that_all_verbs_can_look_at(run, load, journal):
    """It goes on from the end of a turn, under its own budget, and takes its place among the sessions."""
    code, found = load("fork", journal, "--turn", 3, "--as", "try", "--budget", 150, "--policy", "lru")
    assert code == 0 and (found["policy"], found["budget"], found["rerun"]) == ("lru", 150, None)
    code, sessions = load("sessions", journal)
    child = next(row for row in sessions["sessions"] if row["session_id"] == "try")
    assert (child["parent"], child["parent_version"]) == ("run 1", found["parent_version"])
    code, out, _ = run("fork", journal, "-s", "run", "--as", "open", "--allow-new-calls")
    assert code == 0 and "open goes on from version" in out
    with Journal.open(journal) as again, again.session("open") as session:
        assert not session.tool("look", {"n": 77}, World().look).served


def test_rerun_prints_both_runs_and_goes_on_where_it_was(run, load, journal):
    """Figures beside the parent's, where they part; asked again, nothing is appended and the answer is the same."""
    arguments = ("fork", journal, "--turn", 2, "--as", "small", "--budget", 120, "--rerun")
    code, out, _ = run(*arguments)
    assert code == 0 and "none ran" in out and "recorded" in out and "open loop" in out and "parts at turn" in out
    code, again = load(*arguments)
    assert code == 0 and again["rerun"]["appended"] == 0 and again["rerun"]["served"] > 5
    assert again["rerun"]["recorded"]["turns"] == again["rerun"]["now"]["turns"] > 2
    code, same = load("fork", journal, "-s", "run 1", "--turn", 2, "--as", "same", "--rerun")
    assert code == 0 and same["rerun"]["now"] == same["rerun"]["recorded"] and same["rerun"]["parted"] is None
    assert run("verify", journal, "--redecide")[0] == 0


def test_whatif_compares_every_combination(run, load, journal):
    """The recorded run comes first and has the figures of `sessions`; nothing is written."""
    before = journal.read_bytes()
    arguments = ("whatif", journal, "--budget", 100, "--budget", 400, "--policy", "lru", "--policy", "clawvm")
    code, found = load(*arguments)
    assert code == 0 and [(r["policy"], r["budget"]) for r in found["runs"]] == [
        ("lru", 100), ("lru", 400), ("clawvm", 100), ("clawvm", 400),
    ]  # fmt: skip
    _, sessions = load("sessions", journal)
    (row,) = sessions["sessions"]
    names = ("turns", "needs", "hits", "misses", "page_ins", "faults", "alerts", "pressure", "tokens")
    assert {name: found["recorded"][name] for name in names} == {name: row[name] for name in names}
    code, out, _ = run(*arguments, "--weights", "recency=0,plan=1", "--without", "staging,floors", "--turn", 2)
    assert code == 0 and "lru,recency=0,plan=1-without-staging-floors" in out and "after version" in out
    assert journal.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["whatif"], "no setting differs from the recorded ones"),
        (["whatif", "--budget", "0"], "at least 1"),
        (["whatif", "--weights", "plan"], "expected NAME=PERMILLE"),
        (["whatif", "--weights", "plan=x"], "no whole number"),
        (["whatif", "--weights", "plane=1"], "no weight"),
        (["whatif", "--without", "luck"], "unknown mechanism"),
        (["whatif", "--policy", "magic"], "unknown policy"),
        (["whatif", "--policy", "lru", "--from", "9999999"], "no version"),
        (["whatif", "--policy", "lru", "--from", "3", "--turn", "1"], "two places"),
        (["whatif", "--policy", "lru", "-s", "nobody"], "holds no session"),
        (["fork", "--as", "run 1"], "already"),
        (["fork", "--as", "scope:x"], "shared scopes"),
        (["fork", "--as", "x", "--at", "9999999"], "no version"),
        (["fork", "--as", "x", "--turn", "9999"], "no turn"),
        (["fork", "--as", "x", "--rerun"], "name a place"),
        (["fork", "--as", "x", "--turn", "1", "--rerun", "--allow-new-calls"], "no new calls"),
        (["fork", "--as", "x", "--seed", "3"], "seed"),
        (["fork"], "--as"),
    ],
)
def test_wrong_usage_is_one_line_and_changes_nothing(run, journal, arguments, says):
    """Exit code 2, one line that says what is wrong, and the journal as it was."""
    before = journal.read_bytes()
    code, out, err = run(arguments[0], journal, *arguments[1:])
    assert code == 2 and out == "" and says in err and err.count("\n") == 1
    assert journal.read_bytes() == before


def test_the_help_of_verbs_names_every_policy_and_weight(run):
    """What `--policy` and `--weights` take can be read where they are asked for."""
    for verb in ("whatif", "replay"):
        code, out, _ = run(verb, "--help")
        named = {name.strip(",.;)(") for name in out.split()}
        assert code == 0 and {name.removesuffix("+fixed") for name in PROFILES} <= named and "+fixed" in named
    _, out, _ = run("whatif", "--help")
    assert {field.name for field in attrs.fields(Weights)} <= {name.strip(",.;)(") for name in out.split()}


def test_a_policy_that_keeps_the_contract_faults_nowhere_by_construction():
    """The table says so for each profile with all mechanisms, whatever its rule."""
    whole = {name for name, found in PROFILES.items() if {*CONTRACT} <= {*found.capabilities}}
    assert whole == {*BY_CONSTRUCTION}


def test_a_fork_of_no_journal_makes_none(run, tmp_path):
    """A name that is mistyped is told, not made."""
    code, _, err = run("fork", tmp_path / "none.db", "--as", "x")
    assert code == 2 and "no journal here" in err and not list(tmp_path.iterdir())


def test_other_code_is_named_by_event_and_field(run, load, journal, monkeypatch):
    """One weight of the selector changed: `verify --redecide` names what the library names, and what to look at."""
    run("fork", journal, "--as", "child")  # decided with its parent, whose difference is told once
    monkeypatch.setattr(utility, "QUALITY", (0, 900, 910, 920, 1000))
    with Journal.open(journal, read_only=True) as again, pytest.raises(NondeterminismError) as caught:
        redecide(read_session(again.log, "run 1"))
    expected = caught.value.difference
    code, found = load("verify", journal, "--redecide")
    assert code == 1 and len(found["differences"]) == len(found["problems"]) == 1
    told = found["differences"][0]
    assert (told["session_id"], told["version"], told["type"], told["path"]) == (
        "run 1", expected.version, expected.type, expected.path,
    )  # fmt: skip
    assert (told["recorded"], told["now"]) == (expected.recorded, expected.now)
    assert [event["version"] for event in told["before"]] == [expected.version - 2, expected.version - 1]
    assert told["look"] == f"clawvm log '{journal}' --session 'run 1' --at {expected.version} -n 5"
    code, out, _ = run("verify", journal, "--redecide")
    lines = out.splitlines()
    assert code == 1 and expected.path in lines[0] and "before it: version" in lines[1] and told["look"] in lines[2]
    code, shown = load("log", journal, "--session", "run 1", "--at", expected.version, "-n", 5)
    assert shown["events"][-1]["version"] == expected.version


def test_re_decide_opens_no_body(journal):
    """With every body and salt gone from the file, each decision is still taken again the same."""
    with Journal.open(journal) as whole:
        expected = redecide(read_session(whole.log, "run 1"))
    with sqlite3.connect(journal) as connection:
        for name in ("blobs", "commitments"):
            for (trigger,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?", (name,)
            ).fetchall():
                connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute("DELETE FROM commitments")
        connection.execute("DELETE FROM blobs")
    connection.close()
    with Journal.open(journal, read_only=True) as bare:
        assert bare.log.stored("0" * 64) is None
        assert redecide(read_session(bare.log, "run 1")) == expected > 50


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("v*.journal")))
def test_journals_of_older_schema_versions_are_decided_again(run, load, tmp_path, name):
    """After upcasting, with their shared scopes, by the program itself."""
    path = Path(shutil.copy(GOLDEN / f"{name}.journal", tmp_path / "j.db"))
    with Journal.open(path, seed=1) as journal:
        journal.catch_up()
    code, found = load("verify", path, "--redecide")
    assert code == 0 and found["redecided"] > 300, found


def test_a_fork_that_stands_is_not_made_again(run, load, journal, monkeypatch):
    """Its event was written before the disk was full: the same command then says so, others find the name taken."""

    def full(self):
        raise JournalFull("the journal cannot grow", hint="make room")

    asked = ("fork", journal, "-s", "run 1", "--turn", 3, "--as", "child", "--budget", 150, "--policy", "lru")
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "catch_up", full)
        assert run(*asked) == (2, "", "clawvm: the journal cannot grow (make room)\n")
    code, found = load(*asked)
    assert (code, found["session_id"], found["policy"], found["budget"]) == (0, "child", "lru", 150)
    with Journal.open(journal, read_only=True) as opened:
        assert opened.log.head("child").version == opened.log.first("child").version
    for other in (("--turn", 2), ("--budget", 151), ("--policy", "clawvm"), ("--allow-new-calls",)):
        assert "a session child already" in run(*asked, *other)[2]
    with Journal.open(journal) as opened, opened.session("child") as child:
        child.user_says("on")
    assert "a session child already" in run(*asked)[2]
