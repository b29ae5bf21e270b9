"""The levels of a page: built once, when the page is written, and counted in their frames.

LAW-LADDER-1: full comes first, always; every further level has strictly fewer tokens than the one before it.
LAW-LADDER-2: the same page type, text, frame and counter give the same levels, in any process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from clawvm_es.limits import LEVEL_SMALL_CHARS
from clawvm_es.model.pages import PAGE_TYPES, Fidelity, PageType
from clawvm_es.representations.builders import FALLBACK, LevelBuilder, classify
from clawvm_es.representations.builders.bounded import seen
from clawvm_es.representations.builders.extract import pointer_line
from clawvm_es.representations.counter import TokenCounter
from clawvm_es.representations.frame import Frame, framed

FULL_BUILDER: Final = "full/1"
"""Builder recorded for the full level: the text itself."""
SMALL_BUILDER: Final = "small/1"
"""Builder recorded for the pointer of a text too small to be worth a level between full and pointer."""


@attrs.frozen
class BuiltLevel:
    """One kept level: its text (unframed), the tokens of its whole framed text, and the builder that made it."""

    level: Fidelity
    text: str
    tokens: int
    builder: str


def build_levels(
    page_type: PageType,
    text: str,
    frame: Frame,
    counter: TokenCounter,
    builder: LevelBuilder | None = None,
    full_only: bool = False,
    size: Callable[[Fidelity, str], int] | None = None,
) -> tuple[BuiltLevel, ...]:
    """The kept levels of a page, highest first; never raises, for any text.

    Only levels of the type's row in `PAGE_TYPES` are kept. With `builder` None it is chosen by content. `size` counts
    a level that is not counted in its frame.
    """

    def tokens_of(level: Fidelity, text: str) -> int:
        return counter.count(framed(frame, level, text)) if size is None else size(level, text)

    kept = [BuiltLevel(Fidelity.FULL, text, tokens_of(Fidelity.FULL, text), FULL_BUILDER)]
    if full_only:
        return tuple(kept)
    candidates, made_by = _candidates(page_type, text, frame.source, builder)
    for level in PAGE_TYPES[page_type].levels:
        candidate = candidates.get(level)
        if candidate is None:
            continue
        tokens = tokens_of(level, candidate)
        if tokens < kept[-1].tokens:
            kept.append(BuiltLevel(level, candidate, tokens, made_by))
    return tuple(kept)


def _candidates(
    page_type: PageType, text: str, source: str, builder: LevelBuilder | None
) -> tuple[Mapping[Fidelity, str], str]:
    """Texts for the levels below full, and the builder that made them."""
    if builder is None and len(text) <= LEVEL_SMALL_CHARS:
        return {Fidelity.POINTER: pointer_line(text, source)}, SMALL_BUILDER
    content = seen(text)
    chosen = builder or classify(page_type, content, source)
    try:
        return chosen.build(content, source), chosen.name
    except (ValueError, RecursionError):
        return FALLBACK.build(content, source), FALLBACK.name
