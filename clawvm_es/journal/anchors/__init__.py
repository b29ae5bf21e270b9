"""Anchors: prove a log to someone who does not trust its file."""

from __future__ import annotations

from clawvm_es.journal.anchors.anchor import (
    Anchored,
    check_anchor,
    inclusion_proofs,
    proof_text,
    rest_roots,
    take_checkpoint,
    verify_proof_text,
)
from clawvm_es.journal.anchors.keys import PublicKey, SecretKey, load_public, load_secret, make_key
from clawvm_es.journal.anchors.notes import Checkpoint, open_note, sign, unverified

__all__ = [
    "Anchored",
    "Checkpoint",
    "PublicKey",
    "SecretKey",
    "check_anchor",
    "inclusion_proofs",
    "load_public",
    "load_secret",
    "make_key",
    "open_note",
    "proof_text",
    "rest_roots",
    "sign",
    "take_checkpoint",
    "unverified",
    "verify_proof_text",
]
