"""OpenAI chat messages, as tau-bench records them: sessions in one JSON file; lines count messages from 1."""

from __future__ import annotations

from collections.abc import Mapping

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers.detect import OPENAI_CHAT, is_messages
from clawvm_es.importers.identity import content_id
from clawvm_es.importers.recording import Lines, Recording, Skip, SystemMessage, Usage, UserMessage
from clawvm_es.importers.records import BOM, TooDeep, dict_of, instant, list_of, parse_json, read_lines, text_of
from clawvm_es.importers.transcript import Transcript, Use
from clawvm_es.model.facts import ReturnStatus


def parse(data: bytes, name: str) -> tuple[Recording, ...]:
    """The sessions of a file: an array of sessions, one session, a list of messages, or JSON Lines of sessions.

    Raises `UnreadableInput` where the file is one JSON text and damaged.
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
    return tuple(transcript.recording(session_id, OPENAI_CHAT, name) for session_id, transcript in found.items())


def _sessions(data: bytes, name: str) -> tuple[list[dict[str, object]], Mapping[str, int]]:
    """The objects that hold messages, and what was skipped between them."""
    try:
        value = parse_json(data.removeprefix(BOM).decode("utf-8", "surrogatepass").strip())
    except TooDeep:
        raise UnreadableInput(f"{name}: is nested too deep", hint="flatten it") from None
    except ValueError as error:
        records, skipped = read_lines(data)
        if not records:
            raise UnreadableInput(f"{name}: is not JSON: {error}", hint="is it cut off?") from None
        return _keep([record.data for record in records], skipped)
    if is_messages(value):
        return [{"messages": value}], {}
    return _keep(value if isinstance(value, list) else [value], {})


def _keep(values: list[object], skipped: Mapping[str, int]) -> tuple[list[dict[str, object]], Mapping[str, int]]:
    kept = [value for value in values if isinstance(value, dict) and isinstance(_messages(value), list)]
    missing = len(values) - len(kept)
    counted = {**skipped, Skip.MALFORMED_RECORD: missing} if missing else skipped
    return kept, counted


def _messages(session: Mapping[str, object]) -> object:
    return session.get("traj", session.get("messages"))


def _session_id(session: Mapping[str, object], index: int) -> str:
    """A digest of the messages, then task and trial (tau-bench), the recorded id, or the place in the file."""
    digest = content_id("chat", _messages(session))
    task, trial = session.get("task_id"), session.get("trial")
    return f"{digest}-{index + 1}" if task is None else f"{digest}-task-{task}-trial-{trial}"


def _session(session: Mapping[str, object]) -> Transcript:
    into = Transcript()
    for number, item in enumerate(list_of(_messages(session)), 1):
        message = dict_of(item)
        at_us = instant(message.get("timestamp"), number)
        into.began(at_us)
        _message(into, message, number, at_us)
    return into


def _message(into: Transcript, message: Mapping[str, object], line: int, at_us: int) -> None:
    role, lines = message.get("role"), Lines(line, line)
    text = _text(into, message.get("content"))
    if role == "assistant":
        uses = [use for call in list_of(message.get("tool_calls")) if (use := _use(into, dict_of(call)))]
        into.answer(f"message {line}", texts=[text] if text else [], uses=uses, usage=Usage(), line=line, at_us=at_us)
    elif role in ("tool", "function"):
        status = ReturnStatus.ERROR if text.startswith("Error:") else ReturnStatus.OK
        into.result(text_of(message.get("tool_call_id")), text, status, line, at_us)
    elif role not in ("system", "developer", "user"):
        into.skip(Skip.UNKNOWN_RECORD if role else Skip.MALFORMED_RECORD)
    elif not text.strip():
        into.skip(Skip.EMPTY_MESSAGE)
    else:
        into.say((UserMessage if role == "user" else SystemMessage)(text, lines, at_us))


def _text(into: Transcript, content: object) -> str:
    if isinstance(content, str):
        return content
    texts: list[str] = []
    for part in map(dict_of, list_of(content)):
        if isinstance(part.get("text"), str):
            texts.append(text_of(part["text"]))
        else:
            into.skip(Skip.IMAGE if "image_url" in part else Skip.UNKNOWN_BLOCK)
    return "\n".join(texts)


def _use(into: Transcript, call: Mapping[str, object]) -> Use | None:
    function = dict_of(call.get("function"))
    if not function:
        into.skip(Skip.UNKNOWN_BLOCK)
        return None
    given = function.get("arguments")
    arguments: object = given
    if isinstance(given, str):
        try:
            arguments = parse_json(given) if given.strip() else {}
        except ValueError:
            arguments = given
    if not isinstance(arguments, dict):
        arguments = {"input": arguments}
    return Use(text_of(call.get("id")), text_of(function.get("name")), arguments)
