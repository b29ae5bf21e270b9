"""Origins: the texts, events and transcript lines behind ids and commitments."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

import attrs

from clawvm_es.core.state import Page, State
from clawvm_es.errors import UsageError
from clawvm_es.journal.lineage import Line, read_session
from clawvm_es.journal.ports import EventLog, Recorded, Vault
from clawvm_es.journal.snapshots import load
from clawvm_es.model.events import SCOPE_PREFIX, UNKNOWN_TOOL, BoundaryReached, Event, PageWritten, ToolCalled
from clawvm_es.model.facts import ToldBy
from clawvm_es.model.pages import Author, Origin, OriginKind
from clawvm_es.observe.edge import decode


@attrs.frozen
class Place:
    """One event: its place and its type."""

    version: int
    turn: int
    type: str
    at_us: int
    principal: str

    @classmethod
    def of(cls, row: Recorded) -> Place:
        """The place of an event that was read."""
        return cls(row.version, row.turn, row.type, row.at_us, row.principal)


@attrs.frozen
class MadeCall:
    """The tool call whose result a page holds: its ordinal, its event, the tool, and its arguments as text."""

    call: int
    version: int
    turn: int
    tool: str
    arguments: str | None  # None: erased


@attrs.frozen
class Provenance:
    """Origin of one content of a page.

    `written` is the event that wrote it; `first` and `last` are lines (records) of the recorded session, 0 if
    there is none; `source` is the source line of its frame: a path, or a tool and its arguments. It is `inferred`
    if it was found from the provider's counts alone, without a row in the transcript.
    """

    page_id: str
    content_version: int
    author: Author
    kind: OriginKind
    written: Place
    first: int
    last: int
    call: MadeCall | None
    source: str | None
    inferred: bool = False


def is_inferred(data: Event) -> bool:
    """Tell whether an input was found from the provider's counts alone, without a row in a transcript."""
    return isinstance(data, BoundaryReached | PageWritten) and data.told_by is ToldBy.COUNTS


@attrs.define(slots=False)
class Origins:
    """Finds the origins behind the ids and commitments of one session; `state` knows its calls and pages."""

    log: EventLog
    session_id: str
    state: State
    _texts: dict[str, bytes | None] = attrs.field(factory=dict)

    @cached_property
    def _vault(self) -> Vault:
        return self.log.vault(self.session_id)

    @cached_property
    def _line(self) -> Line:
        return Line(self.log, self.session_id)

    def load(self, page_ids: Iterable[str]) -> None:
        """Read the calls and sources of some pages, in a few queries."""
        pages = [self.state.pages[page_id] for page_id in page_ids]
        load(self.state.calls, [page.origin.call for page in pages if page.origin.call is not None])
        self.read(page.source for page in pages)

    def read(self, commitments: Iterable[str | None]) -> None:
        """Read the texts behind some commitments, in one query."""
        named = [name for name in dict.fromkeys(commitments) if name is not None]
        self._texts |= dict.fromkeys(named) | dict(self._vault.open_all(named))

    def text(self, commitment: str | None) -> str | None:
        """The text behind a commitment; None if there is no commitment, or the text was sealed or erased."""
        if commitment is None:
            return None
        body = self._texts[commitment] if commitment in self._texts else self._vault.open(commitment)
        return None if body is None else decode(body)

    def place(self, version: int) -> Place:
        """The place of an event of the session."""
        return Place.of(self._line.at(version))

    def page(self, page: Page) -> Provenance:
        """Return the origin of the content that a page has in a state."""
        row = self._line.at(page.written_version)
        written, data = Place.of(row), row.data
        found = self.content(page.page_id, page.content_version, page.author, page.origin, page.source, written)
        return attrs.evolve(found, inferred=is_inferred(data))

    def content(
        self, page_id: str, content_version: int, author: Author, origin: Origin, source: str | None, written: Place
    ) -> Provenance:
        """Return the origin of one content of a page, from the event that wrote it."""
        call = self.call(origin.call)
        return Provenance(
            page_id, content_version, author, origin.kind, written, origin.first, origin.last, call, self.text(source)
        )

    def call(self, number: int | None) -> MadeCall | None:
        """A tool call of the session; None if the state knows no call of this number."""
        known = None if number is None else self.state.calls.get(number)
        if known is None:
            return None
        row = self._line.at(known.version)
        assert isinstance(row.data, ToolCalled)
        tool = tool_name(row.data, self.text)
        return MadeCall(known.call, row.version, row.turn, tool, self.text(row.data.arguments))


def tool_name(called: ToolCalled, text: Callable[[str | None], str | None]) -> str:
    """The name of the tool that was called, even if it is not declared; `unknown` if it was erased."""
    return called.tool if called.tool != UNKNOWN_TOOL else text(called.name) or called.tool


def tool_names(log: EventLog, session_id: str) -> Mapping[int, str]:
    """The names of all tools that a session called, by call."""
    vault = log.vault(session_id)

    def text(commitment: str | None) -> str | None:
        body = vault.open(commitment) if commitment else None
        return None if body is None else body.decode("utf-8", "surrogatepass")

    called = (row.data for row in read_session(log, session_id) if isinstance(row.data, ToolCalled))
    return {data.call: tool_name(data, text) for data in called}


def require_session(log: EventLog, session_id: str) -> int:
    """The last version of a session; raises `UsageError` if there is none, or it is a shared scope."""
    head = log.head(session_id)
    if head is None:
        raise UsageError(f"there is no session {session_id}")
    if session_id.startswith(SCOPE_PREFIX):
        raise UsageError(
            f"{session_id} is a shared scope, not a session",
            hint=f"clawvm blame JOURNAL FIELD --session {shlex.quote(session_id)}",
        )
    return head.version


def require_page(state: State, session_id: str, page_id: str) -> Page:
    """A page of a state; raises `UsageError` if it has none with this id."""
    page = state.pages.get(page_id)
    if page is None:
        last = f"its last is p{len(state.pages)}" if state.pages else "it has none"
        raise UsageError(f"session {session_id} has no page {page_id} there", hint=last)
    return page
