"""Bodies: the texts that events only name by salted commitments.

commitment = HMAC-SHA-256(salt, body), salt 32 random bytes per (session, body); with a seed, salt =
HMAC-SHA-256(seed in decimal ASCII, session_id ‖ SHA-256(body)), so that a session comes out the same anywhere.

LAW-VAULT-1: a body is stored in the transaction whose events first name it, or not at all; until then it is held
back in memory, where `open` finds it.
LAW-VAULT-2: equal bodies are stored once, and one session keeps one commitment to each.
"""

from __future__ import annotations

import hmac
import os
import threading
from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256
from typing import Any, Final, Protocol

import attrs
import msgspec
from msgspec.structs import replace

from clawvm_es.journal.codec import named_commitments

SALT_BYTES: Final = 32
_NAMES_CACHED: Final = 32_768
"""Commitments of stored bodies that are remembered at most; three hundred bytes each with their digests."""
_BLOCK_BYTES: Final = 64
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
_INNER_REST, _OUTER_REST = (bytes((pad,)) * (_BLOCK_BYTES - SALT_BYTES) for pad in (0x36, 0x5C))
_BINDING_TAG: Final = b"clawvm-es commitment 1"


class Body(msgspec.Struct, frozen=True):
    """One commitment with its body; a `sealed` one keeps its salt, but its body is not stored."""

    session_id: str
    commitment: str
    salt: bytes
    digest: bytes  # SHA-256 of the body; empty if it is sealed
    body: bytes
    sealed: bool
    fresh: bool = False  # its salt is new and known to nobody else, so that no such commitment can be stored

    @property
    def binding(self) -> bytes:
        """Value of `binding` in the row of this commitment."""
        return binding(self.commitment, self.session_id, self.salt, self.sealed)


@attrs.define
class Written:
    """All bodies of a stream that only this log has appended to: digest → commitment, as of a version."""

    version: int
    names: dict[bytes, str] = attrs.field(factory=dict)


class BodyStore(Protocol):
    """Lookup of committed bodies."""

    def commitment_of(self, session_id: str, digest: bytes) -> str | None:
        """The commitment of a session to a stored body, by the body's SHA-256."""

    def stored(self, commitment: str) -> tuple[bytes, bytes | None] | None:
        """Salt and body (None: sealed) behind a commitment; None if there is no such row."""

    def stored_bodies(self, commitments: Sequence[str]) -> dict[str, bytes]:
        """Commitment → stored body; those that were sealed or are not stored are left out."""


def commitment_to(salt: bytes, body: bytes) -> str:
    """The commitment to `body` under `salt`, 64 hex digits."""
    if len(salt) != SALT_BYTES:
        return hmac.digest(salt, body, "sha256").hex()
    inner = sha256(salt.translate(_INNER) + _INNER_REST)  # RFC 2104: what OpenSSL sets up for an HMAC takes longer
    inner.update(body)
    return sha256(salt.translate(_OUTER) + _OUTER_REST + inner.digest()).hexdigest()


def binding(commitment: str, session_id: str, salt: bytes, sealed: bool) -> bytes:
    """SHA-256 over the cells of a commitment's row; it shows an altered salt even if the body is gone."""
    fields = (_BINDING_TAG, b"\1" if sealed else b"\0", commitment.encode(), salt, session_id.encode())
    return sha256(b"".join(fields)).digest()


class Bodies:
    """The bodies of all sessions of one log that are not stored yet, in front of those that are. Thread-safe."""

    def __init__(self, store: BodyStore) -> None:
        self._store = store
        self.mutex: Final = threading.Lock()  # public for a log that has to hold everything still over a fork
        self._pending: dict[str, Body] = {}  # by commitment
        self.held_bytes = 0  # of those
        self._known: dict[tuple[str, bytes], str] = {}  # (session, digest) of pending, unsealed bodies
        self._written: dict[str, Written] = {}  # streams that began here, while nobody else appends to them
        self._names = 0  # how many bodies are remembered in them

    def keep(self, session_id: str, body: bytes, seed: int | None, sealed: bool) -> str:
        """Hold `body` back for the next append that names it, and return its commitment."""
        digest = b"" if sealed else sha256(body).digest()
        with self.mutex:
            if not sealed:
                known = self._known.get((session_id, digest)) or self._stored(session_id, digest)
                if known is not None:
                    return known
            if seed is None:
                salt = os.urandom(SALT_BYTES)
            else:
                of = digest or sha256(body).digest()
                salt = hmac.digest(str(seed).encode(), session_id.encode() + of, "sha256")
            commitment = commitment_to(salt, body)
            before = self._pending.get(commitment)
            if before is None or before.sealed:
                self._pending[commitment] = Body(session_id, commitment, salt, digest, body, sealed, seed is None)
                self.held_bytes += 0 if before is not None else len(body)
            if not sealed:
                self._known[session_id, digest] = commitment
            return commitment

    def _stored(self, session_id: str, digest: bytes) -> str | None:
        """The commitment to a stored body; the store is not queried if this log wrote the whole stream."""
        written = self._written.get(session_id)
        return self._store.commitment_of(session_id, digest) if written is None else written.names.get(digest)

    def known(self, session_id: str, body: bytes) -> str | None:
        """The commitment of a session to `body`, stored or held back; None if there is none."""
        digest = sha256(body).digest()
        with self.mutex:
            return self._known.get((session_id, digest)) or self._stored(session_id, digest)

    def open(self, commitment: str) -> bytes | None:
        """The body behind a commitment of any session; None if it was sealed or erased, or is unknown."""
        pending = self._pending.get(commitment)
        if pending is not None and not pending.sealed:
            return pending.body
        stored = self._store.stored(commitment)
        return None if stored is None else stored[1]

    def open_all(self, commitments: Collection[str]) -> dict[str, bytes]:
        """The bodies behind commitments of any session; sealed, erased and unknown ones are left out."""
        found = {name: body.body for name in commitments if (body := self._pending.get(name)) and not body.sealed}
        rest = [name for name in dict.fromkeys(commitments) if name not in found]
        return {**found, **self._store.stored_bodies(rest)} if rest else found

    def named_by(self, session_id: str, rows: Iterable[tuple[Any, ...]]) -> tuple[Body, ...]:
        """The bodies held back for `session_id` that the inputs among these rows name, in the order of the names."""
        if not self._pending:
            return ()
        found: dict[str, Body] = {}
        with self.mutex:
            for data in (row[11] for row in rows if row[4] == "input"):
                for commitment in named_commitments(data.encode()):
                    body = self._pending.get(commitment)
                    if body is not None and body.session_id == session_id:
                        found[commitment] = body
        return tuple(found.values())

    def wrote(self, session_id: str, version: int, began: bool) -> None:
        """Note the end of a stream after a committed transaction, and whether that transaction began the stream."""
        if began:
            self._written[session_id] = Written(version)
        elif (written := self._written.get(session_id)) is not None:
            written.version = version

    def forget(self, bodies: Iterable[Body]) -> None:
        """Drop bodies that a committed transaction stored."""
        with self.mutex:
            for body in bodies:
                if (gone := self._pending.pop(body.commitment, None)) is not None:
                    self.held_bytes -= len(gone.body)
                self._known.pop((body.session_id, body.digest), None)
                if (written := self._written.get(body.session_id)) is not None:
                    written.names[body.digest] = body.commitment
                    self._names += 1
            if self._names > _NAMES_CACHED:
                self._written.clear()
                self._names = 0

    def found(self, session_id: str, version: int) -> None:
        """Note the end of a stream as read; if others may have appended to it, the store is queried for its bodies.

        A body that is held back may have been stored by them meanwhile, under a commitment of their own.
        """
        written = self._written.get(session_id)
        if written is None or written.version != version:
            with self.mutex:
                self._written.pop(session_id, None)
                self._known = {key: name for key, name in self._known.items() if key[0] != session_id}

    def erased(self) -> None:
        """Forget what this log wrote, since commitments leave the store: from now on the store is queried."""
        with self.mutex:
            self._written.clear()
            self._names = 0

    def share(self) -> None:
        """Note that pending bodies may be stored: by the other process of a fork, or by an uncertain commit."""
        self._pending = {name: replace(body, fresh=False) for name, body in self._pending.items()}

    def same(self, first: bytes, again: bytes) -> bool:
        """Tell whether two inputs' canonical data are equal once each commitment is replaced by its body."""
        if first == again:
            return True
        named_first, named_again = named_commitments(first), named_commitments(again)
        if len(named_first) != len(named_again):
            return False
        for old, new in zip(named_first, named_again, strict=True):
            if not self._same_body(old, new):
                return False
            again = again.replace(new.encode(), old.encode())
        return first == again

    def _same_body(self, old: str, new: str) -> bool:
        if old == new:
            return True
        new_body = self._pending.get(new)
        old_body = self._pending.get(old)
        salt = old_body.salt if old_body is not None else (self._store.stored(old) or (None,))[0]
        return new_body is not None and salt is not None and commitment_to(salt, new_body.body) == old


@attrs.frozen
class SessionVault:
    """The `Vault` of one session over the bodies of its log."""

    _bodies: Bodies
    session_id: str
    seed: int | None = None

    def commit(self, body: bytes) -> str:
        """Keep `body` and return its commitment (64 hex digits); equal bodies of one session give the same."""
        return self._bodies.keep(self.session_id, body, self.seed, sealed=False)

    def seal(self, body: bytes) -> str:
        """Return the commitment to `body` and keep its salt, but not the body."""
        return self._bodies.keep(self.session_id, body, self.seed, sealed=True)

    def known(self, body: bytes) -> str | None:
        """Return the session's commitment to `body`, if there is one."""
        return self._bodies.known(self.session_id, body)

    def open(self, commitment: str) -> bytes | None:
        """Return the body behind a commitment; None if it was sealed or erased."""
        return self._bodies.open(commitment)

    def open_all(self, commitments: Collection[str]) -> dict[str, bytes]:
        """Return the bodies behind many commitments at once; sealed and erased ones are left out."""
        return self._bodies.open_all(commitments)

    def held_bytes(self) -> int:
        """Return the bytes of the log's bodies that are in memory until an append names them."""
        return self._bodies.held_bytes

    def found(self, version: int) -> None:
        """Note that the stream was read up to `version`, perhaps with events of other writers."""
        self._bodies.found(self.session_id, version)
