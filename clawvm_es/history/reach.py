"""The reach of an erasure: everything that must be erased together, and the streams that must record it.

*Sources* are the commitments asked for, the full text of their page, and the result of the call that it shows. With a
source go every level built from it (unless a page that stays has the same level), the provider's own form of it, and
the salts of all prompts that showed it. Sources are followed to equal texts in the shared scopes of their session
and, on request, everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from clawvm_es.core.state import State
from clawvm_es.journal.codec import named_commitments
from clawvm_es.journal.forks import Forks
from clawvm_es.journal.ports import EventLog
from clawvm_es.limits import INTEGER_MAX
from clawvm_es.model.events import (
    SCOPE_PREFIX,
    Event,
    ModelResponded,
    PageWritten,
    PromptRendered,
    ScopeSynced,
    SessionOpened,
    ToolCalled,
    ToolReturned,
)


@attrs.frozen
class Content:
    """One content of a page: its sources (the full text, the result that it shows) and the levels built from them."""

    sources: tuple[str, ...]
    levels: tuple[str, ...]


@attrs.define
class Named:
    """Commitments in one stream's own events: a session's without its parents', or a shared scope's.

    `names` lists all that inputs name, in order, with the version of the first.
    """

    stream: str
    names: dict[str, int] = attrs.field(factory=dict)
    contents: list[Content] = attrs.field(factory=list)
    scopes: dict[str, int] = attrs.field(factory=dict)  # shared scope → version that names it first
    results: dict[int, tuple[str, int]] = attrs.field(factory=dict)  # call → its result, and the version
    natives: dict[str, list[str]] = attrs.field(factory=dict)  # provider's own form → the texts that stand in it
    answers: dict[int, tuple[list[str], list[str]]] = attrs.field(factory=dict)  # group → its own forms, its texts


def _note_native(named: Named, data: Event) -> None:
    """Note a provider's own form in an event, and the texts inside it."""
    if isinstance(data, ToolReturned) and data.native is not None:
        named.natives[data.native] = [data.result] if data.result is not None else []
    elif isinstance(data, PageWritten) and data.native is not None:
        named.natives[data.native] = [data.levels[0].body]
    elif isinstance(data, ModelResponded | PageWritten | ToolCalled) and data.group is not None:
        natives, texts = named.answers.setdefault(data.group, ([], []))
        if isinstance(data, ModelResponded):
            natives.extend([data.native] if data.native is not None else [])
            texts.extend([data.thinking] if data.thinking is not None else [])
        else:
            texts.append(data.levels[0].body if isinstance(data, PageWritten) else data.arguments)


class Reach:
    """Extends what is asked for to everything to erase; `erased` are the commitments, `elsewhere` other holders."""

    def __init__(self, log: EventLog, everywhere: bool) -> None:
        self._log = log
        self._everywhere = everywhere
        self.forks = Forks(log)
        self._named: dict[str, Named] = {}
        self._scopes_of: dict[str, frozenset[str]] = {}
        self._owners: dict[str, str] = {}  # commitment → the stream that it belongs to
        self._sources: dict[str, None] = {}
        self.erased: dict[str, None] = {}
        self.elsewhere: dict[str, None] = {}

    def ids(self) -> tuple[str, ...]:
        """All sessions of the log."""
        ids = (head.session_id for head in self._log.heads())
        return tuple(session_id for session_id in ids if not session_id.startswith(SCOPE_PREFIX))

    def named(self, stream: str) -> Named:
        """Return what a stream's own events say of commitments, read on first use."""
        found = self._named.get(stream)
        if found is None:
            found = self._named[stream] = self._read(stream)
        return found

    def _read(self, stream: str) -> Named:
        named = Named(stream)
        for row in self._log.read(stream):
            data = row.data
            if row.kind == "input":
                for name in named_commitments(row.raw):
                    named.names.setdefault(name, row.version)
            _note_native(named, data)
            if isinstance(data, ToolReturned) and data.result is not None:
                named.results[data.call] = (data.result, row.version)
            elif isinstance(data, PageWritten):
                full, *lower = (level.body for level in data.levels)
                result = self._result(named, data.origin.call)
                named.contents.append(Content((full,) if result is None else (full, result), tuple(lower)))
            elif isinstance(data, ToolCalled) and len(data.levels) > 1:
                full, *lower = (level.body for level in data.levels)
                named.contents.append(Content((full,), tuple(lower)))
            elif isinstance(data, SessionOpened) and data.project is not None:
                named.scopes.setdefault(data.project, row.version)
            elif isinstance(data, ScopeSynced):
                named.scopes.setdefault(data.scope, row.version)
        return named

    def _result(self, named: Named, call: int | None) -> str | None:
        """The result of a call, in the session being read."""
        if call is None:
            return None
        if call in named.results:
            return named.results[call][0]
        fork = self.forks.fork(named.stream)
        if fork is None:
            return None
        line = self._line(fork.parent, fork.version)
        return next((found[0] for each, upto in line if (found := each.results.get(call)) and found[1] <= upto), None)

    def names(self, session_id: str) -> dict[str, None]:
        """The commitments that the inputs of a session name, including inherited ones."""
        line = reversed(list(self._line(session_id)))
        return {name: None for named, upto in line for name, version in named.names.items() if version <= upto}

    def _line(self, stream: str, upto: int = INTEGER_MAX) -> Iterator[tuple[Named, int]]:
        """A stream up to a version, then its parent up to the fork, and so on to the first."""
        while True:
            yield self.named(stream), upto
            fork = self.forks.fork(stream)
            if fork is None:
                return
            stream, upto = fork.parent, min(upto, fork.version)

    def grow(self, asked: Iterable[str]) -> None:
        """Add what is asked for and everything that must go with it."""
        waiting = list(asked)
        while new := [name for name in dict.fromkeys(waiting) if name not in self._sources and self._stored(name)]:
            self._sources.update(dict.fromkeys(new))
            waiting = [other for name in new for other in self._same_text(name)]
            waiting += [source for content in self._contents() if self._goes(content) for source in content.sources]
        self.erased.update(self._sources)
        kept = {name for content in self._contents() if not self._goes(content) for name in content.levels}
        built = (name for content in self._contents() if self._goes(content) for name in content.levels)
        self._erase(name for name in built if name not in kept)
        self._erase([native for native, texts in self._natives() if touches(texts, self.erased)])
        self._erase(list(self._prompts()))
        holders = (holder for name in self._sources for holder in self._log.holders(name))
        self.elsewhere = dict.fromkeys(owner for owner, other in holders if other not in self.erased)

    def _goes(self, content: Content) -> bool:
        """Tell whether a content is erased: one of its sources is, or one of its levels was asked for."""
        return touches(content.sources, self._sources) or touches(content.levels, self._sources)

    def _contents(self) -> Iterator[Content]:
        return (content for stream in self.streams() for content in self.named(stream).contents)

    def _natives(self) -> Iterator[tuple[str, list[str]]]:
        """The provider's own forms, each with the texts inside it."""
        for stream in self.streams():
            named = self.named(stream)
            yield from named.natives.items()
            yield from ((native, texts) for natives, texts in named.answers.values() for native in natives)

    def _erase(self, names: Iterable[str]) -> None:
        self.erased.update((name, None) for name in names if self._stored(name))

    def _stored(self, name: str) -> bool:
        """Tell whether anything is still stored for a commitment; notes its owner."""
        if name not in self._owners:
            owner = next((session_id for session_id, other in self._log.holders(name) if other == name), None)
            if owner is None:
                return False
            self._owners[name] = owner
        return True

    def _same_text(self, name: str) -> Iterator[str]:
        """Other commitments to the same text: in shared scopes of its owner, or everywhere."""
        for owner, other in self._log.holders(name):
            if self._everywhere or owner in self._scopes(self._owners[name]):
                yield other

    def _scopes(self, session_id: str) -> frozenset[str]:
        """The shared scopes that a session belongs to."""
        found = self._scopes_of.get(session_id)
        if found is None:
            line = self._line(session_id)
            names = (scope for named, upto in line for scope, version in named.scopes.items() if version <= upto)
            found = self._scopes_of[session_id] = frozenset(names)
        return found

    def reached(self) -> tuple[str, ...]:
        """The ids of sessions and scopes whose fold may reach an erased commitment."""
        owners = dict.fromkeys(self._owners[name] for name in (*self._sources, *self.erased))
        heads = [head.session_id for head in self._log.heads()]
        found: dict[str, bool] = {}
        for stream in self.forks.streams(heads):
            fork = self.forks.fork(stream)
            found[stream] = stream in owners or (fork is not None and found[fork.parent])
        return tuple(stream for stream in heads if found[stream])

    def streams(self) -> tuple[str, ...]:
        """The streams that hold the events of everything reached, parents before their forks."""
        return self.forks.streams(self.reached())

    def erased_of(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """For each stream in `streams()`: the erased commitments that its inputs name or inherit, sorted."""
        found: dict[str, dict[str, int]] = {}
        for stream in self.streams():
            names = {name: version for name, version in self.named(stream).names.items() if name in self.erased}
            if (fork := self.forks.fork(stream)) is not None:
                inherited = found[fork.parent].items()
                names.update((name, version) for name, version in inherited if version <= fork.version)
            found[stream] = names
            yield stream, tuple(sorted(names))

    def _prompts(self) -> Iterator[str]:
        """The sealed commitments to prompts that showed an erased text, which their salts would let one guess.

        A page shows the text of its level and its source line.
        """
        sessions = [stream for stream in self.streams() if not stream.startswith(SCOPE_PREFIX)]
        for _, state, rows in self.forks.folded(sessions):
            held = {page_id: None for page_id, page in state.pages.items() if self._shows(page.source, page.bodies)}
            for row in rows:
                data = row.data
                if isinstance(data, PageWritten):
                    held.pop(data.page_id, None)
                    if self._shows(data.source, (level.body for level in data.levels)):
                        held[data.page_id] = None
                elif isinstance(data, PromptRendered) and self._showed(state, held):
                    yield data.prompt

    def _showed(self, state: State, held: Mapping[str, object]) -> bool:
        """Tell whether the last assembled prompt showed an erased text; `held` are the pages that hold one."""
        old = {page_id for (page_id, _), old in state.superseded.items() if self._shows(old.source, old.bodies)}
        return touches(state.copies if state.in_epochs else state.assembled, {**dict.fromkeys(old), **held})

    def _shows(self, source: str | None, bodies: Iterable[str | None]) -> bool:
        return source in self.erased or touches((body for body in bodies if body is not None), self.erased)

    def texts(self) -> Iterator[tuple[str, int]]:
        """For every erased commitment whose text exists: the stream that owns it, and the text's bytes."""
        for name in self.erased:
            stored = self._log.stored(name)
            if stored is not None and stored[1] is not None:
                yield self._owners[name], len(stored[1])

    def bodies(self) -> Iterator[bytes]:
        """The bodies that no commitment would refer to any more, each once."""
        seen: dict[str, None] = {}
        for name in self.erased:
            holders = [other for _, other in self._log.holders(name)]
            stored = self._log.stored(name)
            if (
                name not in seen
                and stored
                and stored[1] is not None
                and all(other in self.erased for other in holders)
            ):
                yield stored[1]
            seen.update(dict.fromkeys(holders))


def touches(names: Iterable[str], among: Mapping[str, object]) -> bool:
    """Tell whether two sets of names overlap."""
    return any(name in among for name in names)
