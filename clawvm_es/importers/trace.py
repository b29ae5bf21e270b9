"""`clawvm-trace`, our own format: the inputs of a session with recorded counts and levels, bodies inline.

JSON Lines: a header `{"format": "clawvm-trace", "version": 3, "session_id": …}`, then one object per input: `{"type",
"schema_version", "at_us", "principal", "data"}`. Where an event holds a commitment, `data` holds `{"text": …}`, or
`{"absent": true}` for a body that was erased.

LAW-TRACE-1: replaying a trace under its recorded opening gives the decision digest of its session.

`prompt_rendered` is left out, since the engine makes it again; staged facts stay as recorded. A fork is written as
one whole session, with a change of budget at the place of the fork.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from clawvm_es.errors import UnreadableInput, UsageError
from clawvm_es.importers.format import Format
from clawvm_es.importers.recording import Recording, TraceInput
from clawvm_es.journal.admission import odd_time, structure
from clawvm_es.journal.codec import COMMITMENT_FIELDS, to_plain
from clawvm_es.journal.ports import Recorded
from clawvm_es.journal.upcasters import UPCASTERS, upcast
from clawvm_es.model.commands import Command
from clawvm_es.model.events import (
    INPUTS,
    BudgetChanged,
    Event,
    Input,
    PromptRendered,
    SessionClosed,
    SessionForked,
    SessionOpened,
    SessionReopened,
    SettingsAdopted,
)
from clawvm_es.observe.edge import Edge, decode
from clawvm_es.observe.fields import Fields, TooDeep, parse_json
from clawvm_es.observe.steps import Lines
from clawvm_es.representations.counter import COUNTERS

NAME: Final = "clawvm_trace"
VERSION: Final = 11
"""Version of the format that is written; older ones are read, their inputs upcast."""

_CLASSES: Final = {cls.TYPE: cls for cls in INPUTS if cls not in (PromptRendered, SessionForked)}
_COMMITMENT = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[\w.:/+@-]{1,200}")
_PLACEHOLDER: Final = "0" * 64
_DECLARED: Final = frozenset((("profile", "name"), ("validators", "validator")))
"""(object, its field) whose value is a declared name and no commitment."""


def write_trace(
    session_id: str, recorded: Iterable[Recorded], open_body: Callable[[str], bytes | None]
) -> Iterator[str]:
    """The lines of a session's trace, each with its newline; `open_body` returns the body of a commitment.

    `recorded` are all its events, a fork's with those of its parents (`export_trace`). Raises `UsageError` for a fork
    that changed the policy, since a trace has only one.
    """
    told = (
        Command(data, row.at_us, row.principal)
        for row, data in _as_one(recorded)
        if data.TYPE in _CLASSES and isinstance(data, INPUTS)
    )
    yield from write_inputs(session_id, told, open_body)


def write_inputs(
    session_id: str, inputs: Iterable[Command], open_body: Callable[[str], bytes | None]
) -> Iterator[str]:
    """The lines of a trace of inputs that are in no log, `session_opened` first, each with its newline."""
    yield _line({"format": "clawvm-trace", "version": VERSION, "session_id": session_id})
    for command in inputs:
        data = command.data
        yield _line(
            {
                "type": data.TYPE,
                "schema_version": data.SCHEMA_VERSION,
                "at_us": command.at_us,
                "principal": command.principal,
                "data": _inlined(to_plain(data), open_body),
            }
        )


def parse(data: bytes, name: str) -> tuple[Recording, ...]:
    """The session of a trace. Raises `UnreadableInput`, which names file, line, JSON path and the problem."""
    rows = [(number, raw) for number, raw in enumerate(data.split(b"\n"), 1) if raw.strip()]
    header = _object(rows[0][1], name, rows[0][0]) if rows else {}
    session_id, version = Fields(header).text("session_id"), Fields(header).count("version")
    if not 1 <= version <= VERSION or not session_id:
        raise UnreadableInput(
            f"{name}: line {rows[0][0] if rows else 1}: no header of clawvm-trace version 1 to {VERSION}",
            hint="was it written by a newer version?",
        )
    inputs = [_input(_object(raw, name, number), name, number) for number, raw in rows[1:]]
    if not inputs or inputs[0].type != SessionOpened.TYPE:
        raise UnreadableInput(f"{name}: a trace begins with session_opened", hint="export it again")
    opened = _structured(inputs[0], lambda text: _PLACEHOLDER, name)
    assert isinstance(opened, SessionOpened)
    if opened.counter not in COUNTERS:
        raise UnreadableInput(
            f"{name}: line {inputs[0].lines.first}: $.data.counter: unknown token counter {opened.counter!r}",
            hint=f"one of {', '.join(COUNTERS)}",
        )
    for step in inputs[1:]:
        _structured(step, lambda text: _PLACEHOLDER, name)
    steps = tuple(inputs[1:])
    return (Recording(session_id, NAME, steps, inputs[0].at_us, opened=opened, source=name),)


def restored(step: TraceInput, edge: Edge) -> Input:
    """The input of a line; its bodies are stored by the edge's vault."""
    return _structured(step, edge.text, "trace")


def _line(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n"


# ------------------------------------------------------------------------------------------- writing


def _as_one(recorded: Iterable[Recorded]) -> Iterator[tuple[Recorded, Event]]:
    """The events of a fork as one session that was never forked, nor closed before the fork; versions stay."""
    rows = tuple(recorded)
    forked = max((row.version for row in rows if isinstance(row.data, SessionForked)), default=0)
    budget_tokens, profile = 0, None
    for row in rows:
        data: Event = row.data
        if isinstance(data, SessionOpened):
            profile = data.profile
        elif isinstance(data, SettingsAdopted):
            profile = data.profile or profile
        elif isinstance(data, SessionForked) and data.profile not in (None, profile):
            raise UsageError(
                f"session {row.session_id} goes on under another policy from version {row.version}; a trace has one",
                hint="`clawvm export --as recording` and `clawvm bundle` keep forks as they are",
            )
        if isinstance(data, SessionOpened | BudgetChanged | SessionForked | SettingsAdopted):
            budget_tokens = data.budget_tokens or budget_tokens
        ended = isinstance(data, SessionClosed | SessionReopened) and row.version < forked
        if isinstance(data, SessionForked) or ended:
            data = BudgetChanged(budget_tokens)
        yield row, data


def _inlined(value: Any, open_body: Callable[[str], bytes | None], name: str = "") -> Any:
    """Event data with each commitment replaced by its body; `name` is the field of `value`."""
    if isinstance(value, Mapping):
        inner = {key: "" if (name, key) in _DECLARED else key for key in value}
        return {key: _inlined(item, open_body, inner[key]) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_inlined(item, open_body, name) for item in value]
    if isinstance(value, str) and _is_commitment_field(name) and _COMMITMENT.fullmatch(value):
        body = open_body(value)
        return {"absent": True} if body is None else {"text": decode(body)}
    return value


def _is_commitment_field(name: str) -> bool:
    return name in COMMITMENT_FIELDS or name == "commitments"


# ------------------------------------------------------------------------------------------- reading


def _object(raw: bytes, name: str, number: int) -> dict[str, object]:
    try:
        value = parse_json(raw.decode("utf-8", "surrogatepass"))
    except TooDeep:
        raise UnreadableInput(f"{name}: line {number}: nested too deep", hint="export it again") from None
    except ValueError as error:
        raise UnreadableInput(f"{name}: line {number}: not JSON: {error}", hint="is the file cut off?") from None
    if not isinstance(value, dict):
        raise UnreadableInput(f"{name}: line {number}: expected an object", hint="export it again")
    return value


def _input(row: Mapping[str, object], name: str, number: int) -> TraceInput:
    where = f"{name}: line {number}"
    type_, at_us, principal = row.get("type"), row.get("at_us"), row.get("principal", "harness")
    data, schema_version = row.get("data"), row.get("schema_version", 1)
    cls = _CLASSES.get(str(type_))
    if cls is None:
        raise UnreadableInput(f"{where}: $.type: unknown input {type_!r}", hint=f"one of {', '.join(_CLASSES)}")
    fields = (("at_us", at_us, int), ("schema_version", schema_version, int), ("data", data, dict))
    for key, value, expected in fields:
        if type(value) is not expected:
            raise UnreadableInput(f"{where}: $.{key}: expected {expected.__name__}, got {type(value).__name__}")
    if not isinstance(principal, str) or not _NAME.fullmatch(principal):
        raise UnreadableInput(f"{where}: $.principal: expected a name, got {principal!r:.60}")
    assert isinstance(data, dict) and isinstance(at_us, int) and isinstance(schema_version, int)
    if (odd := odd_time(at_us)) is not None:
        raise UnreadableInput(f"{where}: $.at_us: {odd}")
    if not 1 <= schema_version <= cls.SCHEMA_VERSION:
        raise UnreadableInput(f"{where}: $.schema_version: unknown version {schema_version} of {type_}")
    data = upcast(cls.TYPE, schema_version, data, cls.SCHEMA_VERSION, UPCASTERS)
    return TraceInput(cls.TYPE, data, Lines(number, number), at_us, principal)


def _structured(step: TraceInput, keep: Callable[[str], str], name: str) -> Input:
    """The event of a line; `keep` turns a body's text into its commitment."""
    where = f"{name}: line {step.lines.first}"
    value = _committed(step.data, keep, where, "$.data")
    try:
        return structure(value, _CLASSES[step.type])
    except msgspec.ValidationError as error:
        raise UnreadableInput(f"{where}: {_under_data(error)}", hint="export it again") from None


def _under_data(error: msgspec.ValidationError) -> str:
    """The message of a refusal, its path beginning at the line."""
    what, at, path = str(error).partition(" - at `$")
    return f"{what} - at `$.data{path}" if at else f"{what} - at `$.data`"


def _committed(value: Any, keep: Callable[[str], str], where: str, path: str, name: str = "") -> Any:
    """Data with each inline body replaced by its commitment; refuses text in a field that holds none."""
    if isinstance(value, dict):
        if _is_commitment_field(name):
            if set(value) == {"text"} and isinstance(value["text"], str):
                return keep(value["text"])
            if value == {"absent": True}:
                return keep("")
        inner = {key: "" if (name, key) in _DECLARED else key for key in value}
        return {key: _committed(item, keep, where, f"{path}.{key}", inner[key]) for key, item in value.items()}
    if isinstance(value, list):
        return [_committed(item, keep, where, f"{path}[{i}]", name) for i, item in enumerate(value)]
    if isinstance(value, str):
        if _is_commitment_field(name):
            raise UnreadableInput(f'{where}: {path}: expected a body, {{"text": …}}', hint="no text stands in events")
        if not _NAME.fullmatch(value):
            raise UnreadableInput(f"{where}: {path}: expected a name, got {value!r:.60}")
    return value


def _is_trace(record: Fields) -> bool:
    return record.text("format") == "clawvm-trace"


FORMAT: Final = Format(NAME, parse, tools="", is_record=_is_trace)
