"""The state and the prompt of a session at a version of its stream, from events and snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from clawvm_es.core.evolve import fold
from clawvm_es.core.layout import levels_of_prompt
from clawvm_es.core.state import State
from clawvm_es.engine.render import Piece, Rendering, renderer_of, sealed
from clawvm_es.engine.renderers import recorded
from clawvm_es.errors import UsageError
from clawvm_es.journal import snapshots
from clawvm_es.journal.lineage import Line, lacks, read_back, read_session
from clawvm_es.journal.ports import EventLog, Recorded
from clawvm_es.journal.vault import commitment_to
from clawvm_es.model.events import PromptAssembled, PromptRendered
from clawvm_es.model.pages import LADDER, Fidelity
from clawvm_es.observe.edge import encode
from clawvm_es.representations.messages import RENDERERS

_NEAR: Final = 256
"""Events before the end of a turn among which its beginning is looked for first."""


@attrs.frozen
class ShownPrompt:
    """A prompt of the past: `version` is its `prompt_assembled`, `pieces` are its spans in order.

    Under the policy `recorded` it holds the harness's pages, not the bytes that the harness sent. `matches` says
    whether the text matches the recorded commitment; None if no commitment was recorded or its salt is gone. An
    erased page makes it False.
    """

    session_id: str
    turn: int
    version: int
    assembled: PromptAssembled
    pieces: tuple[Piece, ...]
    levels: dict[str, Fidelity]
    matches: bool | None
    policy: str = ""

    @property
    def text(self) -> str:
        """The whole prompt, without the fixed region that the harness adds."""
        return "".join(piece.text for piece in self.pieces)


def state_at(log: EventLog, session_id: str, version: int | None = None) -> State:
    """The state of a session after event `version` (by default its last). Raises `UsageError` for an unknown place.

    In a journal file the state comes from the nearest snapshot, and its pages and calls are read on access, so keep
    the log open while you use it.
    """
    check_place(log, session_id, version)
    return snapshots.state_at(log, session_id, version)


def fold_on(log: EventLog, session_id: str, state: State, upto: int) -> State:
    """Fold the next events of a session, up to a version, in place into a state of it; returns the state."""
    rows = [row.data for row in read_session(log, session_id, state.version, upto)]
    named = dict.fromkeys(snapshots.named_pages(rows))
    snapshots.load(state.pages, named)
    return fold(rows, state)


def end_of_turn(log: EventLog, session_id: str, turn: int) -> int:
    """The version of the last event of a turn; raises `UsageError` if there is no such turn."""
    return _end_of_turn(log, Line(log, session_id), turn)


def _end_of_turn(log: EventLog, line: Line, turn: int) -> int:
    head = log.head(line.session_id)
    last = 0 if head is None else head.version
    end = _last_up_to(line, turn, last)
    if end == 0 or _turn_of(line, end) != turn:
        turns = _turn_of(line, last) if last else 0
        raise UsageError(
            f"session {line.session_id} has no turn {turn}", hint=f"its last is {turns}" if turns else "it has none"
        )
    return end


def range_of_turn(log: EventLog, session_id: str, turn: int) -> tuple[int, int]:
    """The versions of the last event before a turn (0 if none) and of its last event; raises as `end_of_turn`."""
    line = Line(log, session_id)
    end = _end_of_turn(log, line, turn)
    near = max(0, end - _NEAR)
    before = next((row.version for row in reversed(list(line.read(near, end))) if row.turn < turn), None)
    if before is not None or near == 0:
        return before or 0, end
    return _last_up_to(line, turn - 1, near), end


def _last_up_to(line: Line, turn: int, high: int) -> int:
    """The last version up to `high` that belongs to `turn` or an earlier one, by binary search."""
    low = 0
    while low < high:  # the first `low` versions are of this turn or earlier ones, those above `high` of later ones
        middle = (low + high + 1) // 2
        if _turn_of(line, middle) <= turn:
            low = middle
        else:
            high = middle - 1
    return low


def _turn_of(line: Line, version: int) -> int:
    row = next(line.read(version - 1, version), None)
    if row is None:
        raise lacks(line.session_id, version)
    return row.turn


def prompt_at(log: EventLog, session_id: str, version: int | None = None) -> ShownPrompt:
    """The last prompt assembled up to `version` (by default the end), rendered again from the bodies.

    The renderer is the recorded one. Raises `UsageError` if no prompt was assembled by then, and `JournalTooNew` if a
    newer program rendered it.
    """
    return prompt_and_state(log, session_id, version)[0]


def prompt_and_state(log: EventLog, session_id: str, version: int | None = None) -> tuple[ShownPrompt, State]:
    """The prompt of `prompt_at`, and the state right after its assembly."""
    found = last_assembly(log, session_id, check_place(log, session_id, version))
    if found is None:
        raise UsageError(f"session {session_id}: no prompt was assembled up to there")
    state = state_at(log, session_id, found[0].version)  # later events may have given its pages new content
    return prompt_in(log, session_id, state, *found), state


def prompt_in(
    log: EventLog, session_id: str, state: State, assembled: Recorded, rendered: PromptRendered | None
) -> ShownPrompt:
    """The prompt of a state right after the event `assembled`, by the recorded renderer."""
    name = renderer_of(log, session_id, assembled.version)
    renderer = recorded(log, session_id, log.vault(session_id).open_all, name)
    return prompt_of(log, session_id, state, renderer, assembled, rendered)


def last_assembly(log: EventLog, session_id: str, upto: int) -> tuple[Recorded, PromptRendered | None] | None:
    """The last assembly up to a version, and the event on its rendered bytes; None if there is none."""
    rendered = None
    for row in read_back(log, session_id, upto):
        if isinstance(row.data, PromptRendered):
            rendered = rendered or row.data
        elif isinstance(row.data, PromptAssembled):
            return row, rendered
    return None


def prompt_of(
    log: EventLog,
    session_id: str,
    state: State,
    renderer: Rendering,
    assembled: Recorded,
    rendered: PromptRendered | None,
) -> ShownPrompt:
    """The prompt of a state right after the event `assembled`; `rendered` is the event on its bytes."""
    assert isinstance(assembled.data, PromptAssembled)
    pieces = tuple(renderer.pieces(state))
    held = levels_of_prompt(state)
    shown = dict.fromkeys(piece.page_id for piece in pieces if piece.page_id is not None)
    levels = {page_id: LADDER[held[page_id]] for page_id in shown if page_id in held}
    matches = None if rendered is None else _matches(log, rendered, assembled.data, pieces)
    return ShownPrompt(
        session_id,
        assembled.turn,
        assembled.version,
        assembled.data,
        pieces,
        levels,
        matches,
        state.profile.name,
    )


def _matches(
    log: EventLog, rendered: PromptRendered, assembled: PromptAssembled, pieces: Sequence[Piece]
) -> bool | None:
    """Tell whether a sealed commitment matches a prompt; None if its salt is gone."""
    stored = log.stored(rendered.prompt)
    if stored is None:
        return None
    body = encode("".join(piece.text for piece in pieces))
    digest = assembled.layout_digest or (assembled.digest if rendered.renderer in RENDERERS else "")
    if digest:  # the commitment is to a digest of what the prompt shows
        if not all(_is_whole(log, name) for name in _names(pieces)):
            return False
        line = "".join(piece.text for piece in pieces if piece.is_tail)
        body = sealed(rendered.renderer, digest, line)
    return commitment_to(stored[0], body) == rendered.prompt


def _names(pieces: Iterable[Piece]) -> Iterator[str]:
    """The commitments whose texts a prompt shows, each once."""
    found: dict[str, None] = {}
    for piece in pieces:
        found.update(dict.fromkeys(piece.names))
    return iter(found)


def _is_whole(log: EventLog, name: str) -> bool:
    """Tell whether the text behind a commitment exists and matches it."""
    stored = log.stored(name)
    return stored is not None and stored[1] is not None and commitment_to(stored[0], stored[1]) == name


def check_place(log: EventLog, session_id: str, version: int | None) -> int:
    """Return the version meant: the given one, by default the last."""
    head = log.head(session_id)
    if head is None:
        raise UsageError(f"there is no session {session_id}")
    if version is not None and not 1 <= version <= head.version:
        raise UsageError(f"session {session_id} has no version {version}", hint=f"its last is {head.version}")
    return head.version if version is None else version
