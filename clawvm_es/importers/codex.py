"""Codex rollouts: `{timestamp, type, payload}` a line.

| row | content |
|---|---|
| `response_item` | the model's input and output: messages, calls, outputs, reasoning |
| `event_msg/user_message`, `item_completed` of a `UserMessage` | the user's prompt, which an item may repeat |
| `compacted` | the context is replaced: by `replacement_history`, else by the prompts and a summary |
| `event_msg/thread_rolled_back` | the last prompts and everything after them left the context |
| `event_msg/token_count`, `token_usage_record` | the usage of the answer before it, or of the one after it |
| `session_meta`, `turn_context` | identity, system prompt, folder, model |
| every other event, `world_state` | a repetition of items for displays |

Codex writes its environment, rules and skills into user messages; these are harness text.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.importers import images
from clawvm_es.importers.codex_context import (
    NO_STATE_ITEMS,
    OUTPUTS,
    File,
    compacted,
    heard,
    joined,
    prompted,
    rolled_back,
    say,
)
from clawvm_es.importers.codex_text import content, is_injected, output, said_key, thinking, user_parts
from clawvm_es.importers.format import Format, Part, Reader
from clawvm_es.importers.identity import content_id
from clawvm_es.importers.merging import Use
from clawvm_es.importers.recording import Recording, Skip, Skips
from clawvm_es.importers.records import Record
from clawvm_es.importers.streaming import lines_of, read_all
from clawvm_es.observe.fields import Fields, arguments_of
from clawvm_es.observe.signatures import canonical
from clawvm_es.observe.steps import Image, Lines, SystemMessage, Usage, UserMessage

NAME: Final = "codex"
_MIRRORS: Final = (
    "agent_message agent_reasoning agent_reasoning_raw_content agent_reasoning_section_break exec_command_begin "
    "exec_command_end exec_command_output_delta terminal_interaction mcp_tool_call_begin mcp_tool_call_end "
    "web_search_begin web_search_end patch_apply_begin patch_apply_updated patch_apply_end image_generation_begin "
    "image_generation_end view_image_tool_call item_started item_completed context_compacted plan_update "
    "dynamic_tool_call_request dynamic_tool_call_response raw_response_item hook_started hook_completed "
    "agent_message_delta agent_message_content_delta agent_reasoning_delta agent_reasoning_raw_content_delta "
    "reasoning_content_delta reasoning_raw_content_delta plan_delta"
)
_NOTICES: Final = (
    "task_started task_complete turn_started turn_complete turn_aborted error warning stream_error turn_diff "
    "thread_name_updated thread_settings_applied thread_goal_updated guardian_assessment guardian_warning "
    "sub_agent_activity entered_review_mode exited_review_mode undo_started undo_completed background_event "
    "session_configured shutdown_complete deprecation_notice model_reroute model_verification safety_buffering "
    "exec_approval_request apply_patch_approval_request elicitation_request request_user_input request_permissions "
    "mcp_startup_update mcp_startup_complete mcp_list_tools_response list_skills_response skills_update_available "
    "list_custom_prompts_response get_history_entry_response conversation_path turn_moderation_metadata "
    "realtime_conversation_started realtime_conversation_realtime realtime_conversation_closed "
    "collab_agent_spawn_begin collab_agent_spawn_end collab_agent_interaction_begin collab_agent_interaction_end "
    "collab_waiting_begin collab_waiting_end collab_close_begin collab_close_end collab_resume_begin "
    "collab_resume_end"
)
_EVENTS: Final = MappingProxyType(
    {**dict.fromkeys(_MIRRORS.split(), Skip.MIRRORED), **dict.fromkeys(_NOTICES.split(), Skip.SYSTEM_NOTICE)}
)
_NO_STATE_ROWS: Final = MappingProxyType(
    {
        "turn_context": Skip.SETTING_CHANGE,
        "world_state": Skip.MIRRORED,
        "inter_agent_communication_metadata": Skip.META,
        "retained_context": Skip.META,
        "security_risk_score": Skip.SYSTEM_NOTICE,
        "realtime_item": Skip.MIRRORED,
    }
)
_UNNAMED: Final = MappingProxyType(
    {
        "local_shell_call": ("local_shell", "action"),
        "tool_search_call": ("tool_search", "arguments"),
        "web_search_call": ("web_search", "action"),
    }
)
"""Items of calls that name no tool → its name, and the field of its arguments."""


@attrs.define
class _Rollout:
    """The sessions of one file: one, unless several files were concatenated."""

    files: list[File] = attrs.field(factory=lambda: [File()])
    unnamed: str = ""  # what a session is called whose rows tell no id, by the first of them


def parse(data: bytes, name: str) -> tuple[Recording, ...]:
    """The sessions of a file."""
    return read_all(READER, lines_of(io.BytesIO(data)), name)


def _end(rollout: _Rollout, name: str, skipped: Skips) -> tuple[Recording, ...]:
    rollout.files[0].into.skipped.update(skipped)
    for file in rollout.files:
        _unclaimed(file)
    unnamed = rollout.unnamed or content_id("codex", [])
    return tuple(
        part.into.recording(part.session_id or unnamed, NAME, name, part.linked_to, part.resumed_from)
        for part in _sessions(rollout)
    )


def _sessions(rollout: _Rollout) -> Sequence[Part]:
    return [
        Part(file.session_id, file.into, file.started_by or None, file.resumed_from or None) for file in rollout.files
    ]


def _record(rollout: _Rollout, record: Record) -> None:
    rollout.unnamed = rollout.unnamed or content_id("codex", [record.data.raw])
    if _is_another(rollout.files[-1], record.data):
        rollout.files.append(File())
    file = rollout.files[-1]
    file.into.line = record.line
    _row(file, record.data, Lines(record.line, record.line), file.into.instant(record.data, "timestamp", record.line))


def _is_another(file: File, row: Fields) -> bool:
    """Tell whether another session begins: after items, with an id that is not one of the session's ancestors."""
    if row.text("type") != "session_meta" or not file.context:
        return False
    payload = row.fields("payload")
    session_id = payload.text("id") or payload.text("session_id")
    return bool(session_id and file.session_id) and session_id not in file.lineage


def _row(file: File, row: Fields, lines: Lines, at_us: int) -> None:
    kind, payload = row.text("type"), row.fields("payload")
    if kind == "session_meta":
        _meta(file, payload, lines, at_us)
        return
    file.into.began(at_us, file.cwd)
    if kind == "response_item":
        _item(file, payload, lines, at_us)
    elif kind == "event_msg":
        _event(file, payload, lines, at_us)
    elif kind == "compacted":
        _unclaimed(file)
        compacted(file, payload, lines, at_us)
    elif kind == "token_usage_record":
        _used(file, kind, payload.fields("usage"), lines, at_us)
    elif kind == "inter_agent_communication":
        heard(file, joined(file, payload), lines, at_us)
    else:
        if kind == "turn_context":
            file.cwd, file.model = payload.text("cwd") or file.cwd, payload.text("model") or file.model
        file.into.skip(_NO_STATE_ROWS.get(kind, Skip.UNKNOWN_RECORD if kind else Skip.MALFORMED_RECORD))


def _meta(file: File, payload: Fields, lines: Lines, at_us: int) -> None:
    """Take identity and system prompt; a second such row names the session whose messages this one begins with."""
    session_id = payload.text("id") or payload.text("session_id")
    spawned = payload.fields("source").fields("subagent").fields("thread_spawn").text("parent_thread_id")
    ancestors = [payload.text("forked_from_id"), payload.text("parent_thread_id") or spawned]
    file.lineage.update(each for each in (session_id, *ancestors) if each)
    if file.session_id:
        if not file.resumed_from and session_id != file.session_id and not file.started_by:
            file.resumed_from = session_id
        file.into.skip(Skip.DUPLICATE_RECORD)
        return
    file.into.began(at_us, payload.text("cwd"))
    file.session_id, file.cwd = session_id, payload.text("cwd")
    file.provider = payload.text("model_provider")
    file.resumed_from, file.started_by = ancestors
    given = payload.fields("base_instructions").text("text") or payload.text("base_instructions")
    if given.strip():
        file.into.say(SystemMessage(given, lines, at_us))


# ------------------------------------------------------------------------------------------ what was said


def _item(file: File, item: Fields, lines: Lines, at_us: int) -> None:
    kind = item.text("type")
    if kind == "message":
        _message(file, item, lines, at_us)
    elif kind == "agent_message":
        heard(file, joined(file, item), lines, at_us)
    elif kind == "reasoning":
        found = thinking(item)
        _answered(file, lines, at_us, thought=found)
        file.into.skip(Skip.THINKING, not found)
    elif kind in ("function_call", "custom_tool_call", "image_generation_call", *_UNNAMED):
        _answered(file, lines, at_us, uses=[_use(file, kind, item)])
        file.places[f"call {_call_id(item)}"] = lines.first
    elif kind in OUTPUTS or kind == "tool_search_output":
        _output(file, kind, item, lines, at_us)
    else:
        file.into.skip(NO_STATE_ITEMS.get(kind, Skip.UNKNOWN_RECORD if kind else Skip.MALFORMED_RECORD))


def _message(file: File, item: Fields, lines: Lines, at_us: int) -> None:
    role = item.text("role")
    if role == "assistant":
        texts, shown = content(file.into, item)
        file.into.skip(Skip.IMAGE, len(shown))
        _answered(file, lines, at_us, texts=texts)
        file.places.update((said_key(text), lines.first) for text in texts)
    elif role in ("developer", "system"):
        text = joined(file, item)
        if text.strip():
            say(file, SystemMessage(text, lines, at_us), text)
        else:
            file.into.skip(Skip.EMPTY_MESSAGE)
    elif role == "user":
        _user(file, item, lines, at_us)
    else:
        file.into.skip(Skip.UNKNOWN_RECORD if role else Skip.MALFORMED_RECORD)


def _user(file: File, item: Fields, lines: Lines, at_us: int) -> None:
    texts, shown = user_parts(file.into, item)
    for text in [text for text, by_harness in texts if by_harness]:
        heard(file, text, lines, at_us)
    said = [text for text, by_harness in texts if not by_harness]
    if said or shown or not texts:
        prompt = UserMessage("\n".join(said), lines, at_us, images=shown)
        prompted(file, prompt, file.by_event, file.by_item)


# ---------------------------------------------------------------------------------------- answers and calls


def _answered(
    file: File,
    lines: Lines,
    at_us: int,
    *,
    texts: Sequence[str] = (),
    uses: Sequence[Use] = (),
    thought: Sequence[str] = (),
) -> None:
    """Add to the answer being read, or begin another."""
    if file.ended:
        file.answer += 1
        file.ended, file.sealed, file.usage, file.waiting = False, False, file.waiting, None
    file.context[lines.first] = None
    file.into.answer(
        str(file.answer),
        texts=texts,
        uses=uses,
        usage=file.usage or Usage(),
        line=lines.first,
        at_us=at_us,
        thinking=thought,
        model=file.model,
        provider=file.provider,
    )


def _call_id(item: Fields) -> str:
    return item.ident("call_id") or item.ident("id")


def _use(file: File, kind: str, item: Fields) -> Use:
    """A call; its folder is the one in its arguments, else the session's."""
    if kind == "image_generation_call":
        file.into.skip(Skip.IMAGE)
        return Use(_call_id(item), "image_generation", {"prompt": item.text("revised_prompt")}, file.cwd)
    name, field = _UNNAMED.get(kind, (item.text("name"), "input" if "input" in item else "arguments"))
    arguments = arguments_of(item.raw.get(field))
    space = item.text("namespace")
    named = name if space in ("", "functions") else f"{space}.{name}"
    given = Fields(arguments)
    cwd = given.text("workdir") or given.text("working_directory") or given.text("cwd")
    return Use(_call_id(item), named, arguments, cwd or file.cwd)


def _output(file: File, kind: str, item: Fields, lines: Lines, at_us: int) -> None:
    text, status, shown = output(file.into, item)
    if kind == "tool_search_output":
        text = canonical(item.raw.get("tools"))
    file.into.result(item.ident("call_id"), text, status, lines.first, at_us, shown)
    file.ended = True
    file.context[lines.first] = None
    file.places[f"output {item.text('call_id')}"] = lines.first


# -------------------------------------------------------------------------------------------------- events


def _event(file: File, event: Fields, lines: Lines, at_us: int) -> None:
    kind, item = event.text("type"), event.fields("item")
    if kind == "user_message":
        urls = (*event.texts("images"), *event.texts("local_images"))
        shown = tuple(images.of_url(url) for url in urls if url)
        _told(file, event.text("message"), event.text("kind"), lines, at_us, shown)
    elif kind == "item_completed" and item.text("type") == "UserMessage":
        texts = [block.text("text") for block in item.objects("content")]
        _told(file, "\n".join(text for text in texts if text), "", lines, at_us)
    elif kind == "token_count":
        _counted(file, event.fields("info"), lines, at_us)
    elif kind == "thread_rolled_back":
        rolled_back(file, event.count("num_turns"), lines, at_us)
    else:
        file.into.skip(_EVENTS.get(kind, Skip.UNKNOWN_RECORD if kind else Skip.MALFORMED_RECORD))


def _told(file: File, text: str, kind: str, lines: Lines, at_us: int, shown: tuple[Image, ...] = ()) -> None:
    """Take a prompt from an event; old versions also report injected texts as prompts."""
    if kind in ("user_instructions", "environment_context") or is_injected(text):
        file.into.skip(Skip.MIRRORED)
    else:
        prompted(file, UserMessage(text, lines, at_us, images=shown), file.by_item, file.by_event)


def _counted(file: File, info: Fields, lines: Lines, at_us: int) -> None:
    """Take a usage, unless the row only repeats the last one."""
    total = info.raw.get("total_token_usage")
    if not info.fields("total_token_usage") or total == file.total:
        file.into.skip(Skip.MIRRORED)
        return
    file.total = total
    _used(file, "token_count", info.fields("last_token_usage"), lines, at_us)


def _used(file: File, by: str, told: Fields, lines: Lines, at_us: int) -> None:
    """Take the usage of an answer; versions differ: before the answer, after it, or in rows of two kinds."""
    usage = Usage(
        told.count("input_tokens"),
        told.count("cached_input_tokens"),
        told.count("output_tokens"),
        told.count("cache_write_input_tokens"),
        told.count("reasoning_output_tokens"),
    )
    if file.usage_first is None:
        file.usage_first = not file.answer
    if not told or (by != file.told_by and usage in (file.usage, file.waiting)):
        file.into.skip(Skip.MIRRORED)
        return
    file.told_by = by
    if file.usage_first:
        _unclaimed(file)
        file.waiting = usage
    elif file.usage is None and not file.sealed:
        file.usage = usage
        file.into.answer(str(file.answer), texts=[], uses=[], usage=usage, line=lines.first, at_us=at_us)
    else:
        file.into.skip(Skip.UNCLAIMED_USAGE)
    file.ended = True


def _unclaimed(file: File) -> None:
    """Count a usage that belongs to no answer: that of a call that made a summary."""
    if file.waiting is not None:
        file.into.skip(Skip.UNCLAIMED_USAGE)
    file.waiting = None


_TYPES: Final = frozenset(("session_meta", "response_item", "event_msg", "compacted", "turn_context"))


def _is_codex(record: Fields) -> bool:
    return record.text("type") in _TYPES and isinstance(record.raw.get("payload"), dict)


READER: Final = Reader(_Rollout, _record, _sessions, _end)
FORMAT: Final = Format(NAME, parse, tools="codex", is_record=_is_codex, reader=READER)
