"""Read models: folds of the log into plain tables, caught up as it grows and rebuilt the same every time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from clawvm_es import limits
from clawvm_es.journal.ports import Edition, EventLog, ModelWriter, models_of, texts_of
from clawvm_es.limits import PIECE_EVENTS
from clawvm_es.projections import store
from clawvm_es.projections.decisions import decisions
from clawvm_es.projections.snapshot import Snapshot, bodies_with, projections_problems, snapshot, snapshot_at
from clawvm_es.projections.store import Progress
from clawvm_es.projections.tables import MODELS

__all__ = [
    "Progress",
    "Snapshot",
    "bodies_with",
    "catch_up",
    "decisions",
    "foreign_objects",
    "foreign_problems",
    "holders",
    "index_texts",
    "keep_up",
    "projections_problems",
    "rebuild",
    "snapshot",
    "snapshot_at",
    "texts_behind",
]


def catch_up(log: EventLog, progress: Progress | None = None, *, piece_events: int = PIECE_EVENTS) -> None:
    """Fold the events that the stored read models have not seen. `index_texts` indexes the bodies.

    A long part of the log is folded in pieces of about `piece_events`, each in a transaction that stores rows and
    position together. Tables that are missing, or of another version, are rebuilt. A log that stores no tables is
    left alone: `snapshot` folds all of it. If no event is new, nothing is written, and no writer is waited for.
    Raises what a transaction raises, `JournalDamaged` and `UnknownEvent`.
    """
    models = models_of(log, MODELS)
    if models is not None and models.current():
        return
    _pieces(log, partial(store.catch_up, progress=progress, piece_events=piece_events))


def keep_up(log: EventLog) -> None:
    """Fold one piece of the events that the stored read models have not seen; `catch_up` folds the rest.

    A piece is twice as long as the events recorded between two calls, so that a log that is behind catches up in
    time.
    """
    models = models_of(log, MODELS)
    if models is not None:
        with models.writing() as writer:
            store.catch_up(writer, piece_events=2 * limits.KEEP_UP_EVENTS)


def rebuild(log: EventLog, progress: Progress | None = None, *, piece_events: int = PIECE_EVENTS) -> None:
    """Fold the whole log again beside the stored read models, then replace them at once.

    Others read the old ones and append meanwhile. The next rebuild continues an interrupted one. Errors as
    `catch_up`.
    """
    models = models_of(log, MODELS)
    if models is None:
        return
    with models.writing() as writer:
        store.begin(writer)
    _pieces(log, partial(store.rebuild, progress=progress, piece_events=piece_events))


def index_texts(log: EventLog) -> None:
    """Index the bodies that the full-text index lacks, piece by piece; errors as `catch_up`."""
    catch_up(log)
    _pieces(log, lambda writer: writer.index_texts(Edition.LIVE))


def texts_behind(log: EventLog) -> int:
    """Count the bodies that a search has to scan, since they are not in the full-text index yet."""
    index = texts_of(log)
    return 0 if index is None else index.behind()


def _pieces(log: EventLog, work: Callable[[ModelWriter], bool]) -> None:
    """Do some work, each piece in a transaction of its own, until it says that it is done."""
    models = models_of(log, MODELS)
    done = models is None
    while models is not None and not done:
        with models.writing() as writer:
            done = work(writer)


def foreign_objects(log: EventLog) -> tuple[str, ...]:
    """Name the objects of a storage's schema that are not ours, by type and name."""
    models = models_of(log, MODELS)
    return () if models is None else models.foreign()


def foreign_problems(log: EventLog) -> list[str]:
    """Name caches of ours that were altered, and so are not read; read models are for `projections_problems`."""
    models = models_of(log, MODELS)
    return [] if models is None else [f"{name} is defined otherwise than expected" for name in models.altered()]


def holders(log: EventLog) -> tuple[str, ...]:
    """Name the foreign objects that may hold copies of texts."""
    models = models_of(log, MODELS)
    return () if models is None else models.copies()
