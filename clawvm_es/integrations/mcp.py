"""An MCP server on stdin and stdout: pages and memory as tools of the harness that starts it (extra `mcp`).

Memory follows AgeMem (arXiv:2601.01885): add, update, delete, retrieve, summarize, filter. Each change gives its
reason: it is an event of its own, and the evidence of the change.

LAW-MCP-1: no change by a tool loses anything: a field's earlier values, and the texts of removed pages, stay in
the journal; `page_in` reads them, `page_restore` brings them back.
LAW-MCP-2: page texts returned by a tool are marked, so that they are not new pages when the transcript shows them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import attrs

from clawvm_es.engine.hooks import Settings, StageResult
from clawvm_es.engine.journal import Journal
from clawvm_es.engine.session import Session
from clawvm_es.engine.store import FieldSchema, Judge
from clawvm_es.errors import ClawVMError, UsageError
from clawvm_es.integrations.ingest import ingest, mark_live, newest, spool_of
from clawvm_es.model.facts import Op, RecallOutcome
from clawvm_es.model.pages import PageType

if TYPE_CHECKING:
    from mcp.server import MCPServer

PATTERN: Final = "memory.*"
PLAN_SLOT: Final = "plan:mcp"
LISTED: Final = 20
"""Pages and fields that a tool names at most."""
INSTRUCTIONS: Final = (
    "Pages are texts of this session that clawvm keeps: rules, plans, results, talk, also those that a compaction "
    "took out of your context. page_search finds them, page_in reads them by line range. memory_* keep facts by "
    "name; say why you change one."
)


@attrs.define
class Tools:
    """The tools over one journal. Each call opens it, takes what hooks told, and finds the session of a folder.

    Without hooks, calls go to a session of their own. Safe to call from several threads, one after the other.
    """

    journal: str
    folder: str
    session_id: str | None = None
    validators: dict[str, Judge] = attrs.field(factory=dict)
    _own: str | None = None
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def page_in(self, page: str, lines: str = "") -> str:
        """Read a page of this session, or lines of it such as 10-40; session/page names one that a proxy recorded."""
        named, _, page = page.rpartition("/")
        with self._session(named) as session:
            session.resolve(page, lines=lines or None, arrives=False)
            first, _, last = lines.partition("-")
            return session.emit(page, int(first or 1), int(last) if last else int(first) if first else None)

    def page_search(self, query: str, limit: int = 10) -> str:
        """Find pages that hold any word of a query, also those that left the context; best first."""
        with self._session() as session:
            hits = session.search(query, min(limit, LISTED))
            found = [
                f"{hit.page_id} {hit.page_type} lines {hit.first_line}-{hit.last_line}: {hit.text}" for hit in hits
            ]
            return "\n".join(found) or "no page holds any of these words"

    def page_pin(self, page: str, pin: str = "soft") -> str:
        """Keep a page through compactions: soft or hard; none lets it go."""
        with self._session() as session:
            session.pin(page, pin)
            return f"{page}: pin {pin}"

    def page_restore(self, page: str, reason: str) -> str:
        """Bring back a page that was summarized or filtered out."""
        with self._session() as session:
            text = session.read_page(page)  # a page that is not there is said to be none
            known = session.state.pages[page]
            if not known.retired:
                raise UsageError(f"page {page} is in its place", hint="only pages that were taken out come back")
            self._say(session, "page_restore", page, reason)
            session.write_page(known.page_type, text, page_id=page, author=known.author)
            return f"{page}: back"

    def plan(self, text: str = "", done: bool = False) -> str:
        """Set the plan that stays through compactions: a goal, then steps as `1. [ ] step`. Empty: read it."""
        with self._session() as session:
            if text:
                page = session.write_page("plan", text, slot=PLAN_SLOT, author="model", active=not done)
                session.save()
                return f"{page}: {'done' if done else 'kept'}"
            pages = session.state.pages.values()
            active = [page.page_id for page in pages if page.page_type is PageType.PLAN and page.active]
            return "".join(session.emit(page) for page in active) or "no plan is active"

    def memory_add(self, name: str, value: str, reason: str) -> str:
        """Remember a new fact under a name."""
        return self._stage("memory_add", name, value, reason, lambda version: 0)

    def memory_update(self, name: str, value: str, reason: str) -> str:
        """Replace what is remembered under a name; the value before stays in the journal."""
        return self._stage("memory_update", name, value, reason, lambda version: version)

    def memory_delete(self, name: str, reason: str) -> str:
        """Forget a fact; its values stay in the journal."""
        return self._stage("memory_delete", name, None, reason, lambda version: version)

    def memory_retrieve(self, query: str, limit: int = 10) -> str:
        """Ask what is remembered: facts whose name or value holds a word of the query, then pages."""
        with self._session() as session:
            words = query.lower().split()
            store = {name: value for name, value in session.store().items() if name.startswith(PATTERN[:-1])}
            facts = [
                f"{name.removeprefix(PATTERN[:-1])}: {value}"
                for name, value in store.items()
                if not words or any(word in f"{name} {value}".lower() for word in words)
            ][: min(limit, LISTED)]
            hits = session.search(query, min(limit, LISTED)) if query.strip() else ()
            found = [*facts, *(f"{hit.page_id} {hit.page_type}: {hit.text}" for hit in hits)][: min(limit, LISTED)]
            outcome = RecallOutcome.OK if found else RecallOutcome.NO_MATCH
            session.recall(f"memory_retrieve: {query}", (), outcome=outcome)
            return "\n".join(found) or "nothing is remembered about it"

    def memory_summarize(self, pages: list[str], summary: str, name: str, reason: str) -> str:
        """Put your own summary in the place of pages: it is kept under a name, they leave the working set."""
        with self._session() as session:
            version = self._version(session, name)
            evidence = self._say(session, "memory_summarize", f"{name}: {' '.join(pages)}", reason)
            field = PATTERN[:-1] + name
            staged = session.stage(
                field, Op.REPLACE, summary, replaces=pages, base_version=version, evidence=evidence
            )
            return self._committed(session, staged, f"{name}: stands for {', '.join(pages)}")

    def memory_filter(self, text: str, reason: str) -> str:
        """Take results and talk that hold a text out of the working set; page_restore brings one back."""
        with self._session() as session:
            if not text.strip():
                raise UsageError("memory_filter: expected the text that pages hold", hint="give a word of them")
            pages = session.state.pages.values()
            open_to = (PageType.EVIDENCE, PageType.CONVERSATION)
            found = [
                page.page_id
                for page in pages
                if page.page_type in open_to and not (page.retired or page.gone) and page.pin.value != "hard"
                if text.lower() in session.read_page(page.page_id).lower()
            ]
            if found:
                self._say(session, "memory_filter", f"{text!r}: {' '.join(found)}", reason)
            for page_id in found:
                session.retire(page_id)
            named = ", ".join(found[:LISTED]) + (f" and {len(found) - LISTED} more" if len(found) > LISTED else "")
            return f"taken out: {named}" if found else "no result or talk holds that text"

    # --------------------------------------------------------------------------------------- internals

    @contextmanager
    def _session(self, named: str = "") -> Iterator[Session]:
        """The session of the folder, or one that a proxy recorded by its name."""
        with self._lock, Journal.open(self.journal, wait_s=5.0, hide_secrets=True) as journal:
            folder = spool_of(journal.log.place)
            if folder.is_dir():
                ingest(journal, wait_s=2.0)
            settings = Settings(fields={PATTERN: FieldSchema()}, validators=self.validators)
            if named and journal.opened(named) is None:
                raise UsageError(f"there is no session {named}", hint="run the call again that gave the page")
            session_id = named or self.session_id or newest(folder, self.folder) or self._own_session(journal)
            with journal.session(session_id, settings=settings) as session:
                if not named:
                    mark_live(journal, session, journal.clock())
                yield session

    def _own_session(self, journal: Journal) -> str:
        """The session of a server whose harness has no hooks."""
        if self._own is None:
            self._own = f"mcp-{journal.clock()}-{os.getpid()}"
        return self._own

    def _stage(self, tool: str, name: str, value: str | None, reason: str, base: Callable[[int], int]) -> str:
        with self._session() as session:
            version = self._version(session, name)
            if tool != "memory_add" and session.value(PATTERN[:-1] + name) is None:
                raise UsageError(f"{name}: nothing is remembered under that name", hint="memory_retrieve lists names")
            if tool == "memory_add" and version and session.value(PATTERN[:-1] + name) is None:
                version_seen = version  # it was forgotten: the name is free again
            else:
                version_seen = base(version)
            evidence = self._say(session, tool, name, reason)
            op = Op.DELETE if value is None else Op.SET_WITH_VERSION
            staged = session.stage(PATTERN[:-1] + name, op, value, base_version=version_seen, evidence=evidence)
            return self._committed(session, staged, f"{name}: {'forgotten' if value is None else 'remembered'}")

    @staticmethod
    def _version(session: Session, name: str) -> int:
        """The committed version of a fact."""
        if not name.strip():
            raise UsageError("expected a name for the fact", hint="such as colour or owner.billing")
        return session.field_version(PATTERN[:-1] + name)

    @staticmethod
    def _say(session: Session, tool: str, what: str, reason: str) -> int:
        """Record what is done and why, as an event; returns its version."""
        if not reason.strip():
            raise UsageError(f"{tool}: expected a reason", hint="say in a few words why")
        session.recall(f"{tool} {what}: {reason}", (), outcome=RecallOutcome.OK)
        return session.head[0]

    @staticmethod
    def _committed(session: Session, staged: StageResult, done: str) -> str:
        if staged.reason is not None:
            said = "; ".join(f"{each.validator}: {each.error or 'no'}" for each in staged.objections)
            raise UsageError(f"refused: {staged.reason}" + (f" ({said})" if said else ""), hint="the update is kept")
        report = session.save()
        refused = next((each for each in report.refused if each.update == staged.update), None)
        if refused is not None:
            raise UsageError(f"refused: {refused.reason}", hint="the update is kept")
        return done


NAMES: Final = (
    *("page_in", "page_search", "page_pin", "page_restore", "plan"),
    *("memory_add", "memory_update", "memory_delete", "memory_retrieve", "memory_summarize", "memory_filter"),
)
"""The tools, by their names for the model."""


def server(tools: Tools) -> MCPServer[Any]:
    """The MCP server for some tools. Raises `UsageError` if the extra is not installed."""
    try:
        from mcp.server import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
    except ImportError as error:
        raise UsageError("the MCP server needs the extra mcp", hint="pip install 'clawvm-es[mcp]'") from error
    made: MCPServer[Any] = MCPServer("clawvm", instructions=INSTRUCTIONS, log_level="ERROR")
    for name in NAMES:
        made.add_tool(_told(getattr(tools, name), ToolError), name=name, structured_output=False)
    return made


def _told(tool: Callable[..., str], failed: type[Exception]) -> Callable[..., str]:
    """A tool whose refusals reach the model as one line; what it returns can be sent, whatever a page holds."""
    from functools import wraps

    from clawvm_es.representations.sayable import sayable

    @wraps(tool)
    def run(*arguments: Any, **named: Any) -> str:
        try:
            return sayable(tool(*arguments, **named))
        except ClawVMError as error:
            raise failed(sayable(str(error))) from error
        except ValueError as error:
            raise failed(sayable(f"lines: expected such as 10-40: {error}")) from error

    return run


def serve(tools: Tools) -> None:
    """Serve on stdin and stdout until the harness closes either of them; raises as `server`.

    The counter is loaded meanwhile.
    """
    made = server(tools)  # refuses where the extra is missing, which the next imports need

    import anyio

    from clawvm_es.integrations.mcp_lines import serve_lines
    from clawvm_es.representations.counter import counter

    threading.Thread(target=lambda: counter("o200k_base").count("warm"), daemon=True).start()
    try:
        anyio.run(serve_lines, made)
    except* BrokenPipeError:  # nobody reads the answers any more
        pass
