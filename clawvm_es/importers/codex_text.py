"""Texts of Codex's items: parts of user messages with their author, and outputs of calls."""

from __future__ import annotations

import re
from typing import Final

from clawvm_es.importers import images
from clawvm_es.importers.recording import Skip
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import ReturnStatus
from clawvm_es.observe.fields import Fields, parse_json
from clawvm_es.observe.steps import Image

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


def content(into: Transcript, item: Fields) -> tuple[list[str], tuple[Image, ...]]:
    """The texts and images in an item's content; anything else is counted."""
    if item.is_odd("content"):
        into.skip(Skip.MALFORMED_RECORD)
    texts: list[str] = []
    shown: list[Image] = []
    for block in item.blocks("content"):
        text, image = _block(into, block)
        texts.extend([text] if text is not None else [])
        shown.extend([image] if image is not None else [])
    return texts, tuple(shown)


def _block(into: Transcript, block: Fields) -> tuple[str | None, Image | None]:
    """The text or the image of a block; anything else is counted."""
    kind = block.text("type")
    if kind in _TEXTS and block.is_text("text"):
        return block.text("text"), None
    if kind in _IMAGES and block.text("image_url"):
        return None, images.of_url(block.text("image_url"))
    reason = Skip.IMAGE if kind in _IMAGES else Skip.UNKNOWN_BLOCK
    into.skip(Skip.ENCRYPTED if kind == "encrypted_content" else reason)
    return None, None


def user_parts(into: Transcript, item: Fields) -> tuple[list[tuple[str, bool]], tuple[Image, ...]]:
    """The texts of a user message, each with whether the harness wrote it, and the images.

    The author of a text follows from its recorded kind, else from its form.
    """
    kinds = item.fields("internal_chat_message_metadata_passthrough").texts("content_item_kinds")
    blocks = item.blocks("content")
    if item.is_odd("content"):
        into.skip(Skip.MALFORMED_RECORD)
    texts: list[tuple[str, bool]] = []
    shown: list[Image] = []
    for block, kind in zip(blocks, kinds if len(kinds) == len(blocks) else [""] * len(blocks), strict=True):
        text, image = _block(into, block)
        if image is not None:
            shown.append(image)
        if text is not None and not _IMAGE_TAG.fullmatch(text.strip()):
            known = kind not in ("", "unknown")
            texts.append((text, not kind.startswith("user.") if known else is_injected(text)))
    return texts, tuple(shown)


def is_injected(text: str) -> bool:
    """Tell whether Codex itself wrote a text in a user message."""
    bare = text.strip()
    head, tail = bare[:80].lower(), bare[-80:].lower()
    if any(head.startswith(begin) and tail.endswith(end) for begin, end in _MARKED):
        return True
    return _TAGGED.match(bare) is not None or bare.startswith(_WARNINGS)


def rules_of(text: str) -> tuple[str, str] | None:
    """The text of a rules file and its path, if a text shows one."""
    found = _RULES.fullmatch(text.strip())
    return (found["text"], f"{found['folder'].strip().rstrip('/')}/AGENTS.md") if found else None


def said_key(text: str) -> str:
    """A text without white space and image tags, as a key: rows with the same content have the same key."""
    return "".join(_IMAGE_TAG.sub("", text).split())


def thinking(item: Fields) -> list[str]:
    """The readable texts of a reasoning item: its summary, and further texts in its content."""
    found = [block.text("text") for name in ("summary", "content") for block in item.objects(name)]
    return [text for text in dict.fromkeys(found) if text.strip()]


def output(into: Transcript, item: Fields) -> tuple[str, ReturnStatus, tuple[Image, ...]]:
    """The text of a call's output (text, blocks, or an object around either), its status and its images."""
    if item.is_text("output"):
        return *_unwrapped(item.text("output")), ()
    inner = item.fields("output")
    if "content" not in inner:
        inner = Fields({**inner.raw, "content": [inner.raw] if inner else item.raw.get("output")})
    texts, shown = content(into, inner)
    text = "\n".join(texts)
    failed = inner.raw.get("success") is False or item.text("status") in ("failed", "error")
    return text, ReturnStatus.ERROR if failed else _status(text), shown


def _unwrapped(text: str) -> tuple[str, ReturnStatus]:
    """The output in a result of the form `{output, metadata}` as JSON text; any other text as it is."""
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
    """Status of a command, from the lines in front of its output."""
    ends = _HEADER_END.search(text)
    found = _EXIT.search(text[: ends.start()]) if ends else None
    return ReturnStatus.ERROR if found and int(found[1]) else ReturnStatus.OK
