"""Trees, proofs, notes and keys of anchors; and logs that were tampered with, held against one."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import sqlite3

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from clawvm_es.errors import AnchorRefused, UnreadableInput, UsageError
from clawvm_es.journal.anchors import anchor, merkle
from clawvm_es.journal.anchors.keys import PublicKey, SecretKey, load_public, load_secret, make_key
from clawvm_es.journal.anchors.notes import Checkpoint, open_note, sign, unverified
from clawvm_es.journal.chain import GENESIS, event_hash
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.storage import open_log
from clawvm_es.storage.memory.log import MemoryLog
from clawvm_es.testing.logs import budget, used

NOW = 1_800_000_000
LATER = NOW + 400 * 86_400

# Inputs, roots and proofs of the reference implementation of RFC 6962 (certificate-transparency, merkle_tree_test).
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION_0_OF_8 = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]
CONSISTENCY_6_TO_8 = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]
# RFC 8032 §7.1: secret key, public key, message, signature.
ED25519 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]


def plain_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 §2.1, word for word."""
    if len(leaves) < 2:
        return merkle.leaf_hash(leaves[0]) if leaves else merkle.root_of(())
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return merkle.node_hash(plain_root(leaves[:k]), plain_root(leaves[k:]))


def inclusion(leaves: list[bytes], index: int) -> list[bytes]:
    """The inclusion proof of a leaf."""
    spans = merkle.inclusion_spans(index, len(leaves))
    roots = merkle.roots(leaves, spans)
    return [roots[span] for span in spans]


def consistency(leaves: list[bytes], first: int) -> list[bytes]:
    """The consistency proof from the first leaves to all."""
    spans = merkle.consistency_spans(first, len(leaves))
    roots = merkle.roots(leaves, spans)
    return [roots[span] for span in spans]


def numbered(count: int) -> list[bytes]:
    """So many different leaves."""
    return [number.to_bytes(4, "big") for number in range(count)]


# ------------------------------------------------------------------------------------------------------ the tree


def test_the_vectors_of_rfc_6962():
    """Roots and proofs are those of the reference implementation."""
    assert [merkle.root_of(LEAVES[:size]).hex() for size in range(9)] == ROOTS
    assert [node.hex() for node in inclusion(LEAVES, 0)] == INCLUSION_0_OF_8
    assert [node.hex() for node in consistency(LEAVES, 6)] == CONSISTENCY_6_TO_8


@given(st.lists(st.integers(0, 1500), min_size=1, max_size=5))
def test_a_root_is_the_definition_however_it_grew(steps):
    """Leaves added in any portions give the root that RFC 6962 defines; whole blocks are only faster."""
    tree, leaves = merkle.Frontier(), numbered(sum(steps))
    start = 0
    for step in steps:
        tree.extend(leaves[start : start + step])
        start += step
    assert (tree.size, tree.root()) == (len(leaves), plain_root(leaves))


@given(st.data())
def test_every_inclusion_proof_verifies_and_nothing_else(data):
    """LAW-MERKLE-2: the proof fits its leaf, index, size and root only."""
    leaves = numbered(data.draw(st.integers(1, 2200), label="size"))
    index = data.draw(st.integers(0, len(leaves) - 1), label="index")
    root, proof = merkle.root_of(leaves), inclusion(leaves, index)
    size = len(leaves)
    assert merkle.includes(leaves[index], index, size, proof, root)
    assert not merkle.includes(b"other", index, size, proof, root)
    wrong = data.draw(st.integers(0, size).filter(lambda i: i != index), label="wrong index")
    assert not merkle.includes(leaves[index], wrong, size, proof, root)
    assert not merkle.includes(leaves[index], index, size, [*proof, root], root)
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1), label="place")
        changed = [*proof[:place], bytes(32), *proof[place + 1 :]]
        assert not merkle.includes(leaves[index], index, size, changed, root)
        assert not merkle.includes(leaves[index], index, size, proof[:-1], root)
    place = data.draw(st.integers(0, size - 1), label="changed leaf")
    others = [*leaves[:place], b"changed", *leaves[place + 1 :]]
    assert not merkle.includes(leaves[index], index, size, proof, merkle.root_of(others))


@given(st.data())
def test_every_consistency_proof_verifies_and_nothing_else(data):
    """LAW-MERKLE-2: the proof joins these two trees only; with any old leaf changed there is none."""
    second = data.draw(st.integers(1, 2200), label="second")
    first = data.draw(st.integers(1, second), label="first")
    leaves = numbered(second)
    old, new, proof = merkle.root_of(leaves[:first]), merkle.root_of(leaves), consistency(leaves, first)
    assert merkle.consistent(first, second, old, new, proof)
    assert not merkle.consistent(first, second, bytes(32), new, proof)
    assert not merkle.consistent(first, second, old, bytes(32), proof)
    assert not merkle.consistent(first, second, old, new, [*proof, old])
    place = data.draw(st.integers(0, first - 1), label="changed leaf")
    changed = [*leaves[:place], b"changed", *leaves[place + 1 :]]
    assert not merkle.consistent(first, second, old, merkle.root_of(changed), consistency(changed, first))
    if proof:
        assert not merkle.consistent(first, second, old, new, proof[:-1])


SMALL = 9


def test_a_consistency_proof_between_small_trees_fits_no_other_two():
    """LAW-MERKLE-2 for all pairs of sizes: each proof joins its own two trees, and no longer or shorter one does."""
    leaves = numbered(SMALL)
    root = [plain_root(leaves[:size]) for size in range(SMALL + 1)]
    pairs = [(first, second) for second in range(SMALL + 1) for first in range(second + 1)]
    proofs = {(first, second): consistency(leaves[:second], first) for first, second in pairs}
    for first, second in pairs:
        right = proofs[first, second]
        others = [right[:-1], right[1:], [*right, root[0]], [root[0], *right], *proofs.values()]
        for proof in [right, *others]:
            fits = merkle.consistent(first, second, root[first], root[second], proof)
            assert fits == (proof == right), (first, second, proof)
        for wrong in (size for size in range(SMALL + 1) if size not in (first, second)):
            assert not merkle.consistent(first, second, root[wrong], root[second], right), (first, second)
            if first:  # an empty tree begins every other
                assert not merkle.consistent(first, second, root[first], root[wrong], right), (first, second)


def test_an_inclusion_proof_in_a_small_tree_fits_no_other_leaf():
    """LAW-MERKLE-2 for all leaves and sizes: each proof shows its own leaf, and no longer or shorter one does."""
    leaves = numbered(SMALL)
    root = [plain_root(leaves[:size]) for size in range(SMALL + 1)]
    places = [(index, size) for size in range(1, SMALL + 1) for index in range(size)]
    proofs = {(index, size): inclusion(leaves[:size], index) for index, size in places}
    for index, size in places:
        right = proofs[index, size]
        for proof in [right, right[:-1], right[1:], [*right, root[0]], *proofs.values()]:
            fits = merkle.includes(leaves[index], index, size, proof, root[size])
            assert fits == (proof == right), (index, size, proof)
        assert not any(
            merkle.includes(each, index, size, right, root[size]) for each in leaves if each != leaves[index]
        )


def test_trees_that_are_none_are_refused():
    """No leaf beyond the last, no beginning longer than the whole, no root of leaves that are not there."""
    for call in (
        lambda: merkle.inclusion_spans(3, 3),
        lambda: merkle.consistency_spans(4, 3),
        lambda: merkle.roots(numbered(3), [(0, 4)]),
        lambda: merkle.roots(numbered(3), [(0, 2), (3, 4)]),
        lambda: merkle.roots(numbered(3000), [(0, 2048), (3072, 3073)]),
        lambda: merkle.roots([], [(0, 1)]),
    ):
        with pytest.raises(ValueError, match=r"leaf|leaves"):
            call()
    assert not merkle.includes(b"", 0, 0, [], merkle.root_of(()))
    assert not merkle.includes(b"", -1, 3, [], merkle.root_of(LEAVES[:3]))
    assert merkle.consistent(0, 5, merkle.root_of(()), merkle.root_of(LEAVES[:5]), [])
    three, four, five = (merkle.root_of(LEAVES[:size]) for size in (3, 4, 5))
    assert not merkle.consistent(3, 5, three, five, []), "no proof shows nothing"
    assert not merkle.consistent(4, 5, four, five, [])
    assert not merkle.consistent(5, 4, five, four, []), "no beginning is longer"
    assert not merkle.consistent(-1, 5, three, five, [])
    assert not merkle.consistent(5, 5, five, five, [five]), "nothing is to be proved"
    assert not merkle.consistent(0, 5, merkle.root_of(()), five, [five])


# ---------------------------------------------------------------------------------------------- notes and keys


def key_of(secret: str, public: str, name: str = "k") -> SecretKey:
    """A key pair of given bytes."""
    return SecretKey(PublicKey(name, bytes.fromhex(public), LATER), bytes.fromhex(secret))


@pytest.mark.parametrize(("secret", "public", "message", "signature"), ED25519)
def test_the_vectors_of_rfc_8032(secret, public, message, signature):
    """Signatures are those of RFC 8032, and verify."""
    key, text = key_of(secret, public), bytes.fromhex(message)
    assert key.sign(text).hex() == signature
    assert key.public.verifies(bytes.fromhex(signature), text)
    assert not key.public.verifies(bytes.fromhex(signature), text + b"x")


def test_the_note_of_another_implementation_opens():
    """The signed note that Go's sumdb/note documents is opened with the key that it documents."""
    vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    note = (
        b"If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
        b"\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpR"
        b"Zb6KE6RyyBwJnAM=\n"
    )
    name, key_id, coded = vkey.split("+", 2)
    key = PublicKey(name, base64.b64decode(coded)[1:], LATER)
    assert key.key_id.hex() == key_id
    with pytest.raises(AnchorRefused, match="origin, tree size and root"):  # it is a note, but no checkpoint
        open_note(note, key)
    with pytest.raises(AnchorRefused) as refused:
        open_note(note.replace(b"answer", b"anwser"), key)
    assert refused.value.what == "signature"


CHECKPOINT = Checkpoint("f" * 32, 7, bytes(range(32)))


def test_a_note_says_what_was_signed():
    """A signed checkpoint opens with its key, with a witness's line beside it too, and reads as the C2SP says."""
    key = key_of(*ED25519[0][:2])
    note = sign(CHECKPOINT, key)
    witness = sign(CHECKPOINT, key_of(*ED25519[1][:2], "witness")).split(b"\n\n")[1]
    assert note.startswith(b"f" * 32 + b"\n7\nAAECAwQF")
    assert open_note(note, key.public) == open_note(note + witness, key.public) == unverified(note) == CHECKPOINT
    assert "9d61" not in repr(key) and repr(key.secret) not in repr(key)


def test_a_note_of_more_events_than_a_log_can_hold_is_refused():
    """The greatest number of events is one that a log may have, one more is not, whoever signed it."""
    key = key_of(*ED25519[0][:2])
    most = Checkpoint(CHECKPOINT.origin, INTEGER_MAX, CHECKPOINT.root)
    assert open_note(sign(most, key), key.public) == most
    with pytest.raises(AnchorRefused, match=f"no log has {INTEGER_MAX + 1} events"):
        open_note(sign(Checkpoint(most.origin, INTEGER_MAX + 1, most.root), key), key.public)


def test_every_flipped_bit_of_a_note_is_refused():
    """Nothing of a note with one signature can be changed."""
    key = key_of(*ED25519[0][:2])
    note = sign(CHECKPOINT, key)
    for at in range(len(note)):
        for bit in range(8):
            with pytest.raises(AnchorRefused):
                open_note(note[:at] + bytes([note[at] ^ 1 << bit]) + note[at + 1 :], key.public)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\n\n", b"x", b"o\n1\nAA==\n", b"o\n01\n" + b"A" * 43 + b"=\n\n\xe2\x80\x94 k AAAAAAA=\n", b"\xff\n\n"],
)
def test_what_is_no_note_is_refused(raw):
    """Damage is a refusal, never another error."""
    with pytest.raises(AnchorRefused):
        unverified(raw)


def test_a_key_file_is_for_its_owner(tmp_path):
    """The secret file has mode 0600 whatever the umask, is refused when others can read it, and is never replaced."""
    before = os.umask(0)
    try:
        public = make_key(str(tmp_path / "k"), "name", 30, NOW)
    finally:
        os.umask(before)
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert load_public(str(tmp_path / "k.pub")) == public == load_secret(str(tmp_path / "k"), NOW).public
    assert public.not_after_s == NOW + 30 * 86_400
    with pytest.raises(UsageError, match="already there"):
        make_key(str(tmp_path / "k"), "name", 30, NOW)
    for mode in (0o640, 0o604, 0o644, 0o620):
        (tmp_path / "k").chmod(mode)
        with pytest.raises(UsageError, match="read by others") as refused:
            load_secret(str(tmp_path / "k"), NOW)
        assert "chmod 600" in refused.value.hint


@pytest.mark.parametrize(
    ("name", "days", "says"),
    [
        ("name", 0, "1 to 36500 days, not 0"),
        ("name", -1, "not -1"),
        ("name", 36_501, "not 36501"),
        ("two names", 1, "no blanks and no +"),
        ("a+b", 1, "no blanks and no +"),
        ("", 1, "no blanks and no +"),
    ],
)
def test_keys_have_a_name_and_a_lifetime(tmp_path, name, days, says):
    """A name that a note cannot hold and a lifetime of no day or of centuries are refused; nothing is made."""
    with pytest.raises(UsageError, match=re.escape(says)):
        make_key(str(tmp_path / "k"), name, days, NOW)
    assert list(tmp_path.iterdir()) == []
    for good in (1, 36_500):
        assert make_key(str(tmp_path / f"{good}"), "name", good, NOW).not_after_s == NOW + good * 86_400
    (tmp_path / "x.pub").touch()
    with pytest.raises(UsageError, match=r"x\.pub is already there"):
        make_key(str(tmp_path / "x"), "name", 1, NOW)
    assert not (tmp_path / "x").exists()


def test_an_expired_key_does_not_sign(tmp_path):
    """After its last second a key is refused, with the time it was good until."""
    path = str(tmp_path / "k")
    last = make_key(path, "name", 1, NOW).not_after_s
    assert load_secret(path, last)
    with pytest.raises(UsageError, match=r"good until 2027-01-16T08:00:00Z"):
        load_secret(path, last + 1)


def test_damaged_key_files_are_said_to_be(tmp_path):
    """A missing file, a folder, another kind of key and each cut or changed file are `UnreadableInput`."""
    secret, public = tmp_path / "k", tmp_path / "k.pub"
    make_key(str(secret), "name", 1, NOW)
    with pytest.raises(UnreadableInput, match="is the secret key"):
        load_public(str(secret))
    with pytest.raises(UnreadableInput, match="is the public key"):
        load_secret(str(public), NOW)
    line, until = public.read_text().splitlines()
    for text in ("", "name", line, f"{line}\nnot_after soon", f"{line[:-4]}\n{until}", f"other{line[4:]}\n{until}"):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(UnreadableInput):
            load_public(str(tmp_path / "bad"))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "bytes"):
        with pytest.raises(UnreadableInput):
            load_public(str(path))
    for size, kind in ((31, b"\1"), (33, b"\1"), (32, b"\2")):  # its id is right, it is no key all the same
        raw = bytes(size)
        key_id = hashlib.sha256(b"name\n\1" + raw).hexdigest()[:8]
        (tmp_path / "bad").write_text(f"name+{key_id}+{base64.b64encode(kind + raw).decode()}\n{until}\n")
        with pytest.raises(UnreadableInput, match="no public key"):
            load_public(str(tmp_path / "bad"))
    key_id = load_public(str(public)).key_id.hex()
    for wrong in ("0" * 8, key_id[:-1], f"{key_id}0"):
        (tmp_path / "bad").write_text(secret.read_text().replace(key_id, wrong))
        (tmp_path / "bad").chmod(0o600)
        with pytest.raises(UnreadableInput, match=f"the key does not fit its id {wrong}"):
            load_secret(str(tmp_path / "bad"), NOW)


@pytest.mark.parametrize(
    "name", ["", "two names", "tab\tname", " name", "name ", "\x1fname", "nbsp\u00a0name"], ids=repr
)
def test_a_key_whose_name_no_note_can_hold_is_no_key(tmp_path, name):
    """A file may be written by others: its id fits such a name, and it is refused all the same, public or secret."""
    secret, until = bytes(range(32)), "not_after 2090-01-01T00:00:00Z\n"
    key = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()

    def written(prefix: str, name: str, raw: bytes) -> str:
        public = PublicKey(name, key, LATER)
        coded = base64.b64encode(b"\1" + raw).decode()
        path = tmp_path / "key"
        path.write_text(f"{prefix}{name}+{public.key_id.hex()}+{coded}\n{until}")
        path.chmod(0o600)
        return str(path)

    assert load_secret(written("PRIVATE+KEY+", "name", secret), NOW).public.name == "name"
    with pytest.raises(UnreadableInput, match="no secret key"):
        load_secret(written("PRIVATE+KEY+", name, secret), NOW)
    assert load_public(written("", "name", key)).name == "name"
    with pytest.raises(UnreadableInput, match="no public key"):
        load_public(written("", name, key))


@pytest.mark.parametrize("letter", ["n", "ü", "连"])
def test_every_key_that_is_made_can_be_read(tmp_path, letter):
    """Up to the longest file that is read, to the byte; a name beyond it, or of no characters, makes no key."""
    make_key(str(tmp_path / "k"), "n", 1, NOW)
    room = 1 + 4_096 - (tmp_path / "k").stat().st_size
    size = len(letter.encode())
    for bytes_ in (room - 1, room):
        name = letter * (bytes_ // size) + "n" * (bytes_ % size)
        path = str(tmp_path / f"{bytes_}")
        public = make_key(path, name, 1, NOW)
        assert (tmp_path / f"{bytes_}").stat().st_size == 4_096 - room + bytes_
        assert load_secret(path, NOW).public == load_public(path + ".pub") == public
    made = sorted(tmp_path.iterdir())
    for name in (letter * (room // size) + "n" * (room % size + 1), letter * 9_999, f"{letter}\udcff"):
        with pytest.raises(UsageError, match=r"too long a name|is no name"):
            make_key(str(tmp_path / "more"), name, 1, NOW)
    assert sorted(tmp_path.iterdir()) == made


# ------------------------------------------------------------------------------------------------ logs and anchors


@pytest.fixture
def key(tmp_path):
    """A key that is good now."""
    make_key(str(tmp_path / "key"), "anchor", 100, NOW)
    return load_secret(str(tmp_path / "key"), NOW)


def fill(log, times: int = 3) -> None:
    """Two sessions that take turns."""
    for n in range(1, times + 1):
        log.append("a", [budget(n), used(f"p{n}")])
        log.append("b", [budget(n + 100)])


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_a_log_that_went_on_is_anchored_as_far_as_signed(tmp_path, key, kind):
    """A checkpoint holds after more events, and says how many it does not cover."""
    with open_log(tmp_path / "j.db") if kind == "file" else MemoryLog() as log:
        empty, _ = anchor.take_checkpoint(log, key)
        assert str(anchor.check_anchor(log, empty, key.public, NOW)) == "anchored to seq 0, 0 later events unanchored"
        fill(log)
        note, _ = anchor.take_checkpoint(log, key)
        fill(log)
        found = anchor.check_anchor(log, note, key.public, NOW)
        assert found == anchor.Anchored(9, 9)
        assert unverified(note).root == plain_root([row.hash for row in log.read_all(upto_seq=9)])


def test_later_checkpoints_prove_that_they_go_on(tmp_path, key):
    """Each earlier note gets a proof that needs no journal; a note of another log is refused, and nothing signed."""
    with open_log(tmp_path / "j.db") as log, open_log(tmp_path / "other.db") as other:
        notes = []
        for _ in range(4):
            notes.append(anchor.take_checkpoint(log, key)[0])
            fill(log, 5)
        last, proofs = anchor.take_checkpoint(log, key, notes)
        for note, proof in zip(notes, proofs, strict=True):
            old, new = anchor.verify_proof_text(proof, note, key.public)
            assert (old, new) == (unverified(note), unverified(last))
        for wrong in (proofs[1], proofs[2][:20] + proofs[2][21:], b"", last):
            with pytest.raises(AnchorRefused):
                anchor.verify_proof_text(wrong, notes[2], key.public)
        with pytest.raises(AnchorRefused, match="of the journal"):
            anchor.take_checkpoint(other, key, [notes[0]])
        head, _, _ = proofs[2].partition(b"\n\n")
        fill(other, 20)
        foreign = anchor.take_checkpoint(other, key)[0]
        with pytest.raises(AnchorRefused, match="the checkpoints are of"):
            anchor.verify_proof_text(head + b"\n\n" + foreign, notes[2], key.public)
        first, *nodes = head.split(b"\n")
        for changed in (nodes[:-1], [*nodes, base64.b64encode(bytes(32))], [base64.b64encode(bytes(32)), *nodes[1:]]):
            with pytest.raises(AnchorRefused, match="does not go on from"):
                anchor.verify_proof_text(b"\n".join([first, *changed]) + b"\n\n" + last, notes[2], key.public)


def test_inclusion_proofs_of_a_log(tmp_path, key):
    """The proof of each event verifies against the signed root."""
    with open_log(tmp_path / "j.db") as log:
        fill(log, 4)
        root = unverified(anchor.take_checkpoint(log, key)[0]).root
        rows = list(log.read_all())
        for row, proof in zip(rows, anchor.inclusion_proofs(log, range(1, 13), 12), strict=True):
            assert merkle.includes(row.hash, row.seq - 1, 12, proof, root)


def rechained(db: sqlite3.Connection) -> None:
    """Give every row the hash of what it holds now, as someone would who rewrites a log."""
    last: dict[str, bytes] = {}
    rows = db.execute(
        "SELECT session_id, version, turn, kind, type, schema_version, at, principal, cause, idempotency_key, data,"
        " seq FROM events ORDER BY seq"
    ).fetchall()
    for *columns, seq in rows:
        raw = [x.encode() if isinstance(x, str) else x for x in columns]
        prev = last.get(columns[0], GENESIS)
        last[columns[0]] = event_hash(*raw, prev)
        db.execute("UPDATE events SET prev_hash = ?, hash = ? WHERE seq = ?", (prev, last[columns[0]], seq))


TAMPERINGS = {
    "a cut tail": ("DELETE FROM events WHERE seq = 9", "size"),
    "swapped sessions": (
        "UPDATE events SET seq = -1 WHERE seq = 2; UPDATE events SET seq = 2 WHERE seq = 3;"
        "UPDATE events SET seq = 3 WHERE seq = -1",
        "root",
    ),
    "a rewritten chain": ("UPDATE events SET principal = 'nobody' WHERE seq = 4", "root"),
    "a gap": ("DELETE FROM events WHERE seq = 5; INSERT INTO events SELECT 10, 'c', version, turn, kind, type,"
              " schema_version, at, principal, cause, idempotency_key, data, prev_hash, hash FROM events LIMIT 1",
              "read"),
    "another identity": ("UPDATE journal SET id = 'ffffffffffffffffffffffffffffffff'", "origin"),
    "no table": ("DROP TABLE events", "read"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_that_chains_cannot_show_is_found(tmp_path, key, name):
    """LAW-ANCHOR-2: each way of changing a log after which it is consistent in itself does not pass the anchor."""
    statement, what = TAMPERINGS[name]
    with open_log(tmp_path / "j.db") as log:
        fill(log)
        note, _ = anchor.take_checkpoint(log, key)
    copy = shutil.copy(tmp_path / "j.db", tmp_path / "copy.db")
    with sqlite3.connect(copy) as db:
        for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {trigger}")
    with open_log(copy, read_only=True) as log:
        assert anchor.check_anchor(log, note, key.public, NOW) == anchor.Anchored(9, 0)
    log = open_log(copy, read_only=True)
    with sqlite3.connect(copy) as db:
        db.executescript(statement)
        if what == "root":
            rechained(db)
    if name == "another identity":
        log = open_log(copy, read_only=True)
    with log, pytest.raises(AnchorRefused) as refused:
        anchor.check_anchor(log, note, key.public, NOW)
    assert refused.value.what == what


def test_an_anchor_needs_the_right_key_that_is_still_good(tmp_path, key):
    """A stranger's key, one of the same name, and an expired one are refused."""
    with open_log(tmp_path / "j.db") as log:
        fill(log)
        note, _ = anchor.take_checkpoint(log, key)
        make_key(str(tmp_path / "same"), "anchor", 100, NOW)
        for wrong in (load_public(str(tmp_path / "same.pub")), key_of(*ED25519[0][:2]).public):
            with pytest.raises(AnchorRefused, match="not signed by the key"):
                anchor.check_anchor(log, note, wrong, NOW)
        with pytest.raises(AnchorRefused, match="was good until"):
            anchor.check_anchor(log, note, key.public, key.public.not_after_s + 1)


def test_a_key_does_not_show_its_secret(key):
    """Neither in a traceback nor in a log."""
    assert key.secret.hex() not in repr(key) and repr(key.secret) not in repr(key)
