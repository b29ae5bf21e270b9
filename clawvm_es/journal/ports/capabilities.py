"""Capabilities of a log beyond keeping events and bodies; using an undeclared one raises."""

from __future__ import annotations

from enum import StrEnum

from clawvm_es.errors import MissingCapability


class Capability(StrEnum):
    """Capabilities of a log beyond keeping events and bodies.

    `snapshots`, `models` and `text` are caches: without them, states and read models are folded and texts are
    scanned. Without one of the others, the verbs that need it refuse.
    """

    VERIFY = "verify"
    """Checks what it stored: `Verifying`."""
    ANCHOR = "anchor"
    """Gives the hashes of its events in order: `Anchoring`."""
    ERASE = "erase"
    """Deletes bodies so that no trace of them is left: `Erasing`."""
    SNAPSHOTS = "snapshots"
    """Keeps snapshots of states: `SnapshotStore`."""
    MODELS = "models"
    """Keeps read models in tables: `ModelStore`."""
    TEXT = "text"
    """Keeps a full-text index of bodies: `TextIndex`."""


def declares(log: object, capability: Capability) -> bool:
    """Tell whether a log declares a capability; one that declares nothing has none."""
    return capability in getattr(log, "capabilities", frozenset())


def require(log: object, capability: Capability, verb: str) -> None:
    """Raise `MissingCapability` unless the log declares `capability`, which `verb` needs."""
    if not declares(log, capability):
        kind = getattr(log, "kind", type(log).__name__)
        raise MissingCapability(
            f"{verb} is not possible here: the storage {kind} does not declare the capability {capability}",
            hint="nothing was done; use a journal file, or a storage that declares it",
        )
