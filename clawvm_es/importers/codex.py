"""Codex rollouts: `{timestamp, type, payload}` a line.

| row | says |
|---|---|
| `response_item` | what the model saw or said: messages, calls, outputs, reasoning |
| `event_msg/user_message`, `item_completed` of a `UserMessage` | the user's prompt, which an item may repeat |
| `compacted` | the context is replaced: by `replacement_history`, else by the prompts and a summary |
| `event_msg/thread_rolled_back` | the last prompts and all after them left the context |
| `event_msg/token_count`, `token_usage_record` | the usage of the answer before it, or of the one after it |
| `session_meta`, `turn_context` | identity, system prompt, folder, model |
| every other event, `world_state` | repeats for displays what items say |

Codex writes its environment, rules and skills into user messages; these are harness text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.importers.calls import arguments_of
from clawvm_es.importers.codex_text import content, is_injected, output, rules_of, said_key, thinking, user_parts
from clawvm_es.importers.format import Format, Part, Reader
from clawvm_es.importers.identity import content_id
from clawvm_es.importers.merging import Use
from clawvm_es.importers.recording import Recording, Skip
from clawvm_es.importers.records import Record, read_lines
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import Boundary, Cut
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.signatures import canonical
from clawvm_es.observe.steps import ContextDropped, Lines, RulesLoaded, Summary, SystemMessage, Usage, UserMessage

NAME: Final = "codex"
KEPT_PROMPT_CHARS: Final = 80_000
"""Characters of the newest prompts that an old compaction kept beside its summary."""

_MIRRORS: Final = (
    "agent_message agent_reasoning agent_reasoning_raw_content agent_reasoning_section_break exec_command_begin "
    "exec_command_end exec_command_output_delta terminal_interaction mcp_tool_call_begin mcp_tool_call_end "
    "web_search_begin web_search_end patch_apply_begin patch_apply_updated patch_apply_end image_generation_begin "
    "image_generation_end view_image_tool_call item_started item_completed context_compacted plan_update "
    "dynamic_tool_call_request dynamic_tool_call_response raw_response_item hook_started hook_completed"
)
_NOTICES: Final = (
    "task_started task_complete turn_started turn_complete turn_aborted error warning stream_error turn_diff "
    "thread_name_updated thread_settings_applied thread_goal_updated guardian_assessment guardian_warning "
    "sub_agent_activity entered_review_mode exited_review_mode undo_started undo_completed background_event "
    "session_configured shutdown_complete deprecation_notice model_reroute "
    "collab_agent_spawn_begin collab_agent_spawn_end collab_agent_interaction_begin collab_agent_interaction_end "
    "collab_waiting_begin collab_waiting_end collab_close_begin collab_close_end collab_resume_begin "
    "collab_resume_end"
)
_EVENTS: Final = MappingProxyType(
    {**dict.fromkeys(_MIRRORS.split(), Skip.MIRRORED), **dict.fromkeys(_NOTICES.split(), Skip.SYSTEM_NOTICE)}
)
_NO_STATE_ITEMS: Final = MappingProxyType(
    {
        "ghost_snapshot": Skip.FILE_HISTORY_SNAPSHOT,
        "configuration_update": Skip.SETTING_CHANGE,
        "compaction": Skip.ENCRYPTED,
        "compaction_summary": Skip.ENCRYPTED,
        "context_compaction": Skip.ENCRYPTED,
    }
)
_NO_STATE_ROWS: Final = MappingProxyType(
    {
        "turn_context": Skip.SETTING_CHANGE,
        "world_state": Skip.MIRRORED,
        "inter_agent_communication_metadata": Skip.META,
        "retained_context": Skip.META,
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
_OUTPUTS: Final = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")


@attrs.define
class _File:
    """The session of one file under construction."""

    into: Transcript = attrs.field(factory=Transcript)
    session_id: str = ""
    started_by: str = ""
    resumed_from: str = ""
    lineage: set[str] = attrs.field(factory=set)  # ids of the session and of those that it comes from
    cwd: str = ""
    model: str = ""
    provider: str = ""
    answer: int = 0  # number of the answer that is being read
    ended: bool = True  # the next item of the model begins another answer
    sealed: bool = True  # it is a step already
    usage: Usage | None = None  # of the answer that is being read
    waiting: Usage | None = None  # told before the answer that it belongs to
    usage_first: bool | None = None  # rows of usage come before their answers
    told_by: str = ""  # kind of the row that told the last usage
    total: object = None
    by_item: Counter[str] = attrs.field(factory=Counter)  # prompts that no event has repeated yet
    by_event: Counter[str] = attrs.field(factory=Counter)  # prompts that no item has repeated yet
    context: dict[int, None] = attrs.field(factory=dict)  # lines that stand in the context, in order
    prompts: list[int] = attrs.field(factory=list)  # those that the user wrote
    standing: dict[str, int] = attrs.field(factory=dict)  # beginning of a harness text → its last line
    places: dict[str, int] = attrs.field(factory=dict)  # what an item says → its last line
    sizes: dict[int, int] = attrs.field(factory=dict)  # line of a prompt → characters


@attrs.define
class _Rollout:
    """The sessions of one file: one, unless files were put together."""

    files: list[_File] = attrs.field(factory=lambda: [_File()])


def parse(data: bytes, name: str) -> tuple[Recording, ...]:
    """The sessions of a file."""
    records, skipped = read_lines(data)
    rollout = _Rollout()
    rollout.files[0].into.skipped.update(skipped)
    for record in records:
        _record(rollout, record)
    for file in rollout.files:
        _unclaimed(file)
    unnamed = content_id("codex", [record.data.raw for record in records[:1]])
    return tuple(
        part.into.recording(part.session_id or unnamed, NAME, name, part.linked_to, part.resumed_from)
        for part in _sessions(rollout)
    )


def _sessions(rollout: _Rollout) -> Sequence[Part]:
    return [
        Part(file.session_id, file.into, file.started_by or None, file.resumed_from or None) for file in rollout.files
    ]


def _record(rollout: _Rollout, record: Record) -> None:
    if _is_another(rollout.files[-1], record.data):
        rollout.files.append(_File())
    file = rollout.files[-1]
    file.into.line = record.line
    _row(file, record.data, Lines(record.line, record.line), record.data.instant("timestamp", record.line))


def _is_another(file: _File, row: Fields) -> bool:
    """Tell whether another session begins: after items, with an id that is none of the session's ancestors."""
    if row.text("type") != "session_meta" or not file.context:
        return False
    payload = row.fields("payload")
    session_id = payload.text("id") or payload.text("session_id")
    return bool(session_id and file.session_id) and session_id not in file.lineage


def _row(file: _File, row: Fields, lines: Lines, at_us: int) -> None:
    kind, payload = row.text("type"), row.fields("payload")
    if kind == "session_meta":
        _meta(file, payload, lines, at_us)
        return
    file.into.began(at_us)
    if kind == "response_item":
        _item(file, payload, lines, at_us)
    elif kind == "event_msg":
        _event(file, payload, lines, at_us)
    elif kind == "compacted":
        _compacted(file, payload, lines, at_us)
    elif kind == "token_usage_record":
        _used(file, kind, payload.fields("usage"), lines, at_us)
    elif kind == "inter_agent_communication":
        _heard(file, _joined(file, payload), lines, at_us)
    else:
        if kind == "turn_context":
            file.cwd, file.model = payload.text("cwd") or file.cwd, payload.text("model") or file.model
        file.into.skip(_NO_STATE_ROWS.get(kind, Skip.UNKNOWN_RECORD if kind else Skip.MALFORMED_RECORD))


def _meta(file: _File, payload: Fields, lines: Lines, at_us: int) -> None:
    """Identity and system prompt; a second row is that of a session whose messages this one begins with."""
    session_id = payload.text("id") or payload.text("session_id")
    ancestors = [payload.text(name) for name in ("forked_from_id", "parent_thread_id")]
    file.lineage.update(each for each in (session_id, *ancestors) if each)
    if file.session_id:
        if not file.resumed_from and session_id != file.session_id and not file.started_by:
            file.resumed_from = session_id
        file.into.skip(Skip.DUPLICATE_RECORD)
        return
    file.into.began(at_us)
    file.session_id, file.cwd = session_id, payload.text("cwd")
    file.provider = payload.text("model_provider")
    file.resumed_from, file.started_by = ancestors
    given = payload.fields("base_instructions").text("text") or payload.text("base_instructions")
    if given.strip():
        file.into.say(SystemMessage(given, lines, at_us))


# ------------------------------------------------------------------------------------------ what was said


def _item(file: _File, item: Fields, lines: Lines, at_us: int) -> None:
    kind = item.text("type")
    if kind == "message":
        _message(file, item, lines, at_us)
    elif kind == "agent_message":
        _heard(file, _joined(file, item), lines, at_us)
    elif kind == "reasoning":
        found = thinking(item)
        _answered(file, lines, at_us, thought=found)
        file.into.skip(Skip.THINKING, not found)
    elif kind in ("function_call", "custom_tool_call", "image_generation_call", *_UNNAMED):
        _answered(file, lines, at_us, uses=[_use(file, kind, item)])
        file.places[f"call {_call_id(item)}"] = lines.first
    elif kind in _OUTPUTS or kind == "tool_search_output":
        _output(file, kind, item, lines, at_us)
    else:
        file.into.skip(_NO_STATE_ITEMS.get(kind, Skip.UNKNOWN_RECORD if kind else Skip.MALFORMED_RECORD))


def _message(file: _File, item: Fields, lines: Lines, at_us: int) -> None:
    role = item.text("role")
    if role == "assistant":
        texts, shown = content(file.into, item)
        file.into.skip(Skip.IMAGE, len(shown))
        _answered(file, lines, at_us, texts=texts)
        file.places.update((said_key(text), lines.first) for text in texts)
    elif role in ("developer", "system"):
        text = _joined(file, item)
        if text.strip():
            _say(file, SystemMessage(text, lines, at_us), text)
        else:
            file.into.skip(Skip.EMPTY_MESSAGE)
    elif role == "user":
        _user(file, item, lines, at_us)
    else:
        file.into.skip(Skip.UNKNOWN_RECORD if role else Skip.MALFORMED_RECORD)


def _user(file: _File, item: Fields, lines: Lines, at_us: int) -> None:
    texts, shown = user_parts(file.into, item)
    for text in [text for text, by_harness in texts if by_harness]:
        _heard(file, text, lines, at_us)
    said = [text for text, by_harness in texts if not by_harness]
    if said or shown or not texts:
        prompt = UserMessage("\n".join(said), lines, at_us, images=shown)
        _prompt(file, prompt, file.by_event, file.by_item)


def _prompt(file: _File, prompt: UserMessage, others: Counter[str], own: Counter[str]) -> None:
    """A prompt, which an item and an event may tell in either order: whichever comes second is no step."""
    key = said_key(prompt.text)
    if not key and not prompt.images:
        file.into.skip(Skip.EMPTY_MESSAGE)
    elif key and others[key]:
        others[key] -= 1
        file.into.skip(Skip.MIRRORED)
    else:
        own[key] += 1
        _say(file, prompt, prompt.text)
        file.prompts.append(prompt.lines.first)
        file.sizes[prompt.lines.first] = len(prompt.text)


def _heard(file: _File, text: str, lines: Lines, at_us: int) -> None:
    """A text that the harness put into the context; of a file of rules it is that file."""
    if not text.strip():
        file.into.skip(Skip.EMPTY_MESSAGE)
        return
    rules = rules_of(text)
    step = RulesLoaded(*rules, lines, at_us) if rules else UserMessage(text, lines, at_us, harness=True)
    _say(file, step, text)
    file.standing[text.lstrip()[:24]] = lines.first


def _say(file: _File, step: UserMessage | SystemMessage | RulesLoaded, text: str) -> None:
    file.into.say(step)
    file.ended = file.sealed = True
    file.context[step.lines.first] = None
    if text.strip():
        file.places[said_key(text)] = step.lines.first


def _joined(file: _File, item: Fields) -> str:
    """The text of an item that holds no images."""
    texts, shown = content(file.into, item)
    file.into.skip(Skip.IMAGE, len(shown))
    return "\n".join(texts)


# ---------------------------------------------------------------------------------------- answers and calls


def _answered(
    file: _File,
    lines: Lines,
    at_us: int,
    *,
    texts: Sequence[str] = (),
    uses: Sequence[Use] = (),
    thought: Sequence[str] = (),
) -> None:
    """Add to the answer that is being read, or begin another."""
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


def _use(file: _File, kind: str, item: Fields) -> Use:
    """A call; its folder is the one that its arguments name, else that of the session."""
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


def _output(file: _File, kind: str, item: Fields, lines: Lines, at_us: int) -> None:
    text, status, shown = output(file.into, item)
    if kind == "tool_search_output":
        text = canonical(item.raw.get("tools"))
    file.into.result(item.ident("call_id"), text, status, lines.first, at_us, shown)
    file.ended = True
    file.context[lines.first] = None
    file.places[f"output {item.text('call_id')}"] = lines.first


# -------------------------------------------------------------------------------------------------- events


def _event(file: _File, event: Fields, lines: Lines, at_us: int) -> None:
    kind, item = event.text("type"), event.fields("item")
    if kind == "user_message":
        _told(file, event.text("message"), event.text("kind"), lines, at_us)
    elif kind == "item_completed" and item.text("type") == "UserMessage":
        texts = [block.text("text") for block in item.objects("content")]
        _told(file, "\n".join(text for text in texts if text), "", lines, at_us)
    elif kind == "token_count":
        _counted(file, event.fields("info"), lines, at_us)
    elif kind == "thread_rolled_back":
        _rolled_back(file, event.count("num_turns"), lines, at_us)
    else:
        file.into.skip(_EVENTS.get(kind, Skip.UNKNOWN_RECORD if kind else Skip.MALFORMED_RECORD))


def _told(file: _File, text: str, kind: str, lines: Lines, at_us: int) -> None:
    """A prompt as an event tells it; old versions tell injected texts so, too."""
    if kind in ("user_instructions", "environment_context") or is_injected(text):
        file.into.skip(Skip.MIRRORED)
    else:
        _prompt(file, UserMessage(text, lines, at_us), file.by_item, file.by_event)


def _counted(file: _File, info: Fields, lines: Lines, at_us: int) -> None:
    """A usage, unless the row only repeats the one before it."""
    total = info.raw.get("total_token_usage")
    if not info.fields("total_token_usage") or total == file.total:
        file.into.skip(Skip.MIRRORED)
        return
    file.total = total
    _used(file, "token_count", info.fields("last_token_usage"), lines, at_us)


def _used(file: _File, by: str, told: Fields, lines: Lines, at_us: int) -> None:
    """The usage of an answer; some versions tell it before the answer, others after it, some in rows of two kinds."""
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


def _unclaimed(file: _File) -> None:
    """Count a usage that no answer has: that of a call which summarised."""
    if file.waiting is not None:
        file.into.skip(Skip.UNCLAIMED_USAGE)
    file.waiting = None


# ---------------------------------------------------------------------------------------------- boundaries


def _rolled_back(file: _File, prompts: int, lines: Lines, at_us: int) -> None:
    gone = file.prompts[-prompts:] if prompts else []
    if not gone:
        file.into.skip(Skip.SYSTEM_NOTICE)
        return
    _drop(file, Boundary.PRUNE, [line for line in file.context if line < gone[0]], lines, at_us)


def _compacted(file: _File, payload: Fields, lines: Lines, at_us: int) -> None:
    _unclaimed(file)
    if payload.is_list("replacement_history"):
        _replaced(file, payload, lines, at_us)
        return
    _drop(file, Boundary.COMPACT, [*file.standing.values(), *_newest_prompts(file)], lines, at_us)
    file.into.say(Summary(payload.text("message"), lines, at_us))


def _newest_prompts(file: _File) -> list[int]:
    """Lines of the newest prompts, up to what a compaction keeps."""
    kept: list[int] = []
    left = KEPT_PROMPT_CHARS
    for line in reversed(file.prompts):
        left -= file.sizes[line]
        if left < 0:
            break
        kept.append(line)
    return kept


def _replaced(file: _File, payload: Fields, lines: Lines, at_us: int) -> None:
    """The context that replaces the one before: items that were in it stay, others are new."""
    kept: list[int] = []
    new: list[tuple[str, str]] = []
    for item in payload.objects("replacement_history"):
        kind, call_id = item.text("type"), item.ident("call_id")
        if kind in ("message", "agent_message"):
            for text in content(file.into, item)[0]:
                place = file.places.get(said_key(text))
                if place is not None:
                    kept.append(place)
                elif text.strip():
                    new.append((item.text("role"), text))
        else:
            place = file.places.get(f"{'output' if kind in _OUTPUTS else 'call'} {call_id}")
            if call_id and place is not None:
                kept.append(place)
            else:
                file.into.skip(_NO_STATE_ITEMS.get(kind, Skip.UNKNOWN_BLOCK))
    message = payload.text("message")
    _drop(file, Boundary.COMPACT, kept, lines, at_us)
    if message.strip() and message not in [text for _role, text in new]:
        file.into.say(Summary(message, lines, at_us))
    for role, text in new:
        _new_text(file, role, text, lines, at_us)


def _new_text(file: _File, role: str, text: str, lines: Lines, at_us: int) -> None:
    """A text that stands in the context since a compaction: of the harness if it has its form, else a summary."""
    if role in ("developer", "system"):
        _say(file, SystemMessage(text, lines, at_us), text)
    elif not role or is_injected(text):
        _heard(file, text, lines, at_us)
    else:
        file.into.say(Summary(text, lines, at_us))


def _drop(file: _File, boundary: Boundary, kept: list[int], lines: Lines, at_us: int) -> None:
    cut = Cut.COMPACT if boundary is Boundary.COMPACT else Cut.REWIND
    file.into.say(ContextDropped(boundary, lines, at_us, kept_lines=frozenset(kept), cut=cut))
    file.ended = file.sealed = True
    file.context = dict.fromkeys(sorted(set(kept)))
    file.prompts = [line for line in file.prompts if line in file.context]
    file.standing = {text: line for text, line in file.standing.items() if line in file.context}


_TYPES: Final = frozenset(("session_meta", "response_item", "event_msg", "compacted", "turn_context"))


def _is_codex(record: Fields) -> bool:
    return record.text("type") in _TYPES and isinstance(record.raw.get("payload"), dict)


FORMAT: Final = Format(NAME, parse, tools="codex", is_record=_is_codex, reader=Reader(_Rollout, _record, _sessions))
