"""Recorded sessions → commands: one file per format, one translation for all of them."""

from __future__ import annotations

from pathlib import Path

from clawvm_es.errors import UsageError
from clawvm_es.importers import claude_code, openai_chat, pi
from clawvm_es.importers.detect import CLAUDE_CODE, FORMATS, OPENAI_CHAT, PI, detect, detect_bytes, load
from clawvm_es.importers.recording import Recording
from clawvm_es.importers.translate import commands

_PARSERS = {CLAUDE_CODE: claude_code.parse, PI: pi.parse, OPENAI_CHAT: openai_chat.parse}

def read(path: Path | str, format: str | None = None) -> tuple[Recording, ...]:  # noqa: A002
    data = load(Path(path))
    if format is None:
        format = detect_bytes(data, str(path))
    return _PARSERS[format](data, str(path))
