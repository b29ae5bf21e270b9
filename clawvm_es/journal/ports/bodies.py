"""The port of bodies: the texts of a session, behind salted commitments."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import attrs


@attrs.frozen
class Erased:
    """A body that left the log: its id in the store (0 if there is none), the body, and its stored form."""

    blob_id: int
    body: bytes
    stored: bytes = b""


class Vault(Protocol):
    """The bodies of one session: text in, salted commitments out."""

    def commit(self, body: bytes) -> str:
        """Keep `body` and return its commitment (64 hex digits); equal bodies of one session give the same."""

    def seal(self, body: bytes) -> str:
        """Return the commitment to `body` and keep its salt, but not the body."""

    def known(self, body: bytes) -> str | None:
        """Return the session's commitment to `body`; None for a body that is new, sealed or erased."""

    def open(self, commitment: str) -> bytes | None:
        """Return the body behind a commitment; None if it was sealed or erased."""

    def open_all(self, commitments: Collection[str]) -> Mapping[str, bytes]:
        """Return the bodies behind many commitments at once; those that were sealed or erased are left out."""

    def held_bytes(self) -> int:
        """Bytes of bodies that are in memory until an append names them."""

    def found(self, version: int) -> None:
        """Note that the stream was read up to `version`: bodies stored by other writers are known from now on."""
