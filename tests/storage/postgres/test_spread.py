"""Files shared out among processes that write to one journal: the sessions of an import of one file after another."""

from __future__ import annotations

import json
import os
import re
import signal
from multiprocessing import get_start_method

import pytest

from clawvm_es import limits, storage
from clawvm_es.engine.journal import Journal
from clawvm_es.fleet.executor import Local
from clawvm_es.importers import spreading
from clawvm_es.importers.importing import find, import_files
from tests.cli.conftest import run
from tests.storage.postgres.test_verbs import DEMO

__all__ = ["run"]

FORKING = pytest.mark.skipif(get_start_method() != "fork", reason="workers begin anew here, and see no change")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with five sessions, one of which is in two files, shorter in the second, and a file that is none."""
    monkeypatch.setattr(spreading, "BYTES_A_JOB", 1)
    monkeypatch.setattr(limits, "IMPORT_BATCH", 5)
    text = DEMO.read_text()
    (name,) = set(re.findall(r'"sessionId": ?"([^"]+)"', text))
    made = tmp_path / "sessions"
    made.mkdir()
    for number in range(5):
        (made / f"{number}.jsonl").write_text(text.replace(name, f"s{number}"))
    lines = text.replace(name, "s1").splitlines(keepends=True)
    (made / "4-again.jsonl").write_text("".join(lines[: len(lines) // 2]))
    (made / "bad.jsonl").write_text("no recording\n")
    return made


@pytest.fixture
def serial(folder, server):
    """The sessions of a serial import, and its outcomes."""
    url = server.url()
    with Journal.open(url, seed=1) as journal:
        outcomes = list(import_files(journal, find([folder]), counter="lines4"))
    return told(url), outcomes


def told(url):
    """The hash of each event of each session; it covers all but the place in the order of the journal."""
    with Journal.open(url, seed=1) as journal:
        heads = sorted(head.session_id for head in journal.log.heads())
        return {each: [event.hash for event in journal.log.read(each)] for each in heads}


def spread(url, folder):
    """Import by two processes."""
    Journal.open(url, seed=1).close()
    return list(spreading.import_spread(url, find([folder]), Local(2), counter="lines4", seed=1))


def test_files_that_share_a_session_go_together():
    """A file is in one group, with those that hold a session of its own, directly or by way of others."""
    ids = [("a",), ("b",), (), ("c", "b"), ("d",), ("a", "c"), ("e",)]
    assert list(spreading._groups(ids)) == [[0, 1, 3, 5], [2], [4], [6]]


def test_on_server():
    """A URL of a server is told from a file's, whose name may be anything."""
    assert storage.on_server("postgresql://db/x") and storage.on_server("postgres://db")
    assert not any(map(storage.on_server, ("j.db", "sqlite:///postgresql", "memory:", "/srv/postgresql:/j.db")))


def test_processes_import_what_one_imports(folder, serial, url):
    """LAW-FLEET-1: outcomes in the order of files, and of each session the same events; again they add nothing."""
    assert spread(url, folder) == serial[1] and told(url) == serial[0] and len(serial[0]) == 5
    assert sum(each.appended for one in spread(url, folder) for each in one.replayed) == 0
    assert told(url) == serial[0]


@FORKING
def test_what_a_killed_process_had_begun_is_not_there_twice(folder, serial, url, tmp_path, monkeypatch):
    """The files of a process that was killed after some of its commits are imported again."""

    def dying(journal, files, **options):
        append, calls = journal.log.append, []

        def counted(*given, **named):
            calls.append(1)
            if len(calls) == 3 and not (marker := tmp_path / "died").exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return append(*given, **named)

        journal.log.append = counted
        return import_files(journal, files, **options)

    monkeypatch.setattr(spreading, "import_files", dying)
    assert [each.sessions for each in spread(url, folder)] == [each.sessions for each in serial[1]]
    assert (tmp_path / "died").exists() and told(url) == serial[0]


def test_the_verb_shares_files_out(folder, server, run, monkeypatch):
    """`import --executor local:2` into a server says what it says without, the same JSON but for salts."""
    documents, asked = [], []
    groups = spreading._groups
    monkeypatch.setattr(spreading, "_groups", lambda ids: asked.append(ids) or groups(ids))
    for options in ((), ("--executor", "local:2")):
        code, out, err = run("import", str(folder), "--journal", server.url(), "--json", *options)
        assert code == 0, err
        documents.append(json.loads(out) | {"journal": ""})
        assert {each.pop("head")["version"] > 9 for each in documents[-1]["sessions"]} == {True}  # salts differ
    assert documents[0] == documents[1] and len(asked) == 1
