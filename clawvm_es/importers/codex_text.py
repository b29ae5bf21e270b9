"""Texts of Codex's items: parts of user messages with their author, and outputs of calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from clawvm_es.importers.recording import Skip
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.observe.fields import Fields, parse_json

_TEXTS: Final = frozenset(("input_text", "output_text", "text", "summary_text", "reasoning_text", "Text"))
_IMAGES: Final = frozenset(("input_image", "image", "local_image"))
_MARKED: Final = (
    ("# agents.md instructions", "</instructions>"),
    *(
        (f"<{tag}>", f"</{tag}>")
        for tag in (
            "environment_context",
            "user_instructions",
            "skill",
            "skills",
            "user_shell_command",
            "turn_aborted",
            "subagent_notification",
            "recommended_plugins",
            "goal_context",
            "permissions_instructions",
            "collaboration_mode",
            "apps_instructions",
            "plugins_instructions",
        )
    ),
)
"""Beginnings and ends of the texts that Codex puts into user messages on its own, in small letters."""
_TAGGED = re.compile(
    r"<(?:codex_internal_context source=\"[a-z0-9_]+\"|external_[\w-]+|hook_prompt\b[^>]*|user_action)>",
    re.IGNORECASE,
)
_WARNINGS: Final = (
    "Warning: apply_patch was requested via ",
    "Warning: Your account was flagged for potentially high-risk cyber activity",
    "Warning: The maximum number of unified exec processes you can keep open is",
)
_IMAGE_TAG = re.compile(r"</?image\b[^>]*>")
_RULES = re.compile(
    r"# AGENTS\.md instructions for (?P<folder>[^\n]+)\n+<INSTRUCTIONS>\n(?P<text>.*)\n</INSTRUCTIONS>", re.S
)
_EXIT = re.compile(r"^(?:Process exited with code|Exit code:) (-?\d+)\s*$", re.MULTILINE)
_HEADER_END: Final = re.compile(r"^Output:", re.MULTILINE)


def parts(into: Transcript, item: Fields) -> list[str]:
    """The texts in an item's content; images and what is no text are counted."""
    found: list[str] = []
    for block in item.blocks("content"):
        kind = block.text("type")
        if kind in _TEXTS and block.is_text("text"):
            found.append(block.text("text"))
        elif kind == "encrypted_content":
            into.skip(Skip.ENCRYPTED)
        elif kind in _IMAGES:
            into.skip(Skip.IMAGE)
        else:
            into.skip(Skip.UNKNOWN_BLOCK)
    if item.is_odd("content"):
        into.skip(Skip.MALFORMED_RECORD)
    return found


def user_parts(into: Transcript, item: Fields) -> Iterator[tuple[str, bool]]:
    """The texts of a user message, each with whether the harness wrote it: by its recorded kind, else by its form."""
    texts = parts(into, item)
    kinds = item.fields("internal_chat_message_metadata_passthrough").texts("content_item_kinds")
    told = kinds if len(kinds) == len(item.blocks("content")) == len(texts) else [""] * len(texts)
    for text, kind in zip(texts, told, strict=True):
        if _IMAGE_TAG.fullmatch(text.strip()):
            continue
        known = kind not in ("", "unknown")
        yield text, not kind.startswith("user.") if known else is_injected(text)


def is_injected(text: str) -> bool:
    """Tell whether Codex wrote a text of a user message on its own."""
    bare = text.strip()
    head, tail = bare[:80].lower(), bare[-80:].lower()
    if any(head.startswith(begin) and tail.endswith(end) for begin, end in _MARKED):
        return True
    return _TAGGED.match(bare) is not None or bare.startswith(_WARNINGS)


def rules_of(text: str) -> tuple[str, str] | None:
    """The text of a rules file and its path, where a text shows one."""
    found = _RULES.fullmatch(text.strip())
    return (found["text"], f"{found['folder'].strip().rstrip('/')}/AGENTS.md") if found else None


def said_key(text: str) -> str:
    """A text without white space and tags of images: two rows that say the same have the same."""
    return "".join(_IMAGE_TAG.sub("", text).split())


def output(into: Transcript, item: Fields) -> tuple[str, ReturnStatus]:
    """The text that a call gave back, from text, blocks or an object around either, and how the call ended."""
    if item.is_text("output"):
        return _unwrapped(item.text("output"))
    inner = item.fields("output")
    if "content" in inner:
        text = "\n".join(parts(into, inner))
    elif inner:
        text = "\n".join(parts(into, Fields({"content": [inner.raw]})))
    else:
        text = "\n".join(parts(into, Fields({"content": item.raw.get("output")})))
    failed = inner.raw.get("success") is False or item.text("status") in ("failed", "error")
    return text, ReturnStatus.ERROR if failed else _status(text)


def _unwrapped(text: str) -> tuple[str, ReturnStatus]:
    """The output in a result that is `{output, metadata}` as JSON text; any other text as it is."""
    if text.startswith('{"output":'):
        try:
            told = Fields.of(parse_json(text))
        except ValueError:
            told = Fields()
        if told.is_text("output"):
            code = told.fields("metadata").raw.get("exit_code", 0)
            return told.text("output"), ReturnStatus.OK if code == 0 else ReturnStatus.ERROR
    return text, _status(text)


def _status(text: str) -> ReturnStatus:
    """Status of a command, by the lines in front of its output."""
    ends = _HEADER_END.search(text)
    found = _EXIT.search(text, 0, ends.start()) if ends else None
    return ReturnStatus.ERROR if found and int(found[1]) else ReturnStatus.OK
