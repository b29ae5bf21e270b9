"""OpenHands sessions: a list of events, alone or as `history` of a result; line numbers count events from 1.

An action of the agent is a call; actions of the same model response form one answer. The observation whose `cause` is
the action is the call's result. A condensation forgets events and puts a summary in their place. Events with a field
`kind` come from the agent SDK.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.importers import images, openhands_sdk
from clawvm_es.importers.document import read_sessions, recordings
from clawvm_es.importers.format import Format
from clawvm_es.importers.identity import content_id
from clawvm_es.importers.merging import Use
from clawvm_es.importers.openhands_sdk import Session
from clawvm_es.importers.recording import Recording, Skip
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import Finish, ReturnStatus
from clawvm_es.observe.fields import Fields, arguments_of
from clawvm_es.observe.steps import (
    Image,
    Lines,
    SkillLoaded,
    SystemMessage,
    Usage,
    UserMessage,
)

NAME: Final = "openhands"

_PLAIN_ID = re.compile(r"[\w.@+-]{1,200}")
_QUIET: Final = frozenset(("change_agent_state", "agent_state_changed", "null", "pause", "resume", "stop", "start"))
_FINISH: Final[Mapping[str, Finish]] = MappingProxyType(
    {"stop": Finish.STOP, "tool_calls": Finish.TOOL_CALLS, "length": Finish.LENGTH, "content_filter": Finish.REFUSAL}
)


def parse(data: bytes, name: str) -> tuple[Recording, ...]:
    """The sessions of a file. Raises `UnreadableInput` if it is damaged, or holds none."""
    found, skipped = read_sessions(data, name, _is_session)
    return recordings(((_session_id(each), _session(each)) for each in found), skipped, NAME, name)


def _events(session: Fields) -> list[Fields]:
    """The events in order; old files have pairs of an action and its observation."""
    value = session.raw.get("history")
    items = value if isinstance(value, list) else []
    return [Fields.of(event) for item in items for event in (item if isinstance(item, list) else [item])]


def _session_id(session: Fields) -> str:
    """A digest of the first events, whose times tell runs apart, and the task's name if it is a plain one."""
    task = session.text("instance_id")
    digest = content_id("openhands", [task, *(event.raw for event in _events(session)[:2])])
    return f"{digest}-{task}" if _PLAIN_ID.fullmatch(task) else digest


def _session(session: Fields) -> Transcript:
    state = Session()
    for line, event in enumerate(_events(session), 1):
        state.into.line = line
        at_us = state.into.instant(event, "timestamp", line)
        state.into.began(at_us)
        if event.ident("id"):
            state.lines[event.ident("id")] = line
        if _delegated(state, event):
            state.into.skip(Skip.OTHER_MODEL_CALL)
        elif event.text("kind"):
            openhands_sdk.add(state, event, line, at_us)
        elif event.text("observation"):
            _observation(state, event, line, at_us)
        elif event.text("action"):
            _action(state, event, line, at_us)
        else:
            state.into.skip(Skip.MALFORMED_RECORD)
    return state.into


def _delegated(state: Session, event: Fields) -> bool:
    """Tell whether an event is of another agent, which works for this one; only what it returns is seen."""
    if state.delegated:
        ended = event.text("observation") == "delegate" or event.ident("cause") == state.delegated
        state.delegated = "" if ended else state.delegated
        return not ended
    if event.text("action") == "delegate" and event.text("source") == "agent":
        state.delegated = event.ident("id")
    return False


# ------------------------------------------------------------------------------------------------- actions


def _action(state: Session, event: Fields, line: int, at_us: int) -> None:
    kind, args, lines = event.text("action"), event.fields("args"), Lines(line, line)
    by_agent = event.text("source") == "agent"
    if kind in _QUIET:
        state.into.skip(Skip.SYSTEM_NOTICE)
    elif kind == "system":
        _heard(state, SystemMessage(args.text("content"), lines, at_us))
    elif kind == "message" and not by_agent:
        shown = tuple(images.of_url(url) for url in args.texts("image_urls") if url)
        _heard(state, UserMessage(args.text("content"), lines, at_us, images=shown))
    elif kind == "condensation":
        _condensed(state, args, lines, at_us)
    elif kind in ("recall", "condensation_request"):
        state.into.skip(Skip.MIRRORED if kind == "recall" else Skip.SYSTEM_NOTICE)
    elif by_agent:
        _answer(state, event, kind, line, at_us)
    elif kind == "run":
        _heard(state, UserMessage(f"$ {args.text('command')}", lines, at_us))
    else:
        state.into.skip(Skip.UNKNOWN_RECORD)


def _heard(state: Session, step: SystemMessage | UserMessage | SkillLoaded) -> None:
    if step.text.strip() or (isinstance(step, UserMessage) and step.images):
        state.into.say(step)
    else:
        state.into.skip(Skip.EMPTY_MESSAGE)


def _answer(state: Session, event: Fields, kind: str, line: int, at_us: int) -> None:
    """A call or a message of the agent; events of one response are one answer."""
    told, args = event.fields("tool_call_metadata"), event.fields("args")
    response = told.fields("model_response")
    choice = next(iter(response.objects("choices")), Fields())
    key = response.text("id") or f"event {line}"
    first = key not in state.told
    state.told.add(key)
    text = _said(choice.fields("message")) or args.text("thought")
    if kind == "message":
        text, uses = args.text("content"), []
    else:
        uses = [_use(state, event, told, choice.fields("message"), kind)]
    reasoning = choice.fields("message").text("reasoning_content") or args.text("reasoning_content")
    reason = choice.text("finish_reason")
    state.into.answer(
        key,
        texts=[text] if text and first else [],
        uses=uses,
        usage=_usage(state, event, response),
        line=line,
        at_us=at_us,
        thinking=[reasoning] if first else [],
        model=response.text("model"),
        finish=_FINISH.get(reason, Finish.OTHER) if reason else None,
    )


def _said(message: Fields) -> str:
    return "\n".join(block.text("text") for block in message.blocks("content") if block.text("text"))


def _use(state: Session, event: Fields, told: Fields, message: Fields, kind: str) -> Use:
    """A call as the model wrote it, else as its action reports it; its id is the model's, else the action's."""
    call_id = told.ident("tool_call_id")
    written = {call.ident("id"): call.fields("function") for call in reversed(message.objects("tool_calls"))}
    function = written.get(call_id, Fields()) if call_id else Fields()
    call_id = state.keys[event.ident("id")] = call_id or event.ident("id")
    if function.text("name"):
        return Use(call_id, function.text("name"), arguments_of(function.raw.get("arguments")), state.cwd)
    args = {name: value for name, value in event.fields("args").raw.items() if name not in ("thought", "hidden")}
    return Use(call_id, told.text("function_name") or kind, args, state.cwd)


def _usage(state: Session, event: Fields, response: Fields) -> Usage:
    """The usage of an answer: its response's, else the growth of the sum over all answers."""
    told, own = event.fields("llm_metrics").fields("accumulated_token_usage"), response.fields("usage")
    total = _counts(told)
    before, state.counted = state.counted, total if told else state.counted
    if own:
        cached = own.fields("prompt_tokens_details").count("cached_tokens")
        thought = own.fields("completion_tokens_details").count("reasoning_tokens")
        return Usage(own.count("prompt_tokens"), cached, own.count("completion_tokens"), thinking_tokens=thought)
    if not told:
        return Usage()
    grown = (now - then for now, then in zip(attrs.astuple(total), attrs.astuple(before), strict=True))
    return Usage(*(max(0, each) for each in grown))


def _counts(told: Fields) -> Usage:
    return Usage(
        told.count("prompt_tokens"),
        told.count("cache_read_tokens"),
        told.count("completion_tokens"),
        told.count("cache_write_tokens"),
    )


def _condensed(state: Session, args: Fields, lines: Lines, at_us: int) -> None:
    """The forgotten events; they are named one by one, or by the first and the last."""
    ids = [str(each) for each in _listed(args.raw.get("forgotten_event_ids")) if isinstance(each, (int, str))]
    first, last = args.raw.get("forgotten_events_start_id"), args.raw.get("forgotten_events_end_id")
    if type(first) is int and type(last) is int:
        ids += [each for each in state.lines if each.isdecimal() and first <= int(each) <= last]
    state.forget(ids, args.text("summary"), lines, at_us)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


# -------------------------------------------------------------------------------------------- observations


def _observation(state: Session, event: Fields, line: int, at_us: int) -> None:
    kind, cause = event.text("observation"), event.ident("cause")
    call_id = event.fields("tool_call_metadata").ident("tool_call_id")
    if kind in _QUIET:
        state.into.skip(Skip.SYSTEM_NOTICE)
    elif kind == "recall":
        _recalled(state, event.fields("extras"), Lines(line, line), at_us)
    elif cause or call_id:
        named = state.keys.get(cause, call_id or cause) if cause else call_id
        _result(state, event, named, line, at_us)
    else:
        _heard(state, UserMessage(_text(event), Lines(line, line), at_us, harness=True))


def _result(state: Session, event: Fields, call_id: str, line: int, at_us: int) -> None:
    extras, text = event.fields("extras"), _text(event)
    told = extras.fields("metadata")
    code = told.raw.get("exit_code", extras.raw.get("exit_code"))
    failed = event.text("observation") == "error" or text.startswith("ERROR:") or event.raw.get("success") is False
    status = ReturnStatus.ERROR if failed or code not in (0, -1, None) else ReturnStatus.OK
    state.into.result(call_id, text, status, line, at_us, _images(extras))
    state.cwd = told.text("working_dir") or state.cwd


def _text(event: Fields) -> str:
    """The text of an observation as the model sees it; a command's includes what its shell put around it."""
    told = event.fields("extras").fields("metadata")
    text = openhands_sdk.around(event.text("content"), told)
    return text + openhands_sdk.ended(told) if event.text("observation") == "run" else text


def _images(extras: Fields) -> tuple[Image, ...]:
    urls = [extras.text("screenshot"), *extras.texts("image_urls")]
    return tuple(images.of_url(url) for url in urls if url.startswith(("data:", "http")))


def _recalled(state: Session, extras: Fields, lines: Lines, at_us: int) -> None:
    """Knowledge that the harness puts beside a prompt: the workspace's instructions, and triggered skills."""
    before = len(state.into.steps)
    for name in ("repo_instructions", "additional_agent_instructions", "conversation_instructions"):
        if extras.text(name).strip():
            state.into.say(UserMessage(extras.text(name), lines, at_us, harness=True, source=name))
    for skill in extras.objects("microagent_knowledge"):
        _heard(state, SkillLoaded(skill.text("content"), skill.text("name") or "skill", lines, at_us))
    if len(state.into.steps) == before:
        state.into.skip(Skip.EMPTY_MESSAGE)


def _is_event(value: object) -> bool:
    event = Fields.of(value[0] if isinstance(value, list) and value else value)
    if event.text("kind") in openhands_sdk.KINDS:
        return "source" in event
    return "source" in event and any(event.is_text(name) for name in ("action", "observation"))


def _is_session(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and _is_event(value[0])
    session = Fields.of(value)
    history = session.raw.get("history")
    if "trajectory" in session or not isinstance(history, list):
        return False
    return "instance_id" in session or (bool(history) and _is_event(history[0]))


FORMAT: Final = Format(NAME, parse, tools="openhands", is_session=_is_session)
