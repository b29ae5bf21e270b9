"""Reading a live session: its state, its store, its pages. Nothing here is recorded."""

from __future__ import annotations

from typing import Any

from clawvm_es import limits
from clawvm_es.core.state import Call as MadeCall
from clawvm_es.engine import given
from clawvm_es.engine.finding import Hit, hit
from clawvm_es.engine.session.handle import Handle
from clawvm_es.model.pages import FULL, Scope
from clawvm_es.observe.marks import marked


class Looking(Handle):
    """The hooks that read."""

    @property
    def head(self) -> tuple[int, str]:
        """(version, hash) of the last event; an auditor keeps it outside the journal."""
        head = self._shell.head
        return (head.version, head.hash.hex()) if head else (0, "")

    @property
    def in_flight(self) -> tuple[MadeCall, ...]:
        """Tool calls without a result; after a crash, the calls that were interrupted."""
        with self._shell.lock:
            return tuple(call for call in self.state.calls.values() if call.returned is None)

    @property
    def fill_permille(self) -> int:
        """Fill of the context by resident pages and arrivals, in permille of the budget."""
        with self._shell.lock:
            return self.state.fill_permille

    def value(self, field: str, scope: Scope | str = Scope.SESSION) -> Any:
        """The committed value of a field of the durable store; None if it was never set.

        In a project: the value in the project's store, as of this session's last commit point.
        """
        with self._shell.lock:
            where = self._updates.scope_id(given.choice("scope", Scope, scope))
            return self._updates.value(self.state, where, given.text("field", field))

    def field_version(self, field: str, scope: Scope | str = Scope.SESSION) -> int:
        """The committed version of a field of the durable store, for `stage`; 0 if it was never set."""
        with self._shell.lock:
            where = self._updates.scope_id(given.choice("scope", Scope, scope))
            return self.state.store.get((where, self._updates.field(self.state, given.text("field", field))), 0)

    def store(self, scope: Scope | str = Scope.SESSION) -> dict[str, Any]:
        """The durable store: field → committed value; pages that were written back are under their ids.

        In a project: the project's store, as of this session's last commit point.
        """
        with self._shell.lock:
            where = self._updates.scope_id(given.choice("scope", Scope, scope))
            return self._updates.store(self.state, where)

    def search(self, query: str, limit: int = 10) -> tuple[Hit, ...]:
        """The pages of this session that match any word of a query, best first; nothing is recorded.

        Pages outside the prompt are found too. Use `resolve` to page one in.
        """
        given.text("query", query)
        most = min(given.integer("limit", limit, 1), limits.INTEGER_MAX)
        with self._shell.lock:
            pages = [self.state.pages[page_id] for page_id in self._shell.search(query, most)]
            return tuple(hit(page.page_id, page.page_type, self.read_page(page.page_id), query) for page in pages)

    def read_page(self, page_id: str) -> str:
        """The full text of a page, from the log (empty if it was erased); nothing is recorded (see `resolve`)."""
        with self._shell.lock:
            return self._shell.edge.open(self._page(page_id).bodies[FULL]) or ""

    def emit(self, page_id: str, first_line: int = 1, last_line: int | None = None) -> str:
        """Lines of a page for the context of a harness that builds its own prompts, inside a mark.

        Nothing is recorded now. When the harness shows the text later, in a message or as a tool result, that is
        recorded as a rendering of the page, not as a new page or a need. Raises as `resolve` does.
        """
        with self._shell.lock:
            text = self.read_page(page_id)
            lines = text.splitlines(keepends=True)
            first, last = given.lines(page_id, len(lines), first_line, last_line)
            return marked(page_id, first, last, "".join(lines[first - 1 : last]))
