"""The laws of bodies: commitments, salts, what is kept and what is sealed."""

from __future__ import annotations

import hashlib
import hmac

from clawvm_es.journal.ports import EventLog
from clawvm_es.model.events import (
    PromptRendered,
    RecallAnswered,
    ToolCalled,
)
from clawvm_es.model.facts import RecallOutcome
from clawvm_es.testing.logs.place import new


class BodyLaws:
    """Contract of vaults."""

    def test_many_bodies_are_opened_at_once(self, log: EventLog) -> None:
        """One call opens stored and pending bodies, and omits sealed and unknown ones."""
        vault = log.vault("s")
        stored, sealed = vault.commit(b"stored"), vault.seal(b"sealed")
        log.append("s", [new(PromptRendered("r", 1, sealed)), new(ToolCalled(1, "tool", stored))])
        held = vault.commit(b"held back")
        assert vault.open_all([stored, sealed, held, "0" * 64, stored]) == {stored: b"stored", held: b"held back"}
        assert vault.open_all([]) == {}
        assert (vault.known(b"stored"), vault.known(b"held back")) == (stored, held)
        assert vault.known(b"sealed") is vault.known(b"other") is log.vault("t").known(b"stored") is None

    def test_bodies_open_at_once_and_after_the_append(self, log: EventLog) -> None:
        """LAW-VAULT-1: a body can be opened as soon as it is committed, and by all once an event names it."""
        vault = log.vault("s")
        commitment = vault.commit(b"\x00 text \xff")
        assert len(bytes.fromhex(commitment)) == 32
        assert vault.open(commitment) == b"\x00 text \xff"
        log.append("s", [new(ToolCalled(1, "tool", commitment))])
        assert log.vault("other").open(commitment) == b"\x00 text \xff"
        assert vault.open("0" * 64) is None

    def test_equal_bodies_have_one_commitment_a_session(self, log: EventLog) -> None:
        """LAW-VAULT-2: the same body gives the same commitment in a session, before and after it is stored."""
        first = log.vault("a").commit(b"body")
        assert log.vault("a").commit(b"body") == first
        log.append("a", [new(ToolCalled(1, "tool", first))])
        assert log.vault("a").commit(b"body") == first
        assert log.vault("b").commit(b"body") != first

    def test_sealed_bodies_are_not_kept(self, log: EventLog) -> None:
        """A sealed body cannot be opened, before or after the append that names it."""
        vault = log.vault("s")
        commitment = vault.seal(b"prompt")
        assert vault.open(commitment) is None
        log.append("s", [new(PromptRendered("r", 1, commitment))])
        assert vault.open(commitment) is None

    def test_kept_bodies_are_counted_once(self, log: EventLog) -> None:
        """`bodies_kept` counts a shared body once in the log and once in each session, and no sealed body."""
        for session_id, body in (("a", b"shared"), ("b", b"shared"), ("b", b"of b")):
            query = log.vault(session_id).commit(body)
            log.append(session_id, [new(RecallAnswered(1, RecallOutcome.OK, query))])
        log.append("b", [new(PromptRendered("r", 1, log.vault("b").seal(b"sealed")))])
        assert log.bodies_kept() == log.bodies_kept("b") == (2, 10)
        assert log.bodies_kept("a") == (1, 6) and log.bodies_kept("c") == (0, 0)

    def test_unseeded_salts_do_not_repeat(self, log: EventLog) -> None:
        """Without a seed each body of each session has a salt of its own, which is kept with its commitment."""
        names = {}
        for key, body in (("a", b"one"), ("a", b"two"), ("b", b"one")):
            vault = log.vault(key)
            names[key, body] = vault.commit(body), vault.seal(body)
            log.append(key, [new(ToolCalled(1, "tool", *names[key, body]))])
        salts = []
        for (_, body), (kept, sealed) in names.items():
            for name, stored in ((kept, body), (sealed, None)):
                found = log.stored(name)
                assert found is not None and found[1] == stored
                assert hmac.digest(found[0], body, "sha256").hex() == name
                salts.append(found[0])
        assert len({*salts}) == 6 and {len(salt) for salt in salts} == {32}

    def test_seeded_salts_are_reproducible(self, log: EventLog) -> None:
        """With a seed the commitment follows from seed, session and body alone."""
        vault = log.vault("s", seed=7)
        salt = hmac.digest(b"7", b"s" + hashlib.sha256(b"body").digest(), "sha256")
        commitment = vault.commit(b"body")
        assert commitment == vault.seal(b"body") == hmac.digest(salt, b"body", "sha256").hex()
        assert log.vault("t", seed=7).commit(b"body") != commitment
        log.append("s", [new(ToolCalled(1, "tool", commitment))])
        assert vault.seal(b"body") == commitment
        assert vault.open(commitment) == b"body"
        assert log.vault("s", seed=8).seal(b"body") != commitment

    def test_a_sealed_body_can_be_kept_later(self, log: EventLog) -> None:
        """With a seed a body may be sealed first and committed later: then it can be opened."""
        vault = log.vault("s", seed=7)
        log.append("s", [new(PromptRendered("r", 1, vault.seal(b"text")))])
        commitment = vault.commit(b"text")
        log.append("s", [new(ToolCalled(1, "tool", commitment))])
        assert log.vault("t").open(commitment) == b"text"

    def test_bodies_of_a_failed_append_wait(self, log: EventLog) -> None:
        """LAW-VAULT-1: a transaction that is rolled back stores no body, and the next one that names it does."""
        import pytest

        vault = log.vault("s")
        commitment = vault.commit(b"body")
        event = new(ToolCalled(1, "tool", commitment))
        with pytest.raises(ZeroDivisionError), log.transaction() as transaction:
            transaction.append("s", [event])
            raise ZeroDivisionError
        assert vault.open(commitment) == b"body"
        log.append("s", [event])
        assert vault.open(commitment) == vault.open(vault.commit(b"body")) == b"body"
