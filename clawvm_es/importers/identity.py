"""Ids of sessions whose recording has none: a digest of their content, never of a path."""

from __future__ import annotations

import hashlib

from clawvm_es.observe.signatures import canonical


def content_id(prefix: str, content: object) -> str:
    """`prefix` and the first 16 hex digits of the SHA-256 of the canonical JSON of `content`."""
    return f"{prefix}-{hashlib.sha256(canonical(content).encode()).hexdigest()[:16]}"
