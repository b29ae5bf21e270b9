"""The ports that a storage implements: the event log, and optional capabilities.

Every storage keeps events and bodies (`EventLog`), and declares its other abilities (`Capability`). `require` raises
for a capability that a log does not declare. Nothing outside `clawvm_es.storage` knows which log it has.

LAW-LOG-1: a stream's versions are gapless from 1 (a fork's from its parent's version on), the log's `seq` is
gapless from 1 and in commit order.
LAW-LOG-2: a transaction is appended whole or not at all.
LAW-LOG-3: the same idempotency key with the same content appends nothing and returns the first result.

| module | port |
|---|---|
| `log`, `bodies` | `EventLog`, `Transaction`, `Vault`: every storage fills them |
| `checks`, `erasure` | `Verifying`, `Anchoring`, `Erasing` |
| `snapshots`, `models`, `texts` | caches: `SnapshotStore`, `ModelStore`, `TextIndex` |
"""

from __future__ import annotations

from clawvm_es.journal.ports.bodies import Erased, Vault
from clawvm_es.journal.ports.capabilities import Capability, declares, require
from clawvm_es.journal.ports.checks import Anchoring, Verifying, anchoring, verifying
from clawvm_es.journal.ports.erasure import Erasing, Erasure, erasing
from clawvm_es.journal.ports.log import (
    Durability,
    EventLog,
    Expected,
    ExpectedVersion,
    Head,
    NewEvent,
    Recorded,
    Transaction,
)
from clawvm_es.journal.ports.models import (
    Cells,
    Column,
    Edition,
    Modelled,
    ModelReader,
    ModelSpec,
    ModelStore,
    ModelWriter,
    RawEvent,
    TableSpec,
    models_of,
)
from clawvm_es.journal.ports.snapshots import (
    SnapshotReader,
    SnapshotRow,
    SnapshotStore,
    Snapshotting,
    SnapshotWriter,
    snapshots_of,
)
from clawvm_es.journal.ports.texts import Indexed, Phrase, RankedTexts, Substrings, TextIndex, few, texts_of

__all__ = [
    "Anchoring",
    "Capability",
    "Cells",
    "Column",
    "Durability",
    "Edition",
    "Erased",
    "Erasing",
    "Erasure",
    "EventLog",
    "Expected",
    "ExpectedVersion",
    "Head",
    "Indexed",
    "ModelReader",
    "ModelSpec",
    "ModelStore",
    "ModelWriter",
    "Modelled",
    "NewEvent",
    "Phrase",
    "RankedTexts",
    "RawEvent",
    "Recorded",
    "SnapshotReader",
    "SnapshotRow",
    "SnapshotStore",
    "SnapshotWriter",
    "Snapshotting",
    "Substrings",
    "TableSpec",
    "TextIndex",
    "Transaction",
    "Vault",
    "Verifying",
    "anchoring",
    "declares",
    "erasing",
    "few",
    "models_of",
    "require",
    "snapshots_of",
    "texts_of",
    "verifying",
]
