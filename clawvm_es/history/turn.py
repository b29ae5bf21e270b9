"""One whole turn of a session: its prompt span by span, the changes of its assembly, what followed, and its events.

The state is loaded once, at the assembly, so the cost depends on the prompt and the events of the turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import attrs

from clawvm_es.core.evolve import fold
from clawvm_es.core.state import State
from clawvm_es.engine.render import Rendering, renderer_of
from clawvm_es.engine.renderers import recorded
from clawvm_es.history.origins import Origins
from clawvm_es.history.places import ShownPrompt, prompt_of, range_of_turn, state_at
from clawvm_es.history.provenance import Span, spans_of
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.model import events as e
from clawvm_es.model.pages import Author, Fidelity


@attrs.frozen
class Moved:
    """A page whose level was changed by an assembly, or by a boundary before it: both levels, and the reason."""

    page_id: str
    before: Fidelity
    after: Fidelity
    reason: str
    version: int


@attrs.frozen
class TurnView:
    """One turn.

    `first` and `last` are its versions, `before` the last version of the turn before. `shown` is None if the turn
    assembled no prompt; `state` is the one right after the assembly.
    """

    session_id: str
    turn: int
    first: int
    last: int
    rows: tuple[Recorded, ...]
    state: State
    shown: ShownPrompt | None
    spans: tuple[Span, ...]

    @property
    def moved(self) -> tuple[Moved, ...]:
        """The level changes of the assembly, in its order."""
        found = []
        for row in self.rows:
            if isinstance(row.data, e.RepresentationChanged):
                data = row.data
                found.append(Moved(data.page_id, data.before, data.after, str(data.reason), row.version))
            elif isinstance(row.data, e.PromptAssembled):
                return tuple(found)
        return ()

    @property
    def counts(self) -> Counter[type[e.Event]]:
        """Events of the turn by type."""
        return Counter(type(row.data) for row in self.rows)

    @property
    def responded(self) -> e.ModelResponded | None:
        """The model's answer; None if there was none."""
        return next((row.data for row in self.rows if isinstance(row.data, e.ModelResponded)), None)

    @property
    def answer(self) -> Recorded | None:
        """The event that wrote the model's answer as a page; None if the answer had no text."""
        answered = False
        for row in self.rows:
            answered = answered or isinstance(row.data, e.PromptAssembled)
            if answered and isinstance(row.data, e.PageWritten) and row.data.author is Author.MODEL:
                return row
        return None


def turn(log: EventLog, session_id: str, number: int) -> TurnView:
    """One turn of a session. Raises `UsageError` for an unknown turn."""
    before, last = range_of_turn(log, session_id, number)
    rows = tuple(read_session(log, session_id, before, last))
    at = next((row.version for row in rows if isinstance(row.data, e.PromptAssembled)), None)
    state = state_at(log, session_id, last if at is None else at)
    if at is None:
        return TurnView(session_id, number, before + 1, last, rows, state, None, ())
    renderer = recorded(log, session_id, log.vault(session_id).open_all, renderer_of(log, session_id, at))
    return _viewed(log, session_id, number, (before, last), rows, state, renderer)


def turns(log: EventLog, session_id: str) -> Iterator[TurnView]:
    """All turns of a session that have a prompt, in one pass; each state is valid only until the next is taken."""
    renderer: Rendering | None = None
    state, before = State(), 0
    for rows in _by_turn(read_session(log, session_id)):
        number, last = rows[0].turn, rows[-1].version
        place = next((at for at, row in enumerate(rows) if isinstance(row.data, e.PromptAssembled)), None)
        if place is not None:
            fold((row.data for row in rows[: place + 1]), state)
            name = renderer_of(log, session_id, rows[place].version)
            if renderer is None or renderer.name != name:
                renderer = recorded(log, session_id, log.vault(session_id).open_all, name)
            yield _viewed(log, session_id, number, (before, last), tuple(rows), state, renderer)
        fold((row.data for row in rows[0 if place is None else place + 1 :]), state)
        before = last


def _by_turn(rows: Iterator[Recorded]) -> Iterator[list[Recorded]]:
    part: list[Recorded] = []
    for row in rows:
        if part and row.turn != part[0].turn:
            yield part
            part = []
        part.append(row)
    if part:
        yield part


def _viewed(
    log: EventLog,
    session_id: str,
    number: int,
    versions: tuple[int, int],
    rows: Sequence[Recorded],
    state: State,
    renderer: Rendering,
) -> TurnView:
    """The view of a turn, from the state right after its assembly."""
    assembled = next(row for row in rows if isinstance(row.data, e.PromptAssembled))
    shown = prompt_of(log, session_id, state, renderer, assembled, _rendered(rows))
    spans = spans_of(Origins(log, session_id, state), shown)
    return TurnView(session_id, number, versions[0] + 1, versions[1], tuple(rows), state, shown, spans)


def _rendered(rows: Sequence[Recorded]) -> e.PromptRendered | None:
    return next((row.data for row in rows if isinstance(row.data, e.PromptRendered)), None)
