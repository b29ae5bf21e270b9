"""Builders of levels, by content; `classify` chooses."""

from __future__ import annotations

from typing import Final

from clawvm_es.model.pages import PageType
from clawvm_es.representations.builders.fallback import FallbackBuilder
from clawvm_es.representations.builders.protocol import LevelBuilder

__all__ = ["FALLBACK", "LevelBuilder", "classify"]

FALLBACK: Final[LevelBuilder] = FallbackBuilder()


def classify(page_type: PageType, text: str, source: str) -> LevelBuilder:
    """The builder for a page of that type with this text; `source` helps where it names a file or a tool."""
    return FALLBACK
