"""Archives: they verify, read as the journal does, are not written twice, and erasures reach them."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
import time

import pytest

from clawvm_es import storage, verify_bundle
from clawvm_es.cli.main import main
from clawvm_es.engine.journal import Journal
from clawvm_es.errors import AnchorRefused, JournalDamaged, JournalReadOnly, UnreadableInput, UsageError
from clawvm_es.history import archive as archives
from clawvm_es.history.archive import Archive
from clawvm_es.history.redact import Target, redact
from clawvm_es.journal.anchors import load_secret, make_key
from clawvm_es.journal.codec import COMMITMENT_FIELDS
from clawvm_es.journal.lineage import read_session
from clawvm_es.storage.bundles import index, reading
from clawvm_es.storage.bundles.backend import open_log as open_bundles
from clawvm_es.storage.bundles.log import BundleLog
from clawvm_es.testing import live_session

NOW = int(time.time())
SECRET = "a marmalade secret that stands nowhere else"


@pytest.fixture
def place(tmp_path):
    """A folder with a key and a journal: two closed sessions of a project, a fork, and one that is open."""
    make_key(str(tmp_path / "k"), "signer", 365, NOW)
    with Journal.open(tmp_path / "j.db") as journal:
        for name, text in (("a", SECRET), ("b", "of b"), ("open", "of open")):
            with live_session(name, journal=journal, project="team") as session:
                session.user_says(f"hello {text}", key="k")
                session.assemble()
                if name != "open":
                    session.close()
    return tmp_path


def run(place, capsys, *arguments: str) -> tuple[int, dict]:
    """Exit code and document of the verb."""
    words = [
        "archive",
        str(place / "j.db"),
        "-o",
        str(place / "arch"),
        "--key",
        str(place / "k"),
        "--json",
        *arguments,
    ]
    with pytest.raises(SystemExit) as ended:
        main(words)
    out = capsys.readouterr().out
    return int(ended.value.code or 0), json.loads(out) if out else {}


def held(place) -> list[str]:
    """The names in the archive, all of which its index lists."""
    names = sorted(path.name for path in (place / "arch").iterdir() if path.name != index.NAME)
    if names:
        assert json.loads((place / "arch" / index.NAME).read_bytes()) == {"bundles": names}
    return names


def test_closed_sessions_are_archived_once_and_verify(place, capsys):
    """Closed and old enough, each in a packed bundle that the stand-alone checker accepts; again, nothing is done."""
    code, document = run(place, capsys)
    assert code == 0 and document["written"] == [] and (document["young"], document["open"]) == (2, 1)
    code, document = run(place, capsys, "--older-than", "0s")
    (written,) = document["written"]
    assert code == 0 and written["sessions"] == ["a", "b"] and document["open"] == 1
    key = load_secret(str(place / "k"), NOW).public
    with gzip.open(written["file"]) as file:
        found = verify_bundle.verify(file, key.name, key.key)
    assert set(found.streams) >= {"a", "b"}
    again = run(place, capsys, "--older-than", "0s")[1]
    assert (again["written"], again["held"]) == ([], 2)
    assert run(place, capsys, "--older-than", "0s", "--open", "-s", "open")[1]["sessions"] == 1
    assert len(held(place)) == 2


def test_an_archive_is_read_as_its_journal_is(place, capsys):
    """Folder and file give the same events, bodies and heads, are only read, and verify."""
    run(place, capsys, "--older-than", "0s")
    (name,) = held(place)
    with storage.open_log(place / "j.db", read_only=True) as log:
        for where in (place / "arch", place / "arch" / name):
            with storage.open_log(where, read_only=True) as read:
                assert read.journal_id == log.journal_id
                for session_id in ("a", "b"):
                    rows = [row._replace(seq=0) for row in read_session(log, session_id)]
                    assert [row._replace(seq=0) for row in read_session(read, session_id)] == rows
                    assert read.bodies_kept(session_id) == log.bodies_kept(session_id)
                assert read.head("open") is None
                with pytest.raises(JournalReadOnly), read.transaction():
                    pass
            assert storage.verify(where) == ()
            with pytest.raises(JournalReadOnly, match="only read"):
                storage.open_log(where)


@pytest.mark.parametrize("verb", ["sessions", "log", "pages", "stats", "verify", "trace"])
def test_verbs_print_of_an_archive_what_they_print_of_its_journal(place, capsys, verb):
    """One session, asked of the journal and of the archive, in people's words."""
    run(place, capsys, "--older-than", "0s", "-s", "a")
    told = []
    for where in ("j.db", "arch"):
        words = [verb, str(place / where), *([] if verb in ("verify", "stats", "sessions") else ["-s", "a"])]
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert not ended.value.code
        told.append(capsys.readouterr().out)
    if verb in ("log", "pages", "trace"):
        assert told[0].replace("j.db", "arch") == told[1]
    elif verb == "verify":
        assert "verified: consistent" in told[1]
    else:
        assert told[1]


def test_an_erasure_reaches_the_archive(place, capsys):
    """The erasure names it as a copy; the next run writes its bundle anew without the text, and removes the old."""
    run(place, capsys, "--older-than", "0s")
    before = held(place)
    with storage.open_log(place / "j.db") as log:
        done = redact(log, Target(matches=lambda text: SECRET in text), at_us=NOW * 1_000_000, everywhere=True)
    assert done.status == "removed" and str(place / "arch") in done.copies[0]
    assert SECRET in _texts(place / "arch" / before[0])
    _, document = run(place, capsys, "--older-than", "30d")
    assert [path.rpartition("/")[2] for path in document["removed"]] == before
    assert not set(held(place)) & set(before)
    assert not any(SECRET in _texts(place / "arch" / name) for name in held(place))
    assert storage.verify(place / "arch") == ()
    assert run(place, capsys)[1]["removed"] == []


def _texts(path) -> str:
    with storage.open_log(path, read_only=True) as log:
        return " ".join((body.body or b"").decode() for body in log._stored.values())


def test_an_interrupted_run_leaves_whole_bundles_and_goes_on(place, capsys, monkeypatch):
    """Ctrl-C in the middle of the second bundle leaves the first; the next run writes what is missing."""
    make, asked = archives.bundle, []

    def interrupted(log, ids, note):
        asked.append(ids)
        for number, line in enumerate(make(log, ids, note)):
            if len(asked) == 2 and number == 5:
                raise KeyboardInterrupt
            yield line

    monkeypatch.setattr(archives, "EVENTS_AT_ONCE", 1)
    monkeypatch.setattr(archives, "bundle", interrupted)
    with storage.open_log(place / "j.db", read_only=True) as log, pytest.raises(KeyboardInterrupt):
        list(Archive(str(place / "arch"), log).write([("a", 1), ("b", 1)], load_secret(str(place / "k"), NOW)))
    assert len(held(place)) == 1 and storage.verify(place / "arch") == ()
    document = run(place, capsys, "--older-than", "0s")[1]
    assert document["sessions"] == 1 and document["held"] == 1


def test_what_does_not_verify_gets_no_name(place, monkeypatch):
    """A bundle that a fault changed on its way to the disk is refused, and nothing is left."""
    make, key = archives.bundle, load_secret(str(place / "k"), NOW)
    monkeypatch.setattr(
        archives, "bundle", lambda *args: (line.replace(b'"at":1', b'"at":2') for line in make(*args))
    )
    with storage.open_log(place / "j.db", read_only=True) as log:
        archive = Archive(str(place / "arch"), log)
        with pytest.raises(AnchorRefused, match="does not verify"):
            list(archive.write([("a", 1)], key))
    assert held(place) == []


def test_other_folders_and_damaged_bundles_are_refused_in_a_line(place, capsys, tmp_path):
    """Another journal's archive, a bundle that was cut or changed, a length of time that is none."""
    run(place, capsys, "--older-than", "0s")
    (name,) = held(place)
    path, whole = place / "arch" / name, (place / "arch" / name).read_bytes()
    with Journal.open(tmp_path / "other.db") as other, pytest.raises(UsageError, match="a folder for each journal"):
        Archive(str(place / "arch"), other.log)
    text = gzip.decompress(whole)
    for changed in (whole[:-20], gzip.compress(text[:-400]), gzip.compress(text.replace(b"input", b"inpus", 1)), b""):
        path.write_bytes(changed)
        with pytest.raises(UnreadableInput, match=re.escape(name)):
            storage.open_log(path, read_only=True)
        assert len(storage.verify(path)) == 1
    code, _ = run(place, capsys, "--older-than", "soon")
    assert code == 2
    with pytest.raises(UnreadableInput, match="no journal"):
        storage.open_log(place / "no.clawvm.bundle.gz", read_only=True)


def test_bundles_that_disagree_are_no_archive(place, capsys):
    """Two files that hold different events at one place are named."""
    run(place, capsys, "--older-than", "0s", "-s", "a")
    (name,) = held(place)
    found = reading.read(str(place / "arch" / name))
    other = reading.Bundle("other", found.header, [found.rows[0]._replace(hash=bytes(32))], [])
    with pytest.raises(JournalDamaged, match="another version 1"):
        BundleLog("x", [found, other])


def test_the_checker_knows_every_field_that_names_a_text():
    """It shares no code with the program, so this test compares their lists."""
    named = verify_bundle.NAMED.pattern.partition(b"(?:")[2].partition(b")")[0].decode()
    assert set(named.split("|")) == set(COMMITMENT_FIELDS)


def test_a_folder_without_a_bundle_is_no_journal(tmp_path):
    """It is refused by its name where it is read as bundles, and a missing folder as missing."""
    for place in (str(tmp_path), str(tmp_path / "nowhere")):
        with pytest.raises((UsageError, UnreadableInput)) as told:
            open_bundles(place, wait_s=0, read_only=True, reproducible=False, group=False)
        wrong = "holds no bundle" if place == str(tmp_path) else "there is no journal here"
        assert place in str(told.value) and wrong in str(told.value)


def test_a_disk_that_fails_anywhere_leaves_no_half_bundle(place, monkeypatch):
    """The archive is named with what the system says; with room it is made as if nothing had happened."""
    log = storage.open_log(str(place / "j.db"), read_only=True)
    ids = [("a", 1), ("b", 1)]

    def written(folder) -> dict[str, bytes]:
        list(Archive(str(folder), log).write(ids, load_secret(str(place / "k"), NOW)))
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    note = archives.take_checkpoint(log, load_secret(str(place / "k"), NOW))
    monkeypatch.setattr(archives, "take_checkpoint", lambda *_: note)
    whole = written(place / "whole")
    steps = [(archives.files, "sync_path"), (archives.os, "replace"), (gzip.GzipFile, "write")]
    for number, (owner, name) in enumerate([*steps, (archives.tempfile, "mkstemp")]):
        folder = place / str(number)

        def fail(*_, **__) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patched:
            patched.setattr(owner, name, fail)
            with pytest.raises(OSError) as caught:
                written(folder)
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(folder))
        assert list(folder.iterdir()) == []
        assert written(folder) == whole
    log.close()


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "pipe"])
def test_a_damaged_bundle_is_not_counted_as_held(place, capsys, harm):
    """LAW-ARCHIVE-1: the run ends, names it, and writes nothing; once it is moved away, all is archived again."""
    assert run(place, capsys, "--older-than", "0s")[0] == 0
    (path,) = (place / "arch").glob("*.gz")
    raw = path.read_bytes()
    if harm == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif harm == "flip":
        unpacked = gzip.decompress(raw)
        path.write_bytes(gzip.compress(unpacked.replace(b'"turn":1', b'"turn":2', 1)))
    else:
        path.write_bytes(raw[: len(raw) // 2 if harm == "cut" else 0])
    log = storage.open_log(str(place / "j.db"), read_only=True)
    with pytest.raises(UnreadableInput, match=path.name) as caught:
        Archive(str(place / "arch"), log)
    log.close()
    assert "move it away" in caught.value.hint
    with pytest.raises(UnreadableInput, match=path.name):
        open_bundles(str(place / "arch"), wait_s=0, read_only=True, reproducible=False, group=False)
    assert run(place, capsys, "--older-than", "0s") == (2, {})
    path.unlink()
    assert len(run(place, capsys, "--older-than", "0s")[1]["written"]) == 1


def test_a_bundle_that_left_the_folder_is_named(place, capsys):
    """LAW-ARCHIVE-4: whoever reads the folder is told; the verb says so once, and archives what may be archived."""
    for wanted in ("a", "b"):
        assert run(place, capsys, "--older-than", "0s", "--session", wanted)[0] == 0
    gone, other = sorted((place / "arch").glob("*.gz"))
    raw = gone.read_bytes()
    gone.unlink()

    def told() -> str:
        with pytest.raises(SystemExit) as ended:
            main(["verify", str(place / "arch"), "--json"])
        assert ended.value.code == 1
        (problem,) = json.loads(capsys.readouterr().out)["problems"]
        return problem["detail"]

    assert told() == f"{gone}: missing, though archive.json lists it"
    with pytest.raises(UnreadableInput, match=gone.name) as caught:
        open_bundles(str(place / "arch"), wait_s=0, read_only=True, reproducible=False, group=False)
    assert "archive" in caught.value.hint
    other.rename(place / other.name)
    assert told() == f"{gone}: missing, though archive.json lists it, as are 1 more"
    (place / other.name).rename(other)
    code, document = run(place, capsys, "--older-than", "0s")
    assert (code, document["missing"], document["held"], len(document["written"])) == (0, [str(gone)], 1, 1)
    assert len(held(place)) == 2 and run(place, capsys, "--older-than", "0s")[1]["missing"] == []
    gone.write_bytes(raw)
    assert run(place, capsys)[1]["missing"] == [] and gone.name in held(place)


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"bundles":[1]}', b'{"bundles":["\xff"]}', None])
def test_an_index_that_was_damaged_is_named(place, capsys, raw):
    """Nothing is read or written until it is moved away; then all that is there is listed again."""
    assert run(place, capsys, "--older-than", "0s")[0] == 0
    names, path = held(place), place / "arch" / index.NAME
    path.unlink()
    if raw is None:
        os.mkfifo(path)
    else:
        path.write_bytes(raw)
    with pytest.raises(UnreadableInput, match=index.NAME):
        open_bundles(str(place / "arch"), wait_s=0, read_only=True, reproducible=False, group=False)
    assert run(place, capsys, "--older-than", "0s") == (2, {})
    path.unlink()
    assert run(place, capsys)[0] == 0 and held(place) == names
