"""Reading a bundle: what is wrong with it is told by the line that it stands on, and nothing of it is used."""

from __future__ import annotations

import gzip
import hashlib

import msgspec
import pytest

from clawvm_es.errors import JournalDamaged, JournalReadOnly, NotAJournal, UnreadableInput, UsageError
from clawvm_es.history.bundle import bundle
from clawvm_es.journal.anchors import load_secret, make_key, take_checkpoint
from clawvm_es.storage.bundles import backend, reading
from clawvm_es.storage.bundles.log import BundleLog
from clawvm_es.testing import live_session, memory_journal
from clawvm_es.views import verification

NOW = 1_800_000_000


def made(folder, *asked: tuple[str, ...]) -> list[bytes]:
    """Bundles of some sessions each of one journal with the sessions `a`, `b` and `c`."""
    make_key(str(folder / "k"), "signer", 36_500, NOW)
    with memory_journal() as journal:
        for name in "abc":
            with live_session(name, journal=journal) as session:
                session.user_says(f"hello {name}", key="k")
                session.user_says("the same of all")
                session.assemble()
        note, _ = take_checkpoint(journal.log, load_secret(str(folder / "k"), NOW))
        return [b"".join(bundle(journal.log, sessions, note)) for sessions in asked]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """A bundle of one session."""
    return made(tmp_path_factory.mktemp("made"), ("a",))[0]


def sealed(lines: list[bytes]) -> bytes:
    """The lines of a changed bundle, with the digest that fits them."""
    last = msgspec.json.decode(lines[-1])
    before = b"\n".join(lines[:-1]) + b"\n"
    return before + msgspec.json.encode(last | {"sha256": hashlib.sha256(before).hexdigest()}, order="sorted") + b"\n"


@pytest.fixture
def path(tmp_path) -> str:
    """A place for a bundle."""
    return str(tmp_path / "x.clawvm.bundle")


def write(path: str, raw: bytes) -> str:
    """Put bytes at a place."""
    with open(path, "wb") as file:
        file.write(raw)
    return path


def test_every_line_that_is_broken_is_named_by_its_number(whole, path) -> None:
    """From the first to the last, under a digest that fits what was changed."""
    lines = whole.splitlines()
    assert len(reading.read(write(path, whole)).rows) > 5
    for place in range(len(lines) - 1):
        for harm in (lambda line: line[:-1], lambda line: line.replace(b'"line":', b'"lime":')):
            broken = sealed([*lines[:place], harm(lines[place]), *lines[place + 1 :]])
            with pytest.raises(UnreadableInput, match=rf"^{path}: line {place + 1}: ") as caught:
                reading.read(write(path, broken))
            assert caught.value.hint
    with pytest.raises(UnreadableInput, match=rf"^{path}: line {len(lines)}: "):
        reading.read(write(path, b"\n".join([*lines[:-1], lines[-1][:-1]])))


@pytest.mark.parametrize("packed", [False, True])
def test_a_bundle_that_was_cut_anywhere_is_not_read(whole, path, packed) -> None:
    """After any line, inside any line, and of no byte at all; packed or not, with or without its last newline."""

    def put(raw: bytes) -> str:
        return write(path, gzip.compress(raw) if packed else raw)

    bundle = reading.read(put(whole))
    assert reading.read(put(whole.removesuffix(b"\n"))) == bundle
    assert reading.header(path) == bundle.header and bundle.path == path
    lines = whole.splitlines(keepends=True)
    for cut in [b"".join(lines[:count]) for count in range(len(lines))] + [whole[:-3], whole[:40]]:
        with pytest.raises(UnreadableInput) as caught:
            reading.read(put(cut))
        assert str(path) in caught.value.message
    put(whole.replace(b'"turn":0', b'"turn":0 ', 1))
    for read in (reading.read, reading.header):
        with pytest.raises(UnreadableInput, match="cut, or changed"):
            read(path)


@pytest.mark.parametrize("harm", [lambda raw: raw[:-99], lambda raw: raw.replace(b'"turn":1', b'"turn":2', 1)])
def test_what_is_wrong_with_a_bundle_is_told_once(whole, path, harm) -> None:
    """By `verify`, which finds it when it looks at the file, and again when it opens it."""
    document = verification(write(path, harm(whole)))
    assert [(each["what"], each["where"]) for each in document["problems"]] == [("file", path)]


def test_a_packed_bundle_that_was_changed_is_told_in_one_line(whole, path) -> None:
    """Cut short, a byte of it changed, another checksum; and a file that is not there."""
    packed = gzip.compress(whole)
    middle = len(packed) // 2
    for raw in (packed[:-9], packed[:middle], packed[:middle] + b"\xff" * 40 + packed[middle + 40 :],
                packed[:-8] + bytes(8), packed[:2] + b"\x07" + packed[3:]):  # fmt: skip
        with pytest.raises(UnreadableInput) as caught:
            reading.read(write(path, raw))
        assert caught.value.message.startswith(f"{path}: ") and len(caught.value.message) > len(path) + 5
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(UnreadableInput, match="No such file"):
        reading.read(path + "none")


def test_a_folder_of_bundles_is_one_journal(tmp_path) -> None:
    """Events that two of them hold count once, places are their own, and a body has one owner in each session."""
    folder = tmp_path / "some"
    folder.mkdir()
    for name, raw in zip(("1.clawvm.bundle", "2.clawvm.bundle"), made(tmp_path, ("b", "c"), ("a", "b")), strict=True):
        (folder / name).write_bytes(raw)
    (folder / "notes.txt").write_text("x")
    options = {"wait_s": 0, "reproducible": False, "group": False}
    with backend.open_log(str(folder), read_only=True, **options) as log:
        rows = list(log.read_all())
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        assert [head.session_id for head in log.heads()] == ["a", "b", "c"]
        assert not any(head.provisional for head in log.heads())
        assert [row.version for row in log.read("b")] == list(range(1, log.head("b").version + 1))
        assert log.first("c").version == 1 and log.size() == len(rows)
        assert all(log.bodies_kept(name) == log.bodies_kept("a") and log.bodies_kept("a")[0] > 1 for name in "bc")
        keyed = [row for row in rows if row.idempotency_key is not None]
        assert all(log.find(row.session_id, row.idempotency_key)[0] == row for row in keyed)
        assert {row.session_id for row in keyed if row.idempotency_key == "k"} == {"a", "b", "c"}
        assert [row.session_id for row in rows] == sorted(row.session_id for row in rows)
        assert log.verify() == () == backend.verify(str(folder))
        for write in (log.append, log.transaction):
            with pytest.raises(JournalReadOnly, match="only read"):
                write("a", [])
    with pytest.raises(JournalReadOnly, match="only read"):
        backend.open_log(str(folder), read_only=False, **options)
    with pytest.raises(UnreadableInput, match="no journal here"):
        backend.open_log(str(folder / "none"), read_only=True, **options)


def test_what_cannot_be_one_journal_is_refused(tmp_path) -> None:
    """Bundles of two journals, and two that hold different events at one place."""
    paths = []
    for name in "xy":
        (tmp_path / name).mkdir()
        (raw,) = made(tmp_path / name, ("a",))
        paths.append(write(str(tmp_path / f"{name}.clawvm.bundle"), raw))
    one, two = map(reading.read, paths)
    assert backend.bundles_in(str(tmp_path)) == paths
    with pytest.raises(JournalDamaged, match="holds bundles of 2 journals"):
        BundleLog("here", [one, two])
    other = reading.Bundle(two.path, one.header, [one.rows[0]._replace(hash=bytes(32))], [])
    with pytest.raises(JournalDamaged, match=rf"{two.path} holds another version 1 of a"):
        BundleLog("here", [one, other])
    (problem,) = backend.verify(str(tmp_path))
    assert (problem.what, problem.where) == ("file", str(tmp_path)) and "2 journals" in problem.detail
    with pytest.raises(NotAJournal):
        backend.bundles_in(paths[0])
    with pytest.raises(UnreadableInput):
        backend.verify(str(tmp_path / "none"))


def test_a_place_is_one_by_its_name_or_by_what_it_holds(tmp_path) -> None:
    """Two endings, and folders with a file of them."""
    for name, is_place in (
        ("x.clawvm.bundle", True),
        ("x.clawvm.bundle.gz", True),
        ("x.bundle", False),
        ("x", False),
    ):
        assert backend.is_place(str(tmp_path / name)) is is_place
    assert not backend.is_place(str(tmp_path)) and backend.exists(str(tmp_path))
    with pytest.raises(UsageError, match="holds no bundle"):
        backend.open_log(str(tmp_path), wait_s=0, read_only=True, reproducible=False, group=False)
    (tmp_path / "x.clawvm.bundle").write_bytes(b"")
    assert backend.is_place(str(tmp_path))
    (problem,) = backend.verify(str(tmp_path / "x.clawvm.bundle"))
    assert "is empty" in problem.detail
