"""Events of the OpenHands agent SDK, which hold the model's input; and an OpenHands session being built.

An `ActionEvent` is a call; those with the same `llm_response_id` form an answer. Observations name calls by the
model's ids. Events do not record usage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from clawvm_es.importers import images
from clawvm_es.importers.merging import Use
from clawvm_es.importers.recording import Skip
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import Boundary, Cut, ReturnStatus
from clawvm_es.observe.fields import Fields, arguments_of
from clawvm_es.observe.steps import ContextDropped, Image, Lines, Summary, SystemMessage, Usage, UserMessage

_RESULTS: Final = frozenset(("ObservationEvent", "UserRejectObservation", "AgentErrorEvent"))
_QUIET: Final = frozenset(
    (
        *("ConversationStateUpdateEvent", "CondensationRequest", "PauseEvent", "LLMCompletionLogEvent", "TokenEvent"),
        *("ConversationErrorEvent", "HookExecutionEvent", "InterruptEvent", "StreamingDeltaEvent"),
    )
)
KINDS: Final = _RESULTS | _QUIET | {"SystemPromptEvent", "MessageEvent", "ActionEvent", "Condensation"}
"""Kinds of events that are known."""


@attrs.define
class Session:
    """One session being built."""

    into: Transcript = attrs.field(factory=Transcript)
    cwd: str = ""
    lines: dict[str, int] = attrs.field(factory=dict)  # id of an event → its line
    keys: dict[str, str] = attrs.field(factory=dict)  # id of an action → that of its call
    told: set[str] = attrs.field(factory=set)  # responses whose text is in a step
    counted: Usage = attrs.field(factory=Usage)  # of all answers so far, as events tell it
    forgotten: set[int] = attrs.field(factory=set)  # lines
    delegated: str = ""  # the id of the action by which another agent works now

    def forget(self, ids: Iterable[str], summary: str, lines: Lines, at_us: int) -> None:
        """Take forgotten events out of the context; all others stay, and a summary replaces the forgotten."""
        self.forgotten.update(self.lines[each] for each in ids if each in self.lines)
        kept = frozenset(range(1, lines.first)) - self.forgotten
        self.into.say(ContextDropped(Boundary.COMPACT, lines, at_us, kept_lines=kept, cut=Cut.COMPACT))
        if summary.strip():
            self.into.say(Summary(summary, lines, at_us))


def add(state: Session, event: Fields, line: int, at_us: int) -> None:
    """Add an event that has a field `kind`."""
    kind, lines = event.text("kind"), Lines(line, line)
    if kind == "SystemPromptEvent":
        texts = [event.fields(name).text("text") for name in ("system_prompt", "dynamic_context")]
        _say(state, SystemMessage("\n".join(text for text in texts if text), lines, at_us))
    elif kind == "MessageEvent":
        _message(state, event, line, at_us)
    elif kind == "ActionEvent":
        _action(state, event, line, at_us)
    elif kind in _RESULTS:
        _result(state, event, line, at_us)
    elif kind == "Condensation":
        state.forget(event.texts("forgotten_event_ids"), event.text("summary"), lines, at_us)
    else:
        state.into.skip(Skip.SYSTEM_NOTICE if kind in _QUIET else Skip.UNKNOWN_RECORD)


def _say(state: Session, step: SystemMessage | UserMessage) -> None:
    if step.text.strip() or (isinstance(step, UserMessage) and step.images):
        state.into.say(step)
    else:
        state.into.skip(Skip.EMPTY_MESSAGE)


def _message(state: Session, event: Fields, line: int, at_us: int) -> None:
    """A message of the user or of the agent, and the text that the harness put beside it."""
    told, lines = event.fields("llm_message"), Lines(line, line)
    text, shown = _content(state.into, told)
    if event.text("source") == "agent":
        _answer(state, event, told, [text] if text else [], [], line, at_us)
    else:
        _say(state, UserMessage(text, lines, at_us, harness=event.text("source") != "user", images=shown))
    beside = "\n".join(each.text("text") for each in event.objects("extended_content"))
    if beside.strip():
        state.into.say(UserMessage(beside, lines, at_us, harness=True))


def _action(state: Session, event: Fields, line: int, at_us: int) -> None:
    call = event.fields("tool_call")
    name = call.text("name") or call.fields("function").text("name") or event.text("tool_name")
    given = call.raw.get("arguments", call.fields("function").raw.get("arguments"))
    use = Use(event.ident("tool_call_id") or call.ident("id"), name, arguments_of(given), state.cwd)
    texts = [each.text("text") for each in event.objects("thought")]
    _answer(state, event, event, texts, [use], line, at_us)


def _answer(
    state: Session, event: Fields, told: Fields, texts: list[str], uses: list[Use], line: int, at_us: int
) -> None:
    """A part of an answer; the model's thoughts are in each of its parts, and are taken once."""
    key = event.text("llm_response_id") or f"event {line}"
    first = key not in state.told
    state.told.add(key)
    thinking = [told.text("reasoning_content"), *(each.text("thinking") for each in told.objects("thinking_blocks"))]
    state.into.answer(
        key,
        texts=[text for text in texts if text.strip()],
        uses=uses,
        usage=Usage(),
        line=line,
        at_us=at_us,
        thinking=list(dict.fromkeys(each for each in thinking if each.strip())) if first else [],
    )


def _result(state: Session, event: Fields, line: int, at_us: int) -> None:
    told = event.fields("observation")
    text, shown = _content(state.into, told)
    text = text or told.text("output") or event.text("error") or told.text("error")
    metadata = told.fields("metadata")
    text = around(text, metadata) + ended(metadata)
    if event.text("kind") == "UserRejectObservation":
        text = f"Action rejected: {event.text('rejection_reason')}"
    beside = [each.text("text") for each in event.objects("extended_content")]
    whole = "\n".join(each for each in (text, *beside) if each)
    code = told.raw.get("exit_code", metadata.raw.get("exit_code"))
    failed = event.text("kind") != "ObservationEvent" or told.flag("is_error") or bool(told.text("error"))
    status = ReturnStatus.ERROR if failed or code not in (0, -1, None) else ReturnStatus.OK
    name = event.text("tool_name")
    state.into.result(event.ident("tool_call_id"), whole, status, line, at_us, shown, name)
    state.cwd = metadata.text("working_dir") or state.cwd


def around(text: str, metadata: Fields) -> str:
    """A command's output between the texts that its shell put around it."""
    return f"{metadata.text('prefix')}{text}{metadata.text('suffix')}"


def ended(metadata: Fields) -> str:
    """The lines below a command's output that tell the model how it ended."""
    code = metadata.ident("exit_code")
    lines = (
        ("Current working directory:", metadata.text("working_dir")),
        ("Python interpreter:", metadata.text("py_interpreter_path")),
        ("Command finished with exit code", "" if code == "-1" else code),
    )
    return "".join(f"\n[{name} {value}]" for name, value in lines if value)


def _content(into: Transcript, message: Fields) -> tuple[str, tuple[Image, ...]]:
    """The texts and images of a content."""
    texts: list[str] = []
    shown: list[Image] = []
    for block in message.blocks("content"):
        if block.is_text("text"):
            texts.append(block.text("text"))
        elif block.is_list("image_urls"):
            shown.extend(images.of_url(url) for url in block.texts("image_urls") if url)
        else:
            into.skip(Skip.UNKNOWN_BLOCK)
    return "\n".join(texts), tuple(shown)
