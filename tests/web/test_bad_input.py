"""Journals that are empty, damaged, old, or not there: an answer or one line, never a fault of ours."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from clawvm_es.cli.main import main
from clawvm_es.engine.journal import Journal
from clawvm_es.history.redact import Target, redact
from clawvm_es.model.events import PromptRendered
from clawvm_es.storage import open_log
from clawvm_es.web import tail
from clawvm_es.web.app import app
from clawvm_es.web.sizes import LIMIT, bounded, part, taken
from tests.web.conftest import PORT, TOKEN, Client

GOLDEN = Path(__file__).parent.parent / "golden"
ASKED = (
    "map", "map?bins=4", "t/0", "t/1", "t/2/why/p1", "diff?a=t1&b=t2", "page/p1", "blame/p1", "e/1", "e/9", "store",
    "grep?q=the", "losses", "whatif?budget=300", "bisect?q=absent(p1)",
)  # fmt: skip


def served(path) -> Client:
    """The application over a file."""
    return Client(app(str(path), TOKEN, PORT))


def all_answers(client: Client, session: str):
    """Each address with its answer, once what takes long is done."""
    for address in ("/api/sessions", *(f"/api/s/{session}/{each}" for each in ASKED)):
        got = client.get(address)
        while got.status == 202:
            got = client.get(address)
        yield address, got


NUMBERS = ("9" * 5_000, "9" * 16, "-1", "٣", "²", "1.5", "1e3", "NaN", "+1", "0x1", " 1")
ASKED_BY_NUMBER = (
    "map?from={}", "map?bins={}", "t/{}", "t/{}/spans", "t/1/span/{}", "t/1/span/0?offset={}", "t/{}/why/p1", "e/{}",
    "diff?a=t{}", "diff?b=v{}", "store?at=v{}", "grep?q=the&limit={}", "whatif?budget={}",
    "whatif?weight=reuse={}", "whatif?weight=reuse=--{}", "bisect?q=absent(p1)&good=v{}",
    "bisect?q=absent(p1)&bad=t{}",
)  # fmt: skip


@pytest.mark.parametrize("address", ASKED_BY_NUMBER)
def test_what_is_no_number_is_refused_in_one_short_line(client, address):
    """Numbers of thousands of digits raised where Python reads no more than 4,300 of them."""
    signed = "weight=reuse={}" in address  # -1 is a weight
    for number in NUMBERS:
        if signed and number == "-1":
            continue
        got = client.get(f"/api/s/s/{address.format(number)}")
        assert got.status in (400, 404), (number[:9], got.body[:200])
        assert len(got.json["error"]) <= 501 and "\n" not in got.json["error"]


def test_an_empty_journal_has_no_sessions(tmp_path):
    """The list is empty, and every address below it says so."""
    Journal.open(tmp_path / "j.db").close()
    client = served(tmp_path / "j.db")
    assert client.get("/api/sessions").json["sessions"] == []
    assert {got.status for _, got in list(all_answers(client, "s"))[1:]} == {404}


def test_a_session_without_a_prompt_has_no_turns(tmp_path):
    """A map without columns, whose first turn is 0."""
    with Journal.open(tmp_path / "j.db") as journal, journal.session("s", budget_tokens=100, counter="lines4") as one:
        one.user_says("hello")
    client = served(tmp_path / "j.db")
    found = client.get("/api/s/s/map").json
    assert (found["turns"], found["runs"], found["rows"]) == (0, [], [])
    assert client.get("/api/s/s/map?bins=3").json["bins"] == []
    assert client.get("/api/s/s/t/0").json["label"] == "no prompt was assembled in this turn"
    assert client.get("/api/s/s/t/1").status == 404
    assert {got.status for _, got in all_answers(client, "s")} <= {200, 400, 404}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET data = '{' WHERE version = 9",
        "UPDATE events SET data = '[]' WHERE version % 7 = 3",
        "UPDATE events SET type = 'stranger' WHERE version = 12",
        "UPDATE events SET turn = 900 WHERE version = 20",
        "DELETE FROM events WHERE version = 15",
        "DELETE FROM events WHERE version = 1",
        "UPDATE snapshots SET head = x'00'",
        "DELETE FROM sessions",
        "DELETE FROM page_table",
        "UPDATE commitments SET salt = x'00'",
        "DROP TABLE turns",
    ],
)
def test_damage_is_an_answer_or_one_line(journal, tmp_path, change):
    """What can be read is; what cannot is told in one line as damage of the file, and nothing hangs."""
    path = tmp_path / "j.db"
    shutil.copy(journal, path)
    with sqlite3.connect(path) as db:
        for trigger in [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]:
            db.execute(f"DROP TRIGGER {trigger}")
        db.execute(change)
    db.close()
    client = served(path)
    for address, got in all_answers(client, "s"):
        assert got.status in (200, 400, 404, 500), address
        assert got.status == 200 or (got.json["kind"] != "InternalError" and "\n" not in got.json["error"]), got.json


@pytest.mark.parametrize("name", ["v1", "v3", "v6"])
def test_a_journal_of_an_older_version_is_shown(tmp_path, name):
    """Its events are read as they mean today."""
    shutil.copy(GOLDEN / f"{name}.journal", tmp_path / "j.db")
    client = served(tmp_path / "j.db")
    rows = client.get("/api/sessions").json["sessions"]
    assert rows
    found = client.get(f"/api/s/{rows[0]['key']}/map").json
    assert found["turns"] == rows[0]["turns"] and found["rows"]
    assert {got.status for _, got in all_answers(client, rows[0]["key"])} <= {200, 400, 404}


@pytest.mark.parametrize("content", [b"", b"no journal at all", b"SQLite format 3\0" + bytes(84)])
def test_a_file_that_is_no_journal_is_one_line(tmp_path, content):
    """Also one that vanished after the server began."""
    path = tmp_path / "j.db"
    path.write_bytes(content)
    got = served(path).get("/api/sessions")
    assert got.status in (200, 500) and len(got.body) < 1_000
    assert got.status == 200 or got.json["kind"] in ("NotAJournal", "JournalDamaged", "UnreadableInput")
    assert path.read_bytes() == content
    path.unlink()
    assert served(path).get("/api/sessions").status == 500
    assert not path.exists()


READ_AS_WHO_MAY_NOT_WRITE = """
import os, sys
from tests.web.test_bad_input import all_answers, served
def told(path):
    answers = all_answers(served(path), "s")
    return [(address, got.status, got.body.replace(path.encode(), b"")) for address, got in answers]
writable, path = sys.argv[1:]
known = told(writable)  # with the rights to read every module
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
assert not os.access(path, os.W_OK)
found = told(path)
print([each[0] for each, other in zip(found, known) if each != other], len(found), {each[1] for each in found})
"""


@pytest.mark.parametrize("folder_mode", [0o555, 0o755])
def test_a_journal_that_can_only_be_read_is_shown_like_any_other(journal, folder_mode):
    """On read-only media every answer is the same, nothing is written, and no file is left beside it."""
    folder = Path(tempfile.mkdtemp())  # a user who may not write has to reach it
    try:
        path = folder / "j.db"
        shutil.copy(journal, path)
        before = path.read_bytes()
        path.chmod(0o444)
        folder.chmod(folder_mode)
        command = [sys.executable, "-c", READ_AS_WHO_MAY_NOT_WRITE, str(journal), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert (done.stdout, done.stderr) == (f"[] {len(ASKED) + 1} {{200}}\n", "")
        assert path.read_bytes() == before and os.listdir(folder) == ["j.db"]
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_prompt_whose_salt_is_gone_is_told_from_one_that_nothing_was_committed_to(journal, tmp_path):
    """Its text is shown, and says that it cannot be checked any more; that of other turns can."""
    path = tmp_path / "j.db"
    shutil.copy(journal, path)
    client = served(path)
    known = [client.get(f"/api/s/s/t/{turn}").json for turn in (2, 3)]
    assert [(each["matches"], each["committed"]) for each in known] == [(True, True), (True, True)]
    with open_log(str(path), read_only=True) as log:
        prompts = [row.data.prompt for row in log.read("s") if isinstance(row.data, PromptRendered) and row.turn == 2]
    forget(path, *prompts)
    lost, other = (client.get(f"/api/s/s/t/{turn}").json for turn in (2, 3))
    assert (lost["matches"], lost["committed"], other["matches"]) == (None, True, True)
    assert lost["spans"] == known[0]["spans"] and len(lost["spans"]) > 2
    with Journal.open(tmp_path / "k.db") as plain, plain.session("s", policy="recorded") as session:
        session.user_says("hello")
        session.assemble()
    never = served(tmp_path / "k.db").get("/api/s/s/t/1").json
    assert (never["matches"], never["committed"]) == (None, False)


def forget(path, *commitments: str) -> None:
    """Take rows of commitments, with their salts, out of a journal file."""
    with sqlite3.connect(path) as db:
        db.execute("DROP TRIGGER commitments_delete")
        db.executemany("DELETE FROM commitments WHERE commitment = ?", [(each,) for each in commitments])
    db.close()


def test_no_page_is_exported_while_an_erasure_is_pending(tmp_path, capsys):
    """A reader in the way of an erasure leaves it pending: one line says so, no file is written; then one is."""
    path, out = tmp_path / "j.db", tmp_path / "x.html"

    def exported() -> object:
        with pytest.raises(SystemExit) as left:
            main(["export", str(path), "-s", "s", "--as", "html", "-o", str(out)])
        return left.value.code

    with Journal.open(path) as journal, journal.session("s", budget_tokens=500, counter="lines4") as session:
        page = session.user_says("to be erased")
        session.assemble()
        reader = sqlite3.connect(path, isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM blobs").fetchone()
        assert redact(journal.log, Target("s", page_id=page), at_us=5).status == "pending"
    assert exported() == 2 and not out.exists()
    assert "an erasure is not finished yet" in capsys.readouterr().err
    assert served(path).get("/api/sessions").json["erasure_pending"] is True
    reader.execute("COMMIT")
    reader.close()
    assert exported() == 0 and b"to be erased" not in out.read_bytes()


def test_no_answer_is_longer_than_its_bound(tmp_path):
    """LAW-WEB-3: also where a turn has a thousand pages, events and changes, and texts are of every kind."""
    with (
        Journal.open(tmp_path / "j.db", seed=1) as journal,
        journal.session("s", budget_tokens=30_000, counter="lines4") as session,
    ):
        for number in range(300):
            session.user_says(f"{'≤' * 200} {number}")
        session.assemble()
        session.set_budget(1_500)
        session.assemble()
        session.set_budget(45_000)
        session.assemble()
    client = served(tmp_path / "j.db")
    for address, got in all_answers(client, "s"):
        assert got.status in (200, 404) and len(got.body) <= LIMIT, address
    for address in ("t/2", "t/3", "t/0/events", "t/1/spans?from=5", "page/p300", "e/700"):
        assert len(client.get(f"/api/s/s/{address}").body) <= LIMIT, address


def test_bounds_cut_what_is_too_long_and_say_so():
    """Lists keep their first entries, texts their beginning; what fits stays as it is."""
    assert bounded({"a": [1, 2]}, 100) == {"a": [1, 2], "cut": False}
    found = bounded({"text": "\u4e00" * 90_000, "rows": list(range(120_000)), "deep": [{"x": "y" * 50_000}]})
    assert found["cut"] is True and found["rows"][:3] == [0, 1, 2] and len(found["rows"]) % 12 == 0
    assert part("ab\ud800c", 1, 7) == "b"
    assert part("\u4e00" * 9, 2, 11) == "\u4e00" * 3
    assert taken(["a" * 90, "b" * 90], 20) == ["a" * 90]
    assert taken([1, 2, 3], 100, 2) == [1, 2]


def test_the_head_of_a_stream_is_answered(client):
    """It has no end: a client that asked for its headers alone waited without one."""
    got = client.get("/api/s/s/tail", "HEAD")
    assert (got.status, got.body) == (200, b"") and got.headers["content-type"].startswith("text/event-stream")
    assert client.get("/api/s/nowhere/tail", "HEAD").status == 404


def test_readers_of_a_journal_are_no_change_of_it(tmp_path):
    """Each makes an empty log and takes it away: pages that stood open woke each other, and took half of a core."""
    path = tmp_path / "j.db"
    Journal.open(path).close()
    before = tail._stamp(str(path))
    wal = Path(f"{path}-wal")
    wal.touch()
    assert tail._stamp(str(path)) == before
    wal.write_bytes(b"a frame")
    assert tail._stamp(str(path)) != before


def test_a_stream_whose_look_fails_says_so_and_ends():
    """Whatever the system says of the file, in one event."""

    def look() -> dict[str, object]:
        raise PermissionError(13, "Permission denied", "/j.db")

    async def streamed() -> list[bytes]:
        return [each async for each in tail.tail("/none", look, lambda: False)]

    (only,) = asyncio.run(streamed())
    assert only.startswith(b"event: gone") and b"Permission denied" in only
