"""LAW-BUNDLE-3: bundles read back are the sessions of the journal, and a changed one is not read."""

from __future__ import annotations

import random

import pytest

from clawvm_es.errors import UnreadableInput
from clawvm_es.history import redecide
from clawvm_es.history.bundle import bundle
from clawvm_es.history.bundle_reading import read_bundle
from clawvm_es.history.recorded_files import read_sessions, session_ids
from clawvm_es.journal.anchors import load_secret, make_key, take_checkpoint
from clawvm_es.journal.lineage import read_session
from clawvm_es.testing import live_session, memory_journal

NOW = 1_800_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle of two sessions of a project and a fork, its file, and the rows that they have in the journal."""
    folder = tmp_path_factory.mktemp("bundle")
    make_key(str(folder / "k"), "signer", 36_500, NOW)
    with memory_journal() as journal:
        for name in ("a", "parent", "other"):
            with live_session(name, journal=journal, project="team") as session:
                session.user_says("hello " * 20)
                session.assemble()
                session.save()
        with journal.fork("parent", "fork", at=5) as fork:
            fork.user_says("more " * 20)
            fork.assemble()
        note, _ = take_checkpoint(journal.log, load_secret(str(folder / "k"), NOW))
        rows = {name: tuple(read_session(journal.log, name)) for name in ("a", "fork", "parent")}
        path = folder / "three.clawvm.bundle"
        path.write_bytes(b"".join(bundle(journal.log, ["a", "fork"], note)))
        whole = b"".join(bundle(journal.log, ["fork", "parent"], note))
    return path, rows, whole


def test_sessions_come_back_with_their_fork_parents(made):
    """A parent that stands there only as far as its fork needs it is no session of its own."""
    path, rows, _ = made
    found = read_sessions(path)
    assert session_ids(path) == tuple(session.session_id for session in found) == ("a", "fork")
    for session in found:
        assert session.rows == rows[session.session_id] and session.evidence
        assert redecide(session.rows) > 0


def test_a_parent_that_was_asked_for_is_a_session(made):
    """It goes on after its fork, so that its own end is tested too."""
    _, rows, whole = made
    assert {session.session_id: session.rows for session in read_bundle(whole, "b")} == {
        name: rows[name] for name in ("fork", "parent")
    }


def test_a_changed_byte_is_refused(made):
    """Single bytes anywhere before the last line, and lines left out, doubled or swapped."""
    raw = made[0].read_bytes()
    end = raw.rindex(b"\n", 0, -1)
    dice = random.Random(6)
    for at in (dice.randrange(end) for _ in range(150)):
        with pytest.raises(UnreadableInput):
            read_bundle(raw[:at] + bytes([raw[at] ^ 1 << dice.randrange(8)]) + raw[at + 1 :], "b")
    lines = raw.splitlines(keepends=True)
    for edited in (lines[:-1], lines[:2] + lines[3:], [*lines[:3], *lines[2:]], [lines[1], lines[0], *lines[2:]]):
        with pytest.raises(UnreadableInput):
            read_bundle(b"".join(edited), "b")


def test_a_digest_made_anew_does_not_hide_a_broken_chain(made):
    """Whoever changes an event and the digest is found by the event's hash."""
    import hashlib

    raw = made[0].read_bytes()
    for was, now, says in (
        (b'"principal":"harness"', b'"principal":"someone"', r"line \d+: \$.hash"),
        (b'"last":', b'"last":1', "is not whole"),
        (b'"type":"turn_began"', b'"type":"turn_dreamt"', "unknown event type"),
    ):
        body = raw[: raw.rindex(b"\n", 0, -1) + 1].replace(was, now, 1)
        end = raw[len(raw[: raw.rindex(b"\n", 0, -1) + 1]) :]
        old = end[end.index(b'"sha256":"') + 10 :][:64]
        with pytest.raises(UnreadableInput, match=says):
            read_bundle(body + end.replace(old, hashlib.sha256(body).hexdigest().encode()), "b")


def test_a_newer_bundle_is_told_from_a_broken_one(made):
    """The hint is to upgrade."""
    raw = made[0].read_bytes().replace(b'"version":1}', b'"version":2}', 1)
    with pytest.raises(UnreadableInput, match="newer version") as caught:
        read_bundle(raw, "b")
    assert "upgrade" in caught.value.hint
