"""The answer to a hook whose harness waits: always JSON on one line.

LAW-ANSWER-1: no failure of a journal, its disk, a transcript or this program reaches the harness. The harness gets
`{}`, and `clawvm doctor` shows the reason later.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Final

from clawvm_es.engine.journal import Journal
from clawvm_es.integrations.ingest import ingest, note, spool_of
from clawvm_es.integrations.spool import SHOWN, WAITED_FOR

WAIT_S: Final = 3.0
"""Time for which a harness is kept waiting for another writer of the journal, in seconds."""

BESIDE_S: Final = 30.0
"""Time for which this waits where no harness waits for it, in seconds."""


def answer(path: str, answering: str) -> str:
    """Record waiting events, and return the text to print to the harness for one event."""
    context, event = "", ""
    with suppress(OSError, ValueError, AttributeError):  # another process has taken it
        event = str(json.loads(Path(answering).read_bytes()).get("event", ""))
    wait_s = WAIT_S if event in WAITED_FOR else BESIDE_S
    try:
        with Journal.open(path, wait_s=wait_s, hide_secrets=True) as journal:
            context = ingest(journal, answering=answering, wait_s=wait_s).context
    except Exception as error:  # the harness goes on
        note(spool_of(path), f"{event}: {type(error).__name__}: {error}")
    if context:
        told = {"hookEventName": "SessionStart", "additionalContext": context}
        return json.dumps({"hookSpecificOutput": told}) + "\n"
    return "" if event in SHOWN else "{}\n"
