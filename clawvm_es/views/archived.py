"""Documents of archives: sessions written, held, and left out because they are open or too young."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from clawvm_es.history.archive import Archive, Written, note_archive
from clawvm_es.journal.anchors import SecretKey
from clawvm_es.journal.ports import EventLog
from clawvm_es.projections.rows import SessionRow
from clawvm_es.projections.tables import SESSIONS
from clawvm_es.views.reading import models, moment_of


def archived(
    log: EventLog,
    folder: str,
    key: SecretKey,
    *,
    older_s: int,
    open_too: bool = False,
    wanted: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Update an archive with the sessions that are closed (or `open_too`) and have been silent long enough."""
    archive = Archive(folder, log)
    note_archive(log, folder)
    renewed, removed = archive.renew(key)
    with models(log) as view:
        rows = [row for row in view.rows(SESSIONS) if not wanted or row.session_id in wanted]
    closed = [row for row in rows if open_too or row.status != "open"]
    old = [row for row in closed if _age_s(row) >= older_s]
    due = [(row.session_id, row.events) for row in old if not archive.holds(row.session_id)]
    held = len(old) - len(due)
    written = [*renewed, *archive.write(due, key, progress)]
    archive.list_bundles()
    return {
        "archive": folder,
        "written": [_document(each) for each in written],
        "removed": removed,
        "missing": list(archive.missing),
        "sessions": sum(len(each.sessions) for each in written),
        "held": held,
        "open": len(rows) - len(closed),
        "young": len(closed) - len(old),
    }


def _age_s(row: SessionRow) -> float:
    """Seconds since a session's last event; a session without a time counts as infinitely old."""
    moment = moment_of(row.last_at)
    return float("inf") if moment is None else time.time() - datetime.fromisoformat(moment).timestamp()


def _document(written: Written) -> dict[str, Any]:
    return {
        "file": written.path,
        "sessions": list(written.sessions),
        "bytes": written.size_bytes,
        "unpacked_bytes": written.unpacked_bytes,
    }
