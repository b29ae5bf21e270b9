"""Libraries that do a part of the same work, each installed by the extra `bench`; what is missing is said aloud."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

MODULES = {
    "eventsourcing": "eventsourcing",
    "langgraph-checkpoint-sqlite": "langgraph.checkpoint.sqlite",
    "incident-ledger": "incident_ledger",
    "agent-rewind": "rewind",
    "chuk-ai-session-manager": "chuk_ai_session_manager",
    "claude-code-log": "claude_code_log",
}
"""Distribution → the module that it installs."""


def available(peer: str) -> bool:
    """Tell whether a peer is installed."""
    try:
        return find_spec(MODULES[peer]) is not None
    except ModuleNotFoundError:
        return False


def missing(peer: str) -> str:
    """The note of a measure whose peer is not installed."""
    return f"skipped: {peer} is not installed (extra: bench)"


def versions() -> Mapping[str, str | None]:
    """Distribution → the installed version; None where it is not installed."""
    return {peer: _version(peer) for peer in MODULES}


def _version(peer: str) -> str | None:
    try:
        return version(peer)
    except PackageNotFoundError:
        return None
