"""Bodies that are held back for an append, in front of a store that counts what it is asked."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from clawvm_es.journal import vault
from clawvm_es.journal.vault import Bodies, Body, SessionVault, commitment_to


class Store:
    """A plain store of bodies; `asked` are the questions that it got."""

    def __init__(self) -> None:
        self.rows: dict[str, Body] = {}
        self.asked: list[Any] = []

    def commitment_of(self, session_id: str, digest: bytes) -> str | None:
        """The commitment of a session to a body."""
        self.asked.append((session_id, digest))
        return next((n for n, b in self.rows.items() if (b.session_id, b.digest) == (session_id, digest)), None)

    def stored(self, commitment: str) -> tuple[bytes, bytes | None] | None:
        """Salt and body of a row."""
        self.asked.append(commitment)
        body = self.rows.get(commitment)
        return None if body is None else (body.salt, None if body.sealed else body.body)

    def stored_bodies(self, commitments) -> dict[str, bytes]:
        """The bodies of rows."""
        self.asked.append(list(commitments))
        return {
            name: self.rows[name].body for name in commitments if name in self.rows and not self.rows[name].sealed
        }


@pytest.fixture
def store() -> Store:
    """An empty store."""
    return Store()


def named(*commitments: str) -> tuple[Any, ...]:
    """An input's row that names commitments."""
    return (*[None] * 4, "input", *[None] * 6, data(*commitments).decode())


def data(*commitments: str, more: str = "") -> bytes:
    """Data of an input that names commitments."""
    named = ",".join(f'{{"arguments":"{name}"}}' for name in commitments)
    return f"[{named}{more}]".encode()


def land(store: Store, bodies: Bodies, session: str, version: int, names: list[str], *, began: bool) -> None:
    """Store what an append of a session names, as a log does it after its commit."""
    kept = bodies.named_by(session, [named(*names)])
    store.rows.update((body.commitment, body) for body in kept)
    bodies.wrote(session, version, began)
    bodies.forget(kept)


def test_one_session_keeps_one_commitment_to_a_body(store) -> None:
    """LAW-VAULT-2: held back, then stored; another session has one of its own, with another salt."""
    bodies = Bodies(store)
    one, two = SessionVault(bodies, "one"), SessionVault(bodies, "two")
    name = one.commit(b"body")
    assert one.commit(b"body") == name == one.known(b"body")
    assert one.held_bytes() == 4 and two.known(b"body") is None
    other = two.commit(b"body")
    assert other != name and two.held_bytes() == 8
    land(store, bodies, "one", 1, [name], began=False)
    assert one.held_bytes() == 4 and one.commit(b"body") == name and one.held_bytes() == 4
    assert one.open(name) == two.open(other) == b"body"


@pytest.mark.parametrize("seed", [0, 7, 1_234_567])
def test_a_seed_gives_the_same_salt_anywhere(store, seed) -> None:
    """The salt is made of the seed, the session and the body alone; sealed or not, the commitment is the same."""
    import hmac

    salt = hmac.digest(str(seed).encode(), b"s" + sha256(b"body").digest(), "sha256")
    name = commitment_to(salt, b"body")
    assert SessionVault(Bodies(store), "s", seed).commit(b"body") == name
    assert SessionVault(Bodies(Store()), "s", seed).seal(b"body") == name
    bodies = Bodies(Store())
    SessionVault(bodies, "s", seed).commit(b"body")
    (kept,) = bodies.named_by("s", [named(name)])
    assert (kept.salt, kept.digest, kept.sealed, kept.fresh) == (salt, sha256(b"body").digest(), False, False)


def test_a_sealed_body_is_not_opened_until_it_is_committed_to(store) -> None:
    """With a seed both are one commitment: the body that comes later takes the place, and its bytes count once."""
    bodies = Bodies(store)
    session = SessionVault(bodies, "s", 5)
    name = session.seal(b"body")
    assert session.open(name) is None and session.open_all([name]) == {} and session.known(b"body") is None
    (kept,) = bodies.named_by("s", [named(name)])
    assert kept.sealed and kept.digest == b"" and session.held_bytes() == 4
    assert session.commit(b"body") == name and session.held_bytes() == 4
    assert session.open(name) == b"body"
    assert session.seal(b"body") == name and session.open(name) == b"body", "what is there is not sealed again"
    assert bodies.named_by("s", [named(name)])[0].sealed is False


def test_only_inputs_name_bodies_and_only_those_of_their_session(store) -> None:
    """In the order of the names, each once; nothing is looked for where nothing waits."""
    bodies = Bodies(store)
    assert bodies.named_by("one", [named("0" * 64)]) == ()
    names = [SessionVault(bodies, "one").commit(b"%d" % number) for number in range(3)]
    other = SessionVault(bodies, "two").commit(b"0")
    rows = [named(names[2], other), named(names[0], "0" * 64, names[2])]
    assert [body.commitment for body in bodies.named_by("one", rows)] == [names[2], names[0]]
    decision = (*named(names[1])[:4], "decision", *named(names[1])[5:])
    assert bodies.named_by("one", [decision]) == ()
    assert [body.body for body in bodies.named_by("two", rows)] == [b"0"]


def test_many_bodies_are_opened_by_one_question(store) -> None:
    """Those held back need none; what is sealed or unknown is left out."""
    bodies = Bodies(store)
    session = SessionVault(bodies, "s")
    stored, sealed = session.commit(b"stored"), session.seal(b"sealed")
    land(store, bodies, "s", 1, [stored, sealed], began=False)
    waits, hidden = session.commit(b"waits"), session.seal(b"hidden")
    store.asked.clear()
    assert session.open_all([waits]) == {waits: b"waits"} and store.asked == []
    found = session.open_all([stored, waits, sealed, hidden, "0" * 64, stored])
    assert found == {stored: b"stored", waits: b"waits"}
    assert store.asked == [[stored, sealed, hidden, "0" * 64]]
    assert session.open(stored) == b"stored" and session.open(sealed) is None and session.open("0" * 64) is None


def test_the_store_is_not_asked_about_a_stream_that_began_here(store) -> None:
    """As long as it stands where it was left, whatever number of appends it took."""
    bodies = Bodies(store)
    session = SessionVault(bodies, "s")
    first = session.commit(b"first")
    assert len(store.asked) == 1
    land(store, bodies, "s", 3, [first], began=True)
    second = session.commit(b"second")
    land(store, bodies, "s", 8, [second], began=False)
    bodies.found("s", 8)
    assert (session.known(b"first"), session.commit(b"second"), session.known(b"third")) == (first, second, None)
    assert len(store.asked) == 1


@pytest.mark.parametrize("version", [7, 9])
def test_a_stream_that_stands_elsewhere_is_asked_about(store, version) -> None:
    """What is held back may be stored meanwhile, under another commitment; other streams are still known."""
    bodies = Bodies(store)
    session, other = SessionVault(bodies, "s"), SessionVault(bodies, "other")
    for each, name in ((session, "s"), (other, "other")):
        land(store, bodies, name, 8, [each.commit(b"first")], began=True)
    mine, kept = session.commit(b"waits"), other.commit(b"waits")
    store.rows["theirs"] = Body("s", "theirs", bytes(32), sha256(b"waits").digest(), b"waits", False)
    asked = len(store.asked)
    session.found(version)
    other.found(8)
    assert session.commit(b"waits") == "theirs" != mine
    assert len(store.asked) == asked + 1
    assert other.commit(b"waits") == kept and other.known(b"none") is None
    assert len(store.asked) == asked + 1


def test_after_an_erasure_the_store_is_asked(store) -> None:
    """A commitment that left the store is not given again."""
    bodies = Bodies(store)
    session = SessionVault(bodies, "s")
    name = session.commit(b"body")
    land(store, bodies, "s", 1, [name], began=True)
    assert session.known(b"body") == name
    bodies.erased()
    store.rows.clear()
    assert session.known(b"body") is None and session.commit(b"body") != name
    assert bodies._names == 0


def test_what_is_remembered_of_streams_is_bounded(store, monkeypatch) -> None:
    """One body more than may be remembered, and all is forgotten; then it begins again."""
    monkeypatch.setattr(vault, "_NAMES_CACHED", 3)
    bodies = Bodies(store)
    session = SessionVault(bodies, "s")
    for number in range(1, 5):
        land(store, bodies, "s", number, [session.commit(b"%d" % number)], began=number == 1)
        assert (bodies._names, "s" in bodies._written) == ((number, True) if number < 4 else (0, False))


def test_a_salt_is_fresh_until_it_may_be_shared(store) -> None:
    """After a fork, or a commit of which nobody knows, a random salt may be stored already."""
    bodies = Bodies(store)
    name = SessionVault(bodies, "s").commit(b"body")
    assert bodies.named_by("s", [named(name)])[0].fresh
    bodies.share()
    assert not bodies.named_by("s", [named(name)])[0].fresh
    assert bodies.held_bytes == 4


def test_inputs_are_the_same_if_their_bodies_are(store) -> None:
    """Two commitments to one body stand for each other, held back or stored; everything else must be equal."""
    bodies = Bodies(store)
    one, two = SessionVault(bodies, "one"), SessionVault(bodies, "two")
    old, older = one.commit(b"body"), one.commit(b"more")
    new, newer, other = two.commit(b"body"), two.commit(b"more"), two.commit(b"other")

    for _ in range(2):
        assert bodies.same(data(old), data(old)) and bodies.same(data(old), data(new))
        assert bodies.same(data(old, older), data(new, newer)) and bodies.same(data(old, older), data(old, newer))
        assert not bodies.same(data(old, older), data(newer, new))
        assert not bodies.same(data(old), data(other)) and not bodies.same(data(old), data(new, newer))
        assert not bodies.same(data(old), data(new, more=',"x"'))
        assert not bodies.same(data(old), data("0" * 64)), "a body that nobody holds back is not known to be the same"
        assert not bodies.same(data("0" * 64), data(new))
        land(store, bodies, "one", 1, [old, older], began=False)
