"""Attachments of Claude Code → steps: texts that the harness put beside a prompt or a result, by kind.

| kind | step |
|---|---|
| a file, lines of it, a plan's file | `FileShown`, rules of `CLAUDE.md` and the like `RulesLoaded` |
| nested memory, the files of instructions | `RulesLoaded` |
| skills that were invoked | `SkillLoaded` |
| a queued prompt | `UserMessage` |
| any other that the model sees | `UserMessage` by the harness: the rendered text, else all texts in it |

`UNSEEN` kinds never reach the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from clawvm_es.importers import images
from clawvm_es.observe.fields import Fields, text_of
from clawvm_es.observe.steps import FileShown, Image, Lines, RulesLoaded, SkillLoaded, Step, UserMessage

QUEUED: Final = "queued_command"
UNSEEN: Final = frozenset(
    (
        *("already_read_file", "command_permissions", "edited_image_file", "dynamic_skill", "structured_output"),
        *("hook_cancelled", "hook_error_during_execution", "hook_non_blocking_error", "hook_permission_decision"),
        *("hook_system_message", "autocheckpointing", "background_task_status", "task_progress"),
        *("prompt_snapshot", "session_context"),  # system prompt and tools, which stand before all pages
    )
)
_SHOWN_HOOKS: Final = ("SessionStart", "UserPromptSubmit", "")
"""Hooks whose output the model sees where they succeed."""
_RUN_HOOKS: Final = ("hook_success", "async_hook_response")
"""Hooks that ran: the model sees `content`; what they printed as JSON comes in rows of its own."""
_FILES: Final = frozenset(
    ("file", "compact_file_reference", "pdf_reference", "edited_text_file", "selected_lines_in_ide")
)
_NAMES: Final = frozenset(
    (
        *("type", "hookName", "hookEvent", "toolUseID", "command", "displayPath", "uuid", "reminderType"),
        *("encrypted_content", "encrypted_index"),
    )
)
"""Fields that say what an attachment is, not what it says, and those that only the provider reads."""


def steps(row: Fields, lines: Lines, at_us: int) -> list[Step]:
    """The steps of an attachment's row; none if the model saw nothing of it."""
    rendered = "\n".join(text for each in row.objects("rendered") if (text := each.text("content")).strip())
    return list(_steps(row.fields("attachment"), rendered, lines, at_us))


def unseen(attachment: Fields) -> bool:
    """Tell whether an attachment is of a kind that never reaches the model."""
    kind = attachment.text("type")
    hook = kind in _RUN_HOOKS
    return kind in UNSEEN or (hook and attachment.text("hookEvent") not in _SHOWN_HOOKS)


def queued(attachment: Fields) -> str:
    """The prompt of a queued command."""
    return "\n".join(block.text("text") for block in attachment.blocks("prompt") if block.text("text").strip())


def _steps(attachment: Fields, rendered: str, lines: Lines, at_us: int) -> Iterator[Step]:
    kind = attachment.text("type")
    if kind in _FILES:
        yield from _file(attachment, lines, at_us)
    elif kind == "plan_file_reference" and attachment.text("planContent").strip():
        yield FileShown(attachment.text("planContent"), attachment.text("planFilePath"), lines, at_us)
    elif kind == "nested_memory":
        yield from _memory(attachment, lines, at_us)
    elif kind == "instructions" and any(file.text("content").strip() for file in attachment.objects("files")):
        for file in attachment.objects("files"):
            yield from _memory(file, lines, at_us)
    elif kind == "invoked_skills":
        for skill in attachment.objects("skills"):
            if skill.text("content").strip():
                yield SkillLoaded(skill.text("content"), skill.text("path") or skill.text("name"), lines, at_us)
    else:
        shown = {"content": attachment.raw.get("content")} if kind in _RUN_HOOKS else attachment.raw
        text = rendered or "\n".join(said(shown))
        if text.strip():
            yield UserMessage(text, lines, at_us, harness=True, source=kind)


def _file(attachment: Fields, lines: Lines, at_us: int) -> Iterator[Step]:
    """The text of an attached file, or a stand-in for an image or a document; else any text in the row."""
    path = attachment.text("filename") or attachment.text("path")
    content = attachment.fields("content")
    file = content.fields("file")
    text = attachment.text("content") or file.text("content") or attachment.text("snippet")
    shown: list[Image] = []
    if file.is_text("base64"):
        shown.append(images.encoded(file.text("type") or content.text("type"), file.text("base64")))
    elif not text:
        text = "\n".join(said(content.raw or attachment.raw))
    if text.strip() or shown:
        yield FileShown(text, file.text("filePath") or path, lines, at_us, tuple(shown))


def _memory(attachment: Fields, lines: Lines, at_us: int) -> Iterator[Step]:
    text = attachment.fields("content").text("content") or attachment.text("content")
    path = attachment.text("path") or attachment.fields("content").text("path")
    if text.strip():
        yield RulesLoaded(text, path, lines, at_us)


def said(value: object) -> Iterator[str]:
    """All texts in a JSON value, in order, except those that only name its kind."""
    layer: list[tuple[str, object]] = [("", value)]
    while layer:
        name, node = layer.pop()
        if isinstance(node, dict):
            layer.extend(reversed([(str(key), item) for key, item in node.items()]))
        elif isinstance(node, list):
            layer.extend((name, item) for item in reversed(node))
        elif (text := text_of(node)).strip() and name not in _NAMES:
            yield text
