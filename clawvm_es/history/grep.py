"""Full-text search: find the texts of a journal that match, and the events and pages that hold them.

Words and phrases are looked up in the full-text index. A search of a log that is open for writing brings the index up
to date first. Any other search indexes the missing texts in memory, for the duration of the search. In scripts
without blanks between words, a word is found anywhere inside a run of characters. A pattern is matched against every
text.

LAW-GREP-1: an event is found if and only if a text that it names matches, whether or not the text is indexed.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Final

import attrs

from clawvm_es.errors import UsageError
from clawvm_es.journal.codec import named_commitments
from clawvm_es.journal.lineage import Segment, lineage
from clawvm_es.journal.ports import EventLog, Recorded, texts_of
from clawvm_es.model import events as e
from clawvm_es.model.pages import Fidelity
from clawvm_es.observe.edge import decode
from clawvm_es.projections import bodies_with, index_texts
from clawvm_es.representations.terms import composed, located, spaced, terms
from clawvm_es.representations.terms import pattern as finder

_TERM: Final = re.compile(r'"([^"]*)"|(\S+)')


@attrs.frozen
class Query:
    """A query: words and phrases that must all match (as terms, and as patterns that find them), or a pattern.

    `unsearched` are the parts of the query that hold no word.
    """

    phrases: tuple[tuple[str, ...], ...] = ()
    pattern: re.Pattern[str] | None = None
    patterns: tuple[re.Pattern[str], ...] = ()
    unsearched: tuple[str, ...] = ()

    def found_in(self, text: str) -> tuple[int, int] | None:
        """Return the place of the first match in a text (in NFC); None unless everything matches."""
        if self.pattern is not None:
            match = self.pattern.search(text)
            return None if match is None else match.span()
        whole = spaced(text)
        found = [pattern.search(whole) for pattern in self.patterns]
        if not found or found[0] is None or None in found:
            return None
        return located(text, *found[0].span())


@attrs.frozen
class Hit:
    """A matching text: the event that names it, its role there, and the line around the match.

    `page_id` is the page that holds it, `level` the highest of its levels that matches.
    """

    session_id: str
    version: int
    turn: int
    type: str
    what: str
    page_id: str | None
    level: Fidelity | None
    line: str
    start: int  # of the place in `line`
    end: int


def words(text: str) -> Query:
    """A query for all words of a text, in any order; words in double quotes form a phrase.

    Case, accents and their composition are ignored. Raises `UsageError` if there is no word.
    """
    asked = [quoted or plain for quoted, plain in _TERM.findall(text)]
    found = [(term, pattern) for term in asked if (pattern := finder(term)) is not None]
    if not found:
        raise UsageError(f"there is no word in {text!r}", hint="search for it as a pattern: --regex")
    return Query(
        phrases=tuple(terms(term) for term, _ in found),
        patterns=tuple(pattern for _, pattern in found),
        unsearched=tuple(term for term in asked if finder(term) is None),
    )


def grep(
    log: EventLog,
    query: Query,
    *,
    session_id: str | None = None,
    after: int = 0,
    upto: int | None = None,
    types: Iterable[str] = (),
) -> Iterator[Hit]:
    """The matching texts of all sessions, or of one (its versions above `after`, up to `upto`), in order of events.

    An event counts once for each thing that it names; a result that a page holds counts as the page's. `types`
    selects event types.
    """
    wanted = frozenset(types)
    if query.phrases and not log.read_only:
        index_texts(log)
    holding = bodies_with(log, query.phrases) if query.phrases else None
    ids = [head.session_id for head in log.heads()] if session_id is None else [session_id]
    for each in ids:
        segments = (Segment(each),) if session_id is None else lineage(log, each, upto)
        yield from _in_session(log, query, holding, _rows(log, holding, segments, after), wanted)


def _rows(
    log: EventLog, holding: Container[str] | None, segments: Iterable[Segment], after: int
) -> Iterator[Recorded]:
    """The events above version `after` that may name a matching text."""
    index = None if holding is None else texts_of(log)
    for stream, upto in ((each.stream, each.upto) for each in segments if each.upto is None or each.upto > after):
        if index is None or holding is None:
            yield from log.read(stream, after, upto)
        else:
            yield from index.naming(stream, holding, after, upto)


def _in_session(
    log: EventLog, query: Query, holding: Container[str] | None, rows: Iterable[Recorded], types: frozenset[str]
) -> Iterator[Hit]:
    texts = _Texts(log, query, holding)
    waiting: list[tuple[str, Hit]] = []  # a result that a page may show yet, with its commitment, and what came after
    for row in rows:
        if row.kind != "input" or not any(map(texts.may, named_commitments(row.raw))):
            continue
        found = [hit for hit in _hits(row, texts) if not types or hit[1].type in types]
        if isinstance(row.data, e.ToolReturned):
            yield from (hit for _, hit in waiting)
            waiting = found
            continue
        for name, hit in found:
            waiting = [each for each in waiting if each[0] != name]
            if waiting:
                waiting.append(("", hit))
            else:
                yield hit
    yield from (hit for _, hit in waiting)


@attrs.define
class _Texts:
    """The texts behind commitments, and the matches in them; each text is searched once."""

    log: EventLog
    query: Query
    holding: Container[str] | None  # commitments whose texts may say it; None: all
    known: dict[str, tuple[str, int, int] | None] = attrs.field(factory=dict)

    def may(self, name: str) -> bool:
        """Tell whether the text behind a commitment may match."""
        return self.holding is None or name in self.holding

    def said(self, name: str) -> tuple[str, int, int] | None:
        """The line of the text that matches, and the match's place in it; None if there is no match."""
        if not self.may(name):
            return None
        if name not in self.known:
            stored = self.log.stored(name)
            text = "" if stored is None or stored[1] is None else decode(stored[1])
            if self.query.pattern is None:
                text = composed(text)
            self.known[name] = _line(text, self.query.found_in(text))
        return self.known[name]


def _line(text: str, span: tuple[int, int] | None) -> tuple[str, int, int] | None:
    if span is None:
        return None
    first = text.rfind("\n", 0, span[0]) + 1
    last = text.find("\n", span[0])
    line = text[first : len(text) if last < 0 else last]
    return line, span[0] - first, min(span[1] - first, len(line))


def _hits(row: Recorded, texts: _Texts) -> Iterator[tuple[str, Hit]]:
    """Yield the matching texts of one event, with their commitments; of a page's levels only the highest."""
    data = row.data
    if isinstance(data, e.PageWritten):
        for level in data.levels:
            if said := texts.said(level.body):
                what = f"{data.page_type} page {data.page_id}"
                yield level.body, _hit(row, what, said, data.page_id, level.level)
                break
        if data.source and (said := texts.said(data.source)):
            yield data.source, _hit(row, f"source of page {data.page_id}", said, data.page_id)
        return
    for name, what in _named(data).items():
        if said := texts.said(name):
            yield name, _hit(row, what, said)


def _named(data: e.Event) -> Mapping[str, str]:
    """Commitment → role, for the texts that an input other than a page names."""
    found: dict[str | None, str] = {}
    if isinstance(data, e.ToolCalled):
        found = {data.name: f"tool of call {data.call}", data.arguments: f"arguments of call {data.call}"}
        found[data.call_id] = f"harness's id of call {data.call}"
    elif isinstance(data, e.ToolReturned):
        found = {data.result: f"result of call {data.call}", data.native: f"native result of call {data.call}"}
    elif isinstance(data, e.ModelResponded):
        found = {data.thinking: "thinking", data.model_name: "name of the model", data.provider: "provider"}
        found[data.native] = "native answer"
    elif isinstance(data, e.RecallAnswered):
        found = {data.query: f"query of recall {data.recall}"}
    elif isinstance(data, e.UpdateStaged):
        found = {data.facts.value: f"value of update {data.update}"}
    elif isinstance(data, e.ScopeChanged):
        found = {data.value: f"value of {data.field}"}
    return {name: what for name, what in found.items() if name is not None}


def _hit(
    row: Recorded, what: str, said: tuple[str, int, int], page_id: str | None = None, level: Fidelity | None = None
) -> Hit:
    return Hit(row.session_id, row.version, row.turn, row.type, what, page_id, level, *said)
