"""Ready questions to a lake, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

QUESTIONS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "rules-missing": (
            "sessions in whose prompts a rule was missing when it was needed, after turn N (--turn)",
            """SELECT project, session_id, count(*) AS faults, min(turn) AS first_turn, max(turn) AS last_turn
FROM faults JOIN sessions USING (journal_id, session_id)
WHERE page_type IN ('bootstrap', 'constraint') AND turn > {turn}
GROUP BY ALL ORDER BY faults DESC, session_id""",
        ),
        "faults": (
            "faults by project, kind, and tool or page type",
            """SELECT project, fault, coalesce(tool, page_type) AS what, count(*) AS faults,
    count(DISTINCT (journal_id, session_id)) AS sessions
FROM faults JOIN sessions USING (journal_id, session_id)
WHERE turn > {turn} GROUP BY ALL ORDER BY faults DESC, project, fault, what""",
        ),
        "cost": (
            "tokens of prompts by project and week: by our counts, and as providers told them",
            """SELECT project, strftime(date_trunc('week', try_cast(opened_at AS TIMESTAMP)), '%Y-%m-%d') AS week,
    count(*) AS sessions, sum(tokens) AS tokens, sum(uncached_tokens) AS uncached, sum(input_tokens) AS told_input,
    sum(cached_tokens) AS told_cached, sum(output_tokens) AS told_output
FROM sessions GROUP BY ALL ORDER BY project, week""",
        ),
        "duplicated-calls": (
            "sessions that made the same tool call again, or fetched again what had left the prompt",
            """SELECT project, session_id, duplicate_tool, refetch, tool_calls FROM sessions
WHERE duplicate_tool + refetch > 0 ORDER BY duplicate_tool + refetch DESC, session_id""",
        ),
        "events": (
            "events by type",
            "SELECT type, count(*) AS events, count(DISTINCT journal_id) AS journals"
            " FROM events GROUP BY type ORDER BY events DESC, type",
        ),
    }
)
"""Name → what it tells, and its SQL; `{turn}` is a number."""


def query(question: str, turn: int = 0) -> str:
    """The SQL of a ready question, or the question itself, which is SQL then."""
    known = QUESTIONS.get(question)
    return question if known is None else known[1].replace("{turn}", str(int(turn)))
