"""Writing pages: a harness puts them into the working set, and takes them out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from clawvm_es.core.state import Page, State
from clawvm_es.engine import given
from clawvm_es.engine.session.handle import HARNESS, Handle, first_of, next_page_id
from clawvm_es.errors import UsageError
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import RetireReason
from clawvm_es.model.pages import FULL, Author, Origin, OriginKind, PageType, Pin, Scope
from clawvm_es.observe.tools import absolute


class Writing(Handle):
    """The hooks that write pages, and the prompt's budget."""

    def write_page(
        self,
        page_type: PageType | str,
        text: str,
        *,
        page_id: str | None = None,
        slot: str | None = None,
        author: Author | str = Author.HARNESS,
        source: str = "",
        active: bool = True,
        dirty: bool | None = None,
        scope: Scope | str = Scope.SESSION,
        key: str | None = None,
    ) -> str:
        """Write a page, or with `page_id` its next content, and return its id.

        `slot` is a name of your own, such as `file:AGENTS.md`: the page of that name is written, and written again
        only if it has changed. `file:` plus a path also names the page of a rules file that a tool read. `scope`
        says whom the page concerns and raises its utility; the page is written back to the session's own store.
        """
        kind, by = given.choice("page type", PageType, page_type), given.choice("author", Author, author)
        concerns = given.choice("scope", Scope, scope)
        given.text("text", text), given.text("source", source), given.key(key), given.boolean("active", active)
        if dirty is not None:
            given.boolean("dirty", dirty)
        named = None if slot is None else slot_name(given.text("slot", slot))
        if named is not None and page_id is not None:
            raise UsageError("write_page: expected either page_id= or slot=")

        def page(target: str) -> e.PageWritten:
            written = self._shell.edge.page(
                target,
                kind,
                text,
                author=by,
                origin=Origin(OriginKind.RECORD),
                source=source,
                active=active,
            ).event
            return replace(written, dirty=dirty, scope=concerns)

        return self._write(page, by, key, page_id) if named is None else self._write_slot(page, named, by, key)

    def user_says(self, text: str, *, native: Any = None, key: str | None = None) -> str:
        """Write the user's message as a conversation page.

        `native` is the message as the provider takes it (with its images), in plain lists and dicts.
        """
        given.text("text", text), given.key(key)
        kept = given.native(native)

        def page(target: str) -> e.PageWritten:
            edge, origin = self._shell.edge, Origin(OriginKind.RECORD)
            said = edge.page(
                target, PageType.CONVERSATION, text, author=Author.USER, origin=origin, native=kept
            ).event
            return replace(said, native=edge.text(kept)) if kept else said

        return self._write(page, Author.USER, key)

    def pin(self, page_id: str, pin: Pin | str, *, key: str | None = None) -> None:
        """Change a page's pin."""
        self._do(e.PagePinned(given.text("page id", page_id), given.choice("pin", Pin, pin)), key)

    def retire(
        self, page_id: str, reason: RetireReason | str = RetireReason.WITHDRAWN, *, key: str | None = None
    ) -> None:
        """Take a page out of the working set; its content stays in the log."""
        self._do(e.PageRetired(given.text("page id", page_id), given.choice("reason", RetireReason, reason)), key)

    def repage(self, *, key: str | None = None) -> None:
        """Select the pages of the next prompt anew, at any cost; a policy that pages by turn does so anyway."""
        given.key(key)

        def build(state: State) -> Sequence[Command]:
            return (Command(e.SettingsAdopted(profile=state.profile), self._clock(), HARNESS, key),)

        self._run(build)

    def set_budget(self, tokens: int, *, key: str | None = None) -> None:
        """Change the prompt's budget."""
        self._do(e.BudgetChanged(given.integer("budget in tokens", tokens, 1)), key)

    def _write(
        self, page: Callable[[str], e.PageWritten], by: str, key: str | None, page_id: str | None = None
    ) -> str:
        """Record a page, or the next content of one."""

        def build(state: State) -> Sequence[Command]:
            target = next_page_id(state) if page_id is None else self._page(page_id, state).page_id
            return (Command(page(target), self._clock(), by, key),)

        with self._shell.lock:
            found = self._run(build).events
            self._flush_when_full()
            return first_of(found, e.PageWritten).page_id

    def _write_slot(self, page: Callable[[str], e.PageWritten], name: str, by: str, key: str | None) -> str:
        """Record the page of a slot, unless it already has this content."""
        standing: list[str | None] = []

        def build(state: State) -> Sequence[Command]:
            known = self._observed.at(state).known
            target = known.slots.get(name) or next_page_id(state)
            written = page(target)
            standing.append(target if self._is_new(key) and _stands(state.pages.get(target), written) else None)
            if standing[-1] is not None:
                return ()
            ordinal = known.slot_names.get(name)
            named = self._shell.edge.text(name) if ordinal is None else None
            written = replace(written, slot=ordinal or len(known.slot_names) + 1, slot_name=named)
            return (Command(written, self._clock(), by, key),)

        with self._shell.lock:
            found = self._run(build).events
            self._flush_when_full()
            return standing[-1] or first_of(found, e.PageWritten).page_id


def slot_name(name: str) -> str:
    """The name of a slot; a file's is its absolute path, as the observer of tools names it."""
    kind, colon, path = name.partition(":")
    return f"file:{absolute(path, os.getcwd())}" if colon and kind == "file" and path else name


def _stands(page: Page | None, written: e.PageWritten) -> bool:
    """Tell whether a page already has the content to be written."""
    if page is None or page.retired or page.gone or page.away:
        return False
    was = (page.page_type, page.author, page.active, page.source, page.bodies[FULL])
    return was == (written.page_type, written.author, written.active, written.source, written.levels[0].body)
