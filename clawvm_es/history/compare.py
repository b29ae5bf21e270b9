"""Compare two runs: their first divergence, and the number of differences of each kind.

Steps (`history.steps`) are aligned by content, then by tool or author, then by kind, so that one additional call does
not make everything after it differ. Events that follow a step are compared with those that follow its counterpart.
Pages, calls and updates of the second run are renumbered as in the first.

LAW-COMPARE-1: a run does not differ from itself, nor a parent from its untouched fork; swapping the runs pairs the
same steps. Places in a log (versions, turns), salts, commitments, times and the provider's token counts are no
differences; times and token counts are compared on request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, zip_longest
from typing import Any, Final

import attrs
import msgspec

from clawvm_es.engine.values import Change, changed_values, preview
from clawvm_es.history.align import Item, align
from clawvm_es.history.diff import Changed, settings_of
from clawvm_es.history.origins import require_session
from clawvm_es.history.steps import COMMITMENT_CHARS, KINDS, Group, Step, Steps
from clawvm_es.journal import codec
from clawvm_es.journal.codec import COMMITMENT_FIELDS
from clawvm_es.journal.lineage import lineage
from clawvm_es.journal.ports import EventLog, Recorded

CHANGES_MAX: Final = 20
"""Differing fields that are kept of one pair of events."""
_PLACES: Final = frozenset(
    ("evidence", "version", "scope_version", "first", "last", "commitments", "levels", "prompt")
)
"""Fields of events that tell a place, or a text by what only its session knows of it."""
_LOCAL: Final = frozenset(("needs", "signature", "source", "origin", "group", "slot", "model"))
"""Fields that the edge worked out for one session; what follows from them is decided, and compared there."""
_COUNTED: Final = frozenset(("input_tokens", "cached_tokens", "output_tokens"))
_PAGES: Final = frozenset(("page_id", "pages", "hints", "retrieved", "field"))


@attrs.frozen
class At:
    """A place in one run: an event's version and turn."""

    version: int
    turn: int


@attrs.frozen
class Divergence:
    """One event that differs, or that only one run has: its kind, type and owner, and its place in each run.

    `changes` are the differing fields; `said` is the content, on one line, of an event that only one run has.
    """

    kind: str
    type: str
    who: str
    a: At | None
    b: At | None
    changes: tuple[Change, ...] = ()
    said: str = ""

    @property
    def how(self) -> str:
        """Kind of divergence: `changed`, `only_a` or `only_b`."""
        return "only_b" if self.a is None else "only_a" if self.b is None else "changed"

    @property
    def place(self) -> str:
        """Place: turn, event, type; also the event of `b` if its number differs."""
        at = self.a or self.b
        assert at is not None
        other = f" (b: {self.b.version})" if self.a and self.b and self.a.version != self.b.version else ""
        return f"turn {at.turn}, event {at.version}{other} {self.type}"

    def __str__(self) -> str:
        if self.how != "changed":
            return f"{self.place}: only in {self.how[-1]}{f': {self.said}' if self.said else ''}"
        others = len(self.changes) - 1
        more = f" (and {others} more field{'s' if others > 1 else ''})" if others else ""
        return f"{self.place}, {self.changes[0]}{more}"


@attrs.frozen
class Comparison:
    """Differences of two runs: in their settings, and event by event, in the order of the runs.

    `counts` is the number of events of each kind that changed or are in one run only (`Divergence.how`). `erased`
    counts pairs of texts that were both erased, so that they cannot be compared.
    """

    settings: tuple[Changed, ...]
    divergences: tuple[Divergence, ...]
    erased: int = 0

    @property
    def same(self) -> bool:
        """True if nothing differs."""
        return not (self.settings or self.divergences)

    @property
    def first(self) -> Divergence | None:
        """First divergence of the runs; None if there is none."""
        return self.divergences[0] if self.divergences else None

    @property
    def firsts(self) -> Mapping[str, Divergence]:
        """Kind → the first divergent event of that kind."""
        return {each.kind: each for each in reversed(self.divergences)}

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Kind → `Divergence.how` → number of events, for the kinds that differ."""
        found = {kind: Counter(each.how for each in self.divergences if each.kind == kind) for kind in KINDS}
        return {kind: dict(sorted(counted.items())) for kind, counted in found.items() if counted}


def compare(
    log: EventLog,
    a: tuple[str, int | None],
    b: tuple[str, int | None],
    *,
    other: EventLog | None = None,
    times: bool = False,
) -> Comparison:
    """Compare two runs, each a session up to a version (None: its end); `b` is in the log `other` if given.

    With `times`, also compare the times of events and the provider's token counts. Raises `UsageError` for an unknown
    session.
    """
    second = other if other is not None else log
    ends = [upto or require_session(where, name) for where, (name, upto) in ((log, a), (second, b))]
    after = _shared(log, (a[0], ends[0]), (b[0], ends[1])) if second is log else 0
    one, two = Steps(log, a[0], after, ends[0], times), Steps(second, b[0], after, ends[1], times)
    runs = _Runs(one, two, times)
    divergences = tuple(runs.divergences())
    return Comparison(settings_of(log, a, second, b), divergences, runs.erased)


def _shared(log: EventLog, a: tuple[str, int], b: tuple[str, int]) -> int:
    """The last version at which both runs have the same event: in a parent, up to the fork."""
    shared = 0
    for one, two in zip(lineage(log, *a), lineage(log, *b), strict=False):
        if one.stream != two.stream:
            break
        shared = min(one.upto or a[1], two.upto or b[1])
    return shared


class _Runs:
    """Two runs during a comparison, with the counterparts of pages, calls and updates."""

    def __init__(self, a: Steps, b: Steps, times: bool) -> None:
        self._a = a
        self._b = b
        self._left_out = _PLACES | _LOCAL | (frozenset() if times else _COUNTED)
        self._times = times
        self._names: dict[tuple[str, Any], Any] = {}  # (what, number in b) → number in a, where they are others
        self.erased = 0

    def divergences(self) -> Iterator[Divergence]:
        """Every divergent event, in order."""
        for one, two in self._groups():
            yield from self._compared(one, two)

    def _groups(self) -> Iterator[tuple[Group | None, Group | None]]:
        """Groups side by side; nothing is kept while they are equal."""
        a, b = self._a.groups(), self._b.groups()
        for one, two in zip_longest(a, b):
            if one is None or two is None or one.key != two.key:
                yield from align(_items(one, a), _items(two, b))
                return
            yield one, two

    def _compared(self, a: Group | None, b: Group | None) -> Iterator[Divergence]:
        """Yield the differences of two groups, or the content of one that has no counterpart."""
        one, two = a.step if a else None, b.step if b else None
        self._meet(_rows(a), _rows(b))
        if one is not None or two is not None:
            yield from self._steps(one, two)
        if a is None or b is None:
            for row in _rest(a or b):
                told = self._plain(row, self._a if a else self._b, rename=False)
                yield self._alone(_kind(row), row.principal, row, a is not None, _line(told))
        elif self._names or self._times or list(map(_bytes, a.rest)) != list(map(_bytes, b.rest)):
            rows_a, rows_b = [self._item(row, "a") for row in a.rest], [self._item(row, "b") for row in b.rest]
            for was, now in align(rows_a, rows_b):
                yield from self._events(was, now)

    def _steps(self, a: Step | None, b: Step | None) -> Iterator[Divergence]:
        """A step of both runs, or of one of them."""
        if a is not None and b is not None:
            if a.erased and b.erased:
                self.erased += 1
            if a.key != b.key:
                changes = changed_values(self._a.content(a), self._b.content(b))
                yield _changed(a.kind, a.who, a.row, b.row, changes)
            return
        step, steps = (a, self._a) if a is not None else (b, self._b)
        assert step is not None
        said = _said(step.kind, step.who, steps.content(step))
        yield self._alone(step.kind, step.who, step.row, a is not None, said)

    def _events(self, a: _Told | None, b: _Told | None) -> Iterator[Divergence]:
        """An event that follows a step, in both runs or in one of them."""
        one = a or b
        assert one is not None
        kind, who = _kind(one.row), one.row.principal
        if a is None or b is None:
            yield self._alone(kind, who, one.row, a is not None, _line(one.content))
        elif a.content != b.content:
            yield _changed(kind, who, a.row, b.row, changed_values(a.content, b.content))

    @staticmethod
    def _alone(kind: str, who: str, row: Recorded, in_a: bool, said: str) -> Divergence:
        at = At(row.version, row.turn)
        return Divergence(kind, row.type, who, at if in_a else None, None if in_a else at, said=said)

    # ------------------------------------------------------------------------- pages, calls, updates

    def _meet(self, a: Sequence[Recorded], b: Sequence[Recorded]) -> None:
        """Pair the numbers given in two groups, in order; the remaining ones exist in one run only."""
        for what, field in (("page", "page_id"), ("call", "call"), ("update", "update")):
            was, now = (list(dict.fromkeys(_given(rows, what, field))) for rows in (a, b))
            for place, number in enumerate(now):
                if (what, number) in self._names and place >= len(was):
                    continue  # a page that is written again
                mine = was[place] if place < len(was) else f"{number} of b"
                if mine == number:
                    self._names.pop((what, number), None)
                else:
                    self._names[what, number] = mine

    def _item(self, row: Recorded, side: str) -> Item[_Told]:
        told = self._plain(row, self._a if side == "a" else self._b, rename=side == "b")
        who = str(told.get("page_id") or told.get("field") or told.get("boundary") or "")
        return Item(_Told(row, told), ((row.type, repr(sorted(told.items()))), (row.type, who), row.type))

    def _plain(self, row: Recorded, steps: Steps, rename: bool) -> dict[str, Any]:
        """The data of an event without places, with texts, and with the first run's numbers."""

        def plain(name: str, value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(key, item) for key, item in value.items() if kept(key, item)}
            if isinstance(value, list):
                return [plain(name, item) for item in value]
            if name in COMMITMENT_FIELDS and isinstance(value, str) and len(value) == COMMITMENT_CHARS:
                return steps.text(value)
            return self._names.get(("page" if name in _PAGES else name, value), value) if rename else value

        def kept(name: str, value: Any) -> bool:
            if name == "digest":
                return not self._names  # it is over the numbers of pages
            return name not in self._left_out or (name == "evidence" and isinstance(value, dict))

        told: dict[str, Any] = plain("", msgspec.json.decode(codec.encode(row.data)))
        return told | ({"at": row.at_us} if self._times else {})


@attrs.frozen
class _Told:
    """An event and its compared content."""

    row: Recorded
    content: dict[str, Any]


def _items(first: Group | None, more: Iterable[Group]) -> list[Item[Group]]:
    """The rest of a run as items to align: by content, by tool or author, by kind."""
    found = []
    for group in chain((first,) if first else (), more):
        step = group.step
        found.append(Item(group, (group.key, (step.kind, step.who) if step else None, step.kind if step else None)))
    return found


def _rows(group: Group | None) -> list[Recorded]:
    if group is None:
        return []
    return group.rest if group.step is None else [group.step.row, *group.rest]


def _rest(group: Group | None) -> list[Recorded]:
    """The events of a group that hold more than its step."""
    return [row for row in (group.rest if group else ()) if row.type != "page_written"]


def _bytes(row: Recorded) -> tuple[str, int, bytes]:
    return row.type, row.schema_version, row.raw


def _line(content: Mapping[str, Any]) -> str:
    """The data of an event on one line."""
    return " ".join(f"{name}={preview(value)}" for name, value in content.items() if value not in ([], {}, ""))


def _given(rows: Iterable[Recorded], what: str, field: str) -> Iterator[Any]:
    """The numbers that events give to new pages, calls and updates, in order."""
    types = {"page": ("page_written",), "call": ("tool_called",), "update": ("update_staged", "dirty_page_staged")}
    return (getattr(row.data, field) for row in rows if row.type in types[what])


def _kind(row: Recorded) -> str:
    if row.type == "model_responded":
        return "said"
    return "decided" if row.kind == "decision" or row.type == "prompt_rendered" else "harness"


def _changed(kind: str, who: str, a: Recorded, b: Recorded, changes: Iterable[Change]) -> Divergence:
    """A pair of differing events."""
    one, two = At(a.version, a.turn), At(b.version, b.turn)
    return Divergence(kind, a.type, who, one, two, tuple(islice(changes, CHANGES_MAX)))


def _said(kind: str, who: str, content: Mapping[str, Any]) -> str:
    """Return the text of a step on one line."""
    value = content.get("arguments") if kind == "called" else content.get("text", content.get("result", ""))
    return f"{who} {preview(value)}"
