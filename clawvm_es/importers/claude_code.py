"""Claude Code sessions: one JSON object a line; rows of one answer share `message.id`; subagents are nested.

File order is the order of events: parents may come after children and timestamps run backwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.importers import images
from clawvm_es.importers.format import Format, Part, Reader
from clawvm_es.importers.identity import content_id
from clawvm_es.importers.merging import Use
from clawvm_es.importers.recording import Recording, Skip
from clawvm_es.importers.records import Record, read_lines
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import Boundary, Cut, Finish, ReturnStatus
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.steps import ContextDropped, Image, Lines, SkillLoaded, Summary, Usage, UserMessage

NAME: Final = "claude_code"
_THINKING: Final = frozenset(("thinking", "redacted_thinking"))

_CLAUDE_TYPES: Final = frozenset(
    ("user", "assistant", "system", "progress", "summary", "file-history-snapshot", "queue-operation", "attachment")
)
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
_FINISH: Final[Mapping[str, Finish]] = MappingProxyType(
    {
        "end_turn": Finish.STOP,
        "stop_sequence": Finish.STOP,
        "tool_use": Finish.TOOL_CALLS,
        "max_tokens": Finish.LENGTH,
        "refusal": Finish.REFUSAL,
    }
)


@attrs.define
class _File:
    """The sessions of one file under construction: the main one, and those of subagents by agent id."""

    main: Transcript = attrs.field(factory=lambda: Transcript(cumulative=True))
    agents: dict[str, Transcript] = attrs.field(factory=dict)
    session_id: str = ""
    seen: set[object] = attrs.field(factory=set)  # uuids; whole lines where a row has none
    sidechains: dict[str, str] = attrs.field(factory=dict)  # uuid of a sidechain row → agent id

    def agent(self, agent_id: str) -> Transcript:
        """The session of a subagent."""
        agent = self.agents.setdefault(agent_id, Transcript(cumulative=True))
        agent.line = self.main.line
        return agent

    def new(self, key: object, into: Transcript) -> bool:
        """Tell whether a record is new; one that came before is counted."""
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
    session_id = file.session_id or content_id("claude", [record.data.raw for record in records])
    main = file.main.recording(session_id, NAME, name)
    agents = tuple(
        agent.recording(f"{session_id}/agent-{agent_id}", NAME, name, linked_to=session_id)
        for agent_id, agent in file.agents.items()
    )
    if agents and not main.steps and not main.skipped:
        return agents
    return (main, *agents)


def _sessions(file: _File) -> Sequence[Part]:
    """The sessions of a file so far."""
    main = Part(file.session_id, file.main)
    agents = [
        Part(file.session_id and f"{file.session_id}/agent-{agent_id}", agent, file.session_id)
        for agent_id, agent in file.agents.items()
    ]
    alone = agents and file.main.began_us is None and not file.main.skipped.counts
    return agents if alone else [main, *agents]


def _record(file: _File, record: Record) -> None:
    row = record.data
    file.main.line = record.line
    file.session_id = file.session_id or row.text("sessionId")
    if row.text("type") == "progress":
        _progress(file, record)
        return
    into = _home(file, row)
    if file.new(row.text("uuid") or record.raw, into):
        _row(into, row, record.line, row.text("cwd"))


def _home(file: _File, row: Fields) -> Transcript:
    """The session that a row belongs to: the main one, or a subagent's for rows of a sidechain."""
    if not row.flag("isSidechain"):
        return file.main
    uuid, parent = row.text("uuid"), row.text("parentUuid")
    agent_id = row.text("agentId") or file.sidechains.get(parent) or uuid[:8] or "sidechain"
    file.sidechains[uuid] = agent_id
    return file.agent(agent_id)


def _progress(file: _File, record: Record) -> None:
    data = record.data.fields("data")
    kind, agent_id = data.text("type"), data.text("agentId")
    if kind != "agent_progress" or not agent_id:
        file.main.skip(_NO_STATE.get(kind, Skip.PROGRESS))
        return
    agent, row = file.agent(agent_id), data.fields("message")
    if not file.new((agent_id, row.text("uuid") or record.raw), agent):
        return
    if "timestamp" not in row:
        row = Fields({**row.raw, "timestamp": record.data.raw.get("timestamp")})
    _row(agent, row, record.line, record.data.text("cwd"))


def _row(into: Transcript, row: Fields, line: int, cwd: str) -> None:
    """One row of a session, whatever it was nested in."""
    kind, at_us = row.text("type"), row.instant("timestamp", line)
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


def _assistant(into: Transcript, row: Fields, line: int, at_us: int, cwd: str) -> None:
    message = row.fields("message")
    if not (message.is_list("content") or message.is_text("content")):
        into.skip(Skip.MALFORMED_RECORD)
        return
    if message.text("model") == "<synthetic>":
        into.skip(Skip.SYNTHETIC)
        return
    texts: list[str] = []
    thinking: list[str] = []
    uses: list[Use] = []
    for block in message.blocks("content"):
        if block.text("type") == "text" and block.is_text("text"):
            texts.append(block.text("text"))
        elif block.text("type") == "tool_use":
            uses.append(Use(block.ident("id"), block.text("name"), block.arguments("input"), cwd))
        elif block.text("thinking").strip():
            thinking.append(block.text("thinking"))
        else:
            into.skip(Skip.THINKING if block.text("type") in _THINKING else Skip.UNKNOWN_BLOCK)
    into.answer(
        message.text("id") or f"line {line}",
        texts=texts,
        uses=uses,
        usage=_usage(message),
        line=line,
        at_us=at_us,
        thinking=thinking,
        model=message.text("model"),
        finish=_finish(message.text("stop_reason")),
    )


def _finish(reason: str) -> Finish | None:
    return _FINISH.get(reason, Finish.OTHER) if reason else None


def _usage(message: Fields) -> Usage:
    usage = message.fields("usage")
    cached, written = usage.count("cache_read_input_tokens"), usage.count("cache_creation_input_tokens")
    whole = usage.count("input_tokens") + written + cached
    return Usage(whole, cached, usage.count("output_tokens"), written)


def _user(into: Transcript, row: Fields, line: int, at_us: int) -> None:
    message = row.fields("message")
    if not (message.is_list("content") or message.is_text("content")):
        into.skip(Skip.MALFORMED_RECORD)
        return
    texts: list[str] = []
    shown: list[Image] = []
    for block in message.blocks("content"):
        if block.text("type") == "text" and block.is_text("text"):
            texts.append(block.text("text"))
        elif block.text("type") == "tool_result":
            _result(into, row, block, line, at_us)
        elif block.text("type") in images.BLOCKS:
            shown.append(images.of_block(block))
        else:
            into.skip(Skip.UNKNOWN_BLOCK)
    if texts or shown:
        _prompt(into, row, texts, shown, line, at_us)


def _prompt(into: Transcript, row: Fields, texts: list[str], shown: list[Image], line: int, at_us: int) -> None:
    """The text of a user row: a summary, the harness's own words, a skill, or what the user said."""
    lines, whole = Lines(line, line), "\n".join(texts)
    if row.flag("isCompactSummary"):
        into.say(Summary(whole, lines, at_us))
        return
    if _HARNESS.match(whole.lstrip()) and _CLEAR in whole:
        into.say(ContextDropped(Boundary.RESET, lines, at_us, cut=Cut.CLEAR))
        return
    said = [text for text in texts if not _HARNESS.match(text.lstrip())]
    into.skip(Skip.HARNESS_ROW, len(texts) - len(said))
    whole = "\n".join(said)
    skill = _SKILL.match(whole)
    if not (said or shown):
        return
    if shown or not row.flag("isMeta"):
        if whole.strip() or shown:
            into.say(UserMessage(whole, lines, at_us, row.flag("isMeta"), tuple(shown)))
        else:
            into.skip(Skip.EMPTY_MESSAGE)
    elif skill or row.text("sourceToolUseID"):
        into.say(SkillLoaded(whole, skill[1] if skill else "skill", lines, at_us))
    else:
        into.skip(Skip.META)


def _result(into: Transcript, row: Fields, block: Fields, line: int, at_us: int) -> None:
    texts: list[str] = []
    shown: list[Image] = []
    for item in block.blocks("content"):
        if item.text("type") == "text" and item.is_text("text"):
            texts.append(item.text("text"))
        elif item.text("type") in images.BLOCKS:
            shown.append(images.of_block(item))
        else:
            into.skip(Skip.UNKNOWN_BLOCK)
    text = "\n".join(texts)
    told = row.fields("toolUseResult")
    if told.flag("interrupted") or text.startswith("[Request interrupted"):
        status = ReturnStatus.INTERRUPTED
    else:
        status = ReturnStatus.ERROR if block.flag("is_error") else ReturnStatus.OK
    into.result(block.ident("tool_use_id"), text, status, line, at_us, shown)


def _system(into: Transcript, row: Fields, line: int, at_us: int) -> None:
    lines, subtype = Lines(line, line), row.text("subtype")
    if subtype == "compact_boundary":
        into.say(ContextDropped(Boundary.COMPACT, lines, at_us, cut=Cut.COMPACT))
    elif subtype == "microcompact_boundary":
        into.flush()
        dropped = into.calls_of(row.fields("microcompactMetadata").texts("compactedToolIds"))
        into.say(ContextDropped(Boundary.PRUNE, lines, at_us, dropped_calls=dropped, cut=Cut.MICRO))
    elif subtype == "local_command" and _CLEAR in row.text("content"):
        into.say(ContextDropped(Boundary.RESET, lines, at_us, cut=Cut.CLEAR))
    else:
        into.skip(Skip.SYSTEM_NOTICE)


def _is_claude_code(record: Fields) -> bool:
    if record.text("type") not in _CLAUDE_TYPES:
        return False
    return any(key in record for key in ("sessionId", "leafUuid", "snapshot")) or (
        "uuid" in record and "message" in record
    )


FORMAT: Final = Format(
    NAME, parse, tools="claude_code", is_record=_is_claude_code, reader=Reader(_File, _record, _sessions)
)
