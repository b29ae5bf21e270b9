"""Gemini CLI sessions: one JSON document, or a line of metadata followed by one line per message.

In a document, line numbers count messages from 1. In a file of lines, a message is written again, whole, once its
tokens and calls are known. `{"$rewindTo": id}` drops that message and all after it. `{"$set": {"messages": […]}}` is
the history after a compaction or after results were masked. A message with nothing but calls continues the answer
before it. A message gets its calls when they have ended, so its text is one step and its calls are another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import attrs

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers.document import read_document
from clawvm_es.importers.format import Format, Part, Reader
from clawvm_es.importers.gemini_text import content, result
from clawvm_es.importers.identity import content_id
from clawvm_es.importers.merging import Use
from clawvm_es.importers.recording import Recording, Skip, Skips
from clawvm_es.importers.records import Record, read_lines
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import Boundary, Cut, ReturnStatus
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.signatures import canonical
from clawvm_es.observe.steps import ContextDropped, Lines, Summary, Usage, UserMessage

NAME: Final = "gemini"
KEPT_SHARE: Final = 0.3
"""Share of the newest characters that a compaction keeps; the message that tells of one does not say which."""

_COMPRESSED = re.compile(r"Chat history compressed from \d+ to \d+ tokens")
_EXIT_CODE = re.compile(r"^Exit Code: (-?\d+)$", re.MULTILINE)
_SNAPSHOT: Final = "<state_snapshot>"
_ENDED: Final = {"success": ReturnStatus.OK, "error": ReturnStatus.ERROR, "cancelled": ReturnStatus.INTERRUPTED}


@attrs.define
class _Said:
    """A message so far: the lines that told of it, its text, its calls with their results."""

    lines: list[int]
    text: str
    prompt: bool
    key: str = ""
    results: dict[str, str] = attrs.field(factory=dict)  # call id → text; every call that was told is here


@attrs.define
class _File:
    """The session of one file being built."""

    into: Transcript = attrs.field(factory=Transcript)
    session_id: str = ""
    messages: dict[str, _Said] = attrs.field(factory=dict)  # by id, in order
    context: dict[str, None] = attrs.field(factory=dict)  # ids of those that stand in the context
    answer: str = ""  # key of the answer that is being read
    answers: int = 0
    called: bool = False  # it has calls
    spoken: bool = False  # it has text that is no step yet
    usage: Usage = attrs.field(factory=Usage)  # that was told of it last
    first: object = None
    at_us: int = 0  # of the last message: some rows have no time of their own


def parse(data: bytes, name: str) -> tuple[Recording, ...]:
    """The session of a file of either shape. Raises `UnreadableInput` for a damaged document."""
    file = _File()
    try:
        value = read_document(data, name)
    except UnreadableInput:
        value = None
        if not any(map(_is_row, (record.data for record in read_lines(data)[0]))):
            raise
    if value is None or _is_row(Fields.of(value)):
        records, skipped = read_lines(data)
        file.into.skipped.update(skipped)
        for record in records:
            _record(file, record)
    else:
        _document(file, Fields.of(value))
    return (file.into.recording(file.session_id or content_id("gemini", file.first), NAME, name),)


def _sessions(file: _File) -> Sequence[Part]:
    return [Part(file.session_id, file.into)]


def _document(file: _File, document: Fields) -> None:
    file.session_id = document.text("sessionId")
    file.into.began(file.into.instant(document, "startTime", 1))
    if not document.is_list("messages"):
        file.into.skip(Skip.MALFORMED_RECORD)
    for number, message in enumerate(document.objects("messages"), 1):
        file.into.line = number
        _message(file, message, number)


def _record(file: _File, record: Record) -> None:
    row, line = record.data, record.line
    file.into.line = line
    if "$rewindTo" in row:
        _rewound(file, row.text("$rewindTo"), Lines(line, line))
    elif "$set" in row:
        changed = row.fields("$set")
        if changed.is_list("messages"):
            _history(file, changed.objects("messages"), Lines(line, line))
        else:
            file.into.skip(Skip.SETTING_CHANGE)
    elif "id" in row:
        _message(file, row, line)
    elif "sessionId" in row:
        file.into.began(file.into.instant(row, "startTime", line))
        if file.session_id:
            file.into.skip(Skip.DUPLICATE_RECORD)
        file.session_id = file.session_id or row.text("sessionId")
    else:
        file.into.skip(Skip.UNKNOWN_RECORD)


# ------------------------------------------------------------------------------------------------ messages


def _message(file: _File, message: Fields, line: int) -> None:
    kind, at_us = message.text("type"), file.into.instant(message, "timestamp", line)
    file.first = message.raw if file.first is None else file.first
    file.at_us = at_us
    message_id = message.text("id") or f"line {line}"
    if kind == "gemini":
        _answer(file, message_id, message, line, at_us)
    elif kind == "user":
        if message_id in file.messages:
            file.into.skip(Skip.DUPLICATE_RECORD)
        else:
            _user(file, message_id, message, Lines(line, line), at_us)
    elif kind in ("info", "warning", "error"):
        _notice(file, content(file.into, message)[0], Lines(line, line), at_us)
    else:
        file.into.skip(Skip.UNKNOWN_RECORD if kind else Skip.MALFORMED_RECORD)


def _user(file: _File, message_id: str, message: Fields, lines: Lines, at_us: int) -> None:
    text, shown = content(file.into, message)
    if not text.strip() and not shown:
        file.into.skip(Skip.EMPTY_MESSAGE)
        return
    file.messages[message_id] = _Said([lines.first], text, prompt=True)
    file.context[message_id] = None
    file.into.say(UserMessage(text, lines, at_us, images=shown))
    file.answer = ""


def _notice(file: _File, text: str, lines: Lines, at_us: int) -> None:
    """A message for people; one kind reports a compaction."""
    if _COMPRESSED.match(text) is None:
        file.into.skip(Skip.SYSTEM_NOTICE)
        return
    left = KEPT_SHARE * sum(len(file.messages[each].text) for each in file.context)
    kept: list[str] = []
    for each in reversed(file.context):
        left -= len(file.messages[each].text)
        if left < 0:
            break
        kept.append(each)
    _drop(file, Boundary.COMPACT, kept[::-1], lines, at_us)


def _answer(file: _File, message_id: str, message: Fields, line: int, at_us: int) -> None:
    """A message of the model, or the additions of a later row."""
    (text, shown), tokens = content(file.into, message), _usage(message)
    file.into.skip(Skip.IMAGE, len(shown))
    known = file.messages.get(message_id)
    said = known or _Said([], "", prompt=False, key=_key(file, message, text, tokens))
    said.lines.append(line)
    file.messages[message_id] = said
    file.context[message_id] = None
    calls = [call for call in message.objects("toolCalls") if _call_id(call) not in said.results]
    if calls and said.results:
        said.key = _next(file)  # another call of the model, which said nothing else
    added = text.removeprefix(said.text) if text.startswith(said.text) else text
    said.text = text or said.text
    if said.key != file.answer or tokens != Usage():
        file.usage = tokens
    if said.key != file.answer:
        file.spoken = False
    file.answer = said.key
    file.called = bool(said.results or calls)
    texts = [added] if added.strip() else []
    thoughts = _thoughts(message) if known is None else []
    if texts or thoughts or not calls:
        file.spoken = file.spoken or bool(texts)
        _add(file, message, texts, [], thoughts, line, at_us)
    if calls and file.spoken:
        file.into.flush()  # a document that is read before its calls are known begins as it will be later
        file.spoken = False
    if calls:
        _add(file, message, [], calls, [], line, at_us)
    for call in message.objects("toolCalls"):
        _returned(file, said, call, line, at_us)


def _add(
    file: _File, message: Fields, texts: list[str], calls: list[Fields], thoughts: list[str], line: int, at_us: int
) -> None:
    file.into.answer(
        file.answer,
        texts=texts,
        uses=[_use(call) for call in calls],
        usage=file.usage,
        line=line,
        at_us=at_us,
        thinking=thoughts,
        model=message.text("model"),
    )


def _key(file: _File, message: Fields, text: str, tokens: Usage) -> str:
    """The key of a message's answer; a message with only calls has that of the answer before it."""
    goes_on = file.answer and not file.called
    if goes_on and not text.strip() and tokens == Usage() and not message.objects("thoughts"):
        return file.answer
    return _next(file)


def _next(file: _File) -> str:
    file.answers += 1
    return str(file.answers)


def _usage(message: Fields) -> Usage:
    """The tokens of an answer; `output` excludes thoughts, and `input` excludes the prompts of tools."""
    tokens = message.fields("tokens")
    thoughts = tokens.count("thoughts")
    whole = tokens.count("input") + tokens.count("tool")
    return Usage(whole, tokens.count("cached"), tokens.count("output") + thoughts, thinking_tokens=thoughts)


def _thoughts(message: Fields) -> list[str]:
    found = [(each.text("subject"), each.text("description")) for each in message.objects("thoughts")]
    return ["\n".join(part for part in parts if part) for parts in found]


def _call_id(call: Fields) -> str:
    return call.ident("id") or canonical([call.raw.get("id"), call.raw.get("name"), call.raw.get("args")])


def _use(call: Fields) -> Use:
    return Use(call.ident("id"), call.text("name"), call.arguments("args") if "args" in call else {})


def _returned(file: _File, said: _Said, call: Fields, line: int, at_us: int) -> None:
    """The result of a call, once."""
    call_id, status = _call_id(call), _ENDED.get(call.text("status"), ReturnStatus.OK)
    known = said.results.get(call_id)
    if call.raw.get("result") is None:
        said.results.setdefault(call_id, "")
    elif not known:
        text, shown = result(file.into, call)
        code = _EXIT_CODE.search(text) if text.startswith("Command: ") else None
        if code is not None and status is ReturnStatus.OK and int(code[1]):
            status = ReturnStatus.ERROR
        said.results[call_id] = text
        file.into.result(call.ident("id"), text, status, line, at_us, shown, call.text("name"))


# ----------------------------------------------------------------------------------------------- boundaries


def _rewound(file: _File, message_id: str, lines: Lines) -> None:
    """Drop a message and all after it; for an unknown message, drop everything."""
    ids = list(file.context)
    kept = ids[: ids.index(message_id)] if message_id in file.context else []
    _drop(file, Boundary.PRUNE, kept, lines, file.at_us)


def _drop(file: _File, boundary: Boundary, kept: Sequence[str], lines: Lines, at_us: int) -> None:
    kept_lines = frozenset(line for each in kept for line in file.messages[each].lines)
    cut = Cut.COMPACT if boundary is Boundary.COMPACT else Cut.REWIND
    file.into.say(ContextDropped(boundary, lines, at_us, kept_lines=kept_lines, cut=cut))
    file.context = dict.fromkeys(kept)
    file.answer = ""


def _history(file: _File, history: list[Fields], lines: Lines) -> None:
    """Take the present history: missing prompts were compacted away, differing results were masked."""
    skipped, file.into.skipped = file.into.skipped, Skips()  # its parts were counted where they came first
    texts = [content(file.into, message)[0] for message in history]
    results = [_result_texts(file.into, message) for message in history]
    file.into.skipped = skipped
    kept = _kept(file, history, texts)
    if any(file.messages[each].prompt and each not in kept for each in file.context):
        _drop(file, Boundary.COMPACT, [each for each in file.context if each in kept], lines, file.at_us)
    for message, text in zip(history, texts, strict=True):
        if text.strip() and message.text("id") not in file.messages and not _says(file, text):
            _new(file, message, text, lines)
    masked = [call_id for each in results for call_id, text in each if _masked(file, call_id, text)]
    if masked:
        file.into.flush()
        dropped = file.into.calls_of(masked)
        file.into.say(ContextDropped(Boundary.PRUNE, lines, file.at_us, dropped_calls=dropped, cut=Cut.MICRO))
    file.into.skip(Skip.MIRRORED)


def _kept(file: _File, history: list[Fields], texts: list[str]) -> set[str]:
    """Ids of known messages in a history, matched by id, by text or by their calls."""
    ids = {message.text("id") for message in history}
    said = set(texts)
    calls = {_call_id(call) for message in history for call in message.objects("toolCalls")}
    return {
        each
        for each in file.context
        if each in ids or file.messages[each].text in said or not calls.isdisjoint(file.messages[each].results)
    }


def _says(file: _File, text: str) -> bool:
    return any(file.messages[each].text == text for each in file.context)


def _new(file: _File, message: Fields, text: str, lines: Lines) -> None:
    """A message in a history that no row brought: the summary, or another text of the harness."""
    at_us = file.into.instant(message, "timestamp", lines.first)
    message_id = message.text("id") or f"line {lines.first} {len(file.messages)}"
    file.messages[message_id] = _Said([lines.first], text, prompt=False)
    file.context[message_id] = None
    if _SNAPSHOT in text:
        file.into.say(Summary(text, lines, at_us))
    else:
        file.into.say(UserMessage(text, lines, at_us, harness=True))
    file.answer = ""


def _result_texts(into: Transcript, message: Fields) -> list[tuple[str, str]]:
    calls = [call for call in message.objects("toolCalls") if call.raw.get("result") is not None]
    return [(_call_id(call), result(into, call)[0]) for call in calls]


def _masked(file: _File, call_id: str, text: str) -> bool:
    """Tell whether a known result has another text now; the change is noted."""
    for each in file.context:
        results = file.messages[each].results
        if results.get(call_id):
            changed = results[call_id] != text
            results[call_id] = text
            return changed
    return False


def _is_session(value: object) -> bool:
    session = Fields.of(value)
    return "sessionId" in session and "messages" in session and ("projectHash" in session or "startTime" in session)


def _is_metadata(record: Fields) -> bool:
    return record.is_text("sessionId") and record.is_text("projectHash") and "messages" not in record


def _is_row(record: Fields) -> bool:
    return "messages" not in record and any(name in record for name in ("$set", "$rewindTo", "id", "sessionId"))


FORMAT: Final = Format(
    NAME,
    parse,
    tools="gemini",
    is_record=_is_metadata,
    is_session=_is_session,
    reader=Reader(_File, _record, _sessions),
)
