"""pi / OpenClaw sessions: v1 (no ids) and v2, v3, whose entries form a tree.

LAW-PI-1: entries are taken in file order, since each was the active leaf when it was written. If an entry's parent
is not the entry before it, the recorded context becomes the path to that parent. So the steps of a cut file are
the first steps of the whole file, even if a later entry abandons a branch.

An aborted or failed answer is not sent back whole: pi leaves out its calls, which have no results, and since version
0.49.2 the entire answer. A file does not name its version; it follows from an entry's time.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.importers import images
from clawvm_es.importers.format import Format, Part, Reader
from clawvm_es.importers.identity import content_id
from clawvm_es.importers.merging import Use
from clawvm_es.importers.recording import Recording, Skip, Skips
from clawvm_es.importers.records import Record, read_lines
from clawvm_es.importers.streaming import lines_of, read_all
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import Boundary, Cut, Finish, ReturnStatus
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.steps import ContextDropped, Image, Lines, Summary, Usage, UserMessage

NAME: Final = "pi"

_NO_STATE: Final[Mapping[str, Skip]] = MappingProxyType(
    {
        "model_change": Skip.SETTING_CHANGE,
        "thinking_level_change": Skip.SETTING_CHANGE,
        "session_info": Skip.SETTING_CHANGE,
        "label": Skip.LABEL,
        "custom": Skip.CUSTOM,
    }
)

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_FINISH: Final[Mapping[str, Finish]] = MappingProxyType(
    {
        "stop": Finish.STOP,
        "toolUse": Finish.TOOL_CALLS,
        "length": Finish.LENGTH,
        "error": Finish.ERROR,
    }
)


_BROKEN: Final = ("aborted", "error")
"""Stop reasons of answers that were not finished."""
_LEFT_OUT_SINCE_US: Final = 1_768_780_800_000_000
"""When pi 0.49.2 came out, 19 January 2026: since then nothing of such an answer is sent back."""


@attrs.frozen
class _Entry:
    """Place of an entry in the tree; `first_kept` is the line where a compaction's kept part begins (0: nothing).

    A `left_out` entry is in no prompt.
    """

    line: int
    parent: str
    compaction: bool = False
    first_kept: int = 0
    left_out: bool = False


@attrs.define
class _File:
    """The session of one file being built, and the tree so far."""

    cwd: str = ""
    session_id: str = ""
    resumed_from: str | None = None
    into: Transcript = attrs.field(factory=Transcript)
    entries: dict[str, _Entry] = attrs.field(factory=dict)
    leaf: str = ""
    seen: set[bytes] = attrs.field(factory=set)  # lines of entries without an id
    index: list[int] = attrs.field(factory=list)  # v1: entry number → line

    def kept(self, leaf: str) -> frozenset[int]:
        """Lines in the context when `leaf` is the active leaf."""
        lines: list[int] = []
        first_kept = 0
        while leaf in self.entries:
            entry = self.entries[leaf]
            if entry.line < first_kept:
                break
            if not entry.left_out:
                lines.append(entry.line)
            leaf = entry.parent
            if entry.compaction and not first_kept:
                if not entry.first_kept:
                    break
                first_kept = entry.first_kept
        return frozenset(lines)


def parse(data: bytes, name: str) -> tuple[Recording, ...]:
    """The session of a file."""
    (recording,) = read_all(READER, lines_of(io.BytesIO(data)), name)
    if not recording.session_id:
        whole = [record.data.raw for record in read_lines(data)[0]]
        recording = attrs.evolve(recording, session_id=content_id("pi", whole))
    return (recording,)


def _end(file: _File, name: str, skipped: Skips) -> tuple[Recording, ...]:
    file.into.skipped.update(skipped)
    return (file.into.recording(file.session_id, NAME, name, resumed_from=file.resumed_from),)


def _named(parent: str) -> str | None:
    """The session's id in a header: its id, or the last id in its file's path."""
    found = _ID.findall(parent.replace("\\", "/").rpartition("/")[2])
    return found[-1] if found else parent if parent and "/" not in parent and "\\" not in parent else None


def _sessions(file: _File) -> Sequence[Part]:
    return [Part(file.session_id, file.into, resumed_from=file.resumed_from)]


def _record(file: _File, record: Record) -> None:
    file.index.append(record.line)
    row, kind = record.data, record.data.text("type")
    file.into.line = record.line
    at_us = file.into.instant(row, "timestamp", record.line)
    if kind == "session":
        if file.session_id:
            file.into.skip(Skip.DUPLICATE_RECORD)
        else:
            file.session_id, file.cwd = row.text("id"), row.text("cwd")
            file.resumed_from = _named(row.text("parentSession"))
            file.into.began(at_us, file.cwd)
        return
    entry_id = row.text("id")
    if entry_id in file.entries or record.raw in file.seen:
        file.into.skip(Skip.DUPLICATE_RECORD)
        return
    file.into.began(at_us, file.cwd)
    if entry_id:
        _place(file, entry_id, row, record.line, at_us)
    else:
        file.seen.add(record.raw)
    _entry(file, kind, row, record.line, at_us)


def _place(file: _File, entry_id: str, row: Fields, line: int, at_us: int) -> None:
    """Add an entry to the tree; if its parent is not the leaf, the recorded context changes."""
    parent = row.text("parentId") if "parentId" in row else file.leaf
    if parent != file.leaf:
        if parent and parent not in file.entries:
            file.into.skip(Skip.UNKNOWN_PARENT)
            parent = file.leaf
        else:
            lines = Lines(line, line)
            kept_lines = file.kept(parent)
            file.into.say(ContextDropped(Boundary.PRUNE, lines, at_us, kept_lines=kept_lines, cut=Cut.REWIND))
    kept = file.entries.get(row.text("firstKeptEntryId"))
    compaction = row.text("type") == "compaction"
    left_out = at_us >= _LEFT_OUT_SINCE_US and row.fields("message").text("stopReason") in _BROKEN
    file.entries[entry_id] = _Entry(line, parent, compaction, kept.line if kept and compaction else 0, left_out)
    file.leaf = entry_id


def _entry(file: _File, kind: str, row: Fields, line: int, at_us: int) -> None:
    into, lines = file.into, Lines(line, line)
    if kind == "message":
        _message(file, row.fields("message"), line, at_us)
    elif kind == "compaction":
        kept_lines = _kept(file, row, line)
        into.say(ContextDropped(Boundary.COMPACT, lines, at_us, kept_lines=kept_lines, cut=Cut.COMPACT))
        into.say(Summary(row.text("summary"), lines, at_us))
    elif kind == "branch_summary":
        into.say(Summary(row.text("summary"), lines, at_us))
    elif kind == "custom_message":
        _said(into, *_content(into, row), lines, at_us, harness=True)
    else:
        into.skip(_NO_STATE.get(kind, Skip.UNKNOWN_RECORD))


def _kept(file: _File, row: Fields, line: int) -> frozenset[int]:
    """Lines that a compaction keeps: from its first kept entry on."""
    entry_id = row.text("id")
    if entry_id:
        return file.kept(entry_id) - {line}
    first = row.count("firstKeptEntryIndex")
    if not 0 < first < len(file.index):
        return frozenset()
    return frozenset(range(file.index[first], line))


def _message(file: _File, message: Fields, line: int, at_us: int) -> None:
    into, role, lines = file.into, message.text("role"), Lines(line, line)
    if role == "user":
        _said(into, *_content(into, message), lines, at_us)
    elif role == "assistant":
        _assistant(file, message, line, at_us)
    elif role == "toolResult":
        status = ReturnStatus.ERROR if message.flag("isError") else ReturnStatus.OK
        text, shown = _content(into, message)
        into.result(message.ident("toolCallId"), text, status, line, at_us, shown, message.text("toolName"))
    elif role == "bashExecution":
        if message.flag("excludeFromContext"):
            into.skip(Skip.CUSTOM)
        else:
            _said(into, _ran(message), (), lines, at_us)
    elif role in ("custom", "hookMessage"):
        _said(into, *_content(into, message), lines, at_us, harness=True)
    else:
        into.skip(Skip.UNKNOWN_RECORD if role else Skip.MALFORMED_RECORD)


def _ran(message: Fields) -> str:
    """The text by which pi tells the model of a command that the user ran."""
    output, code, path = message.text("output"), message.ident("exitCode"), message.text("fullOutputPath")
    told = [f"Ran `{message.text('command')}`\n" + (f"```\n{output}\n```" if output else "(no output)")]
    if message.flag("cancelled"):
        told.append("(command cancelled)")
    elif code not in ("", "0"):
        told.append(f"Command exited with code {code}")
    if message.flag("truncated") and path:
        told.append(f"[Output truncated. Full output: {path}]")
    return "\n\n".join(told)


def _said(
    into: Transcript, text: str, shown: tuple[Image, ...], lines: Lines, at_us: int, harness: bool = False
) -> None:
    if text.strip() or shown:
        into.say(UserMessage(text, lines, at_us, harness, shown))
    else:
        into.skip(Skip.EMPTY_MESSAGE)


def _content(into: Transcript, message: Fields) -> tuple[str, tuple[Image, ...]]:
    """The text of a message's content (a string, or text blocks), and its images."""
    if message.is_odd("content"):
        into.skip(Skip.MALFORMED_RECORD)
    texts: list[str] = []
    shown: list[Image] = []
    for block in message.blocks("content"):
        if block.text("type") == "text" and block.is_text("text"):
            texts.append(block.text("text"))
        elif block.text("type") == "image":
            shown.append(images.encoded(block.text("mimeType"), block.text("data")))
        else:
            into.skip(Skip.UNKNOWN_BLOCK)
    return "\n".join(texts), tuple(shown)


def _assistant(file: _File, message: Fields, line: int, at_us: int) -> None:
    texts: list[str] = []
    thinking: list[str] = []
    uses: list[Use] = []
    reason = message.text("stopReason")
    if message.is_odd("content"):
        file.into.skip(Skip.MALFORMED_RECORD)
    for block in message.blocks("content"):
        if block.text("type") == "text" and block.is_text("text"):
            texts.append(block.text("text"))
        elif block.text("type") == "toolCall":
            name, arguments = block.text("name"), block.arguments("arguments")
            uses.append(Use(block.ident("id"), name, arguments, file.cwd, unsent=reason in _BROKEN))
        elif block.text("thinking").strip():
            thinking.append(block.text("thinking"))
        else:
            file.into.skip(Skip.THINKING if block.text("type") == "thinking" else Skip.UNKNOWN_BLOCK)
    usage = message.fields("usage")
    cached, written = usage.count("cacheRead"), usage.count("cacheWrite")
    whole = usage.count("input") + written + cached
    file.into.answer(
        f"line {line}",
        texts=texts,
        uses=uses,
        usage=Usage(whole, cached, usage.count("output"), written),
        line=line,
        at_us=at_us,
        thinking=thinking,
        model=message.text("model"),
        provider=message.text("provider"),
        finish=_FINISH.get(reason, Finish.OTHER) if reason else None,
    )
    leaf = file.entries.get(file.leaf)
    if leaf is not None and leaf.line == line and leaf.left_out and any(text.strip() for text in texts):
        kept_lines = file.kept(file.leaf)
        file.into.say(ContextDropped(Boundary.PRUNE, Lines(line, line), at_us, kept_lines, cut=Cut.REWIND))


def _is_pi(record: Fields) -> bool:
    if record.text("type") == "session":
        return "id" in record and "cwd" in record
    return record.text("type") == "message" and "role" in record.fields("message")


READER: Final = Reader(_File, _record, _sessions, _end)
FORMAT: Final = Format(NAME, parse, tools="pi", is_record=_is_pi, reader=READER)
