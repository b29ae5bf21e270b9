"""Bundles prove themselves: a good one is accepted by the stand-alone verifier, every changed one is not."""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawvm_es.engine.hooks import Settings
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.store import FieldSchema
from clawvm_es.errors import AnchorRefused, UsageError
from clawvm_es.history.bundle import bundle
from clawvm_es.journal.anchors import PublicKey, SecretKey, load_secret, make_key, merkle, take_checkpoint
from clawvm_es.journal.anchors.notes import Checkpoint, sign
from clawvm_es.journal.bundled import FIRST_BYTES
from clawvm_es.journal.codec import named_commitments
from clawvm_es.model.events import ContentRedacted, SessionForked, ToolCalled
from clawvm_es.model.facts import RedactReason
from clawvm_es.storage import open_log
from clawvm_es.testing.logs import budget, new, used
from tests.journal.test_anchors import ED25519

NOW = 1_800_000_000
TOOL = Path(__file__).resolve().parents[2] / "clawvm_es" / "verify_bundle.py"
MUTATE = TOOL.parents[1] / "tools" / "mutate_bundle.py"


def _load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool, mutate = _load(TOOL), _load(MUTATE)


def write(journal: Journal, name: str, value: str, project: str | None = "team") -> None:
    """One session that assembles a prompt and commits a field of the project."""
    fields = Settings(fields={"notes": FieldSchema()})
    with journal.session(name, counter="lines4", project=project, settings=fields) as session:
        page = session.user_says(f'note {value}: naïve ☃ \x7f\u2028 "quoted" \\ \n')
        session.assemble()
        session.observe_model(f"answer {value}")
        if project:
            session.stage("notes", "append", value, scope="project", evidence=page)
        session.save()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a key `k` and a journal: sessions that share a scope, a fork, an erased text, one alone."""
    folder = tmp_path_factory.mktemp("bundles")
    make_key(str(folder / "k"), "signer", 36_500, NOW)
    ticks = itertools.count(1)
    with Journal.open(folder / "j.db", clock=lambda: next(ticks)) as journal:
        for name in ("a", "b", "c"):
            write(journal, name, f"of {name}")
        write(journal, "alone", "nothing", project=None)
    with open_log(folder / "j.db") as log:
        parent = list(log.read("alone"))[5]
        log.append("fork", [new(SessionForked("alone", 6, parent.hash.hex())), budget(6), used("p9")])
        parent = list(log.read("fork"))[1]
        log.append("fork of a fork", [new(SessionForked("fork", parent.version, parent.hash.hex())), budget(7)])
        log.append("erased", [new(ToolCalled(1, "tool", log.vault("erased").commit(b"secret")), "k")])
        (gone,) = (c for row in log.read("erased") for c in named_commitments(row.raw))
        log.append("erased", [new(ContentRedacted(RedactReason.SECRET, (gone,)))])
    db = sqlite3.connect(folder / "j.db", isolation_level=None)
    db.execute("DELETE FROM commitments WHERE commitment = ?", (gone,))
    db.close()
    return folder


@pytest.fixture(scope="module")
def key(place):
    """The signer's key."""
    return load_secret(str(place / "k"), NOW)


@pytest.fixture(scope="module")
def log(place):
    """The journal, to read."""
    with open_log(place / "j.db", read_only=True) as found:
        yield found


@pytest.fixture(scope="module")
def note(log, key):
    """A checkpoint of all of it."""
    return take_checkpoint(log, key)[0]


@pytest.fixture(scope="module")
def raw(log, note):
    """A bundle of three sessions and what they need."""
    return b"".join(bundle(log, ["b", "fork of a fork", "erased"], note))


def verdict(raw: bytes, key: SecretKey):
    """What the verifier says: what it found, or None where it refuses."""
    try:
        return tool.verify(raw.splitlines(keepends=True) if raw else [], key.public.name, key.public.key)
    except tool.Bad:
        return None


def spans(found) -> dict[str, tuple[int, int]]:
    """The versions of each stream in a bundle."""
    return {session_id: (stream.first, stream.last) for session_id, stream in found.streams.items()}


def test_a_bundle_holds_what_its_sessions_need_and_no_more(log, note, key, raw):
    """LAW-BUNDLE-1: fork parents up to the fork, the scope as far as learned or published, other sessions not."""
    found = verdict(raw, key)
    last = {head.session_id: head.version for head in log.heads()}
    assert spans(found) == {
        "alone": (1, 6),
        "b": (1, last["b"]),
        "erased": (1, 2),
        "fork": (7, 8),
        "fork of a fork": (9, 10),
        "scope:team": (1, 2),
    }
    assert last["scope:team"] == 3 and last["fork"] == 9
    assert raw.startswith(FIRST_BYTES)
    assert b"of a" in b"".join(tool.from_base64(line["body"] or "", "") for line in commitments(raw))


def commitments(raw: bytes) -> list[dict]:
    """The commitment lines of a bundle."""
    return [value for value in map(json.loads, raw.splitlines()) if value["line"] == "commitment"]


def test_every_session_alone_and_all_together_verify(log, note, key):
    """Whatever is asked for, the bundle is complete; the whole journal has every event."""
    ids = [head.session_id for head in log.heads()]
    for session_id in ids:
        assert verdict(b"".join(bundle(log, [session_id], note)), key), session_id
    whole = verdict(b"".join(bundle(log, ids, note)), key)
    assert len(whole.indices) == sum(1 for _ in log.read_all())


def test_a_bundle_is_as_of_its_checkpoint(log, key, tmp_path):
    """LAW-BUNDLE-2: with an older checkpoint, later events are not in it; a session that is younger is refused."""
    cut = next(row.seq for row in log.read("b")) + 4
    note = sign(Checkpoint(log.journal_id, cut, tool_root(log, cut)), key)
    assert spans(verdict(b"".join(bundle(log, ["b"], note)), key))["b"] == (1, 5)
    with pytest.raises(UsageError, match="covers no event"):
        list(bundle(log, ["c"], note))
    with pytest.raises(UsageError, match="covers no event"):
        list(bundle(log, ["nobody"], note))
    before = next(row.seq for row in log.read("erased"))
    note = sign(Checkpoint(log.journal_id, before, tool_root(log, before)), key)
    with pytest.raises(AnchorRefused, match="is gone"):
        list(bundle(log, ["erased"], note))


def tool_root(log, size: int) -> bytes:
    """The root of the first events."""
    return merkle.root_of(row.hash for row in log.read_all(upto_seq=size))


def test_a_checkpoint_of_another_log_makes_no_bundle(log, key):
    """A note that the log contradicts is refused before anything is written."""
    for checkpoint in (
        Checkpoint("f" * 32, 3, tool_root(log, 3)),
        Checkpoint(log.journal_id, 3, bytes(32)),
        Checkpoint(log.journal_id, 10_000, bytes(32)),
    ):
        with pytest.raises(AnchorRefused):
            next(bundle(log, ["b"], sign(checkpoint, key)))


# ------------------------------------------------------------------------------------------------------ what is bad


def test_200_mutated_bundles_are_rejected(raw, key):
    """Flipped bits, cut, put in, swapped, doubled, missing and forged lines: each is found."""
    made = list(mutate.mutants(raw, 200, random.Random(3)))
    assert {kind for kind, _ in made} == set(mutate.MUTATIONS)
    for kind, changed in made:
        assert changed != raw and verdict(changed, key) is None, kind
    assert verdict(raw, key)


def test_mutants_are_rejected_by_a_python_without_packages(raw, key, place, tmp_path):
    """`mutate_bundle.py`, itself without packages, prints its table; a bundle that is bad already is told."""
    (tmp_path / "b").write_bytes(raw)
    command = [sys.executable, "-I", "-S", str(MUTATE), str(tmp_path / "b"), "--key", str(place / "k.pub")]
    done = subprocess.run([*command, "--mutants", "14", "--json"], capture_output=True, text=True, check=False)
    document = json.loads(done.stdout)
    assert (done.returncode, document["ok"], document["not_rejected"]) == (0, True, []), done.stderr
    assert {row["mutation"]: row["rejected"] for row in document["mutations"]} == dict.fromkeys(mutate.MUTATIONS, 2)
    (tmp_path / "b").write_bytes(raw[:-2])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout.startswith("NOT ACCEPTED: BAD BUNDLE: the file ends inside a line")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_bundle_cut_in_the_middle_says_so(raw, key, share):
    """Cut inside a line or after one: one line that says that the end is missing."""
    at = int(len(raw) * share)
    at -= raw[:at].endswith(b"\n")
    after_a_line = raw.rfind(b"\n", 0, at) + 1
    for end, says in ((at, "the file ends inside a line" if at else "the bundle ends before"),
                      (after_a_line, "the bundle ends before its last line")):  # fmt: skip
        with pytest.raises(tool.Bad, match=says):
            tool.verify(raw[:end].splitlines(keepends=True), key.public.name, key.public.key)


def test_two_swapped_entries_are_named(raw, key):
    """Two events, or two commitments, that changed places: the first of them is named by its line."""
    lines = raw.splitlines(keepends=True)
    kinds = [json.loads(line)["line"] for line in lines]
    for kind, says in (("event", "seq does not grow|is not the next"), ("commitment", "not in their order")):
        first = kinds.index(kind)
        swapped = [*lines[:first], lines[first + 1], lines[first], *lines[first + 2 :]]
        with pytest.raises(tool.Bad, match=rf"^line {first + 1}|{first + 2}: .*({says})") as caught:
            tool.verify(swapped, key.public.name, key.public.key)
        assert "\n" not in str(caught.value)


def test_300_forgeries_with_a_right_digest_are_rejected(raw, key):
    """Who changes a field or a line and works the digest out again is found by chains, bodies and signature."""
    values = [json.loads(line) for line in raw.splitlines()]
    assert mutate.sealed_again(values) == raw
    rng, tried = random.Random(4), 0
    while tried < 300:
        changed = mutate.forgery(values, rng)
        if not mutate.undetectable(values, changed):
            tried += 1
            assert verdict(mutate.sealed_again(changed), key) is None, [
                (a, b) for a, b in zip(values, changed, strict=False) if a != b
            ][:2]


def test_every_field_of_the_last_line_is_checked(raw, key):
    """Signature, note, seqs and every node of every proof: changed, doubled or missing, each is found."""
    *body, end = [json.loads(line) for line in raw.splitlines()]
    for path in mutate.leaves(end):
        changed = json.loads(json.dumps(end))
        owner = changed
        for step in path[:-1]:
            owner = owner[step]
        old = owner[path[-1]]
        owner[path[-1]] = old + 1 if isinstance(old, int) else ("0" if old[0] != "0" else "1") + old[1:]
        lines = [json.dumps(v, sort_keys=True, separators=(",", ":"), ensure_ascii=False) for v in (*body, changed)]
        assert verdict(("\n".join(lines) + "\n").encode(), key) is None, path
    for proof in end["inclusion"]:
        proof["proof"] = proof["proof"][:-1]
        assert verdict(mutate.sealed_again([*body, end]), key) is None


def test_a_strangers_key_is_refused(raw, key, tmp_path):
    """Another key, and another key of the same name."""
    make_key(str(tmp_path / "k"), "signer", 1, NOW)
    stranger = load_secret(str(tmp_path / "k"), NOW)
    assert verdict(raw, stranger) is None
    assert verdict(raw, SecretKey(PublicKey("other", key.public.key, NOW), b"")) is None


def test_a_re_signed_bundle_needs_the_signers_key(log, raw, key, tmp_path):
    """A whole bundle signed by somebody else verifies with their key only."""
    make_key(str(tmp_path / "k"), "signer", 1, NOW)
    theirs = load_secret(str(tmp_path / "k"), NOW)
    other = b"".join(bundle(log, ["b"], take_checkpoint(log, theirs)[0]))
    assert verdict(other, theirs) and verdict(other, key) is None


def test_every_seq_is_proven(raw, key):
    """An event moved within the gaps of a bundle is found, though its hash does not cover its place."""
    values = [json.loads(line) for line in raw.splitlines()]
    seqs = [value["seq"] for value in values if value["line"] == "event"]
    moved = 0
    for at, (seq, following) in enumerate(itertools.pairwise(seqs), 1):
        if following > seq + 1:
            changed = [*values[:at], {**values[at], "seq": seq + 1}, *values[at + 1 :]]
            assert verdict(mutate.sealed_again(changed), key) is None
            moved += 1
    assert moved


@given(st.data())
def test_known_leaves_and_the_rest_give_the_root(data):
    """Any set of leaves, with the roots of the largest subtrees between them, gives the root of the tree."""
    size = data.draw(st.integers(1, 1100), label="size")
    indices = sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1), label="indices"))
    leaves = [hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(size)]
    spans = merkle.rest_spans(indices, size)
    found = merkle.roots(leaves, spans)
    rest = iter([found[span] for span in spans])
    known = b"".join(leaves[n] for n in indices)
    assert tool.root_from(size, indices, known, rest) == merkle.root_of(leaves)
    assert next(rest, None) is None


# ---------------------------------------------------------------------------------------------- the program, Ed25519


def run(*arguments) -> tuple[int, str]:
    """The verifier as a program, in a Python without any packages: exit code and output."""
    command = [sys.executable, "-I", "-S", str(TOOL), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_program_needs_no_packages(place, raw, tmp_path):
    """Exit 0 and the heads for a good bundle, 1 for a bad one or an old key, 2 for what cannot be read."""
    good, bad, old = tmp_path / "good", tmp_path / "bad", tmp_path / "old.pub"
    good.write_bytes(raw)
    bad.write_bytes(raw[:-2] + b"\n")
    line = (place / "k.pub").read_text().splitlines()[0]
    old.write_text(f"{line}\nnot_after 2001-01-01T00:00:00Z\n")
    assert run(good, "--key", place / "k.pub")[0] == 0
    code, said = run(bad, "--key", place / "k.pub")
    assert code == 1 and said.startswith("BAD") and "line" in said
    assert run(good, "--key", old)[0] == 1
    for arguments in ((tmp_path / "missing", "--key", place / "k.pub"), (good, "--key", good), (good,)):
        assert run(*arguments)[0] == 2


@pytest.mark.parametrize(("secret", "public", "message", "signature"), ED25519)
def test_the_vectors_of_rfc_8032_in_plain_python(secret, public, message, signature):
    """Signatures of RFC 8032 verify; a flipped bit, a scalar beyond the order and other lengths do not."""
    key, text, raw = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert tool.ed25519_verify(key, text, raw)
    assert not tool.ed25519_verify(key, text + b"x", raw)
    scalar = int.from_bytes(raw[32:], "little") + tool.ORDER
    assert not tool.ed25519_verify(key, text, raw[:32] + scalar.to_bytes(32, "little"))
    for wrong in (raw[:-1], raw + b"\0", b"", bytes(64)):
        assert not tool.ed25519_verify(key, text, wrong)
    assert not tool.ed25519_verify(b"\xff" * 32, text, raw)


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80), st.integers(0, 511))
def test_plain_ed25519_agrees_with_cryptography(secret, text, bit):
    """Any signature of the library verifies, and with any one bit flipped it does not."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(secret)
    public, signature = key.public_key().public_bytes_raw(), bytearray(key.sign(text))
    assert tool.ed25519_verify(public, text, bytes(signature))
    signature[bit // 8] ^= 1 << bit % 8
    assert not tool.ed25519_verify(public, text, bytes(signature))


def test_a_missing_key_or_bundle_is_named(tmp_path: Path) -> None:
    """The checker says which file it could not read, and why, in one line without an error's number."""
    command = [sys.executable, str(TOOL), str(tmp_path / "none"), "--key", str(tmp_path / "none.pub")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"verify_bundle: {tmp_path / 'none.pub'}: No such file or directory\n"
