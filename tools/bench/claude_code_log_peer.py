"""claude-code-log as a peer of a replay: it reads the same recorded session and writes it as a page of HTML."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from bench import peers

PEER = "claude-code-log"
MISSING = peers.missing(PEER)


def available() -> bool:
    """Tell whether it is installed."""
    return peers.available(PEER)


def arguments(trace: Path, folder: Path) -> Sequence[str]:
    """Arguments of an interpreter that converts a copy of the file, beside which it may write."""
    copy = folder / trace.name
    if not copy.exists():
        shutil.copyfile(trace, copy)
    return ["-m", "claude_code_log.cli", "convert", str(copy), "-o", str(folder / "log.html"), "--no-cache"]
