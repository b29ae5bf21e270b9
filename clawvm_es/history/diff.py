"""`diff`: what differs between two moments, of one session or of two.

LAW-DIFF-1: a moment does not differ from itself, nor a parent at the version of a fork from its untouched fork; and
the two directions tell the same differences. Places in a log (versions, turns, times) are no differences.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import attrs
import msgspec

from clawvm_es.core.evolve import fold
from clawvm_es.core.state import FieldKey, Page, State
from clawvm_es.engine.scopes import SESSION
from clawvm_es.engine.store import fold_values
from clawvm_es.history.origins import require_session
from clawvm_es.history.places import prompt_at, state_at
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog, Vault
from clawvm_es.journal.snapshots import Lazy, load
from clawvm_es.model.events import ScopeChanged
from clawvm_es.model.facts import Op
from clawvm_es.model.pages import ABSENT, FULL, LADDER
from clawvm_es.observe.edge import decode


@attrs.frozen
class Side:
    """One of the two moments; `prompt_turn` and `prompt_tokens` are None before the first prompt."""

    session_id: str
    version: int
    turn: int
    prompt_turn: int | None
    prompt_tokens: int | None


@attrs.frozen
class Changed:
    """One thing that differs, by its name, and both values; None where one side has none."""

    name: str
    a: Any
    b: Any


@attrs.frozen
class PageDifference:
    """A page that only one side has (`a` or `b`, then its type, level and size are told), or that differs."""

    page_id: str
    only: str | None
    changes: tuple[Changed, ...]


@attrs.frozen
class FieldDifference:
    """A field of the durable store that differs: its versions (0: none) and its values as text (None: none)."""

    scope: str
    field: str
    a_version: int
    b_version: int
    a: str | None
    b: str | None


@attrs.frozen
class PromptDifference:
    """Differences of two prompts' texts: pages that only one holds, lines only in one, and the unified diff."""

    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    lines_a: int
    lines_b: int
    unified: tuple[str, ...]


@attrs.frozen
class Diff:
    """Everything that differs between two moments; `prompt` is None where the prompts are the same text."""

    a: Side
    b: Side
    settings: tuple[Changed, ...]
    pages: tuple[PageDifference, ...]
    store: tuple[FieldDifference, ...]
    prompt: PromptDifference | None

    @property
    def same(self) -> bool:
        """Tell whether nothing differs."""
        return not (self.settings or self.pages or self.store or self.prompt)


@attrs.frozen
class _Moment:
    """A state with the means to read the texts behind it."""

    log: EventLog
    session_id: str
    state: State
    vault: Vault

    def text(self, commitment: str | None) -> str | None:
        body = None if commitment is None else self.vault.open(commitment)
        return None if body is None else decode(body)


def diff(
    log: EventLog, a: tuple[str, int | None], b: tuple[str, int | None], *, other: EventLog | None = None
) -> Diff:
    """Tell what differs between two moments, each a session and a version of it (None: its end).

    The second is of the log `other` where it is given. Raises `UsageError` for no such session or version.
    """
    one, two = _moment(log, *a), _moment(log if other is None else other, *b)
    (side_a, prompt_a), (side_b, prompt_b) = _side(one), _side(two)
    return Diff(
        side_a,
        side_b,
        tuple(_settings(one.state, two.state)),
        tuple(_pages(one, two)),
        tuple(_fields(one, two)),
        _prompts(prompt_a, prompt_b),
    )


def _moment(log: EventLog, session_id: str, version: int | None) -> _Moment:
    last = require_session(log, session_id)
    state = state_at(log, session_id, last if version is None else version)
    return _Moment(log, session_id, state, log.vault(session_id))


# ------------------------------------------------------------------------------------------- settings


def settings_of(
    log: EventLog, a: tuple[str, int | None], other: EventLog, b: tuple[str, int | None]
) -> tuple[Changed, ...]:
    """The settings in which two moments differ, the second one of `other`."""
    return tuple(_settings(_moment(log, *a).state, _moment(other, *b).state))


def _settings(a: State, b: State) -> Iterator[Changed]:
    was, now = _flat(_setup(a)), _flat(_setup(b))
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            yield Changed(name, was.get(name), now.get(name))


def _setup(state: State) -> Mapping[str, Any]:
    opened = state.opened
    assert opened is not None
    return {
        "budget_tokens": state.budget_tokens,
        "counter": opened.counter,
        "on_pressure": state.on_pressure,
        "project": opened.project,
        "misfits": opened.misfits,
        "directory_tokens": opened.directory_tokens,
        "policy": msgspec.to_builtins(attrs.asdict(state.profile)),
    }


def _flat(found: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{path}{name}.")
        else:
            flat[path + name] = value
    return flat


# ---------------------------------------------------------------------------------------------- pages


def _touched(a: _Moment, b: _Moment) -> Collection[str]:
    """The pages that may differ: of one session those that the events between the moments are about, else all."""
    if a.log is not b.log or a.session_id != b.session_id:
        return a.state.pages.keys() | b.state.pages.keys()
    first, last = sorted((a, b), key=lambda each: each.state.version)
    state = state_at(first.log, first.session_id, first.state.version)
    between = read_session(first.log, first.session_id, state.version, last.state.version)
    fold((row.data for row in between), state)
    looked_at = state.pages.looked_at() if isinstance(state.pages, Lazy) else state.pages.items()
    moved = a.state.resident.items() ^ b.state.resident.items()
    return {page_id for page_id, _ in (*looked_at, *moved)}


def _pages(a: _Moment, b: _Moment) -> Iterator[PageDifference]:
    known_a, known_b = a.state.pages, b.state.pages
    touched = sorted(_touched(a, b), key=lambda each: (len(each), each))
    for pages in (known_a, known_b):
        load(pages, touched)
    for page_id in touched:
        one, two = known_a.get(page_id), known_b.get(page_id)
        if one is None or two is None:
            side, moment, page = ("a", a, one) if two is None else ("b", b, two)
            assert page is not None
            facts = _facts(moment.state, page)
            told = {"type": page.page_type, "level": facts["level"], "full_tokens": page.full_tokens}
            yield PageDifference(page_id, side, tuple(_one_sided(told, side)))
        elif changes := tuple(_changes(a, b, one, two)):
            yield PageDifference(page_id, None, changes)


def _one_sided(told: Mapping[str, Any], side: str) -> Iterator[Changed]:
    for name, value in told.items():
        yield Changed(name, value if side == "a" else None, value if side == "b" else None)


def _changes(a: _Moment, b: _Moment, one: Page, two: Page) -> Iterator[Changed]:
    was, now = _facts(a.state, one), _facts(b.state, two)
    for name, value in was.items():
        if value != now[name]:
            yield Changed(name, value, now[name])
    if one.bodies[FULL] != two.bodies[FULL] and a.text(one.bodies[FULL]) != b.text(two.bodies[FULL]):
        yield Changed("text", one.full_tokens, two.full_tokens)


def _facts(state: State, page: Page) -> Mapping[str, Any]:
    """Fields of a page that are compared, beside its text."""
    status = "retired" if page.retired else "redacted" if page.redacted else "destroyed" if page.gone else "present"
    return {
        "type": page.page_type,
        "content_version": page.content_version,
        "level": LADDER[state.resident.get(page.page_id, ABSENT)],
        "pin": page.pin,
        "dirty": page.dirty,
        "active": page.active,
        "status": status,
    }


# ---------------------------------------------------------------------------------------------- store


def _fields(a: _Moment, b: _Moment) -> Iterator[FieldDifference]:
    was, now = _committed(a), _committed(b)
    for key in sorted(was.keys() | now.keys()):
        one, two = was.get(key, []), now.get(key, [])
        if one == two:
            continue
        text_a, text_b = _value(a, one), _value(b, two)
        if len(one) != len(two) or text_a != text_b:
            yield FieldDifference(*key, len(one), len(two), text_a, text_b)


def _committed(moment: _Moment) -> dict[FieldKey, list[tuple[Op, str]]]:
    """The committed changes of every field of a state, in order: operations and commitments."""
    found: dict[FieldKey, list[tuple[Op, str]]] = {}
    own = [
        update for update in moment.state.updates.values() if update.field_version and update.facts.scope == SESSION
    ]
    for update in sorted(own, key=lambda update: update.field_version):
        facts = update.facts
        found.setdefault((SESSION, facts.field), []).append((facts.op, facts.value))
    for scope, seen in moment.state.scopes.items():
        for row in moment.log.read(scope, upto=seen):
            if isinstance(row.data, ScopeChanged):
                found.setdefault((scope, row.data.field), []).append((row.data.op, row.data.value))
    return found


def _value(moment: _Moment, changes: list[tuple[Op, str]]) -> str | None:
    """Return the value of a field after its changes, as text: what was set last as it was given, else JSON."""
    if not changes:
        return None
    op, value = changes[-1]
    if op is Op.SET_WITH_VERSION:
        return moment.text(value)
    folded = fold_values([(op, moment.vault.open(value)) for op, value in changes])
    return msgspec.json.encode(folded, order="sorted").decode()


# --------------------------------------------------------------------------------------------- prompts


@attrs.frozen
class _Prompt:
    text: str = ""
    pages: tuple[str, ...] = ()


def _side(moment: _Moment) -> tuple[Side, _Prompt]:
    state = moment.state
    if not state.assembled_version:
        return Side(moment.session_id, state.version, state.turn, None, None), _Prompt()
    shown = prompt_at(moment.log, moment.session_id, state.version)
    side = Side(moment.session_id, state.version, state.turn, shown.turn, shown.assembled.tokens)
    return side, _Prompt(shown.text, tuple(shown.levels))


def _prompts(a: _Prompt, b: _Prompt) -> PromptDifference | None:
    if a.text == b.text:
        return None
    unified = tuple(difflib.unified_diff(a.text.split("\n"), b.text.split("\n"), "a", "b", lineterm=""))
    body = unified[2:]
    return PromptDifference(
        tuple(page_id for page_id in a.pages if page_id not in b.pages),
        tuple(page_id for page_id in b.pages if page_id not in a.pages),
        sum(line.startswith("-") for line in body),
        sum(line.startswith("+") for line in body),
        unified,
    )
