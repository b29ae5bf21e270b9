"""One agent run of Claude Code: turn its rows, in file order, into steps.

Every `user` row reached the model, except rows that only the transcript shows. Of other rows, only those handled in
this module did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.importers import claude_attachments as attachments
from clawvm_es.importers import claude_blocks as blocks
from clawvm_es.importers import images
from clawvm_es.importers.claude_micro import IMAGE_TOKENS, Results, rough
from clawvm_es.importers.claude_queue import Queue
from clawvm_es.importers.claude_restored import Files
from clawvm_es.importers.claude_text import CLEAR, Part, Said, part_of
from clawvm_es.importers.claude_tree import LAST, Tree
from clawvm_es.importers.merging import Use
from clawvm_es.importers.recording import Skip
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import Boundary, Cut, ReturnStatus, ToldBy
from clawvm_es.observe.fields import Fields
from clawvm_es.observe.steps import (
    ContextDropped,
    FileShown,
    Image,
    Lines,
    SkillLoaded,
    Step,
    Summary,
    Usage,
    UserMessage,
)

NO_STATE: Final[Mapping[str, Skip]] = MappingProxyType(
    {
        **dict.fromkeys(("file-history-snapshot", "file-history-delta"), Skip.FILE_HISTORY_SNAPSHOT),
        **dict.fromkeys(("summary", "custom-title", "ai-title", "task-summary", "result"), Skip.SUMMARY_TITLE),
        **dict.fromkeys(("tag", "last-prompt", "agent-name", "agent-color", "bridge-session"), Skip.LABEL),
        **dict.fromkeys(
            ("mode", "permission-mode", "agent-setting", "worktree-state", "atis-latch"), Skip.SETTING_CHANGE
        ),
        **dict.fromkeys(("tool_progress", "stream_event", "tool_use_summary", "keep_alive"), Skip.PROGRESS),
        **dict.fromkeys(("attribution-snapshot", "marble-origami-snapshot"), Skip.CUSTOM),
        **dict.fromkeys(
            ("rate_limit_event", "auth_status", "prompt_suggestion", "cost-state", "speculation-accept"),
            Skip.SYSTEM_NOTICE,
        ),
        **dict.fromkeys(("api-request", "api-request-blob", "api-request-shape", "tools-used"), Skip.MIRRORED),
        "pr-link": Skip.PR_LINK,
        "hook_progress": Skip.HOOK_PROGRESS,
        "bash_progress": Skip.BASH_PROGRESS,
        "mcp_progress": Skip.MCP_PROGRESS,
    }
)
"""Rows that hold nothing the model saw, by type (of progress rows that of their data), and why they are counted."""
_BY_PEOPLE: Final = ("", "human")
"""Origins of rows that are the user's own words."""
RESUMED: Final = "No response requested."
"""The answer that Claude Code makes up where it resumes a session."""


@attrs.frozen
class Row:
    """A row and its place."""

    data: Fields
    line: int
    at_us: int
    cwd: str = ""

    @property
    def lines(self) -> Lines:
        """Its line."""
        return Lines(self.line, self.line)

    @property
    def uuid(self) -> str:
        """Its id."""
        return self.data.text("uuid")

    @property
    def parent(self) -> str | None:
        """The id of the row that it hangs on; None for the root."""
        return parent_of(self.data)


def parent_of(data: Fields) -> str | None:
    """The id of the row that a row hangs on; None for the root."""
    return (data.text("parentUuid") or None) if "parentUuid" in data else LAST


@attrs.define
class Run:
    """The steps of one agent run being built, its tree of rows, and its queue of prompts."""

    into: Transcript = attrs.field(factory=lambda: Transcript(cumulative=True))
    tree: Tree = attrs.field(factory=Tree)
    queue: Queue = attrs.field(factory=Queue)
    results: Results = attrs.field(factory=Results)
    files: Files = attrs.field(factory=Files)
    told: int = 0  # rows that were its own, and not shown by progress of another
    cwd: str = ""
    compacted: bool = False  # a boundary came, and its summary has not
    resumed: str = ""  # the row that says that the session was resumed, until an answer comes
    stubs: dict[str, str] = attrs.field(factory=dict)  # calls → what the model saw in place of their results
    commands: dict[str, str] = attrs.field(factory=dict)  # rows of slash commands → the command
    seen: dict[str | bytes, str] = attrs.field(factory=dict)  # ids of rows, digests of what they say → the first id

    def take(self, data: Fields, line: int, cwd: str = "") -> None:
        """Take one row, at any depth of nesting."""
        self.into.line = line
        row = Row(data, line, self.into.instant(data, "timestamp", line), cwd or data.text("cwd") or self.cwd)
        kind = data.text("type")
        self.tree.hung(row.uuid, row.parent)
        if kind == "assistant":
            self.into.began(row.at_us, row.cwd)
            self._assistant(row)
        elif kind == "user":
            self.into.began(row.at_us, row.cwd)
            self._user(row)
        elif kind == "system":
            self._system(row)
        elif kind == "attachment":
            self._attachment(row)
        elif kind == "queue-operation":
            self._queued(row)
        elif kind == "content-replacement":
            self._replaced(row)
        elif kind == "marble-origami-commit":
            told = [data.text(f"{end}ArchivedUuid") for end in ("first", "last")]
            self._took_rows(row, self.tree.segment(*told), data.text("summaryContent") or data.text("summary"))
        else:
            self.into.skip(NO_STATE.get(kind, Skip.UNKNOWN_RECORD))

    def new(self, row: Fields, raw: bytes) -> bool:
        """Tell whether a row is new; a repetition, by id or as a copy, is counted."""
        uuid = row.text("uuid")
        keys = [key for key in (uuid or _digest(raw), _copied(row)) if key]
        first = next((self.seen[key] for key in keys if key in self.seen), None)
        if first is None:
            self.seen.update(dict.fromkeys(keys, uuid))
            return True
        self.into.skip(Skip.DUPLICATE_RECORD)
        self.tree.copied(uuid, first)
        return False

    def end(self) -> None:
        """Count parents that were never rows; the first row's parent may be in another file."""
        for unit, line in self.tree.awaited.values():
            if unit > 1 and self.told:
                self.into.skipped.add(Skip.UNKNOWN_PARENT, line)

    # ------------------------------------------------------------------------------------------ answers

    def _assistant(self, row: Row) -> None:
        message = row.data.fields("message")
        if not (message.is_list("content") or message.is_text("content")):
            self.into.skip(Skip.MALFORMED_RECORD)
            return
        if message.text("model") == "<synthetic>" or row.data.flag("isApiErrorMessage"):
            self.into.skip(Skip.SYNTHETIC)
            if any(blocks.text_of(block) == RESUMED for block in message.blocks("content")):
                self.resumed = row.uuid
            if self.tree.follows(row.parent):
                self.tree.join(row.uuid, row.line, parent=row.parent)
            else:
                self._begin(row)
            return
        said = blocks.answer(message, row.cwd)
        for reason, times in said.skipped.items():
            self.into.skip(reason, times)
        key, model = message.text("id") or f"line {row.line}", message.text("model")
        usage = blocks.usage(message.fields("usage"))
        new = key not in self.tree.answers
        self._place_answer(row, key, said.uses)
        if new and usage.input_tokens:
            self._compare(row, usage, model)
        for use in said.uses:
            self.results.called(use.call_id, use.name)
        self._came(rough("".join((*said.texts, *(str(use.arguments) for use in said.uses)))))
        self.compacted = False
        self.into.answer(
            key,
            texts=said.texts,
            uses=said.uses,
            usage=usage,
            line=row.line,
            at_us=row.at_us,
            thinking=said.thinking,
            model=model,
            finish=blocks.finish(message.text("stop_reason")),
        )
        for call_id, text in said.results:
            self.into.result(call_id, text, ReturnStatus.OK, row.line, row.at_us)

    def _place_answer(self, row: Row, key: str, uses: Sequence[Use]) -> None:
        unit = self.tree.answers.get(key)
        if unit is not None:
            self.tree.join(row.uuid, row.line, unit)
        else:
            self._begin(row)
            unit = self.tree.answers[key] = self.tree.leaf
        self.tree.calls.update((use.call_id, unit) for use in uses if use.call_id)

    def _begin(self, row: Row) -> None:
        """Begin a unit of the tree; unless its parent is the newest unit, the context becomes the parent's path."""
        stands = self.tree.begin(row.uuid, row.line, row.parent)
        if stands is not None:
            self._drop(row, Boundary.PRUNE, Cut.REWIND, stands)

    def _came(self, tokens: int, call_id: str = "") -> None:
        """Note text that came into the context, by the harness's count; a result if `call_id` names its call."""
        self.results.came(tokens, call_id)
        self.files.grown += tokens

    def _compare(self, row: Row, usage: Usage, model: str) -> None:
        """Compare prompt sizes of answers, to infer results that left or returned and files that came."""
        lines = Lines(self.files.line, self.files.line)
        for path, text in self.files.asked(usage.input_tokens, model).items():
            self.into.say(FileShown(text, path, lines, row.at_us, told_by=ToldBy.COUNTS))
        fallen = self.results.fallen(usage.input_tokens, model)
        left = self.results.left(usage.input_tokens, model, self.tree.standing)
        if self.resumed and not left:
            left = self.results.lost(usage.input_tokens, model, self.tree.aside(self.resumed))
        self.resumed = ""
        returned = () if left else self.results.returned(usage.input_tokens, model)
        self.results.answered(usage.input_tokens, model)
        if not (left or returned):
            if self.files.left(fallen):
                self._lost_files(row)
            return
        self.tree.took_out(left)
        self.tree.put_back(returned)
        self.into.flush()
        dropped = self.into.calls_of(left)
        standing = self.tree.standing() if returned else ()
        again = self.into.calls_of([call_id for call_id in returned if call_id in standing])
        if dropped or again:
            self._inferred(row, frozenset(), dropped, again)

    def _lost_files(self, row: Row) -> None:
        """Note that the files shown again by a compaction left; everything else stays."""
        self.tree.lost(self.files.line)
        self._inferred(row, self.tree.context())

    def _inferred(
        self, row: Row, kept: frozenset[int], dropped: tuple[int, ...] = (), again: tuple[int, ...] = ()
    ) -> None:
        """Add an inferred cut: the lines that stay, or the calls whose results left or returned."""
        lines, at_us = row.lines, row.at_us
        self.into.say(
            ContextDropped(Boundary.PRUNE, lines, at_us, kept, dropped, again, Cut.MICRO, told_by=ToldBy.COUNTS)
        )

    # -------------------------------------------------------------------------------- prompts and results

    def _user(self, row: Row) -> None:
        message = row.data.fields("message")
        if not (message.is_list("content") or message.is_text("content")):
            self.into.skip(Skip.MALFORMED_RECORD)
            return
        texts: list[str] = []
        shown: list[Image] = []
        results: list[Fields] = []
        for block in message.blocks("content"):
            if block.text("type") == "tool_result":
                results.append(block)
            elif (text := blocks.text_of(block)) is not None:
                texts.append(text)
            elif block.text("type") in images.BLOCKS:
                shown.append(images.of_block(block))
            else:
                self.into.skip(Skip.UNKNOWN_BLOCK)
        if results:
            self._results(row, results)
            self.files.touched(row.data.fields("toolUseResult"))
        self._came(rough("".join(texts)) + IMAGE_TOKENS * len(shown))
        if texts or shown:
            self._said(row, texts, tuple(shown), placed=bool(results))

    def _results(self, row: Row, results: Sequence[Fields]) -> None:
        """Take results. They belong to the answer with their calls; those of an abandoned answer reach no context."""
        stands = True
        for block in results:
            stands &= self.tree.result(block.ident("tool_use_id"), row.uuid, row.line, row.parent)
            result = blocks.result(block, row.data.fields("toolUseResult"))
            for reason, times in result.skipped.items():
                self.into.skip(reason, times)
            call_id = block.ident("tool_use_id")
            if call_id in self.stubs:
                result = attrs.evolve(result, text=self.stubs[call_id], images=())
            self._came(rough(result.text) + IMAGE_TOKENS * len(result.images), call_id)
            self.into.result(call_id, result.text, result.status, row.line, row.at_us, result.images)
        if not stands:
            self.into.flush()
            self._drop(row, Boundary.PRUNE, Cut.REWIND, self.tree.context())

    def _said(self, row: Row, texts: Sequence[str], shown: tuple[Image, ...], placed: bool) -> None:
        """Take the texts of a user row: a summary, the harness's own words, a skill, or the user's words."""
        if row.data.flag("isCompactSummary"):
            self._summary(row, "\n".join(texts))
            return
        if row.data.flag("isVisibleInTranscriptOnly"):
            self.tree.join(row.uuid, row.line, parent=row.parent)
            self.into.skip(Skip.META)
            return
        parts = [part_of(text) for text in texts]
        if row.data.fields("origin").text("kind") not in _BY_PEOPLE:
            parts = [attrs.evolve(part, said=Said.HARNESS) for part in parts]
        if any(part.name == CLEAR for part in parts):
            self._cleared(row)
            return
        meta = row.data.flag("isMeta")
        if meta or placed:
            self.tree.join(row.uuid, row.line, parent=row.parent)
        else:
            self._begin(row)
            self.compacted = False
        if row.uuid and (command := next((part.name for part in parts if part.name), "")):
            self.commands[row.uuid] = command
        steps = self._meta(row, texts) if meta else _steps(parts, row)
        if not (steps or shown):
            self.into.skip(Skip.EMPTY_MESSAGE)
        if shown:
            steps.append(UserMessage("", row.lines, row.at_us, meta, shown))
        for step in steps:
            self.into.say(step)

    def _meta(self, row: Row, texts: Sequence[str]) -> list[Step]:
        """Take a row of the harness: the body of a skill or of a slash command, or its own words."""
        whole = "\n".join(texts)
        skill = blocks.SKILL.match(whole)
        command = self.commands.get(row.data.text("parentUuid"), "")
        if not whole.strip():
            return []
        if skill or command or row.data.text("sourceToolUseID"):
            return [SkillLoaded(whole, skill[1] if skill else command or "skill", row.lines, row.at_us)]
        return [UserMessage(whole, row.lines, row.at_us, harness=True)]

    # ------------------------------------------------------------------------------------- boundaries

    def _summary(self, row: Row, text: str) -> None:
        """Take a summary of what a compaction dropped; the compaction may have no row of its own."""
        if self.compacted:
            self.tree.join(row.uuid, row.line)
        else:
            self._drop(row, Boundary.COMPACT, Cut.COMPACT, self.tree.cut(row.uuid, row.line))
            self._came(rough(text))
        self.compacted = False
        self.into.say(Summary(text, row.lines, row.at_us))

    def _cleared(self, row: Row) -> None:
        self.tree.cut(row.uuid, row.line)
        self._drop(row, Boundary.RESET, Cut.CLEAR)

    def _drop(self, row: Row, boundary: Boundary, cut: Cut, kept: frozenset[int] = frozenset()) -> None:
        """Reduce the context to what was kept; the provider's counts before and after are not compared."""
        self.results.changed(() if cut is Cut.REWIND else tuple(self.results.out))
        if cut is Cut.COMPACT:
            self.files.compacted(row.line, keeps=bool(kept), apart=row.data.text("type") == "system")
        elif cut is Cut.CLEAR:
            self.files = Files()
        self.into.say(ContextDropped(boundary, row.lines, row.at_us, kept, cut=cut))

    def _system(self, row: Row) -> None:
        subtype = row.data.text("subtype")
        if subtype == "compact_boundary":
            kept = self.tree.cut(row.uuid, row.line, self._preserved(row.data))
            self.compacted = True
            self._drop(row, Boundary.COMPACT, Cut.COMPACT, kept)
            return
        if subtype == "init":
            self.cwd = row.data.text("cwd") or self.cwd
        if subtype == "microcompact_boundary":
            self.tree.join(row.uuid, row.line, parent=row.parent)
            self._micro(row)
        elif subtype == "snip_boundary":
            self._took_rows(row, row.data.fields("snipMetadata").texts("removedUuids"))
        elif subtype == "local_command":
            self._local(row)
        else:
            self.tree.join(row.uuid, row.line, parent=row.parent)
            self.into.skip(Skip.SYSTEM_NOTICE)

    def _preserved(self, data: Fields) -> Sequence[str]:
        """The rows that a compaction kept."""
        told = data.fields("compactMetadata") or data.fields("compact_metadata")
        kept = told.fields("preservedMessages") or told.fields("preserved_messages")
        if kept.is_list("uuids"):
            return kept.texts("uuids")
        segment = told.fields("preservedSegment") or told.fields("preserved_segment")
        head, tail = (segment.text(f"{end}Uuid") or segment.text(f"{end}_uuid") for end in ("head", "tail"))
        return self.tree.segment(head, tail)

    def _micro(self, row: Row) -> None:
        self.into.flush()
        self._took_results(row, row.data.fields("microcompactMetadata").texts("compactedToolIds"))

    def _took_results(self, row: Row, call_ids: Sequence[str]) -> None:
        """Take the results of calls out of the context."""
        self.tree.took_out(call_ids)
        self.results.changed(call_ids)
        dropped = self.into.calls_of(call_ids)
        self.into.say(ContextDropped(Boundary.PRUNE, row.lines, row.at_us, dropped_calls=dropped, cut=Cut.MICRO))

    def _replaced(self, row: Row) -> None:
        """Take stubs that the model saw in place of results, whose rows have the whole text."""
        for told in row.data.objects("replacements"):
            call_id, text = told.text("toolUseId"), told.text("replacement")
            if not (call_id and told.is_text("replacement")):
                self.into.skip(Skip.CUSTOM)
                continue
            self.stubs[call_id] = text
            before = self.into.replace(call_id, text)
            if before is not None:
                tokens = rough(text) - rough(before)
                self.results.replaced(call_id, tokens)
                self.files.grown += tokens
            elif call_id in self.tree.standing():
                self._took_results(row, [call_id])
                self.into.say(UserMessage(text, row.lines, row.at_us, harness=True))

    def _took_rows(self, row: Row, uuids: Sequence[str], summary: str = "") -> None:
        """Remove rows from the context, and add the summary that replaces them, if there is one."""
        self.into.flush()
        self.tree.join(row.uuid, row.line, parent=row.parent)
        if not self.tree.took_rows(uuids):
            self.into.skip(Skip.UNKNOWN_PARENT)
            return
        kept = self.tree.context()
        self.results.changed()
        self.into.say(ContextDropped(Boundary.PRUNE, row.lines, row.at_us, kept, cut=Cut.MICRO))
        if summary.strip():
            self.into.say(Summary(summary, row.lines, row.at_us))

    def _local(self, row: Row) -> None:
        """Take a command that Claude Code ran itself: the model sees its name and its output."""
        part = part_of(row.data.text("content"))
        if part.name == CLEAR:
            self._cleared(row)
            return
        self.tree.join(row.uuid, row.line, parent=row.parent)
        if part.text.strip():
            self.into.say(UserMessage(part.text, row.lines, row.at_us, part.said is not Said.COMMAND))
        else:
            self.into.skip(Skip.SYSTEM_NOTICE)

    # ------------------------------------------------------------------------- attachments and the queue

    def _attachment(self, row: Row) -> None:
        attachment = row.data.fields("attachment")
        self.tree.join(row.uuid, row.line, parent=row.parent)
        if attachments.unseen(attachment):
            self.into.skip(Skip.ATTACHMENT)
            return
        if attachment.text("type") == attachments.QUEUED and (text := attachments.queued(attachment)):
            self._mid_turn(row, self.queue.show(text))
            return
        self._came(rough("".join(attachments.said(attachment.raw))))
        steps = attachments.steps(row.data, row.lines, row.at_us)
        if any(isinstance(step, FileShown) for step in steps):
            self.files.waiting = {}  # a version whose rows tell what a compaction shows again
        self.into.skip(Skip.EMPTY_MESSAGE, not steps)
        for step in steps:
            self.into.aside(step)

    def _queued(self, row: Row) -> None:
        content = "\n".join(block.text("text") for block in row.data.blocks("content"))
        text = self.queue.did(row.data.text("operation"), content, row.data.text("reason"))
        if text is None:
            self.into.skip(Skip.QUEUE_OPERATION)
        else:
            self._mid_turn(row, text)

    def _mid_turn(self, row: Row, text: str | None) -> None:
        """A prompt that the user typed while the model worked; None if it was already taken."""
        if text is None:
            self.into.skip(Skip.DUPLICATE_RECORD)
            return
        self.tree.join(row.uuid, row.line, parent=row.parent)
        for step in _steps([part_of(text)], row):
            self.into.aside(step)


def _steps(parts: Sequence[Part], row: Row) -> list[Step]:
    """Texts of one row as steps, in order; consecutive texts of one author are joined."""
    joined: list[tuple[bool, list[str]]] = []
    for part in parts:
        harness = part.said is Said.HARNESS
        if not part.text.strip():
            continue
        if joined and joined[-1][0] is harness:
            joined[-1][1].append(part.text)
        else:
            joined.append((harness, [part.text]))
    return [UserMessage("\n".join(texts), row.lines, row.at_us, harness) for harness, texts in joined]


def _copied(row: Fields) -> bytes:
    """A digest that recognises copies of a user's row, as a resume writes them: its content and its time."""
    if row.text("type") != "user" or not row.text("timestamp"):
        return b""
    said = [part for block in row.fields("message").blocks("content") for part in _block_key(block)]
    text = "\0".join((row.text("timestamp"), str(row.flag("isMeta")), *said))
    return _digest(text.encode("utf-8", "surrogatepass"))


def _block_key(block: Fields) -> tuple[str, ...]:
    other = "" if block.is_text("content") else repr(block.raw.get("content") or block.raw.get("source"))
    return (block.text("type"), block.ident("tool_use_id"), block.text("text"), block.text("content"), other)


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
