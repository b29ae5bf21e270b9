"""Levels for rules (bootstrap and constraint pages): every rule stays, one by one, in its own words.

A rule is a list item or sentence with a modal word (must, should, never, always, only, do not …); where a text has
none, its list items and first lines stand for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from clawvm_es.limits import COMPRESSED_CHARS
from clawvm_es.model.pages import Fidelity
from clawvm_es.representations.builders.extract import (
    any_word,
    compressed_aim,
    excerpt,
    pointer_line,
    select,
    spread,
    structured_aim,
)
from clawvm_es.representations.builders.prose import sentences

_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s+\S")
_HEADING = re.compile(r"\s*#{1,6}\s+\S")
_STRONG = re.compile(
    any_word(
        "must", "shall", "should", "never", "always", "only", "do not", "don't", "forbidden", "require", "required"
    )
)
_MODAL = re.compile(any_word("cannot", "can't", "avoid", "prefer", "ensure", "make sure", "important", "use"))


class RulesBuilder:
    """Structured: every sentence with a modal word. Compressed: also headings and list items, then the rest."""

    name: Final = "rules/1"

    def build(self, text: str, source: str) -> Mapping[Fidelity, str]:
        """All three levels; structured is as long as the rules are, up to the greatest compressed aim."""
        lines = sentences(text)
        lowered = [line.lower() for line in lines]
        strong = [i for i, line in enumerate(lowered) if _STRONG.search(line)]
        modal = [i for i, line in enumerate(lowered) if _MODAL.search(line)]
        items = [i for i, line in enumerate(lines) if _ITEM.match(line)]
        headings = [i for i, line in enumerate(lines) if _HEADING.match(line)]
        order = [*strong, *modal, *headings, *items, *spread(len(lines))]
        least = sum(len(lines[i]) + 9 for i in strong)
        rules = strong or select(lines, [*modal, *items, *headings, *spread(len(lines))], structured_aim(text))
        return {
            Fidelity.COMPRESSED: excerpt(lines, order, max(compressed_aim(text), least)),
            Fidelity.STRUCTURED: "\n".join(lines[i] for i in sorted(select(lines, rules, COMPRESSED_CHARS[1]))),
            Fidelity.POINTER: pointer_line(text, source),
        }
