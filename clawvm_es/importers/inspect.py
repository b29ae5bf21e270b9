"""Inspect logs, as JSON or as an `.eval` archive: one session per sample; line numbers count messages from 1.

A model event holds the prompt and the answer of a call; `attachment://` names a text of the sample. Calls that share
no message with the conversation (of graders and subagents) are only counted. A log without events has only messages.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.errors import UnreadableInput
from clawvm_es.importers import images
from clawvm_es.importers.document import read_document, recordings
from clawvm_es.importers.format import Format
from clawvm_es.importers.identity import content_id
from clawvm_es.importers.merging import Use
from clawvm_es.importers.packed import archived
from clawvm_es.importers.prompts import Conversation, Message, Told
from clawvm_es.importers.recording import Recording, Skip, Skips
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import Finish, ReturnStatus
from clawvm_es.observe.fields import Fields, arguments_of, text_of
from clawvm_es.observe.steps import Image, Usage

NAME: Final = "inspect"
_ZIP: Final = b"PK\x03\x04"
_SAMPLES: Final = re.compile(r"samples/[^/]+\.json")

_ATTACHMENT = re.compile(r"(?:attachment|tc)://([0-9a-f]{32,64})")
_MEDIA: Final = frozenset(("image", "audio", "video", "document"))
_FINISH: Final[Mapping[str, Finish]] = MappingProxyType(
    {
        "stop": Finish.STOP,
        "tool_calls": Finish.TOOL_CALLS,
        "max_tokens": Finish.LENGTH,
        "model_length": Finish.LENGTH,
        "content_filter": Finish.REFUSAL,
    }
)


@attrs.define
class _Sample:
    """One sample being built, and the texts that its messages name."""

    attachments: Fields
    talk: Conversation = attrs.field(factory=Conversation)


def parse(data: bytes, name: str) -> tuple[Recording, ...]:
    """The sessions of a log, one per sample. Raises `UnreadableInput` if it is damaged, or holds none."""
    skipped = Skips()
    found = _archive(data, name, skipped) if data.startswith(_ZIP) else _log(data, name, skipped)
    sessions = [(_session_id(each, run), _session(each)) for run, each in found]
    if not sessions:
        raise UnreadableInput(f"{name}: holds no samples of Inspect", hint="log them, or leave --format out")
    return recordings(sessions, skipped, NAME, name)


def _log(data: bytes, name: str, skipped: Skips) -> list[tuple[str, Fields]]:
    log = Fields.of(read_document(data, name))
    run = _run(log)
    samples = [(run, each) for each in log.objects("samples") if each.is_list("messages")]
    if missing := len(log.objects("samples")) - len(samples):
        skipped.add(Skip.MALFORMED_RECORD, times=missing)
    return samples


def _archive(data: bytes, name: str, skipped: Skips) -> list[tuple[str, Fields]]:
    """The samples of an archive; a sample that is not JSON is counted, and the others are read."""
    run = ""
    samples: list[Fields] = []
    for entry, content in archived(data, name, lambda entry: bool(_SAMPLES.fullmatch(entry)) or entry in _HEADERS):
        try:
            value = Fields.of(read_document(content, name))
        except UnreadableInput:
            value = Fields()
        if entry in _HEADERS:
            run = run or _run(value)
        elif value.is_list("messages"):
            samples.append(value)
        else:
            skipped.add(Skip.MALFORMED_RECORD)
    return [(run, each) for each in samples]


_HEADERS: Final = ("header.json", "_journal/start.json")


def _run(log: Fields) -> str:
    described = log.fields("eval")
    return described.text("eval_id") or described.text("run_id") or described.text("created")


def _session_id(sample: Fields, run: str) -> str:
    """The id of a sample's run, which newer logs record; else a digest of run, sample and first message."""
    if re.fullmatch(r"[\w-]{8,64}", sample.text("uuid")):
        return f"inspect-{sample.text('uuid')}"
    place = [run, sample.raw.get("id"), sample.raw.get("epoch"), *sample.objects("messages")[:1]]
    return content_id("inspect", [each.raw if isinstance(each, Fields) else each for each in place])


# ------------------------------------------------------------------------------------------------ a sample


def _session(sample: Fields) -> Transcript:
    state = _Sample(sample.fields("attachments"))
    messages = [_message(state.attachments, each) for each in sample.objects("messages")]
    known = {message.identity for message in messages}
    at_us, called = 0, False
    for number, event in enumerate(sample.objects("events"), 1):
        at_us = state.talk.into.instant(event, "timestamp", number)
        state.talk.into.began(at_us)
        if event.text("event") == "model":
            called = True
            _call(state, event, _pool(sample), known, at_us)
        elif event.text("event") not in _QUIET:
            state.talk.into.skip(Skip.UNKNOWN_RECORD if event.text("event") else Skip.MALFORMED_RECORD)
    state.talk.finish(messages, at_us)
    state.talk.into.skip(Skip.UNCLAIMED_USAGE, not called and bool(sample.fields("model_usage")))
    return state.talk.into


_QUIET: Final = frozenset(
    (
        *("sample_init", "sample_limit", "sandbox", "state", "store", "tool", "approval", "input", "score", "error"),
        *("logger", "info", "span_begin", "span_end", "step", "subtask", "compaction", "interrupt", "score_edit"),
        *("branch", "checkpoint", "anchor"),
    )
)
"""Events that are no calls of a model: what of them the model saw stands in the prompts."""


def _pool(sample: Fields) -> list[Fields]:
    """The messages to which prompts refer by index."""
    return sample.objects("message_pool") or sample.fields("events_data").objects("messages")


def _call(state: _Sample, event: Fields, pool: list[Fields], known: set[str], at_us: int) -> None:
    """A call of the model, if it belongs to the conversation."""
    choice = next(iter(event.fields("output").objects("choices")), Fields())
    if not choice:
        state.talk.into.skip(Skip.EMPTY_TURN)
        return
    answer = _message(state.attachments, choice.fields("message"))
    prompt = [_message(state.attachments, each) for each in _prompt(event, pool)]
    shared = {message.identity for message in (*prompt, answer) if message.role not in ("system", "developer")}
    if known and shared.isdisjoint(known):
        state.talk.into.skip(Skip.OTHER_MODEL_CALL)
        return
    known |= shared
    reason = choice.text("stop_reason")
    state.talk.prompted(prompt, at_us)
    state.talk.answered(
        attrs.evolve(answer, role="assistant"),
        Told(
            usage=_usage(event.fields("output").fields("usage")),
            model=event.fields("output").text("model") or event.text("model"),
            finish=_FINISH.get(reason, Finish.OTHER) if reason else None,
            began_us=at_us,
            at_us=max(at_us, event.instant("completed", 0)),
        ),
    )


def _prompt(event: Fields, pool: list[Fields]) -> Iterator[Fields]:
    yield from event.objects("input")
    refs = event.raw.get("input_refs")
    for each in refs if isinstance(refs, list) else []:
        if isinstance(each, list) and len(each) == 2 and all(type(place) is int and place >= 0 for place in each):
            yield from pool[each[0] : each[1]]


def _usage(usage: Fields) -> Usage:
    """The tokens of an answer; `input_tokens` excludes what the cache served or stored."""
    cached, written = usage.count("input_tokens_cache_read"), usage.count("input_tokens_cache_write")
    output, total = usage.count("output_tokens"), usage.count("total_tokens")
    whole = usage.count("input_tokens")
    if total >= whole + cached + written + output:
        whole += cached + written
    return Usage(whole, cached, output, written, usage.count("reasoning_tokens"))


@attrs.define
class _Reader:
    """Reads one message, and notes parts that no field holds."""

    attachments: Fields
    skipped: list[Skip] = attrs.field(factory=list)

    def text(self, value: object) -> str:
        """A text with its attachments in place."""
        return _ATTACHMENT.sub(self._attached, text_of(value))

    def _attached(self, found: re.Match[str]) -> str:
        if self.attachments.is_text(found[1]):
            return self.attachments.text(found[1])
        self.skipped.append(Skip.MISSING_ATTACHMENT)
        return found[0]

    def use(self, call: Fields) -> Use:
        """A call with the attachments of its arguments in place."""
        given = arguments_of(call.raw.get("arguments"))
        arguments = {name: self.text(value) if text_of(value) else value for name, value in given.items()}
        return Use(call.ident("id"), call.text("function"), arguments)


def _message(attachments: Fields, message: Fields) -> Message:
    reader = _Reader(attachments)
    texts: list[str] = []
    shown: list[Image] = []
    thinking: list[str] = []
    for block in message.blocks("content"):
        kind = block.text("type")
        if kind == "text" and block.is_text("text"):
            texts.append(reader.text(block.raw.get("text")))
        elif kind == "reasoning":
            thinking.append(reader.text(block.raw.get("reasoning")) or reader.text(block.raw.get("summary")))
        elif kind == "image" and block.is_text("image"):
            shown.append(images.of_url(reader.text(block.raw.get("image"))))
        else:
            reader.skipped.append(Skip.IMAGE if kind in _MEDIA else Skip.UNKNOWN_BLOCK)
    if message.is_odd("content"):
        reader.skipped.append(Skip.MALFORMED_RECORD)
    text, error = "\n".join(texts), reader.text(message.fields("error").raw.get("message"))
    if error and error not in text:
        text = f"{error}\n{text}".rstrip("\n")
    return Message(
        message.text("role"),
        text,
        tuple(reader.use(call) for call in message.objects("tool_calls")),
        message.ident("tool_call_id"),
        ReturnStatus.ERROR if message.fields("error") else ReturnStatus.OK,
        tuple(shown),
        tuple(each for each in thinking if each.strip()),
        message.text("id"),
        tuple(reader.skipped),
        message.text("function"),
    )


def _is_session(value: object) -> bool:
    log = Fields.of(value)
    return bool(log.fields("eval")) and ("samples" in log or "plan" in log) and "status" in log


def _is_archive(data: bytes) -> bool:
    """Tell whether bytes are an archive with a log in it."""
    if not data.startswith(_ZIP):
        return False
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    return any(_SAMPLES.fullmatch(each) or each in _HEADERS for each in names)


FORMAT: Final = Format(NAME, parse, tools="inspect", is_session=_is_session, is_file=_is_archive)
