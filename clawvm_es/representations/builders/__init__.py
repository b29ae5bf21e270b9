"""Builders of levels, by content; `classify` chooses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final

from clawvm_es.model.pages import PageType
from clawvm_es.representations.builders.code import CodeBuilder, extension
from clawvm_es.representations.builders.diffs import DiffBuilder, is_diff
from clawvm_es.representations.builders.extract import GUTTER, has_gutter
from clawvm_es.representations.builders.fallback import FallbackBuilder
from clawvm_es.representations.builders.json_text import JsonBuilder, parsed
from clawvm_es.representations.builders.listing import ListingBuilder, is_listing
from clawvm_es.representations.builders.logs import LogBuilder
from clawvm_es.representations.builders.plans import PlanBuilder
from clawvm_es.representations.builders.prose import ProseBuilder, sentences
from clawvm_es.representations.builders.protocol import LevelBuilder
from clawvm_es.representations.builders.rules import RulesBuilder

__all__ = ["FALLBACK", "LevelBuilder", "classify"]

FALLBACK: Final[LevelBuilder] = FallbackBuilder()

_BY_TYPE: Final[Mapping[PageType, LevelBuilder]] = {
    PageType.BOOTSTRAP: RulesBuilder(),
    PageType.CONSTRAINT: RulesBuilder(),
    PageType.PLAN: PlanBuilder(),
}
_DIFF, _LISTING, _LOG, _PROSE = DiffBuilder(), ListingBuilder(), LogBuilder(), ProseBuilder()

_PROBE = 120  # lines
_LINE_CHARS, _SOURCE_CHARS = 400, 1000  # looked at
_CODE_LINE = re.compile(
    r".*[{};,(\[]\s*$|\s+\S.*[)\]:]\s*$|\s*(?://|/\*|\*\s|#|@\w)|\s*(?:import|from|package|use|func|def|class|return"
    r"|var|let|const|if|for|else|type|pub|fn|public|private|static|async|export)\b"
)
_PROSE_FILE = re.compile(r"\.(?:md|mdx|rst|txt|adoc)(?![\w.])")
_WORD = "[A-Za-z'’(),`\"*]"
_SENTENCE = re.compile(f" (?<={_WORD} )(?:{_WORD}++ ){{3}}")  # four words


def classify(page_type: PageType, text: str, source: str) -> LevelBuilder:
    """The builder for a page of that type with this text; `source` helps where it names a file or a tool.

    First match: the page type (rules, plans), JSON, diff, list of places, code (a known extension in the source and
    text that looks like code), prose (conversation, or mostly sentences), else the output of a command. Text that
    is mostly one line gets the fallback.
    """
    by_type = _BY_TYPE.get(page_type)
    if by_type:
        return by_type
    document = parsed(text)
    if document is not None:
        return JsonBuilder(document)
    lines = text.split("\n")
    if is_diff(lines):
        return _DIFF
    gutter = has_gutter(lines)
    if not gutter and is_listing(lines):
        return _LISTING
    language = extension(source[:_SOURCE_CHARS])
    if language and (gutter or _most(_CODE_LINE.match, lines)):
        return FALLBACK if _is_one_line(lines) else CodeBuilder(language)
    if page_type is PageType.CONVERSATION or _is_prose(lines, source):
        return FALLBACK if _is_one_line(lines) and _is_one_line(sentences(text)) else _PROSE
    return FALLBACK if _is_one_line(lines) else _LOG


def _is_one_line(lines: list[str]) -> bool:
    """Tell whether one line makes up most of the text, so that choosing among lines is no use."""
    return max(map(len, lines)) * 2 > sum(map(len, lines))


def _is_prose(lines: list[str], source: str) -> bool:
    return bool(_PROSE_FILE.search(source[:_SOURCE_CHARS])) or _most(_SENTENCE.search, lines)


def _most(matches: Callable[[str], object], lines: list[str]) -> bool:
    """Tell whether more than two fifths of the first filled lines match."""
    probe = [line[:_LINE_CHARS] for line in lines[:_PROBE] if line and not line.isspace()]
    joined = "".join(probe)
    if "→" in joined or "\t" in joined:
        probe = [line for line in (GUTTER.sub("", line, count=1) for line in probe) if line]
    return next(islice(filter(matches, probe), len(probe) * 2 // 5, None), None) is not None
