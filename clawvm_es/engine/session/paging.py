"""Paging in: from a memory backend, and from the log."""

from __future__ import annotations

from collections.abc import Sequence

from clawvm_es.core.state import State
from clawvm_es.engine import given
from clawvm_es.engine.recall import Answer, answer_of
from clawvm_es.engine.session.handle import HARNESS, MODEL, TOOL, Handle, first_of
from clawvm_es.errors import UsageError
from clawvm_es.model import events as e
from clawvm_es.model.commands import Command
from clawvm_es.model.facts import RecallOutcome
from clawvm_es.model.pages import Author, Origin, OriginKind, PageType


class Paging(Handle):
    """The hooks that bring content back."""

    def recall(
        self,
        query: str,
        answer: Answer,
        *,
        outcome: RecallOutcome | str | None = None,
        key: str | None = None,
    ) -> tuple[str, ...]:
        """Query a memory backend and write its answers as evidence pages; returns their ids.

        `answer` is the backend (called with the query) or its answer, a series of texts. Failures are recorded as
        outcomes, so that an empty answer is never taken for "nothing known": `denied` for a `PermissionError`,
        `backend_error` for any other exception, `malformed` for anything but a series of texts. A retry under the
        same `key` does not query the backend again.
        """
        given.text("query", query), given.key(key)
        told = None if outcome is None else given.choice("outcome", RecallOutcome, outcome)
        first = self._shell.recorded(key) if callable(answer) and key is not None else None
        if isinstance(first, e.RecallAnswered) and self._shell.edge.open(first.query) == query:
            return first.pages
        texts, found = answer_of(query, answer)
        found = told or found

        def build(state: State) -> Sequence[Command]:
            at, first = self._clock(), len(state.pages) + 1
            pages = [
                self._shell.edge.page(
                    f"p{first + place}",
                    PageType.EVIDENCE,
                    text,
                    author=Author.TOOL,
                    origin=Origin(OriginKind.RECORD),
                    source=f"recall {query}",
                ).event
                for place, text in enumerate(texts)
            ]
            ids = tuple(page.page_id for page in pages)
            answered = e.RecallAnswered(state.recalls + 1, found, self._shell.edge.text(query), ids)
            written = [Command(page, at, TOOL, key and f"{key}:{n}") for n, page in enumerate(pages)]
            return (*written, Command(answered, at, HARNESS, key))

        with self._shell.lock:
            pages = first_of(self._run(build).events, e.RecallAnswered).pages
            self._flush_when_full()
            return pages

    def resolve(
        self,
        page_id: str,
        first_line: int = 1,
        last_line: int | None = None,
        *,
        lines: str | tuple[int, int | None] | None = None,
        arrives: bool = True,
        key: str | None = None,
    ) -> str:
        """Page in: the text of lines `first_line` to `last_line` (from 1, inclusive) of a page, from the log.

        `lines` gives the range as `(120, 180)` or `"120-180"`. The call is recorded as a need: a hit if the page
        is in the prompt in full, else a page-in that costs the tokens of the range. After a page-in the next
        prompt holds the range as a page of its own, or the whole page if all of it was requested. With
        `arrives=False` the text reaches the model another way; then only a hit is recorded.

        A last line past the end means the end. Raises `UsageError` for any other range outside the page, and
        (after the fault is recorded) if its content was erased.
        """
        given.key(key), given.boolean("arrives", arrives)
        first, last = (first_line, last_line) if lines is None else given.line_range(lines)
        if lines is not None and (first_line, last_line) != (1, None):
            raise UsageError("resolve: expected either lines= or first_line and last_line")
        found: list[str | None] = []

        def build(state: State) -> Sequence[Command]:
            looked = self._excerpts.look(self._page(page_id, state), first, last)
            found.append(looked.text)
            at, inputs = self._clock(), self._excerpts.inputs(state, looked, arrives)
            keys = (key and f"{key}:lines", key)[-len(inputs) :]
            return [Command(data, at, MODEL, own) for data, own in zip(inputs, keys, strict=True)]

        with self._shell.lock:
            if key is not None and self._excerpts.is_recorded(key, f"{page_id}:{first}-{last or ''}"):
                page = self._page(page_id, self._shell.state_after(key))
                found.append(self._excerpts.look(page, first, last).text)
            else:
                self._run(build)
            text = found[-1]
        if text is None:
            raise UsageError(f"page {page_id}: its content was erased", hint="get it again from where it came from")
        return text
