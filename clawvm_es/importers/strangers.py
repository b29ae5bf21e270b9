"""Recognise sessions of other programs, which are not read, by their content, so that a refusal can name them.

Some have rows like those of a supported format, so this check comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from clawvm_es.observe.fields import Fields

Test = Callable[[Fields], bool]

_LANGFUSE: Final = ("GENERATION", "SPAN", "EVENT", "AGENT", "TOOL")
_BYTES: Final = (
    (b"SQLite format 3\0", "an SQLite database, as Cursor, Goose and Crush keep their sessions in"),
    (b"# aider chat started at", "a chat history of Aider"),
    (b"PK\x03\x04", "a zip archive without an Inspect log"),
)


def _starts(record: Fields, name: str, *beginnings: str) -> bool:
    return record.text(name).startswith(beginnings)


def _first(record: Fields, name: str) -> Fields:
    return next(iter(record.objects(name)), Fields())


_HISTORIES: Final = ("history", "clientHistory")


def _is_content(record: Fields) -> bool:
    """Tell whether an object is a message of Gemini's API."""
    return record.text("role") in ("user", "model") and record.is_list("parts")


_OBJECTS: Final[tuple[tuple[str, Test], ...]] = (
    (
        "a Qwen Code session",
        lambda each: (
            each.text("type") in ("user", "assistant", "tool_result") and each.fields("message").is_list("parts")
        ),
    ),
    ("a Factory Droid session", lambda each: each.text("type") == "session_start" and "id" in each),
    ("a GitHub Copilot CLI session", lambda each: _starts(each, "type", "session.start") and "data" in each),
    ("a GitHub Copilot chat", lambda each: "requesterUsername" in each and each.is_list("requests")),
    (
        "a Cursor transcript",
        lambda each: "type" not in each and each.is_text("role") and "content" in each.fields("message"),
    ),
    (
        "an OpenCode session",
        lambda each: (
            _starts(each, "sessionID", "ses_")
            or (_starts(each, "id", "ses_") and "projectID" in each)
            or _starts(each.fields("info"), "id", "ses_")
        ),
    ),
    ("a Continue session", lambda each: "sessionId" in each and "message" in _first(each, "history")),
    ("a Goose session", lambda each: "working_dir" in each and ("message_count" in each or "description" in each)),
    (
        "a Codex rollout of before September 2025",
        lambda each: (
            each.text("record_type") == "state"
            or ("instructions" in each and "id" in each)
            or (each.text("type") == "message" and "role" in each and each.is_list("content"))
        ),
    ),
    (
        "a checkpoint of Gemini CLI",
        lambda each: any(map(_is_content, (each, *map(partial(_first, each), _HISTORIES)))),
    ),
    ("prompts of Gemini CLI", lambda each: "sessionId" in each and "messageId" in each and each.is_text("message")),
    ("prompts of Claude Code", lambda each: each.is_text("display") and "pastedContents" in each),
    ("prompts of Codex", lambda each: each.is_text("session_id") and "ts" in each and each.is_text("text")),
    ("an index of Codex", lambda each: "thread_name" in each and "updated_at" in each),
    (
        "one event of OpenHands (give a list of all)",
        lambda each: (
            each.text("source") in ("agent", "user", "environment")
            and "id" in each
            and any(each.is_text(name) for name in ("action", "observation", "kind"))
        ),
    ),
    ("an export of Claude's web chats", lambda each: each.is_list("chat_messages")),
    ("an export of ChatGPT", lambda each: "current_node" in each and bool(each.fields("mapping"))),
    ("runs of LangSmith", lambda each: "run_type" in each and "inputs" in each),
    (
        "observations of Langfuse (export OTLP/JSON)",
        lambda each: "traceId" in each and each.text("type") in _LANGFUSE,
    ),
)


def known_bytes(data: bytes) -> str:
    """The program whose files begin with these bytes; empty if unknown."""
    return next((what for begins, what in _BYTES if data.lstrip()[: len(begins)] == begins), "")


def known_objects(objects: Iterable[Fields]) -> str:
    """The program that wrote one of these objects; empty if unknown."""
    return next((what for each in objects for what, test in _OBJECTS if test(each)), "")
