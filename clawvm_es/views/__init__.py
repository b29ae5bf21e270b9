"""Documents: plain data from a log, which the command line, a browser and other programs render.

Each view is a function of a log (or of an operation's outcome). It returns dicts, lists, texts and numbers that
`json.dumps` accepts; `clawvm VERB --json` prints them. A view does not write, and knows no terminals or options.
Times are ISO 8601 in UTC, beside `at`, which is in microseconds; wherever a page is named, its title is given too.
Modules load when a view is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from clawvm_es.views.asked import bisect, blame, checked, grep
    from clawvm_es.views.closer import life, turn
    from clawvm_es.views.compared import diff, moment, rerun, whatif
    from clawvm_es.views.events import event, log, show
    from clawvm_es.views.figures import newest, replayed, session, sessions, stats, turns
    from clawvm_es.views.held import page, pages, prompt, provenance, store
    from clawvm_es.views.imports import imported, lost
    from clawvm_es.views.proved import redaction, redecided, unconfirmed, verification, verified
    from clawvm_es.views.reading import chosen, known_sessions, opened, version_at
    from clawvm_es.views.reasons import faults, trace, why
    from clawvm_es.views.timelines import overview, timeline

_HOMES: Final = {
    "asked": ("bisect", "blame", "checked", "grep"),
    "closer": ("life", "turn"),
    "compared": ("diff", "moment", "rerun", "whatif"),
    "events": ("event", "log", "show"),
    "figures": ("newest", "replayed", "session", "sessions", "stats", "turns"),
    "held": ("page", "pages", "prompt", "provenance", "store"),
    "imports": ("imported", "lost"),
    "proved": ("redaction", "redecided", "unconfirmed", "verification", "verified"),
    "reading": ("chosen", "known_sessions", "opened", "version_at"),
    "reasons": ("faults", "trace", "why"),
    "timelines": ("overview", "timeline"),
}
"""Module → its public views."""
_MODULES: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "bisect",
    "blame",
    "checked",
    "chosen",
    "diff",
    "event",
    "faults",
    "grep",
    "imported",
    "known_sessions",
    "life",
    "log",
    "lost",
    "moment",
    "newest",
    "opened",
    "overview",
    "page",
    "pages",
    "prompt",
    "provenance",
    "redaction",
    "redecided",
    "replayed",
    "rerun",
    "session",
    "sessions",
    "show",
    "stats",
    "store",
    "timeline",
    "trace",
    "turn",
    "turns",
    "unconfirmed",
    "verification",
    "verified",
    "version_at",
    "whatif",
    "why",
]


def __getattr__(name: str) -> Any:
    """Import a view's module when the view is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
