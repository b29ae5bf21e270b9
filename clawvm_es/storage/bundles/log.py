"""A read-only log of bundles, in memory. It has positions of its own, since a bundle holds only a part of its
journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final, NoReturn

from clawvm_es.errors import JournalDamaged, JournalReadOnly
from clawvm_es.journal.codec import named_commitments
from clawvm_es.journal.ports import Capability, Recorded
from clawvm_es.journal.vault import Body
from clawvm_es.storage.bundles.reading import Bundle
from clawvm_es.storage.memory.log import MemoryLog


class BundleLog(MemoryLog):
    """A read-only `EventLog`. A stream that several bundles hold is as long as in the longest."""

    kind = "bundle"  # type: ignore[misc]
    read_only = True  # type: ignore[misc]
    capabilities = frozenset({Capability.VERIFY})  # type: ignore[misc]

    def __init__(self, place: str, bundles: Sequence[Bundle]) -> None:
        super().__init__()
        self.place: Final = place  # type: ignore[misc]
        ids = {each.header.journal_id for each in bundles}
        if len(ids) > 1:
            raise JournalDamaged(f"{place} holds bundles of {len(ids)} journals", hint="name one file of it")
        self._journal_id = ids.pop()
        for row in _joined(place, bundles):
            self._add_row(row)
        self._durable_seq = len(self._events)
        owners = {
            name: row.session_id
            for row in reversed(self._events)
            if row.kind == "input"
            for name in named_commitments(row.raw)
        }
        for each in bundles:
            for commitment, salt, body in each.bodies:
                digest = b"" if body is None else sha256(body).digest()
                owner = owners.get(commitment, "")
                self._store(Body(owner, commitment, salt, digest, body or b"", body is None))

    def transaction(self, *_: Any, **__: Any) -> NoReturn:
        """Raise `JournalReadOnly`."""
        raise JournalReadOnly(f"{self.place} is a bundle, which is only read")

    append = transaction

    def _add_row(self, row: Recorded) -> None:
        placed = row._replace(seq=len(self._events) + 1)
        self._events.append(placed)
        self._streams.setdefault(row.session_id, []).append(placed)
        if row.idempotency_key is not None:
            self._keys[row.session_id, row.idempotency_key] = placed


def _joined(place: str, bundles: Iterable[Bundle]) -> list[Recorded]:
    """All events, each once, in the order of the journal. Raises `JournalDamaged` where two bundles disagree."""
    found: dict[tuple[str, int], Recorded] = {}
    for each in bundles:
        for row in each.rows:
            known = found.setdefault((row.session_id, row.version), row)
            if known.hash != row.hash:
                raise JournalDamaged(f"{place}: {each.path} holds another version {row.version} of {row.session_id}")
    return sorted(found.values(), key=lambda row: row.seq)
