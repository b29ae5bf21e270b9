"""The observer of a live session, kept up to date with its log, including what other handles recorded.

LAW-OBSERVED-1: it knows what the observer of a handle knows that is opened now: after an erasure it learns the log
anew, so that nothing is found by a text that is gone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clawvm_es.core.state import State
from clawvm_es.engine.shell import Outcome, Shell
from clawvm_es.journal.lineage import read_session
from clawvm_es.journal.ports import Recorded
from clawvm_es.model.events import ContentRedacted
from clawvm_es.observe.observer import Observer
from clawvm_es.observe.tools import Tool


class Observed:
    """Observations of one session, up to the version that its shell has read."""

    def __init__(self, shell: Shell, tools: Mapping[str, Tool]) -> None:
        self._shell = shell
        self._tools = tools
        self._begin()

    def _begin(self) -> None:
        """Know nothing yet; the next look learns all."""
        self._observer, self._version = Observer(self._tools, self._shell.edge), 0

    def at(self, state: State) -> Observer:
        """The observer of the session as of `state`, the shell's own."""
        if self._version > state.version:
            self._begin()
        self._observer.edge = self._shell.edge  # the shell makes another when it folds anew
        if self._version < state.version:
            rows = list(self._read(self._version, state.version)) if self._version else []
            if any(isinstance(row.data, ContentRedacted) for row in rows):
                self._begin()
            new = rows if self._version else self._read(0, state.version)
            self._observer.known.learn_all(row.data for row in new)
            self._version = state.version
        return self._observer

    def before(self, version: int) -> Observer:
        """The observer of the session as it was before an event, for a step that is delivered again."""
        observer = Observer(self._tools, self._shell.edge_before(version))
        observer.known.learn_all(row.data for row in self._read(0, version - 1))
        return observer

    def took(self, outcome: Outcome, state: State) -> None:
        """Learn the events just recorded, which led to `state`; gaps and erasures are read from the log."""
        erases = any(isinstance(data, ContentRedacted) for data in outcome.recorded)
        if self._version + outcome.appended == state.version and not erases:
            self._observer.edge = self._shell.edge
            for data in outcome.recorded:
                self._observer.known.learn(data)
            self._version = state.version

    def _read(self, after: int, upto: int) -> Iterator[Recorded]:
        return read_session(self._shell.log, self._shell.session_id, after, upto)
