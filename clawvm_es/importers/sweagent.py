"""SWE-agent trajectories: `{trajectory, history, info}`; line numbers count the messages of `history` from 1.

`history` holds what happened. A step of the trajectory may hold the messages sent to its model: if an observation
among them differs from the history, a history processor took it out. Before 1.0 a call is a command line in the
answer, and its result a message of the user. mini-swe-agent writes only `messages`, with commands in fences.
SWE-agent records the tokens of the whole session, not of each answer, so they are counted for no answer.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from clawvm_es.importers import images
from clawvm_es.importers.document import read_sessions, recordings
from clawvm_es.importers.format import Format
from clawvm_es.importers.identity import content_id
from clawvm_es.importers.merging import Use
from clawvm_es.importers.recording import Recording, Skip
from clawvm_es.importers.transcript import Transcript
from clawvm_es.model.facts import Boundary, Cut, ReturnStatus
from clawvm_es.observe.fields import Fields, arguments_of, parse_json
from clawvm_es.observe.steps import ContextDropped, Image, Lines, SystemMessage, Usage, UserMessage

NAME: Final = "sweagent"

_FOLDER = re.compile(r"^\(Current directory: ([^)\n]+)\)", re.MULTILINE)
_FENCED = re.compile(r"^```(?:bash|mswea_bash_command)[ \t]*\n(.*?)\n?^```", re.MULTILINE | re.DOTALL)
_RETURN_CODE = re.compile(r"\s*<returncode>(-?\d+)</returncode>")
_COMMANDS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "open": ("path", "line_number"),
        "goto": ("line_number",),
        "scroll_up": (),
        "scroll_down": (),
        "create": ("filename",),
        "search_dir": ("search_term", "dir"),
        "search_file": ("search_term", "file"),
        "find_file": ("file_name", "dir"),
        "submit": ("submission",),
    }
)
"""Commands of the agent's own interface → the names of their words, as version 1 names them."""


@attrs.define
class _Session:
    """One session being built."""

    mini: bool = False  # mini-swe-agent wrote it
    into: Transcript = attrs.field(factory=Transcript)
    cwd: str = ""
    waiting: int = 0  # calls whose results are the next observations
    results: set[int] = attrs.field(factory=set)  # lines
    elided: set[int] = attrs.field(factory=set)  # lines of those that left the context


def parse(data: bytes, name: str) -> tuple[Recording, ...]:
    """The sessions of a file. Raises `UnreadableInput` if it is damaged, or holds none."""
    found, skipped = read_sessions(data, name, _is_session)
    return recordings(((_session_id(each), _session(each)) for each in found), skipped, NAME, name)


def _history(session: Fields) -> list[Fields]:
    return session.objects("messages" if _is_mini(session) else "history")


def _session_id(session: Fields) -> str:
    """A digest of the messages up to the first answer, which stays the same as the file grows."""
    first: list[object] = []
    for message in _history(session):
        first.append([message.raw.get("role"), message.raw.get("content")])
        if message.text("role") == "assistant":
            break
    return content_id("sweagent", first)


def _session(session: Fields) -> Transcript:
    state = _Session(_is_mini(session))
    history, steps = _history(session), session.objects("trajectory")
    dropped = _elisions(history, steps)
    answers = 0
    for line, message in enumerate(history, 1):
        state.into.line = line
        state.into.began(line * 1_000_000)
        _elide(state, dropped.get(line, frozenset()), line)
        if message.text("role") == "assistant":
            state.cwd = (_folder(steps[answers - 1]) if 0 < answers <= len(steps) else "") or state.cwd
            answers += 1
        _message(state, message, line)
    stats = session.fields("info").fields("model_stats")
    state.into.line = 0
    state.into.skip(Skip.UNCLAIMED_USAGE, stats.count("tokens_sent") + stats.count("tokens_received") > 0)
    return state.into


def _elisions(history: list[Fields], steps: list[Fields]) -> Mapping[int, frozenset[int]]:
    """Line of a message → lines of the observations that had left the context before it."""
    found: dict[int, frozenset[int]] = {}
    for step in steps:
        given = step.objects("query" if step.is_list("query") else "messages")
        pairs = zip(given, history, strict=False)
        lines = [line for line, (was, now) in enumerate(pairs, 1) if _is_elided(was, now)]
        if lines:
            found[len(given) + 1] = frozenset(lines)
    return found


def _is_elided(given: Fields, message: Fields) -> bool:
    same_role = given.text("role") == message.text("role") in ("tool", "user")
    return same_role and given.raw.get("content") != message.raw.get("content")


def _elide(state: _Session, lines: frozenset[int], line: int) -> None:
    new = (lines & state.results) - state.elided
    if not new:
        return
    state.elided |= new
    kept = frozenset(range(1, line)) - state.elided
    place = Lines(line, line)
    state.into.say(ContextDropped(Boundary.PRUNE, place, line * 1_000_000, kept_lines=kept, cut=Cut.MICRO))


def _message(state: _Session, message: Fields, line: int) -> None:
    role, lines, at_us = message.text("role"), Lines(line, line), line * 1_000_000
    text, shown = _content(state.into, message)
    found = _FOLDER.findall(text)
    if role == "assistant":
        _answer(state, message, text, line)
    elif role == "tool" or (role == "user" and state.waiting):
        _observed(state, message, text, shown, line)
    elif role == "user" and (text.strip() or shown):
        state.into.say(UserMessage(text, lines, at_us, harness=message.flag("is_demo"), images=shown))
    elif role == "system" and text.strip():
        state.into.say(SystemMessage(text, lines, at_us))
    elif role in ("user", "system"):
        state.into.skip(Skip.EMPTY_MESSAGE)
    elif role == "exit":
        state.into.skip(Skip.SYSTEM_NOTICE)
    else:
        state.into.skip(Skip.UNKNOWN_RECORD if role else Skip.MALFORMED_RECORD)
    state.cwd = found[-1].strip() if found else state.cwd


def _content(into: Transcript, message: Fields) -> tuple[str, tuple[Image, ...]]:
    """The text of a message's content (a string, or parts), and its images."""
    if message.is_odd("content"):
        into.skip(Skip.MALFORMED_RECORD)
    texts: list[str] = []
    shown: list[Image] = []
    for part in message.blocks("content"):
        if part.is_text("text"):
            texts.append(part.text("text"))
        elif "image_url" in part:
            shown.append(images.of_url(part.fields("image_url").text("url") or part.text("image_url")))
        else:
            into.skip(Skip.UNKNOWN_BLOCK)
    return "\n".join(texts), tuple(shown)


def _answer(state: _Session, message: Fields, text: str, line: int) -> None:
    uses = [_use(state, call) for call in message.objects("tool_calls")]
    extra = message.fields("extra")
    if not uses:
        actions = _commands(extra, text) if state.mini else [message.text("action")]
        uses = [_command(action, state.cwd) for action in actions if action.strip()]
    state.waiting = len(uses)
    blocks = [block.text("thinking") for block in message.objects("thinking_blocks")]
    state.into.answer(
        f"message {line}",
        texts=[text] if text else [],
        uses=uses,
        usage=_usage(extra.fields("response").fields("usage")),
        line=line,
        at_us=line * 1_000_000,
        thinking=blocks,
        model=extra.fields("response").text("model"),
    )


def _commands(extra: Fields, text: str) -> list[str]:
    """The commands of an answer of mini-swe-agent: the ones it kept, else those in fences."""
    kept = [each.text("command") for each in extra.objects("actions")] + extra.texts("actions")
    return [each for each in kept if each.strip()] or _FENCED.findall(text)


def _usage(usage: Fields) -> Usage:
    cached = usage.fields("prompt_tokens_details").count("cached_tokens")
    thought = usage.fields("completion_tokens_details").count("reasoning_tokens")
    return Usage(usage.count("prompt_tokens"), cached, usage.count("completion_tokens"), thinking_tokens=thought)


def _use(state: _Session, call: Fields) -> Use:
    function = call.fields("function")
    name, arguments = function.text("name"), arguments_of(function.raw.get("arguments"))
    return Use(call.ident("id"), name, arguments, state.cwd)


def _command(action: str, cwd: str) -> Use:
    """A command line as a call: a command of the interface by its name, else of the shell."""
    first, _, rest = action.strip().partition("\n")
    name = first.partition(" ")[0]
    if name == "edit":
        arguments = {"range": first.removeprefix("edit").strip(), "text": rest.removesuffix("end_of_edit")}
        return Use("", name, arguments, cwd)
    if name in _COMMANDS and not rest:
        try:
            words = shlex.split(first)[1:]
        except ValueError:
            words = []
        if len(words) <= len(_COMMANDS[name]):
            return Use("", name, dict(zip(_COMMANDS[name], words, strict=False)), cwd)
    return Use("", "bash", {"command": action}, cwd)


def _observed(state: _Session, message: Fields, text: str, shown: tuple[Image, ...], line: int) -> None:
    """The result of a call: the one that the message names, else the next without a result."""
    named = [each for each in message.texts("tool_call_ids") if each] or [message.ident("tool_call_id")]
    state.waiting = max(0, state.waiting - 1)
    code = _RETURN_CODE.match(text)
    status = ReturnStatus.ERROR if code is not None and int(code[1]) else ReturnStatus.OK
    state.into.result(named[0], text, status, line, line * 1_000_000, shown)
    state.results.add(line)


def _folder(step: Fields) -> str:
    """The working directory after a step, from its state, which old versions wrote as JSON text."""
    if step.is_text("state"):
        try:
            return Fields.of(parse_json(step.text("state").strip() or "null")).text("working_dir")
        except ValueError:
            return ""
    return step.fields("state").text("working_dir")


def _is_mini(session: Fields) -> bool:
    return session.is_list("messages") and session.text("trajectory_format").startswith("mini-swe-agent")


def _is_session(value: object) -> bool:
    session = Fields.of(value)
    return _is_mini(session) or (session.is_list("history") and session.is_list("trajectory"))


FORMAT: Final = Format(NAME, parse, tools="sweagent", is_session=_is_session)
