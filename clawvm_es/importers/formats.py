"""The table of formats: one row each, in the order in which they are tried. A new format is a module and a row."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from clawvm_es.importers import claude_code, codex, gemini, inspect, openai_chat, openhands, otel, pi, sweagent, trace
from clawvm_es.importers.format import Format

_ROWS: Final = (
    trace.FORMAT,
    pi.FORMAT,
    claude_code.FORMAT,
    codex.FORMAT,
    gemini.FORMAT,
    sweagent.FORMAT,
    openhands.FORMAT,
    inspect.FORMAT,
    otel.FORMAT,
    openai_chat.FORMAT,
)
TABLE: Final[Mapping[str, Format]] = MappingProxyType({row.name: row for row in _ROWS})
"""Name → format."""
FORMATS: Final = tuple(sorted(TABLE))
"""Names of the formats that can be read."""
