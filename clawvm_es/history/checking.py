"""`check`: test a claim about a session against its prompts, such as `resident(plan) at turn 40` or `misses < 3`.

| claim | true if EXPR holds |
|---|---|
| EXPR `at turn` N | for the prompt that was sent at turn N |
| `always` EXPR | for every prompt |
| `never` EXPR | for no prompt |
| EXPR | for the last prompt; at the session's end if EXPR names no page |

EXPR is in the language of `expressions`. A bare page type means every page of the type that a prompt could hold at
the time: the claim must hold for each.

LAW-CHECK-1: a claim about a page or turn that does not exist is refused, never true.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from math import prod
from typing import Final

import attrs

from clawvm_es.core.evolve import apply
from clawvm_es.core.state import State
from clawvm_es.errors import UsageError
from clawvm_es.history.expressions import Question, Seen, counts, pages_named, question
from clawvm_es.history.recording import RecordedSession
from clawvm_es.history.whatif import Setting, events_under
from clawvm_es.journal.lineage import SessionRows
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model.events import Event, PromptAssembled
from clawvm_es.model.pages import PageType

_FORM: Final = re.compile(r"\s*(?:(never|always)\s+)?(.+?)(?:\s+at\s+turn\s+([0-9]{1,9}))?\s*", re.DOTALL)
_TYPES: Final = frozenset(map(str, PageType))
_COMBINATIONS: Final = 100_000
"""Choices of pages of one prompt that a claim about several types may come to."""


@attrs.frozen
class Claim:
    """A parsed claim: `quantifier` is `never`, `always` or empty, `turn` the turn that it names."""

    text: str
    expression: str
    quantifier: str
    turn: int | None
    named: tuple[str, ...]

    @property
    def types(self) -> tuple[str, ...]:
        """The page types in the claim, each of which means all its pages."""
        return tuple(name for name in self.named if name in _TYPES)


@attrs.frozen
class Verdict:
    """Outcome of a claim: `turn` and `pages` are those that show it false, or the last ones checked."""

    claim: Claim
    holds: bool
    turn: int
    version: int
    pages: tuple[str, ...]
    prompts: int


def claim(text: str) -> Claim:
    """Parse a claim. Raises `UsageError` with the place of the mistake."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise UsageError("the claim is empty", hint="for example: resident(plan) at turn 40")
    quantifier, expression, turn = found[1] or "", found[2], found[3]
    if quantifier and turn is not None:
        raise UsageError(f"claim {text!r}: {quantifier} is about every prompt", hint="leave `at turn` out")
    return Claim(text.strip(), expression, quantifier, None if turn is None else int(turn), pages_named(expression))


def check(events: Iterable[Event], told: Claim) -> Verdict:
    """Test a claim against the events of a session. Raises `UsageError` for a page or turn that does not exist."""
    checker = _Checker(told)
    for event in events:
        checker.see(event)
        if checker.decided:
            break
    return checker.verdict()


def check_session(log: EventLog, session_id: str, text: str, setting: Setting | None = None) -> Verdict:
    """Test a claim against a session of a log, as recorded or with its inputs decided under another setting."""
    told = claim(text)
    rows = SessionRows.of(log, session_id)
    if rows is None:
        raise UsageError(f"there is no session {session_id}")
    return check(_events(rows, setting, log.vault(session_id).open), told)


def check_recording(session: RecordedSession, text: str, setting: Setting | None = None) -> Verdict:
    """Test a claim against a session read from a file, which holds no texts."""
    return check(_events(session.rows, setting, lambda name: None), claim(text))


def _events(
    rows: Iterable[Recorded], setting: Setting | None, open_: Callable[[str], bytes | None]
) -> Iterator[Event]:
    return (row.data for row in rows) if setting is None else events_under(rows, setting, open_)


@attrs.define
class _Checker:
    """Folds a session and tests the claim at its prompts."""

    claim: Claim
    state: State = attrs.field(factory=State)
    counted: Counter[str] = attrs.field(factory=Counter)
    questions: dict[tuple[str, ...], Question] = attrs.field(factory=dict)
    prompts: int = 0
    asked: set[str] = attrs.field(factory=set)  # pages and types that some prompt could hold
    missing: list[str] = attrs.field(factory=list)  # those that the prompt asked last could not
    last: Verdict | None = None
    decided: bool = False

    def see(self, event: Event) -> None:
        """Fold an event."""
        apply(self.state, event)
        self.counted.update(counts(event))
        if isinstance(event, PromptAssembled):
            self.prompts += 1
            self._prompt()

    def _prompt(self) -> None:
        told = self.claim
        if told.quantifier:
            self.last = self._ask()
            self.decided = not self.last.holds
        elif told.turn == self.state.turn or (told.turn is None and told.named):
            self.last, self.decided = self._ask(), told.turn is not None

    def verdict(self) -> Verdict:
        """The outcome, after the last event."""
        told = self.claim
        if told.turn is None and not told.quantifier and not told.named:
            return self._ask()
        if self.last is None:
            what = f"turn {told.turn}" if told.turn is not None else "prompt"
            raise UsageError(
                f"claim {told.text!r}: the session has no {what}", hint=f"it has {self.state.turn} turns"
            )
        never_there = [name for name in told.named if name not in self.asked]
        if missing := never_there if told.quantifier else self.missing:
            what = f"page of type {missing[0]}" if missing[0] in _TYPES else f"page {missing[0]}"
            place = "any prompt" if told.quantifier else f"the prompt of turn {self.last.turn}"
            raise UsageError(f"claim {told.text!r}: there is no {what} for {place}", hint="clawvm pages lists them")
        return self.last

    def _ask(self) -> Verdict:
        """Test every choice of pages."""
        told, wanted = self.claim, self.claim.quantifier != "never"
        seen = Seen(self.state, lambda name: self.counted[name])
        pages: tuple[str, ...] = ()
        for pages in self._pages():
            if self._question(pages)(seen) is not wanted:
                return Verdict(told, False, self.state.turn, self.state.version, pages, self.prompts)
        return Verdict(told, True, self.state.turn, self.state.version, pages, self.prompts)

    def _pages(self) -> Iterator[tuple[str, ...]]:
        """Each choice of pages for the types; none if a named page does not exist yet."""
        found: dict[str, list[str]] = {name: [] for name in self.claim.types}
        for page in self.state.pages.values() if found else ():
            if page.page_type.value in found and self.state.holdable(page):
                found[page.page_type.value].append(page.page_id)
        self.missing = [name for name in self.claim.named if name not in found and name not in self.state.pages]
        self.missing += [name for name, pages in found.items() if not pages]
        self.asked.update(name for name in self.claim.named if name not in self.missing)
        if prod(map(len, found.values())) > _COMBINATIONS:
            raise UsageError(f"claim {self.claim.text!r}: too many choices of pages", hint="name fewer page types")
        return iter(()) if self.missing else product(*found.values())

    def _question(self, pages: tuple[str, ...]) -> Question:
        if pages not in self.questions:
            names = dict(zip(self.claim.types, pages, strict=True))
            self.questions[pages] = question(self.claim.expression, names)
        return self.questions[pages]
