"""Provenance of a prompt: for each span the page, the level, and the origin of the text.

LAW-PROVENANCE-1: the spans tile the prompt: in order, without gap or overlap, from its first byte to its last.
"""

from __future__ import annotations

import attrs

from clawvm_es.core.state import State
from clawvm_es.engine.render import Piece
from clawvm_es.history.origins import Origins, Provenance
from clawvm_es.history.places import ShownPrompt, prompt_and_state
from clawvm_es.journal.ports import EventLog
from clawvm_es.model.pages import RANK, Fidelity
from clawvm_es.observe.edge import encode


@attrs.frozen
class Span:
    """One span of a rendered prompt: a page at a level, or the directory line (no page, no origin).

    Bytes count from the start of the rendered text. Tokens count from the start of the prompt, so that the first
    span starts behind the fixed region. Both ranges are half open. The directory line counts with its reserve.
    `erased` means that a notice stands in place of the text.
    """

    page_id: str | None
    level: Fidelity | None
    first_byte: int
    end_byte: int
    first_token: int
    end_token: int
    origin: Provenance | None
    erased: bool
    text: str


def provenance(log: EventLog, session_id: str, version: int | None = None) -> tuple[ShownPrompt, tuple[Span, ...]]:
    """The last prompt assembled up to `version` (by default the end), and its spans in order.

    Raises `UsageError` as `prompt_at` does.
    """
    shown, state = prompt_and_state(log, session_id, version)
    return shown, spans_of(Origins(log, session_id, state), shown)


def spans_of(origins: Origins, shown: ShownPrompt) -> tuple[Span, ...]:
    """The spans of a prompt, in order; `origins` belong to the state right after its assembly."""
    state = origins.state
    shows = [(piece.page_id, piece.level) for piece in shown.pieces]
    origins.load(page_id for page_id, _ in shows if page_id is not None)
    origins.read(state.pages[page_id].bodies[RANK[level]] for page_id, level in shows if page_id and level)
    spans: list[Span] = []
    at_byte, at_token = 0, max(0, state.assembled_fixed)
    for piece in shown.pieces:
        end = at_byte + len(encode(piece.text))
        spans.append(_span(state, origins, piece, (at_byte, end), (at_token, at_token + piece.tokens)))
        at_byte, at_token = end, at_token + piece.tokens
    return tuple(spans)


def _span(state: State, origins: Origins, piece: Piece, at: tuple[int, int], tokens: tuple[int, int]) -> Span:
    origin, erased = None, False
    if piece.page_id is not None and piece.level is not None and piece.content is not None:
        origin = origins.page(state.pages[piece.page_id])
        erased = origins.text(piece.content.bodies[RANK[piece.level]]) is None
    return Span(piece.page_id, piece.level, *at, *tokens, origin, erased, piece.text)
