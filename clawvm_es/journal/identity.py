"""Identities of journals.

LAW-IDENTITY-1: a journal's id ends in a digest of the rest of its row, so that no cell of the row changes
unnoticed. The id is the origin of checkpoints, which thereby anchor the row. Ids of 32 digits are of earlier
versions, and bind nothing.
"""

from __future__ import annotations

import hashlib
from typing import Final

UNBOUND_ID_DIGITS: Final = 32
_BINDING_DIGITS: Final = 16


def journal_id(nonce: str, created_at_us: int, reproducible: bool) -> str:
    """The id of a journal made at a given time, from 32 random hex digits."""
    row = f"clawvm-es journal 1\n{nonce}\n{created_at_us}\n{int(reproducible)}\n"
    return nonce + hashlib.sha256(row.encode()).hexdigest()[:_BINDING_DIGITS]


def binds(id_: str, created_at_us: int, reproducible: bool) -> bool:
    """Tell whether an id fits the rest of its row."""
    return len(id_) == UNBOUND_ID_DIGITS or id_ == journal_id(id_[:UNBOUND_ID_DIGITS], created_at_us, reproducible)
