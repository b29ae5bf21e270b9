"""Claims about recorded sessions, as tests make them.

>>> broken(recorded_session, ["misses < 3"])  # doctest: +SKIP
[]
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from clawvm_es.core.profiles import profile
from clawvm_es.history.checking import Verdict, check_recording, check_session
from clawvm_es.history.recorded_files import SUFFIXES, read_sessions
from clawvm_es.history.recording import RecordedSession
from clawvm_es.history.whatif import Setting
from clawvm_es.views.reading import chosen, opened


def broken(
    place: str | Path | RecordedSession,
    claims: Iterable[str],
    *,
    session: str | None = None,
    policy: str | None = None,
    budget_tokens: int | None = None,
) -> list[str]:
    """One line for each claim that does not hold for a session of a journal, a recording or a bundle.

    Raises `UsageError` for an invalid claim, and for one about a page or turn that does not exist.
    """
    setting = None
    if policy is not None or budget_tokens is not None:
        setting = Setting(None if policy is None else profile(policy), budget_tokens)
    if isinstance(place, RecordedSession):
        found = [check_recording(place, text, setting) for text in claims]
    elif os.fspath(place).endswith(SUFFIXES):
        (one,) = [each for each in read_sessions(place) if session in (None, each.session_id)]
        found = [check_recording(one, text, setting) for text in claims]
    else:
        with opened(os.fspath(place)) as log:
            session_id = chosen(log, session)
            found = [check_session(log, session_id, text, setting) for text in claims]
    return [_told(verdict) for verdict in found if not verdict.holds]


def _told(verdict: Verdict) -> str:
    pages = f": {', '.join(verdict.pages)}" if verdict.pages else ""
    return f"does not hold: {verdict.claim.text} (turn {verdict.turn}, version {verdict.version}{pages})"
