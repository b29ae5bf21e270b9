"""`diff`: the differences between two moments, of one session or of two.

LAW-DIFF-1: a moment does not differ from itself, nor a parent at the version of a fork from its untouched fork;
swapping the moments gives the same differences. Places in a log (versions, turns, times) are no differences.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import attrs
import msgspec

from clawvm_es.core.state import FieldKey, Page, State
from clawvm_es.engine.scopes import SESSION
from clawvm_es.engine.store import fold_values
from clawvm_es.history.origins import require_session
from clawvm_es.history.places import check_place, fold_on, last_assembly, prompt_in, state_at
from clawvm_es.journal.ports import EventLog, Recorded, Vault
from clawvm_es.journal.snapshots import Lazy, load
from clawvm_es.model.events import PromptRendered, ScopeChanged
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
    """One differing thing, by name, with both values; None if one side has none."""

    name: str
    a: Any
    b: Any


@attrs.frozen
class PageDifference:
    """A differing page, or one that only one side has (`a` or `b`, with its type, level and size)."""

    page_id: str
    only: str | None
    changes: tuple[Changed, ...]


@attrs.frozen
class FieldDifference:
    """A differing field of the durable store: its versions (0: none) and its values as text (None: none)."""

    scope: str
    field: str
    a_version: int
    b_version: int
    a: str | None
    b: str | None


@attrs.frozen
class PromptDifference:
    """Differences of two prompts' texts: pages and lines in one only, and the unified diff."""

    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    lines_a: int
    lines_b: int
    unified: tuple[str, ...]


@attrs.frozen
class Diff:
    """All differences between two moments; `prompt` is None if the prompts have the same text."""

    a: Side
    b: Side
    settings: tuple[Changed, ...]
    pages: tuple[PageDifference, ...]
    store: tuple[FieldDifference, ...]
    prompt: PromptDifference | None

    @property
    def same(self) -> bool:
        """True if nothing differs."""
        return not (self.settings or self.pages or self.store or self.prompt)


@attrs.frozen
class _Prompt:
    """The last assembled prompt: its turn and tokens (None: there is none), its text and its pages."""

    turn: int | None = None
    tokens: int | None = None
    text: str = ""
    pages: tuple[str, ...] = ()


@attrs.frozen
class _Moment:
    """A state with the means to read its texts, and the last assembled prompt."""

    log: EventLog
    session_id: str
    state: State
    vault: Vault
    prompt: _Prompt

    def text(self, commitment: str | None) -> str | None:
        body = None if commitment is None else self.vault.open(commitment)
        return None if body is None else decode(body)

    @property
    def side(self) -> Side:
        state, prompt = self.state, self.prompt
        return Side(self.session_id, state.version, state.turn, prompt.turn, prompt.tokens)


def diff(
    log: EventLog, a: tuple[str, int | None], b: tuple[str, int | None], *, other: EventLog | None = None
) -> Diff:
    """Return the differences between two moments, each a session and a version of it (None: its end).

    The second is in the log `other` if given. Raises `UsageError` for an unknown session or version.
    """
    one, two, touched = _moments(log, a, log if other is None else other, b)
    return Diff(
        one.side,
        two.side,
        tuple(_settings(one.state, two.state)),
        tuple(_pages(one, two, touched)),
        tuple(_fields(one, two)),
        _prompts(one.prompt, two.prompt),
    )


def _moments(
    log: EventLog, a: tuple[str, int | None], other: EventLog, b: tuple[str, int | None]
) -> tuple[_Moment, _Moment, Collection[str]]:
    """Both moments, and the pages that may differ: in one session, those of events in between; else all."""
    places = [_place(log, *a), _place(other, *b)]
    if log is not other or a[0] != b[0]:
        one, two = _moment(log, a[0], places[0]), _moment(other, b[0], places[1])
        return one, two, one.state.pages.keys() | two.state.pages.keys()
    first = _moment(log, a[0], min(places))
    last = _moment(log, a[0], max(places), first)
    pages = last.state.pages
    looked_at = pages.looked_at() if isinstance(pages, Lazy) else pages.items()
    moved = first.state.resident.items() ^ last.state.resident.items()
    touched = {page_id for page_id, _ in (*looked_at, *moved)}
    return (first, last, touched) if places[0] <= places[1] else (last, first, touched)


def _place(log: EventLog, session_id: str, version: int | None) -> int:
    require_session(log, session_id)
    return check_place(log, session_id, version)


def _moment(log: EventLog, session_id: str, version: int, before: _Moment | None = None) -> _Moment:
    """A moment; its prompt is rendered on the way to its state.

    If `before` is an earlier moment of the same session, the state is folded from there, so that the state holds all
    pages of the events in between.
    """
    assembly = last_assembly(log, session_id, version)
    start = version if assembly is None else assembly[0].version
    if before is None:
        state = state_at(log, session_id, start)
    else:
        state = state_at(log, session_id, before.state.version)
        fold_on(log, session_id, state, start)
    same = before is not None and start <= before.state.version
    prompt = before.prompt if before is not None and same else _prompt(log, session_id, state, assembly)
    return _Moment(log, session_id, fold_on(log, session_id, state, version), log.vault(session_id), prompt)


def _prompt(
    log: EventLog, session_id: str, state: State, assembly: tuple[Recorded, PromptRendered | None] | None
) -> _Prompt:
    """The prompt of a state right after its assembly."""
    if assembly is None:
        return _Prompt()
    shown = prompt_in(log, session_id, state, assembly[0], None)  # nobody asks here for what was committed to
    return _Prompt(shown.turn, shown.assembled.tokens, shown.text, tuple(shown.levels))


# ------------------------------------------------------------------------------------------- settings


def settings_of(
    log: EventLog, a: tuple[str, int | None], other: EventLog, b: tuple[str, int | None]
) -> tuple[Changed, ...]:
    """The settings in which two moments differ; the second is in the log `other`."""
    one, two = (
        state_at(each, session_id, _place(each, session_id, at)) for each, (session_id, at) in ((log, a), (other, b))
    )
    return tuple(_settings(one, two))


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


def _pages(a: _Moment, b: _Moment, among: Collection[str]) -> Iterator[PageDifference]:
    known_a, known_b = a.state.pages, b.state.pages
    for pages in (known_a, known_b):
        load(pages, among)
    for page_id in sorted(among, key=lambda each: (len(each), each)):
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
    """Fields of a page to compare, other than its text."""
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
    """Return the value of a field after its changes, as text: the last value set as it was given, else JSON."""
    if not changes:
        return None
    op, value = changes[-1]
    if op is Op.SET_WITH_VERSION:
        return moment.text(value)
    folded = fold_values([(op, moment.vault.open(value)) for op, value in changes])
    return msgspec.json.encode(folded, order="sorted").decode()


# --------------------------------------------------------------------------------------------- prompts


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
