"""Claude Code sessions: one JSON object a line; rows of one answer share `message.id`; subagents are nested.

File order is the order of events: parents may come after children and timestamps run backwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.importers.detect import CLAUDE_CODE
from clawvm_es.importers.identity import content_id
from clawvm_es.importers.recording import (
    Lines,
    RecordedBoundary,
    Recording,
    SkillBody,
    Skip,
    Summary,
    Usage,
    UserMessage,
)
from clawvm_es.importers.records import Record, count_of, dict_of, instant, list_of, read_lines, text_of
from clawvm_es.importers.transcript import Transcript, Use
from clawvm_es.model.facts import Boundary, ReturnStatus

_HARNESS = re.compile(r"<command-|<local-command-|<bash-|\[Request interrupted")
_CLEAR: Final = "<command-name>/clear</command-name>"
_SKILL = re.compile(r"Base directory for this skill: ([^\n]*)")

_NO_STATE: Final[Mapping[str, Skip]] = MappingProxyType(
    {
        "file-history-snapshot": Skip.FILE_HISTORY_SNAPSHOT,
        "queue-operation": Skip.QUEUE_OPERATION,
        "summary": Skip.SUMMARY_TITLE,
        "custom-title": Skip.SUMMARY_TITLE,
        "ai-title": Skip.SUMMARY_TITLE,
        "attachment": Skip.ATTACHMENT,
        "pr-link": Skip.PR_LINK,
        "hook_progress": Skip.HOOK_PROGRESS,
        "bash_progress": Skip.BASH_PROGRESS,
        "mcp_progress": Skip.MCP_PROGRESS,
    }
)
_NO_STATE_BLOCKS: Final[Mapping[object, Skip]] = MappingProxyType(
    {"thinking": Skip.THINKING, "redacted_thinking": Skip.THINKING, "image": Skip.IMAGE, "document": Skip.IMAGE}
)


@attrs.define
class _File:
    """The sessions of one file under construction: the main one, and those of subagents by agent id."""

    main: Transcript = attrs.field(factory=Transcript)
    agents: dict[str, Transcript] = attrs.field(factory=dict)
    session_id: str = ""
    seen: set[object] = attrs.field(factory=set)  # uuids; whole lines where a row has none
    sidechains: dict[str, str] = attrs.field(factory=dict)  # uuid of a sidechain row → agent id

    def agent(self, agent_id: str) -> Transcript:
        """The session of a subagent."""
        return self.agents.setdefault(agent_id, Transcript())

    def new(self, key: object, into: Transcript) -> bool:
        """Whether a record is new; one that came before is counted."""
        if key in self.seen:
            into.skip(Skip.DUPLICATE_RECORD)
            return False
        self.seen.add(key)
        return True


def parse(data: bytes, name: str) -> tuple[Recording, ...]:
    """The sessions of a file: the main one first, then those of subagents by first appearance."""
    records, skipped = read_lines(data)
    file = _File()
    file.main.skipped.update(skipped)
    for record in records:
        _record(file, record)
    session_id = file.session_id or content_id("claude", [record.data for record in records])
    main = file.main.recording(session_id, CLAUDE_CODE, name)
    agents = tuple(
        agent.recording(f"{session_id}/agent-{agent_id}", CLAUDE_CODE, name, linked_to=session_id)
        for agent_id, agent in file.agents.items()
    )
    if agents and not main.steps and not main.skipped:
        return agents
    return (main, *agents)


def _record(file: _File, record: Record) -> None:
    row = record.data
    file.session_id = file.session_id or text_of(row.get("sessionId"))
    if row.get("type") == "progress":
        _progress(file, record)
        return
    into = _home(file, row)
    if file.new(text_of(row.get("uuid")) or record.raw, into):
        _row(into, row, record.line, text_of(row.get("cwd")))


def _home(file: _File, row: Mapping[str, object]) -> Transcript:
    """The session that a row belongs to: the main one, or a subagent's for rows of a sidechain."""
    if row.get("isSidechain") is not True:
        return file.main
    uuid, parent = text_of(row.get("uuid")), text_of(row.get("parentUuid"))
    agent_id = text_of(row.get("agentId")) or file.sidechains.get(parent) or uuid[:8] or "sidechain"
    file.sidechains[uuid] = agent_id
    return file.agent(agent_id)


def _progress(file: _File, record: Record) -> None:
    data = dict_of(record.data.get("data"))
    kind, agent_id = text_of(data.get("type")), text_of(data.get("agentId"))
    if kind != "agent_progress" or not agent_id:
        file.main.skip(_NO_STATE.get(kind, Skip.PROGRESS))
        return
    agent, row = file.agent(agent_id), dict_of(data.get("message"))
    if not file.new((agent_id, text_of(row.get("uuid")) or record.raw), agent):
        return
    if "timestamp" not in row:
        row = {**row, "timestamp": record.data.get("timestamp")}
    _row(agent, row, record.line, text_of(record.data.get("cwd")))


def _row(into: Transcript, row: Mapping[str, object], line: int, cwd: str) -> None:
    """One row of a session, whatever it was nested in."""
    kind, at_us = text_of(row.get("type")), instant(row.get("timestamp"), line)
    if kind == "assistant":
        into.began(at_us)
        _assistant(into, row, line, at_us, cwd)
    elif kind == "user":
        into.began(at_us)
        _user(into, row, line, at_us)
    elif kind == "system":
        _system(into, row, line, at_us)
    else:
        into.skip(_NO_STATE.get(kind, Skip.UNKNOWN_RECORD))


def _assistant(into: Transcript, row: Mapping[str, object], line: int, at_us: int, cwd: str) -> None:
    message = dict_of(row.get("message"))
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        into.skip(Skip.MALFORMED_RECORD)
        return
    if message.get("model") == "<synthetic>":
        into.skip(Skip.SYNTHETIC)
        return
    texts: list[str] = []
    uses: list[Use] = []
    for block in map(dict_of, content):
        if block.get("type") == "text":
            texts.append(text_of(block.get("text")))
        elif block.get("type") == "tool_use":
            arguments = block.get("input")
            arguments = arguments if isinstance(arguments, dict) else {"input": arguments}
            uses.append(Use(text_of(block.get("id")), text_of(block.get("name")), arguments, cwd))
        else:
            into.skip(_NO_STATE_BLOCKS.get(block.get("type"), Skip.UNKNOWN_BLOCK))
    key = text_of(message.get("id")) or f"line {line}"
    into.answer(key, texts=texts, uses=uses, usage=_usage(message), line=line, at_us=at_us)


def _usage(message: Mapping[str, object]) -> Usage:
    usage = dict_of(message.get("usage"))
    cached = count_of(usage.get("cache_read_input_tokens"))
    fresh = count_of(usage.get("input_tokens")) + count_of(usage.get("cache_creation_input_tokens"))
    return Usage(fresh + cached, cached, count_of(usage.get("output_tokens")))


def _user(into: Transcript, row: Mapping[str, object], line: int, at_us: int) -> None:
    content = dict_of(row.get("message")).get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        into.skip(Skip.MALFORMED_RECORD)
        return
    texts: list[str] = []
    for block in map(dict_of, content):
        if block.get("type") == "text":
            texts.append(text_of(block.get("text")))
        elif block.get("type") == "tool_result":
            _result(into, row, block, line, at_us)
        else:
            into.skip(_NO_STATE_BLOCKS.get(block.get("type"), Skip.UNKNOWN_BLOCK))
    if texts:
        _prompt(into, row, texts, line, at_us)


def _prompt(into: Transcript, row: Mapping[str, object], texts: list[str], line: int, at_us: int) -> None:
    """The text of a user row: a summary, the harness's own words, a skill, or what the user said."""
    lines, whole = Lines(line, line), "\n".join(texts)
    if row.get("isCompactSummary") is True:
        into.say(Summary(whole, lines, at_us))
        return
    if _HARNESS.match(whole.lstrip()) and _CLEAR in whole:
        into.say(RecordedBoundary(Boundary.RESET, lines, at_us))
        return
    said = [text for text in texts if not _HARNESS.match(text.lstrip())]
    into.skip(Skip.HARNESS_ROW, len(texts) - len(said))
    whole = "\n".join(said)
    skill = _SKILL.match(whole)
    if not said:
        return
    if row.get("isMeta") is not True:
        if whole.strip():
            into.say(UserMessage(whole, lines, at_us))
        else:
            into.skip(Skip.EMPTY_MESSAGE)
    elif skill or row.get("sourceToolUseID"):
        into.say(SkillBody(whole, skill[1] if skill else "skill", lines, at_us))
    else:
        into.skip(Skip.META)


def _result(into: Transcript, row: Mapping[str, object], block: Mapping[str, object], line: int, at_us: int) -> None:
    content, texts = block.get("content"), []
    if isinstance(content, str):
        texts.append(content)
    for item in map(dict_of, list_of(content)):
        if item.get("type") == "text":
            texts.append(text_of(item.get("text")))
        else:
            into.skip(_NO_STATE_BLOCKS.get(item.get("type"), Skip.UNKNOWN_BLOCK))
    text = "\n".join(texts)
    told = dict_of(row.get("toolUseResult"))
    if told.get("interrupted") is True or text.startswith("[Request interrupted"):
        status = ReturnStatus.INTERRUPTED
    else:
        status = ReturnStatus.ERROR if block.get("is_error") is True else ReturnStatus.OK
    into.result(text_of(block.get("tool_use_id")), text, status, line, at_us)


def _system(into: Transcript, row: Mapping[str, object], line: int, at_us: int) -> None:
    lines, subtype = Lines(line, line), row.get("subtype")
    if subtype == "compact_boundary":
        into.say(RecordedBoundary(Boundary.COMPACT, lines, at_us))
    elif subtype == "microcompact_boundary":
        into.flush()
        named = list_of(dict_of(row.get("microcompactMetadata")).get("compactedToolIds"))
        dropped = into.calls_of([text_of(call_id) for call_id in named])
        into.say(RecordedBoundary(Boundary.PRUNE, lines, at_us, dropped_calls=dropped))
    elif subtype == "local_command" and _CLEAR in text_of(row.get("content")):
        into.say(RecordedBoundary(Boundary.RESET, lines, at_us))
    else:
        into.skip(Skip.SYSTEM_NOTICE)
