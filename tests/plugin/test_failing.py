"""What a person reads when a recorded session is not what it was: code, file, or input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from clawvm_es.core import decide, utility
from clawvm_es.errors import UsageError
from clawvm_es.history.recorded_files import read_sessions
from clawvm_es.model import events as e
from tests.plugin.conftest import OTHER_QUALITY
from tests.plugin.test_collecting import bundle

PATCH = f"import clawvm_es.core.utility; clawvm_es.core.utility.QUALITY = {OTHER_QUALITY}"
"""The same change, for a process of its own."""


@pytest.fixture
def changed(project, monkeypatch):
    """A project with a recording, and code that has other weights in the selector."""
    project.recording()
    monkeypatch.setattr(utility, "QUALITY", OTHER_QUALITY)
    return project


def first_difference(project):
    """Where `verify --redecide` on the journal sees the same change: version and path, from its JSON."""
    code = PATCH + "; import sys; from clawvm_es.cli.main import main; main(sys.argv[1:])"
    verify = [sys.executable, "-c", code, "verify", str(project.journal), "--redecide", "--json"]
    found = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    problem = json.loads(found.stdout)["problems"][0]
    words = problem["detail"].replace(":", "").split()
    return words[words.index("version") + 1], words[next(i for i, word in enumerate(words) if word.startswith("$"))]


def test_a_changed_weight_fails_here_and_in_verify_at_the_same_event(project):
    """Both name the first event that is decided otherwise, and the field."""
    project.recording()
    project.pytester.makeconftest(PATCH)
    version, path = first_difference(project)
    result = project.run(apart=True)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"run-1 version {version} (turn *, *): {path}: golden *, now *"])


def test_the_failure_shows_where_what_and_how_to_go_on(changed):
    """Session, version, turn, type, the two events before, every differing field, and the way out."""
    result = changed.run()
    shown = result.stdout.str()
    assert "Traceback" not in shown and "pytest_plugin.py" not in shown
    result.stdout.re_match_lines(
        [
            r"run-1 version \d+ \(turn \d+, (\w+)\): \$[.\w]+: golden .+, now .+",
            r" +\d+  \w+$",
            r" +\d+  \w+$",
            r"  > +\d+  \w+",
            r" +golden +now",
            r" +\$\.\w+ +\S+ +\S+",
            r"If today's decisions are the right ones: pytest run-1.clawvm.jsonl --clawvm-update",
        ]
    )
    assert "recorded session run-1" in shown


@pytest.mark.parametrize("how", [["-q"], ["--tb=short"], ["--tb=line"], ["-q", "-q"], ["--tb=native"]])
def test_every_form_of_report_names_event_and_field(changed, how):
    """The one line that is always there is enough to know what differs."""
    result = changed.run("-rf", *how)
    result.assert_outcomes(failed=1) if "-q" not in how[1:] else None
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    wide = result.stdout.str()
    assert "run-1 version " in wide and "run-1.clawvm.jsonl" in wide


def test_the_short_summary_names_event_and_field(changed, monkeypatch):
    """`FAILED file::session - …` is what people see first."""
    monkeypatch.setenv("COLUMNS", "200")
    changed.pytester.makeconftest(PATCH)
    for more in ([], ["-n", "2"]):
        result = changed.run("-rf", *more, apart=bool(more))
        result.stdout.re_match_lines(
            [r"FAILED run-1.clawvm.jsonl::run-1 - .*run-1 version \d+ .*: \$[.\w]+: golden .*"]
        )


def test_junit_xml_holds_the_diff(changed):
    """Continuous integration that shows junit reports shows the same text."""
    changed.run("--junit-xml=out.xml")
    (case,) = ET.parse(changed.folder / "out.xml").iter("testcase")
    (failure,) = case
    assert case.get("name") == "run-1" and "run-1.clawvm.jsonl" in case.get("classname") + ".jsonl"
    assert "golden" in failure.get("message") and "golden" in failure.text and "--clawvm-update" in failure.text


def refuse(state, data):
    """An admission check that lets nothing pass."""
    raise UsageError("no more recalls")


STAGED = (e.DirtyPageStaged("p1", 1),)
CHANGES = {
    "refused": (
        ("ADMISSION", e.RecallAnswered, refuse),
        "*run-1 version * (recall_answered): refused today: no more recalls",
    ),
    "missing": (
        ("DECIDERS", e.UpdateStaged, lambda state, data: ()),
        '*run-1 version * (turn 1, update_validated): $type: golden "update_validated", now nothing',
    ),
    "extra": (
        ("DECIDERS", e.RecallAnswered, lambda state, data: STAGED),
        '*run-1 version * (turn 1, dirty_page_staged): $type: golden nothing, now "dirty_page_staged"',
    ),
    "other": (
        ("DECIDERS", e.UpdateStaged, lambda state, data: STAGED),
        '*run-1 version * (turn 1, update_validated): $type: golden "update_validated", now "dirty_page_staged"',
    ),
}
"""What changes in the tables of the core, and the line that tells it."""


@pytest.fixture
def change(monkeypatch):
    """Put another row into a table of the core."""

    def put(what: str) -> str:
        (table, event, row), line = CHANGES[what]
        monkeypatch.setattr(decide, table, {**getattr(decide, table), event: row})
        return line

    return put


@pytest.mark.parametrize("what", CHANGES)
def test_other_code_is_told_in_one_line(project, change, what):
    """An input that is refused today, decisions that are missing, new or of another type."""
    line = change(what)
    project.recording()
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([line])
    assert "pytest_plugin.py" not in result.stdout.str()


def edited(path, edit):
    """Rewrite a file's lines."""
    path.write_bytes(b"".join(edit(path.read_bytes().splitlines(keepends=True))))


DAMAGES = {
    "cut": (lambda lines: lines[:-3], "*run-1.clawvm.jsonl: cut after event *"),
    "cut line": (lambda lines: [*lines[:-1], lines[-1][:40]], "*run-1.clawvm.jsonl: line *: not JSON, or cut*"),
    "edited": (
        lambda lines: [line.replace(b'"turn":2', b'"turn":3') for line in lines],
        "*run-1.clawvm.jsonl: edited since it was written*",
    ),
    "swapped": (
        lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]],
        "*run-1.clawvm.jsonl: line 5: $.version: expected 4, got 5*",
    ),
    "merged": (
        lambda lines: [*lines[:4], b"<<<<<<< HEAD\n", *lines[4:]],
        "*run-1.clawvm.jsonl: line 5: not JSON*",
    ),
    "unknown type": (
        lambda lines: [line.replace(b'"recall_answered"', b'"recall_dreamt"') for line in lines],
        "*run-1.clawvm.jsonl: line *: unknown event type 'recall_dreamt' (a newer version may have written it)*",
    ),
    "a number for a text": (
        lambda lines: [line.replace(b'"principal":"harness"', b'"principal":7') for line in lines],
        "*run-1.clawvm.jsonl: line 2: Expected `str`, got `int` - at `$.principal`*",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_recording_fails_in_one_line(project, damage):
    """The line says file, line and what is wrong there; other tests run."""
    edit, line = DAMAGES[damage]
    edited(project.recording(), edit)
    project.recording("good.clawvm.jsonl")
    result = project.run()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines([line])
    assert "pytest_plugin.py" not in result.stdout.str()


def test_what_a_recording_says_reaches_no_terminal_raw(project):
    """The id of a session that fails is escaped where pytest prints it."""
    evil = json.dumps("run\x1b[2J\u202e")[1:-1].encode()
    edited(
        project.recording(), lambda lines: [line.replace(b"run-1", evil).replace(b":1}", b":7}") for line in lines]
    )
    result = project.run()
    assert result.ret != 0
    assert "\x1b[2J" not in result.stdout.str() and "\u202e" not in result.stdout.str()
    assert "\\x1b[2J\\u202e" in result.stdout.str()


HEADS = {
    "newer": (
        lambda line: line.replace(b'"version":1', b'"version":9'),
        "*line 1: $.version: written by a newer version*upgrade clawvm-es*",
    ),
    "foreign": (lambda line: b'{"hello": 1}\n', "*line 1: neither a recording nor a bundle*"),
    "empty": (lambda line: b"", "*line 1: neither a recording nor a bundle*"),
}


@pytest.mark.parametrize("head", HEADS)
def test_a_file_that_cannot_tell_its_sessions_is_an_error_of_collection(project, head):
    """It has no tests, so it is reported where tests are collected, in one line."""
    edit, line = HEADS[head]
    edited(project.recording(), lambda lines: [edit(lines[0])])
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([line])
    assert "pytest_plugin.py" not in result.stdout.str()


def test_a_damaged_bundle_fails(project):
    """One changed byte anywhere is enough."""
    path = bundle(project.journal, project.folder / "two.clawvm.bundle", "run-1", "run-2")
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'"principal":"harness"', b'"principal":"someone"', 1))
    result = project.run()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*two.clawvm.bundle: changed since it was made: *"])


# -------------------------------------------------------------------------------------------- accepting


def test_update_accepts_and_says_what_changed(changed):
    """The recording is rewritten once, the test passes, and so does the next run without the option."""
    (path,) = changed.folder.glob("*.clawvm.jsonl")
    before = path.read_bytes()
    result = changed.run("--clawvm-update")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["run-1.clawvm.jsonl: * decisions are others now; first session run-1 version *: $*"])
    after = path.read_bytes()
    assert after != before and read_sessions(path)
    changed.run().assert_outcomes(passed=1)
    assert "accepted" not in changed.run("--clawvm-update").stdout.str()
    assert path.read_bytes() == after
    assert os.listdir(changed.folder).count(path.name) == 1


def test_update_beside_xdist(changed):
    """Workers rewrite their files, and the one process that reports says so."""
    changed.recording("other.clawvm.jsonl", "run-2")
    changed.pytester.makeconftest(PATCH)
    result = changed.run("--clawvm-update", "-n", "2", apart=True)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["other.clawvm.jsonl: * decisions are others now*"])
    changed.run().assert_outcomes(passed=2)


def test_update_without_a_difference_writes_nothing(project):
    """Not even the same bytes."""
    path = project.recording()
    stamp = path.stat()
    project.run("--clawvm-update").assert_outcomes(passed=1)
    assert path.stat().st_ino == stamp.st_ino and path.stat().st_mtime_ns == stamp.st_mtime_ns


def test_a_bundle_is_never_rewritten(changed):
    """It proves what was; the failure says what to do instead."""
    path = bundle(changed.journal, changed.folder / "two.clawvm.bundle", "run-1")
    before = path.read_bytes()
    result = changed.run(path.name, "--clawvm-update")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["A bundle is evidence and is never rewritten*"])
    assert path.read_bytes() == before


def test_a_crash_of_todays_code_says_at_which_event(project, monkeypatch):
    """A bug in the core is shown with its traceback, and with the event that it was deciding."""
    monkeypatch.setattr(decide, "DECIDERS", {**decide.DECIDERS, e.UpdateStaged: lambda state, data: 1 // 0})
    project.recording()
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ZeroDivisionError*", "*deciding session run-1 version * (update_staged)*"])


def test_what_cannot_be_decided_cannot_be_accepted(project, change):
    """An input that today's code refuses fails the update, and the file stays."""
    path = project.recording()
    before = path.read_bytes()
    change("refused")
    project.run("--clawvm-update").assert_outcomes(failed=1)
    assert path.read_bytes() == before


@pytest.mark.parametrize("what", ["missing", "extra", "other"])
def test_more_and_fewer_decisions_can_be_accepted(project, change, what):
    """Versions move, and the recording is whole and passes."""
    path = project.recording()
    change(what)
    project.run("--clawvm-update").assert_outcomes(passed=1)
    project.run().assert_outcomes(passed=1)
    assert read_sessions(path)[0].session_id == "run-1"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_recording_that_cannot_be_written_fails(changed):
    """The error says which file and why."""
    changed.folder.chmod(0o555)
    result = changed.run("--clawvm-update", "-p", "no:cacheprovider")
    changed.folder.chmod(0o755)
    result.stdout.fnmatch_lines(["*run-1.clawvm.jsonl: cannot be rewritten: *"])


# ------------------------------------------------------------------------------------- marker and fixture


def test_the_fixture_brings_the_session_that_the_marker_names(project):
    """Beside the test's file or below rootdir; its events, its state, and the assertion."""
    project.pytester.mkdir("deep")
    project.recording("deep/near.clawvm.jsonl")
    project.recording("far.clawvm.jsonl", "run-2")
    (project.folder / "deep" / "test_it.py").write_text(
        """
import pytest
from clawvm_es.model.events import FaultObserved, PromptAssembled
from clawvm_es.testing import assert_redecides

@pytest.mark.clawvm("near.clawvm.jsonl")
def test_near(clawvm_session):
    assert clawvm_session.session_id == "run-1"
    assert clawvm_session.of(FaultObserved) == []
    assert len(clawvm_session.of(PromptAssembled)) == clawvm_session.state().turn == 6
    assert_redecides(clawvm_session)

@pytest.mark.clawvm("far.clawvm.jsonl", session="run-2")
class TestFar:
    def test_far(self, clawvm_session):
        assert clawvm_session.session_id == "run-2"
"""
    )
    project.run("deep/test_it.py").assert_outcomes(passed=2)
    project.run("--markers").stdout.fnmatch_lines(["@pytest.mark.clawvm(path, session=None)*"])


def test_the_assertion_shows_the_same_diff(changed):
    """`assert_redecides` fails with the text of the collected test; `--clawvm-update` accepts here too."""
    changed.pytester.makepyfile(
        "import pytest\nfrom clawvm_es.testing import assert_redecides\n"
        "@pytest.mark.clawvm('run-1.clawvm.jsonl')\ndef test(clawvm_session): assert_redecides(clawvm_session)\n"
    )
    result = changed.run("-k", "not run")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*AssertionError: run-1 version *: $*: golden *, now *"])
    changed.run("-k", "not run", "--clawvm-update").assert_outcomes(passed=1, deselected=1)
    changed.run().assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("marker", "line"),
    [
        ("", "clawvm_session needs @pytest.mark.clawvm*"),
        ("@pytest.mark.clawvm()", "clawvm_session needs @pytest.mark.clawvm*"),
        ("@pytest.mark.clawvm('no.jsonl')", "*no.jsonl: No such file or directory*"),
        ("@pytest.mark.clawvm('run-1.clawvm.jsonl', session='x')", "*holds run-1: name one of them with session=*"),
    ],
)
def test_a_marker_that_names_no_session_is_told(project, marker, line):
    """One line, and no traceback into the plugin."""
    project.recording()
    project.pytester.makepyfile(f"import pytest\n{marker}\ndef test(clawvm_session): pass\n")
    result = project.run("-k", "not run")
    result.assert_outcomes(errors=1, deselected=1)
    result.stdout.fnmatch_lines([line])


def test_a_call_that_is_not_on_the_tape_shows_the_nearest_one(project):
    """Beside the traceback: tool, event, and each field with what was recorded and what came."""
    project.pytester.makepyfile(
        """
from clawvm_es.engine.journal import Journal

def test_it():
    with Journal.open(":memory:") as journal:
        with journal.session("parent") as session:
            session.user_says("go")
            session.tool("edit", {"path": "a", "line": 9}, lambda **given: "ok")
        with journal.fork("parent", "child", at=2) as child:
            child.tool("edit", {"path": "b", "line": 999}, lambda **given: "ok")
"""
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*nearest recorded call*",
            "edit in parent, version *",
            "  arguments.line: recorded 9, got 999",
            '  arguments.path: recorded "a", got "b"',
        ]
    )
