"""OpenAI chat messages, as tau-bench records them: sessions in one JSON file; lines count messages from 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import images
from clawvm_es.importers.claude_attachments import said
from clawvm_es.importers.claude_blocks import server_result, text_of
from clawvm_es.importers.format import Format, Growth
from clawvm_es.importers.identity import content_id
from clawvm_es.importers.merging import Use
from clawvm_es.importers.pairing import Calls
from clawvm_es.importers.recording import Recording, Skip, Skips
from clawvm_es.importers.records import BOM, read_lines
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import Finish, ReturnStatus
from clawvm_es.observe.fields import Fields, TooDeep, parse_json
from clawvm_es.observe.steps import Image, Lines, SystemMessage, Usage, UserMessage

NAME: Final = "openai_chat"

_THINKING: Final = ("reasoning_content", "reasoning", "thinking")
_CALLED: Final = ("tool_use", "server_tool_use", "mcp_tool_use")
_BLOCKS: Final = {
    "assistant": (*_CALLED, "thinking", "redacted_thinking"),
    "user": ("tool_result",),
}
"""Blocks of Anthropic's messages that are read beside a message's text."""
_ROLES: Final = frozenset(("system", "developer", "user", "assistant", "tool", "function"))


def parse(data: bytes, name: str) -> tuple[Recording, ...]:
    """The sessions of a file: an array of sessions, one session, a list of messages, or JSON Lines of sessions.

    Raises `UnreadableInput` if the file is one damaged JSON text.
    """
    sessions, skipped = _sessions(data, name)
    if not sessions:
        raise UnreadableInput(f"{name}: holds no list of chat messages", hint="give OpenAI messages, or --format")
    found: dict[str, Transcript] = {}
    for index, session in enumerate(sessions):
        session_id = _session_id(session, index)
        if session_id in found:
            found[session_id].skip(Skip.DUPLICATE_RECORD)
        else:
            found[session_id] = _session(session)
    next(iter(found.values())).skipped.update(skipped)
    return tuple(transcript.recording(session_id, NAME, name) for session_id, transcript in found.items())


def _sessions(data: bytes, name: str) -> tuple[list[Fields], Skips]:
    """The objects that hold messages, and what was skipped between them."""
    try:
        value = parse_json(data.removeprefix(BOM).decode("utf-8", "surrogatepass").strip())
    except TooDeep:
        raise UnreadableInput(f"{name}: is nested too deep", hint="flatten it") from None
    except ValueError as error:
        records, skipped = read_lines(data)
        if not records:
            raise UnreadableInput(f"{name}: is not JSON: {error}", hint="is it cut off?") from None
        return _keep([record.data.raw for record in records], skipped)
    if _is_messages(value):
        return [Fields({"messages": value})], Skips()
    return _keep(value if isinstance(value, list) else [value], Skips())


def _keep(values: Sequence[object], skipped: Skips) -> tuple[list[Fields], Skips]:
    kept = [session for session in map(Fields.of, values) if session.is_list(_place(session))]
    if missing := len(values) - len(kept):
        skipped.add(Skip.MALFORMED_RECORD, times=missing)
    return kept, skipped


def _place(session: Fields) -> str:
    """The field that holds the messages."""
    return "traj" if "traj" in session else "messages"


def _session_id(session: Fields, index: int) -> str:
    """A digest of the messages, then task and trial (tau-bench), or the index in the file."""
    digest = content_id("chat", session.raw.get(_place(session)))
    task, trial = session.raw.get("task_id"), session.raw.get("trial")
    if not isinstance(task, (str, int)):
        return f"{digest}-{index + 1}"
    return f"{digest}-task-{task}-trial-{trial if isinstance(trial, (str, int)) else None}"


def _session(session: Fields) -> Transcript:
    into = Transcript(calls=Calls(ordered=True))
    for number, message in enumerate(session.objects(_place(session)), 1):
        at_us = into.instant(message, "timestamp", number)
        into.line = number
        into.began(at_us)
        if number == 1 and session.raw.get("system"):
            _message(into, Fields({"role": "system", "content": session.raw["system"]}), number, at_us)
        _message(into, message, number, at_us)
    return into


def _message(into: Transcript, message: Fields, line: int, at_us: int) -> None:
    role, lines = message.text("role"), Lines(line, line)
    text, shown = _content(into, message)
    results = _blocks(message, "tool_result") if role == "user" else []
    for result in results:
        found, images_ = _content(into, result)
        status = ReturnStatus.ERROR if result.flag("is_error") else ReturnStatus.OK
        into.result(result.ident("tool_use_id"), found, status, line, at_us, images_)
    if role in ("assistant", "system", "developer"):
        into.skip(Skip.IMAGE, len(shown))
    if role == "assistant":
        _answer(into, message, text, line, at_us)
    elif role in ("tool", "function"):
        status = ReturnStatus.ERROR if text.startswith("Error:") else ReturnStatus.OK
        into.result(message.ident("tool_call_id"), text, status, line, at_us, shown, message.text("name"))
    elif role not in ("system", "developer", "user"):
        into.skip(Skip.UNKNOWN_RECORD if role else Skip.MALFORMED_RECORD)
    elif role == "user" and (text.strip() or shown):
        into.say(UserMessage(text, lines, at_us, images=shown))
    elif text.strip():
        into.say(SystemMessage(text, lines, at_us))
    elif not results:
        into.skip(Skip.EMPTY_MESSAGE)


def _answer(into: Transcript, message: Fields, text: str, line: int, at_us: int) -> None:
    """An answer: its text, refusal or spoken words, its thoughts, and its calls, also in older form and as blocks."""
    given = [*message.objects("tool_calls"), *([message] if message.fields("function_call") else ())]
    refusal = message.text("refusal")
    thinking = next((each for name in _THINKING if (each := message.text(name))), "")
    thoughts = [thinking, *(each.text("thinking") for each in _blocks(message, "thinking"))]
    uses = [use for call in given if (use := _use(into, call))]
    uses += [_use_of(block) for block in _blocks(message, *_CALLED) if not given]
    into.answer(
        f"message {line}",
        texts=[each for each in (text, refusal, message.fields("audio").text("transcript")) if each],
        uses=uses,
        usage=_usage(message.fields("usage")),
        line=line,
        at_us=at_us,
        thinking=[thought for thought in thoughts if thought],
        model=message.text("model"),
        finish=Finish.REFUSAL if refusal.strip() else None,
    )
    into.skip(Skip.THINKING, len(_blocks(message, "redacted_thinking")))
    for block in message.objects("content"):
        if _is_result(block):
            call_id, found, encrypted = server_result(block)
            into.result(call_id, found, ReturnStatus.OK, line, at_us)
            into.skip(Skip.ENCRYPTED, encrypted)


def _usage(usage: Fields) -> Usage:
    """Token counts under OpenAI's names, if a message holds any."""
    cached = usage.fields("prompt_tokens_details").count("cached_tokens")
    thought = usage.fields("completion_tokens_details").count("reasoning_tokens")
    return Usage(usage.count("prompt_tokens"), cached, usage.count("completion_tokens"), 0, thought)


def _content(into: Transcript, message: Fields) -> tuple[str, tuple[Image, ...]]:
    """The text of a message's content (a string, or parts), and its images."""
    if message.is_text("content"):
        return message.text("content"), ()
    texts: list[str] = []
    shown: list[Image] = []
    for part in message.objects("content"):
        if part.is_text("text"):
            texts.append(part.text("text"))
        elif part.is_text("refusal"):
            texts.append(part.text("refusal"))
        elif (document := text_of(part)) is not None:
            texts.append(document)
        elif part.text("type") == "search_result":
            texts.append("\n".join(said(part.raw)))
        elif part.text("type") in images.BLOCKS and part.fields("source"):
            shown.append(images.of_block(part))
        elif part.text("type") in _BLOCKS.get(message.text("role"), ()) or _is_result(part):
            continue
        elif "image_url" in part:
            shown.append(images.of_url(part.fields("image_url").text("url") or part.text("image_url")))
        else:
            into.skip(Skip.UNKNOWN_BLOCK)
    if message.is_odd("content"):
        into.skip(Skip.MALFORMED_RECORD)
    return "\n".join(texts), tuple(shown)


def _blocks(message: Fields, *kinds: str) -> list[Fields]:
    """The blocks of some kinds in a message in the form of Anthropic's API."""
    return [part for part in message.objects("content") if part.text("type") in kinds]


def _is_result(block: Fields) -> bool:
    """Tell whether a block is the result of a tool that Anthropic's API ran itself."""
    return block.text("type").endswith("_tool_result") and "tool_use_id" in block


def _use_of(block: Fields) -> Use:
    return Use(block.ident("id"), block.text("name"), block.arguments("input"))


def _use(into: Transcript, call: Fields) -> Use | None:
    """A call of a function or custom tool, or one in the older form of the message itself."""
    function = call.fields("function") or call.fields("function_call") or call.fields("custom")
    if not function:
        into.skip(Skip.UNKNOWN_BLOCK)
        return None
    return Use("" if "role" in call else call.ident("id"), function.text("name"), _arguments(function))


def _arguments(function: Fields) -> Mapping[str, object]:
    """The arguments of a call: an object, or JSON text of one; a custom tool's text is its argument `input`."""
    if "arguments" not in function:
        return {"input": function.raw.get("input")}
    text = function.text("arguments")
    if not text.strip():
        return {} if function.is_text("arguments") else function.arguments("arguments")
    try:
        given = parse_json(text)
    except ValueError:
        given = text
    return Fields({"given": given}).arguments("given")


def _is_conversation(value: object) -> bool:
    """Tell whether a JSON value holds OpenAI messages: `traj` or `messages` whose items have a role."""
    session = Fields.of(value)
    return _is_messages(session.raw.get("traj", session.raw.get("messages")))


def _is_messages(value: object) -> bool:
    """Tell whether a JSON value is a list of OpenAI messages."""
    if not isinstance(value, list) or not value:
        return False
    first = Fields.of(value[0])
    return first.text("role") in _ROLES and ("content" in first or "parts" not in first)


def _is_session(value: object) -> bool:
    return _is_messages(value) or _is_conversation(value)


FORMAT: Final = Format(NAME, parse, tools="openai_chat", is_session=_is_session, growth=Growth.UNNAMED)
