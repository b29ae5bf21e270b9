"""`clawvm replay` of files with JSON of the wrong type: told by file and line, and the other files are read."""

import json
import os
import subprocess
import sys

import pytest

from clawvm_es import files
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UsageError
from clawvm_es.history import archive
from tests.importers.test_odd_json import CHAT, CLAUDE, written

ODD = {
    "type.jsonl": '{"type":{}}\n',
    "role.json": '[{"role":[]}]',
    "number.jsonl": "7\n",
    "session.jsonl": '{"type":"session","id":{},"cwd":"/"}\n{"type":"message","message":{"role":[]}}\n',
    "trace.jsonl": '{"format":"clawvm-trace","version":"x","session_id":[]}\n',
}


def clawvm(*arguments):
    """A run of the program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "clawvm_es", *map(os.fsencode, arguments)], capture_output=True, check=False
    )


def test_odd_files_leave_the_others_alone(tmp_path):
    """Each odd file is refused in one line or counted; the good ones are replayed; the exit code is 2."""
    for name, text in ODD.items():
        (tmp_path / name).write_text(text)
    block = {
        "type": "assistant",
        "uuid": "x",
        "sessionId": "abc",
        "message": {"id": "m", "content": [{"type": {}}, "x"]},
    }
    rows = [
        *CLAUDE[1:3],
        block,
        {"type": "user", "uuid": "y", "message": []},
        {"type": "user", "message": {"content": 7}},
    ]
    (tmp_path / "blocks.jsonl").write_bytes(written("claude_code", rows))
    (tmp_path / "good.json").write_bytes(written("openai_chat", CHAT))
    files = [tmp_path / name for name in (*ODD, "blocks.jsonl", "good.json")]
    run = clawvm("replay", *files, "-j", tmp_path / "j.db", "--counter", "lines4", "--json")
    told = json.loads(run.stdout)
    assert run.returncode == 2 and b"Traceback" not in run.stderr
    assert {each["file"] for each in told["sessions"]} >= {
        str(tmp_path / "blocks.jsonl"),
        str(tmp_path / "good.json"),
    }
    (blocks,) = (each for each in told["sessions"] if each["file"].endswith("blocks.jsonl"))
    assert blocks["skipped"]["unknown_block"] == 2 and blocks["skipped_lines"]["unknown_block"] == [3]
    assert blocks["skipped"]["malformed_record"] == 2 and blocks["skipped_lines"]["malformed_record"] == [4, 5]
    refused = {each["file"] for each in told["errors"]}
    assert refused and run.stderr.decode().count("\n") == len(refused)
    assert refused | {each["file"] for each in told["sessions"]} == set(map(str, files)), "each file has its outcome"


def test_the_lines_of_odd_records_are_told(tmp_path):
    """People see file, line and reason of what was skipped because it is odd."""
    (tmp_path / "s.jsonl").write_bytes(
        written("claude_code", [*CLAUDE[1:3], {"type": "user", "message": {"content": 7}}])
    )
    run = clawvm("replay", tmp_path / "s.jsonl", "-j", tmp_path / "j.db", "--counter", "lines4")
    assert run.returncode == 0, run.stderr
    assert f"{tmp_path / 's.jsonl'}: line 3: malformed_record" in run.stdout.decode()


def test_a_session_id_that_is_no_text_is_refused():
    """A lone surrogate is no session id."""
    with Journal.open(":memory:") as journal, pytest.raises(UsageError):
        journal.session("\ud800")


@pytest.mark.parametrize(
    ("option", "name"), [("--as", b"\xff"), ("--project", b"a\x1b[31m"), ("--as", "\u202ex".encode())]
)
def test_an_odd_name_is_one_line(tmp_path, option, name):
    """A name that no session can have is refused, and nothing is written under it."""
    (tmp_path / "good.json").write_bytes(written("openai_chat", CHAT))
    run = clawvm("replay", tmp_path / "good.json", "-j", tmp_path / "j.db", option, name)
    assert run.returncode == 2 and run.stderr.count(b"\n") == 1 and b"Traceback" not in run.stderr
    with Journal.open(tmp_path / "j.db") as journal:
        assert journal.log.heads() == ()


def test_a_journal_may_have_any_name(tmp_path):
    """Verbs write, read, copy, archive and erase a journal whose name is no UTF-8, or holds what a URI would mean."""
    (tmp_path / "good.json").write_bytes(written("openai_chat", CHAT))
    name = b"\xff\n%41?#.db"
    journal, copy, key = (os.path.join(os.fsencode(tmp_path), each) for each in (name, b"copy" + name, b"key"))
    for verb in (
        ("replay", tmp_path / "good.json", "-j", journal, "--counter", "lines4", "--as", "run"),
        ("verify", journal),
        ("backup", journal, copy),
        ("checkpoint", journal, "--make-key", key),
        ("archive", journal, "-o", copy + b".archive", "--key", key, "--open"),
        ("prompt", copy + b".archive", "--session", "run"),
    ):
        run = clawvm(*verb)
        assert run.returncode == 0, (verb, run.stderr)
    run = clawvm("redact", journal, "--pattern", ".", "--yes")
    assert run.returncode == 0 and b"removed" in run.stdout, "the archive is named as a copy"


@pytest.mark.parametrize("name", [b"\xff", b"a\nb", "a\u2028b".encode()])
def test_an_archive_may_have_any_name(tmp_path, name):
    """An archive is found again by the name that was noted of it; notes of earlier versions are read, too."""
    with Journal.open(tmp_path / "j.db") as journal:
        archive.note_archive(journal.log, str(tmp_path / os.fsdecode(name)))
        archive.note_archive(journal.log, str(tmp_path / "other"))
    assert files.archives_of(str(tmp_path / "j.db")) == [str(tmp_path / os.fsdecode(name)), str(tmp_path / "other")]
    (tmp_path / "j.db.archives").write_text("/a\n/b\n")
    assert files.archives_of(str(tmp_path / "j.db")) == ["/a", "/b"]
