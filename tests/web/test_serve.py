"""The server on a real port, beside others who write: tail, erasure, the end, and what it says when it cannot."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection

import pytest

from clawvm_es.cli.main import main
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import UsageError
from clawvm_es.history.redact import Target, redact
from clawvm_es.web.serve import PORT, listen


@pytest.fixture
def grows(tmp_path):
    """The path of a journal with one session that goes on."""
    path = tmp_path / "j.db"
    with (
        Journal.open(path, seed=1) as journal,
        journal.session("s", budget_tokens=700, counter="lines4") as session,
    ):
        session.user_says("the secret word is xyzzy")
        session.assemble()
    return path


def event(stream) -> tuple[str, dict]:
    """The next server-sent event, past comments."""
    name = ""
    while True:
        line = stream.readline().decode().rstrip("\n")
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            return name, json.loads(line.removeprefix("data: "))


def test_a_page_that_is_open_sees_a_session_grow_and_keeps_no_erasure_waiting(grows):
    """The head comes at once and after each append; a redaction meanwhile is finished, and the text is gone."""
    command = [sys.executable, "-m", "clawvm_es", "ui", grows, "--no-browser", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        try:
            told = json.loads(b"".join(program.stdout.readline() for _ in range(6)))
            entry = {"Authorization": f"Bearer {told['token']}"}
            tail = HTTPConnection("127.0.0.1", told["port"], timeout=60)
            tail.request("GET", "/api/s/s/tail", headers=entry)
            stream = tail.getresponse()
            assert (stream.status, stream.getheader("content-type")[:17]) == (200, "text/event-stream")
            name, first = event(stream)
            assert (name, first["turn"]) == ("head", 1)
            with Journal.open(grows, seed=1) as journal, journal.session("s") as session:
                session.assemble()
            name, second = event(stream)
            while second["turn"] == 1:
                name, second = event(stream)
            assert (name, second["turn"]) == ("head", 2) and second["version"] > first["version"]
            ask = HTTPConnection("127.0.0.1", told["port"], timeout=60)
            ask.request("GET", "/api/s/s/t/1", headers=entry)
            assert b"xyzzy" in ask.getresponse().read()
            with Journal.open(grows) as journal:
                found = redact(journal.log, Target("s", page_id="p1"), at_us=5, everywhere=True)
            assert found.status == "erased"
            ask.request("GET", "/api/s/s/t/1", headers=entry)
            after = json.loads(ask.getresponse().read())
            assert [span["erased"] for span in after["spans"]] == [True]
            assert after["matches"] is not True and "xyzzy" not in json.dumps(after)
        finally:
            program.send_signal(signal.SIGINT)
            _, said = program.communicate(timeout=60)
    assert program.returncode == 0
    assert b"Traceback" not in said and said.count(b"\n") == 1


def test_a_port_in_use_is_one_line():
    """It says which, and what to do; the usual port gives way to a free one."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1 is in use") as error:
            listen(port=port)
        assert error.value.hint == "--port 0 takes a free one"
    first = listen()
    second = listen()
    assert {first.port, second.port} - {PORT} and first.port != second.port
    first.socket.close()
    second.socket.close()


def test_other_machines_need_a_name():
    """A host that others reach is served only under names that were allowed."""
    with pytest.raises(UsageError, match="lets other machines ask"):
        listen("0.0.0.0")
    place = listen("0.0.0.0", 0, ("Box.lan",))
    assert place.hosts[-1] == "box.lan"
    assert place.address("t", "/s/x") == f"http://box.lan:{place.port}/s/x?token=t"
    place.socket.close()
    with pytest.raises(UsageError, match="cannot listen on port 1"):
        listen("203.0.113.1", 1, ("x",))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--turn", "3"], "clawvm: --turn needs a --session"),
        (["--session", "none"], "holds no session 'none'"),
        (["--host", "0.0.0.0"], "lets other machines ask"),
    ],
)
def test_wrong_usage_is_one_line(grows, capsys, arguments, says):
    """Exit code 2, and nothing listens."""
    with pytest.raises(SystemExit) as left:
        main(["ui", str(grows), "--no-browser", *arguments])
    err = capsys.readouterr().err
    assert (left.value.code, err.count("\n")) == (2, 1) and says in err


def test_a_journal_that_is_none_is_one_line(tmp_path, capsys):
    """No journal is made by mistake, and none is served."""
    with pytest.raises(SystemExit) as left:
        main(["ui", str(tmp_path / "none.db"), "--no-browser"])
    assert left.value.code == 2 and "there is no journal here" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra_one_line_says_what_to_install(grows, capsys, monkeypatch, missing):
    """The base install knows the verb."""
    for name in [name for name in sys.modules if name.startswith(("clawvm_es.web", missing))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit) as left:
        main(["ui", str(grows), "--no-browser"])
    err = capsys.readouterr().err
    assert left.value.code == 2
    assert err == f"clawvm: the browser view needs {missing} (pip install 'clawvm-es[ui]')\n"


def test_views_that_take_longer_are_told_with_what_makes_them_quick(tmp_path, monkeypatch, capsys):
    """Snapshots of another version are named in one line, with the command; the journal is not written to."""
    path = tmp_path / "j.db"
    with Journal.open(path) as journal, journal.session("s", counter="lines4") as session:
        for number in range(120):
            session.user_says(f"message {number}")
            session.assemble()
    monkeypatch.setattr(sys.modules[listen.__module__], "serve", lambda *_: None)
    for made_by, told in ((None, False), ("0.0.0.00000000", True)):
        with closing(sqlite3.connect(path)) as db:
            db.execute("UPDATE snapshots SET made_by = coalesce(?, made_by)", (made_by,))
            db.commit()
        before = path.read_bytes()
        with pytest.raises(SystemExit):
            main(["ui", str(path), "--no-browser", "--port", "0"])
        said = capsys.readouterr().err
        assert (f"(clawvm rebuild {path} makes them quick)" in said) is told and path.read_bytes() == before
